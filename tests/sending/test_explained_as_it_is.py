# SPDX-License-Identifier: MIT
"""`pam-totp explain` beside the login: each kind of user under each kind of rule and setting."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User, add_user, remove_user
from tests.host.credentials import enroll
from tests.host.programs import NO_CODE_NEEDED
from tests.sending.application import Application
from tests.sending.outbox import forget_limits, give_contact, new_text_messages

NONE, UNCONFIRMED, CONFIRMED = "none", "unconfirmed", "confirmed"
KINDS = list(itertools.product((False, True), (NONE, UNCONFIRMED, CONFIRMED)))
MODES = ("optional", "required", "at-login", "{by: 2100-01-01}")
OPTIONS = "--service", "login", "--json"
METHODS = ("totp", "totp, sms", "sms, totp")
# What happens at a login, as either of them tells.
NOTHING, QR_CODE, SENT, ASKED, REFUSES = "nothing", "QR code", "sent", "asked", "refuses"
People = dict[tuple[bool, str], User]


@pytest.fixture(scope="module")
def people() -> Iterator[People]:
    """Of each kind one: whether there is an app, and what contact."""
    made = {kind: add_user() for kind in KINDS}
    for number, ((has_app, contact), user) in enumerate(made.items()):
        if has_app:
            enroll(user)
        if contact != NONE:
            address = f"+4917012345{number:02}"
            give_contact(user, ("sms", address), confirmed=int(contact == CONFIRMED))
    with new_text_messages():
        yield made
    for user in made.values():
        remove_user(user)


def of_gate(user: User, *, has_app: bool) -> tuple[str, bool]:
    """What it is, and whether the user is told how to have a code sent."""
    with Application(user, PAM_SERVICE="login", PAM_RHOST="", PAM_TTY="tty1") as application:
        done = application.gate()
        if done.code == NO_CODE_NEEDED:
            return NOTHING, False
        if "Key: " in done.output:
            return QR_CODE, False
        if "A code is on its way" in done.output:
            return SENT, False
    offers = "enter sms" in done.output
    return (ASKED if has_app or offers else REFUSES), offers


def of_explain(said: dict[str, object]) -> tuple[str, bool]:
    outcome, sent = str(said["outcome"]), said["codes_sent"]
    assert isinstance(sent, list)
    at_once = any(each["at_once"] for each in sent)
    if not said["needs_code"]:
        return NOTHING, False
    if "a QR code is shown" in outcome:
        return (QR_CODE, bool(sent))
    if outcome.startswith("refused"):
        return (REFUSES, bool(sent))
    assert "code" in outcome
    return (SENT, False) if at_once else (ASKED, bool(sent))


@pytest.mark.parametrize("methods", METHODS)
@pytest.mark.parametrize("code", ["required", "if-enrolled"])
@pytest.mark.parametrize("mode", MODES)
def test_explain_says_what_the_login_does(
    people: People, mode: str, code: str, methods: str
) -> None:
    rules = f"rules:\n  - {{code: {code}, methods: [{methods}]}}\n"
    with configured(f"enrollment: {mode}\n{rules}"):
        for (has_app, contact), user in people.items():
            said = json.loads(pam_totp("explain", user.name, *OPTIONS).output)
            happens = of_gate(user, has_app=has_app)
            assert of_explain(said) == happens, (has_app, contact, said["outcome"])
            forget_limits()


AT_LOGIN = "enrollment: at-login\nrules:\n  - {code: required}\n"


def test_record_of_contacts_that_cannot_be_read_is_told_where_it_keeps_the_qr_code_away(
    user: User,
) -> None:
    path = give_contact(user, ("sms", "+491701234599"))
    path.write_text("junk\n")
    with configured(AT_LOGIN):
        assert of_gate(user, has_app=False) == (REFUSES, False)
        outcome = json.loads(pam_totp("explain", user.name, *OPTIONS).output)["outcome"]
    assert outcome.startswith("refused, and no QR code is shown: ") and "malformed" in outcome
    assert f"pam-totp contact {user.name} --remove" in outcome


def test_enable_names_a_user_who_is_shown_no_qr_code(user: User) -> None:
    def refused() -> list[str]:
        done = pam_totp("enable", "sudo", "--dry-run", "--json")
        return [each["user"] for each in json.loads(done.output)["refused_users"]]

    with configured(AT_LOGIN):
        assert user.name not in refused()
        give_contact(user, ("sms", "+491701234599"))
        assert user.name in refused()
    with configured(AT_LOGIN.replace("required}", "required, methods: [totp, sms]}")):
        assert user.name not in refused()


def test_config_check_warns_where_root_is_shown_no_qr_code() -> None:
    root = User("root", "", 0, 0, Path("/root"))
    with configured(AT_LOGIN):
        assert "root would be locked out" not in pam_totp("config", "check").errors
        path = give_contact(root, ("sms", "+491701234599"))
        try:
            assert "root would be locked out of" in pam_totp("config", "check").errors
        finally:
            path.unlink()
