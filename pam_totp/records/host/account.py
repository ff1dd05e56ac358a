# SPDX-License-Identifier: MIT
"""Accounts of the password database, and acting as one of them.

- Home and identity MUST come from the password database, never from the environment.
- What lies below a home MUST be opened, made and renamed as its user: user id, group id and
  supplementary groups. A root-squashed or FUSE home answers nobody else, and a link planted
  there can then lead nowhere that the user could not go anyway.
"""

import posix
import pwd

from pam_totp.rules.reasons import SECRET_MISSING, SECRET_UNSAFE, Failure
from pam_totp.rules.record import MutableRecord


def find(name: str) -> pwd.struct_passwd:
    """The account called `name`, under the name that its id has: a directory may answer to other
    spellings too. Raises Failure, also where the database does not answer."""
    try:
        return pwd.getpwuid(pwd.getpwnam(name).pw_uid)
    except (KeyError, ValueError):
        raise Failure(SECRET_MISSING, "no such user in the password database") from None


class ActingAs(MutableRecord):
    """A `with` block that runs with the effective identity of an account.

    Root becomes the user and root again; the user itself stays what it is; anyone else is
    refused. Leaving root's identity behind or not getting it back raises: nothing goes on then.
    """

    account: pwd.struct_passwd
    all_groups: bool = False  # with the primary one alone it gets less, never more
    before: tuple[int, list[int]] | None = None

    def __enter__(self) -> None:
        uid = posix.geteuid()
        if uid == self.account.pw_uid:
            return
        if uid != 0:
            raise Failure(SECRET_UNSAFE, f"only root can read files of {self.account.pw_name}")
        self.before = posix.getegid(), posix.getgroups()
        try:
            if self.all_groups:
                posix.initgroups(self.account.pw_name, self.account.pw_gid)
            else:
                posix.setgroups([self.account.pw_gid])
            posix.setegid(self.account.pw_gid)
            posix.seteuid(self.account.pw_uid)
        except OSError:
            self.__exit__()
            raise

    def __exit__(self, *exception: object) -> None:
        if self.before is None:
            return
        group, groups = self.before
        posix.seteuid(0)
        posix.setegid(group)
        posix.setgroups(groups)
