# SPDX-License-Identifier: MIT
"""How much of the fault runs is done: a good part in `make test`, all of it in `make soak`."""

import os

SOAK = "PAM_TOTP_SOAK" in os.environ


def choose(in_test: int, in_soak: int) -> int:
    """A number of runs."""
    return in_soak if SOAK else in_test
