# SPDX-License-Identifier: MIT
"""The mark of a user who is certain to be asked, where verify is killed or its calls fail, and
where a grant comes at the same moment: a mark is whole and true, or not there."""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.commands.commands import pam_totp
from tests.faults import injection
from tests.faults.injection import KILL, Call, Error
from tests.faults.subject import Subject
from tests.host.accounts import User
from tests.host.programs import ASK, GATE, INTERPRETED, NO_CODE_NEEDED, VERIFY
from tests.login.marks import MARKS, is_certain, mark_of

CHANGES = re.compile(
    r"write|pwrite64|fsync|rename|unlink|mkdir|utimensat|sendto|exit_group|openat\(.*O_CREAT"
)
OF_MARKS = '/run/pam-totp(?:/certain|>, "certain")'


@pytest.fixture
def subject(user: User) -> Iterator[Subject]:
    subject = Subject(user=user)
    yield subject
    subject.forget()


def begin(subject: Subject, has_mark: bool) -> None:
    """Where the login with the fault begins; the same code is as good as new."""
    subject.enroll(recorded=False)
    shutil.rmtree(MARKS, ignore_errors=True)
    if has_mark:
        log_in(subject)
        assert is_certain(subject.user)


def log_in(subject: Subject) -> None:
    subject.record_path.unlink(missing_ok=True)
    assert subject.verify(subject.credential.code()).status == 0


def calls_to_try(subject: Subject, has_mark: bool, typed: str, pattern: str) -> list[Call]:
    """Of a clean run, those that matter here."""
    begin(subject, has_mark)
    subject.record_path.unlink(missing_ok=True)
    calls = injection.calls_of(VERIFY, subject.variables, typed.encode())
    return [call for call in calls if re.search(pattern, call.line)]


def check_mark(subject: Subject) -> None:
    """It is whole, and says the truth, which a gate that ignores it finds by itself."""
    mark = mark_of(subject.user)
    if mark.exists():
        assert re.fullmatch(rb"pam-totp certain 1 ask \d+ \S{36}(?: \d+){20}", mark.read_bytes())
        assert (mark.stat().st_mode & 0o777, mark.stat().st_uid) == (0o600, 0)
    if is_certain(subject.user):
        assert injection.run(INTERPRETED[GATE], subject.variables).status == ASK
    assert subject.gate().status == ASK


def check_next_logins(subject: Subject) -> None:
    log_in(subject)
    assert is_certain(subject.user)
    assert subject.verify(subject.incorrect_code).status != 0
    assert not is_certain(subject.user)


@pytest.mark.parametrize("has_mark", [False, True])
@pytest.mark.parametrize("is_correct", [True, False], ids=["correct", "incorrect"])
def test_verify_killed_at_any_change_of_a_file_leaves_a_true_mark_or_none(
    subject: Subject, count: Callable[[str], None], is_correct: bool, has_mark: bool
) -> None:
    def typed() -> str:
        return subject.credential.code() if is_correct else subject.incorrect_code

    calls = calls_to_try(subject, has_mark, typed(), rf"^(?:{CHANGES.pattern})")
    of_marks = [call for call in calls if re.search(OF_MARKS, call.line)]
    assert len(of_marks) >= (6 if is_correct > has_mark else 2 if has_mark > is_correct else 0)
    for call in calls:
        begin(subject, has_mark)
        subject.record_path.unlink(missing_ok=True)
        ended = injection.run_with(Error(call, KILL), VERIFY, subject.variables, typed().encode())
        assert ended.injected, call
        check_mark(subject)
    check_next_logins(subject)
    count(f"marks: {len(calls)} kills of verify")


