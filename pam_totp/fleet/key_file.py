# SPDX-License-Identifier: MIT
"""The key file of a database server: /etc/pam-totp/fleet-key.N, with which the store's secrets are
sealed. It is in no dump, no base backup and no WAL, so each server has its own copy.

- It MUST be whole or not there: the store seals secrets with what it reads.
- An existing one MUST never be replaced: without it, the secrets of every user are lost.
"""

import glob
import grp
import hashlib
import hmac
import os
import stat
from collections.abc import Sequence

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.records.storage.state_dir import replace_all

FOLDER = "/etc/pam-totp"
NAME = "fleet-key."
BYTES, MODE, GROUP = 32, 0o640, "postgres"
_CHECKED = b"pam-totp key check 1"  # what the check value is made of
_CHECK_BYTES = 8


def path_of(version: int) -> str:
    """Where the key of this version is, on every database server."""
    return f"{FOLDER}/{NAME}{version}"


def versions() -> list[int]:
    """Of the key files of this machine, in their order."""
    ends = [path.rpartition(".")[2] for path in glob.glob(f"{FOLDER}/{NAME}*")]
    return sorted(int(end) for end in ends if end.isdigit() and end[0] != "0")


def make(version: int) -> str:
    """Makes a new key, durably; its path. Raises Error where there is one already, or it cannot be
    written."""
    path = path_of(version)
    if os.path.lexists(path):
        raise Error(f"{path} already exists, and is never overwritten", f"ls -l {path}")
    try:
        os.makedirs(FOLDER, 0o755, exist_ok=True)
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:

            def give(temporary: str, _name: str) -> None:
                os.chown(temporary, 0, _group(), dir_fd=folder)
                os.chmod(temporary, MODE, dir_fd=folder)

            replace_all(folder, [(os.path.basename(path), os.urandom(BYTES))], give)
        finally:
            os.close(folder)
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), path)
        raise Error(f"cannot write {path}: {fault}", hint) from None
    return path


def fault_of(version: int, source: str = "") -> tuple[str, str]:
    """What is wrong with a key file, and the command that repairs it; both empty if nothing is.
    source: a server that has it; empty for none that is known."""
    path = path_of(version)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return f"there is no {path}", bring_back(version, source)
    if not stat.S_ISREG(status.st_mode) or status.st_size != BYTES:
        return f"{path} is not a file of {BYTES} bytes", bring_back(version, source)
    if status.st_uid != 0 or status.st_gid != _group():
        return f"{path} is not owned by root and the group {GROUP}", f"chown root:{GROUP} {path}"
    if stat.S_IMODE(status.st_mode) & ~MODE:
        return f"{path} is open to others", f"chmod {MODE:o} {path}"
    if stat.S_IMODE(status.st_mode) != MODE:
        return f"{path} cannot be read by the group {GROUP}", f"chmod {MODE:o} {path}"
    return "", ""


def mend(version: int) -> None:
    """Gives a key file that was copied here the owner and the mode that it must have. Raises
    Error."""
    path = path_of(version)
    try:
        os.chown(path, 0, _group(), follow_symlinks=False)
        if not os.path.islink(path):
            os.chmod(path, MODE)
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), path)
        raise Error(f"{path}: {fault}", hint) from None


def bring_back(version: int, source: str) -> str:
    """The command that brings a lost key file back: from a server that has it, or from the copy
    that `store init` and `store reseal` told to keep, which is pasted."""
    if source:
        return copy_from(source, version)
    return f"base64 -d | install -m {MODE:o} -g {GROUP} /dev/stdin {path_of(version)}"


def copy_from(server: str, version: int) -> str:
    """The command that brings a key file from another server to this one."""
    return f"scp -p root@{server}:{path_of(version)} {path_of(version)}"


def copy_to(server: str, version: int) -> str:
    """The command that brings a key file of this server to another one."""
    return f"scp -p {path_of(version)} root@{server}:{path_of(version)}"


def check_value(version: int) -> str:
    """What tells one key from every other and says nothing about it: `N-HEX`. Raises Error."""
    path = path_of(version)
    try:
        with open(path, "rb") as file:
            key = file.read(BYTES + 1)
    except OSError as failure:
        raise Error(f"{path}: {failure.strerror}", f"ls -l {path}") from None
    digest = hmac.digest(key, _CHECKED, hashlib.sha256)
    return f"{version}-{digest[:_CHECK_BYTES].hex()}"


def refuse_others(wanted: Sequence[str], server: str) -> None:
    """Raises Error unless this machine has the key files with these check values."""
    for each in wanted:
        version = int(each.partition("-")[0])
        if not os.path.exists(path_of(version)):
            message = f"there is no {path_of(version)} on this server"
            raise Error(f"{message}; nothing was changed", copy_from(server, version))
        mend(version)
        if check_value(version) != each:
            message = f"{path_of(version)} is not the key of this store"
            raise Error(f"{message}; nothing was changed", copy_from(server, version))


def _group() -> int:
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        message = f"there is no group {GROUP}, so the PostgreSQL server is not installed"
        raise Error(message, "apt-get install postgresql") from None
