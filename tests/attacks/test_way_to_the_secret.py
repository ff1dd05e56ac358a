# SPDX-License-Identifier: MIT
"""A user who can move a folder on the way to a secret could switch the code off: each shape."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.programs import command, gate, verify
from tests.attacks.test_secret_file import name_in_access_list
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, NO_CODE_NEEDED, REFUSED
from tests.host.system_log import SystemLog

SHARED = Path("/srv/shared")
GROUP = "colleagues"


@pytest.fixture
def bob(make_user: Callable[..., User]) -> Iterator[User]:
    """A colleague, in a group that alice may be in or not."""
    other = make_user()
    subprocess.run(["groupadd", GROUP], check=True)
    subprocess.run(["gpasswd", "--add", other.name, GROUP], check=True)
    yield other
    subprocess.run(["groupdel", GROUP], check=True)


@pytest.fixture
def shared(bob: User) -> Iterator[Path]:
    """A folder of root's that bob may write as a member of its group."""
    SHARED.mkdir(mode=0o755)
    subprocess.run(["chgrp", GROUP, str(SHARED)], check=True)
    SHARED.chmod(0o775)
    yield SHARED
    subprocess.run(["rm", "-rf", str(SHARED)], check=True)


def give(path: Path, user: User) -> None:
    os.chown(path, user.uid, user.gid, follow_symlinks=False)


def link(path: Path, target: str, user: User) -> None:
    path.symlink_to(target)
    give(path, user)


def replace(path: Path, bob: User, target: str = "/usr") -> None:
    """Bob moves away what is there, and puts a link in its place to where no secret is."""
    for arguments in (["mv", str(path), f"{path}.away"], ["ln", "-s", target, str(path)]):
        done = bob.run_as(*arguments, cwd="/")
        assert done.returncode == 0, done.stderr


def assert_refused(user: User, syslog: SystemLog, saying: str, to_root: str = "") -> None:
    """Nobody gets in, and the log, `users` and `explain` say why. to_root: how the latter two say
    it, if otherwise."""
    syslog.clear()
    assert gate(user.name) == ASK
    assert verify(user.name, "123456") == REFUSED
    decision = syslog.decisions()[-1]
    assert (decision["reason"], saying in decision["detail"]) == ("secret-unsafe", True), decision
    assert (to_root or saying) in command("users").stdout
    assert (to_root or saying) in command("explain", user.name, "--service", "sshd").stdout


def absolute(user: User) -> Path:
    link(user.home / ".config", f"{SHARED}/dotfiles", user)
    return SHARED / "dotfiles"


def relative(user: User) -> Path:
    link(user.home / ".config", "../../srv/shared/./dotfiles", user)
    return SHARED / "dotfiles"


def link_to_link(user: User) -> Path:
    link(user.home / ".config", "first", user)
    link(user.home / "first", "second/", user)
    link(user.home / "second", f"{SHARED}//dotfiles", user)
    return SHARED / "dotfiles"


def link_in_the_shared_folder(user: User) -> Path:
    (SHARED / "dotfiles").rename(user.home / "dotfiles")
    link(SHARED / "dotfiles", f"{user.home}/dotfiles", user)
    link(user.home / ".config", f"{SHARED}/dotfiles", user)
    return SHARED / "dotfiles"


def dot_dot(user: User) -> Path:
    (SHARED / "dotfiles").rename(user.home / "dotfiles")
    (SHARED / "turn").mkdir()
    link(user.home / ".config", f"{SHARED}/turn/../../..{user.home}/dotfiles", user)
    return SHARED / "turn"


def folder_further_up(user: User) -> Path:
    inner = SHARED / "of-alice"
    inner.mkdir(mode=0o700)
    give(inner, user)
    (SHARED / "dotfiles").rename(inner / "dotfiles")
    link(user.home / ".config", f"{inner}/dotfiles", user)
    return inner


SHAPES = [
    absolute,
    relative,
    link_to_link,
    link_in_the_shared_folder,
    dot_dot,
    folder_further_up,
]


