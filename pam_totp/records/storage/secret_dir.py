# SPDX-License-Identifier: MIT
"""Where a user's secret files lie, and how one is opened: the folder first, then the name in it.

- Every name MUST be opened relative to the descriptor of its folder, and what is opened MUST be
  checked on that same descriptor.
- Nobody else MUST be able to move away what lies there (pam_totp.records.storage.walk).
- "Not there" MUST be proven: a name that is not there, in a folder of a home that is, and that is
  not locked (pam_totp.records.storage.encryption). The folder MUST be the user's own: an empty one
  of root's may be a mount point. System accounts are spared that, as their homes are often root's.
  Every other failure is a refusal.
"""

import posix
import pwd

from pam_totp.records.host.account import ActingAs
from pam_totp.records.storage import checked_file, encryption
from pam_totp.records.storage.checked_file import OPEN_TO_OTHERS, WRITABLE_BY_OTHERS, Checks
from pam_totp.records.storage.walk import ODD, Walk, refuse_owner
from pam_totp.rules.reasons import SECRET_MALFORMED, SECRET_MISSING, SECRET_UNSAFE, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from pam_totp.rules.credential import Credential

    Found = TypeVar("Found")

SECRET_DIR = (".config", "pam-totp")
SECRET = "secret"
STORES = ("user", "system")
STATE_DIR = "/var/lib/pam-totp"
SYSTEM_STORE = "secrets"
MAX_BYTES = 64 * 1024
# Whose home may be root's: Debian's UID_MIN (login.defs(5)), not read at each login, and nobody.
_FIRST_PERSON, _NOBODY = 1000, 65534


def stores_of(account: pwd.struct_passwd) -> tuple[str, ...]:
    """The stores that can hold the account's files: not every name can be that of a folder."""
    name = account.pw_name
    return STORES[:1] if "/" in name or name in ("", ".", "..") else STORES


def read_file(folder: int, name: str, secret_dir: "SecretDir") -> bytes:
    """The bytes of a file in the open folder. Raises Failure or OSError."""
    checks = Checks(
        owner=secret_dir.owner.pw_uid,
        owner_name=secret_dir.owner.pw_name,
        forbidden_mode=OPEN_TO_OTHERS,
        max_bytes=MAX_BYTES,
        unsafe=SECRET_UNSAFE,
        too_large=SECRET_MALFORMED,
    )
    return checked_file.read(folder, name, f"{secret_dir.path}/{name}", checks)


class SecretDir:
    """The folder of one account's secret files, which are the owner's. `acting`: to be entered
    (`with`), to act as the owner."""

    __slots__ = ("_names", "_top", "account", "acting", "owner", "path")

    def __init__(self, account: pwd.struct_passwd, store: str = "user") -> None:
        self.account = self.owner = account
        self._top = account.pw_dir
        self._names: tuple[str, ...] = SECRET_DIR
        if store != "user":
            if store not in stores_of(account):
                raise Failure(SECRET_UNSAFE, "the user name cannot be used as a directory name")
            self.owner = pwd.struct_passwd(("root", "x", 0, 0, "", "/root", ""))
            self._top, self._names = f"{STATE_DIR}/{SYSTEM_STORE}", (account.pw_name,)
        self.path = "/".join((self._top, *self._names))
        # Root needs none, so looks once.
        self.acting = ActingAs(account=self.owner, all_groups=self.owner.pw_uid == 0)

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None if it is proven not to be there. Raises Failure."""
        return self.look(name, read_file)

    def credentials(self) -> "list[Credential] | None":
        """The credentials in the secret file, at least one; None if the account is proven not to be
        enrolled. Raises Failure for everything else."""
        content = self.look(SECRET, read_file)
        if content is None:
            return None
        from pam_totp.rules.credential import parse_file  # the gate never reads one

        credentials, faults = parse_file(content)
        if not credentials:
            fault = next(iter(faults), "no credential in the file")
            raise Failure(SECRET_MALFORMED, f"{self.path}/{SECRET}: {fault}")
        return credentials

    def look(self, name: str, look: "Callable[[int, str, SecretDir], Found]") -> "Found | None":
        """What `look` finds at a name in the open folder, None if it is proven not to be there.
        Raises Failure."""
        try:
            with self.acting:
                folder = self.open()
                if folder is None:
                    return None
                with checked_file.Opened(folder):
                    try:
                        return look(folder, name, self)
                    except FileNotFoundError:
                        self._prove_absent(folder, self.path, name)
                        return None
        except OSError as failure:
            # Supplementary groups cost a look-up of all groups, and few homes need them.
            if isinstance(failure, PermissionError) and not self.acting.all_groups:
                self.acting.all_groups = True
                return self.look(name, look)
            detail = f"{self.path}/{name}: {posix.strerror(failure.errno or 0)}"
            raise Failure(SECRET_UNSAFE, detail) from None

    def open(self, *, even_if_unsafe: bool = False) -> int | None:
        """A descriptor of the folder, None if it is proven not to be there. Call it as the owner.
        Raises OSError or Failure; `even_if_unsafe`: even if others can write to it, to remove."""
        if not self._top.startswith("/"):
            raise Failure(SECRET_UNSAFE, f"the home {self._top!a} does not begin with /")
        walk, arrived = Walk(user=self.owner, is_checked=not even_if_unsafe), False
        try:
            self._go_to_top(walk, follow=self._names is SECRET_DIR)
            for name in self._names:
                links = walk.links
                try:
                    # .config may be a link, as many people have it. Our own folder must not be one.
                    walk.go(name, follow=name is SECRET_DIR[0])
                except FileNotFoundError:
                    if walk.links > links:
                        detail = f"{self._top}/{name} is a dangling symlink; remove it"
                        raise Failure(SECRET_UNSAFE, detail) from None
                    self._prove_absent(walk.folder, walk.path or "/", name, even_if_unsafe)
                    return None
            if not even_if_unsafe:
                status = posix.fstat(walk.folder)
                refuse_owner(status, self.path, self.owner)
                if status.st_mode & WRITABLE_BY_OTHERS:
                    detail = f"{self.path} is writable by others; run: chmod go-w {self.path}"
                    raise Failure(SECRET_UNSAFE, detail)
            arrived = True
            return walk.folder
        except FileNotFoundError:
            raise Failure(SECRET_MISSING, f"{self._top} does not exist") from None
        finally:
            if walk.folder >= 0 and not arrived:
                posix.close(walk.folder)

    def _go_to_top(self, walk: Walk, *, follow: bool) -> None:
        walk.go(self._top, follow=follow)

    def _prove_absent(self, folder: int, path: str, name: str, unsafe: bool = False) -> None:
        """Raises Failure or OSError where a name that was not found may be there all the same."""
        path, uid, found = path.translate(ODD), self.owner.pw_uid, posix.fstat(folder).st_uid
        if found != uid >= _FIRST_PERSON and uid != _NOBODY and not unsafe:
            run = f"run: chown -h {self.owner.pw_name} {path}"
            run = "is the home mounted?" if name == self._names[0] else run
            raise Failure(SECRET_MISSING, f"{path} is owned by user id {found}; {run}")
        is_locked = encryption.is_locked(folder)
        try:  # once more: it may have been unlocked since the name was not found
            if not is_locked:
                posix.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return
        raise Failure(SECRET_MISSING, f"{path} is encrypted and locked; unlock it")
