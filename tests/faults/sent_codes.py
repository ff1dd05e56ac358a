# SPDX-License-Identifier: MIT
"""Logins with a code that is sent, into which faults are injected: what they begin with, set by
hand, and what must hold after each."""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.injection import Ended, run
from tests.faults.scenarios import (
    READS_USERS,
    RECORDS_IN_ITS_FILE,
    SETS_MARK,
    Run,
    Scenario,
    calls_on,
    check_fresh_code,
)
from tests.faults.subject import RUN, Record, Subject
from tests.host.programs import GATE, VERIFY

GATEWAY, GIVEN = Path("/usr/local/sbin/gateway"), Path("/var/tmp/given-to-the-gateway")
# Writes down what it is given, for each user; it starts no other program.
PROGRAM = f"""#!/bin/sh
read -r line
user=${{line#*\\"user\\": \\"}}
printf '%s\\n' "$line" >>{GIVEN}/${{user%%\\"*}}
"""
SETTINGS = (
    f"send: {{sms: {GATEWAY}, user_limit: 100, host_limit: 3000}}\n"
    "rules: [{code: required, methods: [sms, totp]}]"
)
NUMBER, CODE, INCORRECT, NEXT = "+491701234567", "40712938", "40712939", "81726354"
KEPT_SECONDS = 300
NOT_SENT = "No code could be sent"

FINDS_CODE = (
    *calls_on(r'/run/pam-totp(?:>, "sent"|/sent>, "\d+", O_RDONLY)', "openat"),
    *calls_on(r"/run/pam-totp/sent/\d+>", "read"),
    *calls_on("/proc/[0-9]+/stat", "openat", "read"),
)
CONFIRMS = calls_on("/var/lib/pam-totp.*contacts", "openat", "read", "write", "fsync", "renameat")
# What other logins do too, such as the way to the folder and the settings, is tried there.
OF_SENDING = (
    *(r"/run/pam-totp.*\bsent", r"/run/pam-totp.*sendings", "/var/lib/pam-totp.*contacts"),
    *("/proc/[0-9]+/stat", "/dev/log", str(GATEWAY), r"^(?:clone|vfork|execve|pipe2|p?select)"),
    *(r"^(?:alarm|setsid|flock)\(", r"^write\([14]<pipe"),
)
OF_RECORDS = ("/run/pam-totp", "/proc/[0-9]+/stat", "/dev/log", *READS_USERS)


@contextmanager
def gateway() -> Iterator[None]:
    """A program of root's that sends, and forgets nothing."""
    GATEWAY.write_text(PROGRAM)
    GATEWAY.chmod(0o755)
    GIVEN.mkdir()
    GIVEN.chmod(0o777)
    try:
        yield
    finally:
        GATEWAY.unlink()
        shutil.rmtree(GIVEN)


def sent(subject: Subject) -> Path:
    return RUN / "sent" / str(subject.user.uid)


def codes_given(subject: Subject) -> list[str]:
    """All that were handed over for this user, the oldest first."""
    path = GIVEN / subject.user.name
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["code"] for line in lines]


def contact(subject: Subject, confirmed: int = 1) -> None:
    """Enrolled, with a number to which codes are sent; none was sent yet."""
    subject.enroll()
    sendings = RUN / "sendings"
    for path in (sendings / str(subject.user.uid), sendings / "host", sent(subject)):
        path.unlink(missing_ok=True)
    (GIVEN / subject.user.name).unlink(missing_ok=True)
    record = f"pam-totp contacts 1 {subject.user.name}\nsms {NUMBER} {confirmed}\n"
    subject.write(subject.root("contacts"), record)


def code_is_sent(subject: Subject, confirmed: int = 1) -> None:
    """For a login of this process."""
    contact(subject, confirmed)
    keep(subject, CODE)


def code_is_sent_at_first(subject: Subject) -> None:
    """The same, and it is to prove that codes arrive there."""
    code_is_sent(subject, confirmed=0)


def keep(subject: Subject, code: str) -> None:
    """As if this code had been sent for a login of this process."""
    login, until = login_of(subject), int(time.clock_gettime(time.CLOCK_BOOTTIME)) + KEPT_SECONDS
    kept = hashlib.sha256(f"{login}\0{code}".encode()).hexdigest()
    subject.write(sent(subject), f"{login} {until} sms {kept}\n")
    RUN.chmod(0o700)


