# SPDX-License-Identifier: MIT
"""Codes that are sent where the users' secrets are in the store of a fleet: the code is compared at
this host, and each try is counted in the store."""

import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.fleet import hosts
from pam_totp.records.host import outage
from tests.commands.commands import Answer
from tests.fleet.database import Database, wait_until
from tests.fleet.login_host import HOST, LoginHost
from tests.fleet.test_login_in_fleet import AWAY, is_certain, is_marked, mark
from tests.host.accounts import User
from tests.host.credentials import enroll
from tests.host.phone import Phone
from tests.host.programs import (
    ACCEPTED,
    ASK,
    CONFIGURATION,
    NO_CODE_NEEDED,
    RECORDS,
    REFUSED,
    STATE,
    VERIFY,
)
from tests.host.system_log import SystemLog
from tests.sending.application import Application, login
from tests.sending.outbox import (
    NUMBER,
    SENDS,
    SHOWN_NUMBER,
    TextMessage,
    forget_limits,
    give_contact,
    logged,
    new_text_messages,
    wait_for,
)

Messages = Callable[[], list[TextMessage]]
IF_ENROLLED = "store: postgresql\nrules: [{code: if-enrolled, methods: [totp, sms]}]\n"
OLDER = "The server that checks codes is not up to date.\n"
MISSING = "had an app here that the store does not know"


@pytest.fixture(autouse=True)
def settings(login_host: LoginHost) -> None:
    """A rule that accepts every method."""
    CONFIGURATION.write_text(f"store: postgresql\n{SENDS}")


@pytest.fixture
def messages() -> Iterator[Messages]:
    forget_limits()
    with new_text_messages() as look:
        yield look
    forget_limits()


@pytest.fixture
def contact(user: User) -> None:
    give_contact(user, ("sms", NUMBER))


def incorrect(code: str, by: int = 1) -> str:
    return f"{(int(code) + by) % 10**8:08}"


def tries(database: Database, user: User) -> tuple[int, float] | None:
    """In a row, and the seconds of the budget that count now."""
    row = database.admin.execute(
        "SELECT in_a_row, greatest(budget_used - totp.clock(), 0) FROM totp.person WHERE name = %s",
        [user.name],
    ).fetchone()
    return row and (row[0], row[1])


def reasons(syslog: SystemLog, user: User) -> list[str]:
    return [each["reason"] for each in logged(syslog, user)]


@pytest.mark.usefixtures("contact")
def test_a_user_whom_the_store_does_not_know_is_sent_a_code_that_is_accepted_once(
    login_host: LoginHost, user: User, now: float, messages: Messages, syslog: SystemLog
) -> None:
    with Application(user) as application:
        gate = application.gate()
        assert (gate.code, gate.output) == (ASK, f"A code is on its way to {SHOWN_NUMBER}.\n")
        code = wait_for(messages).code
        assert application.verify(code).code == ACCEPTED
        assert application.verify(code).code == REFUSED
    assert reasons(syslog, user) == ["sent-code", "sent-code", "wrong-code"]
    assert "no code was sent for this login" in logged(syslog, user)[-1]["detail"]
    assert is_marked(user)
    assert not is_certain(user)


