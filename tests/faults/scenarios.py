# SPDX-License-Identifier: MIT
"""The logins that faults are injected into, and what must hold after each, whatever happened."""

import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from tests.faults.injection import Call, Ended
from tests.faults.subject import RUN, VAR, Kept, Record, Subject, is_whole_recovery_file
from tests.host.programs import GATE, VERIFY


def calls_on(what: str, *names: str) -> tuple[str, ...]:
    """A pattern for each of these calls on what matches a regular expression."""
    return tuple(rf"^{name}\(.*{what}" for name in names)


# The calls that a yes hangs on, as strace shows them: each of these regular expressions has to
# match one of a clean run.
READS_USERS = calls_on("/etc/passwd", "openat", "read")
BECOMES_USER = ("^setgroups", "^setresgid", "^setresuid")
READS_HOME = (r"^(?!close).*/home/",)
READS_MARKS = (r"^(?!close).*/var/lib/pam-totp.*enforced",)
READS_SECRET = (*READS_USERS, *BECOMES_USER, *READS_HOME)
LOOKS_UP = (*READS_SECRET, *READS_MARKS)
# The C library reads 4096 bytes at a time, for less than a no.
OUR_GROUPS = calls_on(r"/etc/group.* (?!4096\))[0-9]+\)", "read")
RECORDS_STEP = calls_on(
    "/run/pam-totp(?!/settings)(?!.*certain)", "openat", "fcntl", "pread64", "pwrite64"
)
RECORDS_IN_ITS_FILE = (
    *calls_on("/run/pam-totp(?!/settings)", "fcntl", "pread64", "pwrite64"),
    r'^openat\(.*/run/pam-totp>, "[0-9]+"',
)
READS_PENDING = calls_on("/run/pam-totp/pending/", "openat", "read", "(?:new)?fstat(?:at)?")
SAVES_SECRET = calls_on(r"secret\.new-", "openat", "write", "fsync", r"rename\w*")
RECORDS_RECOVERY_CODE = calls_on(
    "/var/lib/pam-totp.*used", "openat", "write", "fsync", r"rename\w*"
)
RECORDS_COUNTER = calls_on("/var/lib/pam-totp.*counters", "openat", "write", "fsync", r"rename\w*")
USES_GRANT = calls_on("/var/lib/pam-totp.*grants", "openat", "read", "unlinkat", "fsync")
# What is tried once more after EACCES: with the user's other groups; a lock that is taken.
TRIED_TWICE = (*BECOMES_USER, *READS_HOME, "F_SETLK")
# What no correct code may fail for: the mark of an earlier login, the log.
SETS_MARK = (*READS_MARKS, r"^(?!close).*/dev/log")
# Nor the mark by which the next gate asks without an interpreter.
LEAVES_MARK = (*SETS_MARK, *calls_on("/run/pam-totp.*certain", "openat", "write", "renameat"))


@dataclass(frozen=True)
class Run:
    """One login with a fault: how it ended, what was kept before and after; `typed` is the code,
    and `step` the one it is of if it is the app's; failing: the call with the fault."""

    subject: Subject
    ended: Ended
    before: Kept
    after: Kept
    typed: str
    step: int
    failing: str = ""


@dataclass(frozen=True)
class Scenario:
    """A login. `clean_status` is that of a run without faults; where it is not 0 no fault may
    make it 0.

    prepare: brings a subject to where the login begins; types: the code, given the step of now.
    settings: of the administrator.
    must_refuse, must_accept: regular expressions for the calls of a clean run that decide: an
    error in place of one must end in a refusal, or must not.
    only: others for the calls that are tried, but in `make soak`; is_thinned: of those that differ
    in numbers alone, only the first and the last; is_long: loads more than other logins, so that
    `make soak` thins what it tries, too, and tries what loads with one error alone.
    check: what else must hold, and that the next logins are what they should be.
    """

    name: str
    program: str
    clean_status: int
    prepare: Callable[[Subject], None]
    check: Callable[[Run], None]
    types: Callable[[Subject, int], str] = lambda subject, step: ""
    must_refuse: tuple[str, ...] = ()
    must_accept: tuple[str, ...] = ()
    settings: str = "store: user"
    only: tuple[str, ...] = ("",)
    is_thinned: bool = False
    is_long: bool = False
    alone: bool = False  # changes what all users share: one run at a time

    def void_patterns(self, calls: Sequence[Call]) -> list[str]:
        """Those that match none of these calls, and so demand nothing."""
        patterns = (*self.must_refuse, *self.must_accept, *self.only)
        return [each for each in patterns if not any(matches((each,), call) for call in calls)]


def matches(patterns: Sequence[str], call: Call) -> bool:
    return any(re.search(pattern, call.line) for pattern in patterns)


