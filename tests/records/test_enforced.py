# SPDX-License-Identifier: MIT
"""The mark "has logged in with a code": set once, there for good, and never guessed."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.records.storage import state_dir
from pam_totp.records.user import enforced
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure

UID = 4711


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = tmp_path / "pam-totp"
    path.mkdir(mode=0o700)
    monkeypatch.setattr(state_dir.VAR, "path", str(path))
    return str(path)


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


def refusal(folder: str) -> Failure:
    with pytest.raises(Failure) as refused:
        enforced.is_set(UID)
    assert refused.value.reason == STATE_UNAVAILABLE
    return refused.value


def test_nobody_is_enforced_at_first(folder: str) -> None:
    assert not enforced.is_set(UID)


def test_record_is_made_for_one_user_and_stays(folder: str) -> None:
    for _ in range(2):  # a set mark stays as it is
        enforced.record_login(UID)
        assert enforced.is_set(UID)
        assert not enforced.is_set(UID + 1)
    assert not enforced.is_set(471)


def test_only_root_can_write_the_record(folder: str) -> None:
    before = os.umask(0)
    enforced.record_login(UID)
    os.umask(before)
    marks = Path(folder) / "enforced"
    assert marks.stat().st_mode & 0o7777 == 0o700
    assert (marks / str(UID)).stat().st_mode & 0o7777 == 0o600
    assert (marks / str(UID)).read_bytes() == b""


def test_record_is_durable_before_the_login_goes_on(folder: str) -> None:
    program = (
        "import sys\n"
        "sys.path[:0] = ['/usr/lib/pam-totp']\n"
        "from pam_totp.records.storage import state_dir\n"
        "from pam_totp.records.user import enforced\n"
        f"state_dir.VAR.path = {folder!r}\n"
        f"enforced.record_login({UID})\n"
    )
    trace = Path(folder) / "trace"
    subprocess.run(
        [
            *("strace", "-y", "-e", "trace=openat,fsync", "-o", str(trace)),
            *("/usr/bin/python3", "-BIS", "-c", program),
        ],
        check=True,
    )
    lines = trace.read_text(encoding="utf-8").splitlines()
    made = next(n for n, line in enumerate(lines) if f'"{UID}"' in line and "O_EXCL" in line)
    assert any("fsync" in line and "/enforced>) = 0" in line for line in lines[made:])


def test_missing_folder_is_no_proof_that_there_is_no_mark(folder: str) -> None:
    os.rmdir(folder)
    refusal(folder)
    with pytest.raises(Failure):
        enforced.record_login(UID)


@pytest.mark.parametrize("name", ["", "enforced"])
def test_file_in_place_of_a_folder_is_no_proof_either(folder: str, name: str) -> None:
    if not name:
        os.rmdir(folder)
    Path(folder, name).touch()
    refusal(folder)


def test_link_in_place_of_a_record_is_no_proof_that_there_is_none(folder: str) -> None:
    os.mkdir(f"{folder}/enforced")
    os.symlink("nowhere", f"{folder}/enforced/{UID}")
    refusal(folder)


@pytest.mark.parametrize("kind", ["folder", "FIFO"])
def test_whatever_else_bears_the_name_is_no_proof_either(folder: str, kind: str) -> None:
    os.mkdir(f"{folder}/enforced")
    (os.mkdir if kind == "folder" else os.mkfifo)(f"{folder}/enforced/{UID}")
    refusal(folder)


def test_full_disk_leaves_no_record_and_says_so(folder: str) -> None:
    options = "size=4k,nr_inodes=1,mode=700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "full", folder], check=True)
    try:
        with pytest.raises(Failure, match="No space left"):
            enforced.record_login(UID)
        assert not enforced.is_set(UID)
    finally:
        subprocess.run(["umount", folder], check=True)
