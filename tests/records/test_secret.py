# SPDX-License-Identifier: MIT
"""The secret file: what is read, what is proven absent, and everything else refused in time."""

import os
import pwd
import shutil
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.records.storage.secret_dir import MAX_BYTES, SecretDir
from pam_totp.rules.reasons import SECRET_MALFORMED, SECRET_MISSING, SECRET_UNSAFE, Failure
from tests.host.accounts import User
from tests.host.credentials import Credential

MAX_SECONDS = 2
"""An answer has to come within this time, whatever lies there."""
MAX_BYTES_READ = 512 * 1024


def account_of(user: User) -> pwd.struct_passwd:
    return pwd.getpwnam(user.name)


def place_of(user: User) -> SecretDir:
    return SecretDir(account_of(user))


def folder_of(user: User) -> Path:
    return user.home / ".config" / "pam-totp"


def give_away(path: Path, user: User) -> None:
    os.chown(path, user.uid, user.gid, follow_symlinks=False)


def bytes_read() -> int:
    """What this process has read so far, cached or not."""
    return int(Path("/proc/self/io").read_text(encoding="ascii").split()[1])


@pytest.fixture(autouse=True)
def answer_in_time_as_root_again() -> Iterator[None]:
    """After every test the process is root with root's groups, and holds no descriptor more."""

    def identity() -> tuple[object, ...]:
        return os.getresuid(), os.getresgid(), os.getgroups(), len(os.listdir("/proc/self/fd"))

    before = identity()
    yield
    assert identity() == before


@pytest.fixture
def alice(user: User, enrolled: Callable[..., Credential]) -> User:
    enrolled(user, device="phone")
    return user


@pytest.fixture
def mallory(make_user: Callable[..., User], enrolled: Callable[..., Credential]) -> User:
    """Another user, whose home and secret everyone can read."""
    other = make_user()
    enrolled(other, device="of another")
    for path in (other.home, other.home / ".config", folder_of(other)):
        path.chmod(0o755)
    (folder_of(other) / "secret").chmod(0o644)
    return other


def refusal(user: User) -> Failure:
    """How reading the user's secret is refused, within the time and the bytes allowed."""
    account, begun, read = account_of(user), time.monotonic(), bytes_read()
    with pytest.raises(Failure) as refused:
        SecretDir(account).credentials()
    assert time.monotonic() - begun < MAX_SECONDS
    assert bytes_read() - read < MAX_BYTES_READ
    return refused.value


class TestProvenAbsent:
    def test_home_without_config_folder_is_not_enrolled(self, user: User) -> None:
        assert place_of(user).credentials() is None

    def test_config_without_our_folder_is_not_enrolled(self, user: User) -> None:
        user.give(user.home / ".config" / "other", "")
        assert place_of(user).credentials() is None

    def test_our_folder_without_the_file_is_not_enrolled(self, user: User) -> None:
        user.give(folder_of(user) / "recovery", "")
        assert place_of(user).credentials() is None


