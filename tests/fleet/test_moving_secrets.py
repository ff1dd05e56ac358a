# SPDX-License-Identifier: MIT
"""`pam-totp migrate` into a fleet: on the database server, and by a file from a login host."""

import json
import os
import shutil
import time
from base64 import b32decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.commands import (
    Answer,
    assert_keys_as_documented,
    assert_refused,
    configured,
    keys_not_in_manual,
    new_recovery_codes,
    pam_totp,
    recovery_of,
    secret_of,
    verify,
)
from tests.fleet.database import Connection, Person, check
from tests.fleet.small_fleet import SmallFleet
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, STATE

FILE = "/root/secrets"


@pytest.fixture
def server(small_fleet: SmallFleet, user: User) -> Iterator[SmallFleet]:
    """A database server, whose own logins go by /var/lib/pam-totp."""
    with configured("store: system\n"):
        yield small_fleet
    small_fleet.forget(user)
    small_fleet.shift_clock(0.0)


@pytest.fixture
def web08(small_fleet: SmallFleet) -> Iterator[Connection]:
    with small_fleet.connect("web08") as connection:
        yield connection


@pytest.fixture(autouse=True)
def no_file() -> Iterator[None]:
    yield
    Path(FILE).unlink(missing_ok=True)


def kept(user: User) -> Path:
    return STATE / "secrets" / user.name / "secret"


def migrate(*options: str, code: int = 0) -> Any:
    answer = pam_totp("migrate", *options, "--json")
    assert answer.code == code, answer.errors
    assert not keys_not_in_manual("migrate", answer.output)
    if "--write" in options:
        assert_keys_as_documented("migrate", answer.output, condition="With *--write*")
    return json.loads(answer.output)


def accepts(host: Connection, user: User, code: str) -> bool:
    return bool(check(host, user.name, code)[0])


def test_a_secret_of_a_home_is_moved_and_its_codes_go_on(
    small_fleet: SmallFleet, user: User, enrolled: Callable[..., Credential], web08: Connection
) -> None:
    credential = enrolled(user, device="my phone")
    with configured("store: user\n"):
        codes = new_recovery_codes(user)
    with configured("store: system\n"):
        found = migrate("--all", "--fleet")
    assert found["changed"] is True and found["not_moved"] == []
    row = {"user": user.name, "from": str(secret_of(user)), "to": "postgresql", "removed": True}
    assert found["moved"] == [row]
    assert not secret_of(user).exists() and not recovery_of(user).exists()
    assert not secret_of(user).parent.exists()
    assert check(web08, user.name, credential.code())[:3] == (True, "totp", "my phone")
    assert not accepts(web08, user, codes[0].replace("-", ""))
    small_fleet.forget(user)


def test_moving_again_changes_nothing(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    migrate("--all", "--fleet")
    assert migrate("--all", "--fleet") == {"changed": False, "moved": [], "not_moved": []}


def test_a_command_that_was_killed_before_it_removed_anything_is_finished_by_the_next(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential], web08: Connection
) -> None:
    credential = enrolled(user)
    server.add_secret(Person(user.name, b32decode(credential.secret)))
    (row,) = migrate("--all", "--fleet")["moved"]
    assert row["removed"] is True and not secret_of(user).exists()
    assert server.value("SELECT devices FROM totp_admin_1.people(%s)", [user.name]) == ["phone"]
    assert accepts(web08, user, credential.code())


def test_one_user_is_one_user(user: User, enrolled: Callable[..., Credential]) -> None:
    enrolled(user)
    with configured("store: user\n"):
        assert (
            "The secrets of 1 user are in" in pam_totp("migrate", "--all", "--write", FILE).output
        )


def test_users_are_told_that_recovery_codes_are_not_moved(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    output = " ".join(pam_totp("migrate", "--all", "--fleet").output.split())
    assert "Recovery codes were not moved." in output
    assert "pam-totp recovery-codes --fleet --user USER" in output


def test_a_code_that_was_used_here_is_not_good_again_in_the_fleet(
    small_fleet: SmallFleet,
    user: User,
    enrolled: Callable[..., Credential],
    web08: Connection,
) -> None:
    credential = enrolled(user)
    step = credential.step() + 1
    with configured("store: user\n"):
        assert verify(user, credential.code_of(step)).code == ACCEPTED
    with configured("store: system\n"):
        migrate("--all", "--fleet")
    assert check(web08, user.name, credential.code_of(step))[:2] == (False, "reused-code")
    small_fleet.shift_clock(30)
    assert accepts(web08, user, credential.code_of(step + 1))
    small_fleet.shift_clock(0)
    small_fleet.forget(user)


def test_a_secret_by_which_logins_of_the_server_go_stays_there(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential], web08: Connection
) -> None:
    """Or nobody could log in to repair the store."""
    credential = enrolled(user)
    assert pam_totp("migrate", user.name).code == 0
    (row,) = migrate("--all", "--fleet")["moved"]
    assert (row["from"], row["removed"]) == (str(kept(user)), False)
    assert kept(user).exists()
    assert not migrate("--all", "--fleet")["changed"]
    assert accepts(web08, user, credential.code())
    (row,) = migrate("--all", "--fleet", "--remove")["moved"]
    assert row["removed"] is True and not kept(user).exists()


