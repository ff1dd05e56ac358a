# SPDX-License-Identifier: MIT
"""`pam-totp contact`: where codes are sent to a user, by text message or mail."""

import argparse
import json
import os
import pwd
import socket
import sys
import time
from typing import Any

from pam_totp.contacts import changing, confirming, many
from pam_totp.contacts.address import BadAddress, canonical, is_on
from pam_totp.contacts.changing import Contacts, explained
from pam_totp.contacts.from_directory import Directory
from pam_totp.contacts.from_file import Table
from pam_totp.contacts.options import ALL, add_to, refuse_misuse
from pam_totp.contacts.shown import as_lines, as_rows
from pam_totp.enrollment.identity import find
from pam_totp.errors import Error, NoUser, command, for_root, printable
from pam_totp.listing import fit
from pam_totp.records.config import settings
from pam_totp.records.user import contacts
from pam_totp.records.user.contacts import Contact
from pam_totp.review.sent_codes import after_removal, unless_accepted
from pam_totp.rules.policy import MAIL, SENT
from pam_totp.rules.reasons import Failure
from pam_totp.sheets import names
from pam_totp.signals import finish_undisturbed

HELP = "root: show or set where codes are sent to a user"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp contact`."""
    add_to(parser)


def run(options: argparse.Namespace) -> int:
    """Shows, sets or removes contacts. Raises Error."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    refuse_misuse(options)
    if options.file is not None or options.from_directory:
        return _set_many(options)
    account = _find(options.name)
    if options.remove is not None:
        return _remove(account, options)
    given = {kind: getattr(options, kind) for kind in SENT if getattr(options, kind) is not None}
    if given:
        return _set(account, given, options)
    with explained(account.pw_name):
        found = contacts.read(account)
    _show(account, found, [], as_json=options.json, shows=True)
    return 0


def _find(name: str) -> pwd.struct_passwd:
    try:
        return find(name)
    except NoUser:
        if name != ALL:
            raise
        message = f"there is no user {name!r}; contacts are changed for one user at a time"
        raise Error(message, "pam-totp users") from None


def _set(account: pwd.struct_passwd, given: dict[str, str], options: argparse.Namespace) -> int:
    """given: by kind. All are recorded, or none is."""
    wanted = {kind: _canonical(account, kind, text) for kind, text in given.items()}
    active = settings.load()
    for kind, address in wanted.items():
        changing.refuse_shared(account, kind, address)
        _warn(kind, address)
    new: dict[str, Contact | None] = {}
    for kind, address in wanted.items():
        if not options.unconfirmed:
            confirming.confirm(account, kind, address, active)
        confirmed = 0 if options.unconfirmed else int(time.time())
        new[kind] = Contact(address=address, confirmed=confirmed)
    with changing.alone():
        for kind, address in wanted.items():
            changing.refuse_shared(account, kind, address)
        finish_undisturbed()
        now, changed = changing.record(account, new)
    _show(account, now, changed, as_json=options.json)
    for kind in wanted:
        note = unless_accepted(kind, active)
        if note and not options.json:
            print(fit(note))
    return 0


def _canonical(account: pwd.struct_passwd, kind: str, text: str) -> str:
    try:
        return canonical(kind, text)
    except BadAddress as bad:
        words = ["contact", account.pw_name]
        hint = command(*words, options=[f"--{kind}", bad.meant]) if bad.meant else EXAMPLES[kind]
        raise Error(f"{bad.message} (got {text!a}); nothing was changed", hint) from None


EXAMPLES = {
    "sms": "write the number like +49 170 1234567",
    "mail": "write the address like alice@example.org",
}


def _warn(kind: str, address: str) -> None:
    host = socket.gethostname()
    if kind == MAIL and is_on(address, host):
        what = f"mail to {address} may stay on this host, which the code is to protect"
        print(fit(printable(f"pam-totp: warning: {what}"), sys.stderr), file=sys.stderr)


def _remove(account: pwd.struct_passwd, options: argparse.Namespace) -> int:
    now: Contacts = {}
    with changing.alone():
        finish_undisturbed()
        before = _known(account)
        if options.remove == ALL:
            changed = changing.remove_all(account)
        else:
            now, changed = changing.record(account, {options.remove: None})
    _show(account, now, changed, as_json=options.json)
    if changed and not options.json:
        for line in after_removal(account, now, settings.load(), before):
            print(fit(line))
    return 0


def _known(account: pwd.struct_passwd) -> Contacts:
    """None where the record cannot be read."""
    try:
        return contacts.read(account)
    except Failure:
        return {}


def _set_many(options: argparse.Namespace) -> int:
    listed = Table(options.file) if options.file is not None else _directory(options)
    with changing.alone():
        recorded, changed = many.record_all(listed, _warn)
    if options.json:
        users = [{"user": name, "contacts": as_rows(found)} for name, found in recorded]
        print(json.dumps({"changed": bool(changed), "users": users}, indent=2))
    elif options.name is not None:
        print(fit(_as_text(*recorded[0])))
    else:
        print(f"Users whose contacts are recorded: {len(recorded)}, changed: {changed}.")
    return 0


def _directory(options: argparse.Namespace) -> Directory:
    kinds, gone = (options.only,) if options.only else SENT, list[str]()
    if options.group is not None:
        accounts, gone = names.of_group(options.group)
    else:
        accounts = [_find(options.name)] if options.name else names.of_file(options.users)
    return Directory(accounts, kinds, gone)


def _show(
    account: pwd.struct_passwd,
    found: Contacts,
    changed: list[str],
    *,
    as_json: bool,
    shows: bool = False,
) -> None:
    name = account.pw_name
    if as_json:
        said: dict[str, Any] = {} if shows else {"changed": bool(changed)}
        print(json.dumps(said | {"user": name, "contacts": as_rows(found)}, indent=2))
        return
    print(fit(_as_text(name, found)))


def _as_text(name: str, found: Contacts) -> str:
    heading = f"{name}: {'codes can be sent to' if found else 'no contacts'}"
    return "\n".join([heading, *as_lines(as_rows(found))])
