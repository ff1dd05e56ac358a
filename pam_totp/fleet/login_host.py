# SPDX-License-Identifier: MIT
"""What each verb of `pam-totp` is at a login host of a fleet (store: postgresql).

Logins use no secret that is kept there. A verb that reads or changes secrets of the host would show
what no login uses, or change it in silence.

- Every verb MUST be in VERBS: one that is not is refused there.
- A verb that cannot do its work there MUST change nothing and say where it is done.
"""

import argparse
import os
import pwd
import shlex

from pam_totp.errors import Error, UsageError
from pam_totp.records.config import settings
from pam_totp.rules.reasons import Failure

WORKS = ""  # as elsewhere, or the verb itself knows that the store is asked
# What is done instead, for root: words of a command on a database server, with those in braces from
# the options; or else a sentence.
VERBS = {
    "enroll": WORKS,
    "status": WORKS,
    "devices": "pam-totp explain --fleet {user}",
    "check": "a code can only be tried by logging in with it",
    "resync": "pam-totp invite {user}",
    "recovery-codes": "pam-totp recovery-codes --fleet --user {user}",
    "users": WORKS,
    "invite": WORKS,
    "sheet": "pam-totp invite {names}",
    "reset": "pam-totp reset --fleet {name}",
    "unlock": "pam-totp unlock --fleet {name}",
    "grant": WORKS,
    "contact": WORKS,
    "explain": WORKS,
    "enable": WORKS,
    "disable": WORKS,
    "confirm": WORKS,
    "doctor": WORKS,
    "import": "import on a database server, and then run pam-totp migrate --all --fleet there",
    "migrate": WORKS,
    "config": WORKS,
    "store": WORKS,
}
# Options of `enroll` that have no meaning where the store makes the secret.
_OF_ENROLL = {
    "token": "--token",
    "device": "--device",
    "digits": "--digits",
    "period": "--period",
    "algorithm": "--algorithm",
    "without_codes": "--no-recovery-codes",
}


def is_this() -> bool:
    """Whether this host asks the store of a fleet. Raises Error if that cannot be determined."""
    try:
        return settings.load().store == settings.FLEET
    except Failure as failure:
        raise Error(failure.detail, "pam-totp config check") from None


def refuse(verb: str, options: argparse.Namespace) -> None:
    """Raises Error where this host is one of a fleet and the verb cannot do its work here."""
    instead = VERBS.get(verb, "see pam-totp-fleet(7)")
    if (instead == WORKS and verb not in _CHECKED) or verb in _PARTLY:
        return
    if getattr(options, "fleet", False):
        return  # it asks the store of this very machine, and finds out whether there is one
    if not is_this():
        return
    if instead != WORKS:
        raise refusal(verb, options)
    _CHECKED[verb](options)


def refusal(verb: str, options: argparse.Namespace) -> Error:
    """That the verb cannot do its work at a login host, and where it is done."""
    instead = VERBS.get(verb, "see pam-totp-fleet(7)")
    return _elsewhere(f"`pam-totp {verb}` does not work at a login host", instead, options)


def _check_enroll(options: argparse.Namespace) -> None:
    if options.users or options.group:
        message = "many users at once cannot be enrolled at a login host"
        raise _elsewhere(message, "run `pam-totp invite` with their names on a database server")
    for name, option in _OF_ENROLL.items():
        if getattr(options, name):
            message = (
                f"{option} cannot be used here, because the store of the fleet makes the secret"
            )
            raise UsageError(message, "pam-totp enroll")


def _check_migrate(options: argparse.Namespace) -> None:
    if not (options.write or options.remove):
        message = "a login host cannot put secrets into the store of the fleet"
        raise UsageError(f"{message}; nothing was changed", "pam-totp migrate --all --write FILE")


# Verbs of which some options are refused.
_PARTLY = ("unlock",)  # does here what there is to do, and refuses by itself where there is nothing
_CHECKED = {"enroll": _check_enroll, "migrate": _check_migrate}


def _elsewhere(message: str, instead: str, options: argparse.Namespace | None = None) -> Error:
    why = "the secrets are in the store of the fleet (store: postgresql)"
    hint = instead
    if options is not None and instead.startswith("pam-totp "):
        words = [each for word in instead.split() for each in _words_of(word, options)]
        ask = "" if os.geteuid() == 0 else "ask root to run "
        hint = f"{ask}on a database server: {shlex.join(words)}"
    return Error(f"{message}, because {why}; nothing was changed", hint)


def _words_of(word: str, options: argparse.Namespace) -> list[str]:
    if word == "{names}":
        return list(options.names)
    if word == "{name}":
        return [options.name]
    return [options.user or _own_name()] if word == "{user}" else [word]


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "USER"