class TestRead:
    def test_enrolled_user_has_credentials(self, alice: User) -> None:
        credentials = place_of(alice).credentials()
        assert credentials is not None
        assert [each.device for each in credentials] == ["phone"]

    def test_login_leaves_the_file_as_it_was(self, alice: User) -> None:
        path = folder_of(alice) / "secret"
        before = path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino
        place_of(alice).credentials()
        assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) == before

    def test_file_that_its_user_cannot_write_is_read(self, alice: User) -> None:
        (folder_of(alice) / "secret").chmod(0o400)
        assert place_of(alice).credentials() is not None

    def test_config_folder_may_be_a_link_to_one_of_the_user(self, alice: User) -> None:
        (alice.home / ".config").rename(alice.home / "dotfiles")
        (alice.home / ".config").symlink_to("dotfiles")
        assert place_of(alice).credentials() is not None

    def test_home_may_be_a_link(self, alice: User) -> None:
        real = alice.home.with_name(f"{alice.name}-on-another-disk")
        alice.home.rename(real)
        alice.home.symlink_to(real)
        assert place_of(alice).credentials() is not None
        alice.home.unlink()
        real.rename(alice.home)

    def test_home_that_the_group_may_write_is_read(self, alice: User) -> None:
        alice.home.chmod(0o2770)
        assert place_of(alice).credentials() is not None

    def test_user_without_a_shell_has_credentials_too(self, alice: User) -> None:
        subprocess.run(["usermod", "--shell", "/usr/sbin/nologin", alice.name], check=True)
        assert place_of(alice).credentials() is not None

    def test_user_reads_the_own_secret_without_root(self, alice: User) -> None:
        program = (
            "import sys, pwd\n"
            "sys.path[:0] = ['/usr/lib/pam-totp']\n"
            "from pam_totp.records.storage.secret_dir import SecretDir\n"
            f"print(SecretDir(pwd.getpwnam({alice.name!r})).credentials()[0].device)\n"
        )
        assert alice.run_as("/usr/bin/python3", "-BIS", "-c", program).stdout == "phone\n"

    def test_user_is_refused_the_secret_of_another(self, alice: User, mallory: User) -> None:
        program = (
            "import sys, pwd\n"
            "sys.path[:0] = ['/usr/lib/pam-totp']\n"
            "from pam_totp.records.storage.secret_dir import SecretDir\n"
            "from pam_totp.rules.reasons import Failure\n"
            f"try: SecretDir(pwd.getpwnam({mallory.name!r})).credentials()\n"
            "except Failure as refused: print(refused.reason)\n"
        )
        assert alice.run_as("/usr/bin/python3", "-BIS", "-c", program).stdout == "secret-unsafe\n"


class TestInPlaceOfTheFile:
    def put(self, user: User, make: Callable[[Path], object]) -> Path:
        """Take the secret away and make something else in its place, the user's own."""
        path = folder_of(user) / "secret"
        path.unlink()
        make(path)
        give_away(path, user)
        return path

    @pytest.mark.parametrize(
        "target", ["../moved", "/etc/shadow", "/dev/zero", "secret", "nowhere"]
    )
    def test_link_is_unsafe(self, alice: User, target: str) -> None:
        shutil.copy2(folder_of(alice) / "secret", alice.home / ".config" / "moved")
        give_away(alice.home / ".config" / "moved", alice)
        self.put(alice, lambda path: path.symlink_to(target))
        assert refusal(alice).reason == SECRET_UNSAFE

    def test_fifo_without_a_writer_is_unsafe(self, alice: User) -> None:
        self.put(alice, lambda path: os.mkfifo(path, 0o600))
        assert refusal(alice).reason == SECRET_UNSAFE

    def test_fifo_with_a_writer_is_unsafe(self, alice: User) -> None:
        path = self.put(alice, lambda path: os.mkfifo(path, 0o600))
        writer = os.open(path, os.O_RDWR)
        os.write(writer, b"otpauth://totp/a?secret=AAAAAAAAAAAAAAAA\n")
        assert refusal(alice).reason == SECRET_UNSAFE
        os.close(writer)

    @pytest.mark.parametrize("minor", [3, 5, 9], ids=["null", "zero", "urandom"])
    def test_device_of_the_user_is_unsafe(self, alice: User, minor: int) -> None:
        self.put(
            alice, lambda path: os.mknod(path, stat.S_IFCHR | 0o600, device=os.makedev(1, minor))
        )
        assert refusal(alice).reason == SECRET_UNSAFE

    def test_socket_is_unsafe(self, alice: User) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            path = self.put(alice, lambda path: listener.bind(str(path)))
            path.chmod(0o600)
            assert refusal(alice).reason == SECRET_UNSAFE

    def test_folder_is_unsafe(self, alice: User) -> None:
        self.put(alice, lambda path: path.mkdir(mode=0o700))
        assert refusal(alice).reason == SECRET_UNSAFE

    def test_file_of_100_megabytes_is_malformed(self, alice: User) -> None:
        path = folder_of(alice) / "secret"
        os.truncate(path, 100_000_000)
        assert refusal(alice).reason == SECRET_MALFORMED

    def test_largest_file_is_read_and_one_byte_more_is_not(self, alice: User) -> None:
        path = folder_of(alice) / "secret"
        content = path.read_bytes() + b"#"
        path.write_bytes(content.ljust(MAX_BYTES, b"x"))
        assert place_of(alice).credentials() is not None
        path.write_bytes(content.ljust(MAX_BYTES + 1, b"x"))
        assert refusal(alice).reason == SECRET_MALFORMED

    @pytest.mark.parametrize(
        "content", [b"", b"\n\n", b"# comment\n", b"nonsense\n", b"\0\xff" * 99]
    )
    def test_file_without_a_credential_is_malformed(self, alice: User, content: bytes) -> None:
        (folder_of(alice) / "secret").write_bytes(content)
        assert refusal(alice).reason == SECRET_MALFORMED


