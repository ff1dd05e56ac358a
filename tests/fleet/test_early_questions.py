# SPDX-License-Identifier: MIT
"""The launcher asks the agent what gate or verify will ask, while Python starts."""

import os
import posix
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.records.host import agent
from pam_totp.records.user import sent
from pam_totp.rules import agent_line
from tests.fleet.database import Database, Person, wait_until
from tests.fleet.login_host import HOST, SETTINGS, SOCKET, LoginHost
from tests.fleet.test_agent import check
from tests.fleet.test_early_calls import call_early, question, take
from tests.host.accounts import User
from tests.host.phone import Phone
from tests.host.programs import (
    ACCEPTED,
    ASK,
    CONFIGURATION,
    GATE,
    RECORDS,
    REFUSED,
    VERIFY,
    run_as_pam_exec,
)
from tests.host.system_log import SystemLog
from tests.login.test_launcher import sanitized
from tests.sending.application import Application

TRIES = "SELECT count(*) FROM totp.attempt"
SENT = RECORDS / "sent"
MARKS = RECORDS / "store"
ACCOUNTS = Path("/etc/passwd")
SETTLED_SECONDS = 0.2  # a file of settings that was changed a moment before is not gone by
# What a line is sent by, and what the interpreter begins with.
CALLS = re.compile(
    r'^(?:\d+ +)?(?:(sendto)\(\d+, "(.*?)\\n"|(execve)\("/usr/bin/python3")', re.MULTILINE
)


@pytest.fixture(autouse=True)
def no_code_was_sent() -> None:
    """As after a boot."""
    shutil.rmtree(SENT, ignore_errors=True)


@pytest.fixture
def person(database: Database) -> Person:
    return database.person()


@pytest.fixture
def known(login_host: LoginHost, user: User) -> Person:
    """The user of a host that knows that it is in a fleet."""
    person = login_host.enroll(user)
    learn(user)
    return person


def learn(user: User) -> None:
    """The first login after an edit writes the snapshot of the settings, the next one leaves the
    user's mark for them."""
    time.sleep(SETTLED_SECONDS)
    for _ in range(2):
        assert run_as_pam_exec(VERIFY, user.name, "no code").returncode == REFUSED


def asked_early(trace: Path) -> list[str]:
    """The lines that the launcher sent, without what may be in them of the user's."""
    found = CALLS.findall(trace.read_text(encoding="utf-8"))
    names = [call or execve for call, _, execve in found]
    until = names.index("execve")
    return [line.split("\\0")[0] for _, line, _ in found[:until]]


def traced(program: str, user: User, typed: str, trace: Path) -> tuple[int, list[str]]:
    """The exit code, and which lines the launcher sent."""
    through = ["strace", "-f", "-s", "800", "-e", "trace=sendto,execve", "-o", str(trace)]
    done = run_as_pam_exec(program, user.name, typed, through=through)
    return done.returncode, asked_early(trace)


def test_what_is_asked_is_asked_before_python_starts_and_once(
    login_host: LoginHost, user: User, known: Person, now: float, tmp_path: Path
) -> None:
    tries = login_host.database.value(TRIES)
    assert traced(GATE, user, "", tmp_path / "gate") == (ASK, ["standing"])
    code = known.code(now)
    assert traced(VERIFY, user, code, tmp_path / "verify") == (ACCEPTED, ["check"])
    assert login_host.database.value(TRIES) == tries + 1
    assert traced(VERIFY, user, code, tmp_path / "again") == (REFUSED, ["check"])
    incorrect = known.incorrect_code(now)
    assert traced(VERIFY, user, incorrect, tmp_path / "incorrect") == (REFUSED, ["check"])


def test_a_code_is_not_sent_before_a_login_has_found_the_store(
    login_host: LoginHost, user: User, now: float, tmp_path: Path
) -> None:
    code = login_host.enroll(user).code(now)
    assert traced(VERIFY, user, code, tmp_path / "trace") == (ACCEPTED, [])


