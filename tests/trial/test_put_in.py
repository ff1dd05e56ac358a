# SPDX-License-Identifier: MIT
"""A change is put in whole or not at all, and what was there before is never lost."""

import os
import signal
import struct
import subprocess
from pathlib import Path

import pytest

from pam_totp.errors import Error
from pam_totp.setup import apply, replacement
from pam_totp.setup.change import Change, FileChange
from pam_totp.setup.record import Record
from tests.commands.commands import mounted, read_only
from tests.faults.disk import CROWDED, FULL, disks
from tests.host.accounts import User
from tests.trial.change_host import (
    CHANGES,
    CURRENT,
    PID_FILE,
    SETTINGS,
    STACK,
    ChangeHost,
    state,
    wait_until,
    watchers,
)


def assert_nothing_changed(host: ChangeHost, done: "subprocess.CompletedProcess[str]") -> str:
    """Both files are the old ones, two lines were said, and nobody waits for anything."""
    assert done.returncode == 1, done.stdout
    lines = done.stderr.splitlines()
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("pam-totp: error: ") and lines[1].startswith("hint: ")
    assert "nothing was changed" in lines[0]
    assert state() == host.old
    assert not CURRENT.exists()
    assert not list(STACK.parent.glob(".pam-totp*"))
    assert not host.asks_for_a_key_and_more
    wait_until(lambda: not watchers())
    return lines[0]


def test_all_files_are_written_and_sshd_reads_them(change_host: ChangeHost) -> None:
    assert not change_host.asks_for_a_key_and_more
    done = change_host.put_in()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "sshd was reloaded.\n"
    assert state() == change_host.new
    assert change_host.asks_for_a_key_and_more
    assert not CURRENT.exists()
    assert not list(STACK.parent.glob(".pam-totp*"))
    wait_until(lambda: not watchers())


def test_backup_is_the_file_as_it_was(change_host: ChangeHost) -> None:
    before = STACK.read_bytes()
    change_host.put_in()
    assert (CHANGES / "1/before/etc/pam.d/sshd").read_bytes() == before
    assert CHANGES.stat().st_mode & 0o777 == 0o700


def test_backups_of_the_newest_changes_stay(change_host: ChangeHost) -> None:
    CHANGES.mkdir(mode=0o700)
    for number in range(1, 31):
        (CHANGES / str(number) / "before").mkdir(parents=True)
    assert change_host.put_in().returncode == 0
    assert sorted(int(path.name) for path in CHANGES.iterdir()) == [*range(11, 31), 31]


def test_owner_mode_and_access_list_stay(change_host: ChangeHost) -> None:
    subprocess.run(["chown", "root:shadow", STACK], check=True)
    os.setxattr(STACK, "user.note", b"kept")
    # rw for the owner, r for user 1234, r for all others: tag, bits and id of each (acl(5)).
    entries = [(1, 6, -1), (2, 4, 1234), (4, 4, -1), (16, 4, -1), (32, 4, -1)]
    access_list = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *each) for each in entries)
    os.setxattr(STACK, "system.posix_acl_access", access_list)
    try:
        assert change_host.put_in().returncode == 0
        status = STACK.stat()
        assert status.st_mode & 0o7777 == 0o644
        assert os.getxattr(STACK, "system.posix_acl_access") == access_list
        assert STACK.group() == "shadow"
        assert os.getxattr(STACK, "user.note") == b"kept"
    finally:
        STACK.unlink()  # the test's end makes a new one


