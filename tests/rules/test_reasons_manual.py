# SPDX-License-Identifier: MIT
"""The manual of the module has all reasons that the log may have."""

import re
from pathlib import Path

from pam_totp.rules import reasons

MANUAL = Path(__file__).resolve().parents[2] / "pam_totp" / "manual" / "pam_totp.8.scd"


def test_manual_lists_each_reason_once() -> None:
    section = MANUAL.read_text().partition("\n_reason_\n")[2].partition("\n_detail_\n")[0]
    listed = re.findall(r"^\t\*([a-z-]+)\*$", section, re.MULTILINE)
    words = [each for name, each in vars(reasons).items() if name.isupper()]
    known = [each for each in words if isinstance(each, str)]
    assert sorted(listed) == sorted(known)
