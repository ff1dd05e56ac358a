# SPDX-License-Identifier: MIT
"""`pam-totp config check`: every fault of a settings file with its line and column, and which
settings are active if the file is missing. `config restore` writes one that was lost anew."""

import argparse
import os
import pwd
import re
import sys
from contextlib import AbstractContextManager, nullcontext

from pam_totp import repair
from pam_totp.errors import Error, for_root, printable
from pam_totp.listing import counted, fit
from pam_totp.records.config.settings import PATH, last_good, load
from pam_totp.records.host.account import ActingAs
from pam_totp.review.active_settings import fault_of, way_fault
from pam_totp.review.guessing import told
from pam_totp.review.open_to import policy_of
from pam_totp.review.sent_codes import accepted_by, accepted_in
from pam_totp.review.settings_text import text_of
from pam_totp.review.settings_warnings import warnings_of
from pam_totp.rules.reasons import Failure
from pam_totp.setup import new_settings

HELP = "check the settings, or restore a lost file of them"

# The usual cause of a fault of the YAML itself, and the repair of one of the file.
_HINTS = {
    r"^must be owned by root": f"run: chown root {PATH}",
    r"^must not be writable by": f"run: chmod go-w {PATH}",
    r"alphabetic or numeric|<alias>": 'quote a pattern that contains *: "*-admin"',
    r"alias .* not allowed": 'write the value out, or quote a pattern that contains *: "*-admin"',
    r"tag .* not allowed": "quote a text that begins with !",
    r"node content, but found ':'": 'quote an address that begins with ::: "::1"',
    r"values are not|got ':'": "quote a text that contains a colon, or write {by: 2027-03-01}",
    r"found character '\\t'": "indent lines with spaces",
    r"maximum recursion": "brackets must not nest so deep",
    r"the file is empty": "perhaps a write failed (for the defaults, write a comment)",
    r"another document": "the file must contain only one document, without a second ---",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp config`."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    action = actions.add_parser("check", help="report every fault of a settings file")
    action.add_argument("file", nargs="?", default=PATH, metavar="FILE", help=f"default: {PATH}")
    action.set_defaults(act=_check)
    what = "write a lost settings file anew, from the last good settings"
    actions.add_parser("restore", help=what).set_defaults(act=_restore)


def run(options: argparse.Namespace) -> int:
    """Runs one action. Raises Error."""
    code: int = options.act(options)
    return code


def _restore(_: argparse.Namespace) -> int:
    """0: the file is there again. Raises Error, also if there is one, which stays as it is."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    if os.path.lexists(PATH):
        raise Error(f"{PATH} exists; nothing was changed", "pam-totp config check")
    try:
        lost = last_good(keeps=False)
        text = text_of(lost) if lost is not None else ""
    except (OSError, Failure, ValueError):
        message = "the last good settings cannot be read; nothing was changed"
        raise Error(message, "pam-totp doctor") from None
    if lost is None:
        raise Error("there are no last good settings; nothing was changed", "pam-totp config check")
    new_settings.write(text)
    count = counted(len(policy_of(lost).rules), "rule")
    print(fit(f"Wrote {PATH}, with the last good settings and {count}; comments are lost."))
    return 0


def _check(options: argparse.Namespace) -> int:
    """0: the file is valid, perhaps with warnings; 1: it has faults. Each is a line on standard
    error. Changes nothing."""
    # PyYAML: only here, so that `unlock` and `grant` work though it is broken.
    from pam_totp.records.config import reader
    from pam_totp.review.settings_faults import check

    try:
        with _acting_for(options.file), open(options.file, "rb") as file:
            content = file.read(reader.MAX_BYTES + 1)
    except FileNotFoundError:
        if options.file != PATH:
            raise Error(f"{options.file}: No such file", "pam-totp config check FILE") from None
        return _without_a_file()
    except OSError as failure:
        raise Error(f"{options.file}: {failure.strerror}", "pam-totp config check FILE") from None
    found = check(content)
    faults = found.faults
    if options.file == PATH:  # a login also looks at its owner and mode, and first
        of_login = reader.read(PATH)[2]
        if of_login and not _is_among(faults, of_login):
            faults = [of_login, *faults]
    for fault in faults:
        hints = (hint for pattern, hint in _HINTS.items() if re.search(pattern, fault))
        _report("; ".join([f"{options.file}: {fault}", *hints]))
    if faults:
        return 1
    warnings = warnings_of(found)
    for warning in warnings:
        _report(f"{options.file}: warning: {warning}")
    print(f"{options.file}: {f'valid, warnings: {len(warnings)}' if warnings else 'valid'}")
    print(fit(told(found.values, is_sent=bool(accepted_by(found.rules)))))
    return 0


def _report(text: str) -> None:
    """A fault or a warning, on standard error: a line, wrapped only at a terminal."""
    print(fit(printable(text), sys.stderr), file=sys.stderr)


def _is_among(faults: list[str], of_login: str) -> bool:
    """Whether a login's fault is one of those explained: a login says less about the same place."""
    position = re.match(r"line \d+, column \d+: ", of_login)
    return any(fault.startswith(position[0]) if position else of_login in fault for fault in faults)


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
    return ActingAs(account=caller, all_groups=True)


def _without_a_file() -> int:
    """No file is installed, since all settings have defaults; but removing one changes nothing."""
    open_way = way_fault()
    if open_way:
        raise Error(*repair.split(open_way, PATH))
    if os.geteuid() != 0:
        print(fit(f"{PATH}: No such file; only root can see whether earlier settings are active"))
        return 0
    active = load()
    fault = fault_of(active)
    if fault:
        raise Error(fault, "pam-totp config restore")
    print(f"{PATH}: No such file; the defaults are active")
    print(fit(told(active.values, is_sent=bool(accepted_in(active.rules)))))
    return 0