def login_of(subject: Subject) -> str:
    """How root's record names a login of this process, over ssh without an address."""
    with open("/proc/self/stat") as file:
        began = file.read().rpartition(")")[2].split()[19]
    user, process = subject.user, str(os.getpid())
    parts = ["pam-totp sent 1", user.name, str(user.uid), "sshd", "", "", "", "", process, began]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def gate(subject: Subject) -> Ended:
    return run([GATE], subject.variables, subject.user.password.encode())


def check_next_login(run: Run, code: str) -> None:
    """The next code that is sent is accepted once, and so is the next one of the app."""
    subject = run.subject
    check_once(subject, code, "the next code that is sent")
    record = subject.root("contacts").read_text()
    found = re.fullmatch(rf"pam-totp contacts 1 \w+\nsms \{NUMBER} (\d+)\n", record)
    assert found, f"torn record of contacts: {record!r}"
    assert found[1] != "0", "the next correct code does not confirm the contact"
    check_fresh_code(run)


def check_once(subject: Subject, code: str, what: str) -> None:
    assert subject.verify(code).status == 0, f"{what} is refused"
    assert subject.verify(code).status != 0, f"{what} is good twice"


def check_sending(run: Run) -> None:
    """What has been handed over when strace ends is good, and nothing was counted as a try."""
    failures = (Record.parse(each.record or b"").failures for each in (run.before, run.after))
    assert len(set(failures)) == 1, "counted as an incorrect code"
    given = codes_given(run.subject)
    # Of a verifier, and where no other program can begin, the log alone says it.
    is_said = given or NOT_SENT in run.ended.output or "on its way" in run.ended.output
    is_said = is_said or run.typed == "sms"
    assert run.ended.status < 0 or is_said or "execve(" in run.failing, "does not say why"
    for code in given:
        check_once(run.subject, code, "a code that was handed over")
    check_next_login(run, next_code(run.subject))


def next_code(subject: Subject) -> str:
    """Sent for another login."""
    before = len(codes_given(subject))
    shown = gate(subject)
    assert shown.status != 0, "the next gate does not ask"
    assert "on its way" in shown.output, f"the next login is sent no code: {shown.output}"
    until = time.monotonic() + 10
    while len(codes_given(subject)) == before:
        assert time.monotonic() < until, "the next code does not arrive"
        time.sleep(0.005)
    return codes_given(subject)[-1]


def check_sent_code(run: Run) -> None:
    again = run.subject.verify(run.typed).status
    assert run.ended.status != 0 or again != 0, "accepted twice with one code"
    assert run.subject.verify(run.typed).status != 0, "accepted twice with one code"
    keep(run.subject, NEXT)
    check_next_login(run, NEXT)


def check_incorrect(run: Run) -> None:
    check_next_login(run, CODE)


SENDING = (
    Scenario(
        *("gate, a code is sent", GATE, 1, contact, check_sending),
        lambda subject, step: subject.user.password,
        settings=SETTINGS,
        only=OF_SENDING,
        is_thinned=True,
        is_long=True,
    ),
    Scenario(
        *("verify, a code is asked for", VERIFY, 1, code_is_sent, check_sending),
        lambda subject, step: "sms",
        settings=SETTINGS,
        only=OF_SENDING,
        is_thinned=True,
        is_long=True,
    ),
    Scenario(
        *("verify, code that was sent", VERIFY, 0, code_is_sent, check_sent_code),
        lambda subject, step: CODE,
        must_refuse=(*READS_USERS, *FINDS_CODE, *RECORDS_IN_ITS_FILE),
        must_accept=SETS_MARK,
        settings=SETTINGS,
        only=(*OF_RECORDS, "enforced"),
    ),
    Scenario(
        *("verify, first code that was sent", VERIFY, 0, code_is_sent_at_first, check_sent_code),
        lambda subject, step: CODE,
        must_refuse=(*READS_USERS, *FINDS_CODE, *RECORDS_IN_ITS_FILE),
        must_accept=(*SETS_MARK, *CONFIRMS),
        settings=SETTINGS,
        only=(*OF_RECORDS, "enforced", "contacts"),
    ),
    Scenario(
        *("verify, incorrect code that was sent", VERIFY, 1, code_is_sent, check_incorrect),
        lambda subject, step: INCORRECT,
        settings=SETTINGS,
        only=OF_RECORDS,
    ),
)
