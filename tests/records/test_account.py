# SPDX-License-Identifier: MIT
"""Acting as a user: with the whole identity, and root again afterwards whatever happened."""

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from pam_totp.records.host.account import ActingAs, find
from pam_totp.rules.reasons import SECRET_MISSING, Failure
from tests.host.accounts import User


def identity() -> tuple[int, int, list[int]]:
    return os.geteuid(), os.getegid(), sorted(os.getgroups())


def test_account_is_that_of_the_password_database(user: User) -> None:
    assert find(user.name).pw_uid == user.uid


@pytest.mark.parametrize("name", ["", "nobody-of-that-name", "a" * 255, "\udcff", "a\0b", "a\nb"])
def test_name_that_is_not_in_the_password_database_is_refused(name: str) -> None:
    with pytest.raises(Failure) as refused:
        find(name)
    assert refused.value.reason == SECRET_MISSING


def test_user_number_is_no_name(user: User) -> None:
    with pytest.raises(Failure):
        find(str(user.uid))


def test_root_becomes_the_user_with_its_groups_and_root_again(user: User) -> None:
    subprocess.run(["usermod", "--append", "--groups", "audio,video", user.name], check=True)
    before = identity()
    acting = ActingAs(account=pwd.getpwnam(user.name))
    with acting:
        assert identity() == (user.uid, user.gid, [user.gid])
    assert identity() == before
    acting.all_groups = True
    with acting:
        assert identity() == (user.uid, user.gid, sorted(os.getgrouplist(user.name, user.gid)))
        assert len(os.getgroups()) == 3
        assert not os.access("/etc/shadow", os.R_OK, effective_ids=True)
    assert identity() == before


def test_groups_of_root_come_back(user: User) -> None:
    before = os.getgroups()
    os.setgroups([0, 5, 42])
    with ActingAs(account=pwd.getpwnam(user.name)):
        pass
    assert identity() == (0, 0, [0, 5, 42])
    os.setgroups(before)


def test_exception_inside_passes_and_root_is_back(user: User) -> None:
    before = identity()
    with pytest.raises(ZeroDivisionError), ActingAs(account=pwd.getpwnam(user.name)):
        raise ZeroDivisionError
    assert identity() == before


@pytest.mark.parametrize("missing", ["setuid", "setgid"])
def test_root_that_may_not_change_identity_goes_on_as_nobody(user: User, missing: str) -> None:
    """As under a tight service manager: nothing inside the block is run then."""
    program = (
        "import os, pwd, sys\n"
        "sys.path[:0] = ['/usr/lib/pam-totp']\n"
        "from pam_totp.records.host.account import ActingAs\n"
        "try:\n"
        f"    with ActingAs(account=pwd.getpwnam({user.name!r})): print('inside')\n"
        "except PermissionError: print(os.geteuid(), os.getegid())\n"
    )
    command = ["setpriv", "--bounding-set", f"-{missing}", "/usr/bin/python3", "-BIS", "-c"]
    done = subprocess.run([*command, program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("0 0\n", "")


def test_home_of_the_environment_is_not_asked(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CONFIG_HOME", "USER", "LOGNAME"):
        monkeypatch.setenv(name, "/root")
    assert Path(find(user.name).pw_dir) == user.home
