# SPDX-License-Identifier: MIT
"""How long something is to last, as it is typed."""

import argparse
import re

UNITS = {"m": 60, "h": 3600, "d": 86400}
MAX_SECONDS = 30 * 86400


def seconds(text: str) -> int:
    """A length of time such as 30m, 2h or 1d, in seconds; argparse's type."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text, re.ASCII)
    if not match or int(match[1]) * UNITS[match[2]] > MAX_SECONDS:
        raise argparse.ArgumentTypeError("must be a time such as 30m, 2h or 1d, at most 30d")
    return int(match[1]) * UNITS[match[2]]
