# SPDX-License-Identifier: MIT
"""`pam-totp devices`: what is enrolled, and one device less or with another name."""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pyotp
import pytest

from tests.commands.commands import (
    Answer,
    assert_refused,
    configured,
    gate,
    keys_not_in_manual,
    mounted,
    new_recovery_codes,
    pam_totp,
    recovery_of,
    run,
    secret_of,
    tree,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential, new_secrets
from tests.host.programs import ACCEPTED, ASK, COMMAND, RECORDS, REFUSED
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, Conversation, Session

Converse = Callable[..., Conversation]
PASSWORD = "System password of .*:"
RIGHT_TO_LEFT = "טלפון"
ESCAPES = "a\x1b[2Jb\x1b]0;x\x07\u202ec"


def random_secrets(count: int) -> list[str]:
    return [pyotp.random_base32() for _ in range(count)]


def give(user: User, *names: str, secrets: list[str] | None = None) -> list[Credential]:
    """Enrolls devices of these names by hand, with a comment and a faulty line between them."""
    # Of many, some show the same code within half an hour.
    few = len(names) < 4
    secrets = secrets or (new_secrets(len(names)) if few else random_secrets(len(names)))
    lines = [
        f"otpauth://totp/server:{user.name}?secret={secret}&issuer=server {name}\n"
        for name, secret in zip(names, secrets, strict=True)
    ]
    user.give(secret_of(user), "# mine\n" + "\n".join(lines))
    return [Credential(user, secret) for secret in secrets]


@pytest.fixture
def two(user: User) -> list[Credential]:
    return give(user, "phone", "tablet")


def listed(*options: str, user: User | None = None) -> list[dict[str, Any]]:
    answer = pam_totp("devices", *options, "--json", user=user)
    assert answer.errors == ""
    found: list[dict[str, Any]] = json.loads(answer.output)["devices"]
    return found


def names(user: User) -> list[str]:
    return [each["device"] for each in listed(user=user)]


def change(user: User, *arguments: str) -> Answer:
    """By the user, who knows the password."""
    return pam_totp("devices", *arguments, user=user, typed=f"{user.password}\n")


def changed(answer: Answer) -> bool:
    assert answer.code == 0, answer.errors
    found = json.loads(answer.output)["changed"]
    assert isinstance(found, bool)
    return found


def test_user_and_root_see_the_same_devices(user: User, two: list[Credential]) -> None:
    own, of_root = listed(user=user), listed("--user", user.name)
    assert own == of_root
    assert [each["device"] for each in own] == ["phone", "tablet"]
    assert all(re.fullmatch("[0-9a-f]{8}", each["id"]) for each in own)
    assert [each["type"] for each in own] == ["totp", "totp"]
    table = pam_totp("devices", user=user)
    assert table.output == pam_totp("devices", "list", user=user).output
    assert all(each.secret not in table.output for each in two)
    assert "Only root can see when" in table.output


def test_manual_describes_every_key(user: User, two: list[Credential]) -> None:
    for arguments in ([], ["rename", "phone", "phone"]):
        answer = pam_totp("devices", *arguments, "--json", user=user)
        assert keys_not_in_manual("devices", answer.output) == set()


def test_time_when_a_device_was_added_is_known_of_those_made_here(user: User) -> None:
    before = int(time.time()) // 60 * 60
    session = Session([COMMAND, "enroll"], user, {})
    session.answer("Code from the app:", "")
    secret = re.search(r"secret=([A-Z2-7]+)", session.screen)
    assert secret
    assert "added=" not in session.screen
    session.answer("Code from the app:", lambda _: Credential(user, secret[1]).code())
    assert session.finish().status == 0
    assert "&added=" in secret_of(user).read_text(encoding="ascii")
    (device,) = listed(user=user)
    assert before <= device["since"] <= time.time()
    shown = time.strftime("%Y-%m-%d %H:%M", time.gmtime(device["since"]))
    assert f"phone   totp  {shown}  " in pam_totp("devices", user=user).output


def test_root_sees_when_a_device_was_used_and_the_user_does_not(
    user: User, two: list[Credential]
) -> None:
    assert [each["last_used_at"] for each in listed("--user", user.name)] == [None, None]
    code_time = time.time()
    assert verify(user, two[1].code()).code == ACCEPTED
    phone, tablet = listed("--user", user.name)
    assert phone["last_used_at"] is None
    assert code_time - 31 <= tablet["last_used_at"] <= code_time + 31
    assert [each["last_used_at"] for each in listed(user=user)] == [None, None]
    assert "since this machine was started" in pam_totp("devices", "--user", user.name).output


def test_record_of_used_codes_that_is_damaged_is_a_fault(user: User, two: list[Credential]) -> None:
    assert verify(user, two[0].code()).code == ACCEPTED
    (RECORDS / str(user.uid)).write_text("junk", encoding="ascii")
    answer = pam_totp("devices", "--user", user.name)
    assert answer.code == 1
    assert "fault: " in answer.output
    assert "phone" in answer.output


def test_faulty_line_is_shown_beside_the_devices(user: User, two: list[Credential]) -> None:
    user.give(secret_of(user), secret_of(user).read_text(encoding="ascii") + "junk\n")
    answer = pam_totp("devices", user=user)
    assert answer.code == 1
    assert "line 5 is not an otpauth:// URI" in answer.output
    assert names(user) == ["phone", "tablet"]


def test_nobody_enrolled_is_no_fault(user: User) -> None:
    answer = pam_totp("devices", user=user)
    assert (answer.code, answer.errors) == (0, "")
    assert answer.output == f"{user.name}: not enrolled; run: pam-totp enroll\n"
    by_root = pam_totp("devices", "--user", user.name)
    assert by_root.output == f"{user.name}: not enrolled; run: pam-totp enroll --user {user.name}\n"


def test_other_users_devices_are_roots_to_see(
    make_user: Callable[..., User], user: User, two: list[Credential]
) -> None:
    answer = pam_totp("devices", "--user", user.name, user=make_user())
    assert_refused(answer, "with --user, this command must be run as root")
    assert answer.errors.endswith(f"hint: sudo pam-totp devices --user {user.name}\n")


@pytest.mark.parametrize("name", [ESCAPES, RIGHT_TO_LEFT, "é ü ☎", "x" * 200, "a 'b' \"c\" $(d)"])
def test_name_that_was_written_by_hand_reaches_no_terminal_and_can_be_changed(
    user: User, name: str
) -> None:
    give(user, name, "tablet")
    answer = pam_totp("devices", user=user)
    assert answer.code == 0
    assert "\x1b" not in answer.output
    assert "\u202e" not in answer.output
    assert answer.output.count("tablet") == 1
    id_ = listed(user=user)[0]["id"]
    assert change(user, "rename", id_, "laptop").code == 0
    assert names(user) == ["laptop", "tablet"]


@pytest.mark.parametrize("names_", [("phone", "phone"), ("", "phone"), ("Phone", "pHONE")])
def test_id_names_a_device_whose_name_does_not(user: User, names_: tuple[str, str]) -> None:
    first, second = give(user, *names_)
    if names_[0]:
        answer = change(user, "remove", "phone")
        assert_refused(answer, "'phone' may be several devices, with the ids ")
    id_ = listed(user=user)[0]["id"]
    assert changed(change(user, "remove", id_.upper(), "--json"))
    assert verify(user, first.code()).code == REFUSED
    assert verify(user, second.fresh_code()).code == ACCEPTED


@pytest.mark.parametrize("by_root", [False, True])
def test_codes_of_a_removed_device_are_refused_and_those_of_the_others_are_not(
    user: User, two: list[Credential], by_root: bool
) -> None:
    codes = new_recovery_codes(user)
    phone, tablet = two
    before = secret_of(user).read_bytes()
    if by_root:
        answer = pam_totp("devices", "remove", "PHONE", "--user", user.name)
    else:
        answer = change(user, "remove", "PHONE")
    assert answer.code == 0, answer.errors
    assert "the codes of 'phone' are no longer accepted" in answer.output
    assert "Still enrolled: tablet." in answer.output
    lines = before.splitlines(keepends=True)
    assert secret_of(user).read_bytes() == lines[0] + b"".join(lines[2:])
    assert secret_of(user).stat().st_uid == user.uid
    assert verify(user, phone.fresh_code()).code == REFUSED
    assert verify(user, tablet.fresh_code()).code == ACCEPTED
    assert verify(user, codes[0]).code == ACCEPTED


def test_renamed_device_keeps_its_secret(user: User, two: list[Credential]) -> None:
    before = secret_of(user).read_bytes()
    assert change(user, "rename", "tablet", "old tablet").code == 0
    assert secret_of(user).read_bytes() == before.replace(b" tablet\n", b" old tablet\n")
    assert verify(user, two[1].fresh_code()).code == ACCEPTED
    assert change(user, "rename", "OLD TABLET", "Old Tablet").code == 0, "its own name"
    assert names(user) == ["phone", "Old Tablet"]


def test_doing_it_twice_is_no_error_and_says_that_nothing_was_changed(
    user: User, two: list[Credential]
) -> None:
    give(user, "phone", "laptop")
    assert changed(change(user, "remove", "laptop", "--json"))
    assert not changed(change(user, "remove", "laptop", "--json"))
    assert changed(change(user, "rename", "phone", "watch", "--json"))
    before = tree(user.home)
    assert not changed(change(user, "rename", "phone", "watch", "--json"))
    assert not changed(change(user, "rename", "watch", "watch", "--json"))
    assert tree(user.home) == before
    assert pam_totp("devices", "remove", "laptop", user=user).code == 0, "and asks nobody"


@pytest.mark.parametrize("verb", [["remove"], ["rename", "NEW"], ["show"]])
def test_misspelt_name_is_told_with_the_one_that_may_be_meant(
    user: User, two: list[Credential], verb: list[str]
) -> None:
    before = tree(user.home)
    answer = change(user, verb[0], "phnoe", *verb[1:])
    assert_refused(answer, "there is no device 'phnoe'; did you mean phone?")
    assert answer.errors.endswith("hint: pam-totp devices\n")
    assert tree(user.home) == before


def test_device_of_a_faulty_line_is_not_taken_for_one_that_is_gone(user: User) -> None:
    give(user, "phone")
    line = "otpauth://totp/x?secret=A watch\n"
    user.give(secret_of(user), secret_of(user).read_text(encoding="ascii") + line)
    assert_refused(change(user, "remove", "watch"), "there is no device 'watch', but a fault: line")


def test_new_name_must_be_one_that_no_other_device_has(user: User, two: list[Credential]) -> None:
    for new in ("tablet", "Tablet", "\uff34ablet"):
        assert_refused(change(user, "rename", "phone", new), "there is a device 'tablet' already")
    give(user, "phone", "cafe\u0301")
    assert_refused(change(user, "rename", "phone", "Caf\u00e9"), "there is a device ")


@pytest.mark.parametrize("new", ["", " ", "a\nb", ESCAPES, "x" * 65, "1a2B3c4d", "a&digits=8"])
def test_new_name_that_cannot_be_one_is_wrong_usage(
    user: User, two: list[Credential], new: str
) -> None:
    before = tree(user.home)
    assert_refused(change(user, "rename", "phone", new), "argument NEW: must ", code=2)
    assert_refused(
        pam_totp("enroll", "--device", new, user=user),
        "there is no device '1a2b3c4d'" if new == "1a2B3c4d" else "argument --device: must ",
        code=1 if new == "1a2B3c4d" else 2,
    )
    assert tree(user.home) == before


def test_secret_that_another_device_has_too_is_not_left_behind(user: User) -> None:
    """Of a stolen phone: under the other name its codes would still be accepted."""
    (secret,) = new_secrets()
    (credential, _) = give(user, "phone", "copy", secrets=[secret, secret])
    answer = change(user, "remove", "phone")
    assert_refused(answer, "the secret of 'phone' is also that of 'copy'; nothing was changed")
    id_ = listed(user=user)[0]["id"]
    assert answer.errors.endswith(f"hint: give its id, {id_}, for both\n")
    assert_refused(pam_totp("enroll", "--device", "copy", user=user), "is also that of 'phone'")
    assert change(user, "remove", id_, "--yes").code == 0
    assert verify(user, credential.code()).code == REFUSED


def test_secret_beyond_those_that_a_login_tries_goes_too(user: User) -> None:
    """It would count as soon as there are fewer."""
    secrets = random_secrets(33)
    secrets[32] = secrets[0]
    give(user, *(f"d{number}" for number in range(32)), "d0", secrets=secrets)
    assert change(user, "remove", "d0").code == 0
    assert secrets[0] not in secret_of(user).read_text(encoding="ascii")
    assert len(names(user)) == 31


@pytest.mark.parametrize("is_marked", [False, True])
def test_only_device_is_removed_only_with_yes_and_then_every_code_is_refused(
    user: User, credential: Credential, is_marked: bool, on_terminal: Converse
) -> None:
    codes = new_recovery_codes(user)
    if is_marked:
        assert verify(user, credential.fresh_code()).code == ACCEPTED
    before = tree(user.home)
    answer = change(user, "remove", "phone")
    assert_refused(answer, f"'phone' is the only device of {user.name}: without it every login")
    assert f"until the user enrolls again or root runs: pam-totp reset {user.name}" in answer.errors
    assert answer.errors.endswith("hint: pam-totp devices remove phone --yes\n")
    shown = on_terminal([COMMAND, "devices", "remove", "phone"], user=user)
    assert shown.status == 1
    assert "is the only device of" in " ".join(shown.transcript.split())
    assert tree(user.home) == before
    answer = change(user, "remove", "phone", "--yes")
    assert answer.code == 0
    assert "Still enrolled: no device." in answer.output
    assert gate(user).code == ASK, "nor does that switch the second factor off"
    for typed in (credential.fresh_code(), codes[0], ""):
        assert verify(user, typed).code == REFUSED
    explained = pam_totp("explain", user.name, "--service", "su", "--json").output
    assert json.loads(explained)["enrolled"] is not True
    again = change(user, "remove", "phone", "--yes", "--json")
    assert not changed(again)


def test_user_without_a_device_enrolls_again_and_gets_new_recovery_codes(
    user: User, credential: Credential, on_terminal: Converse
) -> None:
    old = new_recovery_codes(user)
    assert change(user, "remove", "phone", "--yes").code == 0

    def code_of(shown: str) -> str:
        secret = re.search(r"secret=([A-Z2-7]+)", shown)
        assert secret
        return Credential(user, secret[1]).code()

    dialogue = [(PASSWORD, user.password), ("Code from the app:", code_of)]
    done = on_terminal([COMMAND, "enroll"], dialogue, user=user)
    assert done.status == 0
    assert "Recovery codes, each" in done.transcript
    assert verify(user, old[0]).code == REFUSED


@pytest.mark.parametrize("verb", [["remove", "phone"], ["rename", "phone", "watch"]])
@pytest.mark.parametrize("typed", ["wrong\nwrong\nwrong\n", "", "wrong\n"])
def test_nothing_is_changed_without_the_password(
    user: User, two: list[Credential], verb: list[str], typed: str
) -> None:
    before = tree(user.home)
    answer = pam_totp("devices", *verb, user=user, typed=typed)
    assert answer.code == 1
    assert "nothing was changed" in answer.errors
    assert len(answer.errors.splitlines()) == 2
    assert tree(user.home) == before
    assert recovery_of(user).exists() is False


def test_root_is_named_in_the_hint_with_the_same_command(user: User, two: list[Credential]) -> None:
    answer = pam_totp("devices", "remove", "phone", user=user, typed="a\nb\nc\n")
    command = f"pam-totp devices remove phone --user {user.name}"
    assert answer.errors.endswith(f"hint: without a password, ask root to run: {command}\n")


@pytest.mark.parametrize("verb", [["remove", "phone"], ["rename", "phone", "watch"]])
def test_ctrl_c_at_the_question_changes_nothing(
    user: User, two: list[Credential], verb: list[str], on_terminal: Converse
) -> None:
    before = tree(user.home)
    shown = on_terminal([COMMAND, "devices", *verb], [(PASSWORD, CTRL_C)], user=user)
    assert shown.status == 1
    assert "pam-totp: error: interrupted; nothing was changed\nhint: " in shown.transcript
    assert tree(user.home) == before


@pytest.mark.parametrize("verb", [["remove", "phone"], ["rename", "phone", "watch"]])
def test_file_that_was_changed_meanwhile_is_left_alone(
    user: User, two: list[Credential], verb: list[str]
) -> None:
    session = Session([COMMAND, "devices", *verb], user, {})

    def edit(_: str) -> str:
        give(user, "phone", "laptop")
        return user.password

    session.answer(PASSWORD, edit)
    before = secret_of(user).read_bytes() if secret_of(user).exists() else b""
    done = session.finish()
    session.close()
    assert done.status == 1
    said = " ".join(done.transcript.split())
    assert "the secret was changed meanwhile; nothing was changed hint: " in said
    assert f"hint: pam-totp devices {' '.join(verb)}" in said
    assert secret_of(user).read_bytes() == before
    assert names(user) == ["phone", "laptop"]


@pytest.mark.parametrize("verb", [["remove", "phone"], ["rename", "phone", "watch"]])
def test_full_disk_changes_nothing_and_asks_nobody(user: User, verb: list[str]) -> None:
    with mounted(user.home, f"size=16k,mode=700,uid={user.uid},gid={user.gid}"):
        give(user, "phone", "tablet")
        before = secret_of(user).read_bytes()
        with (user.home / "full").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(512))
        answer = pam_totp("devices", *verb, user=user)
        assert_refused(answer, "No space left on device; nothing was changed")
        assert secret_of(user).read_bytes() == before


