# SPDX-License-Identifier: MIT
"""`pam-totp enroll` says before anybody scans that a home may be closed at a login."""

import argparse
import contextlib
import io
import os
import pwd
import subprocess
from pathlib import Path

import pytest

from pam_totp.commands import status
from pam_totp.enrollment import closed_home
from pam_totp.records.storage.secret_dir import SecretDir
from tests.host.accounts import User
from tests.host.encrypted_disk import EncryptedDisk

TABLE = """\
1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 8:2 / /home rw shared:1 - nfs4 server:/home rw
3 2 0:3 / /home/with\\040space rw - fuse.gocryptfs x rw
4 2 0:4 / /home/alice rw - ext4 /dev/mapper/alice rw
5 4 0:5 / /home/alice rw - ecryptfs /home/.ecryptfs/alice/.Private rw
"""


def enroll_output(user: User) -> str:
    """What is shown up to the question for a code."""
    return subprocess.run(
        ["pam-totp", "enroll", "--user", user.name],
        input="",
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/root", ("/", "ext4")),
        ("/home/bob", ("/home", "nfs4")),
        ("/home/alice2", ("/home", "nfs4")),
        ("/home/with space", ("/home/with space", "fuse.gocryptfs")),
        ("/home/alice", ("/home/alice", "ecryptfs")),
    ],
)
def test_mount_of_a_path_is_the_last_one_that_covers_it(path: str, mount: tuple[str, str]) -> None:
    assert closed_home.mount_of(path, TABLE) == mount


@pytest.mark.parametrize(
    ("kind", "saying"),
    [
        ("fuse.sshfs", "is a FUSE file system (fuse.sshfs)"),
        ("fuseblk", "is a FUSE file system (fuseblk)"),
        ("ecryptfs", "is encrypted"),
        ("ext4", "is a mount point of its own"),
    ],
)
def test_kind_of_mount_is_named(
    user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, saying: str
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"1 0 8:1 / / rw - ext4 x rw\n2 1 0:9 / {user.home} rw - {kind} x rw\n")
    monkeypatch.setattr(closed_home, "MOUNTS", table)
    warning = closed_home.warning_of(SecretDir(pwd.getpwnam(user.name)))
    assert warning.startswith(f"Warning: {user.home} {saying}.\n")
    assert "`store: system`" in warning
    assert all(len(line) <= 80 for line in warning.splitlines())
    assert closed_home.warning_of(SecretDir(pwd.getpwnam(user.name), "system")) == ""


def test_home_that_fscrypt_encrypts_is_warned_of_before_the_key_is_shown(
    user: User, encrypted_disk: EncryptedDisk
) -> None:
    home = encrypted_disk.path / user.name
    home.mkdir(mode=0o700)
    os.chown(home, user.uid, user.gid)
    encrypted_disk.encrypt(home)
    subprocess.run(["usermod", "--home", str(home), user.name], check=True)
    output = enroll_output(user)
    assert 0 <= output.find(f"Warning: {home} is encrypted.") < output.find("otpauth://")


def test_home_that_is_a_mount_point_is_warned_of_before_the_key_is_shown(user: User) -> None:
    options = f"mode=700,uid={user.uid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "home", str(user.home)], check=True)
    try:
        output = enroll_output(user)
    finally:
        subprocess.run(["umount", str(user.home)], check=True)
    warning = f"Warning: {user.home} is a mount point of its own."
    assert 0 <= output.find(warning) < output.find("otpauth://")


def test_home_like_any_other_is_not_warned_of(user: User) -> None:
    output = enroll_output(user)
    assert "otpauth://" in output
    assert "Warning" not in output


@pytest.mark.parametrize(
    ("kind", "options", "is_said"),
    [
        ("fuse.gocryptfs", "rw,user_id=20001", True),
        ("fuse.gocryptfs", "rw,user_id=20001,allow_other", False),
        ("ext4", "rw", False),
    ],
)
def test_status_says_that_logins_cannot_read_a_fuse_home_of_its_user_alone(
    user: User,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    options: str,
    is_said: bool,
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"{TABLE}9 1 0:9 / {user.home} rw - {kind} x {options}\n", encoding="ascii")
    monkeypatch.setattr(closed_home, "MOUNTS", table)
    monkeypatch.setattr("os.getuid", lambda: user.uid)
    found = io.StringIO()
    with contextlib.redirect_stdout(found):
        code = status.run(argparse.Namespace(json=False, user=None))
    assert (code, "logins cannot read: they are refused" in found.getvalue()) == (is_said, is_said)
