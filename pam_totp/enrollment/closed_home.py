# SPDX-License-Identifier: MIT
"""Homes that may be closed when their user logs in: what `pam-totp enroll` says of them first."""

import os
from pathlib import Path

from pam_totp.records.storage import encryption
from pam_totp.records.storage.secret_dir import SecretDir

MOUNTS = Path("/proc/self/mountinfo")
SETTING_MODES = (
    *("9p", "cifs", "exfat", "fuse", "fuseblk", "msdos", "ntfs", "ntfs3", "smb3", "smbfs", "vfat"),
)
REFUSED = (
    "A login that finds it locked or not mounted is refused, because the secret\n"
    "cannot be read then. Root can keep secrets outside the homes with\n"
    "`store: system`; see pam-totp.yaml(5).\n"
)


def warning_of(secret_dir: SecretDir) -> str:
    """What to say before anybody scans anything; empty if the folder is always open."""
    if secret_dir.owner is not secret_dir.account:
        return ""  # `store: system`: no home matters
    home = secret_dir.account.pw_dir
    with secret_dir.acting:
        what = "is encrypted" if _has_policy(home, secret_dir.path) else ""
        real = os.path.realpath(home)
    point, kind = mount_of(real, MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    if kind == "ecryptfs":
        what = "is encrypted"
    elif kind.partition(".")[0] in ("fuse", "fuseblk"):
        what = what or f"is a FUSE file system ({kind})"
    elif point == real:
        what = what or "is a mount point of its own"
    return f"Warning: {home} {what}.\n{REFUSED}" if what else ""


def fault_of(secret_dir: SecretDir) -> str:
    """Why a login cannot read what its user can: a FUSE file system answers its user alone."""
    if secret_dir.owner is not secret_dir.account:
        return ""
    home = secret_dir.account.pw_dir
    real, table = os.path.realpath(home), MOUNTS.read_text("utf-8", "surrogateescape")
    mount = mount_of(real, table)
    if mount[1].partition(".")[0] not in ("fuse", "fuseblk"):
        return ""
    line = [line for line in table.splitlines() if mount_of(real, line) == mount][-1]
    if "allow_other" in line.rpartition(" ")[2].split(","):
        return ""
    what = f"{home} is a FUSE file system without allow_other, which logins cannot read"
    return f"{what}: they are refused. Root can use `store: system`"


def sets_modes(secret_dir: SecretDir) -> bool:
    """Whether the folder lies on a file system that often sets owner and mode of all files itself:
    chmod and chown change nothing there."""
    table = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    with secret_dir.acting:
        real = os.path.realpath(secret_dir.path)
    return mount_of(real, table)[1].partition(".")[0] in SETTING_MODES


def _has_policy(home: str, path: str) -> bool:
    """Whether fscrypt encrypts the home, or the folder in it that holds ours."""
    for folder in (home, os.path.dirname(path)):
        try:
            listed = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            continue  # not there yet
        try:
            if encryption.policy_of(listed):
                return True
        except OSError:
            pass  # unknown, and a login refuses what is unknown
        finally:
            os.close(listed)
    return False


def mount_of(path: str, table: str) -> tuple[str, str]:
    """Mount point and type of the file system that a path lies on, by a mountinfo (proc(5))."""
    found = ("/", "")
    for line in table.splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split(" ")[4]
        for escaped, plain in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
            point = point.replace(escaped, plain)
        if f"{path}/".startswith(point.rstrip("/") + "/") and len(point) >= len(found[0]):
            found = (point, rest.split(" ")[0])
    return found
