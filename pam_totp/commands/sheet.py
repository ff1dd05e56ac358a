# SPDX-License-Identifier: MIT
"""`pam-totp sheet`: a page to print for each user, with the QR code of the enrolled secret."""

import argparse
import os
import pwd
import time

from pam_totp.enrollment import devices, save
from pam_totp.enrollment.identity import caller, find, secret_dir_of
from pam_totp.enrollment.new_file import NewFile, Pipe
from pam_totp.enrollment.symbol import TooLong, rows_of
from pam_totp.enrollment.uri import host_name
from pam_totp.errors import Error, command
from pam_totp.records.host import action_log
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import recovery, secret
from pam_totp.records.user.devices import Device, devices_of
from pam_totp.review import secret_file
from pam_totp.rules.reasons import Failure
from pam_totp.sheets.made import sheet_of
from pam_totp.sheets.options import add_texts_to
from pam_totp.sheets.page import END, KEPT, NONE, Around, head, page
from pam_totp.sheets.texts import texts_of

HELP = "root: write a page to print for users, with QR code and key"

STANDARD_OUTPUT = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")

Wanted = tuple[pwd.struct_passwd, SecretDir, Device, str]  # and why there are no codes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp sheet`."""
    parser.add_argument("names", metavar="USER", nargs="+")
    parser.add_argument(
        "--html", metavar="OUT", required=True, help="a new file, or - for standard output"
    )
    parser.add_argument("--device", metavar="DEVICE", help="its name or id, of users with several")
    parser.add_argument(
        "--new-recovery-codes",
        action="store_true",
        help="make new recovery codes; the old ones end",
    )
    add_texts_to(parser)


def run(options: argparse.Namespace) -> int:
    """Writes one document with a page for each user. Raises Error."""
    accounts = {account.pw_uid: account for account in map(find, options.names)}
    os.umask(0o077)
    texts = texts_of(options.language)
    wanted = [_wanted(account, options.device) for account in accounts.values()]
    if options.new_recovery_codes:
        for _, secret_dir, _, _ in wanted:
            save.try_out(secret_dir, recovery.NAME)
    around = Around(texts, host_name(), options.contact or "", time.strftime("%Y-%m-%d"))
    with Pipe() if options.html in STANDARD_OUTPUT else NewFile(options.html) as out:
        out.write(_encoded(head(around)))
        for number, each in enumerate(wanted, 1):
            _add(out, each, around, number, options.new_recovery_codes)
        out.write(_encoded(END))
    return 0


def _wanted(account: pwd.struct_passwd, device: str | None) -> Wanted:
    """What the page of a user is of. Raises Error."""
    name = account.pw_name
    secret_dir = secret_dir_of(account)
    try:
        content = secret_dir.read(secret.NAME)
        codes = recovery.read(secret_dir)
    except Failure as refused:
        fault, hint = save.with_repair(refused.detail, secret_dir)
        raise Error(f"the secret of {name} cannot be used: {fault}", hint) from None
    if content is None:
        raise Error(f"{name} is not enrolled", "pam-totp enroll --users FILE --sheets DIR")
    enrolled = devices_of(content)
    if not enrolled:
        fault = secret_file.judge(content, f"{secret_dir.path}/{secret.NAME}")[2][0]
        message = f"the secret of {name} cannot be used: {fault}"
        raise Error(message, command("enroll", user=name))
    found = enrolled if device is None else devices.find(enrolled, device)
    if not found:
        message = f"{name} has no device {device!r}{devices.similar(enrolled, device or '')}"
        raise Error(message, command("devices", user=name))
    if devices.count(found) > 1:
        message = f"{name} has several devices: {devices.listed(enrolled)}"
        raise Error(message, f"{command('sheet', name)} --device NAME --html OUT")
    if found[0].kind != "totp":  # what a sheet says of the app is not true of these
        message = f"the codes of {found[0].name!r} of {name} go by a counter, not by the time"
        raise Error(message, command("devices show", found[0].id, user=name))
    try:
        rows_of(found[0].uri)
    except TooLong:  # users write what they like into their file
        message = f"the names in the secret file of {name} are too long for a QR code"
        raise Error(message, command("enroll", user=name)) from None
    return account, secret_dir, found[0], KEPT if codes and codes[1] else NONE


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _add(out: NewFile, wanted: Wanted, around: Around, number: int, has_codes: bool) -> None:
    """One page; with new recovery codes, which take effect once the page is on the disk. Raises
    Error: then there is no page of this user."""
    account, secret_dir, device, no_codes = wanted
    codes = recovery.new_codes() if has_codes else []
    hashed = recovery.new_file(codes) if has_codes else b""
    sheet = sheet_of(account.pw_name, device.credential, device.uri, codes, no_codes)
    action_log.write("show-secret", user=account.pw_name, by=caller())
    before = out.size()
    out.write(_encoded(page(sheet, around, number)))
    if not has_codes:
        return
    try:
        save.save(secret_dir, recovery.NAME, hashed)
    except save.TookEffect:
        out.is_kept = True
        action_log.write("recovery-codes", user=account.pw_name, by=caller())
        raise
    except Error as error:
        out.cut(before)
        message = f"{error.message}; there is no page of {account.pw_name} and of those after"
        raise Error(message, error.hint) from None
    out.is_kept = True  # the codes on it are seen nowhere else
    action_log.write("recovery-codes", user=account.pw_name, by=caller())
