# SPDX-License-Identifier: MIT
"""A home that is there and not open proves nothing: nobody who enrolled gets in without a code."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.programs import command, failing, gate, number_of, run, traced, verify
from tests.host.accounts import User
from tests.host.automounter import Automounter
from tests.host.credentials import Credential
from tests.host.encrypted_disk import EncryptedDisk
from tests.host.programs import ACCEPTED, ASK, GATE, NO_CODE_NEEDED, REFUSED
from tests.host.system_log import SystemLog

OUR_FOLDER = ".config/pam-totp"


def give(path: Path, user: User) -> None:
    os.chown(path, user.uid, user.gid, follow_symlinks=False)


def move_home(user: User, home: Path) -> None:
    subprocess.run(["usermod", "--home", str(home), user.name], check=True)


def copy(old: Path, new: Path) -> None:
    """What lies in a folder, with owners and modes."""
    subprocess.run(["cp", "-a", f"{old}/.", str(new)], check=True)


def assert_refused(user: User, syslog: SystemLog, saying: str) -> None:
    """Nobody gets in, and the log, `users`, `explain` and `status` say why."""
    syslog.clear()
    assert gate(user.name) == ASK
    assert verify(user.name, "123456") == REFUSED
    decision = syslog.decisions()[-1]
    assert (decision["reason"], saying in decision["detail"]) == ("secret-missing", True), decision
    rows = {row["user"]: row for row in json.loads(command("users", "--json").stdout)}
    assert (rows[user.name]["enrolled"], saying in rows[user.name]["fault"]) == (None, True)
    explained = json.loads(command("explain", user.name, "--service", "sshd", "--json").stdout)
    assert explained["enrolled"] is None
    assert any(saying in fault for fault in explained["faults"])
    status = json.loads(user.run_as("pam-totp", "status", "--json", cwd="/").stdout)
    assert status["enrolled"] is None
    assert any(saying in fault for fault in status["faults"])


@pytest.fixture
def locked_home(user: User, encrypted_disk: EncryptedDisk) -> Path:
    """A home that fscrypt encrypts, still unlocked, with what the old one had."""
    home = encrypted_disk.path / user.name
    home.mkdir(mode=0o700)
    give(home, user)
    encrypted_disk.encrypt(home)
    move_home(user, home)
    return home


def test_enrolled_user_whose_encrypted_home_is_locked_is_not_accepted_without_a_code(
    user: User,
    enrolled: Callable[..., Credential],
    locked_home: Path,
    encrypted_disk: EncryptedDisk,
    syslog: SystemLog,
) -> None:
    """The kernel answers "not there" for every name in it."""
    credential = enrolled(user)
    copy(user.home, locked_home)
    encrypted_disk.lock()
    assert not (locked_home / ".config").exists()
    assert_refused(user, syslog, f"{locked_home} is encrypted and locked")
    assert verify(user.name, credential.code()) == REFUSED
    assert "encrypted and locked" in command("reset", "--yes", user.name).stderr
    encrypted_disk.unlock()
    assert gate(user.name) == ASK
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


@pytest.mark.parametrize("name", [".config", OUR_FOLDER])
def test_folder_on_the_way_that_is_encrypted_and_locked_proves_nothing(
    user: User,
    enrolled: Callable[..., Credential],
    encrypted_disk: EncryptedDisk,
    syslog: SystemLog,
    name: str,
) -> None:
    credential = enrolled(user)
    home = encrypted_disk.path / user.name
    home.mkdir(mode=0o700)
    for folder in (home, home / ".config", home / OUR_FOLDER):
        folder.mkdir(mode=0o700, exist_ok=True)
        give(folder, user)
        if folder == home / name:
            encrypted_disk.encrypt(folder)
    copy(user.home, home)
    move_home(user, home)
    encrypted_disk.lock()
    assert_refused(user, syslog, f"{home}/{name} is encrypted and locked")
    encrypted_disk.unlock()
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


def test_unlocked_home_without_a_secret_is_not_enrolled_and_a_locked_one_nobody_can_tell(
    user: User, locked_home: Path, encrypted_disk: EncryptedDisk, syslog: SystemLog
) -> None:
    assert gate(user.name) == NO_CODE_NEEDED
    encrypted_disk.lock()
    assert_refused(user, syslog, f"{locked_home} is encrypted and locked")
    encrypted_disk.unlock()
    assert gate(user.name) == NO_CODE_NEEDED


def test_secret_of_the_system_store_is_found_whatever_the_home_is(
    user: User,
    enrolled: Callable[..., Credential],
    locked_home: Path,
    encrypted_disk: EncryptedDisk,
) -> None:
    """What `enroll` advises for such homes."""
    credential = enrolled(user)
    store = Path("/var/lib/pam-totp/secrets") / user.name
    store.mkdir(mode=0o700, parents=True)
    secret = (user.home / OUR_FOLDER / "secret").read_bytes()
    (store / "secret").write_bytes(secret)
    (store / "secret").chmod(0o600)
    settings = Path("/etc/pam-totp/config.yaml")
    before = settings.read_bytes() if settings.exists() else None
    settings.parent.mkdir(exist_ok=True)
    settings.write_text("store: system\n")
    encrypted_disk.lock()
    try:
        assert gate(user.name) == ASK
        assert verify(user.name, credential.fresh_code()) == ACCEPTED
    finally:
        if before is None:
            settings.write_text("# nothing\n")
            gate(user.name)
            settings.unlink()
        else:
            settings.write_bytes(before)
            gate(user.name)


def failing_policy(user: User, tmp_path: Path, error: str) -> list[str]:
    """The command through which the gate is answered this when it asks for an encryption policy."""
    trace = tmp_path / "trace"
    gate(user.name)  # the first one after a change of the settings reads them
    assert run(GATE, user.name, through=traced(trace)).status == NO_CODE_NEEDED
    number = number_of(trace, "ioctl", "FS_IOC_GET_ENCRYPTION_POLICY_EX")
    return failing("ioctl", f"{number}+", f"error={error}")


@pytest.mark.parametrize("error", ["EIO", "EPERM", "EACCES", "ENOMEM", "ENOKEY"])
def test_folder_of_which_nobody_can_tell_whether_it_is_locked_proves_nothing(
    user: User, tmp_path: Path, error: str
) -> None:
    assert run(GATE, user.name, through=failing_policy(user, tmp_path, error)).status == ASK


@pytest.mark.parametrize("error", ["ENOTTY", "EOPNOTSUPP", "ENODATA", "EINVAL", "ENOSYS"])
def test_file_system_that_knows_no_encryption_proves_as_much_as_ever(
    user: User, tmp_path: Path, error: str
) -> None:
    through = failing_policy(user, tmp_path, error)
    assert run(GATE, user.name, through=through).status == NO_CODE_NEEDED


@pytest.mark.parametrize("left", ["nothing", "a file of root's", "an empty .config of root's"])
def test_mount_point_of_root_that_is_not_mounted_proves_nothing(
    user: User, enrolled: Callable[..., Credential], syslog: SystemLog, left: str
) -> None:
    credential = enrolled(user)
    away = user.home.with_name("not-mounted")
    user.home.rename(away)
    user.home.mkdir(mode=0o755)
    named = user.home
    if left == "a file of root's":
        (user.home / "README").touch()
    elif left != "nothing":
        named = user.home / ".config"
        named.mkdir()
        give(user.home, user)
    assert_refused(user, syslog, f"{named} is owned by user id 0; ")
    assert command("reset", "--yes", user.name).returncode == 0, "root can always reset"
    subprocess.run(["mount", "--bind", str(away), str(user.home)], check=True)
    try:
        assert gate(user.name) == ASK
        assert verify(user.name, credential.fresh_code()) == ACCEPTED
    finally:
        subprocess.run(["umount", str(user.home)], check=True)
        subprocess.run(["rm", "-rf", str(user.home), str(away)], check=True)


@pytest.mark.parametrize("home", ["/", "/usr/games", "/home/.."])
def test_home_that_all_share_is_nobodys_own(user: User, syslog: SystemLog, home: str) -> None:
    subprocess.run(["usermod", "--home", home, user.name], check=True)
    assert_refused(user, syslog, f"{home} is owned by user id 0; ")


@pytest.fixture
def system_account() -> Iterator[str]:
    name = "a-service"
    options = ["--system", "--uid", "799", "--home-dir", "/usr/games", "--shell", "/bin/bash"]
    subprocess.run(["useradd", *options, name], check=True)
    yield name
    subprocess.run(["userdel", name], check=True)


def test_system_account_whose_home_is_roots_is_not_enrolled(system_account: str) -> None:
    assert gate(system_account) == NO_CODE_NEEDED


@pytest.fixture
def bare_ecryptfs(user: User) -> User:
    """As ecryptfs-setup-private leaves the folder that the home is mounted over."""
    for name in (".ecryptfs", ".Private"):
        (user.home / name).symlink_to(f"/home/.ecryptfs/{user.name}/{name}")
        give(user.home / name, user)
    user.home.chmod(0o500)
    return user


def test_ecryptfs_home_that_is_not_mounted_proves_nothing_and_a_mounted_one_does(
    bare_ecryptfs: User, syslog: SystemLog
) -> None:
    """By its shape: there is no ecryptfs to mount in every kernel."""
    user = bare_ecryptfs
    assert_refused(user, syslog, f"{user.home} is encrypted and locked")
    options = f"mode=700,uid={user.uid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "mounted", str(user.home)], check=True)
    try:
        (user.home / ".ecryptfs").symlink_to(f"/home/.ecryptfs/{user.name}/.ecryptfs")
        assert gate(user.name) == NO_CODE_NEEDED
    finally:
        subprocess.run(["umount", str(user.home)], check=True)


@pytest.mark.parametrize("of", ["its own file system", "another folder"])
def test_bare_ecryptfs_folder_that_is_mounted_itself_proves_nothing(
    bare_ecryptfs: User, syslog: SystemLog, of: str
) -> None:
    """A subvolume or a disk for each home is another file system than the folder above."""
    user = bare_ecryptfs
    options = ["-o", f"mode=500,uid={user.uid}", "-t", "tmpfs", "bare"]
    bare = user.home.with_name("bare")
    if of == "another folder":
        copy_of_bare = [user.home / name for name in (".ecryptfs", ".Private")]
        bare.mkdir()
        give(bare, user)
        for link in copy_of_bare:
            link.rename(bare / link.name)
        options = ["--bind", str(bare)]
    subprocess.run(["mount", *options, str(user.home)], check=True)
    try:
        if of != "another folder":
            for name in (".ecryptfs", ".Private"):
                (user.home / name).symlink_to(f"/home/.ecryptfs/{user.name}/{name}")
        assert_refused(user, syslog, f"{user.home} is encrypted and locked")
    finally:
        subprocess.run(["umount", str(user.home)], check=True)
        subprocess.run(["rm", "-rf", str(bare)], check=True)


def test_private_folder_of_ecryptfs_alone_hides_nothing(user: User) -> None:
    (user.home / ".ecryptfs").mkdir()
    assert gate(user.name) == NO_CODE_NEEDED


@pytest.mark.parametrize("name", ["", ".config"])
def test_home_that_autofs_mounts_is_mounted_by_the_look_for_the_secret(
    user: User, enrolled: Callable[..., Credential], name: str
) -> None:
    """A handle on the mount point alone would show the empty folder below."""
    credential = enrolled(user)
    folder, source = user.home / name, Path(f"/srv/of-{user.name}")
    folder.rename(source)
    folder.mkdir(mode=0o700)
    give(folder, user)
    automounter = Automounter(folder, source)
    try:
        assert not automounter.is_triggered()
        assert gate(user.name) == ASK
        assert automounter.is_triggered()
        assert verify(user.name, credential.fresh_code()) == ACCEPTED
    finally:
        automounter.close()
        subprocess.run(["rm", "-rf", str(source)], check=True)
