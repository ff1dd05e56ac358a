# SPDX-License-Identifier: MIT
"""pam_totp.so in stacks of its own, driven through the real libpam: codes, options, silence."""

import subprocess
from collections.abc import Callable

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.system_log import SystemLog
from tests.stack.libpam import (
    HANG_UP,
    NO_ANSWER,
    PAM_AUTH_ERR,
    PAM_PERM_DENIED,
    PAM_SILENT,
    PAM_SUCCESS,
    Outcome,
)

Enroll = Callable[..., Credential]
Drive = Callable[..., Outcome]
PAM_SERVICE_ERR = 3  # security/_pam_types.h
CODE = "Verification code: "
LINE = "auth required pam_totp.so"
PASSED_KEY = "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA"


def incorrect_codes(credential: Credential, count: int) -> list[str | None]:
    return [credential.incorrect_code(index) for index in range(count)]


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def test_a_correct_code_succeeds(user: User, enrolled: Enroll, drive: Drive) -> None:
    login = drive([LINE], user, [enrolled(user).fresh_code()])
    assert (login.authenticate, login.setcred) == (PAM_SUCCESS, PAM_SUCCESS)
    assert (login.prompts, login.messages) == ([CODE], [])


def test_incorrect_codes_are_an_authentication_error(
    user: User, enrolled: Enroll, drive: Drive
) -> None:
    login = drive([LINE], user, incorrect_codes(enrolled(user), 3))
    assert (login.authenticate, login.prompts) == (PAM_AUTH_ERR, [CODE] * 3)
    assert login.messages == []


def test_the_log_has_what_the_application_says_of_the_login(
    user: User, enrolled: Enroll, drive: Drive, syslog: SystemLog
) -> None:
    code = enrolled(user).fresh_code()
    drive([LINE], user, [code], service="kiosk", items={"rhost": "2001:db8::1", "ruser": "eve"})
    (decision,) = syslog.decisions()
    assert (decision["user"], decision["service"]) == (user.name, "kiosk")
    assert decision["rhost"] == "2001:db8::1"


@pytest.mark.parametrize("control", ["required", "requisite", "sufficient"])
def test_no_code_needed_never_succeeds_by_itself(user: User, drive: Drive, control: str) -> None:
    login = drive([f"auth {control} pam_totp.so"], user, [])
    assert (login.authenticate, login.prompts) == (PAM_PERM_DENIED, [])
    over_a_denial = [f"auth {control} pam_totp.so", "auth required pam_deny.so"]
    assert drive(over_a_denial, user, []).authenticate != PAM_SUCCESS


def test_no_code_needed_is_pam_ignore(user: User, drive: Drive) -> None:
    only_if_ignored = "auth [ignore=ignore default=die success=die] pam_totp.so"
    login = drive([only_if_ignored, "auth required pam_permit.so"], user, [])
    assert login.authenticate == PAM_SUCCESS


@pytest.mark.parametrize(
    "option",
    [
        "nullok",
        "debug=1",
        "tries=",
        "tries=0",
        "tries=10",
        "tries=-1",
        "tries=3x",
        "tries=\u0663",
        "Tries=3",
        "prompt",
        "publickey_passed=yes",
        "publickey",
    ],
)
def test_an_unknown_option_denies_everybody_and_is_logged(
    user: User, enrolled: Enroll, drive: Drive, syslog: SystemLog, option: str
) -> None:
    not_enrolled = drive([f"{LINE} {option}"], user, [], service="sshd", variables=[PASSED_KEY])
    assert (not_enrolled.authenticate, not_enrolled.prompts) == (PAM_SERVICE_ERR, [])
    login = drive([f"{LINE} tries=3 {option}"], user, [enrolled(user).fresh_code()])
    assert (login.authenticate, login.prompts) == (PAM_SERVICE_ERR, [])
    refused = syslog.lines(f"refused: option '{option}' is invalid")
    assert [line.facility for line in refused] == ["authpriv", "authpriv"]


@pytest.mark.parametrize("tries", [1, 2, 9])
def test_tries_is_how_often_a_code_is_asked(
    user: User, enrolled: Enroll, drive: Drive, tries: int
) -> None:
    credential = enrolled(user)
    wrong = drive([f"{LINE} tries={tries}"], user, incorrect_codes(credential, tries + 1))
    assert (wrong.authenticate, wrong.prompts) == (PAM_AUTH_ERR, [CODE] * tries)
    subprocess.run(["pam-totp", "unlock", user.name], check=True, stdout=subprocess.DEVNULL)
    few = min(tries - 1, 4)  # a fifth incorrect code in a row would have to be waited for
    last = [*incorrect_codes(credential, few), credential.fresh_code()]
    assert drive([f"{LINE} tries={tries}"], user, last).authenticate == PAM_SUCCESS


