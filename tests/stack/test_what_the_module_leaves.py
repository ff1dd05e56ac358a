# SPDX-License-Identifier: MIT
"""What pam_totp.so leaves behind: the password for the modules after it, and nothing else."""

import os
import secrets
import subprocess
from collections.abc import Callable
from pathlib import Path
from syslog import syslog as write_to_syslog

import pytest

from tests.commands.commands import configured
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.phone import AT_LOGIN, NOT_ENROLLED, keys_on
from tests.stack import libpam
from tests.stack.libpam import HANG_UP, NO_ANSWER, PAM_AUTH_ERR, PAM_SUCCESS, Outcome

Enroll = Callable[..., Credential]
Drive = Callable[..., Outcome]
Given = Callable[[], str]
PASSWORD, CODE = "Password: ", "Verification code: "
LINE = "auth required pam_totp.so"
PASSWORD_LINE = "auth required pam_unix.so nodelay"


@pytest.fixture
def given(tmp_path: Path) -> Given:
    """What the module of `keyring_line(tmp_path)` found in PAM_AUTHTOK in the last login."""

    def read() -> str:
        content = (tmp_path / "given").read_text(encoding="utf-8")
        (tmp_path / "given").unlink()
        return content

    return read


def keyring_line(folder: Path) -> str:
    """A module after ours that takes the password, as keyrings do."""
    script = folder / "keyring"
    script.write_text(f"#!/bin/sh\ncat >{folder}/given\n", encoding="ascii")
    script.chmod(0o700)
    return f"auth optional pam_exec.so expose_authtok seteuid {script}"


def incorrect_codes(credential: Credential) -> list[str | None]:
    return [credential.incorrect_code(index) for index in range(3)]


def test_the_next_module_gets_the_password_after_every_kind_of_login(
    user: User, enrolled: Enroll, drive: Drive, tmp_path: Path, given: Given
) -> None:
    stack = [PASSWORD_LINE, LINE, keyring_line(tmp_path)]
    assert drive(stack, user, [user.password]).authenticate == PAM_SUCCESS  # not enrolled
    assert given() == user.password
    credential = enrolled(user)
    right = [credential.incorrect_code(), credential.fresh_code()]
    assert drive(stack, user, [user.password, *right]).authenticate == PAM_SUCCESS
    assert given() == user.password
    refused: list[list[str | None]] = [
        incorrect_codes(credential),
        [HANG_UP],
        [NO_ANSWER],
        ["1" * 600, HANG_UP],
    ]
    for answers in refused:
        assert drive(stack, user, [user.password, *answers]).authenticate == PAM_AUTH_ERR
        assert given() == user.password


def test_the_code_is_not_left_where_no_password_was_given(
    user: User, enrolled: Enroll, drive: Drive, tmp_path: Path, given: Given
) -> None:
    """pam_exec asks for a password if and only if it finds none in PAM_AUTHTOK."""
    stack = [LINE, keyring_line(tmp_path)]
    login = drive(stack, user, [enrolled(user).fresh_code(), "asked anew"])
    assert (login.authenticate, login.prompts) == (PAM_SUCCESS, [CODE, PASSWORD])
    assert given() == "asked anew"


def test_the_application_keeps_its_descriptors_and_its_variables(
    user: User, enrolled: Enroll, tmp_path: Path
) -> None:
    folder = libpam.write_services(tmp_path / "pam", {"console": f"{LINE}\n"})
    not_enrolled = libpam.authenticate(folder, "console", user.name, [])
    credential = enrolled(user)
    write_to_syslog("opens the connection of this process to /dev/log, which the C library keeps")
    before = os.listdir("/proc/self/fd")
    answers: list[list[str | None]] = [
        [credential.incorrect_code(), credential.fresh_code()],
        incorrect_codes(credential),
        [HANG_UP],
        [NO_ANSWER],
    ]
    logins = [libpam.authenticate(folder, "console", user.name, each) for each in answers]
    assert [login.authenticate for login in logins] == [PAM_SUCCESS, *[PAM_AUTH_ERR] * 3]
    assert os.listdir("/proc/self/fd") == before
    assert [login.environment for login in [not_enrolled, *logins]] == [[]] * 5


def test_the_next_module_gets_the_password_after_enrolling_at_the_login(
    user: User, drive: Drive, tmp_path: Path, given: Given
) -> None:
    stack = [PASSWORD_LINE, LINE, keyring_line(tmp_path)]
    with configured(AT_LOGIN):
        refused = drive(stack, user, [user.password, "no code", HANG_UP], service="login")
        assert refused.authenticate == PAM_AUTH_ERR
        assert given() == user.password
        (secret,) = keys_on("\n".join(refused.messages))
        code = Credential(user, secret).fresh_code()
        login = drive(stack, user, [user.password, code], service="login")
        assert (login.authenticate, login.prompts) == (PAM_SUCCESS, [PASSWORD, CODE])
        assert given() == user.password
        assert login.environment == []


def test_the_gate_has_the_password_only_where_one_was_given_and_none_is_asked_for_it(
    user: User, enrolled: Enroll, drive: Drive
) -> None:
    with configured(AT_LOGIN):
        alone = drive([f"{LINE} tries=1"], user, ["123456"])
        assert (alone.authenticate, alone.prompts) == (PAM_AUTH_ERR, [CODE])
        assert alone.messages == [NOT_ENROLLED]
        goes_on = drive([PASSWORD_LINE, f"{LINE} tries=1"], user, ["wrong", "123456"])
        assert (goes_on.authenticate, goes_on.prompts) == (PAM_AUTH_ERR, [PASSWORD, CODE])
        assert goes_on.messages == [NOT_ENROLLED]


@pytest.mark.parametrize("is_enrolled", [False, True], ids=["not enrolled", "enrolled"])
def test_no_copy_of_the_password_is_left_in_the_applications_memory(
    user: User, enrolled: Enroll, tmp_path: Path, is_enrolled: bool
) -> None:
    """Not on its stack either, where pam_exec had it: a dump or another bug would show it."""
    program = tmp_path / "leftovers"
    source = Path(__file__).with_name("leftovers.c")
    flags = ["-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", program, source, "-lpam"], check=True)
    services = {"plain": PASSWORD_LINE, "ours": f"{PASSWORD_LINE}\n{LINE}"}
    folder = libpam.write_services(tmp_path / "pam", {k: f"{v}\n" for k, v in services.items()})
    # Longer than a register of the processor, which the C library may save on the stack.
    password = secrets.token_urlsafe(60)
    line = f"{user.name}:{password}\n"
    subprocess.run(["chpasswd"], input=line, text=True, check=True)
    typed = [password, *([enrolled(user).fresh_code()] if is_enrolled else [])]
    for service in services:
        done = subprocess.run(
            [program, folder, service, user.name],
            input="".join(f"{line}\n" for line in typed),
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == ["0", "0"], service
