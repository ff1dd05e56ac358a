# SPDX-License-Identifier: MIT
"""Enrolling at the first login at a console of 80x24, and through su and sudo."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import configured, gate, read_only, secret_of, tree
from tests.host.accounts import User
from tests.host.pam_services import PamServices
from tests.host.phone import (
    AT_LOGIN,
    MESSAGE,
    NOT_ENROLLED,
    Phone,
    kept_uri,
    keys_on,
    recovery_codes_on,
    scan,
    shows_qr_code,
)
from tests.host.programs import NO_CODE_NEEDED, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_D, HANG_UP, Conversation, Dialogue

Converse = Callable[..., Conversation]
NAME, PASSWORD, CODE = "server login: ", "Password: ", "Verification code: "
UTF8, NOT_UTF8 = "stty iutf8", "stty -iutf8"


@pytest.fixture(autouse=True)
def at_login() -> Iterator[Path]:
    with configured(AT_LOGIN, settled=True) as path:
        yield path


@pytest.fixture
def console(pam_services: PamServices, on_terminal: Converse) -> Converse:
    """`console(user, answers, before=UTF8, size=(24, 80))`: name and password are typed first."""
    pam_services.add("login")

    def log_in(
        user: User, answers: Dialogue, before: str = UTF8, size: tuple[int, int] = (24, 80)
    ) -> Conversation:
        argv = ["/bin/sh", "-c", f"{before}; exec login"]
        name_and_password = [(NAME, user.name), (PASSWORD, user.password)]
        return on_terminal(argv, [*name_and_password, *answers], size=size)

    return log_in


def shell(user: User) -> Dialogue:
    return [(rf"{user.name}@server:~\$", "exit")]


def screen_at_the_code(login: Conversation) -> list[str]:
    """The lines from the password's to the prompt, as they stand when the code is asked."""
    shown = login.transcript.replace("\r", "").partition(CODE)[0]
    return shown.split("\n")[-24:]


def assert_not_enrolled(user: User) -> None:
    assert tree(user.home / ".config") == {}
    assert not (STATE / "enforced" / str(user.uid)).exists()


def test_console_of_80x24_shows_key_message_qr_code_and_prompt(
    user: User, console: Converse, syslog: SystemLog, tmp_path: Path
) -> None:
    phone = Phone(user)
    login = console(user, [(CODE, phone.type_code), *shell(user)])
    assert login.status == 0
    rows = screen_at_the_code(login)  # the last is empty: where the prompt stands
    assert rows[-2].startswith("Key: ")
    assert MESSAGE in rows
    assert scan("\n".join(rows), tmp_path) == kept_uri(secret_of(user))
    assert len(recovery_codes_on(login.transcript)) == 10
    reasons = [decision["reason"] for decision in syslog.decisions()]
    assert reasons == ["not-enrolled", "totp"]
    assert phone.credential
    again = console(user, [(CODE, phone.credential.fresh_code()), *shell(user)])
    assert again.status == 0
    assert keys_on(again.transcript) == [] and not shows_qr_code(again.transcript)


def test_console_of_80x24_without_utf8_shows_the_key_alone(user: User, console: Converse) -> None:
    phone = Phone(user)
    login = console(user, [(CODE, phone.type_code), *shell(user)], NOT_UTF8)
    assert login.status == 0
    assert screen_at_the_code(login)[-2].startswith("Key: ")
    assert screen_at_the_code(login)[-3] == MESSAGE
    assert login.transcript.partition(CODE)[0].isascii()
    assert phone.credential and phone.credential.secret in kept_uri(secret_of(user))


def test_large_console_without_utf8_draws_in_ascii(user: User, console: Converse) -> None:
    login = console(user, [(CODE, Phone(user).type_code), *shell(user)], NOT_UTF8, (50, 100))
    assert login.status == 0
    shown = login.transcript.partition(CODE)[0]
    assert shown.isascii() and shown.count("#" * 20) > 4


def test_small_console_shows_the_key_alone(user: User, console: Converse) -> None:
    login = console(user, [(CODE, Phone(user).type_code), *shell(user)], size=(24, 40))
    assert login.status == 0
    assert not shows_qr_code(login.transcript) and keys_on(login.transcript)


