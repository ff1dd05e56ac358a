# SPDX-License-Identifier: MIT
"""A home that never answers keeps root from nothing but that home."""

import ctypes
import json
import os
import time
from collections.abc import Callable, Iterator

import pytest

from tests.commands.commands import pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.fuse import fuse_device

MS_NOSUID, MS_NODEV = 2, 4


@pytest.fixture
def silent(user: User) -> Iterator[User]:
    """Its secrets are in a file system whose program, the user's, never answers: as sshfs or rclone
    make one with allow_other, or a server that is gone."""
    program = os.open(fuse_device(), os.O_RDWR | os.O_CLOEXEC)
    point = user.home / ".config"
    user.run_as("mkdir", str(point), check=True)
    identity = f"user_id={user.uid},group_id={user.gid}"
    options = f"fd={program},rootmode=40000,{identity},allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV)
    done = libc.mount(b"silent", os.fsencode(point), b"fuse", flags, options.encode())
    assert done == 0, os.strerror(ctypes.get_errno())
    yield user
    os.close(program)  # whoever waits is told so
    libc.umount2(os.fsencode(point), 2)


def seconds_of(*arguments: str) -> tuple[float, str]:
    begun = time.monotonic()
    done = pam_totp(*arguments, through=("timeout", "-s", "KILL", "50"))
    assert done.code in (0, 1), done
    return time.monotonic() - begun, done.output


def test_listing_goes_on_to_the_others_and_names_the_home(
    silent: User, make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    after = make_user("zoe")
    enrolled(after)
    seconds, output = seconds_of("users", "--json")
    rows = {each["user"]: each for each in json.loads(output)}
    assert f"the home '{silent.home}' gives no answer" in rows[silent.name]["fault"]
    assert (rows[silent.name]["enrolled"], rows[after.name]["enrolled"]) == (None, True)
    assert seconds < 20


def test_doctor_finds_the_faults_of_the_others(
    silent: User, make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    after = make_user("zoe")
    enrolled(after)
    (after.home / ".config/pam-totp/secret").chmod(0o644)
    _, output = seconds_of("doctor", "--json")
    found = json.loads(output)["findings"]
    kinds = {each["what"].partition(":")[0]: each["kind"] for each in found}
    assert (kinds[silent.name], kinds[after.name]) == ("home-silent", "secret-mode")


def test_enable_says_that_its_user_would_be_refused(silent: User) -> None:
    _, output = seconds_of("enable", "su", "--dry-run")
    assert silent.name in output and "no answer" in output


def test_caller_that_ignores_the_end_of_its_children_changes_nothing(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    done = pam_totp("users", through=("env", "--ignore-signal=CHLD"))
    assert done.errors == "" and f"{user.name} " in done.output
