# SPDX-License-Identifier: MIT
"""Tries that are counted for codes that a host compares itself: what a host may take back, and that
a stolen one gains nothing by it."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.fleet.database import NAMES, Connection, Database, Person, check
from tests.fleet.test_taking_back import FORMS, Form, answer_of, reveal, submit
from tests.rules.test_throttle import CODES, DAYS, MAX_CHANCE

TAKE = "SELECT totp_api_1.take_back(%s, %s)"


def count(host: Connection, person: str) -> tuple[Any, ...]:
    """ticket, refusal, wait_seconds, enrolled."""
    row = host.execute("SELECT * FROM totp_api_1.count_sent(%s, 'sshd', '')", [person]).fetchone()
    assert row is not None
    return row


def ticket_of(host: Connection, person: str) -> int:
    ticket = count(host, person)[0]
    assert ticket is not None
    return int(ticket)


def take_back(host: Connection, ticket: int, person: str) -> str:
    """The error, empty without one."""
    try:
        host.execute(TAKE, [ticket, person])
    except psycopg.Error as refused:
        return str(refused.sqlstate)
    return ""


def submit_counted(host: Connection, ticket: int, person: str, code: str) -> tuple[Any, ...]:
    """ticket, refusal, wait_seconds."""
    query = "SELECT * FROM totp_api_1.submit_counted(%s, %s, %s, 'sshd', '')"
    row = host.execute(query, [ticket, person, code]).fetchone()
    assert row is not None
    return row


def counted(database: Database, name: str) -> tuple[int, float]:
    """In a row, and the seconds of the budget that count now; of nobody, nothing."""
    row = database.admin.execute(
        "SELECT in_a_row, greatest(budget_used - totp.clock(), 0) FROM totp.person WHERE name = %s",
        [name],
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0.0)


def used_by(database: Database, host: str) -> float:
    """Seconds of the budget of a host."""
    query = "SELECT greatest(budget_used - totp.clock(), 0) FROM totp.host WHERE name = %s"
    return float(database.value(query, host))


def newcomer() -> str:
    return f"newcomer{next(NAMES)}"


def test_a_try_is_taken_back_once(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        host.execute(TAKE, [ticket_of(host, who.name), who.name])
        assert counted(database, who.name) == (0, 0)
        check(host, who.name, who.incorrect_code(now))
        ticket = ticket_of(host, who.name)
        assert counted(database, who.name) == (2, 1800)
        assert [take_back(host, ticket, who.name) for _ in range(3)] == ["", "P0T01", "P0T01"]
    assert counted(database, who.name) == (1, 900)
    assert used_by(database, "web07") == 2


def test_a_try_that_is_taken_back_many_times_at_once_is_taken_back_once(
    database: Database, now: float
) -> None:
    """Also of somebody whom the store forgets by that."""
    for who in (database.person().name, newcomer()):
        with database.connect() as host:
            ticket, *_ = [ticket_of(host, who) for _ in range(3)]
        connections = [database.connect() for _ in range(3)]
        with ThreadPoolExecutor(3) as pool:
            errors = pool.map(take_back, connections, [ticket] * 3, [who] * 3)
            assert sorted(errors) == ["", "P0T01", "P0T01"]
        for each in connections:
            each.close()
        assert counted(database, who) == (2, 1800)


def test_a_ticket_is_of_one_host_and_one_person(database: Database, now: float) -> None:
    who, other = database.person(), database.person()
    with database.connect() as host, database.connect("web08") as thief:
        ticket = ticket_of(host, who.name)
        check(host, other.name, other.incorrect_code(now))
        assert take_back(thief, ticket, who.name) == "P0T01"
        assert take_back(host, ticket, other.name) == "P0T01"
        assert take_back(host, ticket + 1000, who.name) == "P0T01"
        with pytest.raises(psycopg.Error) as refused:
            submit_counted(thief, ticket, who.name, "12345678")
        assert refused.value.sqlstate == "P0T01"
    assert counted(database, who.name) == (1, 900)
    assert counted(database, other.name) == (1, 900)


def test_a_try_in_which_the_store_compares_a_code_is_never_taken_back_so(
    database: Database, now: float
) -> None:
    who = database.person()
    with database.connect() as host:
        for is_revealed in (False, True):
            ticket = submit(host, who.name, who.incorrect_code(now))
            if is_revealed:
                reveal(host, ticket)
            assert take_back(host, ticket, who.name) == "P0T01"
            with pytest.raises(psycopg.Error) as refused:
                submit_counted(host, ticket, who.name, who.code(now))
            assert refused.value.sqlstate == "P0T01"
    assert counted(database, who.name) == (2, 1800)


def test_the_ticket_of_a_counted_try_reveals_nothing(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        ticket = ticket_of(host, who.name)
        with pytest.raises(psycopg.Error) as refused:
            reveal(host, ticket)
        assert refused.value.sqlstate == "P0T01"
        host.execute(TAKE, [ticket, who.name])
        with pytest.raises(psycopg.Error) as refused:
            reveal(host, ticket)
        assert refused.value.sqlstate == "P0T01"


@pytest.mark.parametrize(("later", "error"), [(10, ""), (10.5, "P0T01"), (-2, "P0T01")])
def test_a_try_is_taken_back_within_ten_seconds(
    database: Database, now: float, later: float, error: str
) -> None:
    """By a clock that was set back it would be good for long."""
    who = database.person()
    with database.connect() as host:
        ticket = ticket_of(host, who.name)
        database.freeze_clock(now + later)
        assert take_back(host, ticket, who.name) == error


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_taking_the_taking_back_back_uncounts_more(
    database: Database, now: float, form: Form
) -> None:
    """A row in a savepoint, or before an error, is as if it had not been."""
    who = database.person()
    call = "coalesce(totp_api_1.take_back(%s::bigint, %s)::text, '')"
    with database.connect() as host:
        check(host, who.name, who.incorrect_code(now))
        ticket = ticket_of(host, who.name)
        for _ in range(3):
            try:
                form(host, call, [str(ticket), who.name])
            except psycopg.Error as refused:
                assert refused.sqlstate in ("P0T01", "25000")
        assert counted(database, who.name) == (2, 1800)
        assert take_back(host, ticket, who.name) == ""
    assert counted(database, who.name) == (1, 900)


@pytest.mark.parametrize("form", FORMS)
def test_a_count_that_is_taken_back_with_its_transaction_leaves_no_ticket(
    database: Database, now: float, form: Form
) -> None:
    """It tells a host nothing, so nothing is gained by counts that were none."""
    who = database.person()
    call = "(SELECT ticket FROM totp_api_1.count_sent(%s, 'sshd', ''))::text"
    with database.connect() as host:
        check(host, who.name, who.incorrect_code(now))
        try:
            ticket = form(host, call, [who.name])
        except psycopg.Error as refused:
            assert refused.sqlstate == "25000"
        else:
            assert take_back(host, int(ticket), who.name) == "P0T01"
    assert counted(database, who.name) == (1, 900)


def test_both_in_one_transaction_leave_all_as_it_was(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        check(host, who.name, who.incorrect_code(now))
        with host.transaction():
            ticket = answer_of(
                host, "(SELECT ticket FROM totp_api_1.count_sent(%s, '', ''))", [who.name]
            )
            host.execute(TAKE, [ticket, who.name])
    assert counted(database, who.name) == (1, 900)


def test_a_ticket_of_a_row_that_has_ended_uncounts_none_of_the_next_row(
    database: Database, now: float
) -> None:
    """The owner's success ends the row; what is tried then is the next one's. The same with tries
    of used codes, which the store takes back itself."""
    who = database.person()
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[0]
        counts = [ticket_of(host, who.name) for _ in range(2)]
        used = submit(host, who.name, who.code(now))
        assert check(host, who.name, who.code(now, 1))[0]
        for _ in range(3):
            assert check(host, who.name, who.incorrect_code(now))[1] == "wrong-code"
        for each in counts:
            assert take_back(host, each, who.name) == ""
        assert reveal(host, used)[1] == "reused-code"
    assert counted(database, who.name) == (3, 2700)


@pytest.mark.parametrize("ending", ["unlock", "reset"])
def test_the_same_after_an_administrator_has_ended_the_row(
    database: Database, now: float, ending: str
) -> None:
    who = database.person()
    with database.connect() as host:
        ticket = ticket_of(host, who.name)
        database.value(f"SELECT totp_admin_1.{ending}(%s)", who.name)
        ticket_of(host, who.name)
        assert take_back(host, ticket, who.name) == ""
    assert counted(database, who.name) == (1, 900)


def test_what_went_down_meanwhile_is_not_given_back(database: Database, now: float) -> None:
    """Else a ticket that is kept open would take some seconds off what the store has counted."""
    who = database.person()
    with database.connect() as host:
        ticket = ticket_of(host, who.name)
        database.freeze_clock(now + 10)
        check(host, who.name, who.incorrect_code(now + 10))
        assert take_back(host, ticket, who.name) == ""
    assert counted(database, who.name) == (1, 900)
    assert used_by(database, "web07") == 2


@pytest.mark.parametrize("seed", range(8))
def test_whatever_a_host_counts_and_takes_back_no_other_try_counts_less(
    database: Database, now: float, seed: int
) -> None:
    """Two people at whom the same codes are tried; for one of them a stolen host counts and takes
    back as it likes."""
    dice = random.Random(seed)
    who, other = database.person(), database.person()
    tickets: list[int] = []
    at = now
    with database.connect(f"dice{seed}") as thief, database.connect("web07") as host:
        for _ in range(150):
            action = dice.choice(["count", "count", "take", "take", "wrong", "right", "later"])
            if action == "count" and (ticket := count(thief, who.name)[0]):
                tickets.append(ticket)
            elif action == "take" and tickets:
                take_back(thief, tickets.pop(dice.randrange(len(tickets))), who.name)
            elif action == "later":
                at = database.freeze_clock(at + dice.choice([0.2, 3, 9, 40, 400]))
            elif action in ("wrong", "right"):
                for each in (who, other):
                    code = each.code(at) if action == "right" else each.incorrect_code(at)
                    check(host, each.name, code)
            mine, its = counted(database, who.name), counted(database, other.name)
            if mine[0] < its[0] or mine[1] < its[1] - 1e-3:
                # A try that was refused because of the counts was none: only that may differ.
                assert refusals(database, who) > refusals(database, other), (action, mine, its)


def refusals(database: Database, who: Person) -> int:
    """How many tries of the store's own were not compared: each that was has a row."""
    query = "SELECT -count(*) FROM totp.attempt WHERE person = %s AND NOT is_sent"
    return int(database.value(query, who.name))


