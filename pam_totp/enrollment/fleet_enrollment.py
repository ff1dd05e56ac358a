# SPDX-License-Identifier: MIT
"""`pam-totp enroll` at a login host of a fleet: the store makes the secret, and confirms it.

- Until the store has confirmed the new secret, the old one MUST stay as it is.
- A code alone MUST enroll nobody: this host, and whoever sees what is typed here, would have it.
"""

import argparse
import pwd
import time

from pam_totp.enrollment import picture_file
from pam_totp.enrollment.identity import confirm, log_for_another
from pam_totp.enrollment.label import additions_to_label, fits_terminal
from pam_totp.enrollment.proof import TRIES, Unsaved, what_is_wrong
from pam_totp.enrollment.terminal import ask, say, tell
from pam_totp.enrollment.uri import host_name, new_uri
from pam_totp.errors import Error, command
from pam_totp.records import fleet, fleet_of_commands
from pam_totp.records.config import settings
from pam_totp.records.fleet import NewSecret
from pam_totp.records.user import recovery
from pam_totp.rules import reasons
from pam_totp.rules.credential import Credential, parse_line
from pam_totp.rules.reasons import Failure
from pam_totp.rules.typed_code import RECOVERY_CHARACTERS, read_code
from pam_totp.signals import finish_undisturbed, later

DEVICE = "phone"
PROMPT, CODE_PROMPT = "Invitation: ", "Code from the app: "
_SHAPE = "An invitation is 16 letters and digits, in groups of four."
_INVITATION_TRIES = 3
# What the store says of a code that may be correct, for the user who typed it.
_SAID = {
    reasons.REUSED_CODE: "This code was already used. Wait for the next one.",
    reasons.STORE_PROMOTED: "Another server now checks codes. Wait for the next code but one.",
}


def enroll(account: pwd.struct_passwd, options: argparse.Namespace) -> None:
    """Enrolls the user in the fleet, by an invitation. Raises Error: what it says of the old secret
    is true."""
    name = account.pw_name
    standing = standing_of(name)
    is_enrolled = standing.state == fleet.ENROLLED
    if is_enrolled:
        say(f"{name} is already enrolled. This will replace the existing secret in the fleet.")
        confirm(account, command("reset", name, options=["--fleet"]))
    invitation = "" if standing.may_enroll and not is_enrolled else _ask_invitation(name)
    new = _begin(name, invitation)
    uri = _uri_of(new, name, options)
    credential = parse_line(f"{uri} {DEVICE}")
    with picture_file.shown(uri, credential, options), Unsaved(lambda: new.replaces):
        codes = _confirm(name, invitation, credential)
    if isinstance(codes, Failure):
        message = f"it is not known whether the new secret is active: {codes.detail}"
        raise Error(message, "log in with a code of the new entry, or else of the old one")
    log_for_another("enroll", account)
    text = f"Saved: {name} is enrolled at all hosts of the fleet. That code is used up, so wait\n"
    text += "for the next one before you log in.\n"
    if path := picture_file.path_of(options):
        text += f"{picture_file.advice(path, repr(DEVICE))}\n"
    text += f"\n{recovery.describe(codes)}\n"
    by_root = command("recovery-codes", options=["--fleet"], user=name)
    unseen = "the new secret is active, but its recovery codes were not shown"
    tell(text, Error(unseen, f"ask root to run on a database server: {by_root}"))


def standing_of(name: str) -> fleet.Standing:
    """What the store says of a person. Raises Error, also if the store cannot be believed."""
    try:
        standing = fleet.standing(name)
    except Failure as failure:
        raise refusal(failure, name) from None
    if standing.state == fleet.DISBELIEVED:
        message = "the store is older than one that this host has seen; nothing was changed"
        raise Error(message, "ask root to run on a database server: pam-totp store restored")
    return standing


def refusal(failure: Failure, name: str) -> Error:
    """The error where the store refuses, or does not answer."""
    if failure.reason == reasons.STORE_UNAVAILABLE:
        message = f"the store cannot be asked: {failure.detail}; nothing was changed"
        return Error(message, "run the command again later")
    if failure.reason == reasons.HOST_REFUSED:
        return Error(f"{failure.detail}; nothing was changed", "ask root to run: pam-totp doctor")
    invite = command("invite", name)
    message = f"the store refused: {failure.detail}; nothing was changed"
    return Error(message, f"ask root to run on a database server: {invite}")


def _ask_invitation(name: str) -> str:
    for _ in range(_INVITATION_TRIES):
        typed = ask(PROMPT).encode("utf-8", "replace")
        try:
            read = read_code(typed, allow_recovery=True)
        except Failure:
            read = ""
        if len(read) == RECOVERY_CHARACTERS:
            return read
        say(_SHAPE)
    hint = f"ask root to run on a database server: {command('invite', name)}"
    raise Error("no invitation was entered; nothing was changed", hint)


def _begin(name: str, invitation: str) -> NewSecret:
    try:
        return fleet.enroll_begin(name, invitation, DEVICE)
    except Failure as failure:
        raise refusal(failure, name) from None


def _uri_of(new: NewSecret, name: str, options: argparse.Namespace) -> str:
    """What the app reads: no host's name, if it can be helped, since the secret is for all of them.
    Raises Error for what no app could read."""
    domain = host_name().partition(".")[2]
    issuer = options.issuer or settings.load().values["issuer"] or domain
    chosen = new.chosen() | {"issuer": issuer}
    existing = b"" if new.replaces else None
    (addition,) = additions_to_label(None, existing, time.localtime())
    label = options.label or f"{name} {addition}".rstrip()
    return new_uri(name, chosen, fits_terminal, label)


def _confirm(name: str, invitation: str, credential: Credential) -> list[str] | Failure:
    """Asks for a code until the store has confirmed one: the recovery codes, or why it is not known
    whether it did. Raises Error."""
    difference = _clock_difference()
    for _ in range(TRIES):
        try:
            code = read_code(ask(CODE_PROMPT).encode("utf-8", "replace"))
        except Failure:
            say(f"A code is {credential.digits} digits.")
            continue
        try:
            with later():
                answer = fleet.enroll_confirm(name, invitation, code)
                if answer.confirmed:
                    finish_undisturbed()
        except Failure as failure:
            if failure.reason == reasons.STORE_UNAVAILABLE:
                return failure
            raise refusal(failure, name) from None
        if answer.confirmed:
            return answer.recovery_codes
        if answer.reason == reasons.NOT_ENROLLED:  # shown too long ago, or begun again elsewhere
            message = "the new secret is no longer valid; nothing was changed"
            raise Error(message, "pam-totp enroll")
        now = time.time() + difference
        say(_SAID.get(answer.reason) or what_is_wrong(credential, code, now, "", "the store's"))
    raise Error(f"{TRIES} incorrect codes; nothing was changed", "pam-totp enroll")


def _clock_difference() -> float:
    """By how many seconds the store's clock, which counts, is ahead of this host's."""
    try:
        return fleet_of_commands.info().clock_difference
    except Failure:
        return 0.0  # it only helps to say what is wrong