def store_of_users(_user: User) -> None:
    CONFIGURATION.write_text("store: user\n", encoding="ascii")


def edit(_user: User) -> None:
    """Also one that changes nothing else."""
    CONFIGURATION.write_text(f"# {time.time()}\n{SETTINGS}", encoding="ascii")


def send_codes(_user: User) -> None:
    """To anybody, once since the host was started."""
    SENT.mkdir(mode=0o700)


def another_boot(user: User) -> None:
    mark = MARKS / user.name
    words = mark.read_text().split(" ")
    words[5] = "0" * len(words[5])
    mark.write_text(" ".join(words))


def mark_of_others(user: User) -> None:
    os.chown(MARKS / user.name, user.uid, user.gid)


def mark_of_nobody(user: User) -> None:
    (MARKS / user.name).rename(MARKS / "fleet")


@pytest.mark.parametrize(
    "change", [store_of_users, edit, send_codes, another_boot, mark_of_others, mark_of_nobody]
)
def test_a_code_is_sent_early_only_where_verify_would_send_it(
    login_host: LoginHost,
    user: User,
    known: Person,
    now: float,
    tmp_path: Path,
    change: Callable[[User], None],
) -> None:
    tries = login_host.database.value(TRIES)
    try:
        change(user)
        _, asked = traced(VERIFY, user, known.code(now), tmp_path / "trace")
    finally:
        if change is send_codes:
            SENT.rmdir()
        (MARKS / "fleet").unlink(missing_ok=True)
        (MARKS / user.name).unlink(missing_ok=True)
    assert asked == []
    if change is store_of_users:
        assert login_host.database.value(TRIES) == tries


@pytest.fixture
def accounts() -> Iterator[Path]:
    """The file of the accounts, which is put back."""
    before = ACCOUNTS.read_bytes()
    yield ACCOUNTS
    ACCOUNTS.write_bytes(before)


def tries_of(login_host: LoginHost, name: str) -> int:
    return int(login_host.database.value(f"{TRIES} WHERE person = %s", name))


def test_the_store_is_not_asked_about_users_without_an_account_here(
    login_host: LoginHost, user: User, known: Person, person: Person, now: float, tmp_path: Path
) -> None:
    """It may know them from other hosts, where such a try would keep them waiting."""
    nobody = User(person.name, "", 0, 0, tmp_path)
    code, incorrect = person.code(now), person.incorrect_code(now)
    assert traced(GATE, nobody, "", tmp_path / "gate") == (ASK, [])
    for typed in (code, *[incorrect] * 3):
        assert traced(VERIFY, nobody, typed, tmp_path / "verify") == (REFUSED, [])
    assert tries_of(login_host, person.name) == 0
    assert check(person, code) == "totp"


def test_the_store_is_not_asked_by_another_name_of_an_account(
    login_host: LoginHost,
    user: User,
    known: Person,
    person: Person,
    now: float,
    tmp_path: Path,
    accounts: Path,
) -> None:
    """That may be somebody else's name in the store."""
    line = f"{person.name}:x:{user.uid}:{user.gid}::{user.home}:/bin/bash\n"
    accounts.write_text(accounts.read_text() + line)
    alias = User(person.name, "", user.uid, user.gid, user.home)
    learn(alias)
    assert traced(GATE, alias, "", tmp_path / "gate") == (ASK, [])
    assert traced(VERIFY, alias, known.code(now), tmp_path / "verify") == (ACCEPTED, [])
    assert tries_of(login_host, person.name) == 0


def test_the_mark_of_an_account_that_is_gone_is_taken_away(
    login_host: LoginHost, user: User, known: Person, person: Person, now: float, tmp_path: Path
) -> None:
    """As a directory forgets one: no file of this host says so."""
    nobody = User(person.name, "", 0, 0, tmp_path)
    mark = MARKS / person.name
    mark.write_bytes((MARKS / user.name).read_bytes())
    run_as_pam_exec(VERIFY, person.name, "")
    assert not mark.exists()
    assert traced(VERIFY, nobody, person.code(now), tmp_path / "trace") == (REFUSED, [])