@pytest.mark.parametrize("verb", [[], ["remove", "phone"], ["rename", "phone", "x"], ["show", "x"]])
@pytest.mark.parametrize(
    ("spoil", "said"),
    [("chmod 644 FILE", "is open to others"), ("chmod 0 FILE", "is closed to its owner")],
)
def test_file_that_a_login_would_not_read_is_said_and_left_alone(
    user: User, two: list[Credential], verb: list[str], spoil: str, said: str
) -> None:
    subprocess.run(spoil.replace("FILE", str(secret_of(user))).split(), check=True)
    answer = change(user, *verb)
    assert_refused(answer, f"the secret cannot be used: {secret_of(user)} {said}")
    assert "hint: chmod 600 " in answer.errors


@pytest.mark.parametrize("verb", [[], ["remove", "phone"], ["rename", "phone", "x"], ["show", "x"]])
def test_home_that_is_closed_is_two_lines_of_error(
    user: User, two: list[Credential], verb: list[str]
) -> None:
    user.home.chmod(0o000)
    try:
        assert_refused(pam_totp("devices", *verb, "--user", user.name), "cannot be used")
    finally:
        user.home.chmod(0o700)


@pytest.mark.parametrize("verb", [[], ["remove", "phone"], ["rename", "phone", "x"], ["show", "x"]])
def test_secrets_that_root_keeps_are_roots_to_change(user: User, verb: list[str]) -> None:
    with configured("store: system\n"):
        answer = change(user, *verb)
        command = " ".join(["pam-totp devices", *verb, "--user", user.name])
        assert_refused(answer, "only root can read them (store: system)")
        assert answer.errors.endswith(f"hint: ask root to run: {command}\n")


