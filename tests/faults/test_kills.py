# SPDX-License-Identifier: MIT
"""kill -9 at random moments: what is kept is what was or what was to be, whole, and never between.

A command is killed in turn by the clock once and twice in place of one of the system calls that
save its files, which all of them together take less than a millisecond.
"""

import itertools
import math
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyotp
import pytest

from tests.faults import command, injection
from tests.faults.command import Dialogue
from tests.faults.injection import KILL, Call, Ended, Error
from tests.faults.scenarios import Run, check_recovery_code, check_right_code
from tests.faults.sizes import SOAK, choose
from tests.faults.subject import Subject, is_whole_recovery_file
from tests.faults.test_system_calls import check_files
from tests.host.accounts import User
from tests.host.programs import VERIFY

KILLS_OF_ENROLL = choose(24, 250)
KILLS_OF_RENEWAL = choose(30, 250)
KILLS_OF_VERIFY = choose(80, 500)
# What the failing run printed, to run it again.
SEED = int(os.environ.get("PAM_TOTP_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
TRACE = "/tmp/trace-of-a-command"
# The calls that save a file, from its temporary name to its own.
SAVES = "openat,write,close,fsync,rename,renameat,renameat2,unlinkat"

pytestmark = pytest.mark.timeout(3600 if SOAK else 300)


@pytest.fixture
def subject(user: User) -> Iterator[Subject]:
    subject = Subject(user=user)
    subject.enroll()
    yield subject
    subject.forget()


def until_killed(times: int, run: Callable[[random.Random], bool]) -> int:
    """Runs until a kill was in time so many times; how many runs that took. run: whether it was."""
    killed = 0
    for number in itertools.count(1):
        try:
            killed += run(random.Random(SEED + number))
        except AssertionError as failure:
            again = f"tests/host/enter env PAM_TOTP_SEED={SEED} /usr/bin/python3 -m pytest"
            pytest.fail(f"run {number}: {failure}\nthe same dice again: {again}")
        if killed == times:
            return number
        assert number < 5 * times, f"of {number} kills only {killed} were in time"
    raise AssertionError


class Killer:
    """Runs a command and kills it, by the clock or at a system call on the user's files."""

    def __init__(self, run: Callable[..., Dialogue], subject: Subject) -> None:
        self._run, self._subject = run, subject
        self._seconds = min(seconds_of(run, subject) for _ in range(2))
        options = ["-qq", "-y", "-f", "-o", TRACE, "-e", f"trace={SAVES}"]
        ended = run(subject, ["/usr/bin/strace", *options])
        assert ended.status == 0, ended.shown
        calls = [call for call in injection.calls_in(TRACE) if "/.config" in call.line]
        first = next(number for number, call in enumerate(calls) if ".new-" in call.line)
        last = max(number for number, call in enumerate(calls) if call.name == "fsync")
        saving = calls[first : last + 1]
        self._calls = itertools.cycle(spread(saving))
        self._by_clock = itertools.cycle([True, False, False])

    def __call__(self, dice: random.Random) -> Dialogue:
        """Once, killed or too late for it."""
        if next(self._by_clock):
            return self._run(self._subject, kill_after=dice.uniform(0.001, self._seconds))
        fault = Error(next(self._calls), KILL)
        # Without -f: the count is of each process, and what checks the password must not be killed.
        options = ["-qq", "-o", "/dev/null", "-e", f"trace={fault.call.name}"]
        return self._run(self._subject, ["/usr/bin/strace", *options, "-e", fault.option])


def spread(calls: list[Call]) -> list[Call]:
    """All of them, so that the first few already come from the whole of it: a shuffle may leave out
    what comes after the new secret."""
    golden = round(len(calls) * 0.618)
    step = next(n for n in itertools.count(golden) if math.gcd(n, len(calls)) == 1)
    return [calls[(SEED + number * step) % len(calls)] for number in range(len(calls))]


def seconds_of(run: Callable[..., Dialogue], subject: Subject) -> float:
    started = time.monotonic()
    assert run(subject).status == 0
    return time.monotonic() - started


def seconds_of_login(subject: Subject) -> float:
    subject.enroll()
    started = time.monotonic()
    assert subject.verify(subject.credential.code()).status == 0
    return time.monotonic() - started


def temporary_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if ".new-" in path.name}


def check_only_the_user_can_read(folder: Path, uid: int) -> None:
    for path in folder.iterdir():
        status = path.stat()
        assert (status.st_mode & 0o777, status.st_uid) == (0o600, uid), path


def check_login(subject: Subject) -> None:
    """The active secret is accepted."""
    found = re.search(rb"secret=([A-Z2-7]+)", subject.kept().secret or b"")
    assert found
    subject.record_path.unlink(missing_ok=True)  # the secret may be one that was used just now
    code = pyotp.TOTP(found[1].decode()).generate_otp(int(time.time()) // 30)
    assert subject.verify(code).status == 0, "no code of the secret that is there is accepted"


def test_a_killed_enrollment_leaves_the_old_secret_or_the_new_one_whole(
    subject: Subject, count: Callable[[str], None]
) -> None:
    enroll, folder = Killer(command.enroll, subject), subject.home("secret").parent
    replaced = within = 0

    def run(dice: random.Random) -> bool:
        nonlocal replaced, within
        before, left = subject.kept(), temporary_names(folder)
        ended = enroll(dice)
        after = subject.kept()
        assert ended.killed or ended.status == 0, ended.shown
        within += not temporary_names(folder) <= left
        if after.secret != before.secret:
            assert after.secret == ended.new_secret, "neither the old secret nor the new one"
            replaced += 1
        assert after.secret != before.secret or ended.killed, "nothing was saved"
        assert after.recovery == before.recovery or is_whole_recovery_file(after.recovery or b"")
        check_only_the_user_can_read(folder, subject.user.uid)
        check_login(subject)
        if len(ended.codes) == 10:
            assert subject.verify(ended.codes[-1]).status == 0, "a code that was shown is not kept"
        return ended.killed

    runs = until_killed(KILLS_OF_ENROLL, run)
    assert within and replaced, "no kill came where it matters"
    assert command.enroll(subject).status == 0
    assert {path.name for path in folder.iterdir()} == {".gitignore", "secret", "recovery"}
    count(
        f"enroll: {KILLS_OF_ENROLL} kills in {runs} runs, "
        f"{within} while a file was written, {replaced} after the new secret"
    )


def test_a_killed_renewal_leaves_the_old_recovery_codes_or_the_new_ones_whole(
    subject: Subject, count: Callable[[str], None]
) -> None:
    renew, folder = Killer(command.renew, subject), subject.home("secret").parent
    replaced = within = 0

    def run(dice: random.Random) -> bool:
        nonlocal replaced, within
        before, left = subject.kept(), temporary_names(folder)
        ended = renew(dice)
        after = subject.kept()
        assert ended.killed or ended.status == 0, ended.shown
        within += not temporary_names(folder) <= left
        assert after.secret == before.secret, "the secret is another one"
        if after.recovery != before.recovery:
            assert is_whole_recovery_file(after.recovery or b""), "torn recovery codes"
            replaced += 1
        assert after.recovery != before.recovery or ended.killed, "nothing was saved"
        assert after.recovery != before.recovery or not ended.codes, "codes shown, and not kept"
        check_only_the_user_can_read(folder, subject.user.uid)
        check_login(subject)
        if len(ended.codes) == 10:
            assert subject.verify(ended.codes[-1]).status == 0, "a code that was shown is not kept"
        return ended.killed

    runs = until_killed(KILLS_OF_RENEWAL, run)
    assert within and replaced, "no kill came where it matters"
    assert command.renew(subject).status == 0
    assert {path.name for path in folder.iterdir()} == {".gitignore", "secret", "recovery"}
    count(
        f"recovery-codes: {KILLS_OF_RENEWAL} kills in {runs} runs, "
        f"{within} while the file was written, {replaced} after the new codes"
    )


def test_a_code_that_a_killed_login_used_up_stays_used(
    subject: Subject, count: Callable[[str], None]
) -> None:
    seconds = min(seconds_of_login(subject) for _ in range(5))
    spent_before, recorded = subject.recovery.hashes[9], 0

    def run(dice: random.Random) -> bool:
        nonlocal recorded
        subject.enroll()
        subject.write(subject.root("used"), f"{spent_before}\n")
        before, step = subject.kept(), subject.credential.step()
        by_recovery_code = dice.random() < 0.5
        code = subject.recovery.codes[0] if by_recovery_code else subject.credential.code_of(step)
        longer = 2 if by_recovery_code else 1.2
        ended = killed_login(subject, code, dice.uniform(0.001, longer * seconds))
        after = subject.kept()
        check_files(subject, before, after)
        recorded += after.record != before.record or after.spent != before.spent
        assert subject.verify(subject.recovery.codes[9]).status != 0, "spent before, and good again"
        check = check_recovery_code if by_recovery_code else check_right_code
        check(Run(subject, ended, before, after, code, step))
        return ended.status == -9

    runs = until_killed(KILLS_OF_VERIFY, run)
    count(f"verify: {KILLS_OF_VERIFY} kills in {runs} runs, {recorded} after a record was written")


def killed_login(subject: Subject, code: str, seconds: float) -> Ended:
    with subprocess.Popen(
        [VERIFY], env=subject.variables, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        process.stdin.write(code.encode())
        process.stdin.close()
        time.sleep(seconds)
        process.kill()
        return Ended(process.wait(), "")
