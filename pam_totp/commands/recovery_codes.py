# SPDX-License-Identifier: MIT
"""`pam-totp recovery-codes`, and the end of an enrollment: ten codes for a lost phone."""

import argparse
import json
import os

from pam_totp.enrollment import save
from pam_totp.enrollment.identity import account_of, caller, log_for_another, secret_dir_of
from pam_totp.enrollment.only_contacts import but_contacts
from pam_totp.enrollment.owner import confirm_with_code
from pam_totp.enrollment.terminal import say, tell
from pam_totp.errors import Error, UsageError, again, command
from pam_totp.fleet import people
from pam_totp.records.host import action_log
from pam_totp.records.user import recovery
from pam_totp.rules.reasons import SECRET_MALFORMED, Failure
from pam_totp.signals import finish_undisturbed

HELP = "make ten codes for a lost phone"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp recovery-codes`."""
    parser.add_argument("--user", metavar="USER", help="root only: make them for this user")
    people.add_options(parser, "make them for --user, in the fleet", json=True)


def run(options: argparse.Namespace) -> int:
    """Makes ten new recovery codes, which replace the old ones; the secret stays. Raises Error."""
    people.refuse_json_without(options)
    if options.fleet:
        return _make_in_fleet(options)
    account = account_of(options.user)
    os.umask(0o077)
    secret_dir = secret_dir_of(account)
    try:
        credentials = secret_dir.credentials()
        existing = recovery.read(secret_dir)
    except Failure as refused:
        fault, hint = save.with_repair(refused.detail, secret_dir)
        if refused.reason == SECRET_MALFORMED:
            hint = "pam-totp status"
        raise Error(f"the secret cannot be used: {fault}", hint) from None
    if credentials is None:
        message = f"{account.pw_name} is not enrolled{but_contacts(account)}"
        raise Error(message, command("enroll", user=options.user))
    save.try_out(secret_dir, recovery.NAME)
    if existing is not None and options.user is None:
        say("New recovery codes replace the existing ones.")
    if options.user is None:
        by_root = again("--user", account.pw_name)
        confirm_with_code(account, credentials, by_root)
    codes = recovery.new_codes()
    trouble = None
    try:
        save.save(secret_dir, recovery.NAME, recovery.new_file(codes))
    except save.TookEffect as effect:
        trouble = effect
    log_for_another("recovery-codes", account)
    tell(f"{recovery.describe(codes)}\n", Error(save.UNSEEN_CODES, again()))
    if trouble is not None:
        raise trouble
    return 0


def _make_in_fleet(options: argparse.Namespace) -> int:
    if options.user is None:
        raise UsageError("name the user whose codes are made", again("--user", "USER"))
    with people.connected() as store:
        person = people.person(store, options.user)
        if person.state != people.ENROLLED:
            raise Error(f"{person.name} is not enrolled", command("invite", person.name))
        finish_undisturbed()
        codes = people.new_recovery_codes(store, person.name)
    action_log.write("recovery-codes-in-fleet", user=person.name, by=caller())
    found = {
        "changed": True,
        "user": person.name,
        "recovery_codes": [people.in_groups(each) for each in codes],
    }
    text = json.dumps(found, indent=2) if options.json else f"{recovery.describe(codes)}\n"
    tell(text, Error(save.UNSEEN_CODES, again()))
    return 0
