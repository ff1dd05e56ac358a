# SPDX-License-Identifier: MIT
"""What must hold at every login alike: over ssh, at a console, with su and with sudo."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_client import client_options
from tests.host.ssh_server import SshServer
from tests.host.system_log import SystemLog
from tests.host.terminal import HANG_UP, Conversation, converse

Enroll = Callable[..., Credential]
SESSION = "this is a session"
SAY = f"echo {SESSION}"
NAME, PASSWORD, CODE = "server login: ", "Password: ", "Verification code: "
SUDO = "[sudo] password for {user}: "


@dataclass(frozen=True)
class Service:
    """How one logs in by it as {user}, with the password of {user}."""

    argv: tuple[str, ...]
    caller: str = "root"  # whose terminal it is: or the user's own, or another user's
    name: str = ""  # how it asks for the name
    password: str = PASSWORD
    code: str = CODE
    again: str = ""  # what it asks after a refusal, where it does not end
    prompt: str = ""  # the prompt of a session that has to be told what to do
    rhost: str = ""


SERVICES = {
    "sshd": Service(
        ("ssh", "-l", "{user}", "server", SAY),
        password=f"({{user}}@server) {PASSWORD}",
        code=f"({{user}}@server) {CODE}",
        rhost="127.0.0.1",
    ),
    "login": Service(("login",), name=NAME, again=NAME, prompt="{user}@server:~$ "),
    "su": Service(("su", "{user}", "-c", SAY), caller="another user"),
    "su-l": Service(("su", "-", "{user}", "-c", SAY), caller="another user"),
    "sudo": Service(("sudo", *SAY.split()), "the user", password=SUDO, again=SUDO),
    "sudo-i": Service(("sudo", "-i", *SAY.split()), "the user", password=SUDO, again=SUDO),
}


class Login:
    """`login(code, …, accepted=True)`: who logs in, by which service, and what it asked."""

    def __init__(self, service: str, user: User, caller: User | None, options: list[str]) -> None:
        self.service = SERVICES[service]
        self.user = user
        self._caller = caller
        program, *arguments = (self._named(word) for word in self.service.argv)
        self._argv = [program, *options, *arguments]

    def _named(self, text: str) -> str:
        return text.replace("{user}", self.user.name)

    def __call__(self, *codes: str, password: str = "", accepted: bool) -> Conversation:
        """Asserts that what was asked is what ought to be, and that a session began or did not."""
        service = self.service
        steps = [(service.name, self.user.name)] if service.name else []
        steps += [(service.password, password or self.user.password)]
        steps += [(service.code, code) for code in codes]
        if accepted and service.prompt:
            steps += [(service.prompt, SAY), (service.prompt, "exit")]
        if service.again and not accepted:
            steps += [(service.again, HANG_UP)]
        steps = [(self._named(question), typed) for question, typed in steps]
        dialogue = [(re.escape(question.rstrip()), typed) for question, typed in steps]
        login = converse(self._argv, dialogue, user=self._caller)
        assert login.prompts == [question for question, _ in steps]
        assert (SESSION in login.transcript.splitlines()) is accepted
        return login


@pytest.fixture(params=SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def login(
    service: str,
    user: User,
    make_user: Callable[..., User],
    pam_services: PamServices,
    code_server: SshServer,
) -> Login:
    """With the one line in the real files of /etc/pam.d; sshd has it from `code_server`."""
    for each in ("login", "su", "sudo", "sudo-i"):
        pam_services.add(each, shipped_lines("password-then-code"))
    user.may_sudo()
    caller = {"root": None, "the user": user}.get(SERVICES[service].caller, make_user())
    return Login(service, user, caller, client_options(code_server) if service == "sshd" else [])


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def test_a_wrong_password_is_refused_before_any_code_is_asked(
    login: Login, user: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    enrolled(user)
    login(password="wrong", accepted=False)
    assert syslog.lines(ident="pam-totp") == []


def test_the_password_and_then_the_code_are_accepted(
    login: Login, user: User, enrolled: Enroll, syslog: SystemLog, service: str
) -> None:
    login(enrolled(user, device="my phone").fresh_code(), accepted=True)
    assert syslog.decisions() == [
        {
            "verdict": "accept",
            "reason": "totp",
            "user": user.name,
            "service": service,
            "rhost": login.service.rhost,
            "device": "my phone",
        }
    ]


def test_three_incorrect_codes_refuse(
    login: Login, user: User, enrolled: Enroll, syslog: SystemLog, service: str
) -> None:
    credential = enrolled(user)
    login(*(credential.incorrect_code(index) for index in range(3)), accepted=False)
    decision = {
        "verdict": "refuse",
        "reason": "wrong-code",
        "user": user.name,
        "service": service,
        "rhost": login.service.rhost,
        "device": "",
    }
    assert syslog.decisions() == [decision] * 3


def test_after_an_incorrect_code_and_an_empty_one_the_correct_one_is_accepted(
    login: Login, user: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    login(credential.incorrect_code(), "", credential.fresh_code(), accepted=True)
    assert reasons(syslog) == ["wrong-code", "bad-input", "totp"]


def test_a_used_code_is_refused_at_the_next_login(
    login: Login, user: User, enrolled: Enroll, syslog: SystemLog
) -> None:
    code = enrolled(user).fresh_code()
    login(code, accepted=True)
    if login.service.password == SUDO:
        user.run_as("sudo", "-K", check=True)  # or its ticket is enough
    login(code, code, code, accepted=False)
    assert reasons(syslog) == [
        "totp",
        "reused-code",
    ]  # given again at once, it is not verified again


def test_a_user_who_has_not_enrolled_is_accepted_without_a_code(
    login: Login, user: User, syslog: SystemLog, service: str
) -> None:
    login(accepted=True)
    (decision,) = syslog.decisions()
    assert (decision["verdict"], decision["reason"]) == ("skip", "not-enrolled")
    assert (decision["user"], decision["service"]) == (user.name, service)
    assert decision["rhost"] == login.service.rhost