def test_one_user_is_moved_by_name(
    server: SmallFleet,
    user: User,
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
) -> None:
    other = make_user()
    enrolled(user), enrolled(other)
    assert [each["user"] for each in migrate(user.name, "--fleet")["moved"]] == [user.name]
    assert secret_of(other).exists()


def test_a_second_secret_of_a_user_needs_an_option(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential], web08: Connection
) -> None:
    first = server.person(user.name)
    credential = enrolled(user, device="tablet")
    answer = pam_totp("migrate", "--all", "--fleet")
    assert_refused(answer, f"{user.name} (already has a secret in the fleet;")
    assert secret_of(user).exists()
    assert check(web08, user.name, credential.code())[:2] == (False, "wrong-code")
    assert migrate("--all", "--fleet", "--add-devices")["changed"]
    assert check(web08, user.name, credential.code())[:3] == (True, "totp", "tablet")
    assert check(web08, user.name, first.code(time.time()))[:3] == (True, "totp", "phone")


@pytest.mark.parametrize("from_file", [True, False])
def test_the_secret_of_a_lost_phone_does_not_come_back_after_a_reset(
    server: SmallFleet,
    user: User,
    enrolled: Callable[..., Credential],
    web08: Connection,
    from_file: bool,
) -> None:
    """Another server still has it."""
    credential = enrolled(user)
    words = ["--all", "--fleet"]
    if from_file:
        migrate("--all", "--write", FILE)
        words = ["--fleet", "--from", FILE]
    server.value("SELECT totp_admin_1.reset(%s)", user.name)
    assert_refused(pam_totp("migrate", *words), f"{user.name} (was reset in the fleet,")
    assert server.state_of(user) == "reset"
    assert not accepts(web08, user, credential.code())
    assert migrate(*words, "--add-devices")["changed"]
    assert server.state_of(user) == "enrolled"


def test_both_devices_of_a_user_are_moved_together(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential], web08: Connection
) -> None:
    credential = enrolled(user, device="phone")
    other = "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ tablet\n"
    secret_of(user).write_text(secret_of(user).read_text() + other, encoding="utf-8")
    assert migrate("--all", "--fleet")["changed"]
    assert accepts(web08, user, credential.code())
    query = "SELECT devices FROM totp_admin_1.people(%s)"
    assert server.value(query, [user.name]) == ["phone", "tablet"]


