# SPDX-License-Identifier: MIT
"""The command `pam-totp`: what it does before and after a verb, and how errors are printed.

Exit codes: 0 done, 1 refused or found faults, 2 wrong usage. Errors are two lines on standard
error: what is wrong and what to run next.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable

from pam_totp.errors import Error, NoUser, UsageError, give_output_up, print_only_text, printable
from pam_totp.fleet import login_host
from pam_totp.listing import fit
from pam_totp.setup.under_way import has_current
from pam_totp.verbs import is_for_root, parser

# Of root's commands: `su` leaves them the one of whoever called it.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# It changes nothing at all, and says itself which services no longer ask.
READ_ONLY = "doctor"


def main(arguments: list[str] | None = None, act: Callable[[], int] | None = None) -> int:
    """Runs one verb, or what a script does in place of one; the exit code. No traceback ever leaves
    it."""
    if sys.stdout is None:
        _say_error("standard output is closed; nothing was done", "pam-totp … >/dev/null")
        return 1
    print_only_text()
    if sys.stdin is None:  # closed: nobody answers
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115 - as standard input is
    if os.geteuid() == 0:
        os.environ["PATH"] = PATH
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # bytes that are not text are an incorrect answer
    what = "unexpected failure: "
    try:
        is_read_only = (sys.argv[1:] if arguments is None else arguments)[:1] == [READ_ONLY]
        if os.geteuid() == 0 and not is_read_only:
            from pam_totp.stack import turned_on  # only root can see this

            if has_current():
                _take_back_what_was_left()
            lost = turned_on.lost()
            if lost:
                _say("warning", *lost)
        code = run_verb(arguments) if act is None else act()
        what = "done, but the output cannot be written: "
        sys.stdout.flush()
        return code
    except UsageError as fault:
        _say_error(fault.message, fault.hint)
        return 2
    except Error as fault:
        _say_error(fault.message, fault.hint)
    except KeyboardInterrupt:
        if sys.stdout.isatty():
            print()
        _say_error("interrupted; nothing was changed", "run the command again")
    except OSError as failure:
        give_output_up()
        if not isinstance(failure, BrokenPipeError):
            _say_error(f"{what}{failure.strerror or failure}", "ls -l /dev/stdout")
    except Exception as failure:
        detail = f"{type(failure).__name__}: {failure}"
        _say_error(f"unexpected failure: {detail}", "report this, with the command that you typed")
    return 1


def _take_back_what_was_left() -> None:
    """A trial whose command and watcher were killed, or that a restart of the machine has ended."""
    from pam_totp.setup import apply  # hardly ever

    try:
        said = apply.recover()
    except Error as fault:
        _say("warning", fault.message, fault.hint)
        return
    if said:
        what = f"a change that nobody had kept was taken back: {' '.join(said)}"
        _say("warning", what, "pam-totp status")


def run_verb(arguments: list[str] | None) -> int:
    """Runs the verb that is named; the exit code. Raises Error."""
    try:
        given = sys.argv[1:] if arguments is None else arguments
        options = parser(given[:1]).parse_args(given)
    except SystemExit as ended:  # --help, --version, wrong usage
        return ended.code if isinstance(ended.code, int) else 2
    login_host.refuse(options.verb, options)
    try:
        code: int = options.run(options)
    except NoUser as fault:
        raise Error(fault.message, _of_fleet(options) or fault.hint) from None
    in_fleet = _of_fleet(options) if sys.stderr.isatty() else ""
    if in_fleet:
        _say("note", "this was about users of this server alone, not of the fleet", in_fleet)
    return code


def _of_fleet(options: argparse.Namespace) -> str:
    """What of_fleet.command says."""
    from pam_totp.fleet import of_fleet  # few commands are typed at a terminal by root

    return of_fleet.command(options)


def _say_error(message: str, hint: str) -> None:
    _say("error", message, hint)


def _say(what: str, message: str, hint: str) -> None:
    try:
        # Where both streams go to one file, keep the output before the error.
        print(end="", flush=True)
    except OSError:
        give_output_up()
    # Two lines, whatever they quote; at a terminal the first is wrapped. The hint is not, since it
    # is there to be copied.
    if os.environ.get("SUDO_USER") and is_for_root(hint):
        hint = f"sudo {hint}"
    first = fit(printable(f"pam-totp: {what}: {message}"), sys.stderr)
    print(f"{first}\n{printable(f'hint: {hint}')}", file=sys.stderr)
