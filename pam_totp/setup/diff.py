# SPDX-License-Identifier: MIT
"""A change as people read it. Pure."""

import difflib

from pam_totp.setup.change import Change, FileChange


def of_change(change: Change) -> str:
    """Every file of it, as diff -u has it."""
    return "\n".join(of_file(file) for file in change.files)


def of_file(file: FileChange) -> str:
    """One file, without the line end of its last line."""
    before, after = (_lines(content) for content in (file.before, file.after))
    old, new = (
        file.path if content is not None else "/dev/null" for content in (file.before, file.after)
    )
    return "\n".join(difflib.unified_diff(before, after, old, new, lineterm="", n=2))


def as_objects(change: Change) -> list[dict[str, str]]:
    """Every file of it, for --json."""
    return [{"path": file.path, "diff": of_file(file)} for file in change.files]


def _lines(content: bytes | None) -> list[str]:
    text = (content or b"").decode("utf-8", "backslashreplace")
    lines = text.split("\n")
    if lines[-1] == "":
        return lines[:-1]
    return [*lines[:-1], f"{lines[-1]}\\ (no line end)"]
