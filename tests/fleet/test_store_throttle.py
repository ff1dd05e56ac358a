# SPDX-License-Identifier: MIT
"""How many codes the store compares: rules/throttle.py for a person, a budget for each host."""

import threading
from collections import Counter
from contextlib import suppress
from itertools import cycle
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from pam_totp.rules.throttle import (
    BUDGET_TRIES,
    MAX_BUDGET_TRIES,
    Failures,
    Limits,
    count_try,
    wait_seconds,
    whole_seconds,
)
from tests.fleet.database import Connection, Database, Person, check

NOW = 1_800_000_000.0
# Times on which floats do not round, so that both sides compute the same.
SECONDS = st.integers(0, 400_000 * 64).map(lambda each: each / 64)
LIMITS = st.builds(
    Limits,
    free_tries=st.integers(1, 20),
    first_wait=st.integers(1, 900),
    longest_wait=st.sampled_from([30, 60, 512, 900]),
)
PERSON = (
    "ROW(1, 'x', %(in_a_row)s::int, %(last)s::double precision,"
    " %(budget_used)s::double precision, 0, 0, NULL, NULL)::totp.person"
)


@given(
    in_a_row=st.integers(0, 60),
    ago=SECONDS,
    budget=SECONDS,
    limits=LIMITS,
    secrets=st.integers(1, 32),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_store_waits_and_counts_as_every_host_does(
    database: Database, in_a_row: int, ago: float, budget: float, limits: Limits, secrets: int
) -> None:
    used = NOW + min(budget, MAX_BUDGET_TRIES * limits.longest_wait) - limits.longest_wait
    failures = Failures(in_a_row=in_a_row, last=NOW - ago, budget_used=used)
    compared, counted = count_try(failures, NOW, limits, secrets)
    row = database.admin.execute(
        f"SELECT totp.wait_seconds({PERSON}, given, %(now)s), c.compared,"
        "  (c.person).in_a_row, (c.person).last_try, (c.person).budget_used, c.charged"
        " FROM totp.setting, jsonb_populate_record(setting, %(limits)s) given,"
        f" totp.count_try({PERSON}, given, %(now)s, %(secrets)s) c",
        {"now": NOW, "secrets": secrets, "limits": Jsonb(vars(limits)), **vars(failures)},
    ).fetchone()
    assert row is not None
    *theirs, charged = row
    assert theirs == [
        wait_seconds(failures, NOW, limits),
        compared,
        counted.in_a_row,
        counted.last,
        counted.budget_used,
    ]
    assert charged == counted.budget_used - max(used, NOW)


def test_five_incorrect_codes_on_two_hosts_are_five(database: Database, now: float) -> None:
    """Rule 34: hosts share the throttle."""
    who = database.person()
    with database.connect("web07") as first, database.connect("web08") as second:
        answers = [
            check(host, who.name, who.incorrect_code(now))[1:4:2]
            for host, _ in zip(cycle([first, second]), range(7), strict=False)
        ]
    assert answers == [("wrong-code", None)] * 5 + [("throttled", 30)] * 2


def test_forty_tries_at_once_are_five(database: Database, now: float) -> None:
    """Rule 20."""
    who = database.person()
    answers: list[Any] = []

    def try_often(host: Connection) -> None:
        for _ in range(4):
            with suppress(psycopg.errors.LockNotAvailable):  # on a machine that is busy
                answers.append(check(host, who.name, who.incorrect_code(now))[1])

    connections = [database.connect(f"at-once-{each // 4}") for each in range(10)]
    together([threading.Thread(target=try_often, args=[each]) for each in connections])
    for each in connections:
        each.close()
    assert database.value("SELECT count(*) FROM totp_admin_1.tries(%s, 100)", who.name) == 5
    assert set(answers) <= {"wrong-code", "throttled"}
    assert answers.count("wrong-code") <= 5


def test_the_waits_are_those_of_the_rules(database: Database, now: float) -> None:
    who = database.person()
    failures, at, waits = Failures(), now, []
    with database.connect() as host:
        for _ in range(12):
            wait = wait_seconds(failures, at, Limits())
            if wait > 0:
                answer = check(host, who.name, who.incorrect_code(now))
                assert answer[1:4:2] == ("throttled", whole_seconds(wait))
                assert answer[5] == f"{whole_seconds(wait)} s to wait"
                waits.append(wait)
                at = database.freeze_clock(at + wait)
            _, failures = count_try(failures, at, Limits())
            assert check(host, who.name, who.incorrect_code(at))[1] == "wrong-code"
    assert waits == [30, 60, 120, 240, 480, 900, 900]


def test_a_correct_code_ends_the_waits_and_costs_nothing(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        for _ in range(4):
            check(host, who.name, who.incorrect_code(now))
        before = state(database, who)
        assert check(host, who.name, who.code(now))[0]
    assert (before.in_a_row, state(database, who).in_a_row) == (4, 0)
    assert state(database, who).budget_used == before.budget_used == now + 4 * 900


def test_a_used_code_is_no_try(database: Database, now: float) -> None:
    """The owner in a hurry. It tells a guesser nothing."""
    who = database.person()
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[0]
        for _ in range(4):
            check(host, who.name, who.incorrect_code(now))
        database.freeze_clock(now + 5)
        before = state(database, who)
        for _ in range(5):
            assert check(host, who.name, who.code(now))[1] == "reused-code"
    assert vars(state(database, who)) == vars(before)


def test_a_code_compared_with_three_credentials_is_three_guesses(
    database: Database, now: float
) -> None:
    """Rule 34: over all credentials."""
    who = database.person()
    for _ in range(2):
        database.add_secret(Person(who.name, database.person().secret))
    with database.connect() as host:
        check(host, who.name, who.incorrect_code(now))
    assert state(database, who).budget_used == now + 3 * 900


def test_with_a_budget_nearly_used_the_credential_used_last_is_compared_first(
    database: Database, now: float
) -> None:
    old, new = database.person(), database.person()
    database.add_secret(Person(old.name, new.secret), last_step=int(now // 30) - 5)
    use_budget(database, old, now, tries=BUDGET_TRIES)
    with database.connect() as host:
        answer = check(host, old.name, old.code(now))
        assert answer[1] == "wrong-code"
        assert answer[5] == "too many guesses, so 1 of 2 comparisons were made"
        use_budget(database, old, now, tries=BUDGET_TRIES)
        assert check(host, old.name, new.code(now))[1] == "totp"


def test_a_used_budget_lets_one_try_through_in_fifteen_minutes(
    database: Database, now: float
) -> None:
    """Rule 26: the owner can always log in again."""
    who = database.person()
    use_budget(database, who, now, tries=BUDGET_TRIES + 1)
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[1:4:2] == ("throttled", 900)
        assert standing(host, who) == ("enrolled", 900)
        at = database.freeze_clock(now + 900)
        assert check(host, who.name, who.incorrect_code(at))[1] == "wrong-code"
        assert check(host, who.name, who.incorrect_code(at))[1] == "throttled"
        later = database.freeze_clock(at + 900)
        assert check(host, who.name, who.code(later))[1] == "totp"


@pytest.mark.parametrize("days", [1, 4000])
def test_a_clock_that_was_set_back_gives_one_guess_and_keeps_nobody_waiting(
    database: Database, now: float, days: int
) -> None:
    """Rule 16. On a server the clock may be set, other than the kernel's time since boot."""
    who = database.person()
    with database.connect() as host:
        for _ in range(5):
            check(host, who.name, who.incorrect_code(now))
        back = database.freeze_clock(now - 86400 * days)
        assert check(host, who.name, who.incorrect_code(back))[1] == "wrong-code"
        assert check(host, who.name, who.incorrect_code(back))[1:4:2] == ("throttled", 900)
        later = database.freeze_clock(back + 900)
        assert check(host, who.name, who.code(later))[1] == "totp"


def test_a_clock_some_seconds_behind_after_a_failover_gives_no_guess(
    database: Database, now: float
) -> None:
    who = database.person()
    with database.connect() as host:
        for _ in range(5):
            check(host, who.name, who.incorrect_code(now))
        database.freeze_clock(now - 10)
        assert check(host, who.name, who.incorrect_code(now))[1:4:2] == ("throttled", 40)


def test_a_host_has_300_tries_over_all_people_and_then_one_in_two_seconds(
    database: Database, now: float
) -> None:
    database.set(host_burst=20)
    try:
        people = [database.person() for _ in range(25)]
        with database.connect("greedy") as host, database.connect("web08") as other:
            answers = [check(host, each.name, each.incorrect_code(now))[1] for each in people]
            assert Counter(answers) == {"wrong-code": 20, "host-throttled": 5}
            assert check(host, people[-1].name, people[-1].code(now))[1:4:2] == (
                "host-throttled",
                2,
            )
            assert check(other, people[-1].name, people[-1].code(now))[0]
            database.freeze_clock(now + 2)
            answers = [check(host, each.name, each.incorrect_code(now))[1] for each in people[:2]]
            assert answers == ["wrong-code", "host-throttled"]
    finally:
        database.set(host_burst=300)
    assert database.value("SELECT host_seconds FROM totp.setting") == 2
    assert database.value("SELECT tries_left FROM totp_admin_1.hosts() WHERE name = 'greedy'") > 0


def test_accepted_codes_cost_a_host_nothing(database: Database, now: float) -> None:
    database.add_host("jump", burst=2, seconds=5)
    with database.connect("jump") as host:
        for _ in range(4):
            who = database.person()
            assert check(host, who.name, who.code(now))[1] == "totp"


@pytest.mark.parametrize("endless", ["used code", "recovery code", "not enrolled"])
def test_what_somebody_may_type_without_end_uses_up_no_tries_of_the_host(
    database: Database, now: float, endless: str
) -> None:
    """No wait of the person stops these. Nobody else is kept from logging in, and the disk does not
    fill."""
    who, other = database.person(), database.person()
    codes = database.value("SELECT totp_admin_1.new_recovery_codes(%s)", other.name)
    name = f"small-{endless.replace(' ', '-')}"
    database.add_host(name, burst=3, seconds=5)
    with database.connect(name) as host:
        if endless == "used code":
            assert check(host, who.name, who.code(now))[1] == "totp"
        person = "nobody-there" if endless == "not enrolled" else who.name
        typed = "a" * 16 if endless == "recovery code" else who.code(now)
        reasons = Counter(check(host, person, typed)[1] for _ in range(10))
        assert not {"throttled", "host-throttled", "totp"} & reasons.keys()
        assert check(host, other.name, other.incorrect_code(now))[1] == "wrong-code"
        assert check(host, other.name, other.code(now))[1] == "totp"
        assert check(host, other.name, codes[0])[1] == "recovery-code"
    assert (
        database.value(
            "SELECT count(*) FROM totp.attempt WHERE host = %s AND person = %s"
            " AND reason IS DISTINCT FROM 'totp'",
            name,
            person,
        )
        == 3
    )


@pytest.mark.parametrize("code", ["000000", "a" * 16])
def test_tries_whose_answer_nobody_asks_for_are_no_more_than_a_host_has(
    database: Database, now: float, code: str
) -> None:
    who = database.person()
    database.add_host(f"asks-nothing-{len(code)}", burst=3, seconds=5)
    submit = "SELECT refusal FROM totp_api_1.submit(%s, %s, '', '')"
    with database.connect(f"asks-nothing-{len(code)}") as host:
        answers = [host.execute(submit, [who.name, code]).fetchone() for _ in range(5)]
    assert answers == [(None,)] * 3 + [("host-throttled",)] * 2


def test_recovery_codes_pass_the_wait(database: Database, now: float) -> None:
    who = database.person()
    codes = database.value("SELECT totp_admin_1.new_recovery_codes(%s)", who.name)
    with database.connect() as host:
        for _ in range(6):
            check(host, who.name, who.incorrect_code(now))
        assert check(host, who.name, who.code(now))[1] == "throttled"
        assert check(host, who.name, codes[0])[1:5:3] == ("recovery-code", 9)
        holds = [check(host, who.name, "a" * 16)[3] for _ in range(8)]
        assert holds == [0, 0, 0, 0, 0, 1, 2, 3]
        assert check(host, who.name, codes[1])[1] == "recovery-code"


def state(database: Database, who: Person) -> Failures:
    row = database.admin.execute(
        "SELECT in_a_row, last_try, budget_used FROM totp.person WHERE name = %s", [who.name]
    ).fetchone()
    assert row is not None
    return Failures(in_a_row=row[0], last=row[1], budget_used=row[2])


def use_budget(database: Database, who: Person, now: float, *, tries: int) -> None:
    """As so many incorrect codes would, long ago but for the last."""
    database.admin.execute(
        "UPDATE totp.person SET in_a_row = 0, last_try = 0, budget_used = %s WHERE name = %s",
        [now + tries * 900, who.name],
    )


def standing(host: Connection, who: Person) -> tuple[Any, ...] | None:
    return host.execute("SELECT * FROM totp_api_1.standing(%s)", [who.name]).fetchone()


def together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
