# SPDX-License-Identifier: MIT
"""The command `pam-totp`: its verbs, and how errors are printed.

Exit codes: 0 done, 1 refused or found faults, 2 wrong usage. Errors are two lines on standard
error: what is wrong and what to run next.
"""

import argparse
import io
import os
import sys
from typing import Any, NoReturn

from pam_totp import VERSION
from pam_totp.commands import (
    check,
    config,
    confirm,
    disable,
    doctor,
    enable,
    enroll,
    explain,
    grant,
    migrate,
    recovery_codes,
    reset,
    status,
    unlock,
    users,
)
from pam_totp.errors import Error, UsageError, give_output_up, print_only_text, printable
from pam_totp.listing import fit
from pam_totp.setup import apply
from pam_totp.spelling import did_you_mean
from pam_totp.stack import turned_on

# One file each in pam_totp/commands; in the order of --help: for users first, then for root.
VERBS = (
    enroll,
    status,
    check,
    recovery_codes,
    users,
    reset,
    unlock,
    grant,
    explain,
    enable,
    disable,
    confirm,
    doctor,
    migrate,
    config,
)
_FOR_ROOT = [
    ["pam-totp", each.__name__.rpartition(".")[2]]
    for each in VERBS
    if each.HELP.startswith("root: ")
]
# Of root's commands: `su` leaves them the one of whoever called it.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# It changes nothing at all, and says itself which services no longer ask.
READ_ONLY = "doctor"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _say_error(message, f"{self.prog} --help")
        raise SystemExit(2)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Also takes names on both sides of an option, and refuses unknown arguments, so that the
        hint names the verb's own --help."""
        found, unknown = super().parse_known_args(args, namespace)
        lists = [each for each in self._get_positional_actions() if each.nargs in ("+", "*")]
        if lists and not any(word.startswith("-") for word in unknown):
            setattr(found, lists[0].dest, [*getattr(found, lists[0].dest), *unknown])
            return found, []
        if unknown:
            near = did_you_mean(unknown[0], self._option_string_actions)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """For a misspelt verb, suggests the nearest one; argparse would list them all. An option is
        named in words, with what there is to choose."""
        is_verb = not action.option_strings
        if is_verb and isinstance(action.choices, dict) and value not in action.choices:
            near = did_you_mean(value, action.choices)
            self.error(f"unknown {str(action.metavar).lower()} {value!r}{near}")
        if action.option_strings and action.choices and value not in action.choices:
            *first, last = map(str, action.choices)
            what = action.option_strings[-1].lstrip("-").replace("-", " ")
            self.error(f"unknown {what} {value!r}; choose {', '.join(first)} or {last}")
        super()._check_value(action, value)


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; the exit code. No traceback ever leaves it."""
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
            _take_back_what_was_left()
            lost = turned_on.lost()
            if lost:
                _say("warning", *lost)
        code = _run(arguments)
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
    try:
        said = apply.recover()
    except Error as fault:
        _say("warning", fault.message, fault.hint)
        return
    if said:
        what = f"a change that nobody had kept was taken back: {' '.join(said)}"
        _say("warning", what, "pam-totp status")


def _run(arguments: list[str] | None) -> int:
    try:
        options = parser().parse_args(arguments)
    except SystemExit as ended:  # --help, --version, wrong usage
        return ended.code if isinstance(ended.code, int) else 2
    code: int = options.run(options)
    return code


def parser() -> argparse.ArgumentParser:
    """Every verb with its options."""
    whole = _Parser(prog="pam-totp", description="Manage verification codes for logins.")
    whole.add_argument("--version", action="version", version=f"pam-totp {VERSION}")
    verbs = whole.add_subparsers(title="verbs", metavar="VERB", required=True)

    for module in VERBS:
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        verb = verbs.add_parser(name, help=module.HELP, description=_sentence(module.HELP))
        module.add_arguments(verb)
        verb.set_defaults(run=module.run)
    return whole


def _sentence(summary: str) -> str:
    """A verb's line in the list of verbs, as the sentence above its own options."""
    _, is_for_root, what = summary.rpartition("root: ")
    end = " Must be run as root." if is_for_root else ""
    return f"{what[0].upper()}{what[1:]}.{end}"


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
    if os.environ.get("SUDO_USER") and hint.split()[:2] in _FOR_ROOT:
        hint = f"sudo {hint}"
    first = fit(printable(f"pam-totp: {what}: {message}"), sys.stderr)
    print(f"{first}\n{printable(f'hint: {hint}')}", file=sys.stderr)
