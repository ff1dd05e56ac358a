# SPDX-License-Identifier: MIT
"""The options of `pam-totp contact`, and which of them exclude each other."""

import argparse
from typing import Any

from pam_totp.errors import UsageError
from pam_totp.rules.policy import SENT

ALL = "all"


class _Once(argparse.Action):
    """An option of which a second value would silently replace the first."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option} is given twice")
        setattr(namespace, self.dest, values)


def add_to(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp contact`."""
    parser.add_argument("name", metavar="USER", nargs="?")
    parser.add_argument("--sms", metavar="NUMBER", action=_Once, help="set the number, like +49…")
    parser.add_argument("--mail", metavar="ADDRESS", action=_Once, help="set the mail address")
    parser.add_argument(
        "--unconfirmed", action="store_true", help="send no code there to confirm it"
    )
    parser.add_argument(
        "--remove", nargs="?", const=ALL, choices=(*SENT, ALL), help="remove one, or all"
    )
    parser.add_argument(
        "--from", dest="file", metavar="FILE", action=_Once, help="a table of user,sms,mail (CSV)"
    )
    many = parser.add_argument_group("from the directory, through SSSD")
    many.add_argument(
        "--from-directory", action="store_true", help="copy mobile and mail of the users there"
    )
    many.add_argument(
        "--users", metavar="FILE", action=_Once, help="names, one a line; - for standard input"
    )
    many.add_argument("--group", metavar="GROUP", action=_Once, help="the members of this group")
    many.add_argument("--only", choices=SENT, action=_Once, help="copy one of them")
    parser.add_argument("--json", action="store_true", help="print JSON")


def refuse_misuse(options: argparse.Namespace) -> None:
    """Raises UsageError."""
    own = {"--sms": options.sms, "--mail": options.mail}
    given = own | {"--remove": options.remove, "--from": options.file}
    given |= {"--from-directory": options.from_directory or None}
    chosen = [name for name, value in given.items() if value is not None]
    usage = "pam-totp contact --help"
    if len(chosen) > 1 and chosen != [*own]:
        raise UsageError(f"{chosen[0]} cannot be combined with {chosen[-1]}", usage)
    if options.unconfirmed and (options.sms, options.mail) == (None, None):
        raise UsageError("--unconfirmed needs --sms or --mail", usage)
    many = {"--users": options.users, "--group": options.group}
    several = [name for name, value in many.items() if value is not None]
    if options.from_directory:
        if len(several) + (options.name is not None) != 1:
            raise UsageError("name one user, or use --users FILE or --group GROUP", usage)
        return
    if several or options.only:
        raise UsageError(f"{[*several, '--only'][0]} needs --from-directory", usage)
    if not chosen and options.name is None:
        raise UsageError("contacts are shown for one user at a time", "pam-totp users")
    if (options.name is None) == (options.file is None):
        raise UsageError("name one user, or use --from FILE", usage)