@pytest.mark.parametrize("of_bob", [False, True], ids=["a group may write", "of another user"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_colleague_who_moves_what_config_leads_through_does_not_switch_the_code_off(
    user: User,
    credential: Credential,
    bob: User,
    shared: Path,
    syslog: SystemLog,
    shape: Callable[[User], Path],
    of_bob: bool,
) -> None:
    (user.home / ".config").rename(shared / "dotfiles")
    moved = shape(user)
    if of_bob:
        shared.chmod(0o755)
        give(shared, bob)
    saying = "is owned by user id" if of_bob else f"{SHARED} is writable by a group"
    assert_refused(user, syslog, saying)
    target = {"link_in_the_shared_folder": "/usr", "dot_dot": "/usr/lib"}
    replace(moved, bob, target.get(shape.__name__, "/usr"))
    assert_refused(user, syslog, saying)
    shared.chmod(0o755)  # what the log says to do
    os.chown(shared, 0, 0)
    moved.unlink()
    Path(f"{moved}.away").rename(moved)
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


@pytest.mark.parametrize("way", ["folder", "link to the home"])
@pytest.mark.parametrize("level", ["above", "two above"])
@pytest.mark.parametrize("how", ["group", "all", "owner", "access list"])
def test_colleague_who_moves_a_folder_above_the_home_does_not_switch_the_code_off(
    user: User,
    credential: Credential,
    bob: User,
    shared: Path,
    syslog: SystemLog,
    way: str,
    level: str,
    how: str,
) -> None:
    """An older home of alice's, without a secret, stands beside: it is alice's own."""
    above = shared if level == "above" else shared / "homes"
    above.mkdir(exist_ok=True)
    user.home.rename(above / "alice")
    if way == "folder":
        subprocess.run(["usermod", "--home", f"{above}/alice", user.name], check=True)
    else:
        user.home.symlink_to(above / "alice")
    others = shared / "older" / "alice" if level == "two above" else shared / "older"
    others.mkdir(parents=True)
    give(others, user)
    shared.chmod({"group": 0o775, "all": 0o777}.get(how, 0o755))
    if how == "access list":
        os.chown(shared, 0, user.gid)  # a group of alice's own, and yet not alice alone
        name_in_access_list(shared, bob, others=5)
    elif how == "owner":
        give(shared, bob)
    moved = shared / ("alice" if level == "above" else "homes")
    for arguments in (["mv", str(moved), f"{moved}.away"], ["mv", f"{shared}/older", str(moved)]):
        done = bob.run_as(*arguments, cwd="/")
        assert done.returncode == 0, done.stderr
    sayings = {"all": "is writable by others", "owner": "is owned"}
    try:
        assert_refused(user, syslog, f"{SHARED} {sayings.get(how, 'is writable by a group')}")
    finally:
        if way != "folder":
            user.home.unlink()


def test_sticky_folder_on_the_way_is_safe(
    user: User, credential: Credential, bob: User, shared: Path
) -> None:
    shared.chmod(0o1777)
    (user.home / ".config").rename(shared / "dotfiles")
    link(user.home / ".config", f"{shared}/dotfiles", user)
    assert bob.run_as("mv", f"{shared}/dotfiles", f"{shared}/away", cwd="/").returncode != 0
    assert gate(user.name) == ASK
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


@pytest.mark.parametrize("what", ["link", "folder"])
def test_what_another_made_in_a_sticky_folder_is_not_safe(
    user: User, credential: Credential, bob: User, shared: Path, syslog: SystemLog, what: str
) -> None:
    (user.home / ".config").rename(user.home / "dotfiles")
    shared.chmod(0o1777)
    if what == "link":
        link(shared / "turn", str(user.home), bob)
    else:
        (shared / "turn").mkdir()
        give(shared / "turn", bob)
        link(shared / "turn" / "dotfiles", f"{user.home}/dotfiles", user)
    link(user.home / ".config", f"{shared}/turn/dotfiles", user)
    fault = f"{shared}/turn is owned by user id {bob.uid}; "
    repair = f"run: chown -h root {shared}/turn"
    assert_refused(user, syslog, fault + repair, to_root=f"{fault}a link leads there")


def test_sticky_folder_is_not_safe_for_what_is_not_there(
    user: User, bob: User, shared: Path, syslog: SystemLog
) -> None:
    shared.chmod(0o1777)
    link(user.home / ".config", str(shared), user)
    assert_refused(user, syslog, f"{shared} is writable by others")


def home_in_passwd(user: User, home: str) -> None:
    """What usermod would refuse, and a directory may well answer."""
    passwd = Path("/etc/passwd")
    old = f":{user.home}:"
    passwd.write_text(passwd.read_text().replace(old, f":{home}:"))


@pytest.mark.parametrize("home", ["home/{}", "", ".", "../home/{}"])
def test_home_that_does_not_begin_with_a_slash_is_refused_wherever_the_caller_stands(
    user: User, credential: Credential, tmp_path: Path, syslog: SystemLog, home: str
) -> None:
    """su runs our programs in its caller's folder."""
    name = home.format(user.name)
    for inside in (tmp_path / "in" / name, tmp_path / "in"):
        inside.mkdir(parents=True, exist_ok=True)
        give(inside, user)
    tmp_path.chmod(0o755)
    home_in_passwd(user, name)
    try:
        assert gate(user.name, cwd=tmp_path / "in") == ASK
        assert verify(user.name, credential.code(), cwd=tmp_path / "in") == REFUSED
        assert "does not begin with /" in syslog.decisions()[-1]["detail"]
    finally:
        passwd = Path("/etc/passwd")
        passwd.write_text(passwd.read_text().replace(f"::{name}:", f"::{user.home}:", 1))


@pytest.mark.parametrize("home", ["//home/{}/", "/home/./{}", "/home/{}/../{}", "/proc/../home/{}"])
def test_home_however_it_is_spelt_is_found(user: User, credential: Credential, home: str) -> None:
    home_in_passwd(user, home.format(user.name, user.name))
    assert gate(user.name) == ASK
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


@pytest.mark.parametrize("target", ["/proc/self/cwd", "/proc/self/root/usr", "/proc/self/fd/0"])
def test_link_of_the_kernel_that_leads_where_the_caller_stands_is_refused(
    user: User, credential: Credential, syslog: SystemLog, target: str
) -> None:
    (user.home / ".config").rename(user.home / "dotfiles")
    link(user.home / ".config", target, user)
    assert gate(user.name, cwd="/usr") == ASK
    assert verify(user.name, credential.code(), cwd="/usr") == REFUSED
    assert "a link in /proc" in syslog.decisions()[-1]["detail"]


def test_forty_links_are_followed_and_no_more(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    (user.home / ".config").rename(user.home / "0")
    for number in range(1, 41):
        link(user.home / str(number), str(number - 1), user)
    link(user.home / ".config", "39", user)
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    (user.home / ".config").unlink()
    link(user.home / ".config", "40", user)
    assert_refused(user, syslog, "in a loop")


def test_folder_on_the_way_that_nobody_can_list_is_passed_through(
    user: User, credential: Credential, shared: Path
) -> None:
    shared.chmod(0o711)
    os.chown(shared, 0, 0)
    user.home.rename(shared / "alice")
    subprocess.run(["usermod", "--home", f"{shared}/alice", user.name], check=True)
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


def test_store_of_root_below_a_folder_that_others_may_write_is_no_proof(
    user: User, syslog: SystemLog
) -> None:
    assert gate(user.name) == NO_CODE_NEEDED
    Path("/var/lib").chmod(0o775)
    os.chown("/var/lib", 0, user.gid)
    try:
        assert gate(user.name) == ASK
    finally:
        Path("/var/lib").chmod(0o755)
        os.chown("/var/lib", 0, 0)


@pytest.mark.parametrize("name", ["secret", "pam-totp"])
def test_link_owner_and_mode_are_three_sentences_with_three_repairs(
    user: User, credential: Credential, bob: User, syslog: SystemLog, name: str
) -> None:
    path = user.home / ".config" / "pam-totp"
    path = path / "secret" if name == "secret" else path
    os.chown(path, bob.uid, bob.gid)
    chown = "chown" if name == "secret" else "chown -h"
    repair = f"run: {chown} {user.name} {path}"
    assert_refused(user, syslog, f"{path} is owned by user id {bob.uid}; {repair}")
    give(path, user)
    path.chmod(0o777)
    run = "600" if name == "secret" else "o-w"
    repair = f"chmod {run} {path}"
    to_root = f"run: runuser -u {user.name} -- {repair}"
    assert_refused(user, syslog, f"run: {repair}", to_root=to_root)
    path.chmod(0o700)
    path.rename(user.home / "elsewhere")
    link(path, str(user.home / "elsewhere"), user)
    repair = "replace it with the file itself" if name == "secret" else "replace it with a folder"
    assert_refused(user, syslog, f"{path} is a symbolic link; {repair}")
