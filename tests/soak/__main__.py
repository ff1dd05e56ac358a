# SPDX-License-Identifier: MIT
"""The long versions of the fault runs: every error in place of every call, 1,000 kills; and a
million random stacks.

`make soak` runs it in a throw-away host.
"""

import os
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = "tests/stack/test_model.py"
CRASHES = "tests/trial/test_crashes.py"

if __name__ == "__main__":
    os.environ["PAM_TOTP_SOAK"] = "1"  # before tests/faults/sizes.py is read
    os.chdir(REPOSITORY)
    sys.exit(pytest.main(["tests/faults", MODEL, CRASHES, "-q", "--durations=20", *sys.argv[1:]]))
