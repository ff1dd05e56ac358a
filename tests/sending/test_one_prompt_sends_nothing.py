# SPDX-License-Identifier: MIT
"""Servers whose clients have one prompt, a real Dovecot and a real saslauthd: nobody could enter a
code there that is sent, and mail programs connect again all the time."""

from collections.abc import Callable

import pytest

from tests.commands.commands import pam_totp
from tests.host.accounts import User
from tests.host.daemons import Daemon, SaslServer
from tests.host.imap_server import ImapServer
from tests.host.pam_services import PASSWORD_LINE, PamServices, shipped_lines
from tests.host.system_log import SystemLog
from tests.sending.outbox import NUMBER, TextMessage, give_contact, logged

Messages = Callable[[], list[TextMessage]]
Server = ImapServer | Daemon


@pytest.fixture(params=["dovecot", "saslauthd"])
def server(
    request: pytest.FixtureRequest,
    pam_services: PamServices,
    start_imap_server: Callable[[], ImapServer],
    start_daemon: Callable[[Callable[[], Daemon]], Daemon],
) -> Server:
    """One of the two, with the lines for one prompt."""
    if request.param == "dovecot":
        pam_services.replace_password("dovecot", shipped_lines("one-prompt"))
        return start_imap_server()
    at_once = "auth requisite pam_unix.so nodelay"
    lines = [each.replace(PASSWORD_LINE, at_once) for each in shipped_lines("one-prompt")]
    others = [f"{kind} required pam_permit.so" for kind in ("account", "session")]
    pam_services.write(SaslServer.service, "\n".join([*lines, *others, ""]))
    return start_daemon(SaslServer)


def test_no_code_is_sent_and_none_is_accepted(
    user: User, server: Server, messages: Messages, syslog: SystemLog
) -> None:
    give_contact(user, ("sms", NUMBER))
    for typed in ("", "", "123456", "sms"):
        assert not server.accepts(user, user.password + typed)
    assert messages() == []
    decisions = [(each["verdict"], each["reason"]) for each in logged(syslog, user)]
    assert decisions == [("refuse", "not-enrolled")] * 3  # "sms" makes it a wrong password


def test_a_code_of_an_app_is_accepted(
    user: User, server: Server, enrolled: Callable[..., object], messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))
    code = enrolled(user).fresh_code()  # type: ignore[attr-defined]
    assert not server.accepts(user, user.password)
    assert server.accepts(user, user.password + code)
    assert messages() == []


def test_explain_says_that_none_is_sent(user: User, pam_services: PamServices) -> None:
    give_contact(user, ("sms", NUMBER))
    pam_services.replace_password("dovecot", shipped_lines("one-prompt"))
    said = pam_totp("explain", user.name, "--service", "dovecot").output
    assert "BUT no code is sent, because dovecot has one prompt (combined)" in said
    assert "a code is sent by" not in said


def test_explain_says_where_a_question_cannot_be_shown(
    user: User, pam_services: PamServices
) -> None:
    give_contact(user, ("sms", NUMBER))
    pam_services.write("imap", f"{PASSWORD_LINE}\nauth required pam_totp.so\n")
    said = pam_totp("explain", user.name, "--service", "imap").output
    assert "BUT programs of imap usually have one prompt, and users who must enter a code" in said
