# SPDX-License-Identifier: MIT
"""--png, --svg and --logo: the QR code of a secret as a file, in place of the terminal."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from pam_totp.enrollment import display, picture
from pam_totp.enrollment.new_file import NewFile, refuse_existing
from pam_totp.enrollment.terminal import say
from pam_totp.errors import UsageError, again
from pam_totp.rules.credential import Credential


def add_arguments(parser: argparse.ArgumentParser, how: argparse._ActionsContainer) -> None:
    """The options; `how`: the group of those of which only one can be given."""
    how.add_argument("--png", metavar="FILE", help="write the QR code to a new PNG file")
    how.add_argument("--svg", metavar="FILE", help="write the QR code to a new SVG file")
    parser.add_argument("--logo", metavar="FILE", help="with --png: a picture for its middle")


def path_of(options: argparse.Namespace) -> str:
    """The file that was named; empty if none was."""
    path: str = options.png or options.svg or ""
    return path


def refuse_misuse(options: argparse.Namespace, command: str) -> None:
    """Raises UsageError. `command`: of which these are options."""
    if options.logo and not options.png:
        raise UsageError("--logo needs --png", f"{command} --help")


def refuse_unless_possible(options: argparse.Namespace) -> None:
    """Raises Error where such a file could not be written, before anything is asked."""
    picture.refuse_without(png=bool(options.png), logo=bool(options.logo))
    if path_of(options):
        refuse_existing(path_of(options))


def draw(uri: str, options: argparse.Namespace) -> bytes:
    """The picture that was asked for. Raises Error."""
    return picture.svg(uri) if options.svg else picture.png(uri, options.logo)


def advice(path: str, device: str) -> str:
    """What people are told who have such a file of a device (its name, in quotes)."""
    return (
        f"{path} shows the secret of {device}. Everyone who sees it\n"
        "can make its codes, so remove it once the phone has read it."
    )


@contextmanager
def shown(uri: str, credential: Credential, options: argparse.Namespace) -> Iterator[None]:
    """Shows a new secret, in the file that was named or else in the terminal. What is raised in the
    block removes the file again. Raises Error."""
    if not path_of(options):
        display.show(uri, credential, options.qr, again())
        yield
        return
    drawn = draw(uri, options)
    with NewFile(path_of(options)) as new:
        new.write(drawn)
        say(f"Scan the QR code in {new.path} with an authenticator app on your phone.")
        yield