def test_file_that_is_a_link_stays_one(change_host: ChangeHost) -> None:
    folder = Path("/etc/elsewhere")
    folder.mkdir()
    try:
        target = folder / "sshd"
        target.write_bytes(STACK.read_bytes())
        STACK.unlink()
        STACK.symlink_to("../elsewhere/sshd")
        assert change_host.put_in().returncode == 0
        assert STACK.is_symlink()
        assert (target.read_bytes(), SETTINGS.read_bytes()) == change_host.new
    finally:
        STACK.unlink()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_link_through_a_folder_that_others_may_write_is_not_followed(
    change_host: ChangeHost,
) -> None:
    folder = Path("/etc/open-to-all")
    folder.mkdir()
    folder.chmod(0o777)
    target = folder / "sshd"
    target.write_bytes(STACK.read_bytes())
    STACK.unlink()
    STACK.symlink_to(target)
    try:
        done = change_host.put_in()
        assert done.returncode == 1 and "writable by others" in done.stderr
        assert target.read_bytes() == change_host.old[0]
    finally:
        STACK.unlink()
        target.unlink()
        folder.rmdir()


def test_link_into_a_home_is_not_followed_and_the_home_not_given_away(
    change_host: ChangeHost, user: User
) -> None:
    target = user.home / "sshd"
    user.give(target, STACK.read_text())
    STACK.unlink()
    STACK.symlink_to(target)
    try:
        done = change_host.put_in()
        assert done.returncode == 1 and f"{user.home} is owned by user id {user.uid}" in done.stderr
        assert "chown" not in done.stderr
        assert target.read_bytes() == change_host.old[0]
    finally:
        STACK.unlink()


def test_nobody_else_may_write_where_the_old_files_are_whatever_the_umask(
    change_host: ChangeHost,
) -> None:
    before = os.umask(0)
    try:
        assert change_host.put_in().returncode == 0
    finally:
        os.umask(before)
    folders = [each for each in (CHANGES / "1").rglob("*") if each.is_dir()]
    assert {each.stat().st_mode & 0o777 for each in folders} == {0o700}


def test_file_that_was_changed_meanwhile_is_left_alone(change_host: ChangeHost) -> None:
    STACK.write_bytes(STACK.read_bytes() + b"# mine\n")
    done = change_host.put_in()
    assert done.returncode == 1 and "was changed meanwhile; nothing" in done.stderr
    assert STACK.read_bytes() == change_host.old[0] + b"# mine\n"
    assert not SETTINGS.exists()


def test_sshd_that_does_not_start_with_the_result_changes_nothing(change_host: ChangeHost) -> None:
    stack, settings = change_host.change.files
    broken = FileChange(settings.path, None, b"AuthenticationMethods nonsense\n")
    change_host.change = Change("enable", ("sshd",), (stack, broken), reloads_sshd=True)
    before = PID_FILE.read_text()
    assert "sshd -t: " in assert_nothing_changed(change_host, change_host.put_in())
    assert PID_FILE.read_text() == before


def test_sshd_that_somebody_else_broke_before_changes_nothing(change_host: ChangeHost) -> None:
    broken = SETTINGS.parent / "95-broken.conf"
    broken.write_text("NoSuchKeyword yes\n")
    try:
        done = change_host.put_in()
    finally:
        broken.unlink()
    error = assert_nothing_changed(change_host, done)
    assert error.count("sshd -t: ") == 1 and "95-broken.conf" in error


@pytest.mark.parametrize("folder", [STACK.parent, SETTINGS.parent, Path("/etc")])
def test_read_only_etc_changes_nothing(change_host: ChangeHost, folder: Path) -> None:
    with read_only(folder):
        done = change_host.put_in()
    assert "Read-only file system" in assert_nothing_changed(change_host, done)


@pytest.mark.parametrize("full", [FULL, CROWDED])
@pytest.mark.parametrize("folder", [STACK.parent, SETTINGS.parent, CHANGES.parent])
def test_full_disk_changes_nothing(change_host: ChangeHost, folder: Path, full: str) -> None:
    with disks([folder]) as (disk,):
        disk.become(full)
        done = change_host.put_in()
        assert state() == change_host.old
        assert not list(folder.glob(".pam-totp*"))
        wait_until(lambda: not watchers())
    assert "No space left" in assert_nothing_changed(change_host, done)