def test_root_changes_what_root_keeps(user: User, credential: Credential) -> None:
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
        assert pam_totp("devices", "rename", "phone", "x", "--user", user.name).code == 0
        assert [each["device"] for each in listed("--user", user.name)] == ["x"]
        assert verify(user, credential.fresh_code()).code == ACCEPTED


@pytest.mark.parametrize("verb", [["remove", "phone"], ["rename", "phone", "watch"]])
def test_change_is_said_although_the_output_cannot_be_written(
    user: User, two: list[Credential], verb: list[str]
) -> None:
    shell = f"{COMMAND} devices {' '.join(verb)} --user {user.name} >/dev/full"
    answer = run(["/bin/sh", "-c", shell])
    assert_refused(answer, "done, but the output cannot be written: No space left on device")
    assert names(user) != ["phone", "tablet"]


def test_closed_output_changes_nothing(user: User, two: list[Credential]) -> None:
    shell = f"{COMMAND} devices remove phone --user {user.name} >&-"
    answer = run(["/bin/sh", "-c", shell])
    assert_refused(answer, "standard output is closed; nothing was done")
    assert names(user) == ["phone", "tablet"]


def test_what_root_changes_is_logged_and_what_users_change_is_not(
    user: User, two: list[Credential], syslog: SystemLog
) -> None:
    assert change(user, "rename", "phone", "watch").code == 0
    assert syslog.lines("action=") == []
    assert pam_totp("devices", "rename", "watch", "phone", "--user", user.name).code == 0
    assert pam_totp("devices", "remove", "phone", "--user", user.name).code == 0
    assert [line.fields for line in syslog.lines("action=")] == [
        {"action": "rename-device", "user": user.name, "by": "root"},
        {"action": "remove-device", "user": user.name, "by": "root"},
    ]


