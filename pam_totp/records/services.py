"""Which PAM services ask for a code: read from /etc/pam.d, changed by nobody here."""

import os
import re

FOLDER = "/etc/pam.d"
_ASKS = re.compile(
    r"^\s*-?auth\s.*(pam_totp\.so(?!.*publickey_passed)|/pam-totp/verify\b)", re.IGNORECASE
)
_INCLUDES = re.compile(r"^\s*(?:@include\s+|-?auth\s+(?:include|substack)\s+)(\S+)", re.IGNORECASE)
# A backslash at the end continues a line, and a # begins a comment (pam.conf(5)).
_CONTINUED = re.compile(r"\\\n")
_COMMENT = re.compile(r"#.*")
# Files that other services include; on their own they are no service that anyone logs in to.
_SHARED = re.compile(r"^common-|^pam-totp$|\.(dpkg|ucf)-")


def that_ask(folder: str = FOLDER) -> list[str]:
    """The names of the services whose auth stack has a line of ours, by way of includes too."""
    lines: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        try:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                text = _COMMENT.sub("", _CONTINUED.sub(" ", file.read()))
            lines[name] = text.splitlines()
        except OSError:
            continue  # not ours to read: nothing can be said of it

    def asks(name: str, seen: frozenset[str]) -> bool:
        for line in lines.get(name, ()):
            included = _INCLUDES.match(line)
            if _ASKS.match(line):
                return True
            if included and included[1] not in seen and asks(included[1], seen | {included[1]}):
                return True
        return False

    return [name for name in lines if not _SHARED.search(name) and asks(name, frozenset({name}))]
