"""Who else can write a folder, and so move away what lies in it and put something in its place.

- A folder above a secret MUST be the user's or root's, and writable by nobody else. A group may
  write if it is the user's own: of the user's name and with no other member (as Debian's OpenSSH
  has it). Where the group cannot be looked up, it is not; nor where the folder has an access list,
  of whose users and groups the mode of the group says the most that any may.
"""

import grp
import posix
from errno import ENODATA, ENOTSUP

from pam_totp.rules.refusal import SECRET_UNSAFE, Refused


def refuse_shared(status: posix.stat_result, path: str, owner: int, name: str) -> None:
    """Raises Refused where somebody else can write the folder. `name`: of the owner's own group."""
    if status.st_uid not in (0, owner):
        raise Refused(SECRET_UNSAFE, f"{path} is another user's: chown {owner} {path}")
    if status.st_mode & 0o002:
        raise Refused(SECRET_UNSAFE, f"{path} is writable by all: chmod o-w {path}")
    if status.st_mode & 0o020 and (_has_access_list(path) or not _is_alone_in(status.st_gid, name)):
        raise Refused(SECRET_UNSAFE, f"{path} is writable by a group: chmod g-w {path}")


def _has_access_list(path: str) -> bool:
    try:
        posix.getxattr(path, "system.posix_acl_access")
    except OSError as failure:
        return failure.errno not in (ENODATA, ENOTSUP)
    return True


def _is_alone_in(gid: int, name: str) -> bool:
    try:
        group = grp.getgrgid(gid)
    except (KeyError, OSError):
        return False
    return {group.gr_name, *group.gr_mem} == {name}