def test_listing_of_users_names_the_devices_where_there_are_several(
    make_user: Callable[..., User],
) -> None:
    one, several = make_user(), make_user()
    give(one, "phone")
    give(several, "phone", "", RIGHT_TO_LEFT)
    answer = pam_totp("users")
    assert f"\n  devices: phone, -, {RIGHT_TO_LEFT}\n" in answer.output
    assert answer.output.count("devices: ") == 1
    rows = {row["user"]: row for row in json.loads(pam_totp("users", "--json").output)}
    assert rows[one.name]["devices"] == ["phone"]
    assert rows[several.name]["devices"] == ["phone", "", RIGHT_TO_LEFT]


def test_thirty_two_devices_are_listed_and_one_of_them_replaced(user: User) -> None:
    credentials = give(user, *(f"device {number}" for number in range(32)))
    assert len(listed(user=user)) == 32
    answer = pam_totp("enroll", "--device", "device 32", user=user)
    assert_refused(answer, "32 devices are enrolled")
    assert answer.errors.endswith("hint: pam-totp devices\n")
    answer = pam_totp("enroll", user=user)
    assert_refused(answer, f"{user.name} has several devices: device 0, device 1, ")
    assert "--device NAME" in answer.errors
    answer = pam_totp("enroll", "--device", "device 7", user=user)
    assert "no password" in answer.errors
    assert "replace the secret of 'device 7', and no other" in answer.output
    assert verify(user, credentials[31].code()).code == ACCEPTED


def test_hidden_words_of_the_user_are_in_no_argument_of_a_program(
    user: User, two: list[Credential]
) -> None:
    trace = f"/tmp/argv-{user.uid}"
    through = ["strace", "-f", "-s", "4096", "-e", "trace=execve", "-o", trace]
    answer = pam_totp("devices", "remove", "phone", "--user", user.name, through=through)
    assert answer.code == 0
    with open(trace, encoding="utf-8") as file:
        text = file.read()
    os.unlink(trace)
    assert all(each.secret not in text for each in two)
