"""Writing and removing a user's secret files, as the owner of their place. Never at login."""

import fcntl
import os

from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import SecretDir, read_file
from pam_totp.rules.reasons import SECRET_UNSAFE, Failure


class Changed(Exception):
    """A file is not any more what it was when its new content was made."""


def save(place: SecretDir, name: str, content: bytes) -> None:
    """Replaces one file of the place, whole and durably. Raises OSError or Failure: then the old
    one is as it was."""
    save_all(place, [(name, content)])


def save_all(
    place: SecretDir, files: list[tuple[str, bytes]], over: tuple[str, bytes | None] | None = None
) -> None:
    """Replaces files of the place, in this order, once all of them are on the disk. Raises OSError
    (durable.replace_all), Failure or Changed. `over`: a name and the content, or None, it has."""
    place.acting.all_groups = True
    with place.acting:
        for folder in (os.path.dirname(place.path), place.path):
            try:
                os.mkdir(folder, 0o700)
            except FileExistsError:
                pass
        checked = place.open()
        if checked is None:
            raise Failure(SECRET_UNSAFE, f"{place.path} went away")
        try:  # the checked one is only a handle: it cannot be synced or listed
            open_folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=checked)
        finally:
            os.close(checked)
        try:
            if over is not None:
                _lock(open_folder)
                if _content(open_folder, over[0], place) != over[1]:
                    raise Changed
            for left in os.listdir(open_folder):
                if left.startswith(tuple(name + state_dir.TEMPORARY for name, _ in files)):
                    # by a command that was killed
                    os.unlink(left, dir_fd=open_folder)
            state_dir.replace_all(open_folder, files)
        finally:
            _close(open_folder)


def _lock(folder: int) -> None:
    """Until the folder is closed no other command saves over what it has read. Raises Failure."""
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Failure(SECRET_UNSAFE, "another command is saving there") from None
    except OSError:
        pass  # NFS locks no folder: two commands must then meet within the same moment


def _content(folder: int, name: str, place: SecretDir) -> bytes | None:
    try:
        return read_file(folder, name, place)
    except FileNotFoundError:
        return None


def _close(folder: int) -> None:
    try:
        os.close(folder)
    except OSError:
        pass  # it was only read from: nothing can be lost


def remove(place: SecretDir, name: str) -> bool:
    """Removes one file of the place; whether it was there. Raises OSError or Failure."""
    place.acting.all_groups = True
    with place.acting:
        folder = place.open(even_if_unsafe=True)
        if folder is None:
            return False
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return False
        finally:
            os.close(folder)
    return True


def remove_empty_folder(place: SecretDir) -> None:
    """Removes the place's folder if nothing is left in it."""
    place.acting.all_groups = True
    with place.acting:
        try:
            os.rmdir(place.path)
        except OSError:
            pass  # something of the user's is in it, or it is not there
