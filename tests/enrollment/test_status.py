# SPDX-License-Identifier: MIT
"""`pam-totp status`: what is enrolled, and what is wrong with it."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.commands import configured, pam_totp
from tests.enrollment.person import run, secret_file
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.sending.outbox import NUMBER, SENDS, give_contact

ROOT = Path(__file__).resolve().parents[2]


def status(user: User | None) -> tuple[int, dict[str, Any]]:
    """Exit code and what `--json` says; the text form must agree on the exit code."""
    finished = run(user, "status", "--json")
    assert finished.errors == ""
    assert run(user, "status").status == finished.status
    return finished.status, json.loads(finished.output)


def test_user_who_is_not_enrolled_is_told_how_to(user: User) -> None:
    code, found = status(user)
    assert code == 0
    assert found == {
        "user": user.name,
        "enrolled": False,
        "secret_file": str(secret_file(user)),
        "since": None,
        "devices": [],
        "recovery_codes_made": 0,
        "contacts": None,
        "in_place_of_codes": [],
        "services_that_ask": [],
        "faults": [],
    }
    lines = run(user, "status").output.splitlines()
    assert lines[:2] == [
        f"{user.name}: not enrolled; run: pam-totp enroll",
        "  if you have ever logged in with a code, logins will be refused until you enroll again",
    ]


def test_user_to_whom_codes_may_be_sent_is_not_told_that_logins_are_refused(user: User) -> None:
    give_contact(user, ("sms", NUMBER))
    with configured(SENDS):
        own = run(user, "status").output.splitlines()
        of_root = pam_totp("status", "--user", user.name).output.splitlines()
        give_contact(user, ("sms", NUMBER), confirmed=0)
        unconfirmed = pam_totp("status", "--user", user.name).output.splitlines()
    until = (
        "  if you have ever logged in with a code, logins will be refused until you enroll again"
    )
    assert own[1] == f"{until}, unless codes are sent to you"
    assert of_root[0] == f"{user.name}: no device; logs in with codes that are sent"
    assert until not in of_root
    assert unconfirmed[:2] == [
        f"{user.name}: not enrolled; run: pam-totp enroll --user {user.name}",
        until,
    ]
    without_a_rule = pam_totp("status", "--user", user.name).output.splitlines()
    assert without_a_rule[1] == until


def test_every_device_is_told_without_its_secret(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    first = enrolled(user, device="my phone")
    line = secret_file(user).read_text(encoding="utf-8")
    other = "otpauth://totp/Site%3Aalice?secret=JBSWY3DPEHPK3PXPJBSWY3DP&digits=8&period=60"
    user.give(secret_file(user), f"# mine\n{line}{other}&algorithm=SHA256 tablet\n")
    code, found = status(user)
    assert code == 0
    assert found["enrolled"] is True
    assert found["faults"] == []
    assert found["since"] == int(secret_file(user).stat().st_mtime)
    assert [each["device"] for each in found["devices"]] == ["my phone", "tablet"]
    assert found["devices"][1] == {
        "device": "tablet",
        "id": "ddd02a4a",
        "account": "Site:alice",
        "type": "totp",
        "algorithm": "SHA256",
        "digits": 8,
        "period": 60,
        "since": None,
    }
    for shown in (json.dumps(found), run(user, "status").output):
        assert "my phone" in shown
        assert first.secret not in shown
        assert "JBSWY3DP" not in shown


def test_services_that_ask_are_told(user: User, pam_services: PamServices) -> None:
    pam_services.add("sshd")
    assert status(user)[1]["services_that_ask"] == ["sshd"]
    assert "services that ask for a code: sshd" in run(user, "status").output


def move_and_link(user: User) -> None:
    secret_file(user).rename(user.home / "moved")
    secret_file(user).symlink_to(user.home / "moved")


def link_to_nowhere(user: User) -> None:
    shutil.rmtree(user.home / ".config")
    (user.home / ".config").symlink_to("nowhere")


def add_a_bad_line(user: User) -> None:
    with secret_file(user).open("ab") as file:
        file.write(b"otpauth://totp/a?secret=OOPS1\n")


FAULTS: dict[str, Callable[[User], object]] = {
    "mode": lambda user: secret_file(user).chmod(0o644),
    "owner": lambda user: os.chown(secret_file(user), 0, 0),
    "folder": lambda user: secret_file(user).parent.chmod(0o777),
    "link": move_and_link,
    "empty": lambda user: secret_file(user).write_bytes(b""),
    "no text": lambda user: secret_file(user).write_bytes(b"\xff\0" * 99),
    "one bad line": add_a_bad_line,
    "dangling folder": link_to_nowhere,
}


@pytest.mark.parametrize("break_it", FAULTS.values(), ids=FAULTS.keys())
def test_fault_is_told_and_is_an_exit_code_of_1(
    user: User, enrolled: Callable[..., Credential], break_it: Callable[[User], object]
) -> None:
    credential = enrolled(user)
    break_it(user)
    code, found = status(user)
    assert code == 1
    is_usable = break_it is add_a_bad_line
    assert (found["enrolled"], found["since"] is None) == (is_usable or None, not is_usable)
    assert len(found["faults"]) == 1
    text = run(user, "status").output
    assert f"fault: {found['faults'][0]}" in text
    for secret in (credential.secret, "OOPS1"):
        assert secret not in text + json.dumps(found)


CLOSED = ".config", ".config/pam-totp", ".config/pam-totp/secret"


@pytest.mark.parametrize("owner", ["root", "user"])
@pytest.mark.parametrize("name", CLOSED)
def test_name_that_denies_the_user_is_told_with_the_command_that_opens_it(
    user: User, enrolled: Callable[..., Credential], name: str, owner: str
) -> None:
    """As after a restore as root, or a chmod that took too much."""
    enrolled(user)
    closed = user.home / name
    closed.chmod(0o000 if owner == "user" else 0o700 if closed.is_dir() else 0o600)
    os.chown(closed, 0 if owner == "root" else user.uid, -1)
    (fault,) = status(user)[1]["faults"]
    as_the_user = f"; run: runuser -u {user.name} -- chmod"
    assert fault_in_users(user) == fault.replace("; run: chmod", as_the_user)
    said, command = fault.split("; run: ")
    assert said.startswith(f"{closed} is {'owned by user id 0' if owner == 'root' else 'closed'}")
    assert run(user, "enroll").error == f"the secret cannot be used: {said}; nothing was changed"
    subprocess.run(command.split(), check=True)
    assert status(user)[0] == 0


def test_folder_above_the_home_that_is_closed_is_not_given_to_the_user(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    user.home.parent.chmod(0o700)
    try:
        assert fault_in_users(user) == f"/home is closed to {user.name}; run: chmod o+x /home"
    finally:
        user.home.parent.chmod(0o755)


def test_recovery_codes_are_told_whatever_is_wrong_with_the_secret(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    assert run(None, "recovery-codes", "--user", user.name).status == 0
    secret_file(user).chmod(0o644)
    assert status(user)[1]["recovery_codes_made"] == 10
    lines = run(user, "status").output.splitlines()
    assert lines[0] == f"{user.name}: enrollment unknown"
    assert "  10 recovery codes created" in lines


def test_faulty_recovery_codes_hide_no_device(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    user.give(secret_file(user).parent / "recovery", "junk")
    code, found = status(user)
    assert (code, found["enrolled"], found["recovery_codes_made"]) == (1, True, None)
    assert [each["device"] for each in found["devices"]] == ["phone"]
    assert "no recovery codes" not in run(user, "status").output


def test_all_faulty_lines_are_told_at_once(user: User, enrolled: Callable[..., Credential]) -> None:
    enrolled(user)
    line = secret_file(user).read_text(encoding="utf-8")
    user.give(secret_file(user), f"one\n{line}two\nthree\n")
    code, found = status(user)
    assert code == 1
    assert len(found["devices"]) == 1
    assert [fault.split(" ")[2] for fault in found["faults"]] == ["1", "3", "4"]


HOSTILE = "%1b%5b2J%1b%5d0;owned%07%0a%0dfault:%20none%e2%80%ae"


@pytest.mark.parametrize("form", [["status"], ["status", "--json"]], ids=" ".join)
def test_control_characters_of_a_file_do_not_reach_the_terminal(
    user: User, form: list[str]
) -> None:
    line = f"otpauth://totp/{HOSTILE}?secret=JBSWY3DPEHPK3PXP&x\x1b=1 \x1b[2J\x07\u202edevice\n"
    bad = "otpauth://totp/?secret=JBSWY3DPEHPK3PXP&\x1b[2J=1&\x1b[2J=2\n"
    user.give(secret_file(user), line + bad)
    finished = run(user, *form, LANG="C.UTF-8")
    assert finished.status == 1
    assert all(each.isprintable() for each in finished.output.split("\n"))
    assert len(finished.output.splitlines()) <= (4 if form == ["status"] else 40) + 2


def test_names_outside_ascii_are_shown_in_any_locale(user: User) -> None:
    uri = "otpauth://totp/B%C3%BCro%3A%E2%98%8E?secret=JBSWY3DPEHPK3PXP"
    user.give(secret_file(user), f"{uri} Händy\n")
    for locale in ("C", "C.UTF-8", "POSIX"):
        finished = run(user, "status", LC_ALL=locale)
        assert finished.status == 0
        assert finished.errors == ""
    assert run(user, "status", "--json", LC_ALL="C").raw.isascii()


def test_home_that_is_not_there_is_a_fault(user: User) -> None:
    shutil.rmtree(user.home)
    done = user.run_as("/usr/bin/pam-totp", "status", cwd="/")
    assert done.returncode == 1
    assert f"fault: {user.home} does not exist" in done.stdout
    assert "Traceback" not in done.stderr


def test_status_changes_nothing(user: User, enrolled: Callable[..., Credential]) -> None:
    enrolled(user)
    before = {path: path.lstat().st_mtime_ns for path in user.home.rglob("*")}
    status(user)
    assert {path: path.lstat().st_mtime_ns for path in user.home.rglob("*")} == before


GOOGLES = """JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP
" RATE_LIMIT 3 30
" WINDOW_SIZE 17
" DISALLOW_REUSE
" TOTP_AUTH
12345678
"""


def fault_in_users(user: User) -> str:
    rows = json.loads(run(None, "users", "--json").output)
    return str(next(row["fault"] for row in rows if row["user"] == user.name))


def test_file_of_google_authenticator_is_called_that(user: User) -> None:
    user.give(secret_file(user), GOOGLES)
    code, found = status(user)
    (fault,) = found["faults"]
    assert (code, found["enrolled"]) == (1, None)
    what = "in the format of google-authenticator, which a login cannot read; run: pam-totp enroll"
    assert fault == f"{secret_file(user)}: {what}"
    assert fault_in_users(user) == fault
    assert "JBSWY3DP" not in json.dumps(found)


@pytest.mark.parametrize("bad", [1, 3])
def test_users_has_a_fault_wherever_status_has(
    user: User, enrolled: Callable[..., Credential], bad: int
) -> None:
    enrolled(user)
    for _ in range(bad):
        add_a_bad_line(user)
    faults = status(user)[1]["faults"]
    assert len(faults) == bad
    assert all(fault.startswith(f"{secret_file(user)}: line ") for fault in faults)
    assert fault_in_users(user) == faults[0] + (" (and 2 more)" if bad == 3 else "")


def test_repository_of_dotfiles_does_not_take_the_secret(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    assert run(None, "recovery-codes", "--user", user.name).status == 0
    user.give(user.home / ".config" / "editor", "set nocompatible\n")
    for command in (["init", "-q"], ["add", "--all"]):
        assert user.run_as("git", *command, cwd=user.home / ".config").returncode == 0
    assert user.run_as("git", "ls-files", cwd=user.home / ".config").stdout == "editor\n"


def test_reset_leaves_no_folder_of_ours(user: User, enrolled: Callable[..., Credential]) -> None:
    enrolled(user)
    assert run(None, "recovery-codes", "--user", user.name).status == 0
    assert secret_file(user).with_name(".gitignore").exists()
    assert run(None, "reset", "--yes", user.name).status == 0
    assert not secret_file(user).parent.exists()
