# SPDX-License-Identifier: MIT
"""Who may call a function may also take the call back. So the store tells nothing that rests on
what is not committed: else a stolen host would guess on and on, and no try would be counted."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.fleet.database import KEY_FILE, Connection, Database, Person

# What one writes first: counts, checks, records the step and answers, all in one. For tests alone.
NAIVE = """
SET ROLE totp_owner;
CREATE OR REPLACE FUNCTION totp_api_1.naive_check(name text, code text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE p totp.person; c totp.credential; step bigint; secret bytea;
BEGIN
  SELECT * INTO p FROM totp.person x WHERE x.name = naive_check.name FOR UPDATE;
  IF p.in_a_row >= 5 THEN RETURN 'throttled'; END IF;
  UPDATE totp.person SET in_a_row = in_a_row + 1 WHERE id = p.id;
  SELECT * INTO c FROM totp.credential x WHERE x.person = p.id;
  secret := totp.unseal(c.sealed, totp.place_of(p, c.id), c.key_version);
  FOR step IN floor(totp.clock() / 30)::bigint - 1 .. floor(totp.clock() / 30)::bigint + 1 LOOP
    IF totp.hotp(secret, step, 6, 'sha1') = code AND step > c.last_step THEN
      UPDATE totp.credential SET last_step = step WHERE id = c.id;
      UPDATE totp.person SET in_a_row = 0 WHERE id = p.id;
      RETURN 'accepted';
    END IF;
  END LOOP;
  RETURN 'refused';
END $$;
GRANT EXECUTE ON FUNCTION totp_api_1.naive_check(text, text) TO totp_host;
RESET ROLE;
"""
ONE_CALL = "totp_api_1.naive_check(%s, %s)"
# The store's own two functions, as one expression.
BOTH = (
    "(SELECT r.reason FROM totp_api_1.submit(%s, %s, 'sshd', '') s,"
    " LATERAL totp_api_1.reveal(s.ticket) r)"
)
GUESSES = 20


def in_a_transaction(host: Connection, call: str, guess: list[str]) -> Any:
    with host.transaction(force_rollback=True):
        return answer_of(host, call, guess)


def in_a_savepoint(host: Connection, call: str, guess: list[str]) -> Any:
    with host.transaction(), host.transaction(force_rollback=True):
        return answer_of(host, call, guess)


def before_an_error(host: Connection, call: str, guess: list[str]) -> Any:
    """The first row is with the host when the second one fails."""
    rows = host.cursor().stream(
        f"SELECT CASE WHEN n = 1 THEN {call} ELSE (1 / (n - 2))::text END"
        " FROM generate_series(1, 2) n",
        guess,
    )
    answer = next(rows)[0]
    with pytest.raises(psycopg.errors.DivisionByZero):
        list(rows)
    return answer


def in_a_pipeline_without_sync(host: Connection, call: str, guess: list[str]) -> Any:
    """All up to the next Sync message is one transaction, and the answers come before it."""
    answer = None
    with pytest.raises(psycopg.errors.DivisionByZero), host.pipeline():
        answer = answer_of(host, call, guess)
        host.execute("SELECT 1 / 0")
    return answer


def under_an_old_snapshot(host: Connection, call: str, guess: list[str]) -> Any:
    with host.transaction(force_rollback=True):
        host.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        host.execute("SELECT 1")
        return answer_of(host, call, guess)


def in_a_cursor_that_is_held(host: Connection, call: str, guess: list[str]) -> Any:
    with host.transaction(force_rollback=True):
        host.execute(f"DECLARE held CURSOR WITH HOLD FOR SELECT {call}", guess)
        row = host.execute("FETCH held").fetchone()
        return row and row[0]


FORMS = (
    in_a_transaction,
    in_a_savepoint,
    before_an_error,
    in_a_pipeline_without_sync,
    under_an_old_snapshot,
    in_a_cursor_that_is_held,
)
Form = Callable[[Connection, str, list[str]], Any]


def answer_of(host: Connection, call: str, guess: list[str]) -> Any:
    row = host.execute(f"SELECT {call}", guess).fetchone()
    return row and row[0]


def guesses(who: Person, now: float) -> Iterator[str]:
    """The last of them is correct: so many a guesser needs who knows most of the digits."""
    correct = [who.code(now, steps) for steps in (-1, 0, 1)]
    others = (f"{(int(correct[1]) + each) % 10**6:06}" for each in range(1, GUESSES + 2))
    yield from [each for each in others if each not in correct][: GUESSES - 1]
    yield correct[1]


def in_a_row(database: Database, who: Person) -> Any:
    return database.value("SELECT in_a_row FROM totp.person WHERE name = %s", who.name)


@pytest.fixture(scope="module")
def naive(database: Database) -> Database:
    """The store with a function of the kind that is attacked."""
    database.admin.execute(NAIVE)
    return database


@pytest.mark.parametrize("form", FORMS)
def test_a_check_in_one_transaction_is_guessed_without_a_trace(
    naive: Database, now: float, form: Form
) -> None:
    who = naive.person()
    with naive.connect() as host:
        answers = [form(host, ONE_CALL, [who.name, guess]) for guess in guesses(who, now)]
    assert answers == ["refused"] * (GUESSES - 1) + ["accepted"]
    assert in_a_row(naive, who) == 0


@pytest.mark.parametrize("form", FORMS)
def test_the_store_tells_nothing_that_can_be_taken_back(
    database: Database, now: float, form: Form
) -> None:
    """Rule 46."""
    who = database.person()
    with database.connect() as host:
        for guess in guesses(who, now):
            with pytest.raises(psycopg.Error) as refused:
                form(host, BOTH, [who.name, guess])
            assert refused.value.sqlstate in ("P0T01", "25000")


def test_a_savepoint_that_was_released_does_not_count_as_committed(
    database: Database, now: float
) -> None:
    who = database.person()
    with database.connect() as host, pytest.raises(psycopg.Error) as refused, host.transaction():
        with host.transaction():
            ticket = submit(host, who.name, who.code(now))
        reveal(host, ticket)
    assert refused.value.sqlstate == "P0T01"


def test_the_procedure_is_refused_in_a_transaction(database: Database, now: float) -> None:
    who = database.person()
    with (
        database.connect() as host,
        pytest.raises(psycopg.errors.InvalidTransactionTermination),
        host.transaction(),
    ):
        host.execute("CALL totp_api_1.check(%s, %s, '', '')", [who.name, who.code(now)])


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_a_ticket_is_not_revealed_under_an_older_snapshot(
    database: Database, now: float, level: str
) -> None:
    who = database.person()
    with (
        database.connect() as host,
        database.connect() as other,
        pytest.raises(psycopg.errors.InvalidTransactionState),
        host.transaction(),
    ):
        host.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
        host.execute("SELECT 1")
        reveal(host, submit(other, who.name, who.code(now)))


def test_a_ticket_is_of_the_host_that_got_it(database: Database, now: float) -> None:
    who = database.person()
    with database.connect("web07") as host, database.connect("web08") as other:
        ticket = submit(host, who.name, who.code(now))
        with pytest.raises(psycopg.Error) as refused:
            reveal(other, ticket)
        assert refused.value.sqlstate == "P0T01"
        assert reveal(host, ticket)[:2] == (True, "totp")


def test_a_ticket_is_revealed_only_once(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        ticket = submit(host, who.name, who.incorrect_code(now))
        assert reveal(host, ticket)[:2] == (False, "wrong-code")
        with pytest.raises(psycopg.Error) as refused:
            reveal(host, ticket)
    assert refused.value.sqlstate == "P0T01"


def test_a_ticket_that_is_revealed_twice_at_once_is_revealed_only_once(
    database: Database, now: float
) -> None:
    who = database.person()
    outcomes = []
    with database.connect() as host, database.superuser() as root:
        ticket = submit(host, who.name, who.incorrect_code(now))

        def ask(connection: Connection) -> None:
            try:
                outcomes.append(reveal(connection, ticket)[1])
            except psycopg.Error as refused:
                outcomes.append(str(refused.sqlstate))
            connection.close()

        with root.transaction():
            root.execute("SELECT FROM totp.person WHERE name = %s FOR UPDATE", [who.name])
            threads = [threading.Thread(target=ask, args=[database.connect()]) for _ in range(2)]
            for thread in threads:
                thread.start()
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
            while not outcomes and root.execute(waiting).fetchone() != (2,):
                time.sleep(0.01)
        for thread in threads:
            thread.join()
    assert sorted(outcomes) == ["P0T01", "wrong-code"]


def test_a_ticket_is_good_for_ten_seconds(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        first, second = (submit(host, who.name, who.incorrect_code(now)) for _ in range(2))
        database.freeze_clock(now + 10)
        assert reveal(host, first)[1] == "wrong-code"
        database.freeze_clock(now + 10.5)
        with pytest.raises(psycopg.Error) as refused:
            reveal(host, second)
    assert refused.value.sqlstate == "P0T01"


def test_a_ticket_is_judged_by_the_time_of_its_submission(database: Database, now: float) -> None:
    """Else one guess would be compared with the codes of more time steps."""
    who = database.person()
    with database.connect() as host:
        late = database.freeze_clock(now + 9)
        tickets = [submit(host, who.name, who.code(late, steps)) for steps in (-1, 2)]
        next_step = database.freeze_clock(now + 18)
        assert next_step // 30 == late // 30 + 1
        assert [reveal(host, each)[1] for each in tickets] == ["totp", "wrong-code"]


def test_an_answer_that_is_taken_back_is_the_same_again_and_stays_counted(
    database: Database, now: float
) -> None:
    who = database.person()
    with database.connect() as host:
        ticket = submit(host, who.name, who.incorrect_code(now))
        for _ in range(3):
            with host.transaction(force_rollback=True):
                assert reveal(host, ticket)[:2] == (False, "wrong-code")
    assert in_a_row(database, who) == 1


def test_a_submission_looks_at_no_secret(database: Database, now: float) -> None:
    """So neither its answer nor its time can tell a correct code from an incorrect one."""
    who = database.person()
    hidden = KEY_FILE.with_suffix(".hidden")
    KEY_FILE.rename(hidden)
    try:
        with database.connect() as host:
            tickets = [submit(host, who.name, code) for code in (who.code(now), "000000")]
            for ticket in tickets:
                with pytest.raises(psycopg.errors.UndefinedFile):
                    reveal(host, ticket)
    finally:
        hidden.rename(KEY_FILE)


def test_only_a_yes_waits_until_it_is_durable(database: Database, now: float) -> None:
    """Rule 46: whatever the host has set for itself."""
    who = database.person()
    waits = {}
    with database.connect() as host:
        for kept in ("on", "off", "local", "remote_apply"):
            host.execute(f"SET synchronous_commit = {kept}".encode())
            for code in (who.incorrect_code(now), who.code(now)):
                ticket = submit(host, who.name, code)
                with host.transaction(force_rollback=True):
                    accepted = reveal(host, ticket)[0]
                    row = host.execute("SHOW synchronous_commit").fetchone()
                waits[kept, accepted] = row and row[0]
            database.admin.execute("UPDATE totp.person SET in_a_row = 0")
    assert waits == {
        ("on", True): "on",
        ("off", True): "on",
        ("local", True): "on",
        ("remote_apply", True): "remote_apply",
        **{(kept, False): "off" for kept in ("on", "off", "local", "remote_apply")},
    }


def test_an_answer_that_nobody_asks_for_is_in_the_audit(database: Database, now: float) -> None:
    who = database.person()
    with database.connect("silent") as host:
        submit(host, who.name, who.code(now))
        database.freeze_clock(now + 11)
    rows = database.admin.execute(
        "SELECT host, person FROM totp_admin_1.unrevealed(to_timestamp(%s))", [now]
    ).fetchall()
    assert ("silent", who.name) in rows
    assert database.value("SELECT unrevealed FROM totp_admin_1.hosts() WHERE name = 'silent'") == 1


def submit(host: Connection, person: str, answer: str) -> int:
    row = host.execute(
        "SELECT ticket FROM totp_api_1.submit(%s, %s, 'sshd', '')", [person, answer]
    ).fetchone()
    assert row is not None and row[0] is not None
    return int(row[0])


def reveal(host: Connection, ticket: int) -> tuple[Any, ...]:
    """accepted, reason, device, recovery_left, detail, wait_seconds."""
    row = host.execute("SELECT * FROM totp_api_1.reveal(%s)", [ticket]).fetchone()
    assert row is not None
    return row
