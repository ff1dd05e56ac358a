# SPDX-License-Identifier: MIT
"""`pam-totp devices`: lists the devices of one user; removes, renames or shows one."""

import argparse
import json
from typing import Any

from pam_totp.enrollment import devices, picture_file, save
from pam_totp.enrollment.change_devices import remove, rename
from pam_totp.enrollment.identity import account_of, secret_dir_of
from pam_totp.enrollment.only_contacts import but_contacts
from pam_totp.enrollment.show_device import show
from pam_totp.errors import command, printable
from pam_totp.listing import columns, fit, moment
from pam_totp.records.user import secret
from pam_totp.records.user.devices import devices_of
from pam_totp.review import secret_file
from pam_totp.review.device_rows import describe, is_known, last_used

HELP = "list, remove, rename or show the devices that are enrolled"

COLUMNS = ("device", "kind", "since (UTC)", "last used (UTC)", "id")
_USER_HELP = "root only: the devices of this user"
MAX_NAME = 24  # a longer one has a line of its own, so that 80 columns hold the table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp devices`, and of its actions."""
    parser.set_defaults(act=_list)
    _add_common(parser, user=None, json=False)
    actions = parser.add_subparsers(title="actions", metavar="ACTION")

    action = actions.add_parser("list", help="list the devices; the same as without an action")
    _add_common(action, user=argparse.SUPPRESS, json=argparse.SUPPRESS)
    action.set_defaults(act=_list)

    action = actions.add_parser("remove", help="no longer accept the codes of a device")
    action.add_argument("name", metavar="DEVICE", help="its name or id")
    action.add_argument("--yes", action="store_true", help="also if it is the only one")
    _add_common(action, user=argparse.SUPPRESS, json=argparse.SUPPRESS)
    action.set_defaults(act=remove)

    action = actions.add_parser("rename", help="give a device another name")
    action.add_argument("name", metavar="DEVICE", help="its name or id")
    action.add_argument("new", metavar="NEW", type=devices.new_name, help="the new name")
    _add_common(action, user=argparse.SUPPRESS, json=argparse.SUPPRESS)
    action.set_defaults(act=rename)

    action = actions.add_parser("show", help="show the secret of a device again")
    action.add_argument("name", metavar="DEVICE", help="its name or id")
    action.add_argument("--user", metavar="USER", default=argparse.SUPPRESS, help=_USER_HELP)
    how = action.add_mutually_exclusive_group()
    how.add_argument("--uri", action="store_true", help="print the otpauth URI alone")
    how.add_argument("--no-qr", dest="qr", action="store_false", help="show the key alone")
    picture_file.add_arguments(action, how)
    action.set_defaults(act=show)


def _add_common(parser: argparse.ArgumentParser, user: str | None, json: bool | str) -> None:
    """`--user` and `--json`, which may stand before an action and behind it."""
    parser.add_argument("--user", metavar="USER", default=user, help=_USER_HELP)
    parser.add_argument("--json", action="store_true", default=json, help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Runs the action. Raises Error."""
    code: int = options.act(options)
    return code


def _list(options: argparse.Namespace) -> int:
    """Prints the devices. 0: no faults, also for "not enrolled"; 1: found faults."""
    account = account_of(options.user)
    secret_dir = secret_dir_of(account)
    content = save.existing_content(secret_dir)
    enrolled, _, faults = secret_file.judge(content, f"{secret_dir.path}/{secret.NAME}")
    found = devices_of(content)
    used, fault = last_used(found, account.pw_uid)
    faults += [fault] if fault else []
    rows = [
        describe(device) | {"last_used_at": moment}
        for device, moment in zip(found, used, strict=True)
    ]
    if options.json:
        listed = {"user": account.pw_name, "enrolled": enrolled, "devices": rows, "faults": faults}
        print(json.dumps(listed, indent=2))
        return 1 if faults else 0
    enroll = command("enroll", user=options.user)
    if enrolled is False:
        print(fit(f"{account.pw_name}: not enrolled{but_contacts(account)}; run: {enroll}"))
        return 0
    lines = [f"{account.pw_name} has no device; run: {enroll}"]
    if rows:
        table = columns([COLUMNS, *(_cells(row) for row in rows)], MAX_NAME)
        lines = [line for each in table for line in each]
        lines += [
            "Only root can see when a code of each was used last."
            if not is_known()
            else "Last used: since this machine was started."
        ]
    lines += [f"fault: {each}" for each in faults]
    print(fit("\n".join(lines)))
    return 1 if faults else 0


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    used = moment(row["last_used_at"]) if is_known() else "?"
    return printable(row["device"]) or "-", row["type"], moment(row["since"]), used, row["id"]
