# SPDX-License-Identifier: MIT
"""kill -9 at any moment: what is kept is what was or what was to be, whole, and never between.

All calls that save the files take less than a millisecond together, so that a kill by the clock
hardly ever comes between them: a command is killed in place of each of them, too.
"""

import itertools
import os
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyotp
import pytest

from tests.faults import command
from tests.faults.injection import Ended
from tests.faults.killer import Killer, Moment, When, temporary_files
from tests.faults.scenarios import Run, check_recovery_code, check_right_code
from tests.faults.sizes import SOAK, choose
from tests.faults.subject import Kept, Subject, is_whole_recovery_file
from tests.faults.test_system_calls import check_files
from tests.host.accounts import User
from tests.host.programs import VERIFY
from tests.host.saved_files import TRIED

KILLS_OF_ENROLL = choose(32, 250)
KILLS_OF_RENEWAL = choose(24, 250)
KILLS_OF_VERIFY = choose(24, 250)
# What the failing run printed, to run it again.
SEED = int(os.environ.get("PAM_TOTP_SEED", "0")) or random.SystemRandom().randrange(1 << 32)

pytestmark = pytest.mark.timeout(3600 if SOAK else 300)


@pytest.fixture
def subject(user: User) -> Iterator[Subject]:
    subject = Subject(user=user)
    subject.enroll()
    yield subject
    subject.forget()


def kill_at_each(plan: Sequence[When], run: Callable[[When], bool]) -> int:
    """Runs until each kill of the plan was in time; how many runs that took. run: whether it was.

    One that comes too late by the clock comes again after half the time: in the end before the
    program has begun.
    """
    runs = 0
    for number, when in enumerate(plan, 1):
        try:
            while not run(when):
                assert isinstance(when, float), "no kill in place of a call is too late"
                when, runs = when / 2, runs + 1
        except AssertionError as failure:
            again = f"tests/host/enter env PAM_TOTP_SEED={SEED} /usr/bin/python3 -m pytest"
            pytest.fail(f"kill {number}, {when}: {failure}\nthe same dice again: {again}")
    return runs + len(plan)


def seconds_of_login(subject: Subject, by_recovery_code: bool) -> float:
    subject.enroll()
    code = subject.recovery.codes[0] if by_recovery_code else subject.credential.code()
    started = time.monotonic()
    assert subject.verify(code).status == 0
    return time.monotonic() - started


def check_moment(when: When, before: Kept, after: Kept, folder: Path) -> None:
    """A kill in place of a call leaves what a clean run had made until then."""
    if isinstance(when, float):
        return
    assert (after.recovery != before.recovery) == ("recovery" in when.replaced)
    assert (after.secret != before.secret) == ("secret" in when.replaced)
    assert Counter(when.temporary) <= temporary_files(folder)


def states_of(plan: Sequence[When]) -> list[tuple[str, str]]:
    """Of the files at the kills in place of calls that change one: each once, as they came."""
    moments = [when for when in plan if isinstance(when, Moment) and when.changes]
    return [state for state, _ in itertools.groupby(moment.state for moment in moments)]


def told(plan: Sequence[When], file: str) -> str:
    """For the count."""
    moments = [when for when in plan if isinstance(when, Moment)]
    within = sum(bool(moment.temporary) for moment in moments)
    after = sum(file in moment.replaced for moment in moments)
    by_clock = f"{len(plan) - len(moments)} by the clock"
    return f"{within} while a file was written, {after} after the new {file}, {by_clock}"


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

    def run(when: When) -> bool:
        before = subject.kept()
        ended = enroll(when)
        after = subject.kept()
        assert ended.killed or ended.status == 0, ended.shown
        if after.secret != before.secret:
            made = re.sub(rb"&added=\w+", b"", after.secret or b"")
            assert made == ended.new_secret, "neither the old secret nor the new one"
        assert after.secret != before.secret or ended.killed, "nothing was saved"
        if after.recovery != before.recovery:
            assert is_whole_recovery_file(after.recovery or b""), "torn recovery codes"
        check_moment(when, before, after, folder)
        check_only_the_user_can_read(folder, subject.user.uid)
        check_login(subject)
        if len(ended.codes) == 10:
            assert subject.verify(ended.codes[-1]).status == 0, "a code that was shown is not kept"
        return ended.killed

    plan = enroll.plan(KILLS_OF_ENROLL, random.Random(SEED))
    runs = kill_at_each(plan, run)
    assert states_of(plan) == [
        *(("", ""), (f"{TRIED}.new", ""), (f"{TRIED}.new {TRIED}.new", "")),
        *((f"{TRIED} {TRIED}.new", ""), (f"{TRIED} {TRIED}", ""), (TRIED, ""), ("", "")),
        *(("recovery.new", ""), ("recovery.new secret.new", "")),
        *(("secret.new", "recovery"), ("", "recovery secret")),
    ]
    assert command.enroll(subject).status == 0
    assert {path.name for path in folder.iterdir()} == {".gitignore", "secret", "recovery"}
    count(f"enroll: {len(plan)} kills in {runs} runs, {told(plan, 'secret')}")


