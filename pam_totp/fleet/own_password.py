# SPDX-License-Identifier: MIT
"""The password of a role, replaced by one that only this machine and no line on any paper has.

Two files: FILE, and FILE.new while it is being replaced.

- The new password MUST be on the disk before the store has it: a command that is killed, or whose
  answer is lost, leaves at least one that is good.
- A new password that is on the disk already MUST be used again: whichever of two statements comes
  last, the role then has that one.
- The store MUST get its verifier alone, never the password.
"""

import os
from collections.abc import Callable

import psycopg
from psycopg.rows import TupleRow

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.fleet import join_line, scram
from pam_totp.records.storage import checked_file
from pam_totp.records.storage.state_dir import replace_all
from pam_totp.rules.reasons import Failure

NEW = ".new"
_REFUSED = "password authentication failed"  # as the server says it in the locale that it has
_CHECKS = checked_file.Checks(forbidden_mode=checked_file.OPEN_TO_OTHERS, max_bytes=200)
Connection = psycopg.Connection[TupleRow]
Connect = Callable[[str], Connection]


class Refused(Exception):
    """None of the passwords is the role's."""


def connect_and_replace(
    path: str,
    given: str,
    connect: Connect,
    check: Callable[[Connection], None],
    *,
    set_own: Callable[[Connection, str], None] = scram.set_own,
    again: bool = False,
) -> bool:
    """Connects by the password that was given (empty: none), or by that of one of the files, and
    has FILE hold one that nobody else knows; whether that is another one than before. again:
    replaces one of FILE that is good too.

    check: looks at the store before anything is changed, and raises Error. set_own: gives the role
    that is connected a password. Raises Error, Refused or psycopg.Error.
    """
    kept, new = read(path), read(path + NEW)
    if new and new == kept:  # all was done but this
        os.unlink(path + NEW)
        new = ""
    connection, used = _connect([each for each in (given, kept, new) if each], connect)
    with connection:
        check(connection)
        if used == kept and not again:
            return False
        if not new:
            new = join_line.new_password()
            write(path + NEW, new)
        if used != new:
            _replace(connection, new, connect, set_own)
    write(path, new)
    os.unlink(path + NEW)
    return True


def _replace(
    connection: Connection,
    new: str,
    connect: Connect,
    set_own: Callable[[Connection, str], None],
) -> None:
    try:
        set_own(connection, new)
    except psycopg.OperationalError:  # the answer was lost, so perhaps it was done
        _connect([new], connect)[0].close()


def read(path: str) -> str:
    """The password in a file; empty if there is none. Raises Error."""
    folder, name = os.path.split(path)
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return checked_file.read(opened, name, path, _CHECKS).decode("ascii", "replace").strip()
        finally:
            os.close(opened)
    except FileNotFoundError:
        return ""
    except Failure as failure:
        raise Error(*repair.split(failure.detail, path)) from None
    except OSError as failure:
        raise Error(f"{path}: {failure.strerror}", f"ls -l {path}") from None


def write(path: str, text: str) -> None:
    """Replaces a file of root's with one line, 0600 and durably. Raises Error."""
    folder, name = os.path.split(path)
    try:
        os.makedirs(folder, 0o755, exist_ok=True)
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            replace_all(opened, [(name, f"{text}\n".encode())])
        finally:
            os.close(opened)
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), path)
        raise Error(f"cannot write {path}: {fault}", hint) from None


def _connect(passwords: list[str], connect: Connect) -> tuple[Connection, str]:
    for password in passwords:
        try:
            return connect(password), password
        except psycopg.OperationalError as failure:
            if _REFUSED not in str(failure):
                raise
    raise Refused
