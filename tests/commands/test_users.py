# SPDX-License-Identifier: MIT
"""`pam-totp users`: who has enrolled, since when, and which faults keep users out."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands.commands import (
    LAST_GOOD,
    assert_refused,
    configured,
    new_recovery_codes,
    pam_totp,
    recovery_of,
    run,
    secret_of,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, CONFIGURATION, REFUSED, STATE

ENTRIES, ENROLLED = 500, 100
FIRST_UID = 100000
PASSWD = Path("/etc/passwd")
KEYS = {
    "user", "uid", "enrolled", "factors", "unconfirmed_contacts",
    "unconfirmed", "devices", "since", "last_code_at",
    "recovery_codes_left",
    "waiting_seconds", "granted_until", "granted_once", "fault",
}  # fmt: skip


def listed() -> dict[str, dict[str, Any]]:
    answer = pam_totp("users", "--json")
    rows = json.loads(answer.output)
    assert answer.errors == ""
    assert all(set(row) == KEYS for row in rows)
    assert answer.code == (1 if any(row["fault"] for row in rows) else 0)
    return {row["user"]: row for row in rows}


def test_users_without_anything_are_not_listed(user: User) -> None:
    assert user.name not in listed()
    assert user.name not in pam_totp("users").output


def test_enrolled_user_is_listed_with_all_there_is_to_know(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    credential = enrolled(user)
    codes = new_recovery_codes(user)
    since = int(secret_of(user).stat().st_mtime)
    expected = {
        "user": user.name,
        "uid": user.uid,
        "enrolled": True,
        "factors": ["totp"],
        "unconfirmed_contacts": [],
        "devices": ["phone"],
        "unconfirmed": False,
        "since": since,
        "last_code_at": None,
        "recovery_codes_left": 10,
        "waiting_seconds": 0,
        "granted_until": None,
        "granted_once": False,
        "fault": "",
    }
    assert listed()[user.name] == expected
    before = int(time.time())
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    assert verify(user, codes[0]).code == ACCEPTED
    for index in range(6):
        verify(user, credential.incorrect_code(index))
    pam_totp("grant", user.name, "--for", "2h")
    row = listed()[user.name]
    assert before <= row["last_code_at"] <= time.time()
    assert row["recovery_codes_left"] == 9
    assert 50 <= row["waiting_seconds"] <= 60 or 20 <= row["waiting_seconds"] <= 30
    assert before <= row["granted_until"] - 7200 <= time.time()


def test_last_code_is_that_of_the_last_login_with_one(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    credential = enrolled(user)
    verify(user, credential.fresh_code())
    mark = f"/var/lib/pam-totp/enforced/{user.uid}"
    os.utime(mark, (1000000, 1000000))
    assert listed()[user.name]["last_code_at"] == 1000000
    before = int(time.time())
    verify(user, credential.fresh_code())
    assert before <= listed()[user.name]["last_code_at"] <= time.time()


def test_table_has_a_line_a_user_below_its_heading(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    before = time.time()
    enrolled(user)
    heading, *lines = pam_totp("users").output.splitlines()
    assert heading.split("  ")[0] == "user"
    (line,) = [line for line in lines if line.startswith(f"{user.name} ")]
    dates = {time.strftime("%Y-%m-%d", time.gmtime(each)) for each in (before, time.time())}
    assert line.split()[:2] == [user.name, "yes"]
    assert line.split()[2] in dates  # midnight may have passed
    assert line.index("yes") == heading.index("enrolled")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda user: secret_of(user).unlink(), "the secret is missing, so every login is refused"),
        (lambda user: secret_of(user).parent.chmod(0o777), "writable by others; run: runuser -u"),
        (lambda user: recovery_of(user).write_text("junk"), "recovery is malformed"),
        (
            lambda user: Path(f"/var/lib/pam-totp/grants/{user.uid}").write_text("junk"),
            "is malformed",
        ),
        (lambda user: secret_of(user).chmod(0o644), "chmod 600"),
        (lambda user: secret_of(user).write_text("junk\n"), "otpauth"),
        (lambda user: Path(f"/run/pam-totp/{user.uid}").write_text("junk"), "malformed"),
    ],
    ids=["secret gone", "loose folder", "recovery junk", "grant junk", "loose secret",
         "secret junk", "record junk"],
)  # fmt: skip
def test_what_refuses_a_users_logins_is_listed_as_a_fault(
    user: User,
    enrolled: Callable[..., Credential],
    spoil: Callable[[User], object],
    fault: str,
) -> None:
    credential = enrolled(user)
    new_recovery_codes(user)
    verify(user, credential.fresh_code())
    Path("/var/lib/pam-totp/grants").mkdir(mode=0o700, exist_ok=True)
    assert listed()[user.name]["fault"] == ""
    spoil(user)
    assert fault in listed()[user.name]["fault"]


@pytest.mark.parametrize(
    ("spoil", "is_enrolled", "codes", "fault"),
    [
        (lambda user: None, True, 10, ""),
        (lambda user: secret_of(user).chmod(0o644), None, 10, "chmod 600"),
        (lambda user: secret_of(user).write_text("junk\n"), None, 10, "otpauth"),
        (lambda user: secret_of(user).parent.chmod(0o777), None, None, "writable by others"),
        (lambda user: recovery_of(user).write_text("junk"), True, None, "recovery is malformed"),
        (lambda user: secret_of(user).unlink(), False, 10, "the secret is missing"),
    ],
    ids=["nothing", "loose secret", "secret junk", "loose folder", "recovery junk", "secret gone"],
)
def test_users_explain_and_status_tell_one_state_alike(
    user: User,
    enrolled: Callable[..., Credential],
    spoil: Callable[[User], object],
    is_enrolled: bool | None,
    codes: int | None,
    fault: str,
) -> None:
    credential = enrolled(user)
    new_recovery_codes(user)
    verify(user, credential.fresh_code())
    spoil(user)
    row = listed()[user.name]
    explained = json.loads(pam_totp("explain", user.name, "--json").output)
    status = json.loads(pam_totp("status", "--json", user=user).output)
    assert [each["enrolled"] for each in (row, explained, status)] == [is_enrolled] * 3
    assert (row["recovery_codes_left"], status["recovery_codes_made"]) == (codes, codes)
    assert (row["since"] is None, status["since"] is None) == (not is_enrolled,) * 2
    assert fault in row["fault"]
    if is_enrolled is None:  # what hides the answer is the same for all
        assert [row["fault"]] == explained["faults"]
        as_user = row["fault"].replace(f"runuser -u {user.name} -- ", "")  # as root has to say it
        assert [as_user] == status["faults"]
        assert f"{user.name}: enrollment unknown" in pam_totp("status", user=user).output
        assert "enrolled: unknown" in pam_totp("explain", user.name).output
        (line,) = re.findall(f"^{user.name} .*", pam_totp("users").output, re.MULTILINE)
        assert line.split()[1] == "unknown"


def test_malformed_grant_hides_nothing_else(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    verify(user, enrolled(user).fresh_code())
    pam_totp("grant", user.name)
    Path(f"/var/lib/pam-totp/grants/{user.uid}").write_text("junk", encoding="ascii")
    row = listed()[user.name]
    assert row["last_code_at"] is not None and "malformed" in row["fault"]


def test_user_who_waits_is_listed_although_nothing_else_is_wrong(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    credential = enrolled(user)
    for index in range(5):
        verify(user, credential.incorrect_code(index))
    assert 0 < listed()[user.name]["waiting_seconds"] <= 30
    assert " s after incorrect codes\n" in pam_totp("users").output


def test_user_with_a_grant_alone_is_listed(user: User) -> None:
    pam_totp("grant", user.name)
    row = listed()[user.name]
    assert (row["enrolled"], row["granted_until"] is not None) == (False, True)
    assert row["granted_once"] is False


def test_grant_for_a_single_login_is_listed_as_one(user: User) -> None:
    pam_totp("grant", user.name, "--once")
    assert listed()[user.name]["granted_once"] is True
    grant = rf"^{user.name} .*\n  grant: once, until 20\d\d-\d\d-\d\d \d\d:\d\d UTC$"
    assert re.search(grant, pam_totp("users").output, re.MULTILINE)


def test_every_time_in_the_table_is_said_to_be_utc(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    heading = pam_totp("users").output.splitlines()[0]
    assert re.findall(r"(\w+) \(UTC\)", heading) == ["since", "code"]


@pytest.mark.parametrize("option", [[], ["--json"], ["--missing"]], ids=" ".join)
def test_faulty_settings_are_said_with_what_is_in_force(user: User, option: list[str]) -> None:
    with configured("throttle: {free_tries: 3}\n"):
        good = pam_totp("users", *option)
        assert (good.code, good.errors) == (0, "")
        CONFIGURATION.write_text("throttle: {free_tries: 0}\n", encoding="ascii")
        answer = pam_totp("users", *option)
        fault, hint = answer.errors.splitlines()
        assert (answer.code, answer.output) == (1, good.output)
        assert fault.startswith(f"pam-totp: fault: {CONFIGURATION}: line 1, ")
        assert fault.endswith("; the last good settings are active")
        assert hint == "hint: pam-totp config check"
        explained = json.loads(pam_totp("explain", user.name, "--json").output)
        assert explained["faults"] == [fault.removeprefix("pam-totp: fault: ")]


@pytest.mark.parametrize(
    ("before", "held"),
    [
        (None, "there were no good settings before, so the defaults are active"),
        ("junk", "the last good settings cannot be read, so every user must enter a code"),
    ],
)
def test_faulty_settings_are_not_said_to_leave_good_ones_that_are_not_there(
    before: str | None, held: str
) -> None:
    with configured("rules: {\n"):
        if before is not None:
            LAST_GOOD.parent.mkdir(mode=0o700)
            LAST_GOOD.write_text(before, encoding="ascii")
        assert f"; {held}" in pam_totp("users").errors.splitlines()[0]


def test_users_of_the_system_store_are_listed(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    with configured("store: system\n"):
        row = listed()[user.name]
        assert not row["enrolled"]
        assert (
            row["fault"] == f"the secret is in the other store; run: pam-totp migrate {user.name}"
        )
        pam_totp("migrate", user.name)
        assert (listed()[user.name]["enrolled"], listed()[user.name]["fault"]) == (True, "")
        pam_totp("reset", "--yes", user.name)


@pytest.mark.parametrize("option", [[], ["--missing"]], ids=" ".join)
def test_folder_of_roots_records_that_others_may_write_is_said(option: list[str]) -> None:
    STATE.chmod(0o777)
    try:
        assert_refused(pam_totp("users", *option), f"{STATE} is writable by others")
    finally:
        STATE.chmod(0o700)


@pytest.mark.parametrize("command", ["users", "grant", "reset --yes"])
def test_lost_state_folder_has_the_command_that_makes_it_as_the_package_does(
    user: User, command: str
) -> None:
    away = Path(f"{STATE}-away")
    STATE.rename(away)
    try:
        name = [] if command == "users" else [user.name]
        answer = pam_totp(*command.split(), *name)
        assert_refused(answer, f"{STATE}: No such file or directory")
        repair = answer.errors.splitlines()[1].removeprefix("hint: ")
        assert not STATE.exists()
        assert run(["sh", "-c", f"umask 0; {repair}"]).code == 0
        for folder in (STATE, STATE / "secrets"):
            status, packaged = folder.stat(), (away / folder.relative_to(STATE)).stat()
            assert status.st_mode == packaged.st_mode
            assert (status.st_uid, status.st_gid) == (packaged.st_uid, packaged.st_gid)
        assert pam_totp(*command.split(), *name).code == 0
    finally:
        shutil.rmtree(STATE, ignore_errors=True)
        away.rename(STATE)


def test_enforced_record_of_an_account_that_is_gone_is_no_fault() -> None:
    mark = Path("/var/lib/pam-totp/enforced/987654")
    mark.parent.mkdir(mode=0o700, exist_ok=True)
    mark.touch(mode=0o600)
    try:
        assert pam_totp("users").code == 0
    finally:
        mark.unlink()


def test_device_and_file_names_cannot_spoil_the_terminal(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user, device="x\x1b[2Jx")
    assert "\x1b" not in pam_totp("users").output


@pytest.fixture
def many_users() -> Iterator[None]:
    """ENTRIES more accounts, ENROLLED of them with a secret."""
    before = PASSWD.read_bytes()
    homes = Path("/home/many")
    homes.mkdir(mode=0o755)
    lines = []
    for number in range(ENTRIES):
        uid, home = FIRST_UID + number, homes / f"u{number}"
        lines.append(f"u{number}:x:{uid}:{uid}::{home}:/bin/bash\n")
        folder = home / ".config" / "pam-totp"
        home.mkdir(mode=0o700)
        os.chown(home, uid, uid)
        if number < ENROLLED:
            folder.mkdir(parents=True, mode=0o700)
            secret = folder / "secret"
            secret.write_text(f"otpauth://totp/x?secret={'A' * 32} phone\n", encoding="ascii")
            secret.chmod(0o600)
            for path in (folder.parent, folder, secret):
                os.chown(path, uid, uid)
    PASSWD.write_bytes(before + "".join(lines).encode())
    yield
    PASSWD.write_bytes(before)
    shutil.rmtree(homes)


def test_each_of_many_users_becomes_itself_once(many_users: None, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    through = ["strace", "-f", "-e", "trace=setresuid", "-o", str(trace)]
    rows = json.loads(pam_totp("users", "--json", through=through).output)
    ours = [row for row in rows if row["uid"] >= FIRST_UID]
    assert len(ours) == ENROLLED
    assert all(row["enrolled"] and not row["fault"] for row in ours)
    became = re.findall(r"^\d+ +setresuid\(-1, (\d+), -1\)", trace.read_text(), re.MULTILINE)
    everybody = [str(FIRST_UID + number) for number in range(ENTRIES)]
    assert sorted(uid for uid in became if int(uid) >= FIRST_UID) == everybody


def test_time_of_a_file_beyond_all_calendars_hides_nobody(
    make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    """Users set it to what they like."""
    alice, bob = make_user(), make_user()
    for each in (alice, bob):
        enrolled(each)
    os.utime(secret_of(alice), (2**56, 2**56))
    answer = pam_totp("users")
    assert answer.code == 0, answer.errors
    assert {alice.name, bob.name} <= {line.split()[0] for line in answer.output.splitlines()}
    assert pam_totp("status", user=alice).code == 0


@pytest.mark.parametrize("shell", ["/bin/bash", "/usr/sbin/nologin", "/bin/false"])
def test_user_whose_home_does_not_exist_is_listed_whatever_the_shell_with_the_ways_out(
    user: User, shell: str
) -> None:
    """As users for sftp alone, whose home is relative to their chroot: `useradd -d /upload`."""
    subprocess.run(["usermod", "-d", "/upload", "-s", shell, user.name], check=True)
    fault = (
        "home '/upload' does not exist, so it cannot hold a secret; logins are refused until it is "
        "created or a rule says 'code: never'"
    )
    row = listed()[user.name]
    assert (row["enrolled"], row["fault"]) == (None, fault)
    assert user.name in pam_totp("users", "--missing").output.splitlines()
    explained = json.loads(pam_totp("explain", user.name, "--json").output)
    assert explained["outcome"] == f"refused, whatever code is entered: {fault}"
    assert fault in explained["faults"]
    assert verify(user, "123456").code == REFUSED


def test_system_accounts_without_a_home_and_users_who_are_enrolled_elsewhere_are_not_missing(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
        subprocess.run(["usermod", "-d", "/upload", "-s", "/bin/false", user.name], check=True)
        missing = pam_totp("users", "--missing").output.splitlines()
        row = listed()[user.name]
        assert (row["enrolled"], row["fault"]) == (True, "")
        pam_totp("reset", "--yes", user.name)
    assert {"nobody", "_apt", user.name}.isdisjoint(missing)
    assert "nobody" not in listed()


def test_folder_above_many_homes_is_passed_by_each_user_or_not_at_all(
    make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    """What is right for the first of them is not for the others."""
    above = Path("/srv/homes")
    (above / "all").mkdir(parents=True)
    first, second = make_user("amy"), make_user("ben")
    for each in (first, second):
        enrolled(each)
        home = str(above / "all" / each.name)
        subprocess.run(["usermod", "-m", "-d", home, each.name], check=True)
    try:
        assert [listed()[each.name]["enrolled"] for each in (first, second)] == [True, True]
        os.chown(above, 0, first.gid)
        faults = {0o710: f"{above} is closed to ben", 0o770: "writable by a group"}
        for mode, fault in faults.items():
            above.chmod(mode)
            rows = listed()
            assert rows[first.name]["enrolled"] is True
            assert (rows[second.name]["enrolled"], fault in rows[second.name]["fault"]) == (
                None,
                True,
            )
        above.chmod(0o755)
        os.chown(above, first.uid, 0)
        rows = listed()
        assert rows[first.name]["enrolled"] is True
        assert f"{above} is owned by user id {first.uid}" in rows[second.name]["fault"]
    finally:
        shutil.rmtree(above)