class TestOfAnother:
    @pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
    def test_file_open_to_others_is_unsafe(self, alice: User, mode: int) -> None:
        (folder_of(alice) / "secret").chmod(mode)
        assert refusal(alice).reason == SECRET_UNSAFE

    @pytest.mark.parametrize("mode", [0o600, 0o644])
    @pytest.mark.parametrize("owner", ["root", "mallory"])
    def test_file_owned_by_another_is_unsafe(
        self, alice: User, mallory: User, owner: str, mode: int
    ) -> None:
        path = folder_of(alice) / "secret"
        path.chmod(mode)
        os.chown(path, 0 if owner == "root" else mallory.uid, alice.gid)
        assert refusal(alice).reason == SECRET_UNSAFE

    def test_root_who_can_read_everything_takes_no_secret_of_another(self, mallory: User) -> None:
        """Where no permission stands in the way, ownership does."""
        folder = Path("/root/.config/pam-totp")
        folder.mkdir(mode=0o700, parents=True)
        (folder_of(mallory) / "secret").chmod(0o600)
        (folder / "secret").hardlink_to(folder_of(mallory) / "secret")
        with pytest.raises(Failure) as refused:
            SecretDir(pwd.getpwuid(0)).credentials()
        shutil.rmtree(folder)
        assert refused.value.reason == SECRET_UNSAFE

    @pytest.mark.parametrize("mode", [0o600, 0o644])
    def test_hard_link_to_the_secret_of_another_is_unsafe(
        self, alice: User, mallory: User, mode: int
    ) -> None:
        others = folder_of(mallory) / "secret"
        others.chmod(mode)
        (folder_of(alice) / "secret").unlink()
        (folder_of(alice) / "secret").hardlink_to(others)
        assert refusal(alice).reason == SECRET_UNSAFE

    def test_folder_owned_by_another_is_unsafe(self, alice: User, mallory: User) -> None:
        os.chown(folder_of(alice), mallory.uid, mallory.gid)
        folder_of(alice).chmod(0o755)
        assert refusal(alice).reason == SECRET_UNSAFE

    @pytest.mark.parametrize("mode", [0o720, 0o702, 0o770, 0o777])
    def test_folder_that_others_may_write_is_unsafe(self, alice: User, mode: int) -> None:
        folder_of(alice).chmod(mode)
        assert refusal(alice).reason == SECRET_UNSAFE

    @pytest.mark.parametrize("name", ["", ".config"])
    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o703])
    def test_home_or_config_folder_that_all_may_write_is_unsafe(
        self, alice: User, name: str, mode: int
    ) -> None:
        (alice.home / name).chmod(mode)
        assert refusal(alice).reason == SECRET_UNSAFE

    @pytest.mark.parametrize("name", ["", ".config"])
    @pytest.mark.parametrize("group", ["shared", "unknown", "own with a member"])
    def test_home_or_config_folder_that_a_group_may_write_is_unsafe(
        self, alice: User, mallory: User, name: str, group: str
    ) -> None:
        """Another member moves .config away, and the secret is "not there"."""
        folder = alice.home / name
        if group == "own with a member":
            subprocess.run(["gpasswd", "--add", mallory.name, alice.name], check=True)
        else:
            os.chown(folder, alice.uid, mallory.gid if group == "shared" else 54321)
        folder.chmod(0o770)
        refused = refusal(alice)
        assert (refused.reason, refused.detail) == (
            SECRET_UNSAFE,
            f"{folder} is writable by a group; run: chmod g-w {folder}",
        )
        folder.chmod(0o750)
        assert place_of(alice).credentials() is not None

    def test_group_of_the_user_that_names_the_user_is_read(self, alice: User) -> None:
        subprocess.run(["gpasswd", "--add", alice.name, alice.name], check=True)
        alice.home.chmod(0o770)
        assert place_of(alice).credentials() is not None

    @pytest.mark.parametrize("name", ["", ".config"])
    def test_home_or_config_folder_of_another_is_unsafe_and_of_root_is_read(
        self, alice: User, mallory: User, name: str
    ) -> None:
        (alice.home / name).chmod(0o755)
        os.chown(alice.home / name, mallory.uid, alice.gid)
        assert refusal(alice).reason == SECRET_UNSAFE
        os.chown(alice.home / name, 0, 0)
        assert place_of(alice).credentials() is not None


