# SPDX-License-Identifier: MIT
"""Changing root's record of where codes are sent.

- Two users MUST NOT have one address: who of them has logged in would not be known.
- What is checked against the contacts of others MUST be written before another command changes any;
  a login of the user, which may confirm a contact, MUST wait meanwhile.
- A contact of which a code has come back MUST stay confirmed if it is recorded again.
"""

import pwd
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager

from pam_totp import repair
from pam_totp.enrollment.asked import forget_mark
from pam_totp.enrollment.identity import caller
from pam_totp.errors import Error, command
from pam_totp.records.host import action_log
from pam_totp.records.storage.checked_file import Opened
from pam_totp.records.storage.lock import lock
from pam_totp.records.storage.state_dir import VAR, Unsynced
from pam_totp.records.user import contact_list, contacts
from pam_totp.records.user.attempts import Attempts
from pam_totp.records.user.contacts import Contact
from pam_totp.rules.masked import masked
from pam_totp.rules.policy import SENT
from pam_totp.rules.reasons import Failure

FOLDER = f"{VAR.path}/{contacts.KIND}"
SECONDS_TO_LOCK = 5.0
UNCHANGED = "; nothing was changed"

Contacts = dict[str, Contact]  # by kind
New = Mapping[str, Contact | None]  # by kind; None: is removed
Taken = dict[tuple[str, str], str]  # kind and address: of which user


@contextmanager
def explained(user: str) -> Iterator[None]:
    """Turns what goes wrong in the block into Error."""
    try:
        yield
    except Unsynced as failure:
        message = f"the change was made, but a power failure may undo it: {failure.strerror}"
        raise Error(message, "sync") from None
    except Failure as failure:
        fault, hint = repair.split(failure.detail, FOLDER)
        if hint.startswith("pam-totp contact "):
            hint = command("contact", user, options=["--remove"])
        raise Error(f"{fault}{UNCHANGED}", hint) from None
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), FOLDER)
        raise Error(f"{FOLDER}: {fault}{UNCHANGED}", hint) from None


@contextmanager
def alone() -> Iterator[None]:
    """Within the block no other command changes contacts. Raises Error."""
    with explained(""):
        folder = VAR.open(contacts.KIND, make=True)
    assert folder is not None
    with Opened(folder):
        if not lock(folder, SECONDS_TO_LOCK):
            message = f"another command is changing contacts{UNCHANGED}"
            raise Error(message, "run the command again")
        yield


def taken(besides: Collection[tuple[int, str]]) -> Taken:
    """Who has which address, but for these user ids and kinds. Raises Error."""
    with explained(""):
        everybody = contact_list.everybody()
    return {
        key_of(kind, contact.address): each.user
        for each in everybody
        for kind, contact in each.contacts.items()
        if each.user and (each.uid, kind) not in besides
    }


def key_of(kind: str, address: str) -> tuple[str, str]:
    """What two users must not share. (Mail servers ignore the case of a mailbox.)"""
    return kind, address.lower()


def refuse_shared(account: pwd.struct_passwd, kind: str, address: str) -> None:
    """Raises Error if another user has the address."""
    other = taken([(account.pw_uid, kind)]).get(key_of(kind, address))
    if other is not None:
        message = f"{address} is a contact of {other} already{UNCHANGED}"
        raise Error(message, command("contact", other))


def record(account: pwd.struct_passwd, new: New) -> tuple[Contacts, list[str]]:
    """Records these in place of what there is of their kinds, and logs it. The user's contacts now,
    and the kinds that were changed. Raises Error."""
    forget_mark(account)
    with explained(account.pw_name), closing(Attempts(account.pw_uid)):
        before = contacts.read(account)
        now = _merged(before, new)
        changed = [kind for kind in SENT if now.get(kind) != before.get(kind)]
        if changed:
            contacts.replace(account, now)
    for kind in changed:
        _log(account, kind, before.get(kind), now.get(kind))
    return now, changed


def remove_all(account: pwd.struct_passwd) -> list[str]:
    """Removes the record, whatever it holds; the kinds that were in it, all if it cannot be read.
    Raises Error."""
    forget_mark(account)
    with explained(account.pw_name), _held_if_possible(account.pw_uid):
        try:
            before: dict[str, Contact | None] = {**contacts.read(account)}
        except Failure:
            before = dict.fromkeys(SENT)
        contacts.replace(account, {})
    for kind, contact in before.items():
        _log(account, kind, contact, None)
    return list(before)


@contextmanager
def _held_if_possible(uid: int) -> Iterator[None]:
    """With the lock of the user's attempts: a malformed record of them keeps no contact."""
    try:
        attempts = Attempts(uid)
    except Failure:
        yield
        return
    with closing(attempts):
        yield


def _merged(before: Contacts, new: New) -> Contacts:
    now: dict[str, Contact | None] = {**before, **new}
    for kind, contact in new.items():
        known = before.get(kind)
        if contact and known and contact.address == known.address and not contact.confirmed:
            now[kind] = known
    return {kind: contact for kind in SENT if (contact := now.get(kind)) is not None}


def _log(
    account: pwd.struct_passwd, kind: str, before: Contact | None, now: Contact | None
) -> None:
    contact = now or before
    action_log.write(
        "set-contact" if now else "remove-contact",
        user=account.pw_name,
        by=caller(),
        kind=kind,
        address=masked(contact.address) if contact else "",
        confirmed="" if now is None else "yes" if now.confirmed else "no",
    )
