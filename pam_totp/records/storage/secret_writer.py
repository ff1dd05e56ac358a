# SPDX-License-Identifier: MIT
"""Writing a user's secret files, as their owner.

- What a login would refuse MUST NOT take its name: each temporary file is read by the code that
  reads it at a login first. File systems that set owner and mode themselves (CIFS, exFAT, 9p, some
  FUSE) give a file that is open to others, whatever it was made with.
- What makes or removes a file here MUST hold the folder's lock: a temporary one may be another's.
"""

import fcntl
import os
from contextlib import ExitStack, suppress

from pam_totp.records.storage.checked_file import OPEN_TO_OTHERS, Opened
from pam_totp.records.storage.secret_dir import SECRET, SecretDir, read_file
from pam_totp.records.storage.state_dir import TEMPORARY, Unsynced, replace_all
from pam_totp.rules.reasons import SECRET_UNSAFE, Failure

# A file's name, and what it held when its new content was made (None: it was not there).
Known = tuple[str, bytes | None]
GIT_IGNORE, TRIED = ".gitignore", f"{SECRET}{TEMPORARY}tried"


class Unusable(Failure):
    """The file system there gives new files an owner or a mode that a login refuses."""


class Changed(Failure):
    """A file is not any more what it was when its new content was made."""


def save(secret_dir: SecretDir, files: list[tuple[str, bytes]], over: Known | None = None) -> None:
    """Replaces files of the folder, whole and durably, in this order, once all of them are on the
    disk. Raises OSError (state_dir.replace_all), Failure or Changed. `over`: what one
    of them must still be."""
    with ExitStack() as until_saved:
        folder = open_locked(secret_dir, until_saved)
        if over is not None and content_of(folder, over[0], secret_dir) != over[1]:
            raise Changed(SECRET_UNSAFE, f"{secret_dir.path}/{over[0]} was changed meanwhile")
        _clear_away(folder, *(name + TEMPORARY for name in (GIT_IGNORE, *dict(files))))
        replace_all(folder, files, lambda *made: _prove(folder, secret_dir, *made))
        # `~/.config` is often a repository of dotfiles: nothing of ours may get into it.
        if secret_dir.owner is secret_dir.account:
            with suppress(OSError, Failure):  # the disk is full, or it is the user's own
                if not content_of(folder, GIT_IGNORE, secret_dir):
                    replace_all(folder, [(GIT_IGNORE, b"*\n")])


def try_out(secret_dir: SecretDir, *sizes: int) -> None:
    """Saves files of these sizes there, all at once, as `save` does; and removes them again.
    Raises OSError or Failure where they could not be saved."""
    files = [(f"{TRIED}{number}", bytes(size)) for number, size in enumerate(sizes)]
    # Unsynced: said when the secret is saved, and is active all the same.
    with suppress(Unsynced), ExitStack() as until_tried:
        folder = open_locked(secret_dir, until_tried)
        until_tried.callback(_clear_away, folder, TRIED)
        replace_all(folder, files, lambda new, _: _prove(folder, secret_dir, new))


def open_locked(secret_dir: SecretDir, opened: ExitStack) -> int:
    """A descriptor of the folder. Until `opened` ends this process acts as the owner, and no other
    command saves there. The folder is made if it is not there, as is the one above; at the end,
    one that was made and is empty is removed. Raises OSError or Failure."""
    secret_dir.acting.all_groups = True
    opened.enter_context(secret_dir.acting)
    for path in (os.path.dirname(secret_dir.path), secret_dir.path):
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)
            opened.callback(_remove_if_empty, path)
    checked = secret_dir.open()
    if checked is None:
        raise Failure(SECRET_UNSAFE, f"{secret_dir.path} went away; run the command again")
    with Opened(checked):  # it is only a handle, which cannot be synced or listed
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=checked)
    # Closed without an error: what was saved is on the disk.
    opened.callback(os.closerange, folder, folder + 1)
    _lock(folder)
    return folder


def _remove_if_empty(path: str) -> None:
    with suppress(OSError):
        os.rmdir(path)


def _lock(folder: int) -> None:
    """Until the folder is closed no other command saves there. Raises Failure."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as failure:
        # NFS locks no folder; and one that is open to others is a stranger's to lock, who keeps
        # nobody out. Two commands must then meet within the same moment.
        is_held = isinstance(failure, BlockingIOError)
        if is_held and not os.fstat(folder).st_mode & OPEN_TO_OTHERS:
            raise Failure(SECRET_UNSAFE, "another command is saving there; try again") from None


def content_of(folder: int, name: str, secret_dir: SecretDir) -> bytes | None:
    with suppress(FileNotFoundError):
        return read_file(folder, name, secret_dir)
    return None


def _prove(folder: int, secret_dir: SecretDir, temporary: str, name: str = SECRET) -> None:
    """Looks at a new file in the open folder as a login will. Raises Failure."""
    try:
        read_file(folder, temporary, secret_dir)
    except Failure as refused:
        said = refused.detail.removeprefix(f"{secret_dir.path}/{temporary} ").partition("; ")[0]
        detail = f"{secret_dir.path}/{name} would be refused at a login, as a new file there {said}"
        detail += ": the file system sets owner and mode itself"
        raise Unusable(SECRET_UNSAFE, detail) from None


def _clear_away(folder: int, *beginnings: str) -> None:
    """Removes what a command that was killed has left. One name after another: the folder is the
    user's, who may fill it, and the memory root's."""
    with os.scandir(folder) as names:
        for name in (each.name for each in names if each.name.startswith(beginnings)):
            os.unlink(name, dir_fd=folder)