def test_wrong_password_at_the_console_is_shown_nothing(
    user: User, pam_services: PamServices, on_terminal: Converse
) -> None:
    pam_services.add("login")
    login = on_terminal(["login"], [(NAME, user.name), (PASSWORD, "wrong"), (NAME, HANG_UP)])
    assert keys_on(login.transcript) == [] and NOT_ENROLLED not in login.transcript


def test_incorrect_code_at_the_console_writes_nothing(user: User, console: Converse) -> None:
    login = console(
        user, [(CODE, Phone(user).type_incorrect_code), (CODE, CTRL_D), (NAME, HANG_UP)]
    )
    assert keys_on(login.transcript)
    assert_not_enrolled(user)


def test_read_only_home_is_told_before_anything_is_shown(
    user: User, console: Converse, syslog: SystemLog
) -> None:
    with read_only(user.home):
        login = console(user, [(CODE, "000000"), (CODE, CTRL_D), (NAME, HANG_UP)])
    assert_not_enrolled(user)
    assert "Key: " not in login.transcript
    asked, *refusals = syslog.decisions()
    assert (asked["verdict"], asked["reason"]) == ("ask", "state-unavailable")
    assert "cannot enroll at this login: Read-only file system" in asked["detail"]
    assert {each["verdict"] for each in refusals} == {"refuse"}


def test_su_shows_the_qr_code_of_whom_one_becomes(
    make_user: Callable[..., User],
    pam_services: PamServices,
    on_terminal: Converse,
    tmp_path: Path,
) -> None:
    pam_services.add("su")
    alice, bob = make_user(), make_user()
    argv = ["/bin/sh", "-c", f"umask 777; {UTF8}; exec su {bob.name} -c 'id -un'"]
    dialogue = [(PASSWORD, bob.password), (CODE, Phone(bob).type_code)]
    became = on_terminal(argv, dialogue, user=alice)
    assert became.status == 0
    assert scan(became.transcript, tmp_path) == kept_uri(secret_of(bob))
    assert secret_of(bob).stat().st_uid == bob.uid
    assert len(recovery_codes_on(became.transcript)) == 10
    assert became.transcript.endswith(f"\n{bob.name}\n")


def test_su_with_a_wrong_password_shows_nothing_where_the_stack_goes_on(
    make_user: Callable[..., User], pam_services: PamServices, on_terminal: Converse
) -> None:
    pam_services.replace_password(
        "su", ["auth required pam_unix.so nodelay", "auth required pam_totp.so tries=1"]
    )
    alice, bob = make_user(), make_user()
    dialogue = [(PASSWORD, alice.password), (CODE, "123456")]
    became = on_terminal(["su", bob.name, "-c", "id"], dialogue, user=alice)
    assert became.status != 0
    assert keys_on(became.transcript) == []
    assert_not_enrolled(bob)


def test_sudo_shows_the_callers_qr_code(
    user: User, pam_services: PamServices, on_terminal: Converse, tmp_path: Path
) -> None:
    pam_services.add("sudo")
    user.may_sudo()
    password = rf"\[sudo\] password for {user.name}: "
    dialogue = [(password, user.password), (CODE, Phone(user).type_code)]
    argv = ["/bin/sh", "-c", f"{UTF8}; exec sudo id -un"]
    became = on_terminal(argv, dialogue, user=user)
    assert became.status == 0
    assert scan(became.transcript, tmp_path) == kept_uri(secret_of(user))
    assert became.transcript.endswith("\nroot\n")


@pytest.mark.parametrize("rule", ["never", "if-enrolled"])
def test_rule_that_asks_for_no_code_shows_nothing(
    user: User, console: Converse, at_login: Path, rule: str
) -> None:
    at_login.write_text(f"{AT_LOGIN}rules:\n  - {{service: login, code: {rule}}}\n")
    login = console(user, shell(user))
    assert login.status == 0
    assert keys_on(login.transcript) == []
    assert gate(user, typed=user.password).code != NO_CODE_NEEDED  # another service
