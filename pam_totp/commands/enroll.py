# SPDX-License-Identifier: MIT
"""`pam-totp enroll`: a new secret, its QR code, a code that proves it, and only then the file."""

import argparse
import os
import time
from contextlib import ExitStack
from functools import partial

from pam_totp.enrollment import devices, fleet_enrollment, new_token, picture_file, save, used_codes
from pam_totp.enrollment.closed_home import warning_of
from pam_totp.enrollment.identity import account_of, confirm, log_for_another, secret_dir_of
from pam_totp.enrollment.label import additions_to_label, fits_terminal
from pam_totp.enrollment.proof import Unsaved, is_kept, prove
from pam_totp.enrollment.terminal import say, tell
from pam_totp.enrollment.uri import new_uri
from pam_totp.errors import Error, command, option
from pam_totp.fleet import login_host
from pam_totp.records.config import settings
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.secret_writer import Known
from pam_totp.records.user import recovery, secret
from pam_totp.records.user.devices import devices_of, line_of, with_line
from pam_totp.rules.credential import parse_line
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.sheets import many
from pam_totp.sheets.options import add_many_to, chosen_by, is_for_many
from pam_totp.stack import services

HELP = "show a QR code, and save the secret after a correct code"

DEVICE = "phone"


def run(options: argparse.Namespace) -> int:
    """Enrolls a device of a user. Raises Error; the old secret stays then."""
    new_token.refuse_options(options)
    picture_file.refuse_misuse(options, "pam-totp enroll")
    if is_for_many(options):
        return many.run(options, DEVICE)
    picture_file.refuse_unless_possible(options)
    account = account_of(options.user)
    if login_host.is_this():
        fleet_enrollment.enroll(account, options)
        return _say_who_asks()
    os.umask(0o077)
    secret_dir = secret_dir_of(account)
    existing = save.existing_content(secret_dir)
    enrolled = devices_of(existing)
    word = options.device
    if options.token and not word:
        word = devices.free_name([each.name for each in enrolled], new_token.NAME)
    listing = command("devices", user=options.user)
    replaced = devices.to_replace(account.pw_name, enrolled, word, listing)
    staying = [each for each in enrolled if each not in replaced]
    name = replaced[0].name if replaced else word
    name = name or ("" if staying else DEVICE)
    save.try_out(secret_dir, *(() if staying else (recovery.NAME,)), secret.NAME)
    if existing is not None and enrolled:
        devices.refuse_too_many(secret_dir, existing, listing, is_addition=not replaced)
    if existing is not None:
        what = "replace the existing secret" if not staying else f"add the device {name!r}"
        if staying and replaced:
            what = f"replace the secret of {devices.called(replaced[0])}, and no other"
        say(f"{account.pw_name} is already enrolled. This will {what}.")
        confirm(account, command("reset", account.pw_name))
    elif account.pw_uid == 0 and os.environ.get("SUDO_USER"):
        say(f"This enrolls {account.pw_name}, not {os.environ['SUDO_USER']}.")
        say("To enroll yourself, run it without sudo.")
    warning = warning_of(secret_dir)
    if warning:
        say(warning.rstrip())
    active, last = settings.load(), -1
    with ExitStack() as until_saved:
        if options.token:
            accepted = used_codes.counters_of(account)
            uri, last = new_token.proved_uri(options, account, active, staying, accepted)
        else:
            additions = additions_to_label(options.device and name, existing, time.localtime())
            uri = uri_for(options, account.pw_name, additions, active)
            credential = parse_line(f"{uri} {name}")
            until_saved.enter_context(picture_file.shown(uri, credential, options))
            until_saved.enter_context(Unsaved(partial(is_kept, secret_dir, existing)))
            of_device = option("--device", options.device) if options.device else []
            prove(credential, command("enroll", options=of_device, user=options.user))
        kept = existing if existing is not None and enrolled else secret.HEADER.encode()
        content = with_line(kept, line_of(uri, name, time.time()), replaced)
        codes = [] if staying or options.without_codes else recovery.new_codes()
        trouble = _save(secret_dir, content, None if staying else codes, (secret.NAME, existing))
    log_for_another("enroll", account)
    text = f"Saved: {account.pw_name} is enrolled with device {name!r}.\n"
    if path := picture_file.path_of(options):
        text += f"{picture_file.advice(path, repr(name))}\n"
    if codes and (trouble is None or trouble.codes):
        text += f"\n{recovery.describe(codes)}\n"
    if options.without_codes and not staying:
        make = command("recovery-codes", user=options.user)
        text += f"There are no recovery codes. To make ten, run: {make}\n"
    unseen = "the new secret is active"
    unseen += f"; {save.UNSEEN_CODES}" if codes else ""
    seen = command("recovery-codes" if codes else "devices", user=options.user)
    tell(text, Error(unseen, seen))
    if trouble is not None:
        raise trouble
    if options.token and os.geteuid() == 0:
        used_codes.record(account.pw_uid, parse_line(uri), last)
    return _say_who_asks()


