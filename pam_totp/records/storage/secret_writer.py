"""Writing a user's secret files, as their owner.

- What a login would refuse MUST NOT take its name: each temporary file is read by the code that
  reads it at a login first. File systems that set owner and mode themselves (CIFS, exFAT, 9p, some
  FUSE) give a file that is open to others, whatever it was made with.
"""

import errno
import fcntl
import os

from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import SECRET, SecretDir, read_file
from pam_totp.rules.reasons import SECRET_UNSAFE, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


GIT_IGNORE, TRIED = ".gitignore", f"{SECRET}{state_dir.TEMPORARY}tried-"


class Unusable(Failure):
    """The file system there gives new files an owner or a mode that a login refuses."""


class Changed(Exception):
    """A file is not any more what it was when its new content was made."""


def save(secret_dir: SecretDir, name: str, content: bytes) -> None:
    """Replaces one file of the folder, whole and durably. Raises OSError or Failure: then the old
    one is as it was."""
    save_all(secret_dir, [(name, content)])


def save_all(
    secret_dir: SecretDir,
    files: list[tuple[str, bytes]],
    over: tuple[str, bytes | None] | None = None,
) -> None:
    """Replaces files of the place, in this order, once all of them are on the disk. Raises OSError
    (state_dir.replace_all), Failure or Changed. `over`: a name and the content, or None, it has."""
    secret_dir.acting.all_groups = True
    with secret_dir.acting:
        open_folder = _open_made(secret_dir, [])
        try:
            if over is not None:
                _lock(open_folder)
                if _content(open_folder, over[0], secret_dir) != over[1]:
                    raise Changed
            for left in os.listdir(open_folder):
                if left.startswith((TRIED, *(name + state_dir.TEMPORARY for name, _ in files))):
                    unlink(open_folder, left)  # of a command that was killed
            state_dir.replace_all(open_folder, files, prover(open_folder, secret_dir))
            if secret_dir.owner is secret_dir.account:
                _keep_out_of_git(open_folder)
        finally:
            _close(open_folder)


def try_out(secret_dir: SecretDir, size: int) -> None:
    """Saves a file of this size there, looks at it as a login will, and removes it again with the
    folders that were not there. Raises OSError or Failure where a secret could not be saved."""
    secret_dir.acting.all_groups = True
    with secret_dir.acting:
        made: list[str] = []
        try:
            folder = _open_made(secret_dir, made)
            try:
                _refuse_unchangeable(folder)
                content, temporary = bytes(size), TRIED + os.urandom(8).hex()
                try:
                    state_dir.write(folder, temporary, content)
                    prover(folder, secret_dir)(temporary, SECRET, content)
                except FileNotFoundError:
                    pass  # a command that saves there at this moment has cleared it away
                finally:
                    unlink(folder, temporary)
            finally:
                _close(folder)
        finally:
            for path in reversed(made):
                remove_empty(path)


def _open_made(secret_dir: SecretDir, made: list[str]) -> int:
    """A descriptor of the place's folder, which is made if it is not there, as is the one above:
    `made` gets what was. Raises OSError or Failure."""
    for path in (os.path.dirname(secret_dir.path), secret_dir.path):
        try:
            os.mkdir(path, 0o700)
            made.append(path)
        except FileExistsError:
            pass
    checked = secret_dir.open()
    if checked is None:
        raise Failure(SECRET_UNSAFE, f"{secret_dir.path} went away; run the command again")
    try:  # the checked one is only a handle: it cannot be synced or listed
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=checked)
    finally:
        os.close(checked)


def _refuse_unchangeable(folder: int) -> None:
    """Raises OSError where no new file can take the name: chattr(1), `i` or `a`."""
    try:
        os.close(os.open(SECRET, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder))
    except OSError as failure:
        if failure.errno == errno.EPERM:
            raise


def prover(folder: int, secret_dir: SecretDir) -> "Callable[[str, str, bytes], None]":
    """What looks at a new file in the place's open folder as a login will, and raises Failure."""

    def prove(temporary: str, name: str, content: bytes) -> None:
        try:
            if read_file(folder, temporary, secret_dir) == content:
                return
            fault = "has another content than was written"
        except Failure as refused:
            said = refused.detail.removeprefix(f"{secret_dir.path}/{temporary} ")
            fault = said.partition("; ")[0]
        path = f"{secret_dir.path}/{name}"
        detail = f"{path} would be refused at a login, as a new file there {fault}"
        raise Unusable(SECRET_UNSAFE, f"{detail}: the file system sets owner and mode itself")

    return prove


def _keep_out_of_git(folder: int) -> None:
    """`~/.config` is often a repository of dotfiles: nothing of ours may get into it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        file = os.open(GIT_IGNORE, flags, 0o600, dir_fd=folder)
        try:
            os.write(file, b"*\n")
        finally:
            os.close(file)
    except OSError:
        pass  # it is there, or the disk is full


def _lock(folder: int) -> None:
    """Until the folder is closed no other command saves over what it has read. Raises Failure."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failure(SECRET_UNSAFE, "another command is saving there; try again") from None
    except OSError:
        pass  # NFS locks no folder: two commands must then meet within the same moment


def _content(folder: int, name: str, secret_dir: SecretDir) -> bytes | None:
    try:
        return read_file(folder, name, secret_dir)
    except FileNotFoundError:
        return None


def _close(folder: int) -> None:
    try:
        os.close(folder)
    except OSError:
        pass  # it was only read from: nothing can be lost


def unlink(folder: int, name: str) -> bool:
    """Removes a name; whether it was there. Raises OSError."""
    try:
        os.unlink(name, dir_fd=folder)
        return True
    except FileNotFoundError:
        return False


def remove_empty(path: str) -> None:
    """Removes a folder if nothing is left in it but our .gitignore."""
    try:
        if os.listdir(path) == [GIT_IGNORE]:
            os.unlink(f"{path}/{GIT_IGNORE}")
        os.rmdir(path)
    except OSError:
        pass  # something is in it, of the user's or of another command, or it is not there
