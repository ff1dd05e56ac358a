# SPDX-License-Identifier: MIT
"""Lines that enable adds: how they are written, what they return, and how they are shown without a
place. Pure."""

import re

from pam_totp.setup.also import KINDS, is_written
from pam_totp.setup.block import lines_of
from pam_totp.stack.libpam import AUTH_ERR, IGNORE, SUCCESS, Unknown
from pam_totp.stack.lines import Line
from pam_totp.stack.totp_lines import is_note

CODE_LINE = "auth required pam_totp.so"
# Right before so many lines of another module, which ask users of whom ours needs no code.
BESIDE_LINE = "auth [success={} ignore=ignore default=die] pam_totp.so"
KEY_LINE = "auth [success={} default=ignore] pam_totp.so publickey_passed"
KEY_OR_NOTHING = "auth [success=ok default=die] pam_totp.so publickey_passed"
COMBINED_LINE = "auth required pam_totp.so combined"
_LINES = (CODE_LINE, KEY_OR_NOTHING, COMBINED_LINE, KEY_LINE, BESIDE_LINE)
_OURS = re.compile(r"pam_(totp|u2f|fprintd)\.so|/pam-totp/verify")
_WRITTEN = re.compile("|".join(map(re.escape, _LINES)).replace(r"\{\}", r"\d+"))
# Where a jump lands: after it the stack has decided nothing yet.
LANDING = "auth required pam_permit.so"
BESIDE_OURS = tuple(kind.module for kind in KINDS.values())


def edited(content: bytes) -> list[str]:
    """The lines between the marks of a file that are ours, and that enable has not written so."""
    lines = (line for line in lines_of(content) if _OURS.search(line))
    return [line for line in lines if not (_WRITTEN.fullmatch(line) or is_written(line))]


def answer_of_ours(
    line: Line, of_code: int, of_key: int, of_combined: int = IGNORE, of_also: int = AUTH_ERR
) -> int:
    """What a line that was added returns. of_also: a security key or a fingerprint. Raises Unknown
    for a module that enable never adds."""
    if line.module_name == "pam_totp.so":
        if "publickey_passed" in line.arguments:
            return of_key
        is_combined = any(word.partition("=")[0] == "combined" for word in line.arguments)
        return of_combined if is_combined else of_code
    if line.module_name in BESIDE_OURS:
        return of_also
    if is_note(line):
        return AUTH_ERR
    if line.module_name in ("pam_permit.so", "pam_deny.so"):
        return SUCCESS if line.module_name == "pam_permit.so" else AUTH_ERR
    raise Unknown(f"{shown(line)} is new")


def shown(line: Line) -> str:
    """A line, for people; number 0: one that enable would add."""
    if not line.number:
        return f"the new line ({line.described.strip()})"
    return f"{line.place} ({line.described.strip()})"
