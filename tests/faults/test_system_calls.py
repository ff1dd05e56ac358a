# SPDX-License-Identifier: MIT
"""Every system call of gate and verify made to fail in turn, and the program killed there.

Whatever call fails, and wherever the program dies: nobody is accepted whose yes is not on record
already, no file is damaged, and the next login works.
"""

import os
import queue
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pam_totp.records.config.settings import UNSETTLED_SECONDS
from tests.faults import injection, sent_codes
from tests.faults.injection import ERRORS, KILL, NOT_THERE, Call, Error
from tests.faults.scenarios import SCENARIOS, TRIED_TWICE, Run, Scenario, matches, with_purpose
from tests.faults.sent_codes import SENDING, gateway
from tests.faults.sizes import SOAK
from tests.faults.subject import RUN, VAR, Kept, Record, Subject
from tests.host.accounts import add_user, remove_user
from tests.host.programs import VERIFY

CONFIGURATION = Path("/etc/pam-totp/config.yaml")
CLEAN_RUNS = 3
WORKERS = os.cpu_count() or 2
# The manual's words for these: "always successful". The kernel knows no way to fail them.
NEVER_FAIL = {"getegid", "geteuid", "getgid", "getpid", "gettid", "getuid", "set_tid_address"}
MIN_FAILING_CALLS = 40  # the shortest login, a gate's that asks, makes more of its own
# While the interpreter starts nothing of ours runs yet: two logins stand for all.
LOADING_IS_TRIED_IN = ("gate, enrolled", "verify, correct code")
# A name that is not there for once: with the secret in place, or the mark, it must not matter.
NAMES_ARE_DENIED_IN = ("gate, enrolled",)


@pytest.fixture(scope="module")
def subjects() -> Iterator[list[Subject]]:
    users = [add_user() for _ in range(WORKERS)]
    with gateway():
        yield [Subject(user=user) for user in users]
    for user in users:
        remove_user(user)


@pytest.fixture
def settings() -> Iterator[Callable[[str], None]]:
    """`settings("store: system")`: what the administrator's settings say during the test."""

    def choose(text: str) -> None:
        CONFIGURATION.write_text(f"{text}\n", encoding="ascii")
        time.sleep(UNSETTLED_SECONDS + 0.05)  # so that the first login's snapshot serves the next

    yield choose
    CONFIGURATION.unlink(missing_ok=True)
    for kept in (VAR, RUN):  # there, where a fault kept it from being here
        shutil.rmtree(kept / "settings", ignore_errors=True)


def first_and_last(calls: list[Call]) -> list[Call]:
    """Of calls that differ in numbers alone, the first and the last."""
    alike: dict[str, list[Call]] = {}
    for call in calls:
        alike.setdefault(re.sub(r"(?:0x)?[0-9a-f]*\d[0-9a-f]*", "", call.line), []).append(call)
    return [call for each in alike.values() for call in (each[0], each[-1])]


def faults_of(scenario: Scenario, calls: list[Call]) -> list[Error]:
    """What is tried: in `make soak` every error in place of every call."""
    faults = []
    is_whole = SOAK and not scenario.is_long
    chosen = set(first_and_last(calls) if scenario.is_thinned and not is_whole else calls)
    for number, call in enumerate(calls):
        if call not in chosen:
            continue
        if call.loading and scenario.name not in LOADING_IS_TRIED_IN and not SOAK:
            continue
        if not (SOAK or matches(scenario.only, call)):
            continue
        kinds: tuple[str, ...] = ("EIO", "EACCES")[number % 2 :][:1]
        if is_whole or (SOAK and not call.loading):
            kinds = ERRORS
        if scenario.name in NAMES_ARE_DENIED_IN and (SOAK or not call.loading):
            kinds += (NOT_THERE,)
        if call.name in NEVER_FAIL:
            kinds = ()
        faults += [Error(call, kind) for kind in (*kinds, KILL)]
        if matches((*scenario.must_refuse, *scenario.must_accept), call):
            faults.append(Error(call, "EACCES", lasting=True))
    return faults


def clean_runs(scenario: Scenario, subject: Subject) -> list[Call]:
    """The calls of the login when nothing fails."""
    runs = []
    for number in range(CLEAN_RUNS + 1):
        scenario.prepare(subject)
        step = subject.credential.step()
        typed = scenario.types(subject, step).encode()
        if number == 0:  # the first one after a change of the settings makes calls of its own
            clean = injection.run([scenario.program], subject.variables, typed)
            assert clean.status == scenario.clean_status, clean.output
        else:
            runs.append(injection.calls_of(scenario.program, subject.variables, typed))
    return with_purpose(injection.always_made(runs))


def try_fault(scenario: Scenario, fault: Error, subject: Subject) -> None:
    """One login with one fault. AssertionError if a claim does not hold."""
    scenario.prepare(subject)
    step, started = subject.credential.step(), time.monotonic()
    typed = scenario.types(subject, step)
    before = subject.kept()
    ended = injection.run_with(fault, scenario.program, subject.variables, typed.encode())
    after = subject.kept()
    assert ended.injected, "did not come to pass"
    if scenario.clean_status != 0:
        assert ended.status != 0, "accepted"
    if must_end(fault, scenario.must_refuse):
        assert ended.status != 0, "accepted"
    if must_end(fault, scenario.must_accept):
        assert ended.status == 0, "refused"
    check_files(subject, before, after)
    scenario.check(Run(subject, ended, before, after, typed, step, fault.call.line))
    assert time.monotonic() - started < 30, "too slow to say anything: codes change every 30 s"


