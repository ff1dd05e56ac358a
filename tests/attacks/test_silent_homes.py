# SPDX-License-Identifier: MIT
"""A home that never answers keeps root from nothing but that home."""

import fcntl
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.commands import assert_refused, configured, pam_totp, secret_of
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.encrypted_disk import disk_in_a_file
from tests.host.fuse import home_that_never_answers
from tests.host.oath import enroll_with_google
from tests.host.programs import COMMAND, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, Conversation, converse
from tests.sheets.crowd import assert_whole, enroll, printed_key, saved_key, sheet_of

FREEZE, THAW = 0xC0045877, 0xC0045878  # linux/fs.h: FIFREEZE, FITHAW


@pytest.fixture
def silent(user: User) -> Iterator[User]:
    with home_that_never_answers(user):
        yield user


def seconds_of(*arguments: str) -> tuple[float, str]:
    begun = time.monotonic()
    done = pam_totp(*arguments, through=("timeout", "-s", "KILL", "50"))
    assert done.code in (0, 1), done
    return time.monotonic() - begun, done.output


def test_listing_goes_on_to_the_others_and_names_the_home(
    silent: User, make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    after = make_user("zoe")
    enrolled(after)
    seconds, output = seconds_of("users", "--json")
    rows = {each["user"]: each for each in json.loads(output)}
    assert f"the home '{silent.home}' gives no answer" in rows[silent.name]["fault"]
    assert (rows[silent.name]["enrolled"], rows[after.name]["enrolled"]) == (None, True)
    assert seconds < 20


def test_import_goes_on_to_the_others_and_names_the_user(
    silent: User, make_user: Callable[..., User]
) -> None:
    after = make_user("zoe")
    for user in (silent, after):
        enroll_with_google(user)
    seconds, output = seconds_of("import", "google-authenticator", "--all", "--apply", "--json")
    rows = {each["user"]: each for each in json.loads(output)["users"]}
    assert "no answer within 5 seconds" in rows[silent.name]["fault"]
    assert rows[after.name]["outcome"] == "imported"
    assert seconds < 20


def test_move_of_all_goes_on_to_the_others_and_names_the_user(
    silent: User, make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    users = [make_user(), make_user("zoe")]  # before and after
    for user in users:
        enrolled(user)
    with configured("store: system\n"):
        seconds, output = seconds_of("migrate", "--all", "--json")
    found = json.loads(output)
    assert [each["user"] for each in found["not_moved"]] == [silent.name]
    assert "no answer within 20 seconds" in found["not_moved"][0]["fault"]
    assert {each["user"] for each in found["moved"]} == {user.name for user in users}
    assert not any(secret_of(user).exists() for user in users)
    assert seconds < 45


def test_reset_ends_and_a_secret_that_is_not_in_the_home_is_gone(
    silent: User, syslog: SystemLog
) -> None:
    """So a lost phone is of no use, whatever the user's session does."""
    kept = STATE / "secrets" / silent.name
    kept.mkdir(parents=True)
    for folder in (kept, kept.parent):
        folder.chmod(0o700)
    (kept / "secret").touch(0o600)
    done = pam_totp("reset", "--yes", silent.name, through=("timeout", "-s", "KILL", "50"))
    assert_refused(done, f"the home '{silent.home}' gives no answer within 20 seconds")
    assert f"removed {kept}/secret\n" in done.output
    assert not kept.exists()
    assert [each.fields["action"] for each in syslog.lines("action=reset")] == ["reset-in-part"]


@contextmanager
def frozen(user: User, image: Path) -> Iterator[None]:
    """The home answers reads, and no write until the end of the block: as a server that hangs, or a
    user's own program. Not even SIGKILL ends a process that waits for it."""
    with disk_in_a_file(image, user.home):
        os.chown(user.home, user.uid, user.gid)
        user.home.chmod(0o700)
        home = os.open(user.home, os.O_RDONLY)
        fcntl.ioctl(home, FREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(home, THAW, 0)
            os.close(home)
            while subprocess.run(["pgrep", "-f", f"{COMMAND} enroll"]).returncode == 0:
                time.sleep(0.01)  # who was killed ends only now


def test_enrollment_of_many_goes_on_past_a_home_that_takes_no_write(
    make_user: Callable[..., User], tmp_path: Path
) -> None:
    users = [make_user() for _ in range(12)]
    sheets = tmp_path / "sheets"
    with frozen(users[8], tmp_path / "disk"):
        answer = enroll(users, sheets)
        assert_refused(answer, "users that could not be enrolled: 1")
        assert "no answer within 20 seconds" in answer.output
        assert "meanwhile" not in answer.output, "each of the others is enrolled once"
        assert not secret_of(users[8]).exists()
        assert enroll(users[:1], sheets).code == 0, "the folder of the sheets is free"
    for user in users[:8] + users[9:]:
        assert printed_key(sheet_of(user, sheets)) == saved_key(user)
    assert enroll(users, sheets).code == 0
    assert_whole(users, sheets)


def test_status_of_one_user_names_the_home(silent: User) -> None:
    seconds, output = seconds_of("status", "--user", silent.name, "--json")
    found = json.loads(output)
    assert f"the home '{silent.home}' gives no answer" in found["faults"][0]
    assert (found["enrolled"], found["devices"], len(found["faults"])) == (None, [], 1)
    assert seconds < 30


@pytest.mark.parametrize(
    "options", [[], ["--as-user"], ["--json"], ["--service", "su"]], ids=" ".join
)
def test_explanation_of_a_login_names_the_home(silent: User, options: list[str]) -> None:
    done = pam_totp("explain", silent.name, *options, through=("timeout", "-s", "KILL", "50"))
    assert_refused(done, f"the home '{silent.home}' gives no answer within 5 seconds")


def test_doctor_finds_the_faults_of_the_others(
    silent: User, make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    after = make_user("zoe")
    enrolled(after)
    (after.home / ".config/pam-totp/secret").chmod(0o644)
    _, output = seconds_of("doctor", "--json")
    found = json.loads(output)["findings"]
    kinds = {each["what"].partition(":")[0]: each["kind"] for each in found}
    assert (kinds[silent.name], kinds[after.name]) == ("home-silent", "secret-mode")


def test_enable_says_that_its_user_would_be_refused(silent: User) -> None:
    _, output = seconds_of("enable", "su", "--dry-run")
    assert silent.name in output and "no answer" in output


def test_caller_that_ignores_the_end_of_its_children_changes_nothing(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    done = pam_totp("users", through=("env", "--ignore-signal=CHLD"))
    assert done.errors == "" and f"{user.name} " in done.output


def visible(conversation: Conversation) -> list[str]:
    """The lines of the screen at the end, where what was written later covers what was there."""
    lines = []
    for line in conversation.transcript.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


@pytest.mark.parametrize("option", [[], ["--missing"], ["--json"]], ids=" ".join)
def test_how_far_the_listing_is_stands_on_the_terminal_until_the_list_comes(
    silent: User, option: list[str]
) -> None:
    conversation = converse([COMMAND, "users", *option])
    assert re.search(r"\rusers: \d+ of \d+", conversation.transcript)
    assert not any("users:" in line for line in visible(conversation))
    first = {"": "user  ", "--missing": "", "--json": "["}["".join(option)]
    assert visible(conversation)[0].startswith(first)


@pytest.mark.parametrize("columns", [1, 12, 20])
def test_how_far_the_listing_is_never_takes_a_second_line(silent: User, columns: int) -> None:
    conversation = converse([COMMAND, "users", "--json"], size=(24, columns))
    told = re.findall(r"\r([^\r\n\[]*)", conversation.transcript)
    assert all(len(each) < columns or columns == 1 for each in told)
    assert visible(conversation)[0] == "["


def test_how_far_the_listing_is_stands_in_no_file(silent: User) -> None:
    assert pam_totp("users").errors == ""


def test_quick_listing_says_nothing_of_how_far_it_is(user: User) -> None:
    assert "users:" not in converse([COMMAND, "users"]).transcript


def test_listing_that_is_interrupted_leaves_no_line_and_no_process(silent: User) -> None:
    conversation = converse([COMMAND, "users"], [(r"users: \d+ of \d+", CTRL_C)])
    assert conversation.status == 1
    assert "pam-totp: error: interrupted; nothing was changed" in visible(conversation)
    assert not any("users:" in line for line in visible(conversation))
    assert subprocess.run(["pgrep", "-f", f"{COMMAND} users"]).returncode == 1


def test_listing_whose_process_is_killed_is_an_error_and_no_short_list(silent: User) -> None:
    listing = subprocess.Popen(
        [COMMAND, "users"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    children = Path(f"/proc/{listing.pid}/task/{listing.pid}/children")
    while not (child := children.read_text().split()):
        time.sleep(0.01)
    os.kill(int(child[0]), signal.SIGKILL)
    output, errors = listing.communicate()
    assert (listing.returncode, output) == (1, "")
    assert errors.splitlines() == [
        "pam-totp: error: the list is not complete: a process of this command was ended before it "
        "had seen all users",
        "hint: run the command again",
    ]
