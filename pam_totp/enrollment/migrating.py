# SPDX-License-Identifier: MIT
"""Moving the secret and the recovery codes of one user from one folder to another.

- All files MUST be in place, whole, before the first is removed: a kill leaves what the next run
  finishes.
- What is removed MUST be what was moved: a user may enroll at that moment.
"""

from pam_totp import repair
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.identity import caller
from pam_totp.errors import Error, quoted
from pam_totp.records.host import action_log
from pam_totp.records.storage import secret_removal, secret_writer, state_dir
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import recovery, secret
from pam_totp.signals import finish_undisturbed, later


def move(
    source: SecretDir, target: SecretDir, active: str, *, is_last: bool = False
) -> list[dict[str, str]]:
    """Moves every file: all are there, whole, before the first is removed here. Raises Error or
    Failure: then what is in place is active, and the next run goes on. Raises KeyboardInterrupt at
    the end, unless no other user follows: then the command says what was done, and ends."""
    moved: list[dict[str, str]] = []
    found, new = _what_to_move(source, target)
    if not found:
        return []
    if is_last:
        finish_undisturbed()
    forget_mark(target.account)
    try:
        with later():
            _save(target, new, active)
            secret_removal.remove_unchanged(source, found)
            for name, _ in found:
                moved.append(
                    {
                        "user": target.account.pw_name,
                        "from": f"{source.path}/{name}",
                        "to": f"{target.path}/{name}",
                    }
                )
            secret_removal.remove_empty_folder(source)
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), target.path)
        raise Error(f"cannot move the secret: {fault}", hint) from None
    return moved


def _save(target: SecretDir, new: list[tuple[str, bytes]], active: str) -> None:
    """Saves what is new there, if a command that was interrupted has not done so; what is active
    then is in the log. Raises OSError or Failure."""
    unsynced = None
    try:
        if new:
            secret_writer.save(target, new, (new[-1][0], None))
    except state_dir.Unsynced as failure:
        unsynced = failure
    action_log.write(f"migrate-to-{active}", user=target.account.pw_name, by=caller())
    if unsynced is not None:
        raise unsynced


def _what_to_move(
    source: SecretDir, target: SecretDir
) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """The files of the source; and what the target does not have of them, the secret
    last: it is of no use without its recovery codes. Raises Error if the target has another one, or
    Failure."""
    found, new = list[tuple[str, bytes]](), list[tuple[str, bytes]]()
    for name in (secret.NAME, recovery.NAME):
        content = source.read(name)
        if content is None:
            continue
        existing = target.read(name)
        if existing is None:
            new.insert(0, (name, content))
        elif existing != content:
            message = f"{target.path}/{name} exists and differs; nothing was changed"
            paths = f"{source.path}/{name}", f"{target.path}/{name}"
            raise Error(message, f"diff {' '.join(map(quoted, paths))}")
        found.append((name, content))
    return found, new