class TestPlantedFolders:
    def test_our_folder_is_never_a_link_even_to_one_of_the_user(self, alice: User) -> None:
        folder_of(alice).rename(alice.home / "moved")
        folder_of(alice).symlink_to(alice.home / "moved")
        assert refusal(alice).reason == SECRET_UNSAFE

    def test_link_to_the_folder_of_another_is_unsafe(self, alice: User, mallory: User) -> None:
        shutil.rmtree(folder_of(alice))
        folder_of(alice).symlink_to(folder_of(mallory))
        assert refusal(alice).reason == SECRET_UNSAFE

    def test_config_folder_linked_to_that_of_another_is_unsafe(
        self, alice: User, mallory: User
    ) -> None:
        shutil.rmtree(alice.home / ".config")
        (alice.home / ".config").symlink_to(mallory.home / ".config")
        assert refusal(alice).reason == SECRET_UNSAFE

    @pytest.mark.parametrize("target", ["nowhere", ".config", "/proc/self/nothing"])
    @pytest.mark.parametrize("name", [".config", ".config/pam-totp"])
    def test_link_that_leads_nowhere_is_not_proof_of_absence(
        self, alice: User, name: str, target: str
    ) -> None:
        shutil.rmtree(alice.home / name)
        (alice.home / name).symlink_to(target)
        assert refusal(alice).reason == SECRET_UNSAFE

    @pytest.mark.parametrize("name", [".config", ".config/pam-totp"])
    def test_file_in_place_of_a_folder_is_unsafe(self, alice: User, name: str) -> None:
        shutil.rmtree(alice.home / name)
        (alice.home / name).write_text("", encoding="ascii")
        give_away(alice.home / name, alice)
        assert refusal(alice).reason == SECRET_UNSAFE

    @pytest.mark.parametrize("name", ["", ".config", ".config/pam-totp"])
    def test_folder_closed_to_its_own_user_is_unsafe(self, alice: User, name: str) -> None:
        (alice.home / name).chmod(0)
        assert refusal(alice).reason == SECRET_UNSAFE


class TestHomeThatIsNotThere:
    def test_missing_home_is_not_proof_of_absence(self, alice: User) -> None:
        shutil.rmtree(alice.home)
        assert refusal(alice).reason == SECRET_MISSING

    def test_home_below_a_missing_folder_is_not_proof_of_absence(self, alice: User) -> None:
        subprocess.run(["usermod", "--home", "/net/not/mounted", alice.name], check=True)
        assert refusal(alice).reason == SECRET_MISSING

    @pytest.mark.parametrize("kind", ["file", "loop", "dangling link"])
    def test_home_that_is_no_folder_is_refused(self, alice: User, kind: str) -> None:
        shutil.rmtree(alice.home)
        if kind == "file":
            alice.home.write_text("", encoding="ascii")
        else:
            alice.home.symlink_to(alice.home if kind == "loop" else "nowhere")
        assert refusal(alice).reason in (SECRET_MISSING, SECRET_UNSAFE)
        alice.home.unlink()

    def test_account_without_a_home_is_refused(self, alice: User) -> None:
        fields = list(account_of(alice))
        for home in ("", "/nonexistent"):
            with pytest.raises(Failure):
                SecretDir(pwd.struct_passwd([*fields[:5], home, fields[6]])).credentials()