def test_a_persons_tries_are_as_many_by_whatever_way_and_from_however_many_hosts(
    database: Database, now: float
) -> None:
    who = database.person()
    for number in range(12):
        with database.connect(f"way{number % 4}") as host:
            if number % 2:
                answer = count(host, who.name)[1] or "wrong-code"
            else:
                answer = check(host, who.name, who.incorrect_code(now))[1]
        assert answer == ("wrong-code" if number < 5 else "throttled")


def test_open_tickets_let_nobody_open_more(database: Database, now: float) -> None:
    """Of a person as many as there are tries, of a host as many as it has."""
    database.add_host("opens", burst=300)
    with database.connect("opens") as thief:
        refusals = [count(thief, "nobody")[1] for _ in range(1000)]
        assert refusals == [None] * 5 + ["throttled"] * 995
        names = [newcomer() for _ in range(1000)]
        refusals = [count(thief, name)[1] for name in names]
        assert refusals == [None] * 295 + ["host-throttled"] * 705
    left = "SELECT count(*) FROM totp.person WHERE name = ANY (%s)"
    assert database.value(left, names) == 295


def test_a_host_that_has_no_tries_left_locks_nobody_else_out(
    database: Database, now: float
) -> None:
    """By whichever of the two it has used them up."""
    database.add_host("locks", burst=3)
    who, other = database.person(), database.person()
    with database.connect("locks") as thief, database.connect() as host:
        assert count(thief, who.name)[1] is None
        check(thief, who.name, who.incorrect_code(now))
        assert count(thief, who.name)[1] is None
        assert count(thief, other.name)[1:3] == ("host-throttled", 2)
        assert check(thief, other.name, other.incorrect_code(now))[1] == "host-throttled"
        assert check(host, who.name, who.code(now))[0]
        assert check(host, other.name, other.code(now))[0]


