# SPDX-License-Identifier: MIT
"""The record of spent steps: one login at a time, written before the yes, whole or not at all."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.records.user import attempts
from pam_totp.records.user.attempts import SIZE_BYTES, Attempts
from pam_totp.rules.credential import Credential, parse_line
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from pam_totp.rules.throttle import Failures

REPOSITORY = Path(__file__).resolve().parents[2]
UID = 4711
BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
URI = "otpauth://totp/x?secret="
PHONE = parse_line(f"{URI}GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ phone")
TABLET = parse_line(f"{URI}GA4TQNZWGU2DGMRRGA4TQNZWGU2DGMRR tablet")

HOLD = f"""
from pam_totp.records.user.attempts import Attempts
record = Attempts({UID}, FOLDER)
print("held", flush=True)
input()
record.close()
"""
# Takes its time between reading and writing: without the lock, others would come in between.
COUNT = f"""
import time
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules.throttle import Failures
from tests.records.test_attempts import PHONE
for _ in range(50):
    record = Attempts({UID}, FOLDER)
    step = record.steps.get(PHONE.identity, 0) + 1
    time.sleep(0.001)
    record.record({{PHONE.identity: step}}, Failures())
    record.close()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pam-totp"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


def in_other_process(program: str, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["/usr/bin/python3", "-B", "-c", f"FOLDER = {str(folder)!r}\n{program}"],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def holder_of_the_lock(folder: Path) -> "subprocess.Popen[str]":
    process = in_other_process(HOLD, folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def wait_until_open(pid: int, file: Path) -> None:
    """Wait until another process has opened the file, whether or not it holds the lock."""
    deadline = time.monotonic() + 10
    while file not in [each.resolve() for each in Path(f"/proc/{pid}/fd").iterdir()]:
        assert time.monotonic() < deadline, f"{file} was never opened"
        time.sleep(0.005)


def spend(folder: Path, credential: Credential, step: int) -> None:
    record = Attempts(UID, str(folder))
    try:
        record.record(record.steps | {credential.identity: step}, Failures())
    finally:
        record.close()


def steps(folder: Path) -> dict[str, int]:
    record = Attempts(UID, str(folder))
    record.close()
    return record.steps


def refusal(folder: Path) -> Failure:
    with pytest.raises(Failure) as refused:
        Attempts(UID, str(folder))
    assert refused.value.reason == STATE_UNAVAILABLE
    return refused.value


class TestRecord:
    def test_no_step_is_used_at_first(self, folder: Path) -> None:
        assert steps(folder) == {}

    def test_used_step_is_there_for_the_next_login(self, folder: Path) -> None:
        spend(folder, PHONE, 60_000_000)
        spend(folder, TABLET, 7)
        spend(folder, PHONE, 60_000_001)
        assert steps(folder) == {PHONE.identity: 60_000_001, TABLET.identity: 7}

    def test_what_is_not_recorded_again_is_forgotten(self, folder: Path) -> None:
        spend(folder, PHONE, 1)
        record = Attempts(UID, str(folder))
        record.record({TABLET.identity: 2}, Failures())
        record.close()
        assert steps(folder) == {TABLET.identity: 2}

    def test_file_is_for_root_alone_and_of_one_size(self, folder: Path) -> None:
        before = os.umask(0)
        spend(folder, PHONE, 60_000_000)
        os.umask(before)
        status = (folder / str(UID)).stat()
        assert (status.st_mode & 0o7777, status.st_size) == (0o600, SIZE_BYTES)

    def test_it_tells_no_secret(self, folder: Path) -> None:
        spend(folder, PHONE, 60_000_000)
        content = (folder / str(UID)).read_bytes()
        assert content.startswith(b"pam-totp attempts 1\nstep ")
        assert PHONE.secret not in content
        assert PHONE.secret.hex().encode()[:16] not in content

    def test_32_devices_of_a_far_future_fit(self, folder: Path) -> None:
        many = [parse_line(f"{URI}{letter * 16}") for letter in BASE32]
        for credential in many:
            record = Attempts(UID, str(folder))
            record.record(record.steps | {credential.identity: 10**18}, Failures())
            record.close()
        assert steps(folder) == {each.identity: 10**18 for each in many}

    def test_shorter_record_leaves_nothing_of_a_longer_one(self, folder: Path) -> None:
        spend(folder, PHONE, 10**15)
        spend(folder, TABLET, 10**15)
        record = Attempts(UID, str(folder))
        record.record({PHONE.identity: 1}, Failures())
        record.close()
        assert steps(folder) == {PHONE.identity: 1}

    @pytest.mark.parametrize(
        "content",
        [
            b"pam-totp attempts 3\nstep a 1\n",
            b"step a 1\n",
            b"pam-totp attempts 1\nstep a\n",
            b"pam-totp attempts 1\nstep a 1 2\n",
            b"pam-totp attempts 1\nfail a 1\n",
            b"pam-totp attempts 1\nstep a one\n",
            b"pam-totp attempts 1\nstep a 1\n\nstep b 1\n",
            b"pam-totp attempts 1\nstep \xff 1\n",
            b"\0" * SIZE_BYTES,
            b"pam-totp attempts 1\nstep a " + b"1" * 5000,
            b"pam-totp attempts 1".ljust(SIZE_BYTES + 1),
            os.urandom(SIZE_BYTES),
        ],
        ids=range(12),
    )
    def test_malformed_record_refuses_and_says_what_to_do(
        self, folder: Path, content: bytes
    ) -> None:
        (folder / str(UID)).write_bytes(content)
        assert f"pam-totp/{UID} is malformed; run: rm /" in refusal(folder).detail
        assert (folder / str(UID)).read_bytes() == content

    @pytest.mark.parametrize("content", [b"", b" " * SIZE_BYTES, b"pam-totp attempts 1\n"])
    def test_record_without_steps_means_that_none_is_used(
        self, folder: Path, content: bytes
    ) -> None:
        (folder / str(UID)).write_bytes(content)
        assert steps(folder) == {}


class TestLock:
    def test_held_lock_refuses_after_a_while(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attempts, "LOCK_SECONDS", 0.1)
        holder = holder_of_the_lock(folder)
        assert str(UID) in refusal(folder).detail
        holder.communicate("\n")

    def test_lock_is_waited_for(self, folder: Path) -> None:
        holder = holder_of_the_lock(folder)
        waiting = in_other_process(HOLD, folder)
        wait_until_open(waiting.pid, folder / str(UID))
        holder.communicate("\n")
        assert waiting.communicate("\n")[0] == "held\n"

    def test_killed_holder_gives_the_lock_back(self, folder: Path) -> None:
        holder = holder_of_the_lock(folder)
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        assert steps(folder) == {}

    def test_lock_of_one_user_does_not_hold_up_another(self, folder: Path) -> None:
        holder = holder_of_the_lock(folder)
        Attempts(UID + 1, str(folder)).close()
        holder.communicate("\n")

    def test_no_login_reads_between_the_reading_and_the_writing_of_another(
        self, folder: Path
    ) -> None:
        counting = [in_other_process(COUNT, folder) for _ in range(4)]
        for process in counting:
            process.communicate()
            assert process.returncode == 0
        assert steps(folder) == {PHONE.identity: 200}

    def test_lock_goes_to_no_child(self, folder: Path) -> None:
        record = Attempts(UID, str(folder))
        listing = "import os; print(*map(os.readlink, map('/proc/self/fd/'.__add__, '012')))"
        child = subprocess.run(
            [sys.executable, "-c", listing], close_fds=False, capture_output=True, text=True
        )
        record.close()
        assert str(folder) not in child.stdout


class TestFolder:
    def test_missing_folder_is_made_for_root_alone(self, tmp_path: Path) -> None:
        before = os.umask(0)
        spend(tmp_path / "new", PHONE, 5)
        os.umask(before)
        assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o700
        assert steps(tmp_path / "new") == {PHONE.identity: 5}

    def test_folder_below_a_missing_one_refuses(self, tmp_path: Path) -> None:
        refusal(tmp_path / "missing" / "new")

    @pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
    def test_folder_that_others_may_write_refuses(self, folder: Path, mode: int) -> None:
        folder.chmod(mode)
        refusal(folder)
        assert list(folder.iterdir()) == []

    def test_folder_of_another_refuses(self, folder: Path) -> None:
        os.chown(folder, 65534, 65534)
        refusal(folder)
        assert list(folder.iterdir()) == []

    def test_link_in_place_of_the_folder_refuses(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(folder)
        refusal(tmp_path / "link")
        assert list(folder.iterdir()) == []

    def test_file_in_place_of_the_folder_refuses(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        refusal(tmp_path / "file")

    def test_link_in_place_of_the_record_refuses_and_is_not_followed(
        self, folder: Path, tmp_path: Path
    ) -> None:
        victim = tmp_path / "victim"
        (folder / str(UID)).symlink_to(victim)
        refusal(folder)
        assert not victim.exists()
        victim.write_text("precious", encoding="ascii")
        refusal(folder)
        assert victim.read_text(encoding="ascii") == "precious"

    def test_folder_in_place_of_the_record_refuses(self, folder: Path) -> None:
        (folder / str(UID)).mkdir()
        refusal(folder)


class TestDisk:
    @pytest.fixture
    def small_disk(self, folder: Path) -> Iterator[Path]:
        options = "size=32k,mode=700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", str(folder)], check=True)
        yield folder
        subprocess.run(["umount", str(folder)], check=True)

    def fill(self, disk: Path) -> None:
        try:
            with (disk / "filling").open("wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 512)
        except OSError:
            pass
        assert os.statvfs(disk).f_bfree == 0

    def test_full_disk_still_takes_a_step_where_a_record_is(self, small_disk: Path) -> None:
        spend(small_disk, PHONE, 5)
        self.fill(small_disk)
        spend(small_disk, PHONE, 6)
        spend(small_disk, TABLET, 7)
        assert steps(small_disk) == {PHONE.identity: 6, TABLET.identity: 7}

    def test_full_disk_refuses_a_first_record_and_tears_none(self, small_disk: Path) -> None:
        self.fill(small_disk)
        with pytest.raises(Failure) as refused:
            spend(small_disk, PHONE, 5)
        assert refused.value.reason == STATE_UNAVAILABLE
        (small_disk / "filling").unlink()
        assert steps(small_disk) == {}
        spend(small_disk, PHONE, 5)
        assert steps(small_disk) == {PHONE.identity: 5}

    def test_read_only_disk_refuses(self, small_disk: Path) -> None:
        spend(small_disk, PHONE, 5)
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        refusal(small_disk)


@pytest.mark.parametrize("limit", [1, 10, 100, 4095])
@pytest.mark.parametrize("present", [False, True])
def test_limit_of_the_caller_cuts_no_record_off(folder: Path, limit: int, present: bool) -> None:
    """`prlimit --fsize=10 su bob`: su hands its caller's limits on to the verifier."""
    if present:
        spend(folder, PHONE, 59_999_999)
    before = steps(folder)
    program = (
        "from pam_totp.records.user.attempts import Attempts\n"
        "from pam_totp.rules.reasons import Failure\n"
        "from pam_totp.rules.throttle import Failures\n"
        f"record = Attempts({UID}, FOLDER)\n"
        "try: record.record({}, Failures(in_a_row=5, last=10, budget_used=20))\n"
        "except Failure as refused: print(refused.reason)\n"
    )
    command = ["prlimit", f"--fsize={limit}", "/usr/bin/python3", "-B", "-c"]
    done = subprocess.run(
        [*command, f"FOLDER = {str(folder)!r}\n{program}"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (done.stdout, done.stderr) == (f"{STATE_UNAVAILABLE}\n", "")
    assert steps(folder) == before
    spend(folder, PHONE, 60_000_000)
    assert steps(folder) == {PHONE.identity: 60_000_000}