@pytest.mark.parametrize("kind", ["EIO", "ENOSPC", "EACCES", "EMFILE"])
@pytest.mark.parametrize("is_correct", [True, False], ids=["correct", "incorrect"])
def test_call_for_a_mark_that_fails_changes_no_verdict(
    subject: Subject, is_correct: bool, kind: str
) -> None:
    def typed() -> str:
        return subject.credential.code() if is_correct else subject.incorrect_code

    has_mark = not is_correct
    calls = calls_to_try(subject, has_mark, typed(), OF_MARKS)
    assert len(calls) >= (8 if is_correct else 4)
    for call in calls:
        begin(subject, has_mark)
        subject.record_path.unlink(missing_ok=True)
        for lasting in (False, True) if call.name == "unlinkat" else (False,):
            fault = Error(call, kind, lasting=lasting)
            ended = injection.run_with(fault, VERIFY, subject.variables, typed().encode())
            assert ended.injected, fault
            assert (ended.status == 0) == is_correct, fault
        check_mark(subject)
    check_next_logins(subject)


def start_to_verify(subject: Subject, slow: str) -> "subprocess.Popen[bytes]":
    """The verifier with a correct code, which takes its time for each call of this name."""
    options = ["-qq", "-f", "-o", "/dev/null", "-e", f"trace={slow}"]
    inject = ["-e", f"inject={slow}:delay_enter=300000"]
    process = subprocess.Popen(
        ["/usr/bin/strace", *options, *inject, VERIFY],
        env=subject.variables,
        stdin=subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(subject.credential.code().encode())
    process.stdin.close()
    return process


@pytest.mark.parametrize("slow", ["pwrite64", "renameat", "fsync", "sendto"])
@pytest.mark.parametrize("after", [0.1, 0.4])
def test_grant_that_is_given_while_a_login_leaves_its_mark_counts(
    subject: Subject, slow: str, after: float
) -> None:
    begin(subject, has_mark=False)
    process = start_to_verify(subject, slow)
    time.sleep(after)
    given = pam_totp("grant", subject.user.name)
    assert process.wait(30) == 0
    assert given.code == 0
    assert subject.gate().status == NO_CODE_NEEDED


def test_grants_and_logins_at_once_neither_lose_a_grant_nor_fail(subject: Subject) -> None:
    begin(subject, has_mark=True)
    is_over, failures = threading.Event(), list[object]()

    def keep_logging_in() -> None:
        while not is_over.is_set():
            for typed in (subject.credential.code(), subject.incorrect_code):
                subject.verify(typed)
            subject.record_path.unlink(missing_ok=True)

    def keep_asking() -> None:
        while not is_over.is_set():
            if subject.gate().status not in (ASK, NO_CODE_NEEDED):
                failures.append("a gate that ended in another way")

    threads = [threading.Thread(target=each) for each in (keep_logging_in, keep_asking)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            given = pam_totp("grant", subject.user.name)
            if (given.code, subject.gate().status) != (0, NO_CODE_NEEDED):
                failures.append(given)
            ended = pam_totp("grant", subject.user.name, "--end")
            if (ended.code, subject.gate().status) != (0, ASK):
                failures.append(ended)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert failures == []


def test_reset_while_a_login_leaves_its_mark_is_consistent(subject: Subject) -> None:
    """Whichever is last: the mark never says more than the record of logins does."""
    for after in (0.1, 0.3, 0.6):
        begin(subject, has_mark=False)
        process = start_to_verify(subject, "renameat")
        time.sleep(after)
        assert pam_totp("reset", "--yes", subject.user.name).code == 0
        process.wait(30)
        gates = [injection.run(each, subject.variables) for each in ([GATE], INTERPRETED[GATE])]
        assert gates[0].status == gates[1].status


def test_of_logins_at_once_the_mark_is_whole(subject: Subject) -> None:
    begin(subject, has_mark=False)
    codes = [subject.credential.code(), *[subject.incorrect_code] * 3]
    for _ in range(4):
        subject.record_path.unlink(missing_ok=True)
        processes = [
            subprocess.Popen([VERIFY], env=subject.variables, stdin=subprocess.PIPE) for _ in codes
        ]
        for process, code in zip(processes, codes, strict=True):
            process.communicate(code.encode(), timeout=30)
        check_mark(subject)
    assert not list(MARKS.glob("*.new-*"))
