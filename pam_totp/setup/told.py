# SPDX-License-Identifier: MIT
"""What `enable` is told about lines of other modules: the options, and what they say."""

import argparse
import dataclasses
import shlex

from pam_totp.errors import UsageError
from pam_totp.setup.also import KINDS, NOTHING_ALSO, Also
from pam_totp.setup.beside import BESIDE, INSTEAD, NOTHING_TOLD, Choice
from pam_totp.stack.other_codes import PROGRAMS

OTHERS = tuple(PROGRAMS.values())


@dataclasses.dataclass(frozen=True)
class Told:
    """codes: what becomes of lines that ask for codes of another program. also: what is to stand
    beside the code."""

    codes: Choice = NOTHING_TOLD
    also: Also = NOTHING_ALSO


NOTHING = Told()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    of_others = parser.add_mutually_exclusive_group()
    for option, text in (
        (
            "--beside",
            f"{' or '.join(OTHERS)}: its module still asks users who have not enrolled here",
        ),
        ("--replace", "pam_totp.so takes the place of that program's module"),
    ):
        of_others.add_argument(option, metavar="PROGRAM", choices=OTHERS, default="", help=text)
    for option, text in (
        ("--also", f"{' or '.join(KINDS)}: after the password, this is as good as a code"),
        ("--no-also", "this is not asked for any more"),
    ):
        parser.add_argument(
            option, metavar="KIND", choices=tuple(KINDS), action="append", default=[], help=text
        )


def told_by(options: argparse.Namespace) -> Told:
    """What these options say. Raises UsageError."""
    for kind in options.also:
        if kind in options.no_also:
            again = shlex.join(["pam-totp", "enable", *options.services, "--also", kind])
            raise UsageError(f"{kind} cannot be given to both --also and --no-also", again)
    codes = Choice(INSTEAD, options.replace) if options.replace else NOTHING_TOLD
    if options.beside:
        codes = Choice(BESIDE, options.beside)
    return Told(codes, Also(tuple(options.also), tuple(options.no_also)))
