# SPDX-License-Identifier: MIT
"""Lines that enable adds: what they return, and how they are shown without a place. Pure."""

from pam_totp.stack.libpam import AUTH_ERR, IGNORE, SUCCESS, Unknown
from pam_totp.stack.lines import Line


def answer_of_ours(line: Line, of_code: int, of_key: int, of_combined: int = IGNORE) -> int:
    """What a line that was added returns. Raises Unknown for a module that enable never adds."""
    if line.module_name == "pam_totp.so":
        if "publickey_passed" in line.arguments:
            return of_key
        is_combined = any(word.partition("=")[0] == "combined" for word in line.arguments)
        return of_combined if is_combined else of_code
    if line.module_name in ("pam_permit.so", "pam_deny.so"):
        return SUCCESS if line.module_name == "pam_permit.so" else AUTH_ERR
    raise Unknown(f"{shown(line)} is new")


def shown(line: Line) -> str:
    """A line, for people; number 0: one that enable would add."""
    if not line.number:
        return f"the new line ({line.described.strip()})"
    return f"{line.place} ({line.described.strip()})"
