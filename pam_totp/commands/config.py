"""`pam-totp config check`: everything that is wrong with a settings file, each with its place; and
what holds while the one in force is wrong."""

import argparse
import os
import pwd
import re
import sys
from contextlib import AbstractContextManager, nullcontext

from pam_totp.errors import Error
from pam_totp.records.config.settings import PATH, load
from pam_totp.records.host.account import ActingAs
from pam_totp.review.active_settings import fault_of
from pam_totp.review.settings_warnings import warnings_of

HELP = "look at the settings"

# What a fault of the YAML itself most often comes from.
_HINTS = {
    r"undefined alias|alphabetic or numeric|<alias>": 'a pattern with * takes quotes: "*-admin"',
    r"takes no alias": "write out what it stands for",
    r"takes no tag": "a text that begins with ! takes quotes",
    r"node content, but found ':'": 'an address that begins with :: takes quotes: "::1"',
    r"values are not|got ':'": "a text with a colon takes quotes, {by: 2027-03-01} takes braces",
    r"found character '\\t'": "lines are indented with spaces",
    r"another document": "one file is one document: no second ---",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp config`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    action = actions.add_parser("check", help="report everything that is wrong with a file")
    action.add_argument("file", nargs="?", default=PATH, metavar="FILE")


def run(options: argparse.Namespace) -> int:
    """0: the file is good, warnings included; 1: found faults. One a line on standard error.
    Changes nothing."""
    # PyYAML: only here, so that a broken one does not take `unlock` and `grant` away.
    from pam_totp.records.config import reader

    try:
        with _acting_for(options.file), open(options.file, "rb") as file:
            content = file.read(reader.MAX_BYTES + 1)
    except FileNotFoundError:
        if options.file != PATH:
            raise Error(f"{options.file}: No such file", "pam-totp config check FILE") from None
        return _without_a_file()
    except OSError as failure:
        raise Error(f"{options.file}: {failure.strerror}", "pam-totp config check FILE") from None
    found = reader.parse(content)
    faults = found.faults
    if options.file == PATH:  # `read` also looks at who may write it, and first
        faults = list(dict.fromkeys([*reader.read(PATH)[2], *faults]))
    for fault in faults:
        hints = (hint for pattern, hint in _HINTS.items() if re.search(pattern, fault))
        print("; ".join([f"{options.file}: {fault}", *hints]), file=sys.stderr)
    if faults:
        return 1
    warnings = warnings_of(found)
    for warning in warnings:
        print(f"{options.file}: warning: {warning}", file=sys.stderr)
    print(f"{options.file}: {f'no faults, warnings: {len(warnings)}' if warnings else 'good'}")
    return 0


def _acting_for(file: str) -> AbstractContextManager[None]:
    """Faults quote a file, so one that is not the settings is read as the user who became root: by
    sudo they must not see more than they may."""
    uid = os.environ.get("SUDO_UID") or os.environ.get("PKEXEC_UID") or "0"
    name = os.environ.get("DOAS_USER") or ""
    if file == PATH or os.geteuid() != 0:
        return nullcontext()
    try:
        caller = pwd.getpwnam(name) if name else pwd.getpwuid(int(uid))
    except (KeyError, ValueError, OverflowError):
        raise Error(f"there is no user {name or uid}, who became root", "getent passwd") from None
    if not caller.pw_uid:
        return nullcontext()
    acting = ActingAs(caller)
    acting.all_groups = True
    return acting


def _without_a_file() -> int:
    """None is installed, since all settings have defaults; but removing one changes nothing."""
    if os.geteuid() != 0:
        print(f"{PATH}: there is no such file; only root can see whether earlier settings apply")
        return 0
    fault = fault_of(load())
    if fault:
        raise Error(fault, f"echo '# the defaults' >{PATH}")
    print(f"{PATH}: there is no such file; the defaults apply")
    return 0