@pytest.mark.parametrize("prompt", ["Your code: ", "", "%s%n%d: ", "\u041a\u043e\u0434: "])
def test_prompt_is_what_is_asked_letter_by_letter(
    user: User, enrolled: Enroll, drive: Drive, prompt: str
) -> None:
    login = drive([f"{LINE} [prompt={prompt}]"], user, [enrolled(user).fresh_code()])
    assert (login.authenticate, login.prompts) == (PAM_SUCCESS, [prompt])


@pytest.mark.parametrize(("service", "is_told"), [("console", False), ("sudo", True)])
def test_an_application_that_wants_silence_is_asked_and_told_nothing_but_sudo_which_always_wants_it(
    user: User, enrolled: Enroll, drive: Drive, service: str, is_told: bool
) -> None:
    credential = enrolled(user)
    drive([f"{LINE} tries=5"], user, [credential.incorrect_code(index) for index in range(5)])
    silent = drive([LINE], user, ["", HANG_UP], service=service, flags=PAM_SILENT)
    assert (silent.prompts, bool(silent.messages)) == ([CODE, CODE], is_told)
    assert len(drive([LINE], user, [HANG_UP]).messages) == 1
    subprocess.run(["pam-totp", "unlock", user.name], check=True, stdout=subprocess.DEVNULL)
    login = drive([LINE], user, [credential.fresh_code()], service=service, flags=PAM_SILENT)
    assert (login.authenticate, login.prompts) == (PAM_SUCCESS, [CODE])


@pytest.mark.parametrize("silence", [HANG_UP, NO_ANSWER], ids=["hang-up", "no-answer"])
def test_who_does_not_answer_is_refused_and_not_asked_again(
    user: User, enrolled: Enroll, drive: Drive, syslog: SystemLog, silence: str | None
) -> None:
    credential = enrolled(user)
    right = credential.fresh_code()
    at_once = drive([LINE], user, [silence, right])
    assert (at_once.authenticate, at_once.prompts) == (PAM_AUTH_ERR, [CODE])
    assert [decision["reason"] for decision in syslog.decisions()] == ["bad-input"]
    later = drive([LINE], user, [credential.incorrect_code(), silence, right])
    assert (later.authenticate, later.prompts) == (PAM_AUTH_ERR, [CODE, CODE])
    assert drive([LINE], user, [right]).authenticate == PAM_SUCCESS  # nothing was spent


@pytest.mark.parametrize("length", [0, 1, 510, 511, 512, 600, 65536])
def test_an_answer_of_any_length_but_a_codes_is_refused_and_asked_again(
    user: User, enrolled: Enroll, drive: Drive, syslog: SystemLog, length: int
) -> None:
    right = enrolled(user).fresh_code()
    padded = right.ljust(length)[:length]
    for answer in ("1" * length, padded, padded[::-1]):
        assert drive([f"{LINE} tries=1"], user, [answer]).authenticate == PAM_AUTH_ERR
    assert reasons(syslog) == ["bad-input"] * 3
    assert drive([LINE], user, ["1" * length, right]).authenticate == PAM_SUCCESS


@pytest.mark.parametrize(
    "typed",
    [
        "12345\u0661",
        "\uff11\uff12\uff13\uff14\uff15\uff16",
        "+12345",
        "12345\n",
        "1.2345",
        "\udcff",
    ],
)
def test_only_ascii_digits_are_a_code(
    user: User, enrolled: Enroll, drive: Drive, syslog: SystemLog, typed: str
) -> None:
    enrolled(user)
    assert drive([f"{LINE} tries=1"], user, [typed]).authenticate == PAM_AUTH_ERR
    assert reasons(syslog) == ["bad-input"]


def test_an_application_that_names_no_user_has_pam_ask_for_the_name(
    user: User, enrolled: Enroll, drive: Drive
) -> None:
    code = enrolled(user).fresh_code()
    for nobody in (HANG_UP, NO_ANSWER, "", "nobody-here"):
        assert drive([LINE], None, [nobody, code, nobody, code]).authenticate != PAM_SUCCESS
    login = drive([LINE], None, [user.name, code])
    assert (login.authenticate, login.prompts) == (PAM_SUCCESS, ["login:", CODE])
