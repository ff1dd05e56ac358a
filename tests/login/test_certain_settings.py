# SPDX-License-Identifier: MIT
"""The settings under which a user is certain to be asked for a code, and their every change."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.records.config.settings import UNSETTLED_SECONDS
from pam_totp.records.user import certain
from tests.commands.commands import configured
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, CONFIGURATION, NO_CODE_NEEDED, RECORDS, STATE
from tests.login.marks import decides, is_certain, log_in, mark_of
from tests.login.programs import gate, verify

SETTLED = UNSETTLED_SECONDS + 0.05
MAY_EXEMPT = [
    "{{user: {name}, code: never}}",
    "{{user: [bob, {name}], code: never}}",
    "{{user: 'alice*', code: never}}",
    "{{user: ['b*', '?*'], code: never}}",
    "{{group: {name}, code: never}}",
    "{{group: no-such-group, code: never}}",
    "{{group: 'no*', code: never}}",
    "{{service: cron, code: never}}",
    "{{service: 's*', code: never}}",
    "{{from: 10.0.0.0/8, code: never}}",
    "{{from: local, code: never}}",
    "{{publickey: yes, code: never}}",
    "{{publickey: no, code: never}}",
    "{{user: {name}, service: cron, from: local, group: staff, publickey: yes, code: never}}",
    "{{code: never}}",
    "{{user: {name}, code: required}}, {{code: never}}",
]
NEVER_EXEMPT = [
    "{{user: bob, code: never}}",
    "{{user: [bob, carol], service: sshd, code: never}}",
    "{{user: 'b*', code: never}}",
    "{{user: '{name}?', code: never}}",
    "{{user: ['b*', {name}-too], group: {name}, code: never}}",
    "{{user: {name}, code: required}}",
    "{{code: if-enrolled}}",
    "{{group: staff, code: required}}, {{from: local, code: if-enrolled}}",
]


@pytest.mark.parametrize("rules", MAY_EXEMPT)
def test_user_whom_a_rule_may_exempt_is_never_certain(
    user: User, credential: Credential, rules: str
) -> None:
    with configured(f"rules: [{rules.format(name=user.name)}]\n", settled=True):
        log_in(credential)
        log_in(credential)
        answer = decides(user)
        assert mark_of(user).read_text(encoding="ascii").split()[3] == "decide"
        log_in(credential)
        assert decides(user) == answer


@pytest.mark.parametrize("rules", NEVER_EXEMPT)
def test_user_whom_no_rule_can_exempt_is_certain(
    user: User, credential: Credential, rules: str
) -> None:
    with configured(f"rules: [{rules.format(name=user.name)}]\n", settled=True):
        log_in(credential)
        assert decides(user) == ASK, "the login was the one that made the snapshot"
        log_in(credential)
        assert is_certain(user)


def test_user_whom_the_last_rule_of_thousands_exempts_is_never_certain(
    user: User, credential: Credential
) -> None:
    others = "".join(f"- {{user: person{number}, code: never}}\n" for number in range(2000))
    with configured(f"rules:\n{others}", settled=True):
        log_in(credential)
        log_in(credential)
        assert is_certain(user)
    with configured(f"rules:\n{others}- {{user: {user.name}, code: never}}\n", settled=True):
        log_in(credential)
        log_in(credential)
        assert decides(user) == NO_CODE_NEEDED


def test_nobody_is_certain_where_codes_are_remembered(user: User, credential: Credential) -> None:
    with configured("remember: 10m\n", settled=True):
        log_in(credential)
        log_in(credential)
        assert not mark_of(user).exists()
        assert decides(user) == ASK


@pytest.mark.parametrize(
    "text",
    [
        "remember: 10m",
        "rules: [{code: never}]",
        "enrollment: required",
        "rulse: x",
        "issuer: x",
    ],
)
def test_mark_from_before_a_change_of_the_settings_is_as_if_it_were_not_there(
    user: User, credential: Credential, text: str
) -> None:
    log_in(credential)
    assert is_certain(user)
    answer = NO_CODE_NEEDED if "never" in text else ASK
    with configured(text):
        assert decides(user) == answer
        time.sleep(SETTLED)
        assert decides(user) == answer


def replace_by_a_copy(path: Path) -> None:
    copy = path.with_name("copy")
    shutil.copy2(path, copy)
    copy.write_bytes(path.read_bytes().replace(b"alice0", b"alice9"))
    os.utime(copy, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    copy.rename(path)


def edit_in_place(path: Path) -> None:
    status = path.stat()
    path.write_bytes(path.read_bytes().replace(b"alice0", b"alice9"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"# more\n")


def remove(path: Path) -> None:
    path.unlink()


def make_again(path: Path) -> None:
    content, status = path.read_bytes(), path.stat()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def make_a_link(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy2(path, other)
    path.unlink()
    path.symlink_to(other)


def make_a_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def open_to_others(path: Path) -> None:
    path.chmod(0o666)


def give_old_times(path: Path) -> None:
    os.utime(path, (86400, 86400))


CHANGES = [
    *(replace_by_a_copy, edit_in_place, append, remove, make_again, make_a_link, make_a_loop),
    *(open_to_others, give_old_times),
]


@pytest.fixture
def settled(user: User, credential: Credential) -> Iterator[Path]:
    """The settings file, under which the user is certain to be asked."""
    with configured("rules: [{user: alice0, code: never}]\n", settled=True) as path:
        log_in(credential)
        log_in(credential)
        assert is_certain(user)
        yield path
        for other in ("copy", "other"):
            path.with_name(other).unlink(missing_ok=True)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_mark_does_not_outlive_a_change_of_the_settings_file(
    settled: Path, user: User, change: Callable[[Path], None]
) -> None:
    change(settled)
    assert decides(user) == ASK
    time.sleep(SETTLED)
    assert decides(user) == ASK


def test_mark_does_not_outlive_another_file_behind_the_same_link(
    user: User, credential: Credential
) -> None:
    folder = CONFIGURATION.parent
    files = [folder / "first", folder / "second"]
    for file in files:
        file.write_text("rules: [{user: bob, code: never}]\n", encoding="ascii")
        os.utime(file, (86400, 86400))
    time.sleep(SETTLED)
    CONFIGURATION.symlink_to(files[0])
    try:
        log_in(credential)
        log_in(credential)
        assert is_certain(user)
        files[1].rename(files[0])
        assert decides(user) == ASK
    finally:
        CONFIGURATION.unlink()
        files[0].unlink()
        shutil.rmtree(STATE / "settings")


def test_mark_does_not_outlive_another_snapshot(settled: Path, user: User) -> None:
    """Such as one that was put back from a backup."""
    snapshot = STATE / "settings" / "last-good"
    copy = snapshot.with_name("copy")
    shutil.copy2(snapshot, copy)
    copy.rename(snapshot)
    assert decides(user) == ASK


def test_mark_made_while_the_file_can_change_within_its_time_stamp_would_never_hold() -> None:
    """It holds for the moment at which the file was looked at, which no gate compares with."""
    fields: list[str] = []
    with configured("rules: []\n") as path:
        while not fields:  # a tenth of a second may pass unseen
            path.write_text("rules: []\n", encoding="ascii")
            around = certain.surroundings()
            if time.time() - path.stat().st_ctime < UNSETTLED_SECONDS:
                fields = around.split()
        time.sleep(SETTLED)
        assert len(fields) == 1 + 4 * 5 + 1
        assert len(certain.surroundings().split()) == 1 + 4 * 5


def test_settings_that_are_invalid_make_no_mark(user: User, credential: Credential) -> None:
    with configured("rules: [{user: bob, code: never}]\n", settled=True) as path:
        log_in(credential)
        mark_of(user).unlink()
        path.write_text("rules: [{user: bob, code: nevr}]\n", encoding="ascii")
        time.sleep(SETTLED)
        log_in(credential)
        log_in(credential)
        assert not mark_of(user).exists()
        assert decides(user) == ASK


def test_settings_that_are_gone_make_no_mark(
    settled: Path, user: User, credential: Credential
) -> None:
    settled.unlink()
    mark_of(user).unlink()
    log_in(credential)
    log_in(credential)
    assert not mark_of(user).exists()


@pytest.mark.parametrize("shift", ["-3d", "+400d"])
def test_clock_that_is_set_elsewhere_changes_nothing(
    settled: Path, user: User, credential: Credential, shift: str
) -> None:
    """Marks have no time of their own. libfaketime leaves the files' times as they are."""
    clock = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    faked = ["env", *(f"{name}={value}" for name, value in clock.items()), "faketime", "-f", shift]
    (RECORDS / str(user.uid)).unlink()
    days = int(shift[:-1]) * 2880
    code = credential.code_of(credential.step() + days)
    assert verify(user.name, code, through=faked) == ACCEPTED
    assert is_certain(user)
    edit_in_place(settled)
    assert decides(user) == ASK
    assert gate(user.name, through=faked) == ASK