def test_immutable_file_changes_nothing(change_host: ChangeHost) -> None:
    subprocess.run(["chattr", "+i", STACK], check=True)
    try:
        done = change_host.put_in()
    finally:
        subprocess.run(["chattr", "-i", STACK], check=True)
    assert "Operation not permitted" in assert_nothing_changed(change_host, done)


def test_of_two_at_once_one_says_that_the_other_is_at_it(change_host: ChangeHost) -> None:
    commands = [
        subprocess.Popen(
            change_host.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ended = [(*command.communicate(timeout=60), command.returncode) for command in commands]
    assert sorted(code for _, _, code in ended) == [0, 1, 1, 1]
    for _, errors, code in ended:
        if code:
            assert "nothing was changed" in errors or "changed meanwhile" in errors
            assert len(errors.splitlines()) == 2
    assert state() == change_host.new


def test_sshd_that_cannot_be_told_changes_nothing(change_host: ChangeHost) -> None:
    with mounted("/run", "size=1m,mode=755"):
        done = change_host.put_in()
    error = assert_nothing_changed(change_host, done)
    assert (
        "sshd was not reloaded, because its pid file /run/sshd.pid does not name it; nothing was"
        in error
    )


def test_pid_file_called_none_is_no_path(change_host: ChangeHost) -> None:
    settings = SETTINGS.parent / "91-none.conf"
    settings.write_text("PidFile none\n")
    there = Path("none")
    there.write_text(PID_FILE.read_text())
    try:
        done = change_host.put_in()
        error = assert_nothing_changed(change_host, done)
        assert "it writes no pid file (PidFile none); nothing was changed" in error
        os.kill(int(PID_FILE.read_text()), signal.SIGTERM)
        wait_until(lambda: not PID_FILE.exists())
        done = change_host.put_in()
        assert done.returncode == 0, done.stderr
        assert done.stdout == "sshd is not running; it reads the new settings when it starts.\n"
    finally:
        settings.unlink()
        there.unlink()


@pytest.mark.parametrize(
    "content",
    ["1", "999999999", "-1", "", "x", "{pid}\nmore", "{test}"],
)
def test_pid_file_that_does_not_name_sshd_signals_nobody(
    change_host: ChangeHost, content: str
) -> None:
    sshd = PID_FILE.read_text()
    PID_FILE.write_text(content.format(pid=sshd.strip(), test=os.getpid()))
    done = change_host.put_in()  # SIGHUP would end this process
    PID_FILE.write_text(sshd)
    assert "sshd was not reloaded" in assert_nothing_changed(change_host, done)


def test_pid_file_that_others_may_write_is_not_believed(change_host: ChangeHost) -> None:
    PID_FILE.chmod(0o666)
    done = change_host.put_in()
    assert "sshd was not reloaded" in assert_nothing_changed(change_host, done)


def test_without_an_sshd_that_runs_its_files_are_changed_all_the_same(
    change_host: ChangeHost,
) -> None:
    os.kill(int(PID_FILE.read_text()), signal.SIGTERM)
    wait_until(lambda: not PID_FILE.exists())
    done = change_host.put_in()
    assert done.stdout == "sshd is not running; it reads the new settings when it starts.\n"
    assert state() == change_host.new


def test_edit_of_the_last_moment_by_somebody_else_stays(
    change_host: ChangeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = replacement.stage
    edited = change_host.old[0] + b"# of the last moment\n"

    def edit(record: Record) -> None:
        stage(record)
        STACK.write_bytes(edited)

    monkeypatch.setattr(replacement, "stage", edit)
    with pytest.raises(Error, match=f"{STACK} was changed meanwhile; nothing was changed"):
        apply.put_in(change_host.change, seconds=600, is_watched=False)
    assert STACK.read_bytes() == edited
    assert not SETTINGS.exists() and not CURRENT.exists()