@pytest.mark.parametrize("name", ["", ".", "..", "../store/{}", "x" * 300, "\udcff\udcfe"])
def test_no_name_makes_or_takes_away_a_mark_that_is_not_its_own(
    login_host: LoginHost, user: User, known: Person, name: str
) -> None:
    before = sorted(RECORDS.rglob("*"))
    assert run_as_pam_exec(VERIFY, name.format(user.name), "123456").returncode == REFUSED
    assert sorted(RECORDS.rglob("*")) == before


SLOW_SECONDS = 1.4  # of those that the agent waits for a line


def test_a_code_that_comes_late_is_asked_about_in_the_whole_time(
    login_host: LoginHost, user: User, known: Person, now: float
) -> None:
    """By a call of its own, as the agent would soon give the launcher's up: the store may be slow,
    too, and a code is sent once."""
    environment = {"PAM_USER": user.name, "PAM_SERVICE": "sshd", "PAM_TYPE": "auth"}
    code = known.code(now).encode()
    row = "SELECT FROM totp.person WHERE name = %s FOR UPDATE"
    with login_host.database.superuser() as other, other.transaction():
        other.execute(row, [user.name])
        verifier = subprocess.Popen([VERIFY], env=environment, stdin=subprocess.PIPE)
        assert verifier.stdin
        verifier.stdin.write(code[:3])
        verifier.stdin.flush()
        time.sleep(SLOW_SECONDS)
        verifier.stdin.write(code[3:])
        verifier.stdin.close()
        time.sleep(0.4)  # as long as a lock is waited for, at most
    assert verifier.wait() == ACCEPTED


def test_a_part_of_what_is_typed_is_no_code(
    login_host: LoginHost, user: User, known: Person, now: float
) -> None:
    """As where the rest cannot be read."""
    tries = tries_of(login_host, user.name)
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.write(writer, known.code(now).encode())
    done = run_as_pam_exec(VERIFY, user.name, stdin=reader)
    os.close(reader)
    os.close(writer)
    assert done.returncode == REFUSED
    assert tries_of(login_host, user.name) == tries


def test_what_is_typed_is_left_to_python_where_there_is_no_pipe(
    user: User, known: Person, now: float
) -> None:
    code = known.code(now)
    through = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=pipe,pipe2:error=EMFILE:when=1",
    ]
    assert run_as_pam_exec(VERIFY, user.name, code, through=through).returncode == ACCEPTED


ODD = {
    "nothing": "",
    "spaces": "{code:.3} {more}",
    "a line end": "{code}\n",
    "a NUL": "{code}\0",
    "two NULs": "{code}\0\0",
    "something behind a NUL": "{code}\0{code}",
    "five digits": "12345",
    "nine digits": "123456789",
    "letters": "abcdef",
    "digits of another script": "١٢٣٤٥٦",
    "as long as is read": "7" * 512,
    "longer": "7" * 5000,
    "bytes": "\udcff\udcfe",
}


@pytest.mark.parametrize("typed", ODD.values(), ids=ODD)
def test_what_is_typed_is_judged_alike_whoever_reads_it_first(
    user: User, known: Person, now: float, syslog: SystemLog, typed: str
) -> None:
    answers = []
    for steps, is_early in ((0, False), (1, True)):
        if is_early:
            learn(user)
        else:
            (MARKS / user.name).unlink()
        syslog.clear()
        code = known.code(now, steps)
        given = typed.format(code=code, more=code[3:]).encode("utf-8", "surrogateescape")
        done = run_as_pam_exec(VERIFY, user.name, given)
        (decision,) = syslog.decisions()
        answers.append((done.returncode, done.stdout, decision["reason"], decision.get("detail")))
    assert answers[0] == answers[1]


