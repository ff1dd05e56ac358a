# SPDX-License-Identifier: MIT
"""The files of a recorded change: all of them the new ones, or all of them the old ones again.

- sshd's settings MUST come first and the PAM files last, both ways: settings do nothing until sshd
  reads them, and a PAM file counts from the next login on. So until the first PAM file is renamed
  every login is as it was, and sshd is told within the moment after the last one.
- The old files MUST come back whatever fails on the way: what one file refuses keeps no other.
"""

from collections.abc import Callable

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.setup import journal, place, reload, undo
from pam_totp.setup.change import FileChange
from pam_totp.setup.record import Record

PAM = ("/etc/pam.d/", "/usr/lib/pam.d/", "/etc/pam.conf")


def refuse_if_changed(file: FileChange, target: str) -> None:
    """Raises Error where a file is not what the change was made for."""
    try:
        found = place.content_of(target)
    except OSError as failure:
        raise Error(*repair.split(f"{target}: {failure.strerror}", target)) from None
    if found != file.before:
        raise Error(f"{file.path} was changed meanwhile", "run the command again")


def stage(record: Record) -> None:
    """Both contents of every file are on the disk, beside it. Raises OSError."""
    for file, target in record.files:
        like = place.attributes_of(target, file.mode)
        if file.before is not None:
            place.stage(target, "old", file.before, like, is_old=True)
        if file.after is not None:
            place.stage(target, "new", file.after, like)


def put(record: Record, check: Callable[[], None] | None) -> str:
    """Every file is the new one, and sshd has read its settings: what was done about that, in a
    sentence. Raises OSError or Error."""
    is_tested = not record.change.reloads_sshd
    for file, target in _in_order(record.files):
        if _is_pam(file) and not is_tested:
            reload.test_settings()
            is_tested = True
        refuse_if_changed(file, target)
        if file.after is None:
            place.remove(target)
        else:
            place.move_in(target, "new")
    if not is_tested:
        reload.test_settings()
    if check is not None:
        check()
    return reload.reload_sshd() if record.change.reloads_sshd else ""


def is_in(record: Record) -> bool:
    """Whether no file is as it was before the change. Raises OSError."""
    return all(place.content_of(target) != file.before for file, target in record.files)


def take_back(record: Record, *, reloads: bool) -> list[str]:
    """Every file is the old one, and sshd has read its settings, if it `reloads`; what was done, in
    sentences. Raises Error, after all that could be done."""
    said: list[str] = []
    faults: list[Error] = []
    for file, target in _in_order(record.files[::-1]):
        try:
            said += _take_back_file(record, file, target)
        except OSError as failure:
            fault, hint = repair.split(f"{target}: {failure.strerror}", target)
            faults.append(Error(f"cannot take back {fault}", hint))
    if reloads and reload.is_listening():
        try:
            reload.test_settings()
            said.append(reload.reload_sshd())
        except Error as fault:
            is_told = not isinstance(fault, reload.NotTold)
            because = "sshd was not reloaded: " if is_told else ""
            faults.append(Error(f"{because}{fault.message}", fault.hint))
    if faults:
        raise faults[0]
    return said


def clear_away(record: Record) -> None:
    """Removes what was staged."""
    for target in record.targets:
        place.clear_away(target)


def _in_order(files: list[tuple[FileChange, str]]) -> list[tuple[FileChange, str]]:
    """Settings, then PAM's files, each in the order that they have."""
    return sorted(files, key=lambda each: _is_pam(each[0]))


def _is_pam(file: FileChange) -> bool:
    return file.path.startswith(PAM)


def _take_back_file(record: Record, file: FileChange, target: str) -> list[str]:
    found = place.content_of(target)
    undone = undo.undo(file, found)
    if undone.how == undo.NOTHING:
        return []
    if undone.how == undo.LEFT:
        return [f"{file.path} was changed by somebody else, and was left as it is."]
    said = f"{file.path} is as it was before."
    if undone.how == undo.FORCED and found is not None:
        said += _keep_copy(record, target, found)
    if undone.how == undo.MERGED:
        said = f"{file.path} is without the change; what somebody else edited since was kept."
    if undone.content is None:
        place.remove(target)
    elif _has_copy(target, undone.content):
        place.move_in(target, "old")
    else:
        place.stage(target, "back", undone.content, place.attributes_of(target, file.mode))
        place.move_in(target, "back")
    return [said]


def _has_copy(target: str, content: bytes) -> bool:
    try:
        return place.content_of(place.staged(target, "old")) == content
    except OSError:
        return False


def _keep_copy(record: Record, target: str, found: bytes) -> str:
    try:
        return f" What somebody else edited since is in {journal.keep_copy(record, target, found)}."
    except OSError as failure:
        # To get in again comes first.
        return f" What somebody else edited since could not be kept: {failure.strerror}."
