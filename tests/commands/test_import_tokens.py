# SPDX-License-Identifier: MIT
"""`pam-totp import seeds` and `pskc`: hardware tokens become devices of their users."""

import json
import os
import shlex
import subprocess
from base64 import b32decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pam_totp.rules.credential import MAX_CREDENTIALS
from tests.commands.commands import (
    Answer,
    assert_refused,
    configured,
    keys_not_in_manual,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    run,
    secret_of,
    tree,
    verify,
)
from tests.commands.test_devices_show import hidden
from tests.host.accounts import User
from tests.host.credentials import Credential, new_secrets
from tests.host.programs import ACCEPTED, COMMAND, RECORDS, REFUSED
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation
from tests.host.tokens import Token
from tests.imports.pskc_files import FIGURE_6, FIGURE_6_KEY, FIGURE_7, container, made, package
from tests.imports.test_pskc import bomb

LIBRARY = Path("/usr/lib/python3/dist-packages/pskc")
NOT_ASSIGNED = "Nothing was changed. To say who gets which, add one of these to the command:"


def key_of(secret: str) -> str:
    return b32decode(secret).hex()


class Files:
    """Files that root is given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, content: bytes | str) -> str:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def seeds(self, *lines: str) -> str:
        return self.write("seeds.csv", "\n".join(["serial,seed,type", *lines, ""]))

    def table(self, *lines: str) -> str:
        return self.write("table.csv", "\n".join([*lines, ""]))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def imported(*arguments: str) -> dict[str, dict[str, Any]]:
    """The rows by user that are printed with --json, whatever the exit code."""
    found = json.loads(pam_totp("import", *arguments, "--json").output)
    return {row["user"]: row for row in found["users"]}


def devices_of(user: User) -> list[str]:
    listed = json.loads(pam_totp("devices", "--user", user.name, "--json").output)
    return [each["device"] for each in listed["devices"]]


def test_without_a_user_the_tokens_are_shown_and_nothing_is_changed(files: Files) -> None:
    secret = new_secrets()[0]
    path = files.write("x.csv", f"serial,seed,time interval,upn\n77,{secret},60,a@b\n")
    shown = pam_totp("import", "seeds", path)
    assert (shown.code, shown.errors) == (0, "")
    assert shown.output.splitlines() == [
        "77: TOTP 6 digits 60 s",
        "Not kept: the column 'upn'.",
        "Tokens: 1 can be imported, 0 cannot.",
        NOT_ASSIGNED,
        "  --assign FILE",
        "  --user USER --entry SERIAL",
    ]
    found = json.loads(pam_totp("import", "seeds", path, "--json").output)
    credential = {"serial": "77", "type": "totp", "algorithm": "SHA1", "digits": 6, "period": 60}
    assert found == {"changed": False, "applied": False, "tokens": [credential | {"fault": ""}]}


def test_faulty_lines_are_all_named_and_no_key_is_shown(files: Files) -> None:
    secrets = new_secrets(2)
    path = files.seeds(f"1,{secrets[0]},hotp", "2,abc,totp", f"3,{secrets[1]}x1,totp", "4,,totp")
    shown = pam_totp("import", "seeds", path)
    assert_refused(shown, "not everything can be imported: 2 (line 3): ")
    for line in ("3", "4", "5"):
        assert f"(line {line}): cannot be imported: " in shown.output
    assert all(secret[:8] not in shown.output + shown.errors for secret in secrets)
    assert shown.errors.splitlines()[1] == "hint: correct the file, and run the command again"


def test_who_gets_which_has_to_be_said(files: Files, user: User) -> None:
    secret = new_secrets()[0]
    path = files.seeds(f"1,{secret},totp", f"2,{secret[::-1]},totp")
    table = files.table(f"1,{user.name}")
    for arguments in (
        ["--apply"],
        ["--user", user.name, "--assign", table],
        ["--entry", "1"],
    ):
        assert_refused(pam_totp("import", "seeds", path, *arguments), "", code=2)
    assert_refused(pam_totp("import", "seeds", "-", "--assign", "-"), "standard input", code=2)
    answer = pam_totp("import", "seeds", path, "--user", user.name)
    assert_refused(answer, "name a token; the file has 1, 2")
    assert answer.errors.splitlines()[1].endswith(f"--user {user.name} --entry=1")
    for serial in ("3", "01"):
        answer = pam_totp("import", "seeds", path, "--user", user.name, "--entry", serial)
        assert_refused(answer, f"there is no token '{serial}'; the file has 1, 2")


@pytest.mark.parametrize(
    "entries", [["--entry", "3"], ["--entry=3", "--apply"], ["--entry=1", "--entry=3"]]
)
def test_hint_of_an_unknown_token_works_as_it_is_pasted(
    files: Files, user: User, entries: list[str]
) -> None:
    secret = new_secrets()[0]
    path = files.seeds(f"1,{secret},totp", f"2,{secret[::-1]},totp")
    answer = pam_totp("import", "seeds", path, *entries, "--user", user.name)
    assert_refused(answer, "there is no token '3'")
    hint = shlex.split(answer.errors.splitlines()[1])
    assert hint[:2] == ["hint:", "pam-totp"]
    assert pam_totp(*hint[2:]).code == 0
    assert not secret_of(user).exists()


def test_token_is_added_beside_the_phone_and_both_log_in(
    files: Files, user: User, enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    phone, token = enrolled(user), Token(user)
    codes = new_recovery_codes(user)
    before = secret_of(user).read_text()
    path = files.seeds(f"12345678,{key_of(token.secret)},hotp")
    command = ["import", "seeds", path, "--user", user.name]
    shown = pam_totp(*command)
    assert (shown.code, shown.errors) == (0, "")
    assert "12345678  the device 'token-12345678', unconfirmed until a login" in shown.output
    assert secret_of(user).read_text() == before
    *_, again = shown.output.splitlines()
    assert run(["sh", "-c", again]).code == 0
    assert devices_of(user) == ["phone", "token-12345678"]
    after = secret_of(user).read_text()
    assert after.startswith(before) and after.count("&unconfirmed=") == 1
    assert syslog.lines("action=import-seeds")[0].fields["user"] == user.name
    assert verify(user, phone.fresh_code()).code == ACCEPTED
    assert verify(user, token.code(5)).code == ACCEPTED
    assert verify(user, token.code(5)).code == REFUSED
    assert verify(user, codes[0]).code == ACCEPTED
    for hidden_text in (token.secret, key_of(token.secret)):
        assert hidden_text not in shown.output


def test_user_without_a_secret_gets_the_token_alone_and_is_told_of_recovery_codes(
    files: Files, user: User
) -> None:
    secret = new_secrets()[0]
    path = files.seeds(f"7,{secret},totp")
    row = imported("seeds", path, "--user", user.name, "--apply")[user.name]
    assert (row["outcome"], row["recovery_codes"]) == ("imported", 0)
    told = {each["option"]: each["becomes"] for each in row["options"]}
    assert told["recovery codes"] == "none; the user makes them: pam-totp recovery-codes"
    assert not recovery_of(user).exists()
    (listed,) = [
        each for each in json.loads(pam_totp("users", "--json").output) if each["user"] == user.name
    ]
    assert (listed["unconfirmed"], listed["devices"]) == (True, ["token-7"])
    assert verify(user, Credential(user, secret).fresh_code()).code == ACCEPTED
    assert (secret_of(user).stat().st_uid, secret_of(user).stat().st_mode & 0o777) == (
        user.uid,
        0o600,
    )


def test_the_same_token_again_changes_nothing_and_is_no_error(files: Files, user: User) -> None:
    path = files.seeds(f"7,{new_secrets()[0]},totp")
    command = ["seeds", path, "--user", user.name, "--apply"]
    assert imported(*command)[user.name]["outcome"] == "imported"
    before = tree(user.home)
    assert imported(*command)[user.name]["outcome"] == "unchanged"
    assert pam_totp("import", *command).code == 0
    assert tree(user.home) == before


def test_key_that_is_enrolled_for_other_codes_is_no_second_device(
    files: Files, user: User, enrolled: Callable[..., Credential]
) -> None:
    phone = enrolled(user)
    path = files.write("x.csv", f"serial,seed,period\n7,{phone.secret},60\n")
    answer = pam_totp("import", "seeds", path, "--user", user.name, "--apply")
    assert_refused(answer, "the key of 7 has 'phone', for other codes")
    assert devices_of(user) == ["phone"]


def test_name_that_is_taken_gets_a_number(files: Files, user: User) -> None:
    first, second = new_secrets(2)
    pam_totp("import", "seeds", files.seeds(f"7,{first},totp"), "--user", user.name, "--apply")
    pam_totp("import", "seeds", files.seeds(f"7,{second},totp"), "--user", user.name, "--apply")
    assert devices_of(user) == ["token-7", "token-7-2"]


def test_limit_of_devices_holds(files: Files, user: User) -> None:
    keys = [os.urandom(20).hex() for _ in range(MAX_CREDENTIALS + 1)]
    lines = [f"{at},hex:{key},totp" for at, key in enumerate(keys)]
    entries = [f"--entry={at}" for at in range(MAX_CREDENTIALS)]
    command = ["import", "seeds", files.seeds(*lines), "--user", user.name, "--apply"]
    assert pam_totp(*command, *entries).code == 0
    answer = pam_totp(*command, f"--entry={MAX_CREDENTIALS}")
    assert_refused(answer, f"that would be {MAX_CREDENTIALS + 1} devices")
    assert len(devices_of(user)) == MAX_CREDENTIALS


def test_all_users_of_a_table_get_theirs_and_the_faults_of_some_stop_nobody(
    files: Files, make_user: Callable[..., User]
) -> None:
    good, twice, also, missing, faulty = (make_user() for _ in range(5))
    secrets = new_secrets(4)
    lines = [f"A{at},{secret},totp" for at, secret in enumerate(secrets)]
    table = files.table(
        "Serial Number;Username",
        f"A0;{good.name}",
        f"A1;{twice.name}",
        f"A1;{also.name}",
        f"A9;{missing.name}",
        f"A3;{good.name}",
        "A2;nobody-here",
        f"A4;{faulty.name}",
    )
    path = files.seeds(*lines, "A4,zz,totp")
    answer = pam_totp("import", "seeds", path, "--assign", table, "--apply", "--json")
    rows = {row["user"]: row for row in json.loads(answer.output)["users"]}
    assert answer.code == 1 and len(answer.errors.splitlines()) == 2
    assert rows[good.name]["outcome"] == "imported"
    faults = {name: row["fault"] for name, row in rows.items() if row["fault"]}
    assert "the token A1 is assigned 2 times" in faults[twice.name]
    assert "the token A1 is assigned 2 times" in faults[also.name]
    assert "line 5 of the table: there is no token A9 in the list" in faults[missing.name]
    assert "there is no user 'nobody-here'" in faults["nobody-here"]
    assert "the token A4 (line 6): " in faults[faulty.name]
    assert "A4 (line 6)" in faults
    assert devices_of(good) == ["token-A0", "token-A3"]
    for user in (twice, also, missing, faulty):
        assert not secret_of(user).exists()
    assert verify(good, Credential(good, secrets[3]).fresh_code()).code == ACCEPTED


def test_second_name_of_an_account_and_two_users_with_one_key_get_nothing(
    files: Files, make_user: Callable[..., User]
) -> None:
    users = [make_user() for _ in range(2)]
    secret = new_secrets()[0]
    path = files.seeds(f"1,{secret},totp", f"2,{key_of(secret)},totp")
    table = files.table(*(f"{at},{user.name}" for at, user in enumerate(users, 1)))
    answer = pam_totp("import", "seeds", path, "--assign", table, "--apply")
    assert_refused(answer, "1 (line 2): the key is also that of line 3")
    assert not any(secret_of(user).exists() for user in users)


@pytest.mark.parametrize("how", ["typed", "file", "standard input"])
def test_encrypted_file_is_opened_by_a_key_that_no_argument_has(
    files: Files, user: User, on_terminal: Callable[..., Conversation], how: str
) -> None:
    path, key = files.write("tokens.xml", FIGURE_6), FIGURE_6_KEY.hex()
    command = ["import", "pskc", path, "--user", user.name, "--apply"]
    if how == "typed":
        shown = on_terminal([COMMAND, *command], [(r"Key of the file \(hex\): ", key)])
        assert shown.status == 0 and key not in shown.transcript
    elif how == "file":
        spaced = " ".join(key[at : at + 8] for at in range(0, 32, 8))
        key_file = files.write("key", f"{spaced}\n")
        assert pam_totp(*command, "--key-file", key_file).code == 0
    else:
        assert pam_totp(*command, "--key-file", "-", typed=f"{key}\n").code == 0
    assert devices_of(user) == ["token-987654321"]


def test_password_is_asked_for_without_being_shown(
    files: Files, user: User, on_terminal: Callable[..., Conversation]
) -> None:
    path = files.write("tokens.xml", FIGURE_7)
    command = ["import", "pskc", path, "--user", user.name]
    shown = on_terminal([COMMAND, *command], [("Password of the file: ", "qwerty")])
    assert shown.status == 0 and "qwerty" not in shown.transcript
    assert "HOTP 8 digits" in shown.transcript
    password = files.write("password", "qwerty\r\n")
    assert pam_totp(*command, "--password-file", password, "--apply").code == 0
    assert devices_of(user) == ["token-987654321"]


@pytest.mark.parametrize(
    ("content", "option", "secret", "message"),
    ids=range(14),
    argvalues=[
        (FIGURE_6, "key", "00" * 16, "the key is wrong, or the file was changed"),
        (FIGURE_6, "key", "00" * 32, "the key is wrong, or the file was changed"),
        (FIGURE_6, "key", "00" * 15, "the key must be 16, 24 or 32 bytes in hex"),
        (FIGURE_6, "key", "secret", "the key must be 16, 24 or 32 bytes in hex"),
        (FIGURE_6, "password", "qwerty", "the file is encrypted with a key, and with no password"),
        (FIGURE_7, "key", "00" * 16, "the file is encrypted with a password, and with no key"),
        (FIGURE_7, "password", "Qwerty", "the password is wrong, or the file was changed"),
        (FIGURE_7, "password", " qwerty", "the password is wrong, or the file was changed"),
        (FIGURE_7, "password", "", "the password must be one line"),
        (FIGURE_7, "password", "a\nb", "the password must be one line"),
        (FIGURE_7, "password", "x" * 5000, "the password must be one line of at most"),
        (made(), "key", "00" * 16, "is not encrypted, so it is not the one that this key is for"),
        (made(), "password", "qwerty", "is not encrypted, so it is not the one that this password"),
        (FIGURE_6.replace(b"Su+N", b"Su+M"), "key", FIGURE_6_KEY.hex(), "the file was changed"),
    ],
)
def test_wrong_key_or_password_changes_nothing(
    files: Files, user: User, content: bytes, option: str, secret: str, message: str
) -> None:
    path, given = files.write("tokens.xml", content), files.write("given", secret + "\n")
    options = [f"--{option}-file", given, "--user", user.name, "--apply"]
    answer = pam_totp("import", "pskc", path, *options)
    assert_refused(answer, message)
    if message.endswith("is wrong, or the file was changed"):
        assert answer.errors.endswith(f"hint: use the {option} that came with this file\n")
    assert secret not in answer.errors or not secret
    assert not secret_of(user).exists()


def test_key_that_expires_is_taken_where_root_says_so(files: Files, user: User) -> None:
    policy = "<Policy><ExpiryDate>2137-12-31T00:00:00Z</ExpiryDate></Policy>"
    path = files.write("tokens.xml", container(package(more=policy)))
    for arguments in ([], ["--user", user.name]):
        answer = pam_totp("import", "pskc", path, *arguments)
        assert_refused(answer, "it expires on 2137-12-31, and no login here would end then")
        command = answer.errors.splitlines()[1].removeprefix("hint: ")
        assert command.split()[:4] == ["pam-totp", "import", "pskc", path]
        assert command.endswith(" --ignore-expiry")
    assert run([*command.split(), "--apply"]).code == 0
    assert devices_of(user) == ["token-987654321"]


def test_library_that_is_missing_is_named(files: Files, user: User, tmp_path: Path) -> None:
    path = files.write("tokens.xml", made())
    (tmp_path / "nothing").mkdir()
    with hidden(LIBRARY, by=tmp_path / "nothing"):
        answer = pam_totp("import", "pskc", path, "--user", user.name)
        assert_refused(answer, "needs Python's pskc library, which is not installed")
        assert answer.errors.endswith("hint: apt-get install python3-pskc\n")
        assert pam_totp("import", "seeds", files.seeds(f"1,{new_secrets()[0]},totp")).code == 0


HOSTILE = {
    "a bomb": bomb().encode() + made(),
    "a file of root's": (
        b'<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/shadow">]>'
        + container(package(device="<SerialNo>&x;</SerialNo>")).split(b"?>\n", 1)[1]
    ),
    "nested": container("<KeyPackage>" * 1_000_000),
    "zeros": bytes(16_000_000),
    "17 MB": b" " * 17_000_000,
    "nothing": b"",
    "random": os.urandom(100_000),
    "lines": b"x\n" * 1_000_000,
    "quotation marks": b'"' * 1_000_000,
    "separators": b"," * 1_000_000,
}


@pytest.mark.parametrize("source", ["seeds", "pskc"])
@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_file_ends_in_an_error_of_two_lines(
    files: Files, user: User, source: str, content: bytes
) -> None:
    """Rule 40."""
    path = files.write("tokens", content)
    answer = pam_totp("import", source, path, "--user", user.name, "--apply")
    assert_refused(answer, "")
    assert "root:" not in answer.output + answer.errors
    assert not secret_of(user).exists()


def test_memory_of_an_import_is_bounded(files: Files) -> None:
    """10,000 tokens, as many as are read, with 512 MiB of memory; and 16 MB of them without."""
    packages = [
        package(device=f"<SerialNo>{at}</SerialNo>", data=data)
        for at in range(10_000)
        for data in [f"<Secret><PlainValue>{at:024}</PlainValue></Secret>"]
    ]
    path = files.write("tokens.xml", container(*packages))
    limited = ["prlimit", f"--as={512 << 20}"]
    shown = pam_totp("import", "pskc", path, through=limited)
    assert (shown.code, shown.errors) == (0, "")
    assert "Tokens: 10000 can be imported, 0 cannot." in shown.output
    rest = "<KeyPackage/>" * 1_200_000
    path = files.write("tokens.xml", container(rest))
    assert_refused(pam_totp("import", "pskc", path, through=limited), "more than 10000 tokens")
    for content in (b"," * 16_000_000, b"1\n" * 8_000_000, b"\n" * 16_000_000):
        path = files.write("seeds.csv", content)
        assert_refused(pam_totp("import", "seeds", path, through=limited), "")


def test_secret_in_the_other_store_is_not_forgotten(
    files: Files, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    path = files.seeds(f"1,{new_secrets()[0]},totp")
    with configured("store: system\n"):
        answer = pam_totp("import", "seeds", path, "--user", user.name, "--apply")
        assert_refused(answer, "the secret is in the other store")
        assert f"hint: pam-totp migrate {user.name}" in answer.errors


def test_adding_a_token_takes_the_mark_away_that_a_login_left(
    files: Files, user: User, enrolled: Callable[..., Credential]
) -> None:
    mark = RECORDS / "certain" / user.name
    assert verify(user, enrolled(user).fresh_code()).code == ACCEPTED
    path = files.seeds(f"1,{new_secrets()[0]},totp")
    assert pam_totp("import", "seeds", path, "--user", user.name).code == 0
    assert mark.exists()
    assert pam_totp("import", "seeds", path, "--user", user.name, "--apply").code == 0
    assert not mark.exists()


def test_read_only_home_changes_nothing(files: Files, user: User) -> None:
    path = files.seeds(f"1,{new_secrets()[0]},totp")
    with read_only(user.home):
        answer = pam_totp("import", "seeds", path, "--user", user.name, "--apply")
    assert_refused(answer, "Read-only file system")
    assert not secret_of(user).exists()


def test_original_stays_and_only_root_imports(files: Files, user: User) -> None:
    path = files.seeds(f"1,{new_secrets()[0]},totp")
    before = Path(path).read_bytes(), Path(path).stat()
    assert pam_totp("import", "seeds", path, "--user", user.name, "--apply").code == 0
    assert (Path(path).read_bytes(), Path(path).stat().st_mtime_ns) == (
        before[0],
        before[1].st_mtime_ns,
    )
    assert_refused(pam_totp("import", "seeds", path, user=user), "must be run as root")


def test_manual_describes_every_key(files: Files, user: User) -> None:
    path = files.seeds(f"1,{new_secrets()[0]},totp")
    for more in ([], ["--user", user.name]):
        output = pam_totp("import", "seeds", path, *more, "--json").output
        assert keys_not_in_manual("import", output) == set()


def test_token_goes_on_as_one_that_was_enrolled_by_its_key(files: Files, user: User) -> None:
    """Two codes in a row find one that was pressed too often."""
    token = Token(user)
    path = files.write("t.xml", made({"secret": b32decode(token.secret), "counter": 3}))
    assert pam_totp("import", "pskc", path, "--user", user.name, "--apply").code == 0
    assert verify(user, token.code(2)).code == REFUSED
    assert verify(user, token.code(40)).code == REFUSED
    typed = f"{token.code(41)}\n{token.code(42)}\n"
    answer: Answer = pam_totp("resync", "--user", user.name, typed=typed)
    assert answer.code == 0, answer.errors
    assert verify(user, token.code(43)).code == ACCEPTED
    assert token.recorded() == 43


def test_interrupted_import_leaves_each_user_whole(
    files: Files, make_user: Callable[..., User]
) -> None:
    users = [make_user() for _ in range(3)]
    secrets = new_secrets(3)
    path = files.seeds(*(f"{at},{secret},totp" for at, secret in enumerate(secrets)))
    table = files.table(*(f"{at},{user.name}" for at, user in enumerate(users)))
    command = [COMMAND, "import", "seeds", path, "--assign", table, "--apply"]
    for milliseconds in range(100, 500, 100):
        killed = ["timeout", "-s", "KILL", f"{milliseconds / 1000}", *command]
        subprocess.run(killed, capture_output=True)
        for user in users:
            assert not secret_of(user).exists() or b"otpauth" in secret_of(user).read_bytes()
    assert run(command).code == 0
    for user, secret in zip(users, secrets, strict=True):
        assert verify(user, Credential(user, secret).fresh_code()).code == ACCEPTED
