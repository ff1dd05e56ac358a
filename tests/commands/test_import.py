# SPDX-License-Identifier: MIT
"""`pam-totp import`: users of other programs are enrolled, each as a whole or not at all."""

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pam_totp.rules.credential import decode_base32
from tests.commands.commands import (
    assert_refused,
    configured,
    keys_not_in_manual,
    mounted,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    run,
    secret_of,
    tree,
    verify,
)
from tests.commands.test_marks_taken_away import unchangeable
from tests.host.accounts import User
from tests.host.credentials import Credential, new_secrets
from tests.host.programs import ACCEPTED, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.tokens import Token

GOOGLE = "google-authenticator"
SCRATCH = ["12345678", "87654321"]
MAX_COMPARED = 3
OPTIONS = ['" RATE_LIMIT 3 30', '" WINDOW_SIZE 17', '" DISALLOW_REUSE', '" TOTP_AUTH']


def google_file(user: User) -> Path:
    return user.home / ".google_authenticator"


def give_google(user: User, secret: str, *lines: str, codes: list[str] = SCRATCH) -> Credential:
    user.give(google_file(user), "\n".join([secret, *(lines or OPTIONS), *codes, ""]), 0o400)
    return Credential(user, secret)


@pytest.fixture
def google(user: User) -> Credential:
    """The credential of `user`, who has enrolled with google-authenticator."""
    return give_google(user, new_secrets()[0])


def imported(*arguments: str) -> dict[str, Any]:
    """What is printed with --json, whatever the exit code."""
    found: dict[str, Any] = json.loads(pam_totp("import", *arguments, "--json").output)
    return found