def test_a_killed_renewal_leaves_the_old_recovery_codes_or_the_new_ones_whole(
    subject: Subject, count: Callable[[str], None]
) -> None:
    renew, folder = Killer(command.renew, subject), subject.home("secret").parent

    def run(when: When) -> bool:
        before = subject.kept()
        ended = renew(when)
        after = subject.kept()
        assert ended.killed or ended.status == 0, ended.shown
        assert after.secret == before.secret, "the secret is another one"
        if after.recovery != before.recovery:
            assert is_whole_recovery_file(after.recovery or b""), "torn recovery codes"
        assert after.recovery != before.recovery or ended.killed, "nothing was saved"
        assert after.recovery != before.recovery or not ended.codes, "codes shown, and not kept"
        check_moment(when, before, after, folder)
        check_only_the_user_can_read(folder, subject.user.uid)
        check_login(subject)
        if len(ended.codes) == 10:
            assert subject.verify(ended.codes[-1]).status == 0, "a code that was shown is not kept"
        return ended.killed

    plan = renew.plan(KILLS_OF_RENEWAL, random.Random(SEED))
    runs = kill_at_each(plan, run)
    assert states_of(plan) == [
        *(("", ""), (f"{TRIED}.new", ""), (TRIED, ""), ("", "")),
        *(("recovery.new", ""), ("", "recovery")),
    ]
    assert command.renew(subject).status == 0
    assert {path.name for path in folder.iterdir()} == {".gitignore", "secret", "recovery"}
    count(f"recovery-codes: {len(plan)} kills in {runs} runs, {told(plan, 'recovery')}")


@pytest.mark.parametrize("by_recovery_code", [False, True], ids=["code", "recovery-code"])
def test_a_code_that_a_killed_login_used_up_stays_used(
    subject: Subject, count: Callable[[str], None], by_recovery_code: bool
) -> None:
    """By the clock alone: each of the calls is killed in test_system_calls.py."""
    seconds = min(seconds_of_login(subject, by_recovery_code) for _ in range(5))
    dice, spent_before, recorded = random.Random(SEED), subject.recovery.hashes[9], 0

    def run(when: When) -> bool:
        nonlocal recorded
        assert isinstance(when, float)
        subject.enroll()
        subject.write(subject.root("used"), f"{spent_before}\n")
        before, step = subject.kept(), subject.credential.step()
        code = subject.recovery.codes[0] if by_recovery_code else subject.credential.code_of(step)
        ended = killed_login(subject, code, when)
        after = subject.kept()
        check_files(subject, before, after)
        recorded += after.record != before.record or after.spent != before.spent
        assert subject.verify(subject.recovery.codes[9]).status != 0, "spent before, and good again"
        check = check_recovery_code if by_recovery_code else check_right_code
        check(Run(subject, ended, before, after, code, step))
        return ended.status == -9

    plan = [dice.uniform(0.001, 1.2 * seconds) for _ in range(KILLS_OF_VERIFY)]
    runs = kill_at_each(plan, run)
    which = "recovery code" if by_recovery_code else "code"
    count(f"verify, {which}: {len(plan)} kills in {runs} runs, {recorded} runs wrote a record")


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
