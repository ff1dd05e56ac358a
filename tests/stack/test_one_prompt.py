# SPDX-License-Identifier: MIT
"""config/pam/one-prompt through the real libpam: the password and the code in one answer."""

import dataclasses
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyotp
import pytest

from tests.commands.commands import failures_of, new_recovery_codes, pam_totp, secret_of
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import shipped_lines
from tests.host.system_log import SystemLog
from tests.stack.libpam import (
    HANG_UP,
    NO_ANSWER,
    PAM_AUTH_ERR,
    PAM_PERM_DENIED,
    PAM_SUCCESS,
    Outcome,
)
from tests.stack.test_what_the_module_leaves import keyring_line

Enroll = Callable[..., Credential]
Drive = Callable[..., Outcome]
LogIn = Callable[..., Outcome]
PASSWORD, CODE = "Password: ", "Verification code: "
COMMON_AUTH = [
    "auth [success=1 default=ignore] pam_unix.so nullok nodelay",
    "auth requisite pam_deny.so",
    "auth required pam_permit.so",
]


def stack(first: str = "", after: str = "") -> list[str]:
    """The shipped lines, the first of them with other options if need be."""
    combined, include, code = shipped_lines("one-prompt")
    assert (combined, include) == ("auth required pam_totp.so combined", "@include common-auth")
    combined = f"auth required pam_totp.so {first}" if first else combined
    return [combined, *COMMON_AUTH, code, *([after] if after else [])]


@pytest.fixture
def log_in(drive: Drive) -> LogIn:
    """`log_in(user, typed)`: one answer to the one prompt, and none to any other."""

    def one_prompt(user: User, *typed: str | None, first: str = "", **arguments: object) -> Outcome:
        outcome = drive(stack(first), user, list(typed), **arguments)
        assert CODE not in outcome.prompts, "a client with one prompt would answer the password"
        return outcome

    return one_prompt


def give_password(user: User, password: str) -> User:
    line = f"{user.name}:{password}\n"
    subprocess.run(["chpasswd"], input=line, text=True, check=True)
    return dataclasses.replace(user, password=password)


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def test_password_and_code_in_one_answer_are_accepted(
    user: User, enrolled: Enroll, log_in: LogIn, syslog: SystemLog
) -> None:
    login = log_in(user, user.password + enrolled(user).fresh_code())
    assert (login.authenticate, login.setcred) == (PAM_SUCCESS, PAM_SUCCESS)
    assert (login.prompts, login.messages) == ([PASSWORD], [])
    assert reasons(syslog) == ["totp"]


def test_incorrect_code_is_refused_after_one_try(
    user: User, enrolled: Enroll, log_in: LogIn, syslog: SystemLog
) -> None:
    login = log_in(user, user.password + enrolled(user).incorrect_code(), "never asked for")
    assert (login.authenticate, login.prompts) == (PAM_AUTH_ERR, [PASSWORD])
    assert reasons(syslog) == ["wrong-code"]


def test_wrong_password_is_refused_and_the_code_not_looked_at(
    user: User, enrolled: Enroll, log_in: LogIn, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    code = credential.fresh_code()
    for wrong in (code, credential.incorrect_code()):
        assert log_in(user, f"wrong{wrong}").authenticate == PAM_AUTH_ERR
    assert (syslog.lines(ident="pam-totp"), failures_of(user)) == ([], (0, 0, 0))
    assert log_in(user, user.password + code).authenticate == PAM_SUCCESS


def test_used_code_is_refused(
    user: User, enrolled: Enroll, log_in: LogIn, syslog: SystemLog
) -> None:
    typed = user.password + enrolled(user).fresh_code()
    assert log_in(user, typed).authenticate == PAM_SUCCESS
    assert log_in(user, typed).authenticate == PAM_AUTH_ERR
    assert reasons(syslog) == ["totp", "reused-code"]


def test_password_alone_is_refused_and_the_log_says_that_the_code_is_missing(
    user: User, enrolled: Enroll, log_in: LogIn, syslog: SystemLog
) -> None:
    enrolled(user)
    login = log_in(user, user.password, user.password)
    assert (login.authenticate, login.prompts) == (PAM_AUTH_ERR, [PASSWORD])
    assert reasons(syslog) == ["bad-input"]


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "{code}",
        "{code}{password}",
        "{password} {code} ",
        "{password}\n{code}",
        "{password}0{code}",
        "{password}{code}0",
        "{password}{code}{code}",
        "{password}-{code}",
        "{password}12345\u0666",
        "{password}\uff11\uff12\uff13\uff14\uff15\uff16",
        "{password}12345\udcff",
        "1" * 600,
        "{password}" + "1" * 70_000,
        "x" * 70_000 + "{code}",
    ],
)  # fmt: skip
def test_anything_but_the_password_and_then_the_code_is_refused(
    user: User, enrolled: Enroll, log_in: LogIn, typed: str
) -> None:
    code = enrolled(user).fresh_code()
    answer = typed.format(password=user.password, code=code)
    assert log_in(user, answer, user.password).authenticate == PAM_AUTH_ERR
    assert log_in(user, user.password + code).authenticate == PAM_SUCCESS  # nothing was spent