def test_who_keeps_a_person_waiting_by_open_tickets_pays_as_for_other_tries(
    database: Database, now: float
) -> None:
    """Though all of them are taken back, just before they can no more be."""
    database.add_host("holds", burst=20)
    names, at = [newcomer(), newcomer()] * 5, now
    answers: list[tuple[Any, ...]] = []
    with database.connect("holds") as thief:
        while all(each[1] is None for each in answers):
            assert at < now + 100
            at = database.freeze_clock(at + 9.9)
            for each, name in zip(answers, names, strict=False):
                assert take_back(thief, each[0], name) == ""
            answers = [count(thief, name) for name in names]
    assert answers[-1][1] == "host-throttled"


def test_a_person_whom_the_store_does_not_know_is_counted_and_forgotten(
    database: Database, now: float
) -> None:
    name = newcomer()
    with database.connect() as host:
        tickets = [ticket_of(host, name) for _ in range(2)]
        assert count(host, name)[3] is False
        row = host.execute("SELECT * FROM totp_api_1.standing(%s)", [name]).fetchone()
        assert row == ("not-enrolled", 0)
        for each in tickets:
            assert take_back(host, each, name) == ""
        assert counted(database, name) == (1, 900)
        ticket_of(host, name)
        [ticket_of(host, name) for _ in range(3)]
        row = host.execute("SELECT * FROM totp_api_1.standing(%s)", [name]).fetchone()
        assert row == ("not-enrolled", 30)
        database.freeze_clock(now + 89 * 86400)
        host.execute("SELECT totp_api_1.hello(0, '1')")
        assert database.value("SELECT count(*) FROM totp.person WHERE name = %s", name) == 1
        database.freeze_clock(now + 91 * 86400)
        for _ in range(10):  # in small portions
            host.execute("SELECT totp_api_1.hello(0, '1')")
    assert database.value("SELECT count(*) FROM totp.person WHERE name = %s", name) == 0