def test_sanitizers_find_nothing_whatever_is_typed(
    user: User, known: Person, now: float, tmp_path: Path
) -> None:
    """It starts the installed program then: only what was typed goes through both."""
    launcher = str(sanitized("verify", tmp_path))
    ends = {}
    for what, typed in ODD.items():
        given = typed.format(code=known.code(now), more="").encode("utf-8", "surrogateescape")
        done = run_as_pam_exec(launcher, user.name, given)
        ends[what] = (done.returncode, done.stderr)
    assert ends.pop("a NUL") == (ACCEPTED, b"")
    assert set(ends.values()) == {(REFUSED, b"")}, ends


def test_a_recovery_code_is_accepted_where_codes_are_sent_early(
    login_host: LoginHost, user: User, known: Person, tmp_path: Path
) -> None:
    made = "SELECT totp_admin_1.new_recovery_codes(%s)"
    code = login_host.database.value(made, known.name)[0]
    assert traced(VERIFY, user, code, tmp_path / "trace") == (ACCEPTED, [])


def test_a_code_that_is_sent_to_the_user_meanwhile_costs_no_second_try(
    login_host: LoginHost, user: User, known: Person, now: float, tmp_path: Path
) -> None:
    """For another login, after the launcher has looked: the answer is taken all the same."""
    tries = tries_of(login_host, user.name)
    trace = tmp_path / "trace"
    delay = ["-e", "trace=sendto,execve", "-e", "inject=execve:delay_enter=500000:when=2"]
    variables = {"PAM_USER": user.name, "PAM_SERVICE": "sshd", "PAM_TYPE": "auth"}
    command = ["strace", "-f", "-qq", "-s", "800", *delay, "-o", str(trace), VERIFY]
    verifier = subprocess.Popen(command, env=variables, stdin=subprocess.PIPE)
    assert verifier.stdin
    verifier.stdin.write(known.code(now).encode())
    verifier.stdin.close()
    wait_until(lambda: tries_of(login_host, user.name) > tries)
    sent.keep(user.uid, "0" * 64, "sms", "12345678")
    assert verifier.wait() == ACCEPTED
    assert asked_early(trace) == ["check"]
    assert tries_of(login_host, user.name) == tries + 1


def test_a_first_code_enrolls_where_it_is_sent_early(
    login_host: LoginHost, user: User, now: float, tmp_path: Path
) -> None:
    may = "UPDATE totp.host SET may_enroll = %s WHERE name = %s"
    login_host.database.admin.execute(may, [True, HOST])
    login_host.restart()
    CONFIGURATION.write_text("store: postgresql\nenrollment: at-login\n", encoding="ascii")
    try:
        learn(user)
        with Application(user) as application:
            code = Phone(user).type_code(application.gate().output)
        assert traced(VERIFY, user, code, tmp_path / "trace") == (ACCEPTED, ["check"])
        assert traced(VERIFY, user, code, tmp_path / "again") == (REFUSED, ["check"])
    finally:
        login_host.database.admin.execute(may, [False, HOST])


def test_the_answer_is_taken_only_to_the_very_line(
    login_host: LoginHost, person: Person, now: float
) -> None:
    """Each field is another one once."""
    asked = question(person, person.incorrect_code(now))
    yes = agent_line.encode(agent_line.OK, True, "totp", "phone", 0, 0, "")
    for place in range(len(asked)):
        ours, theirs = socket.socketpair()
        theirs.send(yes)
        other = "standing" if place == 0 else f"{asked[place]}1"
        take(ours.detach(), (*asked[:place], other, *asked[place + 1 :]))
        assert check(person, asked[2]) in ("wrong-code", "throttled")
        with pytest.raises(ConnectionResetError):  # closed: the answer unread, nothing written
            theirs.recv(1)
        theirs.close()


