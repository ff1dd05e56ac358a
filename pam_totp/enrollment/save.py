# SPDX-License-Identifier: MIT
"""Saving for a person at a terminal: what failed, and where to look."""

import errno
import os
import stat

from pam_totp import repair
from pam_totp.enrollment import closed_home
from pam_totp.errors import Error, again, command
from pam_totp.records.storage import secret_writer
from pam_totp.records.storage.secret_dir import MAX_BYTES, SecretDir
from pam_totp.records.storage.secret_writer import Changed, Known
from pam_totp.records.storage.state_dir import Halfway, Unsynced
from pam_totp.records.user import recovery, secret
from pam_totp.rules.reasons import Failure
from pam_totp.rules.repair_for_root import repair_for_root
from pam_totp.signals import finish_undisturbed

_CALLED = {secret.NAME: "the secret", recovery.NAME: "the recovery codes"}

UNSEEN_CODES = "the old recovery codes are void, and the new ones were not shown"
TRIED_BYTES = 4096  # a block of most file systems; secret and recovery codes take one each
_NOTHING = "; nothing was changed"
TWO_WAYS_OUT = (
    "mount it with options that give {user}'s files the mode 0600 (uid=, umask=077), or keep "
    "secrets outside the homes (store: system, see pam-totp.yaml(5))"
)


class TookEffect(Error):
    """What was saved is active, but something else failed. `codes`: the new recovery codes are
    active too."""

    codes = True


def existing_content(secret_dir: SecretDir) -> bytes | None:
    """What the secret file holds, None without one. Raises Error where a login would not read it:
    on such a file nothing is built."""
    try:
        return secret_dir.read(secret.NAME)
    except Failure as refused:
        fault, hint = with_repair(refused.detail, secret_dir)
        message = f"the secret cannot be used: {fault}; nothing was changed"
        raise Error(message, hint) from None


def try_out(secret_dir: SecretDir, *names: str) -> None:
    """Raises Error where files of these names could not be saved together: before anybody is asked,
    or scans anything that would be of no use."""
    called = _CALLED[names[-1]]
    try:
        secret_writer.try_out(secret_dir, *(TRIED_BYTES for _ in names))
        with secret_dir.acting:
            for name in names:
                called = _CALLED[name]
                _refuse_unchangeable(f"{secret_dir.path}/{name}")
    except Failure as refused:
        raise refusal(called, refused, secret_dir) from None
    except OSError as failure:
        raise _unsaved(called, failure.strerror or str(failure), secret_dir) from None


def _refuse_unchangeable(path: str) -> None:
    """Raises OSError where no new file can take the name: chattr(1), `i` or `a`."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
    except OSError as failure:
        if failure.errno == errno.EPERM:
            raise


def save(
    secret_dir: SecretDir,
    name: str,
    content: bytes,
    over: Known | None = None,
) -> None:
    """Replaces one file of the secret_dir. Raises Error: what it says of the old one is true.

    From here on Ctrl-C is ignored: what is left takes a moment, and is all or nothing.
    """
    failure = _try_to_save(secret_dir, [(name, content)], over)
    if failure:
        raise _unsaved(_CALLED[name], failure, secret_dir)


def save_enrollment(secret_dir: SecretDir, content: bytes, codes: bytes, over: Known) -> None:
    """Replaces the recovery codes and the secret. Raises Error, as `save`.

    Both are on the disk before the first takes its name, and the codes come first: old ones are
    never good beside a new secret. Without old ones a secret is worth having without new ones.
    """
    failure = _try_to_save(secret_dir, [(recovery.NAME, codes), (secret.NAME, content)], over)
    if failure and not _has_no_codes(secret_dir):
        raise _unsaved(_CALLED[secret.NAME], failure, secret_dir)
    if failure:
        save(secret_dir, secret.NAME, content, over)
        message = f"the new secret is active, but without recovery codes: {failure}"
        effect = TookEffect(message, _new_codes(secret_dir))
        effect.codes = False
        raise effect


def _try_to_save(
    secret_dir: SecretDir,
    files: list[tuple[str, bytes]],
    over: Known | None,
) -> str:
    """Empty, or why the system would not save; nothing was changed then. Raises Error."""
    finish_undisturbed()
    name, content = files[-1]
    called = _CALLED[name]
    if len(content) > MAX_BYTES:
        message = f"cannot save {called}: over {MAX_BYTES} bytes{_NOTHING}"
        raise Error(message, f"remove devices: edit {secret_dir.path}/{name}")
    try:
        secret_writer.save(secret_dir, files, over)
        return ""
    except Changed:
        message = f"{called} was changed meanwhile; nothing was changed"
        raise Error(message, again()) from None
    except Unsynced as failure:
        message = f"{called} is active, but a power failure may undo it: {failure.strerror}"
        raise TookEffect(message, "sync") from None
    except Halfway as failure:
        message = f"cannot save {called}: {failure.strerror}; the recovery codes are void"
        raise Error(message, _new_codes(secret_dir)) from None
    except Failure as refused:
        raise refusal(called, refused, secret_dir) from None
    except OSError as failure:
        return failure.strerror or str(failure)


def _new_codes(secret_dir: SecretDir) -> str:
    account = secret_dir.account
    is_own = account.pw_uid == os.getuid()
    return command("recovery-codes", user=None if is_own else account.pw_name)


def refusal(called: str, refused: Failure, secret_dir: SecretDir) -> Error:
    """The error for a folder that a login would refuse; nothing was changed."""
    error = _unsaved(called, refused.detail, secret_dir)
    if isinstance(refused, secret_writer.Unusable):
        error.hint = TWO_WAYS_OUT.format(user=secret_dir.owner.pw_name)
    return error


def _unsaved(called: str, fault: str, secret_dir: SecretDir) -> Error:
    fault, hint = with_repair(fault, secret_dir)
    return Error(f"cannot save {called}: {fault}{_NOTHING}", hint)


def with_repair(fault: str, secret_dir: SecretDir) -> tuple[str, str]:
    """What is wrong with the folder, and what to do about it."""
    account = secret_dir.account
    home = account.pw_dir if secret_dir.owner.pw_uid == os.getuid() else ""
    if os.geteuid() == 0:
        fault = repair_for_root(fault, account)
    said, hint = repair.split(fault, secret_dir.path, home)
    is_of_modes = any(word in said for word in ("owned", "writable", "open to", "denied"))
    if is_of_modes and closed_home.sets_modes(secret_dir):
        hint = TWO_WAYS_OUT.format(
            user=secret_dir.owner.pw_name
        )  # chmod and chown change nothing there
    return said, hint


def _has_no_codes(secret_dir: SecretDir) -> bool:
    """Whether it is proven that no recovery code is good."""

    def is_regular(folder: int, name: str, _: SecretDir) -> bool:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)

    try:
        return not secret_dir.look(recovery.NAME, is_regular)
    except Failure:
        return False
