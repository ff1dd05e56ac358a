# SPDX-License-Identifier: MIT
"""A grant as a record: for its time, once where it says so, and never by mistake."""

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from pam_totp.records.storage import state_dir
from pam_totp.records.user import grant, granting
from pam_totp.records.user.grant import Grant
from pam_totp.rules.reasons import STATE_UNAVAILABLE, Failure
from tests.commands.commands import mounted, read_only

UID = 4711


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /var/lib/pam-totp."""
    path = tmp_path / "pam-totp"
    path.mkdir(mode=0o700)
    monkeypatch.setattr(state_dir.VAR, "path", str(path))
    return path


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Stands in for the password database: user ids and their names, to be changed."""
    known = {UID: "alice", UID + 1: "bob"}

    def look_up(uid: int) -> pwd.struct_passwd:
        return pwd.struct_passwd((known[uid], "x", uid, uid, "", "/", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwuid", look_up)
    return known


def in_parallel(times: int, act: Callable[[], bool]) -> int:
    """How often `act` said yes, in so many processes that begin at the same moment."""
    wait, begin = os.pipe()
    children = []
    for _ in range(times):
        child = os.fork()
        if child == 0:
            os.close(begin)
            os.read(wait, 1)  # until every copy of the other end is closed
            os._exit(0 if act() else 1)
        children.append(child)
    os.close(begin)
    os.close(wait)
    return sum(os.waitpid(child, 0)[1] == 0 for child in children)


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        (999, False),
        (999.999, False),
        (1000, True),
        (1999.999, True),
        (2000, False),
        (10**12, False),
    ],
)
def test_grant_holds_from_its_first_moment_up_to_and_without_its_last(
    now: float, holds: bool
) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=False))
    assert (grant.read(UID, now) is not None) is holds
    assert grant.use_up(UID, now) is holds


def test_nobody_has_a_grant_at_first(folder: Path) -> None:
    assert grant.read(UID, 1500) is None
    assert not grant.use_up(UID, 1500)
    assert not grant.revoke(UID)


def test_grant_is_one_users(folder: Path) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=False))
    assert not grant.use_up(UID + 1, 1500)
    assert not grant.use_up(471, 1500)


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("name", ["newhire", "alice ", "alic", "alice\nx", None])
def test_grant_does_not_pass_to_the_next_user_of_the_id(
    names: dict[int, str], name: str | None, once: bool
) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=once))
    del names[UID]
    if name is not None:
        names[UID] = name
    with pytest.raises(Failure) as refused:
        grant.use_up(UID, 1500)
    assert refused.value.reason == STATE_UNAVAILABLE
    assert grant.read(UID, 2500) is None
    assert grant.revoke(UID)


@pytest.mark.parametrize("name", ["a b", " x ", "MANY", "é" * 120, "\udcff\udcfe", "x\ny"])
def test_grant_is_for_a_name_of_any_bytes(folder: Path, names: dict[int, str], name: str) -> None:
    names[UID] = name
    granting.give(UID, Grant(since=1000, until=2000, once=True))
    kept = (folder / "grants" / str(UID)).read_bytes()
    assert kept == b"pam-totp grant 1 1000 2000 ONCE " + os.fsencode(name) + b"\n"
    assert grant.use_up(UID, 1500)


def test_grant_for_many_logins_stays(folder: Path) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=False))
    assert all(grant.use_up(UID, 1500) for _ in range(5))


def test_grant_for_once_is_gone_before_the_yes(folder: Path) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=True))
    assert grant.use_up(UID, 1500)
    assert list((folder / "grants").iterdir()) == []
    assert not grant.use_up(UID, 1500)


def test_of_fifty_logins_at_once_a_grant_for_once_exempts_one(folder: Path) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=True))
    assert in_parallel(50, lambda: grant.use_up(UID, 1500)) == 1


def test_grant_for_once_outside_its_time_is_not_used_up(folder: Path) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=True))
    assert not grant.use_up(UID, 500)
    assert grant.use_up(UID, 1500)


def test_revoked_grant_is_gone(folder: Path) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=False))
    assert grant.revoke(UID)
    assert not grant.use_up(UID, 1500)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"pam-totp grant 1 1000 2000\n",
        b"pam-totp grant 1 1000 2000 ONCE\n",
        b"pam-totp grant 1 1000 2000 many\n",
        b"pam-totp grant 1 1000 2000 MANY\n",
        b"pam-totp grant 1 1000 2000  alice\n",
        b"pam-totp grant 1 1000 2000 SOME alice\n",
        b"pam-totp grant 2 1000 2000 MANY alice\n",
        b"pam-totp mark 1 1000 2000 MANY\n",
        b"pam-totp grant 1 x 2000 MANY alice\n",
        b"pam-totp grant 1 1000 1e9 MANY alice\n",
        b"pam-totp grant 1 1000 2000 MANY\xff\n",
        b"\0" * 4096,
    ],
)
def test_malformed_grant_is_refused_and_said_to_be(folder: Path, content: bytes) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=False))
    (folder / "grants" / str(UID)).write_bytes(content)
    with pytest.raises(Failure) as refused:
        grant.use_up(UID, 1500)
    assert refused.value.reason == STATE_UNAVAILABLE
    assert "malformed" in refused.value.detail


def test_grant_that_cannot_be_read_is_refused(folder: Path) -> None:
    (folder / "grants").mkdir(mode=0o700)
    (folder / "grants" / str(UID)).symlink_to("/etc/hostname")
    with pytest.raises(Failure):
        grant.use_up(UID, 1500)
    folder.rename(folder.with_name("gone"))
    with pytest.raises(Failure):
        grant.use_up(UID, 1500)


def test_grant_for_once_that_cannot_be_used_up_is_refused(folder: Path) -> None:
    granting.give(UID, Grant(since=1000, until=2000, once=True))
    with read_only(folder), pytest.raises(Failure, match="cannot use up the grant"):
        grant.use_up(UID, 1500)
    assert grant.use_up(UID, 1500)


def test_full_disk_keeps_the_old_grant(folder: Path) -> None:
    with mounted(folder, "size=8k,mode=700"):
        granting.give(UID, Grant(since=1000, until=2000, once=False))
        (folder / "fill").write_bytes(b"x" * 4096)
        with pytest.raises(OSError, match="No space left"):
            granting.give(UID, Grant(since=5000, until=6000, once=False))
        assert grant.use_up(UID, 1500)
        assert not grant.use_up(UID, 5500)