def test_the_answer_to_a_line_that_was_sent_is_waited_for_and_not_asked_again(
    login_host: LoginHost, person: Person, now: float
) -> None:
    tries = login_host.database.value(TRIES)
    call_early(*question(person, person.code(now)))
    assert check(person, person.code(now)) == "totp"
    assert login_host.database.value(TRIES) == tries + 1
    assert check(person, person.code(now)) == "reused-code"


@pytest.mark.parametrize("seconds", [agent.MAX_EARLY_SECONDS + 0.1, agent_line.ASK_SECONDS + 0.1])
def test_an_interpreter_that_starts_slowly_gets_the_answer_that_came_meanwhile(
    login_host: LoginHost, person: Person, now: float, seconds: float
) -> None:
    call_early(*question(person, person.code(now)))
    time.sleep(seconds)
    assert check(person, person.code(now)) == "totp"


def test_a_line_that_was_sent_and_not_answered_is_no_answer(
    login_host: LoginHost, person: Person, now: float
) -> None:
    """What became of it is not known, so it is not sent again, even if another agent runs."""
    ours, theirs = socket.socketpair()
    take(ours.detach(), question(person, person.code(now)))
    theirs.close()
    tries = login_host.database.value(TRIES)
    assert "cannot be read" in check(person, person.code(now))
    assert login_host.database.value(TRIES) == tries


def test_an_agent_that_says_nothing_to_an_early_line_is_waited_for_no_longer(
    login_host: LoginHost, person: Person, now: float
) -> None:
    ours, theirs = socket.socketpair()
    take(ours.detach(), question(person, person.code(now)))
    began = time.monotonic()
    assert "timed out" in check(person, person.code(now))
    assert time.monotonic() - began < agent_line.ASK_SECONDS + 1
    theirs.close()


def test_a_full_queue_of_the_agent_costs_no_code(
    login_host: LoginHost, user: User, known: Person, now: float
) -> None:
    """The launcher does not wait where its line cannot be taken: Python asks then."""
    login_host.stop()
    with socket.socket(socket.AF_UNIX) as listener:
        SOCKET.unlink(missing_ok=True)
        listener.bind(str(SOCKET))
        listener.listen(0)
        queued = []
        for _ in range(4):
            peer = socket.socket(socket.AF_UNIX)
            peer.setblocking(False)
            queued.append(peer)
            if peer.connect_ex(str(SOCKET)):
                break
        began = time.monotonic()
        assert run_as_pam_exec(VERIFY, user.name, known.code(now)).returncode == REFUSED
        assert time.monotonic() - began < agent_line.ASK_SECONDS + 2
        for peer in queued:
            peer.close()
    login_host.restart()
    assert run_as_pam_exec(VERIFY, user.name, known.code(now)).returncode == ACCEPTED


def test_a_verifier_that_is_not_root_s_tells_the_agent_nothing(
    login_host: LoginHost, user: User, known: Person, now: float
) -> None:
    tries = login_host.database.value(TRIES)
    login = ["env", f"PAM_USER={user.name}", "PAM_SERVICE=sshd", VERIFY]
    assert user.run_as(*login, cwd="/", input=known.code(now)).returncode == REFUSED
    assert login_host.database.value(TRIES) == tries


def test_the_variable_of_the_call_is_gone_before_anything_else_runs(
    login_host: LoginHost, person: Person, now: float
) -> None:
    call_early(*question(person, person.code(now)))
    assert agent.EARLY_CALL not in posix.environ
    assert check(person, person.code(now)) == "totp"


def test_an_argument_of_verify_says_that_no_code_is_read(
    login_host: LoginHost, user: User, known: Person, now: float
) -> None:
    tries = login_host.database.value(TRIES)
    environment = {"PAM_USER": user.name, "PAM_SERVICE": "sshd", "PAM_TYPE": "auth"}
    code = known.code(now).encode()
    subprocess.run([VERIFY, "key"], env=environment, input=code, capture_output=True)
    assert login_host.database.value(TRIES) == tries
