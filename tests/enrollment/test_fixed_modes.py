# SPDX-License-Identifier: MIT
"""Homes whose file system sets owner and mode itself, as CIFS, exFAT and 9p do: a real bindfs."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import configured, gate, pam_totp, recovery_of, secret_of, tree, verify
from tests.enrollment.person import Start, enroll
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.fuse import fuse_device
from tests.host.phone import AT_LOGIN, keys_on
from tests.host.programs import REFUSED
from tests.host.system_log import SystemLog
from tests.login.test_enrolling import offered, pending_of

Mount = Callable[[str], None]
OTHERS_READ, OTHERS_WRITE, ROOTS = "--perms=0755", "--perms=0777", "--force-user=root"
WAYS_OUT = ("mount it with options", "store: system")


@pytest.fixture
def home_through_bindfs(user: User) -> Iterator[Mount]:
    """`home_through_bindfs(option)`: the user's home shows what bindfs makes of it; chmod and chown
    change nothing there."""
    fuse_device()
    mounted = []

    def mount(option: str) -> None:
        ignoring = ["--chmod-ignore", "--chown-ignore", "--chgrp-ignore"]
        home = str(user.home)
        # Read through /proc by bindfs itself, below its own mount.
        subprocess.run(["bindfs", option, *ignoring, "-o", "nonempty", home, home], check=True)
        mounted.append(home)

    yield mount
    for home in mounted:
        subprocess.run(["umount", "--lazy", home], check=True)


@pytest.mark.parametrize("option", [OTHERS_READ, OTHERS_WRITE, ROOTS])
def test_secret_that_a_login_would_refuse_is_not_saved(
    user: User, start: Start, home_through_bindfs: Mount, option: str
) -> None:
    home_through_bindfs(option)
    before = tree(user.home)
    person = start(user, "enroll")
    finished = person.finish()
    assert finished.status == 1
    assert "nothing was changed" in finished.output
    assert "URI:" not in finished.output, "shown before it was known that it cannot be saved"
    assert all(way in finished.output for way in WAYS_OUT), finished.output
    assert "chmod" not in finished.output.rpartition("hint: ")[2]
    assert tree(user.home) == before
    assert not (user.home / ".config").exists()


def test_secret_that_could_not_take_its_name_is_not_shown(
    user: User, start: Start, home_through_bindfs: Mount
) -> None:
    """Shares may let nobody rename or remove what was written."""
    home_through_bindfs("--rename-deny")
    finished = start(user, "enroll").finish()
    assert finished.status == 1
    assert "cannot save the secret: Operation not permitted; nothing was changed" in finished.output
    assert "URI:" not in finished.output
    assert not (user.home / ".config").exists()


def test_secret_that_a_login_would_accept_is_saved_there(
    user: User, start: Start, home_through_bindfs: Mount
) -> None:
    home_through_bindfs("--perms=0700")
    phone = enroll(start, user)
    assert verify(user, phone.code(1)).code != REFUSED


def test_replacement_that_a_login_would_refuse_leaves_the_old_secret(
    user: User, credential: Credential, home_through_bindfs: Mount
) -> None:
    before = tree(user.home)
    # The file system shows what is there as it is, and what is new to all.
    home_through_bindfs("--create-with-perms=og+r")
    answer = pam_totp("recovery-codes", "--user", user.name)
    assert answer.code == 1
    assert "would be refused at a login, as a new file there is open to others" in answer.errors
    assert all(way in answer.errors for way in WAYS_OUT), answer.errors
    assert tree(user.home) == before
    assert not recovery_of(user).exists()


def test_login_shows_no_secret_that_cannot_be_saved(
    user: User, home_through_bindfs: Mount, syslog: SystemLog
) -> None:
    home_through_bindfs(OTHERS_READ)
    with configured(AT_LOGIN, settled=True):
        assert keys_on(gate(user, typed=user.password).output) == []
    assert "the file system sets owner and mode itself" in syslog.decisions()[-1]["detail"]
    assert not pending_of(user).exists()
    assert tree(user.home / ".config") == {}


def test_login_does_not_enroll_where_the_next_one_would_be_refused(
    user: User, home_through_bindfs: Mount, syslog: SystemLog
) -> None:
    with configured(AT_LOGIN, settled=True):
        shown = offered(user)
        home_through_bindfs(OTHERS_READ)
        assert verify(user, shown.fresh_code()).code == REFUSED
    refused = syslog.decisions()[-1]
    assert refused["reason"] == "secret-unsafe"
    assert "the file system sets owner and mode itself" in refused["detail"]
    assert not secret_of(user).exists()
    assert not Path(f"/var/lib/pam-totp/marks/{user.uid}").exists()
    assert pending_of(user).exists()


def test_move_into_a_home_where_a_login_would_refuse_it_leaves_the_secret_where_it_is(
    user: User, credential: Credential, home_through_bindfs: Mount
) -> None:
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
    home_through_bindfs(OTHERS_READ)
    answer = pam_totp("migrate", user.name)
    assert answer.code == 1
    assert "would be refused at a login" in answer.errors
    assert Path(f"/var/lib/pam-totp/secrets/{user.name}/secret").exists()
    assert not secret_of(user).exists()