@pytest.mark.usefixtures("contact")
def test_the_store_knows_no_code_and_no_number_and_forgets_the_name(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    """But for the line of the audit."""
    with login(user) as application:
        code = wait_for(messages).code
        assert application.verify(code).code == ACCEPTED
    database = login_host.database
    assert tries(database, user) is None
    rows = database.admin.execute("SELECT a::text FROM totp.attempt a").fetchall()
    assert not [row for (row,) in rows if code in row or NUMBER[1:] in row]
    found = database.admin.execute(
        "SELECT host, service, rhost, reason, detail FROM totp_admin_1.tries(%s, 9)", [user.name]
    ).fetchall()
    assert found == [(HOST, "sshd", "192.0.2.7", "sent-code", "as this host says")]
    assert code not in database.log.read_text()


@pytest.mark.usefixtures("contact")
def test_incorrect_codes_are_counted_in_the_store_and_the_sixth_is_not_compared(
    login_host: LoginHost, user: User, now: float, messages: Messages, syslog: SystemLog
) -> None:
    wait = "Too many incorrect codes. Try again in 30 seconds.\n"
    with login(user) as application:
        code = wait_for(messages).code
        for number in range(1, 6):
            assert application.verify(incorrect(code, number)).code == REFUSED
            assert tries(login_host.database, user) == (number, number * 900)
        answer = application.verify(code)
        assert (answer.code, answer.output) == (REFUSED, wait)
        assert reasons(syslog, user)[-1] == "throttled"
        assert application.gate().output == wait
        assert application.verify("sms").code == REFUSED
    assert len(messages()) == 1
    login_host.database.freeze_clock(now + 30)
    with login(user) as application:
        assert application.verify(wait_for(messages, 2).code).code == ACCEPTED


@pytest.mark.usefixtures("contact")
def test_a_code_that_was_right_ends_no_row_of_incorrect_ones(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    """A stolen host could say so of anybody."""
    with login(user) as application:
        code = wait_for(messages).code
        application.verify(incorrect(code))
        assert application.verify(code).code == ACCEPTED
    assert tries(login_host.database, user) == (1, 900)


@pytest.mark.usefixtures("contact")
def test_the_row_of_a_user_without_an_app_ends_once_the_whole_budget_is_there(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        for number in range(1, 6):
            application.verify(incorrect(code, number))
    for later, row in (5 * 900 - 1, 6), (6 * 900, 1):
        login_host.database.freeze_clock(now + later)
        with login(user) as application:
            application.verify(incorrect(messages()[-1].code))
        assert tries(login_host.database, user) == (row, 901 if row == 6 else 900)


@pytest.mark.usefixtures("contact")
def test_tries_at_other_hosts_count_together_with_those_here(
    login_host: LoginHost, user: User, now: float, messages: Messages, syslog: SystemLog
) -> None:
    with login_host.database.connect("web08") as other:
        for _ in range(4):
            other.execute("SELECT totp_api_1.count_sent(%s, 'sshd', '')", [user.name])
    with login(user) as application:
        code = wait_for(messages).code
        application.verify(incorrect(code))
        assert application.verify(code).code == REFUSED
    assert reasons(syslog, user)[-2:] == ["wrong-code", "throttled"]


@pytest.mark.usefixtures("contact")
def test_a_user_with_an_app_is_sent_a_code_on_request_and_each_answer_counts_once(
    login_host: LoginHost, user: User, now: float, messages: Messages, syslog: SystemLog
) -> None:
    person = login_host.database.person(user.name, digits=8)
    with login(user) as application:
        assert messages() == []
        assert "on its way" in application.verify("sms").output
        code = wait_for(messages).code
        for number in range(1, 5):
            assert application.verify(person.incorrect_code(now + number)).code == REFUSED
            assert tries(login_host.database, user) == (number, number * 900)
        # The fifth is looked at by both: neither stands in the way of the other.
        assert application.verify(person.code(now)).code == ACCEPTED
        assert tries(login_host.database, user) == (0, 4 * 900)
        assert application.verify(person.code(now)).code == REFUSED
        assert tries(login_host.database, user) == (0, 4 * 900)
        assert application.verify(code).code == ACCEPTED
        assert tries(login_host.database, user) == (0, 4 * 900)
    assert reasons(syslog, user) == [
        "sent-code",
        *["wrong-code"] * 4,
        "totp",
        "reused-code",
        "sent-code",
    ]


@pytest.mark.usefixtures("contact")
def test_where_the_app_is_not_asked_because_of_a_wait_the_try_stays_counted(
    login_host: LoginHost, user: User, now: float, messages: Messages, syslog: SystemLog
) -> None:
    """Else the code that was sent could be guessed on and on."""
    database = login_host.database
    person = database.person(user.name, digits=8)
    with login(user) as application:
        application.verify("sms")
        wait_for(messages)
        begun = application.verify(person.incorrect_code(now))
        assert begun.code == REFUSED
        database.admin.execute(
            "UPDATE totp.host SET budget_used = %s WHERE name = %s", [now + 2 * 299, HOST]
        )
        assert application.verify(person.incorrect_code(now + 30)).code == REFUSED
        assert tries(database, user) == (2, 1800)
        answer = application.verify(person.code(now))
        assert answer.output == "Too many codes were tried on this host. Try again in a minute.\n"
    assert tries(database, user) == (2, 1800)
    assert reasons(syslog, user)[-1] == "host-throttled"


@pytest.mark.usefixtures("contact")
def test_of_many_at_once_with_one_code_one_is_accepted(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        answers = application.verify_at_once(code, 24)
    assert sorted(each.code for each in answers) == [ACCEPTED] + [REFUSED] * 23


@pytest.mark.usefixtures("contact")
def test_a_code_is_refused_at_another_login_and_counted(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    with login(user) as first, login(user) as second:
        of_first, of_second = (each.code for each in messages())
        assert second.verify(of_first).code == REFUSED
        assert tries(login_host.database, user) == (1, 900)
        assert second.verify(of_second).code == ACCEPTED
        assert first.verify(of_first).code == ACCEPTED


def stop_agent(host: LoginHost) -> None:
    host.stop()


def hang_agent(host: LoginHost) -> None:
    os.kill(host.restart().pid, signal.SIGSTOP)


def stop_server(host: LoginHost) -> None:
    host.configure(ports="1")
    host.restart()


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize("fault", [stop_agent, hang_agent, stop_server])
def test_while_the_store_is_away_no_code_is_accepted_and_none_is_sent(
    fault: Callable[[LoginHost], None],
    login_host: LoginHost,
    user: User,
    now: float,
    messages: Messages,
    syslog: SystemLog,
) -> None:
    of_host, *_ = outage.new_codes()
    with login(user) as application:
        code = wait_for(messages).code
        fault(login_host)
        answer = application.verify(code)
        assert (answer.code, answer.output) == (REFUSED, AWAY)
        assert reasons(syslog, user)[-1] == "store-unavailable"
        assert application.verify("sms").output == AWAY
        with Application(user) as next_one:
            assert next_one.gate().output == AWAY
            assert next_one.verify("sms").code == REFUSED
        assert len(messages()) == 1
        assert application.verify(of_host).code == ACCEPTED
        assert reasons(syslog, user)[-1] == "outage-code"
        login_host.configure()
        login_host.restart()
        assert application.verify(code).code == ACCEPTED  # it was not compared


@pytest.mark.usefixtures("contact")
def test_a_host_that_was_removed_sends_nothing_and_accepts_nothing(
    login_host: LoginHost, user: User, now: float, messages: Messages, syslog: SystemLog
) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        database = login_host.database
        hosts.remove(database.admin, HOST)
        try:
            assert application.verify(code).code == REFUSED
            assert reasons(syslog, user)[-1] == "host-refused"
            assert "refuses this host" in application.gate().output
            assert application.verify("sms").code == REFUSED
        finally:
            database.add_host(HOST)
    assert len(messages()) == 1


@pytest.fixture
def is_refused_and_sent_nothing(
    user: User, now: float, messages: Messages, syslog: SystemLog
) -> Callable[[], None]:
    def look() -> None:
        with Application(user) as application:
            assert application.gate().code == ASK
            assert application.verify("sms").code == REFUSED
            assert application.verify("123456").code == REFUSED
        assert messages() == []
        assert reasons(syslog, user)[-1] == "secret-missing"

    return look


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize("code", ["if-enrolled", "required"])
def test_a_user_who_had_an_app_here_that_the_store_does_not_know_is_sent_nothing(
    login_host: LoginHost, user: User, is_refused_and_sent_nothing: Callable[[], None], code: str
) -> None:
    """As in an empty database: the app is not replaced by the weaker factor."""
    CONFIGURATION.write_text(
        f"store: postgresql\nrules: [{{code: {code}, methods: [sms, totp]}}]\n"
    )
    mark(user)
    is_refused_and_sent_nothing()


@pytest.mark.usefixtures("contact")
def test_a_user_whose_secret_is_still_on_this_host_is_sent_nothing(
    login_host: LoginHost, user: User, is_refused_and_sent_nothing: Callable[[], None]
) -> None:
    enroll(user)
    is_refused_and_sent_nothing()


@pytest.mark.usefixtures("contact")
def test_a_store_that_is_older_than_one_seen_has_nothing_sent(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    """Also to who asks for a code in a login that began before."""
    with login(user) as application:
        code = wait_for(messages).code
        seen = Path("/var/lib/pam-totp-agent/seen")
        *head, epoch, count, incarnation = seen.read_text().split()
        seen.write_text(" ".join([*head, epoch, str(int(count) + 1), incarnation]) + "\n")
        login_host.restart()
        assert application.verify("sms").output == OLDER
        with Application(user) as next_one:
            gate = next_one.gate()
            assert (gate.code, gate.output) == (ASK, OLDER)
            assert next_one.verify("sms").code == REFUSED
        assert len(messages()) == 1
        assert application.verify(code).code == ACCEPTED  # sent while the store was believed


@pytest.mark.usefixtures("contact")
def test_a_user_who_has_only_used_codes_that_were_sent_goes_on_with_them(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    CONFIGURATION.write_text(IF_ENROLLED)
    for count in (1, 2):
        with login(user) as application:
            assert application.verify(wait_for(messages, count).code).code == ACCEPTED
    assert (STATE / "enforced" / str(user.uid)).read_text() == "sent"
    (STATE / "contacts" / str(user.uid)).unlink()
    with Application(user) as application:  # as with the other stores
        assert application.gate().code == ASK
        assert application.verify("123456").code == REFUSED


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize("by", ["app", "sms"])
def test_who_had_an_app_at_a_login_here_is_sent_nothing_once_the_store_forgets_it(
    login_host: LoginHost, user: User, now: float, messages: Messages, by: str
) -> None:
    """Though a code that was sent came first, or all were of that kind."""
    with login(user) as application:
        assert application.verify(wait_for(messages).code).code == ACCEPTED
    person = login_host.enroll(user)
    with login(user) as application:
        if by == "sms":
            application.verify("sms")
        typed = person.code(now) if by == "app" else messages()[-1].code
        assert application.verify(typed).code == ACCEPTED
    sent = len(messages())
    login_host.database.admin.execute("DELETE FROM totp.person WHERE name = %s", [user.name])
    with Application(user) as application:
        assert application.gate().code == ASK
        assert application.verify("sms").code == REFUSED
    assert len(messages()) == sent


@pytest.mark.usefixtures("contact")
def test_after_a_reset_a_user_with_a_contact_is_sent_codes(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    """An administrator has taken the app away; the store has not forgotten it."""
    person = login_host.enroll(user)
    with login(user) as application:
        assert application.verify(person.code(now)).code == ACCEPTED
    login_host.database.value("SELECT totp_admin_1.reset(%s)", user.name)
    with login(user) as application:
        assert application.verify(wait_for(messages).code).code == ACCEPTED


def test_a_contact_that_is_not_confirmed_makes_nobody_enrolled(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=0)
    CONFIGURATION.write_text(IF_ENROLLED)
    with Application(user) as application:
        assert application.gate().code == NO_CODE_NEEDED
    assert messages() == []


@pytest.mark.usefixtures("contact")
def test_nothing_is_sent_before_a_first_factor_is_proved(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    with Application(user) as application:
        assert application.gate("wrong").code == ASK
        assert application.verify("sms").code == REFUSED
    assert messages() == []


@pytest.mark.usefixtures("contact")
def test_what_a_login_has_proved_sends_nothing_for_the_next_one_in_the_process_after_an_outage(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    """The gate of the next one could ask nobody; the store is back when somebody types "sms"."""
    with login(user) as application:
        wait_for(messages)
        login_host.stop()
        assert application.gate("wrong").output == AWAY
        login_host.start()
        assert application.verify("sms").code == REFUSED
    assert len(messages()) == 1


@pytest.mark.usefixtures("contact")
def test_a_contact_that_cannot_be_read_refuses_and_keeps_nobody_from_the_app(
    login_host: LoginHost, user: User, now: float, messages: Messages, syslog: SystemLog
) -> None:
    (STATE / "contacts" / str(user.uid)).write_text("garbage")
    person = login_host.enroll(user)
    with Application(user) as application:
        assert application.gate().output == "No code could be sent. Try again later.\n"
        assert application.verify(person.code(now)).code == ACCEPTED
    assert "is malformed" in logged(syslog, user)[0]["detail"]
    assert messages() == []


@pytest.mark.usefixtures("contact")
def test_where_the_try_cannot_be_taken_back_the_login_is_accepted_and_the_log_says_so(
    login_host: LoginHost, user: User, now: float, messages: Messages, syslog: SystemLog
) -> None:
    """As where the store is killed in between: what was counted stays counted."""
    database = login_host.database
    with login(user) as application:
        code = wait_for(messages).code
        database.admin.execute("REVOKE EXECUTE ON FUNCTION totp_api_1.take_back FROM totp_host")
        try:
            assert application.verify(code).code == ACCEPTED
        finally:
            database.admin.execute("GRANT EXECUTE ON FUNCTION totp_api_1.take_back TO totp_host")
    assert tries(database, user) == (1, 900)
    assert "stays counted as an incorrect code" in logged(syslog, user)[-1]["detail"]


def try_counted(database: Database, user: User) -> bool:
    return tries(database, user) is not None


@pytest.fixture
def held_up(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> Iterator[tuple[Application, str, int]]:
    """A login whose verifier has counted a try and not compared the code yet: it waits for the
    lock, until that is closed."""
    give_contact(user, ("sms", NUMBER))
    with login(user) as application:
        code = wait_for(messages).code
        lock = os.open(RECORDS / str(user.uid), os.O_RDWR)
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield application, code, lock


def test_a_server_that_is_killed_between_the_two_leaves_the_try_counted(
    held_up: tuple[Application, str, int], login_host: LoginHost, user: User, syslog: SystemLog
) -> None:
    """The code is accepted: only what was counted for it cannot be taken back."""
    application, code, lock = held_up
    database, answers = login_host.database, list[Answer]()
    verifying = threading.Thread(target=lambda: answers.append(application.verify(code)))
    verifying.start()
    wait_until(lambda: try_counted(database, user))
    database.admin.execute("CHECKPOINT")
    database.control("stop", "-m", "immediate")
    try:
        os.close(lock)
        verifying.join()
    finally:
        database.control("start")
        database.admin = database.superuser()
    assert [each.code for each in answers] == [ACCEPTED]
    assert tries(database, user) == (1, 900)
    assert "stays counted as an incorrect code" in logged(syslog, user)[-1]["detail"]


def test_a_verifier_that_is_killed_between_the_two_leaves_the_try_counted(
    held_up: tuple[Application, str, int], login_host: LoginHost, user: User
) -> None:
    application, code, lock = held_up
    verifying = threading.Thread(target=lambda: application.verify(code))
    verifying.start()
    wait_until(lambda: try_counted(login_host.database, user))
    for process in subprocess.run(
        ["pgrep", "-f", VERIFY], capture_output=True, text=True
    ).stdout.split():
        os.kill(int(process), signal.SIGKILL)
    verifying.join()
    os.close(lock)
    assert tries(login_host.database, user) == (1, 900)
    assert application.verify(code).code == ACCEPTED
    assert tries(login_host.database, user) == (1, 900)


def test_users_enroll_at_their_login_as_without_such_codes_unless_they_have_a_contact(
    login_host: LoginHost, user: User, now: float, messages: Messages
) -> None:
    """Somebody who has only the password of a user with a contact is shown nothing."""
    may = "UPDATE totp.host SET may_enroll = %s WHERE name = %s"
    login_host.database.admin.execute(may, [True, HOST])
    login_host.restart()
    CONFIGURATION.write_text(f"store: postgresql\nenrollment: at-login\n{SENDS}")
    try:
        with Application(user) as application:
            shown = application.gate().output
            assert application.verify(Phone(user).type_code(shown)).code == ACCEPTED
        login_host.database.admin.execute("DELETE FROM totp.person WHERE name = %s", [user.name])
        (STATE / "enforced" / str(user.uid)).unlink()
        give_contact(user, ("sms", NUMBER))
        with Application(user) as application:
            assert application.gate().output == f"A code is on its way to {SHOWN_NUMBER}.\n"
            assert application.verify(wait_for(messages).code).code == ACCEPTED
    finally:
        login_host.database.admin.execute(may, [False, HOST])
        login_host.restart()