def _say_who_asks() -> int:
    """What a user does next who has just enrolled."""
    asking = services.that_ask()
    if asking:
        print(f"A code is asked for by: {', '.join(asking)}.")
        print("Keep this session open and try a new login now.")
    else:
        turn_on = "Run: pam-totp enable sshd" if os.geteuid() == 0 else "Ask its administrator."
        print(f"No service on this machine asks for a code yet. {turn_on}")
    return 0


def _save(
    secret_dir: SecretDir, content: bytes, codes: list[str] | None, over: Known
) -> save.TookEffect | None:
    """Saves the secret, and these recovery codes in place of the old ones, if a list is given; what
    is not well then, if anything. Raises Error where the old ones stay."""
    hashed = b"" if codes is None else recovery.new_file(codes)
    try:
        if codes is None:
            save.save(secret_dir, secret.NAME, content, over)
        else:
            save.save_enrollment(secret_dir, content, hashed, over)
    except save.TookEffect as effect:
        return effect
    return None


def uri_for(
    options: argparse.Namespace,
    user: str,
    additions: tuple[str, ...],
    active: settings.Settings,
) -> str:
    """A fresh otpauth URI by the options, and by the settings where an option was not given; with
    the first of the additions that leaves a QR code for 80x24, or the last."""
    chosen = chosen_by(options, active)
    uri = ""
    for addition in additions:
        uri = new_uri(user, chosen, fits_terminal, options.label or "", addition)
        if fits_terminal(uri):
            break
    return uri


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp enroll`."""
    parser.add_argument("--user", metavar="USER", help="root only: enroll this user")
    parser.add_argument(
        "--issuer", metavar="NAME", type=_name, help="name of this system in the app"
    )
    parser.add_argument("--label", metavar="NAME", type=_name, help="name of the entry in the app")
    parser.add_argument(
        "--device",
        type=devices.name_or_id,
        help="a device to add, or one whose secret to replace (default: the only one, or phone)",
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--no-qr", dest="qr", action="store_false", help="show the key alone")
    picture_file.add_arguments(parser, how)
    parser.add_argument(
        "--digits", type=int, choices=(6, 7, 8), help="length of a code (default: see settings)"
    )
    parser.add_argument(
        "--period", type=int, choices=(15, 30, 60), help="seconds of a code (default: see settings)"
    )
    parser.add_argument(
        "--algorithm", choices=tuple(ALGORITHMS), help="hash function (default: see settings)"
    )
    parser.add_argument(
        "--no-recovery-codes",
        dest="without_codes",
        action="store_true",
        help="make no recovery codes",
    )
    new_token.add_arguments(parser)
    add_many_to(parser)


def _name(text: str) -> str:
    """An issuer or label: apps split the two at a colon."""
    if not text or not text.isprintable() or ":" in text or len(text) > 64:
        raise argparse.ArgumentTypeError("must be 1 to 64 printable characters without a colon")
    return text
