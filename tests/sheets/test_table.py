# SPDX-License-Identifier: MIT
"""The table for a help desk: whole or not at all, root's alone, and encrypted if that is wanted."""

import csv
import json
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import assert_refused, mounted, pam_totp, secret_of, verify
from tests.host.accounts import User
from tests.host.programs import ACCEPTED, REFUSED
from tests.sheets.crowd import assert_whole, enroll, keys_of_table, saved_key


@pytest.fixture
def sheets(tmp_path: Path) -> Path:
    return tmp_path / "sheets"


@pytest.fixture
def recipient(tmp_path: Path) -> tuple[str, Path]:
    """That of a new key, and the file with the key."""
    key = tmp_path / "key"
    subprocess.run(["age-keygen", "-o", str(key)], check=True, capture_output=True)
    found = re.search(r"public key: (age1\w+)", key.read_text())
    assert found
    return found[1], key


def test_csv_has_a_line_for_each_user(make_user: Callable[..., User], sheets: Path) -> None:
    users = [make_user() for _ in range(2)]
    table = sheets.with_name("table.csv")
    names = "".join(f"{user.name}\n" for user in users)
    command = ["enroll", "--users", "-", "--sheets", str(sheets), "--table", str(table)]
    assert pam_totp(*command, "--device", "ann's, phone", typed=names).code == 0
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["user", "device", "key", "uri", "recovery codes"]
    assert [row["user"] for row in rows] == [user.name for user in users]
    assert {row["device"] for row in rows} == {"ann's, phone"}
    for user, row in zip(users, rows, strict=True):
        assert row["key"].replace(" ", "") == saved_key(user)
        codes = row["recovery codes"].split(" ")
        assert len(codes) == 10
        assert verify(user, codes[0]).code == ACCEPTED


def test_json_has_an_object_for_each_user(user: User, sheets: Path) -> None:
    table = sheets.with_name("table.json")
    assert enroll([user], sheets, "--table", str(table)).code == 0
    (row,) = json.loads(table.read_text())
    assert list(row) == ["user", "device", "key", "uri", "recovery_codes"]
    assert row["user"] == user.name
    assert [verify(user, row["recovery_codes"][9]).code for _ in range(2)] == [ACCEPTED, REFUSED]
    assert row["key"].replace(" ", "") == saved_key(user)


def test_table_also_has_those_whose_sheet_was_made_before(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(2)]
    assert enroll(users[:1], sheets).code == 0
    table = sheets.with_name("table.csv")
    assert enroll(users, sheets, "--table", str(table)).code == 0
    assert keys_of_table(table) == {user.name: saved_key(user) for user in users}


def test_encrypted_table_is_never_on_the_disk_as_it_is(
    user: User, sheets: Path, recipient: tuple[str, Path]
) -> None:
    table, trace = sheets.with_name("table.csv.age"), sheets.with_name("trace")
    through = ["strace", "-f", "-y", "-s", "100000", "-o", str(trace), "-e", "trace=write,pwrite64"]
    command = ["enroll", "--users", "-", "--sheets", str(sheets)]
    options = ["--table", str(table), "--age", recipient[0]]
    assert pam_totp(*command, *options, typed=user.name, through=through).code == 0
    assert stat.S_IMODE(table.stat().st_mode) == 0o600
    decrypt = ["age", "--decrypt", "--identity", str(recipient[1]), str(table)]
    plain = subprocess.run(decrypt, check=True, capture_output=True, text=True).stdout
    assert f"secret={saved_key(user)}&" in plain
    written = [line for line in trace.read_text().splitlines() if saved_key(user) in line]
    files = {re.findall(r"write\w*\(\d+<([^>]*)>", line)[0] for line in written}
    assert len(files) > 2
    for path in files:
        assert path.startswith(("pipe:", str(sheets), str(user.home))), path


def test_recipient_that_age_does_not_take_changes_nothing(user: User, sheets: Path) -> None:
    for wrong in ("age1nonsense", "-o/etc/x", ""):
        options = ["--table", str(sheets.with_name("t.csv")), f"--age={wrong}"]
        answer = enroll([user], sheets, *options)
        assert_refused(answer, "cannot encrypt the table")
        assert not secret_of(user).exists() and not sheets.exists()


def test_missing_age_is_named_with_the_command_that_installs_it(
    user: User, sheets: Path, recipient: tuple[str, Path]
) -> None:
    program = Path("/usr/bin/age")
    program.rename("/usr/bin/age.away")
    try:
        options = ["--table", str(sheets.with_name("t.csv")), "--age", recipient[0]]
        answer = enroll([user], sheets, *options)
        assert_refused(answer, "the program age is not installed")
        assert answer.errors.endswith("hint: apt-get install age\n")
    finally:
        Path("/usr/bin/age.away").rename(program)
    assert not secret_of(user).exists()


def link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


@pytest.mark.parametrize("make", [link, Path.touch, os.mkfifo, Path.mkdir])
def test_name_that_is_taken_changes_nothing(
    user: User, sheets: Path, make: Callable[[Path], None]
) -> None:
    table = sheets.with_name("table.csv")
    make(table)
    answer = enroll([user], sheets, "--table", str(table))
    assert_refused(answer, f"{table} already exists, and is never overwritten; nothing was changed")
    assert answer.errors.endswith("hint: choose another name\n")
    assert not secret_of(user).exists() and not sheets.exists()
    assert not table.with_name("elsewhere").exists()


@pytest.mark.parametrize("name", ["table", "table.html", "table.csv.age", "missing/table.csv"])
def test_table_that_cannot_be_written_changes_nothing(user: User, sheets: Path, name: str) -> None:
    answer = enroll([user], sheets, "--table", str(sheets.parent / name))
    assert answer.code in (1, 2)
    assert len(answer.errors.splitlines()) == 2
    assert not secret_of(user).exists() and not sheets.exists()


@pytest.mark.parametrize("device", ["=1+1", "+x", "-x", "@x"])
def test_what_a_spreadsheet_would_compute_is_in_no_csv(
    user: User, sheets: Path, device: str
) -> None:
    table = sheets.with_name("table.csv")
    answer = enroll([user], sheets, "--table", str(table), f"--device={device}")
    assert_refused(answer, f"a spreadsheet would take the name {device!r} for a formula")
    assert not secret_of(user).exists() and not sheets.exists()
    options = ["--table", str(table.with_suffix(".json")), f"--device={device}"]
    assert enroll([user], sheets, *options).code == 0


def test_full_disk_for_the_table_is_told_and_the_next_command_writes_it(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(2)]
    disk = sheets.with_name("disk")
    disk.mkdir()
    table = disk / "table.csv"
    with mounted(disk, "size=4k"):
        (disk / "full").write_bytes(b"x" * 4096)
        answer = enroll(users, sheets, "--table", str(table))
        assert_refused(answer, "No space left on device; enrolled 2 of 2 users")
        assert [path.name for path in disk.iterdir()] == ["full"]
        assert_whole(users, sheets)
        (disk / "full").unlink()
        assert enroll(users, sheets, "--table", str(table)).code == 0
        assert keys_of_table(table) == {user.name: saved_key(user) for user in users}
        assert [path.name for path in disk.iterdir()] == ["table.csv"]
