# SPDX-License-Identifier: MIT
"""`pam-totp store`: the store of a fleet, on its database servers and on login hosts."""

import argparse
import importlib
import json
import os
import socket
import sys

from pam_totp.enrollment.terminal import ask_password, is_confirmed, say
from pam_totp.errors import Error, for_root
from pam_totp.fleet import join_line
from pam_totp.fleet.actions.answer import Answer
from pam_totp.fleet.programs import INSTALL
from pam_totp.listing import fit
from pam_totp.records.config import settings
from pam_totp.records.user import enforced
from pam_totp.review.doctor.settings_edit import command_to_set
from pam_totp.review.everybody import names
from pam_totp.rules.reasons import Failure
from pam_totp.setup import new_settings

HELP = "root: run the store of a fleet, or connect this host to one"
# In the order of --help: on a database server; on a login host; on a database server, later.
ACTIONS = ("init", "add", "join", "standby", "status", "remove", "reseal", "restored")
ON_A_SERVER = ("init", "standby")
WITH_A_LINE = ("join", "standby")
SETTINGS = """\
# A database server: its own logins must not need the store.
store: system
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `pam-totp store`, and their options."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for name in ACTIONS:
        module = importlib.import_module(f"pam_totp.fleet.actions.{name}")
        action = actions.add_parser(name, help=module.HELP, description=module.ABOUT)
        module.add_arguments(action)
        action.add_argument("--json", action="store_true", help="print one JSON object")
        action.set_defaults(action=name, module=module)


def run(options: argparse.Namespace) -> int:
    """Runs one action, and prints what it answers. Raises Error."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    try:
        import psycopg
    except ImportError as failure:
        raise Error(f"PostgreSQL's Python library cannot be used: {failure}", INSTALL) from None
    os.umask(0o022)  # of what programs of PostgreSQL write; ours give each file its mode
    if options.action in ON_A_SERVER:
        options.module.check(options)
    made = options.action in ON_A_SERVER and _make_settings()
    if options.action in ON_A_SERVER:
        _refuse_logins_that_need_the_store()
    if options.action in WITH_A_LINE:
        options.line = _read_line(options)
    if options.action == "join" and options.line and not options.yes:
        _confirm_name(options.line)
    try:
        answer: Answer = options.module.run(options)
    except psycopg.Error as failure:
        words = " ".join(str(failure).split()) or type(failure).__name__
        raise Error(f"the store refused this: {words}", "pam-totp store status") from None
    if made:
        answer.lines.insert(0, f"Wrote {settings.PATH}, with store: system.")
    shown = json.dumps(answer.values, indent=2) if options.json else fit("\n".join(answer.lines))
    print(shown)
    return answer.code


def _make_settings() -> bool:
    """Where there is no file of settings, and nobody logs in here with a code yet: one with `store:
    system`. Whether it was written. Raises Error."""
    if os.path.lexists(settings.PATH) or names(enforced.KIND):
        return False
    new_settings.write(SETTINGS)
    return True


def _refuse_logins_that_need_the_store() -> None:
    """Raises Error unless the logins of this server keep their secrets in /var/lib/pam-totp: if the
    store were away, nobody could log in to repair it."""
    try:
        store = settings.load().store
    except Failure as failure:
        raise Error(failure.detail, "pam-totp config check") from None
    if store != "system":
        message = f"a database server must have the setting store: system (it has store: {store})"
        raise Error(f"{message}; nothing was changed", command_to_set("store", "system"))


def _confirm_name(line: str) -> None:
    """Raises Error for a line of another host, unless that is confirmed: whoever throws that host
    out of the store later would throw out this one. Never quotes the line."""
    from pam_totp.fleet import host_conf

    name, own = join_line.parse(line).name, socket.gethostname()
    if host_conf.is_own(name):
        return
    what = f"this line is for {name}, and this machine is called {own}"
    if not sys.stdin.isatty():
        raise Error(f"{what}; nothing was changed", "if it is to join by that name, add --yes")
    say(f"{what[0].upper()}{what[1:]}. The store would know this machine as {name}.")
    if not is_confirmed(f"Join as {name}?"):
        hint = f"on a database server: pam-totp store add {own.lower()}"
        raise Error("not confirmed; nothing was changed", hint)


def _read_line(options: argparse.Namespace) -> str:
    """The line that `pam-totp store add` printed; empty where the options say that none is needed.
    An argument is in the list of processes; a typed line is hidden. Raises Error."""
    if options.line is None:
        return (
            ask_password("Join line: ", "join line") if options.module.needs_line(options) else ""
        )
    if options.line != "-":
        return str(options.line)
    line = sys.stdin.readline().strip()
    if not line:
        raise Error("there is no join line on standard input", f"pam-totp store {options.action}")
    return line
