# SPDX-License-Identifier: MIT
"""What a login with a code that was sent leaves for the next one, and what it does not."""

from collections.abc import Callable

import pytest

from tests.commands.commands import configured
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, REFUSED, STATE
from tests.sending.application import Application, login
from tests.sending.outbox import NUMBER, SENDS, TextMessage, give_contact, wait_for

Messages = Callable[[], list[TextMessage]]


def recorded(user: User) -> str:
    """In the record of logins with a code: "sent" if no app of the user is known."""
    return (STATE / "enforced" / str(user.uid)).read_text()


def log_in(user: User, messages: Messages, count: int) -> None:
    with login(user) as application:
        application.verify("sms")
        assert application.verify(wait_for(messages, count).code).code == ACCEPTED


def test_a_user_without_an_app_is_recorded_as_one(user: User, messages: Messages) -> None:
    give_contact(user, ("sms", NUMBER))
    log_in(user, messages, 2)  # the gate has sent the first
    assert recorded(user) == "sent"


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_user_with_an_app_is_recorded_as_one_also_where_it_cannot_be_read(
    user: User, credential: Credential, messages: Messages, mode: int
) -> None:
    """Else the store of a fleet that the host joins later could forget that app."""
    give_contact(user, ("sms", NUMBER))
    (user.home / ".config" / "pam-totp" / "secret").chmod(mode)
    log_in(user, messages, 1 if mode == 0o600 else 2)
    assert recorded(user) == ""


def test_an_app_that_is_new_is_recorded_at_the_next_login(
    user: User, enrolled: Callable[[User], Credential], messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))
    log_in(user, messages, 2)
    enrolled(user)
    log_in(user, messages, 3)
    assert recorded(user) == ""


def test_what_was_proved_sends_nothing_once_the_process_shows_how_to_enroll(
    user: User, messages: Messages
) -> None:
    """As where the settings were changed: the gate becomes another program then."""
    give_contact(user, ("sms", NUMBER), confirmed=0)
    with login(user) as application:
        wait_for(messages)
        with configured(f"enrollment: at-login\n{SENDS}", settled=True):
            assert application.gate("incorrect").code == ASK
            assert application.verify("sms").code == REFUSED
    assert len(messages()) == 1


def test_two_processes_keep_what_each_has_proved(user: User, messages: Messages) -> None:
    """Of what is forgotten at the next login in one of them."""
    give_contact(user, ("sms", NUMBER))
    with login(user) as first, Application(user) as second:
        code = wait_for(messages).code
        second.gate("incorrect")
        assert first.verify(code).code == ACCEPTED
