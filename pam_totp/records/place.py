"""Where a user's secret files lie, and how one is opened: the folder first, then the name in it.

- Every name MUST be opened relative to the descriptor of its folder, and what is opened MUST be
  checked on that same descriptor.
- Nobody else MUST be able to move away what lies there (pam_totp.records.shared).
- "Not there" MUST be proven: a name that is not there, in a folder of a home that is. Every other
  failure is a refusal.
- A read MUST be bounded and MUST NOT wait: a FIFO, a device or an endless file gets an answer.
"""

import posix
import pwd

from pam_totp.records.account import ActingAs
from pam_totp.records.shared import refuse_shared
from pam_totp.rules.refusal import SECRET_MALFORMED, SECRET_MISSING, SECRET_UNSAFE, Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = (".config", "pam-totp")
SECRET = "secret"
STORES = ("user", "system")
SYSTEM = "/var/lib/pam-totp"
SYSTEM_FOLDER = "secrets"
MOST_BYTES = 64 * 1024

_FOLDER_FLAGS = posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC
# O_NONBLOCK: opening a FIFO does not wait. O_NOCTTY: opening a terminal does not take it over.
_FILE_FLAGS = (
    posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_NOCTTY | posix.O_CLOEXEC
)
_TYPE, _REGULAR = 0o170000, 0o100000


def stores_of(account: pwd.struct_passwd) -> tuple[str, ...]:
    """The stores that can hold something of the account: its name may be none for a folder."""
    name = account.pw_name
    return STORES[:1] if "/" in name or name in ("", ".", "..") else STORES


class Place:
    """The folder of one account's secret files. Enter it (`with`) to act as its owner there."""

    __slots__ = ("_acting", "account", "owner", "path")

    def __init__(self, account: pwd.struct_passwd, store: str = "user") -> None:
        self.account = account
        self._acting: ActingAs | None = None
        if store == "user":
            self.owner = account.pw_uid
            self.path = "/".join((account.pw_dir, *FOLDER))
            self._acting = ActingAs(account)
        else:
            if store not in stores_of(account):
                raise Refused(SECRET_UNSAFE, "the user's name cannot be that of a folder")
            self.owner = 0
            self.path = "/".join((SYSTEM, SYSTEM_FOLDER, account.pw_name))

    def __enter__(self) -> None:
        if self._acting is not None:
            self._acting.__enter__()
        elif posix.geteuid() != 0:
            raise Refused(SECRET_UNSAFE, "with store: system only root can read secrets")

    def __exit__(self, *exception: object) -> None:
        if self._acting is not None:
            self._acting.__exit__()

    def use_all_groups(self) -> None:
        """From now on acts with the account's supplementary groups too."""
        if self._acting is not None:
            self._acting.all_groups = True

    def read(self, name: str) -> bytes | None:
        """The bytes of a file, None if it is proven not to be there. Raises Refused."""
        content = self._look(name, read_file)
        assert content is None or isinstance(content, bytes)
        return content

    def stat(self, name: str) -> posix.stat_result | None:
        """What the system says of a file, None if it is proven not to be there. Raises Refused."""
        status = self._look(name, _stat_file)
        assert status is None or isinstance(status, posix.stat_result)
        return status

    def _look(self, name: str, look: "Callable[[int, str, int], object]") -> object:
        """What `look` finds at a name in the folder, None if the folder is not there."""
        try:
            try:
                return self._look_once(name, look)
            except PermissionError:
                # Supplementary groups cost a look-up of all groups, and few homes need them.
                if self._acting is None or self._acting.all_groups:
                    raise
                self.use_all_groups()
                return self._look_once(name, look)
        except OSError as failure:
            detail = f"{self.path}/{name}: {posix.strerror(failure.errno or 0)}"
            raise Refused(SECRET_UNSAFE, detail) from None

    def _look_once(self, name: str, look: "Callable[[int, str, int], object]") -> object:
        with self:
            folder = self.open()
            if folder is None:
                return None
            try:
                return look(folder, name, self.owner)
            except FileNotFoundError:
                return None
            finally:
                posix.close(folder)

    def open(self, *, even_if_unsafe: bool = False) -> int | None:
        """A descriptor of the folder, None if it is proven not to be there. Call it inside of
        `with`. Raises OSError or Refused; `even_if_unsafe`, to remove, whoever else may write."""
        names: tuple[str, ...]
        if self._acting is None:
            top, names, group = f"{SYSTEM}/{SYSTEM_FOLDER}", (self.account.pw_name,), "root"
        else:
            top, names, group = self.account.pw_dir, FOLDER, self.account.pw_name
        try:  # a home may be a link, as its administrator made it; the store is none
            folder = posix.open(top, _FOLDER_FLAGS | (0 if self._acting else posix.O_NOFOLLOW))
        except FileNotFoundError:
            raise Refused(SECRET_MISSING, f"{top} is not there") from None
        path = top
        for name in names:
            # .config may be a link, as many keep theirs elsewhere; it is followed as the user only,
            # and what is found there must be the user's own. What is ours is never a link.
            follow = 0 if name == FOLDER[0] else posix.O_NOFOLLOW
            parent = folder
            try:
                if not even_if_unsafe:
                    refuse_shared(posix.fstat(parent), path, self.owner, group)
                path += f"/{name}"
                folder = posix.open(name, _FOLDER_FLAGS | follow, dir_fd=parent)
            except FileNotFoundError:
                if _is_there(name, parent):
                    raise Refused(SECRET_UNSAFE, f"{name} leads nowhere") from None
                return None
            finally:
                posix.close(parent)
        status = posix.fstat(folder)
        is_safe = status.st_uid == self.owner and not status.st_mode & 0o022
        if not is_safe and not even_if_unsafe:
            posix.close(folder)
            raise Refused(SECRET_UNSAFE, f"{self.path} is not its owner's alone to write")
        return folder


def _is_there(name: str, folder: int) -> bool:
    """Whether the name itself exists: a link that leads nowhere does."""
    try:
        posix.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _stat_file(folder: int, name: str, _owner: int) -> posix.stat_result:
    return posix.stat(name, dir_fd=folder, follow_symlinks=False)


def read_file(folder: int, name: str, owner: int) -> bytes:
    """The bytes of a file in the open folder. Raises Refused or OSError."""
    file = posix.open(name, _FILE_FLAGS, dir_fd=folder)
    try:
        status = posix.fstat(file)
        if status.st_mode & _TYPE != _REGULAR:
            raise Refused(SECRET_UNSAFE, f"{name} is no regular file")
        if status.st_uid != owner or status.st_mode & 0o077:
            raise Refused(SECRET_UNSAFE, f"{name} is not its owner's alone: chmod 600")
        content = b""
        while len(content) <= MOST_BYTES:
            chunk = posix.read(file, MOST_BYTES + 1)
            if not chunk:
                return content
            content += chunk
        raise Refused(SECRET_MALFORMED, f"{name} is over {MOST_BYTES} bytes")
    finally:
        posix.close(file)
