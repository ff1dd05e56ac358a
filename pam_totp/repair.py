# SPDX-License-Identifier: MIT
"""What helps where a file or a folder cannot be used: one command for each kind of failure."""

import os
from errno import EDQUOT, EFBIG, EIO, EMFILE, ENFILE, ENOSPC, EPERM, EROFS

_COMMANDS = {
    ENOSPC: "df -h {folder}",
    EDQUOT: "quota -s",
    EFBIG: "ulimit -f",
    EROFS: "findmnt -T {folder}",
    EPERM: "lsattr -a {folder}",  # the attributes `i` and `a` (chattr(1))
    EIO: "dmesg",
    EMFILE: "ulimit -n",
    ENFILE: "sysctl fs.file-nr",
}
# Without it every login that needs a code is refused. As the package makes it.
_STATE = "/var/lib/pam-totp"
_MAKE_STATE = f"install -d -m 700 {_STATE} {_STATE}/secrets"
# Owner, mode and type of each name on the way, and which of them does not exist.
_OTHERWISE = "namei -l {path}"


def split(fault: str, path: str, home: str = "") -> tuple[str, str]:
    """A fault, and the hint for it: the repair that it ends with (`; run: COMMAND`), or the command
    that shows more of what the system says of the path. A home is shown as `~`."""
    fault, _, repair = fault.partition("; ")
    repair = repair.removeprefix("run: ")
    if repair.startswith("chown") and os.geteuid() != 0:
        repair = f"sudo {repair}"
    return fault, repair or _look(fault, path, home)


def _look(fault: str, path: str, home: str) -> str:
    if f"{path}/".startswith(f"{_STATE}/") and not os.path.lexists(_STATE):
        return _MAKE_STATE
    kinds = (number for number in _COMMANDS if os.strerror(number).lower() in fault.lower())
    command = _COMMANDS.get(next(kinds, 0), _OTHERWISE)
    folder = path
    while not os.path.isdir(folder) and folder not in ("/", ""):
        folder = os.path.dirname(folder)
    return command.format(path=_short(path, home), folder=_short(folder, home))


def _short(path: str, home: str) -> str:
    is_inside = home not in ("", "/") and f"{path}/".startswith(f"{home}/")
    return f"~{path[len(home) :]}" if is_inside else path