def right_code(subject: Subject, step: int) -> str:
    return subject.credential.code_of(step)


def with_purpose(calls: list[Call]) -> list[Call]:
    """The same calls; those on root's folders say what in them they prepare to open."""
    told, purpose = [], ""
    for call in reversed(calls):
        found = re.search(r'openat\(\d+</(?:var/lib|run)/pam-totp>, "(\w+)"', call.line)
        purpose = f" (for {found[1]})" if found else purpose
        on_root_folder = re.search(r'/(?:var/lib|run)/pam-totp["> ]', call.line)
        told.append(replace(call, line=call.line + purpose) if on_root_folder else call)
    return told[::-1]


def check_asked(run: Run) -> None:
    assert run.subject.gate().status != 0, "the next gate does not ask"
    check_fresh_code(run)


def check_fresh_code(run: Run) -> None:
    """The next login with a correct code, which shares nothing with this one, is accepted."""
    fresh = run.subject.credential.code_of(run.step + 1)
    assert run.subject.verify(fresh).status == 0, "the next correct code is refused"


def check_right_code(run: Run) -> None:
    if run.ended.status == 0:
        recorded = Record.parse(run.after.record or b"").steps.get(run.subject.identity)
        assert recorded == run.step, "accepted, and the step is not recorded"
        assert run.subject.verify(run.typed).status != 0, "accepted twice with one code"
    check_fresh_code(run)


def code_of_token(subject: Subject, step: int) -> str:
    return subject.credential.code_of(9)


def check_code_of_token(run: Run) -> None:
    """Its counter is 9, two presses ahead."""
    subject = run.subject
    recorded = run.after.last_counters.get(subject.identity, -1)
    assert recorded in (9, run.before.last_counters.get(subject.identity, -1))
    if run.ended.status == 0:
        assert recorded == 9, "accepted, and the counter is not recorded"
    assert (subject.verify(run.typed).status == 0) is (recorded != 9), "good once, however often"
    assert subject.verify(run.typed).status != 0, "accepted twice with one code"
    assert subject.verify(subject.credential.code_of(8)).status != 0, "an earlier code is good"
    assert subject.verify(subject.credential.code_of(10)).status == 0, "the next one is refused"


def check_recovery_code(run: Run) -> None:
    recorded = run.subject.recovery.hashes[0] in run.after.spent_hashes
    if run.ended.status == 0:
        assert recorded, "accepted, and the recovery code is not recorded"
    again = run.subject.verify(run.typed).status
    assert (again == 0) is not recorded, "a recovery code is good once, however often it is tried"
    assert run.subject.verify(run.typed).status != 0, "a recovery code is good twice"
    assert run.subject.verify(run.subject.recovery.codes[1]).status == 0, "the next one is refused"
    check_fresh_code(run)


def check_granted(run: Run) -> None:
    if run.ended.status == 0:
        assert run.after.grant is None, "accepted, and the grant is still there"
    assert run.after.grant in (None, run.before.grant), "the grant is another one"
    if run.after.grant is not None:
        assert run.subject.gate().status == 0, "the grant is there and does not count"
    assert run.subject.gate().status != 0, "the grant counts twice"
    check_fresh_code(run)


def check_secret_gone(run: Run) -> None:
    assert run.subject.gate().status != 0, "the next gate does not ask"
    assert run.subject.verify(run.subject.credential.code_of(run.step)).status != 0


def check_not_enrolled(run: Run) -> None:
    assert run.subject.gate().status == 0, "the next gate asks somebody who is not enrolled"


def check_exempt(run: Run) -> None:
    assert run.subject.gate().status == 0, "the next gate asks somebody who is exempt"


def check_enrolled_at_login(run: Run) -> None:
    """What is saved is whole, and what was not saved can be tried again with the same QR code."""
    uri = run.subject.pending_uri
    if run.ended.status == 0:
        assert run.after.secret is not None, "accepted, and nothing is saved"
        recorded = Record.parse(run.after.record or b"").steps.get(run.subject.identity)
        assert recorded == run.step, "accepted, and the step is not recorded"
    if run.after.secret is not None:
        *_, line = run.after.secret.decode("ascii").splitlines()
        assert line == f"{uri} phone", "what is saved is not what was proved"
    if run.after.recovery is not None:
        assert is_whole_recovery_file(run.after.recovery), "torn recovery codes"
    check_fresh_code(run)


def enrolled_and_granted(subject: Subject) -> None:
    subject.enroll()
    subject.grant_once()


def secret_gone(subject: Subject) -> None:
    subject.enroll()
    subject.home("secret").unlink()