def test_names_that_a_host_invents_are_forgotten_whatever_it_does_with_its_tickets(
    database: Database, now: float
) -> None:
    """Also where a second of a try is left that was taken back late, and no more rows are kept of
    what costs no try."""
    name = newcomer()
    with database.connect() as thief:
        tickets = [ticket_of(thief, name)]
        database.freeze_clock(now + 1)
        tickets.append(ticket_of(thief, name))
        database.freeze_clock(now + 2)
        database.admin.execute("UPDATE totp.host SET rows_used = totp.clock() + 600")
        for each in reversed(tickets):
            assert take_back(thief, each, name) == ""
        assert counted(database, name) == (0, 1)
        database.freeze_clock(now + 91 * 86400)
        for _ in range(10):  # in small portions
            thief.execute("SELECT totp_api_1.hello(0, '1')")
    assert database.value("SELECT count(*) FROM totp.person WHERE name = %s", name) == 0


def test_of_a_name_that_stays_the_host_gets_no_try_back(database: Database, now: float) -> None:
    """Else it could leave as many behind as it likes."""
    name = newcomer()
    with database.connect() as host:
        ticket, _ = ticket_of(host, name), ticket_of(host, name)
        assert take_back(host, ticket, name) == ""
    assert used_by(database, "web07") == 4


def test_no_code_of_somebody_without_an_app_is_submitted_in_place_of_a_try(
    database: Database, now: float
) -> None:
    """It would leave a name behind for good, and free of charge."""
    name = newcomer()
    with database.connect() as host:
        ticket = ticket_of(host, name)
        with pytest.raises(psycopg.Error) as refused:
            submit_counted(host, ticket, name, "12345678")
        assert refused.value.sqlstate == "P0T01"
        assert counted(database, name) == (1, 900)
        assert used_by(database, "web07") == 2
        assert take_back(host, ticket, name) == ""
    assert database.value("SELECT count(*) FROM totp.person WHERE name = %s", name) == 0


def test_a_name_is_not_forgotten_with_its_invitation_while_its_tries_count(
    database: Database, now: float
) -> None:
    """Else an invitation that ends would give the tries back."""
    name = newcomer()
    with database.connect() as host:
        database.value("SELECT totp_admin_1.invite(%s, interval '1 day')", name)
        [ticket_of(host, name) for _ in range(5)]
        assert database.value("SELECT totp_admin_1.end_invitation(%s)", name)
        assert count(host, name)[1] == "throttled"