def oath_file(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "users.oath"
    path.write_text("\n".join([*lines, ""]))
    return str(path)


def test_without_apply_nothing_is_changed_and_the_command_that_applies_it_is_shown(
    user: User, google: Credential
) -> None:
    before = tree(user.home)
    shown = pam_totp("import", GOOGLE, user.name)
    assert (shown.code, shown.errors) == (0, "")
    *_, summary, note, command = shown.output.splitlines()
    assert (summary, note) == (
        "Users: 1 would be imported.",
        "Nothing was changed. To import, run:",
    )
    assert command == f"  pam-totp import {GOOGLE} {user.name} --apply"
    assert tree(user.home) == before
    assert not (user.home / ".config").exists() and not (RECORDS / str(user.uid)).exists()
    assert run(["sh", "-c", command]).code == 0
    assert verify(user, google.fresh_code()).code == ACCEPTED


def test_imported_user_logs_in_with_the_same_phone_and_the_original_stays(
    user: User, google: Credential, syslog: SystemLog
) -> None:
    original, status = google_file(user).read_bytes(), google_file(user).stat()
    found = imported(GOOGLE, user.name, "--apply")
    assert (found["changed"], found["users"][0]["outcome"]) == (True, "imported")
    assert syslog.lines(f"action=import-{GOOGLE}")[0].fields["user"] == user.name
    assert verify(user, google.fresh_code()).code == ACCEPTED
    assert (google_file(user).read_bytes(), google_file(user).stat()) == (original, status)
    for path in (secret_of(user), recovery_of(user)):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (user.uid, 0o600)


def test_time_of_the_import_is_when_the_device_was_added(user: User, google: Credential) -> None:
    before = int(time.time()) // 60 * 60
    imported(GOOGLE, user.name, "--apply")
    (device,) = json.loads(pam_totp("devices", "--user", user.name, "--json").output)["devices"]
    assert before <= device["since"] <= time.time()
    rows = {row["user"]: row for row in json.loads(pam_totp("users", "--json").output)}
    assert rows[user.name]["unconfirmed"] is False


def test_line_of_a_token_whose_clock_is_off_is_imported_as_it_is(
    make_user: Callable[..., User], tmp_path: Path
) -> None:
    """As for a user who moves here from another host of ours."""
    user, secret = make_user(), new_secrets()[0]
    line = f"otpauth://totp/x?secret={secret}&offset=-40&issuer=y&added=20261129T1711Z token"
    (tmp_path / "line").write_text(line)
    done = pam_totp("import", "otpauth", str(tmp_path / "line"), "--user", user.name, "--apply")
    assert done.code == 0, done.errors
    assert verify(user, Credential(user, secret).code(-40)).code == ACCEPTED


def test_each_option_is_told_and_no_secret_and_no_code_is(user: User, google: Credential) -> None:
    answers = [
        pam_totp("import", GOOGLE, user.name, *more) for more in ([], ["--json"], ["--apply"])
    ]
    for answer in answers:
        for hidden in (google.secret, *SCRATCH):
            assert hidden not in answer.output + answer.errors
    lines = [line.split(maxsplit=1)[0] for line in answers[0].output.splitlines()[1:-3]]
    assert lines == [
        "secret",
        "RATE_LIMIT",
        "WINDOW_SIZE",
        "DISALLOW_REUSE",
        "TOTP_AUTH",
        "scratch",
    ]


def test_scratch_codes_are_kept_as_hashes_of_recovery_codes(user: User, google: Credential) -> None:
    imported(GOOGLE, user.name, "--apply")
    head, *hashes = recovery_of(user).read_text().splitlines()
    salt = bytes.fromhex(head.removeprefix("pam-totp recovery 1 "))
    quick = [hashlib.scrypt(c.encode(), salt=salt, n=16, r=8, p=1, dklen=32).hex() for c in SCRATCH]
    assert hashes == quick
    rows = {row["user"]: row for row in json.loads(pam_totp("users", "--json").output)}
    assert rows[user.name]["recovery_codes_left"] == 2


def test_code_that_was_used_there_is_refused_here_and_the_next_one_accepted(user: User) -> None:
    secret = new_secrets()[0]
    credential = Credential(user, secret)
    code, step = credential.fresh_code(), credential.step()
    give_google(user, secret, '" TOTP_AUTH', f'" DISALLOW_REUSE {step - 1} {step}')
    imported(GOOGLE, user.name, "--apply")
    assert verify(user, code).code == REFUSED
    assert verify(user, credential.fresh_code()).code == ACCEPTED


def test_a_second_time_changes_nothing_and_is_no_error(user: User, google: Credential) -> None:
    imported(GOOGLE, user.name, "--apply")
    before = tree(user.home)
    again = pam_totp("import", GOOGLE, user.name, "--apply", "--json")
    found = json.loads(again.output)
    assert (again.code, found["changed"], found["users"][0]["outcome"]) == (0, False, "unchanged")
    assert tree(user.home) == before


def test_existing_secret_stays_unless_its_replacement_is_asked_for(
    user: User, google: Credential, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    old_codes = new_recovery_codes(user)
    before = tree(user.home)
    refused = pam_totp("import", GOOGLE, user.name, "--apply")
    assert_refused(refused, "already enrolled with another secret")
    command = refused.errors.splitlines()[1].removeprefix("hint: ")
    assert command == f"pam-totp import {GOOGLE} {user.name} --apply --replace"
    assert tree(user.home) == before
    assert run(command.split()).code == 0
    assert verify(user, google.fresh_code()).code == ACCEPTED
    assert verify(user, old_codes[0]).code == REFUSED


def test_users_who_have_enrolled_by_themselves_are_no_fault_of_a_move_of_all(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], tmp_path: Path
) -> None:
    """They are its normal end, and stay as they are."""
    user, late = make_user(), make_user()
    secrets = new_secrets(2)
    credentials = [give_google(*each) for each in zip((user, late), secrets, strict=True)]
    own = enrolled(user)
    before = tree(user.home)
    lines = [
        f"HOTP/T30 {each.user.name} - {decode_base32(each.secret).hex()}" for each in credentials
    ]
    for arguments in ([GOOGLE, "--all"], ["oath", oath_file(tmp_path, *lines)]):
        shown = pam_totp("import", *arguments)
        assert (shown.code, shown.errors) == (0, "")
        assert f"{user.name}: enrolled with another secret\n" in shown.output
        assert shown.output.splitlines()[-3].endswith(", 1 enrolled with another secret.")
    answer = pam_totp("import", GOOGLE, "--all", "--apply", "--json")
    assert (answer.code, answer.errors) == (0, "")
    rows = {row["user"]: row for row in json.loads(answer.output)["users"]}
    assert rows[late.name]["outcome"] == "imported"
    row = rows[user.name]
    assert (row["outcome"], row["fault"]) == ("enrolled with another secret", "")
    assert (row["credentials"], row["options"], row["recovery_codes"]) == ([], [], 0)
    assert tree(user.home) == before
    assert verify(user, own.fresh_code()).code == ACCEPTED
    assert pam_totp("import", GOOGLE, "--all", "--apply", "--replace").code == 0
    assert verify(user, credentials[0].fresh_code()).code == ACCEPTED


def test_secret_file_without_a_device_is_a_fault_of_a_move_of_all(
    make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    """Every login of such a user is refused. What helps one does nothing to the others."""
    emptied, own = make_user(), make_user()
    for user in (emptied, own):
        give_google(user, new_secrets()[0])
        enrolled(user)
    emptied.give(secret_of(emptied), "# no device\n")
    before = tree(own.home)
    refused = pam_totp("import", GOOGLE, "--all", "--apply")
    assert_refused(refused, f"not everything was imported: {emptied.name}: already enrolled")
    command = refused.errors.splitlines()[1].removeprefix("hint: ")
    assert command == f"pam-totp import {GOOGLE} {emptied.name} --apply --replace"
    assert run(command.split()).code == 0
    assert tree(own.home) == before


def test_hint_that_replaces_names_one_user_alone(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], tmp_path: Path
) -> None:
    """Of several that were named; and of a file of users, none of whom can be."""
    users = [make_user() for _ in range(2)]
    for user in users:
        give_google(user, new_secrets()[0])
        enrolled(user)
    refused = pam_totp("import", GOOGLE, *(user.name for user in users), "--apply")
    assert_refused(refused, "already enrolled with another secret")
    hint = f"hint: pam-totp import {GOOGLE} {users[0].name} --apply --replace\n"
    assert refused.errors.endswith(hint)
    known = decode_base32(re.findall("secret=([A-Z2-7]+)", secret_of(users[0]).read_text())[0])
    lines = [f"HOTP/T30 {users[0].name} - {key}" for key in (known.hex(), "31" * 20)]
    partly = pam_totp("import", "oath", oath_file(tmp_path, *lines), "--apply")
    assert_refused(partly, f"{users[0].name}: already enrolled with another secret")
    assert partly.errors.endswith(f"hint: pam-totp reset {users[0].name}\n")


def test_with_replace_the_user_ends_with_exactly_what_the_file_holds(
    user: User, google: Credential
) -> None:
    """Whether or not the secret of the file is there already; what goes is named before."""
    imported(GOOGLE, user.name, "--apply")
    tablet = Credential(user, new_secrets()[0])
    added = f"otpauth://totp/x?secret={tablet.secret} tablet\n"
    user.give(secret_of(user), secret_of(user).read_text() + added)
    before = tree(user.home)
    assert imported(GOOGLE, user.name, "--apply")["users"][0]["outcome"] == "unchanged"
    shown = pam_totp("import", GOOGLE, user.name, "--replace")
    assert re.search(r"^  devices +removed: tablet$", shown.output, re.MULTILINE)
    assert tree(user.home) == before
    found = imported(GOOGLE, user.name, "--replace", "--apply")["users"][0]
    assert {"option": "devices", "becomes": "removed: tablet"} in found["options"]
    assert found["outcome"] == "imported"
    assert verify(user, tablet.fresh_code()).code == REFUSED
    assert verify(user, google.fresh_code()).code == ACCEPTED
    again = imported(GOOGLE, user.name, "--replace", "--apply")
    assert (again["changed"], again["users"][0]["outcome"]) == (False, "unchanged")


@pytest.mark.parametrize("other", ["&digits=8", "&algorithm=SHA256", "&period=60"])
def test_same_secret_that_makes_other_codes_is_another_one(
    user: User, google: Credential, other: str
) -> None:
    """As after an import with a mistake."""
    user.give(secret_of(user), f"otpauth://totp/x?secret={google.secret}{other} phone\n")
    refused = pam_totp("import", GOOGLE, user.name, "--apply")
    assert_refused(refused, "already enrolled with another secret")
    assert imported(GOOGLE, user.name, "--apply", "--replace")["changed"]
    assert verify(user, google.fresh_code()).code == ACCEPTED


def test_old_recovery_codes_are_void_where_the_file_brings_none(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    old_codes = new_recovery_codes(user)
    google = give_google(user, new_secrets()[0], codes=[])
    assert pam_totp("import", GOOGLE, user.name, "--apply", "--replace").code == 0
    assert verify(user, old_codes[0]).code == REFUSED
    assert verify(user, google.fresh_code()).code == ACCEPTED


def test_scratch_code_that_was_used_here_stays_used_after_another_import(
    user: User, google: Credential, enrolled: Callable[..., Credential]
) -> None:
    imported(GOOGLE, user.name, "--apply")
    first_hash = recovery_of(user).read_text().splitlines()[1]
    (STATE / "used").mkdir(mode=0o700, exist_ok=True)
    (STATE / "used" / str(user.uid)).write_text(f"{first_hash}\n")
    kept = recovery_of(user).read_text()
    enrolled(user)
    user.give(recovery_of(user), kept)
    imported(GOOGLE, user.name, "--apply", "--replace")
    assert len(recovery_of(user).read_text().splitlines()) == 1 + len(SCRATCH) - 1


def test_scratch_code_that_was_used_here_stays_used_though_its_user_enrolled_anew(
    user: User, google: Credential, enrolled: Callable[..., Credential]
) -> None:
    """New recovery codes have a new salt, so that nothing of the file tells of the old ones."""
    imported(GOOGLE, user.name, "--apply")
    first_hash = recovery_of(user).read_text().splitlines()[1]
    (STATE / "used").mkdir(mode=0o700, exist_ok=True)
    (STATE / "used" / str(user.uid)).write_text(f"{first_hash}\n")
    enrolled(user)
    new_recovery_codes(user)
    imported(GOOGLE, user.name, "--apply", "--replace")
    assert len(recovery_of(user).read_text().splitlines()) == 1 + len(SCRATCH) - 1
    recovery_of(user).unlink()
    enrolled(user)
    imported(GOOGLE, user.name, "--apply", "--replace")
    assert len(recovery_of(user).read_text().splitlines()) == 1 + len(SCRATCH) - 1


def test_scratch_code_that_was_used_here_stays_used_after_a_reset(
    user: User, google: Credential
) -> None:
    """Their file still has it."""
    imported(GOOGLE, user.name, "--apply")
    own = new_recovery_codes(user)
    assert verify(user, own[0]).code == ACCEPTED
    imported(GOOGLE, user.name, "--apply", "--replace")
    user.give(secret_of(user), "# to be imported anew\n")
    imported(GOOGLE, user.name, "--apply", "--replace")
    assert verify(user, SCRATCH[0]).code == ACCEPTED
    record = STATE / "used" / str(user.uid)
    assert len(record.read_text().split()) == 2
    done = pam_totp("reset", "--yes", user.name)
    assert (done.code, done.errors) == (0, "")
    kept = f"kept {record}, because {google_file(user)} may have these used codes\n"
    assert kept in done.output and f"removed {record}" not in done.output
    assert len(record.read_text().split()) == 1, "of other codes nothing is kept"
    imported(GOOGLE, user.name, "--apply")
    assert [verify(user, code).code for code in SCRATCH] == [REFUSED, ACCEPTED]


def test_counter_that_was_used_here_stays_used_after_a_reset(user: User) -> None:
    token, other = Token(user), Token(user)
    give_google(user, token.secret, '" HOTP_COUNTER 5', codes=[])
    imported(GOOGLE, user.name, "--apply")
    user.give(secret_of(user), secret_of(user).read_text() + other.line(0, "other"))
    assert verify(user, other.code(0)).code == ACCEPTED
    assert verify(user, token.code(7)).code == ACCEPTED
    done = pam_totp("reset", "--yes", user.name)
    assert f"kept {token.record}, because " in done.output
    assert (token.recorded(), other.recorded()) == (7, None)
    imported(GOOGLE, user.name, "--apply")
    assert [verify(user, token.code(at)).code for at in (5, 7)] == [REFUSED, REFUSED]
    assert verify(user, token.code(8)).code == ACCEPTED


@pytest.mark.parametrize("made", ["removed", "of another secret", "malformed"])
def test_reset_keeps_nothing_that_their_file_does_not_have(
    user: User, google: Credential, made: str
) -> None:
    imported(GOOGLE, user.name, "--apply")
    assert verify(user, SCRATCH[0]).code == ACCEPTED
    google_file(user).unlink()
    if made == "of another secret":
        give_google(user, new_secrets()[0])
    if made == "malformed":
        user.give(google_file(user), "nothing\n")
    done = pam_totp("reset", "--yes", user.name)
    assert (done.code, "kept" in done.output) == (0, False)
    assert not (STATE / "used" / str(user.uid)).exists()


def test_reset_keeps_all_used_codes_where_their_file_cannot_be_read(
    user: User, google: Credential
) -> None:
    """It may be mended, and imported again. The next reset without the file removes the record."""
    imported(GOOGLE, user.name, "--apply")
    assert verify(user, SCRATCH[0]).code == ACCEPTED
    google_file(user).chmod(0o644)
    record = STATE / "used" / str(user.uid)
    before = record.read_bytes()
    for _ in range(2):
        assert pam_totp("reset", "--yes", user.name).code == 0
        assert record.read_bytes() == before
    google_file(user).chmod(0o400)
    imported(GOOGLE, user.name, "--apply")
    assert [verify(user, code).code for code in SCRATCH] == [REFUSED, ACCEPTED]
    google_file(user).unlink()
    assert f"removed {record}\n" in pam_totp("reset", "--yes", user.name).output


def test_secret_in_the_other_store_is_not_forgotten(
    user: User, google: Credential, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    with configured("store: system\n"):
        answer = pam_totp("import", GOOGLE, user.name, "--apply")
        assert_refused(answer, "the secret is in the other store")
        assert f"hint: pam-totp migrate {user.name}" in answer.errors


def test_import_fills_the_active_store(user: User, google: Credential) -> None:
    with configured("store: system\n"):
        assert imported(GOOGLE, user.name, "--apply")["changed"]
        assert verify(user, google.fresh_code()).code == ACCEPTED
    assert not secret_of(user).exists()


def test_all_are_imported_and_the_faults_of_some_stop_nobody(
    make_user: Callable[..., User],
) -> None:
    good, skewed, none, linked = (make_user() for _ in range(4))
    google = give_google(good, new_secrets()[0])
    give_google(skewed, new_secrets()[0], '" TOTP_AUTH', '" TIME_SKEW 40')
    google_file(linked).symlink_to(google_file(good))
    os.chown(google_file(linked), linked.uid, linked.gid, follow_symlinks=False)
    answer = pam_totp("import", GOOGLE, "--all", "--apply", "--json")
    rows = {row["user"]: row for row in json.loads(answer.output)["users"]}
    assert answer.code == 1 and len(answer.errors.splitlines()) == 2
    assert {name: row["outcome"] for name, row in rows.items()} == {
        good.name: "imported",
        skewed.name: "fault",
        linked.name: "fault",
    }
    assert "1200 s ahead" in rows[skewed.name]["fault"]
    assert "is a symbolic link" in rows[linked.name]["fault"]
    assert none.name not in rows
    assert verify(good, google.fresh_code()).code == ACCEPTED
    assert not secret_of(skewed).exists() and not secret_of(linked).exists()


def test_named_user_without_the_file_is_a_fault(user: User) -> None:
    answer = pam_totp("import", GOOGLE, user.name)
    assert_refused(answer, f"there is no {google_file(user)}")


def plant(user: User, kind: str) -> None:
    path = google_file(user)
    if kind == "fifo":
        os.mkfifo(path, 0o600)
    elif kind == "link to root's":
        path.symlink_to("/etc/shadow")
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "100 MB":
        with path.open("wb") as file:
            file.truncate(100_000_000)
    elif kind == "open to others":
        give_google(user, new_secrets()[0])
        path.chmod(0o644)
    elif kind == "a million lines":
        path.write_text('JBSWY3DPEHPK3PXP\n" TOTP_AUTH\n' + "x\n" * 1_000_000)
    elif kind == "NULs":
        path.write_bytes(b"\0" * 1000)
    if kind != "open to others" and not path.is_symlink():
        path.chmod(0o700 if path.is_dir() else 0o600)
    os.chown(path, user.uid, user.gid, follow_symlinks=False)


@pytest.mark.parametrize(
    "kind",
    [
        *("fifo", "link to root's", "folder", "device", "100 MB", "open to others"),
        *("a million lines", "NULs"),
    ],
)
def test_hostile_file_in_a_home_is_one_fault_and_root_follows_it_nowhere(
    user: User, kind: str
) -> None:
    plant(user, kind)
    began = time.monotonic()
    answer = pam_totp("import", GOOGLE, user.name, "--apply")
    assert_refused(answer, f"not everything was imported: {user.name}: ")
    assert time.monotonic() - began < 5
    assert "root:" not in answer.output + answer.errors
    assert not secret_of(user).exists()


def test_file_of_somebody_else_in_the_home_is_not_imported(user: User, google: Credential) -> None:
    os.chown(google_file(user), 0, 0)
    assert_refused(pam_totp("import", GOOGLE, user.name, "--apply"), "is owned by user id 0")


def test_home_that_others_may_write_to_is_refused(user: User, google: Credential) -> None:
    user.home.chmod(0o777)
    for store in ("user", "system"):
        with configured(f"store: {store}\n"):
            answer = pam_totp("import", GOOGLE, user.name, "--apply")
            assert_refused(answer, f"{user.home} is writable by others")


def test_home_that_the_users_own_group_may_write_to_is_read(user: User, google: Credential) -> None:
    user.home.chmod(0o770)
    assert imported(GOOGLE, user.name, "--apply")["changed"]


def test_full_or_read_only_disk_changes_nothing(user: User, google: Credential) -> None:
    with read_only(user.home):
        assert_refused(pam_totp("import", GOOGLE, user.name, "--apply"), "Read-only file system")
    assert not secret_of(user).exists()
    config = user.home / ".config"
    config.mkdir(mode=0o700)
    with mounted(config, f"size=4k,nr_inodes=2,mode=700,uid={user.uid},gid={user.gid}"):
        assert_refused(pam_totp("import", GOOGLE, user.name, "--apply"), "No space left")
    assert not secret_of(user).exists()


def test_replacing_a_secret_takes_the_mark_away_that_a_login_left(
    user: User, google: Credential, enrolled: Callable[..., Credential]
) -> None:
    mark = RECORDS / "certain" / user.name
    assert verify(user, enrolled(user).fresh_code()).code == ACCEPTED
    assert mark.exists()
    assert pam_totp("import", GOOGLE, user.name, "--apply").code == 1
    assert mark.exists()
    assert pam_totp("import", GOOGLE, user.name, "--apply", "--replace").code == 0
    assert not mark.exists()


def test_secret_that_cannot_be_replaced_leaves_its_recovery_codes(
    user: User, google: Credential, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    codes = new_recovery_codes(user)
    with unchangeable(secret_of(user)):
        answer = pam_totp("import", GOOGLE, user.name, "--apply", "--replace")
        assert_refused(answer, "Operation not permitted")
    assert verify(user, codes[0]).code == ACCEPTED


def test_nothing_is_saved_where_used_codes_cannot_be_recorded(user: User) -> None:
    secret = new_secrets()[0]
    give_google(user, secret, '" TOTP_AUTH', f'" DISALLOW_REUSE {Credential.step()}')
    (RECORDS / str(user.uid)).write_text("garbage")
    assert_refused(pam_totp("import", GOOGLE, user.name, "--apply"), "is malformed")
    assert not secret_of(user).exists()


def test_all_users_of_users_oath_are_imported(
    make_user: Callable[..., User], tmp_path: Path
) -> None:
    users = [make_user() for _ in range(3)]
    secrets = new_secrets(3)
    hexes = [
        subprocess.run(["oathtool", "-v", "-b", each], capture_output=True, text=True)
        .stdout.split("Hex secret: ")[1]
        .split()[0]
        for each in secrets
    ]
    credentials = [Credential(*each) for each in zip(users, secrets, strict=True)]
    step = Credential.step()
    moment = time.strftime("%Y-%m-%dT%H:%M:%SL", time.localtime(step * 30))
    lines = [
        f"HOTP/T30 {users[0].name} - {hexes[0]}",
        f"HOTP/T30/6\t{users[1].name}\t+\t{hexes[1]}\t0\t{credentials[1].code_of(step)}\t{moment}",
        f"HOTP {users[2].name} pw {hexes[2]} 5 {'000000'} {moment}",
        "HOTP/T30 nobody-here - " + hexes[0],
        "HOTP/T30 broken - 00",
        "what is this",
    ]
    path = oath_file(tmp_path, "# users", *lines)
    before = Path(path).read_bytes()
    answer = pam_totp("import", "oath", path, "--apply", "--json")
    rows = {row["user"]: row for row in json.loads(answer.output)["users"]}
    assert answer.code == 1 and len(answer.errors.splitlines()) == 2
    assert [rows[user.name]["outcome"] for user in users] == ["imported"] * 3
    assert "there is no user" in rows["nobody-here"]["fault"]
    assert "there is no user" in rows["broken"]["fault"]
    assert rows["is"]["fault"].startswith("line 7: ")
    assert Path(path).read_bytes() == before
    assert verify(users[0], credentials[0].fresh_code()).code == ACCEPTED
    assert verify(users[1], credentials[1].code_of(step)).code == REFUSED
    assert verify(users[1], credentials[1].code_of(step + 1)).code == ACCEPTED
    line = secret_of(users[2]).read_text().splitlines()[1]
    assert line.startswith(f"otpauth://hotp/server:{users[2].name}@server?secret=")
    assert re.search(r"&counter=5&issuer=server&added=[0-9]{8}T[0-9]{4}Z oath$", line)
    for hidden in (*secrets, *hexes, " pw "):
        assert hidden not in answer.output + answer.errors


@pytest.mark.parametrize("is_used_first", [True, False])
def test_code_that_was_used_stays_used_though_another_line_has_the_same_secret(
    user: User, tmp_path: Path, is_used_first: bool
) -> None:
    """pam_oath notes the last code in one of the lines, while a login here has one record for a
    secret."""
    credential = Credential(user, new_secrets()[0])
    hexed, code = decode_base32(credential.secret).hex(), credential.fresh_code()
    moment = time.strftime("%Y-%m-%dT%H:%M:%SL", time.localtime(Credential.step() * 30))
    lines = [f"HOTP/T30 {user.name} - {hexed} 0 {code} {moment}", f"HOTP/T30 {user.name} - {hexed}"]
    path = oath_file(tmp_path, *(lines if is_used_first else reversed(lines)))
    assert pam_totp("import", "oath", path, "--apply").code == 0
    assert verify(user, code).code == REFUSED
    assert verify(user, credential.fresh_code()).code == ACCEPTED


def test_second_name_of_an_account_is_a_fault_and_does_not_replace_the_first(
    user: User, tmp_path: Path
) -> None:
    """Nothing of either line is lost in silence."""
    accounts = Path("/etc/passwd")
    before = accounts.read_text()
    first, second = "31" * 20, "32" * 20
    lines = [f"HOTP/T30 {user.name} - {first}", f"HOTP/T30 second-name - {second}"]
    try:
        accounts.write_text(f"{before}second-name:x:{user.uid}:{user.gid}::{user.home}:/bin/sh\n")
        answer = pam_totp("import", "oath", oath_file(tmp_path, *lines), "--apply")
    finally:
        accounts.write_text(before)
    assert_refused(answer, f"second-name: the file has the same user as '{user.name}', too")
    assert answer.errors.splitlines()[1] == "hint: correct the file, and run the command again"
    assert secret_of(user).read_text().count("otpauth://") == 1


def test_user_of_the_file_who_is_not_there_is_not_to_be_enrolled(tmp_path: Path) -> None:
    answer = pam_totp("import", "oath", oath_file(tmp_path, f"HOTP nobody-here - {'31' * 20}"))
    assert_refused(answer, "there is no user 'nobody-here'")
    assert answer.errors.splitlines()[1] == "hint: getent passwd"


def test_what_an_unknown_name_resembles_is_told_of_the_first_alone(
    user: User, tmp_path: Path
) -> None:
    """A users file may have thousands of names that are gone: each would be compared with all."""
    lines = [f"HOTP/T30 {user.name}{'x' * at} - {'31' * 20}" for at in range(1, 40)]
    found = imported("oath", oath_file(tmp_path, *lines))["users"]
    told = [f"did you mean {user.name}?" in row["fault"] for row in found]
    assert len(found) == len(lines) and told[0] and not any(told[MAX_COMPARED:])
    assert all("there is no user" in row["fault"] for row in found)


def test_secret_of_less_than_80_bits_is_a_fault_of_its_user(user: User, tmp_path: Path) -> None:
    path = oath_file(tmp_path, f"HOTP/T30 {user.name} - 3132333435")
    assert_refused(pam_totp("import", "oath", path, "--apply"), "must have a secret of 10 to 128")
    assert not secret_of(user).exists()


def test_uri_is_imported_from_a_file_and_from_standard_input(
    make_user: Callable[..., User], tmp_path: Path
) -> None:
    for through in ("file", "-"):
        user, secret = make_user(), new_secrets()[0]
        text = f"# mine\notpauth://totp/x?secret={secret}\n"
        (tmp_path / "file").write_text(text)
        name = str(tmp_path / "file") if through == "file" else "-"
        arguments = ["import", "otpauth", name, "--user", user.name, "--apply"]
        assert pam_totp(*arguments, typed=text).code == 0
        assert verify(user, Credential(user, secret).fresh_code()).code == ACCEPTED


def test_one_of_several_entries_has_to_be_named(user: User, tmp_path: Path) -> None:
    secrets = new_secrets(2)
    entry = {"issuer": "site", "digits": 6, "type": "TOTP", "algorithm": "SHA1", "period": 30}
    entries = [entry | {"label": f"n{at}", "secret": each} for at, each in enumerate(secrets)]
    path = tmp_path / "andotp.json"
    path.write_text(json.dumps(entries))
    arguments = ["import", "andotp", str(path), "--user", user.name]
    refused = pam_totp(*arguments)
    assert_refused(refused, "choose one of 2 entries: 1 site:n0, 2 site:n1")
    assert refused.errors.splitlines()[1] == f"hint: pam-totp {' '.join(arguments)} --entry=1"
    asked = pam_totp(*arguments, "--apply")  # pasted, the example is only shown
    assert asked.errors.splitlines()[1] == refused.errors.splitlines()[1]
    assert pam_totp(*arguments, "--entry", "site:n1", "--apply").code == 0
    assert verify(user, Credential(user, secrets[0]).fresh_code()).code == REFUSED
    assert verify(user, Credential(user, secrets[1]).fresh_code()).code == ACCEPTED


@pytest.mark.parametrize(
    ("source", "content", "message"),
    ids=range(12),
    argvalues=[
        ("aegis", b'{"version": 1, "header": {"slots": []}, "db": "AAAA"}', "is encrypted"),
        ("andotp", os.urandom(1000) + b"\xff", "is not JSON, or is encrypted"),
        ("freeotp-plus", b"[" * 100_000, "is not JSON"),
        ("freeotp-plus", b'{"tokens": [' + b"1" * 100_000 + b"]}", "is not JSON"),
        ("andotp", b"[" + b"[]," * 1_000_000 + b"[]]", "holds more than 200,000 values"),
        ("aegis", b'["' + b"x" * 5_000_000 + b'"]', "the file is larger than 4,194,304 bytes"),
        ("otpauth", b"\0" * 1_000_000, "not everything was imported"),
        ("otpauth", b"x\n" * 1_000_000, "more than 1000 entries"),
        ("otpauth", b"", "the file has no entry"),
        ("otpauth", b"a" * 17_000_000, "is larger than"),
        ("oath", b"x\n" * 1_000_000, "more than 100 lines cannot be read"),
        ("oath", b"\n" * 1_000_000, "names no user"),
    ],
)
def test_hostile_export_ends_in_an_error_of_two_lines(
    user: User, tmp_path: Path, source: str, content: bytes, message: str
) -> None:
    (tmp_path / "export").write_bytes(content)
    options = [] if source == "oath" else ["--user", user.name]
    answer = pam_totp("import", source, str(tmp_path / "export"), *options, "--apply")
    assert_refused(answer, message)
    assert not secret_of(user).exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/dev/zero", "/dev/zero is not a file"),
        ("/proc", "/proc: Is a directory"),
        ("/nowhere", "/nowhere: No such file"),
        ("FIFO", "FIFO is not a file"),
    ],
)
def test_what_is_no_file_is_an_error_at_once(
    user: User, tmp_path: Path, path: str, message: str
) -> None:
    os.mkfifo(tmp_path / "FIFO")
    began = time.monotonic()
    assert_refused(pam_totp("import", "oath", str(tmp_path / path)), message)
    assert time.monotonic() - began < 5


def test_only_root_may_import(user: User, google: Credential) -> None:
    assert_refused(pam_totp("import", GOOGLE, user.name, user=user), "must be run as root")


@pytest.mark.parametrize(
    "arguments",
    [[GOOGLE], [GOOGLE, "--all", "x"], [], ["oath"], ["otpauth", "x"], ["authy", "x"]],
)
def test_what_is_meant_must_be_said(arguments: list[str]) -> None:
    assert_refused(pam_totp("import", *arguments), "", code=2)


def test_killed_import_leaves_each_user_whole_and_can_be_repeated(
    make_user: Callable[..., User],
) -> None:
    users = [make_user() for _ in range(3)]
    credentials = [give_google(user, new_secrets()[0]) for user in users]
    names = [user.name for user in users]
    for milliseconds in range(100, 900, 100):
        command = ["timeout", "-s", "KILL", f"{milliseconds / 1000}"]
        subprocess.run(
            [*command, "pam-totp", "import", GOOGLE, *names, "--apply"], capture_output=True
        )
        time.sleep(0.1)
        for user in users:
            assert not secret_of(user).exists() or b"otpauth" in secret_of(user).read_bytes()
    assert pam_totp("import", GOOGLE, *names, "--apply").code == 0
    for user, credential in zip(users, credentials, strict=True):
        assert verify(user, credential.fresh_code()).code == ACCEPTED


def test_manual_describes_every_key(user: User, google: Credential) -> None:
    output = pam_totp("import", GOOGLE, user.name, "--json").output
    assert keys_not_in_manual("import", output) == set()


def test_imported_token_and_scratch_codes_log_in_here(user: User) -> None:
    """The counter of their file is the next one; each scratch code is good once."""
    token = Token(user)
    user.give(
        user.home / ".google_authenticator",
        "\n".join([token.secret, '" HOTP_COUNTER 5', '" WINDOW_SIZE 17', *SCRATCH, ""]),
        mode=0o400,
    )
    answer = pam_totp("import", "google-authenticator", user.name, "--apply")
    assert answer.code == 0, answer.errors
    assert verify(user, token.code(4)).code == REFUSED
    assert verify(user, token.code(5)).code == ACCEPTED
    assert [verify(user, SCRATCH[0]).code for _ in range(2)] == [ACCEPTED, REFUSED]
    assert verify(user, token.code(6)).code == ACCEPTED