def test_a_token_that_counts_is_refused_by_name(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    token = "otpauth://hotp/x?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=3 fob\n"
    before = secret_of(user).read_text() + token
    secret_of(user).write_text(before, encoding="utf-8")
    answer = pam_totp("migrate", "--all", "--fleet")
    assert_refused(answer, "the token 'fob' counts (HOTP), and the store keeps no counters")
    assert secret_of(user).read_text() == before
    assert server.state_of(user) == ""


def test_a_file_with_a_fault_stays_as_it_is(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    before = secret_of(user).read_text() + "otpauth://totp/x?secret=A\n"
    secret_of(user).write_text(before, encoding="utf-8")
    found = migrate("--all", "--fleet", code=1)
    assert [each["user"] for each in found["not_moved"]] == [user.name]
    assert secret_of(user).read_text() == before


def test_two_secrets_that_differ_are_not_chosen_from(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    assert pam_totp("migrate", user.name).code == 0
    enrolled(user)
    answer = pam_totp("migrate", "--all", "--fleet")
    assert_refused(answer, "there are two secrets that differ")
    assert secret_of(user).exists() and kept(user).exists()


def test_a_store_that_is_down_moves_nothing(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    server.admin.close()
    server.control("stop")
    try:
        answer = pam_totp("migrate", "--all", "--fleet")
        assert_refused(answer, "the store does not answer on this machine")
        assert secret_of(user).exists()
    finally:
        server.control("start")
        server.admin = server.superuser()


def write(*options: str) -> Answer:
    return pam_totp("migrate", "--all", "--write", FILE, *options)


@pytest.mark.parametrize("setting", ["user", "postgresql"])
def test_secrets_of_a_login_host_get_into_the_store_by_a_file(
    small_fleet: SmallFleet,
    user: User,
    enrolled: Callable[..., Credential],
    web08: Connection,
    setting: str,
) -> None:
    credential = enrolled(user, device="my phone")
    before = secret_of(user).read_bytes()
    with configured(f"store: {setting}\n"):
        answer = write()
    assert (answer.code, answer.errors) == (0, "")
    assert os.stat(FILE).st_mode & 0o777 == 0o600
    assert secret_of(user).read_bytes() == before
    with configured("store: system\n"):
        found = migrate("--fleet", "--from", FILE)
        assert found["moved"] == [{"user": user.name, "devices": ["my phone"]}]
        assert migrate("--fleet", "--from", FILE) == {
            "changed": False,
            "moved": [],
            "not_moved": [],
        }
    # What another host accepted until now is used up, whatever the file says.
    assert check(web08, user.name, credential.code())[:2] == (False, "reused-code")
    small_fleet.shift_clock(60)
    assert accepts(web08, user, credential.code(2))
    small_fleet.shift_clock(0)
    with configured("store: postgresql\n"):
        (row,) = migrate("--all", "--remove")["moved"]
        assert (row["user"], row["removed"]) == (user.name, True)
    assert not secret_of(user).exists()
    small_fleet.forget(user)


def test_standard_input_is_a_file_too(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    assert write().code == 0
    answer = pam_totp("migrate", "--fleet", "--from", "-", typed=Path(FILE).read_text())
    assert f"{user.name} is in the store of the fleet now." in answer.output


def test_the_secret_of_who_is_not_in_the_store_is_not_removed(
    fleet: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    answer = pam_totp("migrate", "--all", "--remove")
    assert_refused(answer, f"{user.name} (is not enrolled in the fleet)")
    assert secret_of(user).exists()
    with fleet.away():
        assert pam_totp("migrate", "--all", "--remove").code == 1
    assert secret_of(user).exists()


def test_an_existing_file_is_never_overwritten(server: SmallFleet) -> None:
    Path(FILE).write_text("mine", encoding="ascii")
    assert_refused(write(), "already exists, and is never overwritten")
    assert Path(FILE).read_text() == "mine"


def test_a_folder_that_others_can_change_gets_no_secrets(
    server: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    path = f"{user.home}/secrets"
    answer = pam_totp("migrate", "--all", "--write", path)
    assert_refused(answer, "secrets cannot be kept in")
    assert not os.path.exists(path)
    open_to_all = Path("/root/open")
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    try:
        answer = pam_totp("migrate", "--all", "--write", f"{open_to_all}/secrets")
        assert_refused(answer, "secrets cannot be kept in")
        assert not list(open_to_all.iterdir())
    finally:
        shutil.rmtree(open_to_all)


def device(**changes: object) -> dict[str, object]:
    found: dict[str, object] = {"device": "phone", "secret": "GEZDGNBVGY3TQOJQ"}
    found |= {"algorithm": "SHA1", "digits": 6, "period": 30, "offset": 0, "last_step": -1}
    return found | changes


def file_of(*devices: object) -> str:
    users = [{"user": "karl", "devices": [each]} for each in devices]
    return json.dumps({"format": "pam-totp secrets 1", "users": users})


FAULTY = (
    *("", "{", "[]", "null", "[" * 100000, '{"format": "pam-totp secrets 1"}'),
    '{"format": "pam-totp secrets 2", "users": []}',
    '{"format": "pam-totp secrets 1", "users": [{"user": "a"}]}',
    *(file_of(device(secret=each)) for each in ("A", "GEZDGNBVGY3TQOJQ&digits=8", None)),
    *(file_of(device(digits=each)) for each in (9, "6")),
    *(file_of(device(last_step=each)) for each in (-2, True, 10**30)),
    *(file_of(device(device=each)) for each in ("a\nb", None)),
    *(file_of(device(**each)) for each in ({"algorithm": "MD5"}, {"period": 0}, {"offset": 10**9})),
    *(file_of([]), file_of(device(), device())),
)


@pytest.mark.parametrize("content", FAULTY, ids=range(len(FAULTY)))
def test_a_file_that_is_faulty_anywhere_changes_nothing(server: SmallFleet, content: str) -> None:
    answer = pam_totp("migrate", "--fleet", "--from", "-", typed=content)
    assert_refused(answer, "standard input cannot be used: ")
    assert answer.errors.splitlines()[0].endswith("; nothing was changed")
    assert server.state_of("karl") == ""


def test_a_name_in_a_file_that_no_host_can_have_changes_nothing(server: SmallFleet) -> None:
    users = [{"user": each, "devices": [device()]} for each in ("karl", "a:b")]
    content = json.dumps({"format": "pam-totp secrets 1", "users": users})
    answer = pam_totp("migrate", "--fleet", "--from", "-", typed=content)
    assert_refused(answer, "'a:b' cannot be the name of a user")
    assert server.state_of("karl") == ""


@pytest.mark.parametrize(
    "words",
    [
        *(["--from", FILE], ["--all", "--from", FILE, "--fleet"], ["alice", "--write", FILE]),
        *(["--all", "--write", FILE, "--fleet"], ["--all", "--add-devices"], ["--all", "--remove"]),
        *(["--fleet"], ["alice", "--from", FILE, "--fleet"]),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    server: SmallFleet, words: list[str]
) -> None:
    assert pam_totp("migrate", *words).code == 2


def test_a_store_that_does_not_take_it_leaves_the_secret_here(
    small_fleet: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    credential = enrolled(user)
    with (
        small_fleet.superuser() as other,
        other.transaction(),
        configured("store: system\n"),
    ):
        other.execute("LOCK TABLE totp.credential")
        answer = pam_totp("migrate", "--all", "--fleet")
    assert_refused(answer, "the store refused: canceling statement due to lock timeout")
    with configured("store: user\n"):
        assert verify(user, credential.code()).code == ACCEPTED
    small_fleet.forget(user)