def test_hosts_that_count_somebody_unknown_at_once_count_all(
    database: Database, now: float
) -> None:
    name = newcomer()
    connections = [database.connect(f"once{number}") for number in range(16)]
    barrier = threading.Barrier(len(connections))

    def ask(host: Connection) -> str | None:
        barrier.wait()
        refusal: str | None = count(host, name)[1]
        return refusal

    with ThreadPoolExecutor(len(connections)) as pool:
        found = list(pool.map(ask, connections))
    for each in connections:
        each.close()
    assert found.count(None) <= 5
    assert counted(database, name) == (found.count(None), found.count(None) * 900)


def test_a_try_in_place_of_another_counts_once(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        for number in range(1, 6):  # the fifth too, although five are counted then
            ticket = ticket_of(host, who.name)
            revealed, refusal, _ = submit_counted(host, ticket, who.name, who.incorrect_code(now))
            assert refusal is None
            assert reveal(host, revealed)[1] == "wrong-code"
            assert counted(database, who.name) == (number, number * 900)
            assert take_back(host, ticket, who.name) == "P0T01"
    assert used_by(database, "web07") == 10


def test_a_try_that_is_refused_in_place_of_another_leaves_that_counted(
    database: Database, now: float
) -> None:
    who = database.person()
    with database.connect() as host, database.connect("web08") as other:
        ticket = ticket_of(host, who.name)
        later = database.freeze_clock(now + 1)
        for _ in range(4):
            check(other, who.name, who.incorrect_code(later))
        database.admin.execute("UPDATE totp.person SET in_a_row = 7 WHERE name = %s", [who.name])
        before = counted(database, who.name)
        answer = submit_counted(host, ticket, who.name, who.code(later))
        assert answer == (None, "throttled", 60)
        assert counted(database, who.name) == before
        assert used_by(database, "web07") == 1
        assert take_back(host, ticket, who.name) == ""  # it is still there


def test_a_host_that_dies_between_the_two_leaves_the_try_counted(
    database: Database, now: float
) -> None:
    name = newcomer()
    host = database.connect()
    ticket_of(host, name)
    host.close()
    assert counted(database, name) == (1, 900)


def test_tries_of_somebody_without_an_app_can_be_unlocked(database: Database, now: float) -> None:
    name = newcomer()
    with database.connect() as host:
        [ticket_of(host, name) for _ in range(5)]
        waiting = "SELECT waiting_seconds FROM totp_admin_1.people(ARRAY[%s])"
        assert database.value(waiting, name) == 30
        assert database.value("SELECT totp_admin_1.unlock(%s)", name)
        assert database.value(waiting, name) == 0
    assert counted(database, name) == (0, 4500)


@pytest.mark.parametrize("has_app", [True, False])
def test_thirty_days_of_guessing_at_500_hosts_by_all_ways(
    database: Database, now: float, has_app: bool
) -> None:
    """The owner logs in each hour by a code that was sent, and with an app by that too, which ends
    the wait; each try is used at once by the next host that may."""
    name = database.person().name if has_app else newcomer()
    database.admin.execute("UPDATE totp.host SET burst = 1000000 WHERE name = 'web07'")
    at, guesses, end = now, 0, now + DAYS * 86400
    with database.connect("web07") as hosts:
        next_login = at
        while at < end:
            if at >= next_login and (ticket := count(hosts, name)[0]):
                assert take_back(hosts, ticket, name) == ""
                if has_app:  # as an accepted code leaves it
                    database.admin.execute(
                        "UPDATE totp.person SET in_a_row = 0, rows_ended = rows_ended + 1,"
                        " last_try = 0 WHERE name = %s",
                        [name],
                    )
                next_login = at + 3600
            by_app = has_app and guesses % 2
            if by_app:
                row = hosts.execute(
                    "SELECT ticket, wait_seconds FROM totp_api_1.submit(%s, '000000', '', '')",
                    [name],
                ).fetchone()
                assert row is not None
                ticket, wait = row
            else:
                ticket, _, wait, _ = count(hosts, name)
            guesses += ticket is not None
            if not ticket:
                at = database.freeze_clock(at + max(wait, 1))
    database.admin.execute("UPDATE totp.host SET burst = NULL WHERE name = 'web07'")
    assert 200 < guesses < 300 + DAYS * 86400 / 900 + 10
    # Each of the app's 3 steps of a million codes, and one of the 100 million that are sent.
    assert guesses * (3 / CODES + 1 / 10**8) < MAX_CHANCE
