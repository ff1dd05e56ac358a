# SPDX-License-Identifier: MIT
"""`store: system`: where root alone keeps the secrets, and what is believed there."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.records.storage import secret_dir as places
from pam_totp.records.storage import secret_removal, secret_writer
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.secret_writer import Changed
from pam_totp.rules.reasons import SECRET_MALFORMED, SECRET_UNSAFE, Failure

CONTENT = b"otpauth://totp/x?secret=" + b"A" * 32 + b" phone\n"


def account(name: str = "alice") -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", 4711, 4711, "", "/nonexistent", "/bin/sh"))


@pytest.fixture(autouse=True)
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /var/lib/pam-totp."""
    path = tmp_path / "pam-totp"
    (path / "secrets").mkdir(mode=0o700, parents=True)
    monkeypatch.setattr(places, "STATE_DIR", str(path))
    return path


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open() -> Iterator[None]:
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def saved(system: Path) -> Path:
    """Alice's secret, saved by root."""
    secret_writer.save(SecretDir(account(), "system"), [("secret", CONTENT)])
    return system / "secrets" / "alice" / "secret"


def refusal(name: str = "alice") -> Failure:
    with pytest.raises(Failure) as refused:
        SecretDir(account(name), "system").read("secret")
    return refused.value


def test_what_was_saved_is_read_and_the_home_does_not_matter(saved: Path) -> None:
    assert SecretDir(account(), "system").read("secret") == CONTENT
    assert SecretDir(account("bob"), "system").read("secret") is None


def test_files_and_folders_are_roots_alone_whatever_the_umask(system: Path) -> None:
    before = os.umask(0)
    try:
        secret_writer.save(SecretDir(account(), "system"), [("secret", CONTENT)])
    finally:
        os.umask(before)
    secret = system / "secrets" / "alice" / "secret"
    modes = [path.stat().st_mode & 0o777 for path in (secret, secret.parent, secret.parents[1])]
    assert modes == [0o600, 0o700, 0o700]
    assert {path.stat().st_uid for path in (secret, *secret.parents[:2])} == {0}


def test_folder_made_for_what_could_not_be_saved_is_removed_again(system: Path) -> None:
    alice = SecretDir(account(), "system")
    with pytest.raises(Changed):
        secret_writer.save(alice, [("secret", CONTENT)], over=("secret", CONTENT))
    assert os.listdir(system / "secrets") == []


def test_nobody_is_enrolled_at_first(system: Path) -> None:
    assert SecretDir(account(), "system").read("secret") is None


def test_missing_state_folder_is_no_proof(system: Path) -> None:
    (system / "secrets").rmdir()
    assert "does not exist" in refusal().detail


@pytest.mark.parametrize("name", ["", ".", "..", "../alice", "a/b", "/"])
def test_name_that_would_leave_the_folder_is_refused(name: str) -> None:
    with pytest.raises(Failure) as refused:
        SecretDir(account(name), "system")
    assert refused.value.reason == SECRET_UNSAFE


@pytest.mark.parametrize("name", ["-rf", "$(id)", "a b", "ä" * 100, "x" * 255, "...", ".hidden"])
def test_name_that_a_folder_can_have_is_kept_apart(system: Path, name: str) -> None:
    secret_writer.save(SecretDir(account(name), "system"), [("secret", CONTENT)])
    assert os.listdir(system / "secrets") == [name]
    assert SecretDir(account(name), "system").read("secret") == CONTENT


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_secret_that_others_could_read_is_refused(saved: Path, mode: int) -> None:
    saved.chmod(mode)
    assert refusal().reason == SECRET_UNSAFE


def test_secret_of_another_owner_is_refused(saved: Path) -> None:
    os.chown(saved, 4711, 4711)
    assert refusal().reason == SECRET_UNSAFE


def test_folder_of_another_owner_is_refused(saved: Path) -> None:
    os.chown(saved.parent, 4711, 4711)
    assert refusal().reason == SECRET_UNSAFE


@pytest.mark.parametrize("level", [0, 1])
def test_folder_that_others_could_write_is_refused(saved: Path, level: int) -> None:
    saved.parents[level].chmod(0o777)
    assert refusal().reason == SECRET_UNSAFE


@pytest.mark.parametrize("level", [-1, 0, 1])
def test_link_in_place_of_file_or_folder_is_refused(saved: Path, level: int) -> None:
    path = saved if level < 0 else saved.parents[level]
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    assert refusal().reason == SECRET_UNSAFE


def test_secret_that_is_too_long_is_refused(saved: Path) -> None:
    saved.write_bytes(b"#" * 70000)
    assert refusal().reason == SECRET_MALFORMED


def test_caller_that_is_not_root_is_refused(saved: Path) -> None:
    os.seteuid(4711)
    try:
        refused = refusal()
    finally:
        os.seteuid(0)
    assert refused.reason == SECRET_UNSAFE
    assert "only root can read" in refused.detail


def test_removed_secret_is_gone(saved: Path) -> None:
    place = SecretDir(account(), "system")
    assert secret_removal.remove(place, "secret")
    assert not secret_removal.remove(place, "secret")
    assert place.read("secret") is None


def test_litter_of_a_command_that_was_killed_is_cleared_away(saved: Path) -> None:
    (saved.parent / "secret.new-0123456789abcdef").write_bytes(CONTENT)
    secret_writer.save(SecretDir(account(), "system"), [("secret", CONTENT + b"# new\n")])
    assert os.listdir(saved.parent) == ["secret"]
