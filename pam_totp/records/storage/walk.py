# SPDX-License-Identifier: MIT
"""The walk to a folder, from `/` down and along every link: nobody else can move a part of it.

- Every folder and every link on the way MUST be owned by the user or root.
- No folder on the way MUST be writable by anybody else: they could move away what lies in it and
  put something else in its place. One with the sticky bit may be passed through, as only an owner
  moves what lies there. A group may write if it is the user's own: of the user's name alone, and
  nobody else's, listed or not (as Debian's OpenSSH has it). What no look-up finds is not; nor
  where the folder has an access list, of whose users and groups the mode of the group says the
  most that any may.
- Each name MUST be opened relative to a folder that was checked on this very descriptor, and the
  kernel MUST NOT follow a link. Links of /proc lead elsewhere than they say: they are refused.
"""

import posix
import pwd
from errno import ENODATA, ENOTSUP

from pam_totp.records.storage.checked_file import WRITABLE_BY_OTHERS, Opened
from pam_totp.rules.reasons import SECRET_UNSAFE, Failure
from pam_totp.rules.record import MutableRecord

_NAME_FLAGS = posix.O_PATH | posix.O_NOFOLLOW | posix.O_CLOEXEC
# Without O_DIRECTORY, autofs would show the empty folder that it is about to mount over.
FOLDER_FLAGS = _NAME_FLAGS | posix.O_DIRECTORY
# As the kernel has them.
_TYPE, _LINK, _STICKY, _MAX_LINKS = 0o170000, 0o120000, 0o1000, 40
# What ends a path in a sentence, or in a command for a shell: any user may name a folder so.
ODD = {each: "?" for each in range(128) if not (chr(each).isalnum() or chr(each) in "/._-+@=,%~:")}


class Walk(MutableRecord):
    """user: whose secret; is_checked: whether to refuse what others can move. `folder`: an open
    descriptor of where it is, for the caller to close if it is not -1; `path`: that folder's
    name, without a link; `links`: how many were followed."""

    user: pwd.struct_passwd
    is_checked: bool
    folder: int = -1
    path: str = ""
    links: int = 0

    def go(self, way: str, *, follow: bool) -> None:
        """Goes to a folder, from where it is or from `/`. `follow`: also if the last name is a
        link. Raises Failure or OSError; where a name is not there, FileNotFoundError: it is then
        in the folder that has no such name."""
        names: list[str] = []  # the next one last
        while True:
            names += [name for name in reversed(way.split("/")) if name not in ("", ".")]
            if way.startswith("/"):
                self._enter("/", "", is_last=not names)
            try:
                while names:
                    name = names.pop()
                    self._enter(name, f"{self.path}/{name}", is_last=not names)
                return
            except NotADirectoryError:
                way = self._read_link(name, follow=follow or bool(names))

    def _enter(self, name: str, path: str, *, is_last: bool) -> None:
        folder = posix.open(name, FOLDER_FLAGS, dir_fd=self.folder)
        if self.folder >= 0:
            posix.close(self.folder)
        self.folder, self.path = folder, path
        if not self.is_checked:
            return
        status = posix.fstat(folder)
        if status.st_uid in (0, self.user.pw_uid) and not status.st_mode & WRITABLE_BY_OTHERS:
            return
        path = path.translate(ODD) or "/"
        refuse_owner(status, path, self.user, 0)
        if status.st_mode & _STICKY and not is_last:
            return
        if status.st_mode & 0o002:
            raise Failure(SECRET_UNSAFE, f"{path} is writable by others; run: chmod o-w {path}")
        if status.st_mode & 0o020 and (_has_access_list(folder) or not self._is_alone(status)):
            raise Failure(SECRET_UNSAFE, f"{path} is writable by a group; run: chmod g-w {path}")

    def _read_link(self, name: str, *, follow: bool) -> str:
        path = f"{self.path}/{name}".translate(ODD)
        with Opened(posix.open(name, _NAME_FLAGS, dir_fd=self.folder)) as link:
            status = posix.fstat(link)
            if status.st_mode & _TYPE != _LINK:
                raise Failure(SECRET_UNSAFE, f"{path} is not a folder; replace it with a folder")
            if not follow:
                raise Failure(SECRET_UNSAFE, f"{path} is a symbolic link; replace it with a folder")
            if self.is_checked:
                refuse_owner(status, path, self.user, 0)
            self.links += 1
            if not status.st_size or self.links > _MAX_LINKS:
                raise Failure(SECRET_UNSAFE, f"{path} is a link in /proc or in a loop; replace it")
            return posix.readlink("", dir_fd=link)

    def _is_alone(self, status: posix.stat_result) -> bool:
        import grp  # few homes may be written by a group

        gid, user = status.st_gid, self.user
        try:
            groups = [grp.getgrgid(gid), *grp.getgrall()]  # an id may have several names
            named = [{each.gr_name, *each.gr_mem} for each in groups if each.gr_gid == gid]
            others = [each for each in pwd.getpwall() if each.pw_gid == gid]
        except (KeyError, OSError):
            return False
        is_named_alone = all(names == {user.pw_name} for names in named)
        return is_named_alone and all(each.pw_uid == user.pw_uid for each in others)


def refuse_owner(status: posix.stat_result, path: str, user: pwd.struct_passwd, *more: int) -> None:
    """Raises Failure where a name is owned by another than the user, or one more user id."""
    if status.st_uid not in (user.pw_uid, *more):
        # What the user shares, such as /home, is root's; -h, as it may be a link.
        is_own = not more or path.startswith(user.pw_dir) or user.pw_name in path.split("/")
        run = f"run: chown -h {user.pw_name if is_own else 'root'} {path}"
        raise Failure(SECRET_UNSAFE, f"{path} is owned by user id {status.st_uid}; {run}")


def _has_access_list(folder: int) -> bool:
    try:
        posix.getxattr(f"/proc/self/fd/{folder}", "system.posix_acl_access")
    except OSError as failure:
        return failure.errno not in (ENODATA, ENOTSUP)
    return True
