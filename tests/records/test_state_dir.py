# SPDX-License-Identifier: MIT
"""Records that outlive a power cut: old or new, whole, root's alone, from the first byte on."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.records.storage import state_dir
from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from tests.commands.commands import mounted, read_only

OLD, NEW = b"old\n" * 2000, b"new\n" * 3000
REPLACE = """
import os, sys
sys.path[:0] = ["/usr/lib/pam-totp"]
from pam_totp.records.storage import state_dir
os.umask(0)
folder = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
state_dir.replace_all(folder, [("record", b"new\\n" * 3000)])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /var/lib/pam-totp."""
    path = tmp_path / "pam-totp"
    path.mkdir(mode=0o700)
    monkeypatch.setattr(VAR, "path", str(path))
    return path


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


def replace(folder: Path, content: bytes) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        state_dir.replace_all(descriptor, [("record", content)])
    finally:
        os.close(descriptor)


def replace_through(folder: Path, *through: str) -> int:
    """In a process of its own, which `through` may kill or watch."""
    command = [*through, "/usr/bin/python3", "-BIS", "-c", REPLACE, str(folder)]
    return subprocess.run(command, capture_output=True).returncode


def calls_on(folder: Path, trace: Path) -> list[str]:
    """The system calls of a replacement, from the one that makes the temporary file on."""
    assert replace_through(folder, "strace", "-y", "-o", str(trace)) == 0
    lines = trace.read_text(encoding="utf-8", errors="replace").splitlines()
    first = next(number for number, line in enumerate(lines) if "O_EXCL" in line)
    return lines[first:]


def refusal(kind: str = "kind", make: bool = False) -> str:
    with pytest.raises(Failure) as refused:
        VAR.open(kind, make=make)
    assert refused.value.reason == STATE_UNAVAILABLE
    return refused.value.detail


def test_new_content_is_there_whole_and_nothing_else(folder: Path) -> None:
    for content in (OLD, NEW, b""):
        replace(folder, content)
        assert (folder / "record").read_bytes() == content
        assert os.listdir(folder) == ["record"]


def test_file_is_roots_alone_from_its_first_byte_whatever_the_umask(
    folder: Path, tmp_path: Path
) -> None:
    calls = calls_on(folder, tmp_path / "trace")
    made = [call for call in calls if "O_CREAT" in call]
    assert len(made) == 1
    assert re.search(r"O_EXCL\|O_NOFOLLOW\|O_CLOEXEC, 0600\)", made[0])
    assert not any("chmod" in call for call in calls)
    assert (folder / "record").stat().st_mode & 0o777 == 0o600


def test_content_is_synced_before_it_takes_its_name_and_the_folder_after(
    folder: Path, tmp_path: Path
) -> None:
    calls = calls_on(folder, tmp_path / "trace")
    words = [re.match(r"(\w+)\(", call) for call in calls]
    order = [
        word[1] for word in words if word and word[1] in ("write", "fsync", "rename", "renameat")
    ]
    assert order == ["write", "fsync", "renameat", "fsync"]
    synced = [call for call in calls if call.startswith("fsync")]
    assert "record.new-" in synced[0]
    assert synced[1].endswith("pam-totp>) = 0")


@pytest.mark.parametrize("call", ["write:when=1", "fsync:when=1", "renameat", "fsync:when=2"])
def test_kill_leaves_the_old_or_the_new_content_whole(folder: Path, call: str) -> None:
    replace(folder, OLD)
    name, _, when = call.partition(":")
    inject = f"inject={name}:signal=KILL{':' + when if when else ''}"
    assert replace_through(folder, "strace", "-o", "/dev/null", "-e", inject) == -signal.SIGKILL
    assert (folder / "record").read_bytes() == (NEW if call == "fsync:when=2" else OLD)
    replace(folder, NEW)
    assert (folder / "record").read_bytes() == NEW


@pytest.mark.parametrize("call", ["openat:error=EMFILE", "write:error=EIO", "fsync:error=EIO"])
def test_failing_call_leaves_the_old_content_and_no_litter(folder: Path, call: str) -> None:
    replace(folder, OLD)
    name = call.partition(":")[0]
    only = ["-P", str(folder)] if name == "openat" else []
    through = ["strace", "-o", "/dev/null", *only, "-e", f"inject={call}:when=1"]
    assert replace_through(folder, *through) == 1
    assert (folder / "record").read_bytes() == OLD
    assert os.listdir(folder) == ["record"]


def test_full_disk_leaves_the_old_content_and_no_litter(folder: Path) -> None:
    with mounted(folder, "size=12k,mode=700"):
        replace(folder, OLD)
        with pytest.raises(OSError, match="No space left"):
            replace(folder, NEW)
        assert (folder / "record").read_bytes() == OLD
        assert os.listdir(folder) == ["record"]


def test_link_in_place_of_the_record_is_replaced_and_not_followed(
    folder: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(OLD)
    (folder / "record").symlink_to(victim)
    replace(folder, NEW)
    assert not (folder / "record").is_symlink()
    assert victim.read_bytes() == OLD


def test_removed_record_is_gone_for_good_and_said_to_have_been_there(folder: Path) -> None:
    VAR.write("kind", "record", NEW)
    assert VAR.remove("kind", "record")
    assert not VAR.remove("kind", "record")
    assert not VAR.remove("another", "record")
    assert VAR.read("kind", "record") is None


def test_kind_that_was_never_recorded_is_proven_not_there(folder: Path) -> None:
    assert VAR.open("kind") is None
    assert VAR.read("kind", "record") is None


def test_folder_of_a_kind_is_roots_alone_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        made = VAR.open("kind", make=True)
    finally:
        os.umask(before)
    assert made is not None
    os.close(made)
    assert (folder / "kind").stat().st_mode & 0o777 == 0o700
    assert VAR.read("kind", "record") is None


def test_without_the_state_folder_nothing_is_proven(folder: Path) -> None:
    folder.rmdir()
    for make in (False, True):
        assert "No such file" in refusal(make=make)
    with pytest.raises(Failure):
        VAR.read("kind", "record")


@pytest.mark.parametrize("spoil", ["writable by all", "writable by a group", "of somebody else"])
def test_state_folder_that_is_not_roots_alone_is_refused(folder: Path, spoil: str) -> None:
    if spoil == "of somebody else":
        os.chown(folder, 1234, 0)
    else:
        folder.chmod(0o770 if "group" in spoil else 0o707)
    fault = "is owned by user id 1234" if spoil == "of somebody else" else "is writable by others"
    assert fault in refusal()


def test_kind_that_is_a_link_or_a_file_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "kind").symlink_to(tmp_path)
    refusal()
    refusal(make=True)
    (folder / "kind").unlink()
    (folder / "kind").touch()
    refusal()


@pytest.mark.parametrize("what", ["a link", "a folder"])
def test_record_that_is_no_file_is_refused(folder: Path, what: str) -> None:
    kind = folder / "kind"
    kind.mkdir(mode=0o700)
    if what == "a link":
        (kind / "record").symlink_to("/etc/hostname")
    else:
        (kind / "record").mkdir()
    with pytest.raises(Failure):
        VAR.read("kind", "record")


def test_fifo_does_not_make_anybody_wait(folder: Path) -> None:
    (folder / "kind").mkdir(mode=0o700)
    os.mkfifo(folder / "kind" / "record")
    with pytest.raises(Failure, match="is not a file; replace it"):
        VAR.read("kind", "record")


@pytest.mark.parametrize("spoil", ["owner", "mode"])
def test_record_that_somebody_else_may_have_written_is_refused(folder: Path, spoil: str) -> None:
    VAR.write("kind", "record", NEW)
    if spoil == "owner":
        os.chown(folder / "kind" / "record", 1234, 0)
    else:
        (folder / "kind" / "record").chmod(0o620)
    with pytest.raises(
        Failure, match="run: chown root /" if spoil == "owner" else "run: chmod 600 /"
    ):
        VAR.read("kind", "record")


def test_read_is_bounded_and_nothing_is_cut_off(folder: Path) -> None:
    VAR.write("kind", "record", b"x" * 10)
    assert VAR.read("kind", "record", max_bytes=10) == b"x" * 10
    VAR.write("kind", "record", b"x" * 11)
    with pytest.raises(Failure, match="larger than 10 bytes"):
        VAR.read("kind", "record", max_bytes=10)


def test_run_starts_out_empty_and_is_made_when_it_is_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUN, "path", str(folder / "run"))
    assert RUN.read("kind", "record") is None
    assert not RUN.remove("kind", "record")
    RUN.write("kind", "record", NEW)
    assert RUN.read("kind", "record") == NEW


def test_read_only_disk_can_be_read(folder: Path) -> None:
    (folder / "kind").mkdir(mode=0o700)
    (folder / "kind" / "record").write_bytes(NEW)
    with read_only(folder):
        assert VAR.read("kind", "record") == NEW
        assert "Read-only file system" in refusal("other", make=True)
