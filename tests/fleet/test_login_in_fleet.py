# SPDX-License-Identifier: MIT
"""The installed gate and verifier where the users' secrets are in the store of a fleet."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pam_totp.fleet import hosts
from pam_totp.records.host import outage
from tests.fleet.login_host import HOST, SOCKET, LoginHost
from tests.host.accounts import User
from tests.host.credentials import enroll
from tests.host.programs import (
    ACCEPTED,
    ASK,
    CONFIGURATION,
    GATE,
    NO_CODE_NEEDED,
    RECORDS,
    REFUSED,
    STATE,
    VERIFY,
    run_as_pam_exec,
)
from tests.host.system_log import SystemLog

AWAY = "The server that checks codes does not answer. Try again, or enter an outage code.\n"
NOT_ENROLLED = (
    "A code is required, but you have not enrolled. Ask your administrator for an invitation.\n"
)
REQUIRED = "store: postgresql\nenrollment: required\n"
MAX_SECONDS = 5  # that a test waits for a login; the promise is 2, and CI is slow

pytestmark = pytest.mark.usefixtures("login_host")


def verify(user: User, typed: str) -> tuple[int, str]:
    """The exit code of the verifier, and what the user is told."""
    done = run_as_pam_exec(VERIFY, user.name, typed, timeout=MAX_SECONDS)
    assert done.stderr == b""
    return done.returncode, done.stdout.decode()


def gate(user: User) -> tuple[int, str]:
    done = run_as_pam_exec(GATE, user.name, timeout=MAX_SECONDS)
    assert done.stderr == b""
    return done.returncode, done.stdout.decode()


def is_marked(user: User) -> bool:
    return (STATE / "enforced" / str(user.uid)).exists()


def is_certain(user: User) -> bool:
    return (RECORDS / "certain" / user.name).exists()


def mark(user: User) -> None:
    """As a login with a code leaves it."""
    (STATE / "enforced").mkdir(mode=0o700, exist_ok=True)
    (STATE / "enforced" / str(user.uid)).touch(0o600)


def test_a_code_is_accepted_only_once(
    login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    person = login_host.enroll(user)
    assert verify(user, person.code(now)) == (ACCEPTED, "")
    assert verify(user, person.code(now)) == (REFUSED, "")
    accepted, refused = syslog.decisions()
    assert accepted == {
        "verdict": "accept",
        "reason": "totp",
        "user": user.name,
        "service": "sshd",
        "rhost": "192.0.2.7",
        "device": "phone",
    }
    assert (refused["verdict"], refused["reason"]) == ("refuse", "reused-code")


def test_an_accepted_code_leaves_the_marks_of_a_login_with_a_code(
    login_host: LoginHost, user: User, now: float
) -> None:
    person = login_host.enroll(user)
    assert verify(user, person.code(now))[0] == ACCEPTED
    assert is_marked(user)
    assert is_certain(user)
    assert verify(user, person.incorrect_code(now))[0] == REFUSED
    assert is_marked(user)
    assert not is_certain(user)


def test_an_incorrect_code_is_refused_and_the_user_is_told_to_wait_in_the_end(
    login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    person = login_host.enroll(user)
    for _ in range(5):
        assert verify(user, person.incorrect_code(now)) == (REFUSED, "")
    wait = "Too many incorrect codes. Try again in 30 seconds.\n"
    assert verify(user, person.code(now)) == (REFUSED, wait)
    assert gate(user) == (ASK, wait)
    reasons = [decision["reason"] for decision in syslog.decisions()]
    assert reasons == ["wrong-code"] * 5 + ["throttled"]


def test_a_recovery_code_is_accepted_once_and_the_user_is_told_how_many_are_left(
    login_host: LoginHost, user: User, now: float
) -> None:
    login_host.enroll(user)
    codes = login_host.database.value("SELECT totp_admin_1.new_recovery_codes(%s)", user.name)
    assert verify(user, codes[0]) == (ACCEPTED, "9 recovery codes left.\n")
    assert is_marked(user)
    assert not is_certain(user)
    assert verify(user, codes[0]) == (REFUSED, "")
    for code in codes[1:7]:
        status, said = verify(user, code)
        assert status == ACCEPTED
    assert said == "3 recovery codes left. For new ones, contact your administrator.\n"


def test_after_a_failover_the_user_is_told_to_wait_for_the_next_code_but_one(
    login_host: LoginHost, user: User, now: float
) -> None:
    person = login_host.enroll(user)
    admin = login_host.database.admin
    admin.execute("UPDATE totp.store SET incarnation = 'another'")
    login_host.restart()
    said = "Another server now checks codes. Wait for the next code but one.\n"
    try:
        assert verify(user, person.code(now)) == (REFUSED, said)
    finally:
        admin.execute("UPDATE totp.store SET no_step_before = 0")


def test_24_logins_at_once_with_one_code_one_is_accepted(
    login_host: LoginHost, user: User, now: float
) -> None:
    person = login_host.enroll(user)
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda _: verify(user, person.code(now))[0], range(24)))
    assert sorted(found) == [ACCEPTED] + [REFUSED] * 23


def test_an_answer_of_no_form_reaches_no_store(
    login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    login_host.enroll(user)
    fullwidth = "".join(chr(0xFF10 + digit) for digit in range(6))
    for typed in ("", "12345", "123456789", fullwidth, "'; DROP TABLE x; --", "1" * 600):
        assert verify(user, typed) == (REFUSED, "")
    assert {each["reason"] for each in syslog.decisions()} == {"bad-input"}
    tries = "SELECT count(*) FROM totp.attempt WHERE person = %s"
    assert login_host.database.value(tries, user.name) == 0


def test_users_who_have_not_enrolled_log_in_as_the_settings_say(
    login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    assert gate(user) == (NO_CODE_NEEDED, "")
    assert syslog.decisions()[-1]["reason"] == "not-enrolled"
    CONFIGURATION.write_text(REQUIRED)
    assert gate(user) == (ASK, NOT_ENROLLED)
    assert verify(user, "123456") == (REFUSED, NOT_ENROLLED)
    assert syslog.decisions()[-1]["reason"] == "not-enrolled"


def test_a_user_with_a_mark_whom_the_store_does_not_know_is_refused(
    login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    mark(user)
    assert gate(user)[0] == ASK
    assert verify(user, "123456") == (REFUSED, NOT_ENROLLED)
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "secret-missing"
    assert "logged in here with a code before" in decision["detail"]


def test_after_a_reset_a_user_with_a_mark_is_not_enrolled(
    login_host: LoginHost, user: User, now: float
) -> None:
    person = login_host.enroll(user)
    assert gate(user) == (ASK, "")  # reads the settings: a mark is of what was read before
    assert verify(user, person.code(now))[0] == ACCEPTED
    assert is_certain(user)
    login_host.database.value("SELECT totp_admin_1.reset(%s)", user.name)
    assert gate(user) == (ASK, "")  # the mark: without Python
    assert verify(user, person.code(now, 1)) == (REFUSED, NOT_ENROLLED)
    assert not is_certain(user)
    assert gate(user) == (NO_CODE_NEEDED, "")
    assert is_marked(user)


def test_a_secret_that_was_not_migrated_still_has_the_code_asked_for(
    login_host: LoginHost, user: User, now: float
) -> None:
    credential = enroll(user)
    assert gate(user) == (ASK, "")
    assert verify(user, credential.fresh_code())[0] == REFUSED


def test_a_store_that_is_older_than_one_seen_is_not_believed(
    login_host: LoginHost, user: User, now: float
) -> None:
    assert gate(user) == (NO_CODE_NEEDED, "")
    seen = Path("/var/lib/pam-totp-agent/seen")
    *head, epoch, count, incarnation = seen.read_text().split()
    seen.write_text(" ".join([*head, epoch, str(int(count) + 1), incarnation]) + "\n")
    login_host.restart()
    assert gate(user) == (ASK, "The server that checks codes is not up to date.\n")


def test_a_damaged_record_of_what_was_seen_is_named_with_its_repair(
    login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    """`store restored`, which helps where the store is older, would not help here."""
    login_host.stop()
    seen = Path("/var/lib/pam-totp-agent/seen")
    seen.write_text("")
    login_host.start()
    assert gate(user)[0] == ASK
    assert syslog.wait_for("run: rm ").message.endswith(str(seen))
    seen.unlink()
    login_host.restart()
    assert gate(user) == (NO_CODE_NEEDED, "")


def test_a_screen_locker_is_refused_with_a_reason(
    login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    person = login_host.enroll(user)
    done = run_as_pam_exec(
        VERIFY, user.name, person.code(now), through=user.command(["env", f"PAM_USER={user.name}"])
    )
    assert done.returncode == REFUSED
    assert "only root may ask the store" in syslog.decisions()[-1]["detail"]


def stop_agent(host: LoginHost) -> None:
    host.stop()


def remove_socket(host: LoginHost) -> None:
    host.stop()
    SOCKET.unlink()


def hang_agent(host: LoginHost) -> None:
    os.kill(host.restart().pid, signal.SIGSTOP)


def stop_server(host: LoginHost) -> None:
    host.configure(ports="1")  # where nothing listens
    host.restart()


def no_such_keyword(host: LoginHost) -> None:
    host.configure(more="sslmode=require")
    host.restart()


def other_store(host: LoginHost) -> None:
    host.configure(store="0" * 32)
    host.restart()


FAULTS: dict[str, tuple[Callable[[LoginHost], None], str]] = {
    "the agent does not run": (stop_agent, "Connection refused"),
    "there is no socket": (remove_socket, "No such file"),
    "the agent hangs": (hang_agent, "timed out"),
    "the server does not run": (stop_server, "Connection refused"),
    "the conninfo would accept any server": (no_such_keyword, "channel_binding=require"),
    "the database is another store": (other_store, "has another store"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_without_an_answer_of_the_store_the_code_is_refused_and_the_log_says_why(
    fault: str, login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    person = login_host.enroll(user)
    broken, detail = FAULTS[fault]
    broken(login_host)
    assert gate(user) == (ASK, AWAY)
    assert verify(user, person.code(now)) == (REFUSED, AWAY)
    decision = syslog.decisions()[-1]
    assert (decision["verdict"], decision["reason"]) == ("refuse", "store-unavailable")
    assert detail in decision["detail"]
    assert not is_marked(user)
    login_host.configure()
    login_host.restart()
    assert verify(user, person.code(now)) == (ACCEPTED, "")


@contextmanager
def hostile_agent(answer: bytes, *, closes: bool = True, drips: bool = False) -> Iterator[None]:
    """Answers every line with these bytes, all at once or drop by drop, and then closes or not."""
    SOCKET.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(SOCKET))
    listener.listen(8)
    held: list[socket.socket] = []
    ended = threading.Event()

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
                peer.recv(4096)
                for at in range(len(answer)) if drips else ():
                    peer.sendall(answer[at : at + 1])
                    if ended.wait(0.3):
                        break
                peer.sendall(answer if not drips else b"")
            except OSError:
                return
            held.append(peer)
            if closes:
                peer.close()

    with closing(listener):
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for peer in held:
        peer.close()


ODD_ANSWERS = {
    "nothing": b"",
    "an empty line": b"\n",
    "half a line": b"ok\0t\0totp\0phone\x000\x000\0",
    "a line without an end": b"ok\0t\0totp\0phone\x000\x000\0x",
    "two lines": b"ok\0t\0totp\0phone\x000\x000\0\nok\0\n",
    "another word": b"yes\0t\0totp\0phone\x000\x000\0\n",
    "too few fields": b"ok\0t\0totp\0phone\n",
    "too many fields": b"ok\0t\0totp\0phone\x000\x000\0\0more\n",
    "true in another way": b"ok\0true\0totp\0phone\x000\x000\0\n",
    "accepted for a refusal's reason": b"ok\0t\0wrong-code\0phone\x000\x000\0\n",
    "accepted for no reason": b"ok\0t\0\0phone\x000\x000\0\n",
    "accepted as an outage code": b"ok\0t\0outage-code\0phone\x000\x000\0\n",
    "no number": b"ok\0t\0totp\0phone\0x\x000\0\n",
    "not UTF-8": b"ok\0t\0totp\0\xff\x000\x000\0\n",
    "too much": b"ok\0t\0totp\0" + b"x" * 70000 + b"\x000\x000\0\n",
    "a refusal without a reason": b"no\n",
    "a refusal of no reason": b"no\0because\0x\n",
}


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_an_odd_answer_accepts_nobody(
    odd: str, login_host: LoginHost, user: User, syslog: SystemLog
) -> None:
    login_host.stop()
    with hostile_agent(ODD_ANSWERS[odd]):
        assert verify(user, "123456") == (REFUSED, AWAY)
    assert syslog.decisions()[-1]["reason"] == "store-unavailable"


def test_half_an_answer_that_never_ends_is_not_waited_for(
    login_host: LoginHost, user: User
) -> None:
    login_host.stop()
    with hostile_agent(ODD_ANSWERS["half a line"], closes=False):
        assert verify(user, "123456") == (REFUSED, AWAY)


def test_an_answer_that_comes_drop_by_drop_is_not_waited_for(
    login_host: LoginHost, user: User
) -> None:
    login_host.stop()
    with hostile_agent(b"ok\0t\0totp\0phone\x000\x000\0\n", drips=True):
        assert verify(user, "123456") == (REFUSED, AWAY)


def test_an_outage_code_is_good_once_and_only_while_the_store_is_away(
    login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    person = login_host.enroll(user)
    first, second, *others = outage.new_codes()
    assert len(others) == 3
    assert verify(user, first) == (REFUSED, "")  # the store answers, and does not know it
    login_host.stop()
    shown = f"{first[:4]}-{first[4:8]} {first[8:]}".upper()
    assert verify(user, shown) == (ACCEPTED, "")
    decision = syslog.decisions()[-1]
    assert (decision["verdict"], decision["reason"]) == ("accept", "outage-code")
    assert "outage codes left: 4" in decision["detail"]
    assert verify(user, first) == (REFUSED, AWAY)
    assert verify(user, second) == (ACCEPTED, "")
    assert not is_marked(user)
    assert not is_certain(user)
    login_host.restart()
    assert verify(user, others[0])[0] == REFUSED
    assert verify(user, person.code(now))[0] == ACCEPTED


REFUSALS = {
    "removed": ["hosts.remove"],
    "added again on another machine": ["hosts.remove", "hosts.add"],
    "a role without a row": ["DELETE FROM totp.host WHERE name = 'web07'"],
}
HOST_REFUSED = "The server that checks codes refuses this host. Contact your administrator.\n"


@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize("done", REFUSALS.values(), ids=list(REFUSALS))
def test_no_outage_code_is_good_at_a_host_that_the_store_refuses(
    done: list[str], is_connected: bool, login_host: LoginHost, user: User, syslog: SystemLog
) -> None:
    database = login_host.database
    code, *_ = outage.new_codes()
    if is_connected:
        assert verify(user, code) == (REFUSED, NOT_ENROLLED)
    else:
        login_host.restart()
    try:
        for each in done:
            if each.startswith("hosts."):
                getattr(hosts, each.removeprefix("hosts."))(database.admin, HOST)
            else:
                database.admin.execute(each)
        for _ in range(2):
            assert verify(user, code) == (REFUSED, "")
            assert syslog.decisions()[-1]["reason"] == "host-refused"
        assert gate(user) == (ASK, HOST_REFUSED)
        assert outage.left() == 5
        # Another server that is not there does not make it an outage.
        login_host.configure(f"127.0.0.1,{database.address}", f"1,{database.port}")
        login_host.restart()
        assert verify(user, code) == (REFUSED, "")
    finally:
        hosts.remove(database.admin, HOST)
        if done[-1].startswith("DELETE"):
            database.admin.execute(f"DROP ROLE {HOST}")
        database.add_host(HOST)
        login_host.configure()
        login_host.restart()
    assert outage.left() == 5


def test_of_20_logins_at_once_with_one_outage_code_one_is_accepted(
    login_host: LoginHost, user: User
) -> None:
    code, *_ = outage.new_codes()
    login_host.stop()
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda _: verify(user, code)[0], range(20)))
    assert sorted(found) == [ACCEPTED] + [REFUSED] * 19


def test_an_outage_code_that_cannot_be_recorded_as_used_is_refused(
    login_host: LoginHost, user: User, syslog: SystemLog
) -> None:
    code, *_ = outage.new_codes()
    login_host.stop()
    folder = STATE / "outage"
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        assert verify(user, code)[0] == REFUSED
        assert syslog.decisions()[-1]["reason"] == "state-unavailable"
    finally:
        subprocess.run(["umount", folder], check=True)
    assert verify(user, code) == (ACCEPTED, "")


def test_new_outage_codes_end_the_earlier_ones(login_host: LoginHost, user: User) -> None:
    old, *_ = outage.new_codes()
    new, *_ = outage.new_codes()
    login_host.stop()
    assert verify(user, old)[0] == REFUSED
    assert verify(user, new)[0] == ACCEPTED
    assert outage.left() == 4


def test_a_grant_of_roots_needs_no_store(login_host: LoginHost, user: User) -> None:
    login_host.stop()
    subprocess.run(["pam-totp", "grant", user.name, "--once"], check=True, capture_output=True)
    assert gate(user) == (NO_CODE_NEEDED, "")
    assert gate(user) == (ASK, AWAY)


def test_a_host_that_was_thrown_out_is_refused(
    login_host: LoginHost, user: User, now: float, syslog: SystemLog
) -> None:
    person = login_host.enroll(user)
    admin = login_host.database.admin
    assert verify(user, person.incorrect_code(now))[0] == REFUSED
    admin.execute(f"ALTER ROLE {HOST} NOLOGIN")
    admin.execute(
        f"SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE usename = '{HOST}'"
    )
    try:
        assert verify(user, person.code(now)) == (REFUSED, "")
        assert "is not permitted to log in" in syslog.decisions()[-1]["detail"]
    finally:
        admin.execute(f"ALTER ROLE {HOST} LOGIN")
    assert verify(user, person.code(now)) == (ACCEPTED, "")
