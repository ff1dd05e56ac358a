"""The command `pam-totp`: its verbs, and how every error leaves it.

Exit codes: 0 done, 1 refused or found faults, 2 wrong usage. Errors are two lines on standard
error, what is wrong and what to type next.
"""

import argparse
import io
import os
import sys
from typing import Any, NoReturn

from pam_totp import VERSION
from pam_totp.commands import (
    config,
    enroll,
    explain,
    grant,
    migrate,
    recovery_codes,
    reset,
    status,
    users,
)
from pam_totp.errors import Fault, give_output_up
from pam_totp.records.config.validators import did_you_mean
from pam_totp.stack import turned_on


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _say_error(message, f"{self.prog} --help")
        raise SystemExit(2)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Also refuses what is unknown: argparse leaves that to the parser that knows no verb."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Of a misspelt verb says the nearest, where argparse would list them all."""
        if isinstance(action.choices, dict) and value not in action.choices:
            near = did_you_mean(value, action.choices)
            self.error(f"there is no {str(action.metavar).lower()} {value!r}{near}")
        super()._check_value(action, value)


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; the exit code. No traceback ever leaves it."""
    if sys.stdout is None:
        _say_error("standard output is closed: nothing was done", "pam-totp … >/dev/null")
        return 1
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are no text are a wrong answer
    what = "unexpected failure, "
    try:
        lost = turned_on.lost() if os.geteuid() == 0 else None
        if lost:
            _say("warning", *lost)
        code = _run(arguments)
        what = "done, but its output cannot be written: "
        sys.stdout.flush()
        return code
    except Fault as fault:
        _say_error(fault.message, fault.hint)
    except KeyboardInterrupt:
        print()
        _say_error("interrupted: nothing was changed", "run the command again")
    except OSError as failure:
        give_output_up()
        if not isinstance(failure, BrokenPipeError):
            _say_error(f"{what}{failure.strerror or failure}", "df -h; ls -l /dev/stdout")
    except Exception as failure:
        detail = f"{type(failure).__name__}: {failure}"
        _say_error(f"unexpected failure, {detail}", "please report this with the command you typed")
    return 1


def _run(arguments: list[str] | None) -> int:
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as ended:  # --help, --version, wrong usage
        return ended.code if isinstance(ended.code, int) else 2
    code: int = options.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pam-totp", description="A code from the phone after the system password."
    )
    parser.add_argument("--version", action="version", version=f"pam-totp {VERSION}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)

    verb = verbs.add_parser("enroll", help="show a QR code and, once a code proves it, save it")
    enroll.add_arguments(verb)
    verb.set_defaults(run=enroll.enroll)

    verb = verbs.add_parser("status", help="show what is enrolled, and which logins ask")
    verb.add_argument("--json", action="store_true", help="for programs")
    verb.set_defaults(run=status.status)

    verb = verbs.add_parser("check", help="type a code, learn what the verifier would say")
    verb.set_defaults(run=status.check)

    verb = verbs.add_parser("recovery-codes", help="make ten codes for a lost phone")
    verb.add_argument("--user", metavar="NAME", help="root does it for somebody else")
    verb.set_defaults(run=recovery_codes.renew)

    verb = verbs.add_parser("users", help="root: who is enrolled, and what stands in their way")
    verb.add_argument("--missing", action="store_true", help="who may log in and is not enrolled")
    verb.add_argument("--json", action="store_true", help="for programs")
    verb.set_defaults(run=users.users)

    verb = verbs.add_parser("reset", help="root: make a user not enrolled again")
    verb.add_argument("name", metavar="USER")
    verb.add_argument("--yes", action="store_true", help="do not ask")
    verb.set_defaults(run=reset.reset)

    verb = verbs.add_parser("unlock", help="root: end a user's wait after wrong codes")
    verb.add_argument("name", metavar="USER")
    verb.set_defaults(run=reset.unlock)

    verb = verbs.add_parser("grant", help="root: let a user in without a code for a while")
    verb.add_argument("name", metavar="USER")
    verb.add_argument(
        "--for",
        dest="seconds",
        metavar="TIME",
        type=grant.seconds,
        help="how long, like 30m, 2h or 1d (30m)",
    )
    verb.add_argument("--once", action="store_true", help="for a single login within that time")
    verb.add_argument("--end", action="store_true", help="end the present grant")
    verb.set_defaults(run=grant.give_grant)

    verb = verbs.add_parser("explain", help="root: what would happen to a login, and why")
    explain.add_arguments(verb)
    verb.set_defaults(run=explain.explain)

    verb = verbs.add_parser("import", help="root: move a user's secret into the store in force")
    verb.add_argument("name", metavar="USER")
    verb.set_defaults(run=migrate.take_over)

    verb = verbs.add_parser("config", help="look at the settings")
    actions = verb.add_subparsers(title="actions", metavar="ACTION", required=True)
    verb = actions.add_parser("check", help="report everything that is wrong with a file")
    verb.add_argument("file", nargs="?", default=config.PATH, metavar="FILE")
    verb.set_defaults(run=config.check)
    return parser


def _say_error(message: str, hint: str) -> None:
    _say("error", message, hint)


def _say(what: str, message: str, hint: str) -> None:
    try:
        # Where both streams go to one file, what was said before the error stands before it.
        print(end="", flush=True)
    except OSError:
        give_output_up()
    # Two lines, whatever was typed and is quoted in them.
    lines = (
        "".join(each if each.isprintable() else ascii(each)[1:-1] for each in line)
        for line in (f"pam-totp: {what}: {message}", f"hint: {hint}")
    )
    print("\n".join(lines), file=sys.stderr)