@pytest.mark.parametrize("silence", [HANG_UP, NO_ANSWER], ids=["hang-up", "no-answer"])
def test_who_does_not_answer_is_refused(
    user: User, enrolled: Enroll, drive: Drive, silence: str | None
) -> None:
    typed = user.password + enrolled(user).fresh_code()
    assert drive(stack(), user, [silence, silence]).authenticate != PAM_SUCCESS
    late = drive(stack(), user, [silence, typed, silence])
    assert late.authenticate != PAM_SUCCESS


@pytest.mark.parametrize("password", ["secret123456", "123456", "0000000000", "p1", "päß 4"])
def test_password_that_ends_in_digits_works(
    user: User, enrolled: Enroll, log_in: LogIn, password: str
) -> None:
    user = give_password(user, password)
    code = enrolled(user).fresh_code()
    assert log_in(user, password).authenticate == PAM_AUTH_ERR
    assert log_in(user, password + code).authenticate == PAM_SUCCESS


def test_who_has_not_enrolled_types_the_password_alone_even_if_it_ends_in_six_digits(
    make_user: Callable[..., User], log_in: LogIn, syslog: SystemLog
) -> None:
    for user in (make_user(), give_password(make_user(), "secret123456")):
        login = log_in(user, user.password)
        assert (login.authenticate, login.setcred) == (PAM_SUCCESS, PAM_SUCCESS)
        assert login.prompts == [PASSWORD]
        assert log_in(user, f"{user.password}123456").authenticate == PAM_AUTH_ERR
    assert reasons(syslog) == ["not-enrolled"] * 2


@pytest.mark.parametrize("digits", [7, 8])
def test_longer_codes_need_the_option_that_says_so(user: User, log_in: LogIn, digits: int) -> None:
    secret = pyotp.random_base32()
    uri = f"otpauth://totp/server:{user.name}?secret={secret}&issuer=server&digits={digits}"
    user.give(secret_of(user), f"{uri} phone\n")
    code = pyotp.TOTP(secret, digits=digits).generate_otp(Credential.step())
    other = "combined=7" if digits == 8 else "combined=8"
    for first in ("combined", "combined=6", other):
        assert log_in(user, user.password + code, first=first).authenticate == PAM_AUTH_ERR
    login = log_in(user, user.password + code, first=f"combined={digits}")
    assert login.authenticate == PAM_SUCCESS


def test_grant_for_once_is_used_by_one_login_and_by_no_refused_one(
    user: User, enrolled: Enroll, log_in: LogIn, syslog: SystemLog
) -> None:
    code = enrolled(user).fresh_code()
    pam_totp("grant", user.name, "--once")
    assert log_in(user, "wrong").authenticate == PAM_AUTH_ERR
    assert log_in(user, user.password + code).authenticate == PAM_AUTH_ERR  # none is needed now
    assert log_in(user, user.password).authenticate == PAM_SUCCESS
    assert log_in(user, user.password).authenticate == PAM_AUTH_ERR
    assert log_in(user, user.password + code).authenticate == PAM_SUCCESS
    assert reasons(syslog) == ["granted", "bad-input", "totp"]


