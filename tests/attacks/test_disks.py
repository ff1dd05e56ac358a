# SPDX-License-Identifier: MIT
"""Rules 9, 19 and 25: files that are only the owner's, whole or not there, and full disks."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.programs import enroll, failing, run, traced, verify
from tests.commands.commands import new_recovery_codes
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, RECORDS, REFUSED, STATE, VERIFY
from tests.host.saved_files import FOLDER as SAVED_FOLDER
from tests.host.saved_files import TRIED, calls_on_files, file_of, made_in
from tests.host.system_log import SystemLog

FOLDER = Path(".config/pam-totp")
# An error there keeps nobody from saving: the trial's folder is not saved for good, and a name that
# cannot be opened for writing can be replaced all the same.
PASSED_OVER = (("fsync", SAVED_FOLDER), ("openat", "secret"), ("openat", "recovery"))
MADE = re.compile(r"(?:openat\(.*O_CREAT[^,]*|mkdir(?:at)?\([^,]*(?:, \"[^\"]*\")?), (0[0-7]*)")


@pytest.mark.parametrize("umask", [0, 0o777])
def test_secrets_are_the_owner_s_alone_from_their_first_byte_on(
    user: User, tmp_path: Path, umask: int
) -> None:
    """Rule 9, CVE-2012-6140 (pam_google_authenticator's file was readable for an instant)."""
    trace = tmp_path / "trace"
    through = traced(
        trace, "-e", "trace=openat,open,creat,mkdir,mkdirat,chmod,fchmod,fchmodat,umask"
    )
    assert enroll(user.name, through, umask) == 0
    calls = trace.read_text(encoding="utf-8").splitlines()
    made = [
        (int(found[1], 8), line)
        for line in calls
        if ("pam-totp" in line or file_of(line)) and (found := MADE.search(line))
    ]
    created = [line for _, line in made if "O_CREAT" in line]
    assert made_in(created) == [".gitignore.new", "recovery.new", "secret.new"]
    assert any(TRIED in line for line in created)
    for mode, line in made:
        assert mode == (0o600 if "O_CREAT" in line else 0o700), line
    assert [line for line in calls if "chmod" in line] == []
    for path in (user.home / FOLDER).iterdir():
        assert (path.stat().st_mode & 0o7777, path.stat().st_uid) == (0o600, user.uid)
    for folder in (user.home / FOLDER, user.home / FOLDER.parent):
        assert folder.stat().st_mode & 0o7777 == 0o700


@pytest.mark.parametrize("how", ["error=ENOSPC", "error=EROFS", "error=EDQUOT"])
@pytest.mark.parametrize("call", ["openat", "write", "fsync", "renameat"])
def test_failed_enrollment_leaves_the_old_secret_byte_for_byte(
    user: User, credential: Credential, tmp_path: Path, call: str, how: str
) -> None:
    """Rule 19, google-authenticator's tool truncated the old secret before it wrote the new one.

    Kills in place of these calls are in faults/test_kills.py and enrollment/test_enroll_saving.py.
    """
    folder, trace = user.home / FOLDER, tmp_path / "trace"
    new_recovery_codes(user)
    before = {name: (folder / name).read_bytes() for name in ("secret", "recovery")}
    put_back(folder, before)
    assert enroll(user.name, traced(trace, "-y", "-e", f"trace={call}")) == 0
    calls = [each for each in calls_on_files(trace) if each.name == call and each.file]
    assert {"recovery.new", "secret.new", ".gitignore.new"} < {each.file for each in calls}
    last = max(each.number for each in calls if each.file == "secret.new")
    for each in calls:
        put_back(folder, before)
        failed = enroll(user.name, failing(call, each.number, how, trace))
        made = [other for other in calls_on_files(trace) if other.number == each.number]
        assert [other.file for other in made] == [each.file], made
        assert failed or each.number > last or (call, each.file) in PASSED_OVER, each.line
        after = {path.name: path.read_bytes() for path in folder.iterdir()}
        if each.number > last or not failed:
            assert after["secret"] != before["secret"]
            assert after["secret"].count(b"otpauth://totp/") == 1
            assert after["secret"].endswith(b" phone\n")
            assert after["recovery"] != before["recovery"], "old codes beside the new secret"
        else:
            assert after["secret"] == before["secret"], each.line
        assert set(after) <= {"secret", "recovery", ".gitignore"}, each.line


def put_back(folder: Path, before: dict[str, bytes]) -> None:
    """Nothing else stays: where .gitignore is there already, fewer calls are made."""
    for path in folder.iterdir():
        if path.name not in before:
            path.unlink()
    for name, content in before.items():
        (folder / name).write_bytes(content)


@pytest.fixture
def small_disk_at() -> Iterator[Callable[[Path, str], None]]:
    """`small_disk_at(path, options)` mounts an empty disk there until the test ends."""
    mounted: list[Path] = []

    def at(path: Path, options: str) -> None:
        command = ["mount", "-t", "tmpfs", "-o", f"mode=700,{options}", "small", str(path)]
        subprocess.run(command, check=True)
        mounted.append(path)

    yield at
    for path in reversed(mounted):
        subprocess.run(["umount", str(path)], check=True)


def fill(folder: Path) -> None:
    with (folder / "filling").open("wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"x" * 4096)


def remount_read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


def test_full_home_keeps_the_old_secret_and_says_so(
    user: User, enrolled: Callable[..., Credential], small_disk_at: Callable[[Path, str], None]
) -> None:
    """Rule 19: the same on a really full disk."""
    small_disk_at(user.home, f"size=64k,uid={user.uid},gid={user.gid}")
    credential = enrolled(user)
    before = (user.home / FOLDER / "secret").read_bytes()
    fill(user.home)
    assert enroll(user.name) == 1
    assert (user.home / FOLDER / "secret").read_bytes() == before
    assert os.listdir(user.home / FOLDER) == ["secret"]
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


@pytest.mark.parametrize("spoil", [fill, remount_read_only])
@pytest.mark.parametrize("folders", [(), ("enforced", "used")], ids=["new", "in use"])
def test_full_disk_locks_no_code_out_and_lets_nothing_be_used_twice(
    user: User,
    credential: Credential,
    syslog: SystemLog,
    small_disk_at: Callable[[Path, str], None],
    spoil: Callable[[Path], None],
    folders: tuple[str, ...],
) -> None:
    """Rule 25, google-authenticator#13, open since 2014: a full disk locked everybody out."""
    recovery_code, code = new_recovery_codes(user)[0], credential.fresh_code()
    small_disk_at(STATE, f"size=16k,nr_inodes={2 + len(folders)}")
    for name in folders:
        (STATE / name).mkdir(mode=0o700)
    spoil(STATE)
    assert verify(user.name, code) == ACCEPTED
    assert verify(user.name, code) == REFUSED
    assert run(VERIFY, user.name, recovery_code.encode()).status == REFUSED
    accepted, reused, refused = syslog.decisions()
    assert (accepted["reason"], reused["reason"]) == ("totp", "reused-code")
    assert accepted["detail"].startswith("cannot record this login with a code: ")
    assert refused["reason"] == "state-unavailable"
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


@pytest.mark.parametrize("inodes", [2, 9], ids=["no file", "no page"])
def test_run_folder_that_takes_no_record_refuses(
    user: User,
    credential: Credential,
    syslog: SystemLog,
    small_disk_at: Callable[[Path, str], None],
    inodes: int,
) -> None:
    """Rule 25: where nobody could know that a code was used, it is not accepted."""
    RECORDS.mkdir(mode=0o700, exist_ok=True)
    small_disk_at(RECORDS, f"size=16k,nr_inodes={inodes}")
    fill(RECORDS)
    code = credential.fresh_code()
    assert verify(user.name, code) == REFUSED
    assert [each["reason"] for each in syslog.decisions()] == ["state-unavailable"]
    (RECORDS / "filling").unlink()
    assert verify(user.name, code) == ACCEPTED
