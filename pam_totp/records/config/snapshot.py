"""The last good settings, as root keeps them: /var/lib/pam-totp/settings/last-good, which names the
very file that it was made from. While it cannot be kept there (a full or a read-only disk), it is
in /run/pam-totp/settings/last-good, and every decision says so in the log.

Format, UTF-8: "pam-totp settings 1 DEV INODE SIZE MTIME_NS CTIME_NS", then "KEY VALUE" lines, the
line "rules", the rules (pam_totp.rules.encoding), and the line "end".
"""

import posix

from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.rules.reasons import Failure

KIND, NAME = "settings", "last-good"
MAX_BYTES = 4 * 1024 * 1024
OF_NO_FILE = "0 0 0 0 0"

_HEADER = "pam-totp settings 1 "
_RULES, _END = "\nrules\n", "\nend\n"


class Snapshot:
    """values: by key; text: the whole, in which rules are found by their tabs; fault: why it is not
    kept for good."""

    __slots__ = ("fault", "text", "values")

    def __init__(self, values: dict[str, str], text: str) -> None:
        self.values = values
        self.text = text
        self.fault = ""


def find(identity: str) -> Snapshot | None:
    """The snapshot, None without any; with an identity only if it is of that file. Raises OSError,
    Failure or ValueError where there is one and it cannot be used."""
    content = VAR.read(KIND, NAME, MAX_BYTES)
    kept = _parse(content, identity) if content is not None else None
    if kept is not None and identity:
        return kept
    content = RUN.read(KIND, NAME, MAX_BYTES)
    latest = _parse(content, identity) if content is not None else None
    if latest is None or content is None:
        return kept
    latest.fault = _keep(content)
    return latest


def make(identity: str, values: dict[str, str], rules: str) -> str:
    """Makes a new one; why it is not kept for good, empty if it is. `rules`: encoded."""
    lines = [_HEADER + identity, *(f"{key} {value}" for key, value in values.items())]
    return _keep(("\n".join(lines) + _RULES + rules + _END[1:]).encode("utf-8"))


def _parse(content: bytes, identity: str) -> Snapshot | None:
    text = content.decode("utf-8")
    head, has_rules, _ = text.partition(_RULES)
    header, *lines = head.split("\n")
    if identity and header != _HEADER + identity:
        return None
    if not (header.startswith(_HEADER) and has_rules and text.endswith(_END)):
        raise ValueError("no snapshot")
    return Snapshot({line.partition(" ")[0]: line.partition(" ")[2] for line in lines}, text)


def _keep(content: bytes) -> str:
    if posix.geteuid() != 0:
        return ""
    try:
        VAR.write(KIND, NAME, content)
        RUN.remove(KIND, NAME)
        return ""
    except (OSError, Failure) as failure:
        detail = failure.detail if isinstance(failure, Failure) else failure.strerror
    try:
        RUN.write(KIND, NAME, content)
    except (OSError, Failure):
        pass  # the next login reads the file again
    return f"the settings cannot be kept: {detail}"