def test_code_of_a_refused_attempt_is_not_kept_for_the_next(
    user: User, enrolled: Enroll, log_in: LogIn, syslog: SystemLog
) -> None:
    """As sudo and sshd's password method ask: again, through the same handle."""
    code = enrolled(user).fresh_code()
    login = log_in(user, f"wrong{code}", user.password, attempts=2)
    assert (login.authenticate, login.prompts) == (PAM_AUTH_ERR, [PASSWORD] * 2)
    assert reasons(syslog) == ["bad-input"]
    again = log_in(user, user.password, f"wrong{code}", user.password + code, attempts=3)
    assert (again.authenticate, again.prompts) == (PAM_SUCCESS, [PASSWORD] * 3)


@pytest.mark.parametrize("control", ["required", "requisite", "sufficient"])
def test_line_with_combined_is_never_a_yes_by_itself(
    user: User, enrolled: Enroll, drive: Drive, control: str
) -> None:
    alone = [f"auth {control} pam_totp.so combined"]
    assert drive(alone, user, [user.password]).authenticate == PAM_PERM_DENIED
    typed = user.password + enrolled(user).fresh_code()
    assert drive(alone, user, [typed]).authenticate == PAM_PERM_DENIED
    over_a_denial = [*alone, "auth required pam_deny.so"]
    assert drive(over_a_denial, user, [typed]).authenticate == PAM_AUTH_ERR


def test_the_next_module_gets_the_password_without_the_code(
    user: User, enrolled: Enroll, drive: Drive, tmp_path: Path
) -> None:
    with_keyring, given = stack(after=keyring_line(tmp_path)), tmp_path / "given"
    assert drive(with_keyring, user, [user.password]).authenticate == PAM_SUCCESS  # not enrolled
    assert given.read_text(encoding="utf-8") == user.password
    credential = enrolled(user)
    for code, status in (
        (credential.incorrect_code(), PAM_AUTH_ERR),
        (credential.fresh_code(), PAM_SUCCESS),
        ("", PAM_AUTH_ERR),
    ):
        given.unlink()
        assert drive(with_keyring, user, [user.password + code]).authenticate == status
        assert given.read_text(encoding="utf-8") == user.password


def test_neither_code_nor_password_is_ever_logged_or_shown(
    user: User, enrolled: Enroll, log_in: LogIn, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    codes = [credential.fresh_code(), credential.incorrect_code()]
    shown = []
    for code in (*codes, codes[0]):
        for typed in (user.password + code, f"wrong{code}", code, f"{user.password}{code}1"):
            shown += log_in(user, typed).messages
    said = "\n".join([*shown, *(line.message for line in syslog.lines())])
    assert "reason=totp" in said
    assert not [secret for secret in (*codes, user.password) if secret in said]


def test_known_unknown_and_unenrolled_users_are_asked_the_same(
    make_user: Callable[..., User], enrolled: Enroll, log_in: LogIn
) -> None:
    known, unenrolled = make_user(), make_user()
    enrolled(known)
    unknown = dataclasses.replace(known, name="nobody-here")
    logins = [log_in(each, "wrong123456") for each in (known, unenrolled, unknown)]
    assert [login.prompts for login in logins] == [[PASSWORD]] * 3
    assert [login.messages for login in logins] == [[]] * 3
    assert all(login.authenticate != PAM_SUCCESS for login in logins)


def test_correct_code_is_refused_while_wrong_ones_are_waited_for(
    user: User, enrolled: Enroll, log_in: LogIn, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    for index in range(5):
        log_in(user, user.password + credential.incorrect_code(index))
    assert log_in(user, user.password + credential.fresh_code()).authenticate == PAM_AUTH_ERR
    assert reasons(syslog) == [*["wrong-code"] * 5, "throttled"]


def test_recovery_code_needs_a_prompt_of_its_own(
    user: User, enrolled: Enroll, log_in: LogIn, drive: Drive
) -> None:
    enrolled(user)
    code, *_ = new_recovery_codes(user)
    assert log_in(user, user.password + code).authenticate == PAM_AUTH_ERR
    asked = [*COMMON_AUTH, "auth required pam_totp.so"]
    assert drive(asked, user, [user.password, code]).authenticate == PAM_SUCCESS