def first_login_after_boot(subject: Subject) -> None:
    subject.enroll(marked=False, recorded=False)
    for folder in (RUN, VAR / "enforced", VAR / "settings"):
        shutil.rmtree(folder, ignore_errors=True)


def first_login_of_system_store(subject: Subject) -> None:
    subject.enroll(marked=False, recorded=False, store="system")
    for folder in (VAR / "settings", RUN / "settings"):
        shutil.rmtree(folder, ignore_errors=True)


SCENARIOS = (
    Scenario("gate, enrolled", GATE, 1, Subject.enroll, check_asked),
    Scenario("gate, secret gone", GATE, 1, secret_gone, check_secret_gone),
    Scenario(
        *("gate, not enrolled", GATE, 0, Subject.forget, check_not_enrolled),
        must_refuse=LOOKS_UP,
    ),
    Scenario(
        *("gate, granted once", GATE, 0, enrolled_and_granted, check_granted),
        must_refuse=USES_GRANT,
    ),
    Scenario(
        *("verify, correct code", VERIFY, 0, Subject.enroll, check_right_code, right_code),
        must_refuse=(*READS_SECRET, *RECORDS_STEP),
        must_accept=LEAVES_MARK,
    ),
    Scenario(
        *("verify, first correct code", VERIFY, 0),
        lambda subject: subject.enroll(marked=False, recorded=False),
        *(check_right_code, right_code),
        must_refuse=(*READS_SECRET, *RECORDS_STEP),
        must_accept=LEAVES_MARK,
    ),
    Scenario(
        *("verify, incorrect code", VERIFY, 1, Subject.enroll, check_fresh_code),
        lambda subject, step: subject.incorrect_code,
    ),
    Scenario(
        *("verify, recovery code", VERIFY, 0, Subject.enroll, check_recovery_code),
        lambda subject, step: subject.recovery.codes[0],
        must_refuse=(*READS_SECRET, *RECORDS_RECOVERY_CODE),
        must_accept=SETS_MARK,
    ),
    Scenario(
        *("verify, code of a token", VERIFY, 0, Subject.enroll_token, check_code_of_token),
        code_of_token,
        must_refuse=(*READS_SECRET, *RECORDS_STEP, *RECORDS_COUNTER),
        must_accept=LEAVES_MARK,
    ),
    Scenario(
        *("verify, first code of a token", VERIFY, 0),
        lambda subject: subject.enroll_token(recorded=False),
        *(check_code_of_token, code_of_token),
        must_refuse=(*READS_SECRET, *RECORDS_STEP, *RECORDS_COUNTER),
        must_accept=LEAVES_MARK,
    ),
    Scenario(
        *("gate, exempt by a rule", GATE, 0, Subject.enroll, check_exempt),
        must_refuse=OUR_GROUPS,
        settings="rules:\n- {group: 'alice*', code: never}\n- {code: required}",
    ),
    Scenario(
        *("gate, asked by a rule", GATE, 1, Subject.enroll, check_asked),
        settings="rules:\n- {group: 'alice*', code: required}\n- {code: never}",
    ),
    Scenario(
        *("verify, first code at the login", VERIFY, 0, Subject.offer, check_enrolled_at_login),
        right_code,
        must_refuse=(
            *(rf"{each}/\d" for each in RECORDS_STEP),
            *(*READS_USERS, *READS_PENDING, *SAVES_SECRET),
        ),
        settings="enrollment: at-login",
        # What other logins do too, such as the way to the folder and the settings, is tried there.
        only=(
            *(r"/run/pam-totp/(?:pending|\d)", r"\.new-", r"^(?:mkdir|flock|unlinkat|fsync)\("),
            *(r"enforced>", "/dev/log", *READS_USERS, *BECOMES_USER),
        ),
        is_thinned=True,
    ),
    Scenario(
        *("gate, store: system", GATE, 1),
        *(lambda subject: subject.enroll(store="system"), check_asked),
        settings="store: system",
    ),
    Scenario(
        *("verify, correct code, store: system", VERIFY, 0),
        lambda subject: subject.enroll(store="system"),
        *(check_right_code, right_code),
        must_refuse=("/var/lib/pam-totp/secrets", *RECORDS_STEP),
        must_accept=LEAVES_MARK,
        settings="store: system",
    ),
    Scenario(
        *("gate, store: system, settings not read before", GATE, 1),
        *(first_login_of_system_store, check_asked),
        settings="store: system",
        alone=True,
    ),
    Scenario(
        *("verify, first correct code after a boot, settings not read before", VERIFY, 0),
        *(first_login_after_boot, check_right_code, right_code),
        # The settings are looked for in that folder too, and can do without it.
        must_refuse=(*READS_SECRET, *RECORDS_IN_ITS_FILE),
        must_accept=LEAVES_MARK,
        alone=True,
    ),
)
