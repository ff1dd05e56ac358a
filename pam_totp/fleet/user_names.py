# SPDX-License-Identifier: MIT
"""Names of users, as a host of the fleet may have them. Pure."""

from collections.abc import Sequence

from pam_totp.errors import Error
from pam_totp.spelling import did_you_mean

MAX_CHARACTERS = 255
MAX_COMPARED = 10_000  # a second's work
_HINT = "Enter the name that `id -un` prints at a login host."


def refuse_impossible(names: Sequence[str]) -> None:
    """Raises Error for the first name that no host could have: what an administrator does for it
    would be for nobody."""
    for name in names:
        fault = _fault(name)
        if fault:
            raise Error(f"{name!a} cannot be the name of a user, because {fault}", _HINT)


def meant(name: str, known: Sequence[str]) -> str:
    """The known name that may be meant by another one, as the end of a sentence; empty if there is
    none, if it is known itself, or if there are too many to compare."""
    same = alike(name, known)
    if same:
        return f"; did you mean {same[0]}?"
    if name in known or len(known) > MAX_COMPARED:
        return ""
    return did_you_mean(name, known)


def alike(name: str, known: Sequence[str]) -> list[str]:
    """The known names that differ from another one in capitals alone: hardly two people."""
    return [each for each in known if each != name and each.casefold() == name.casefold()]


def _fault(name: str) -> str:
    """Why no passwd(5) can hold the name; empty if one can. Directories have names that useradd(8)
    would refuse: with dots, capitals, spaces, a domain, other letters than ASCII, or of digits."""
    if not name:
        return "it is empty"
    if len(name) > MAX_CHARACTERS or len(name.encode("utf-8", "replace")) > MAX_CHARACTERS:
        return f"it is longer than {MAX_CHARACTERS} bytes"
    if name in (".", ".."):
        return "it is the name of a folder"
    if name.startswith("-"):
        return "it begins with a dash"
    if set(name) & set(":/"):
        return "it contains a colon or a slash"
    if name != name.strip():
        return "it begins or ends with a space"
    return "" if name.isprintable() else "it contains a control character"  # as all spaces but one