def must_end(fault: Error, calls: tuple[str, ...]) -> bool:
    """Whether a fault is in one of these calls, and is not got over by making it again."""
    tried_again = fault.kind == "EINTR" or (
        fault.kind == "EACCES" and not fault.lasting and matches(TRIED_TWICE, fault.call)
    )
    return fault.kind != KILL and not tried_again and matches(calls, fault.call)


def check_files(subject: Subject, before: Kept, after: Kept) -> None:
    """What must hold whatever happened: nothing is torn, and nothing forgotten."""
    assert before.secret is None or after.secret == before.secret, "the secret is another one"
    assert before.secret is None or after.recovery == before.recovery, "the codes are others"
    assert after.marked or not before.marked, "the mark is gone"
    assert after.spent_hashes >= before.spent_hashes, "a used recovery code is forgotten"
    for identity, last in before.last_counters.items():
        assert after.last_counters.get(identity, -1) >= last, "a used counter is forgotten"
    steps = Record.parse(after.record or b"").steps
    for identity, step in Record.parse(before.record or b"").steps.items():
        assert steps.get(identity, -1) >= step, "a used step is forgotten"


@pytest.mark.timeout(3600 if SOAK else 600)  # 110 s on a machine of its own
@pytest.mark.parametrize("scenario", SCENARIOS + SENDING, ids=lambda scenario: scenario.name)
def test_no_failing_call_opens_or_spoils_or_blocks_a_login(
    scenario: Scenario,
    subjects: list[Subject],
    settings: Callable[[str], None],
    count: Callable[[str], None],
) -> None:
    settings(scenario.settings)
    for subject in subjects:
        subject.forget()
    calls = clean_runs(scenario, subjects[0])
    faults = faults_of(scenario, calls)
    failing = [fault.call for fault in faults if fault.kind != KILL]
    assert len(set(failing)) >= MIN_FAILING_CALLS
    assert scenario.void_patterns(failing) == []
    free: queue.SimpleQueue[Subject] = queue.SimpleQueue()
    for subject in subjects[:1] if scenario.alone else subjects:
        free.put(subject)

    def what_goes_wrong(fault: Error) -> str:
        subject = free.get()
        try:
            try_fault(scenario, fault, subject)
        except AssertionError as failure:
            return f"{str(failure).splitlines()[0]}: {fault}"
        finally:
            free.put(subject)
        return ""

    with ThreadPoolExecutor(1 if scenario.alone else WORKERS) as pool:
        found = [wrong for wrong in pool.map(what_goes_wrong, faults) if wrong]
    assert not found, f"{len(found)} of {len(faults)} faults:\n" + "\n".join(found[:40])
    count(f"{scenario.name}: {len(faults)} faults injected, in place of {len(calls)} calls")


def test_a_login_with_the_app_reads_the_secret_once_where_a_code_may_be_sent_too(
    subjects: list[Subject], settings: Callable[[str], None]
) -> None:
    subject = subjects[0]
    settings(sent_codes.SETTINGS)
    sent_codes.code_is_sent(subject)
    code = subject.credential.code_of(subject.credential.step()).encode()
    calls = injection.calls_of(VERIFY, subject.variables, code)
    opened = [call for call in calls if re.search(r'^openat\(.*/\.config/pam-totp>, "s', call.line)]
    assert len(opened) == 1
    assert any("/run/pam-totp/sent" in call.line for call in calls)


@pytest.mark.parametrize(
    ("name", "in_this_order"),
    [
        ("verify, correct code", [r"^pwrite64\(.*/run/pam-totp"]),
        (
            "verify, recovery code",
            [
                r"^write\(.*/used/\d+\.new-",
                r"^fsync\(.*/used/\d+\.new-",
                r"^rename",
                r"^fsync\(\d+</var/lib/pam-totp/used>",
            ],
        ),
        (
            "verify, code of a token",
            [
                r"^pwrite64\(.*/run/pam-totp",
                r"^write\(.*/counters/\d+\.new-",
                r"^fsync\(.*/counters/\d+\.new-",
                r"^rename",
                r"^fsync\(\d+</var/lib/pam-totp/counters>",
                r"^pwrite64\(.*/run/pam-totp",
            ],
        ),
        (
            "gate, granted once",
            [r"^unlinkat\(.*/grants>", r"^fsync\(\d+</var/lib/pam-totp/grants>"],
        ),
    ],
)
def test_what_a_yes_hangs_on_is_recorded_before_it_is_said(
    subjects: list[Subject], settings: Callable[[str], None], name: str, in_this_order: list[str]
) -> None:
    scenario = next(each for each in SCENARIOS if each.name == name)
    settings(scenario.settings)
    lines = iter([call.line for call in clean_runs(scenario, subjects[0])])
    for wanted in (*in_this_order, "/dev/log", "^exit_group"):
        assert any(re.search(wanted, line) for line in lines), f"no {wanted} after the one before"
