# SPDX-License-Identifier: MIT
"""The programs and files that `pam-totp import` knows, and its options for each."""

import argparse
from collections.abc import Callable

from pam_totp.enrollment.import_report import ALL
from pam_totp.errors import UsageError
from pam_totp.imports import aegis, andotp, freeotp_plus, otpauth
from pam_totp.imports.found import HOTP, TOTP, Entry
from pam_totp.imports.pskc import IGNORE_EXPIRY
from pam_totp.rules.hashes import ALGORITHMS

GOOGLE, OATH, SEEDS, PSKC = "google-authenticator", "oath", "seeds", "pskc"
TOKENS = (SEEDS, PSKC)
# What several entries are read from, for one user: the reader, and what it is called.
EXPORTS: dict[str, tuple[Callable[[bytes], list[Entry]], str]] = {
    "otpauth": (otpauth.read, "otpauth URIs, or texts of Google Authenticator's export"),
    "aegis": (aegis.read, "an export of Aegis, not encrypted"),
    "andotp": (andotp.read, "an export of andOTP, not encrypted"),
    "freeotp-plus": (freeotp_plus.read, "an export of FreeOTP+"),
}
_HELPS = {
    GOOGLE: "~/.google_authenticator of users",
    OATH: "the file of users of pam_oath",
    **{name: text for name, (_, text) in EXPORTS.items()},
    SEEDS: "a maker's list of hardware tokens (CSV)",
    PSKC: "a maker's file of hardware tokens (PSKC, RFC 6030)",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp import`."""
    sources = parser.add_subparsers(title="programs", metavar="PROGRAM", required=True)
    for name, text in _HELPS.items():
        source = sources.add_parser(name, help=text)
        source.set_defaults(source=name, replace=False)
        if name == GOOGLE:
            source.add_argument("names", metavar="USER", nargs="*")
            source.add_argument(ALL, action="store_true", help="all users who have the file")
        else:
            source.add_argument("file", metavar="FILE", help="- for standard input")
        if name in EXPORTS:
            source.add_argument("--user", metavar="USER", required=True, help="whose secret it is")
            what = "number or name of an entry, if there are several; may be repeated"
            source.add_argument("--entry", action="append", metavar="ENTRY", help=what)
        source.add_argument("--apply", action="store_true", help="import; else only show it")
        if name in TOKENS:
            _add_assignment(source)
        else:
            replacing = "what the file does not have goes: other devices and recovery codes"
            source.add_argument("--replace", action="store_true", help=replacing)
        if name == SEEDS:
            _add_for_seeds(source)
        if name == PSKC:
            _add_for_pskc(source)
        source.add_argument("--json", action="store_true", help="print JSON")


def is_assigned(options: argparse.Namespace) -> bool:
    """Whether it is said which user gets which token. Raises UsageError."""
    hint = f"pam-totp import {options.source} --help"
    if options.user and options.assign:
        raise UsageError("--user and --assign both say who gets a token", hint)
    if options.entry and not options.user:
        raise UsageError("--entry needs --user", hint)
    if options.apply and not (options.user or options.assign):
        raise UsageError("it is not said which user gets which token", hint)
    files = [options.file, options.assign]
    files += [options.key_file, options.password_file] if options.source == PSKC else []
    if files.count("-") > 1:
        raise UsageError("standard input can be one of the files alone", hint)
    return bool(options.user or options.assign)


def _add_assignment(source: argparse.ArgumentParser) -> None:
    which = "a table (CSV) of serial numbers and the users who get them"
    source.add_argument("--assign", metavar="FILE", help=which)
    source.add_argument("--user", metavar="USER", help="the only user who gets a token")
    what = "with --user: serial number of the token, if there are several; may be repeated"
    source.add_argument("--entry", action="append", metavar="SERIAL", help=what)


def _add_for_seeds(source: argparse.ArgumentParser) -> None:
    where = "if the list does not say it"
    kind = f"codes by time or by counter, {where}"
    source.add_argument("--type", choices=(TOTP, HOTP), help=kind)
    source.add_argument("--digits", type=int, choices=(6, 7, 8), help=f"of a code, {where}")
    seconds = f"seconds of a code, {where}"
    source.add_argument("--period", type=int, choices=(15, 30, 60), help=seconds)
    source.add_argument("--algorithm", choices=tuple(ALGORITHMS), help=f"hash function, {where}")


def _add_for_pskc(source: argparse.ArgumentParser) -> None:
    key = "the file of the key, in hex (default: it is asked for)"
    source.add_argument("--key-file", metavar="FILE", help=key)
    password = "the file of the password (default: it is asked for)"
    source.add_argument("--password-file", metavar="FILE", help=password)
    expiry = "take keys although no login ends when they expire"
    source.add_argument(IGNORE_EXPIRY, action="store_true", help=expiry)
