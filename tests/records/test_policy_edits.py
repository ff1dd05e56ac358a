# SPDX-License-Identifier: MIT
"""An edit of the settings applies from the next login on, whatever else happens."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.commands.commands import LAST_GOOD, configured, gate, mounted, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ASK, CONFIGURATION, NO_CODE_NEEDED, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog

EXEMPT, ASKED = "rules: [{code: never}]   \n", "rules: [{code: required}]\n"
ANSWERS = {EXEMPT: NO_CODE_NEEDED, ASKED: ASK}
EDITS = 60


def replace(text: str) -> None:
    """As careful editors save: the new file takes the name when it is whole."""
    new = CONFIGURATION.with_name("config.yaml.new")
    new.write_text(text, encoding="ascii")
    new.rename(CONFIGURATION)


def overwrite(text: str) -> None:
    """As others do: the same file, and here of the same size, written over in place."""
    with CONFIGURATION.open("r+", encoding="ascii") as file:
        file.write(text)


@contextmanager
def logins(user: User) -> Iterator[list[int]]:
    """Logins one after the other, in the background; the exit codes of their gates."""
    codes: list[int] = []
    ended = threading.Event()

    def log_in() -> None:
        while not ended.is_set():
            codes.append(gate(user).code)

    threads = [threading.Thread(target=log_in) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield codes
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("edit", [replace, overwrite])
def test_edit_under_load_applies_at_the_next_login(
    user: User, credential: Credential, edit: Callable[[str], None]
) -> None:
    assert len(EXEMPT) == len(ASKED)
    with configured(EXEMPT), logins(user) as codes:
        for number in range(EDITS):
            text = (ASKED, EXEMPT)[number % 2]
            edit(text)
            assert gate(user).code == ANSWERS[text], f"edit {number} did not apply"
    assert set(codes) <= {NO_CODE_NEEDED, ASK} and len(codes) > 10


def test_snapshot_is_whole_at_every_moment(user: User, credential: Credential) -> None:
    with configured(EXEMPT), logins(user):
        wholes = 0
        until = time.monotonic() + 3
        while time.monotonic() < until or wholes <= 50:  # the first login keeps the first one
            replace((EXEMPT, ASKED)[wholes % 2])
            if LAST_GOOD.exists():
                content = LAST_GOOD.read_bytes()
                assert content.startswith(b"pam-totp settings 1 ") and content.endswith(b"\nend\n")
                wholes += 1


def test_edit_applies_although_the_disk_is_full(user: User, credential: Credential) -> None:
    with configured(EXEMPT, settled=True), mounted(STATE, "size=8k,mode=700"):
        (STATE / "filling").write_bytes(bytes(os.statvfs(STATE).f_bavail * 4096))
        for text in (ASKED, EXEMPT, ASKED):
            replace(text)
            assert gate(user).code == ANSWERS[text]
        assert not LAST_GOOD.exists()


def test_snapshot_cut_short_is_not_believed(user: User, credential: Credential) -> None:
    with configured(ASKED, settled=True):
        assert gate(user).code == ASK
        whole = LAST_GOOD.read_bytes()
        for length in (len(whole) // 2, len(whole) - 5, whole.index(b"rules\n") + 6):
            LAST_GOOD.write_bytes(whole[:length])
            assert gate(user).code == ASK
            assert LAST_GOOD.read_bytes() == whole, "made anew"


def test_snapshot_that_others_may_write_is_not_believed(user: User, credential: Credential) -> None:
    with configured(ASKED, settled=True):
        gate(user)
        forged = LAST_GOOD.read_bytes().replace(b"required", b"never")
        for mode, owner in ((0o666, 0), (0o600, user.uid)):
            LAST_GOOD.write_bytes(forged)
            LAST_GOOD.chmod(mode)
            os.chown(LAST_GOOD, owner, 0)
            assert gate(user).code == ASK
            assert b"never" not in LAST_GOOD.read_bytes()


def test_policy_of_a_full_disk_outlives_a_mistake_and_the_log_says_that_it_is_not_kept(
    user: User, syslog: SystemLog
) -> None:
    required, mistake = "enrollment: required\n", "enrolment: required\n"
    with configured(EXEMPT, settled=True), mounted(STATE, "size=8k,mode=700"):
        (STATE / "filling").write_bytes(bytes(os.statvfs(STATE).f_bavail * 4096))
        for text in (required, mistake, ""):
            replace(text)
            assert gate(user).code == ASK, text
            assert verify(user, "123456").code == REFUSED
            detail = syslog.decisions()[-1]["detail"]
            assert "the settings cannot be kept: No space left" in detail or text != required, (
                detail
            )
        (STATE / "filling").unlink()
        assert gate(user).code == ASK
        assert LAST_GOOD.exists(), "kept as soon as there is room"
    assert not (RECORDS / "settings" / "last-good").exists()


@pytest.mark.parametrize("damage", ["writable", "torn", "not text", "a folder"])
def test_where_the_last_good_policy_cannot_be_read_a_mistake_exempts_nobody(
    user: User, damage: str
) -> None:
    with configured("enrollment: required\n", settled=True):
        assert gate(user).code == ASK
        if damage == "writable":
            LAST_GOOD.chmod(0o666)
        elif damage == "a folder":
            LAST_GOOD.unlink()
            LAST_GOOD.mkdir()
        else:
            LAST_GOOD.write_bytes(b"pam-totp settings 1 0" if damage == "torn" else b"\xff" * 99)
        replace("enrolment: required\n")
        assert gate(user).code == ASK
        if damage == "a folder":
            LAST_GOOD.rmdir()


def test_limits_of_the_caller_never_loosen_the_policy(user: User) -> None:
    """su and sudo pass on what `ulimit` took away."""
    rules = "".join(f"- {{user: person{number}, code: never}}\n" for number in range(3000))
    with configured(f"enrollment: required\nrules:\n{rules}"):
        # Around 16 MiB the interpreter starts, and what it imports then fails in many ways.
        for kilobytes in (*range(15800, 17400, 100), *range(20000, 40000, 2000)):
            LAST_GOOD.unlink(missing_ok=True)
            limit = ["prlimit", f"--as={kilobytes << 10}"]
            assert gate(user, limit).code != NO_CODE_NEEDED, kilobytes
        for descriptors in range(3, 9):
            LAST_GOOD.unlink(missing_ok=True)
            assert gate(user, ["prlimit", f"--nofile={descriptors}"]).code != NO_CODE_NEEDED
