# SPDX-License-Identifier: MIT
"""The verbs of `pam-totp`, and what may be typed after each."""

import argparse
import importlib
import re
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NoReturn

from pam_totp import VERSION
from pam_totp.errors import Error, UsageError
from pam_totp.spelling import did_you_mean

# One file each in pam_totp/commands; in the order of --help: for users first, then for root.
VERBS = (
    "enroll",
    "status",
    "devices",
    "check",
    "resync",
    "recovery-codes",
    "users",
    "invite",
    "sheet",
    "reset",
    "unlock",
    "grant",
    "contact",
    "explain",
    "enable",
    "disable",
    "confirm",
    "doctor",
    "import",
    "migrate",
    "store",
    "config",
)

# What is typed in place of an option, where a verb has that option.
_MEANT = {
    r"--(phone|mobile|number|cell|tel)\b.*": "--sms",
    r"--(e-mail|address)\b.*": "--mail",
    r"\+?[0-9]{5,}": "--sms",
    r"[^-].*@.*": "--mail",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message, self._hint())

    def _hint(self, unknown: str = "") -> str:
        """The verb's own --help; who wants what a verb is about of everybody is told of `users`."""
        is_of_user = any(each.metavar == "USER" for each in self._get_positional_actions())
        return "pam-totp users" if unknown == "--list" and is_of_user else f"{self.prog} --help"

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Also takes names on both sides of an option, and refuses unknown arguments, so that the
        hint names the verb's own --help."""
        found, unknown = super().parse_known_args(args, namespace)
        lists = [each for each in self._get_positional_actions() if each.nargs in ("+", "*")]
        if lists and not any(word.startswith("-") for word in unknown):
            setattr(found, lists[0].dest, [*getattr(found, lists[0].dest), *unknown])
            return found, []
        if unknown:
            message = f"unrecognized arguments: {' '.join(unknown)}{self._meant(unknown[0])}"
            raise UsageError(message, self._hint(unknown[0]))
        return found, unknown

    def _meant(self, word: str) -> str:
        options = self._option_string_actions
        for pattern, option in _MEANT.items():
            if option in options and re.fullmatch(pattern, word):
                return f"; did you mean {option}{'' if word.startswith('-') else f' {word}'}?"
        return did_you_mean(word, options) if word.startswith("-") else ""

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


def parser(named: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The verb that is named, or, if none is, every verb, with its options. To import them all
    takes longer than most of them run. Raises Error."""
    whole = _Parser(prog="pam-totp", description="Manage verification codes for logins.")
    whole.add_argument("--version", action="version", version=f"pam-totp {VERSION}")
    verbs = whole.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name in [each for each in VERBS if each in named] or VERBS:
        module = _module_of(name)
        verb = verbs.add_parser(name, help=module.HELP, description=_sentence(module.HELP))
        module.add_arguments(verb)
        verb.set_defaults(run=module.run, verb=name)
    return whole


def _module_of(verb: str) -> ModuleType:
    try:
        return importlib.import_module(f"pam_totp.commands.{verb.replace('-', '_')}")
    except Exception as failure:  # a file or a library that is damaged or missing
        message = f"the installation is damaged: {type(failure).__name__}: {failure}"
        hint = "install pam-totp and the packages that it needs again"
        raise Error(message, hint) from None


def _sentence(summary: str) -> str:
    """A verb's line in the list of verbs, as the sentence above its own options."""
    _, is_for_root, what = summary.rpartition("root: ")
    end = " Must be run as root." if is_for_root else ""
    return f"{what[0].upper()}{what[1:]}.{end}"


def is_for_root(command: str) -> bool:
    """Whether it is a verb of ours that only root can run."""
    program, verb = [*command.split(), "", ""][:2]
    if program != "pam-totp" or verb not in VERBS:
        return False
    try:
        return str(_module_of(verb).HELP).startswith("root: ")
    except Error:  # this is to tell what was wrong before that
        return False
