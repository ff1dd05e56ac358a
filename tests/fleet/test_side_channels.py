# SPDX-License-Identifier: MIT
"""What a stolen host reads off the server beside the answer: how much a function wrote, and what it
says of a try that was not compared with everything."""

import re

from tests.fleet.database import Connection, Database, Person, check

LATER = (2, 3, 10, 20)  # steps from now: outside of the window, within otp.SKEW_STEPS


def submit(host: Connection, who: Person, code: str) -> int:
    query = "SELECT ticket FROM totp_api_1.submit(%s, %s, '', '')"
    row = host.execute(query, [who.name, code]).fetchone()
    assert row is not None
    return int(row[0])


def written(host: Connection, ticket: int) -> set[str]:
    """What PostgreSQL says that the answer wrote. It is taken back, so it can be asked for again;
    the first time may clean up a page as well."""
    query = f"EXPLAIN (ANALYZE, WAL, TIMING OFF) SELECT * FROM totp_api_1.reveal({ticket})"
    told = []
    for _ in range(4):
        with host.transaction(force_rollback=True):
            told.append(" ".join(row[0] for row in host.execute(query.encode())))
    return {found for each in told[1:] for found in re.findall(r"WAL: .*?bytes=\d+", each)}


def test_what_an_answer_writes_does_not_tell_that_a_guess_will_be_correct_later(
    database: Database, now: float
) -> None:
    """A stolen host would count the bytes, have twenty guesses in one, and wait."""
    with database.connect() as host:
        wrong = database.person("whox", secret=bytes(20))
        expected = written(host, submit(host, wrong, wrong.incorrect_code(now)))
        assert len(expected) == 1
        for place, steps in enumerate(LATER):
            who = database.person(f"who{place}")
            assert written(host, submit(host, who, who.code(now, steps))) == expected, steps


def test_an_answer_after_too_many_guesses_is_the_same_for_one_that_will_be_correct_later(
    database: Database, now: float
) -> None:
    """It names how many comparisons were made, for both."""
    answers = set()
    with database.connect() as host:
        for steps in (None, *LATER):
            who = database.person()
            database.admin.execute(
                "SELECT totp_admin_1.import_credential(%s, %s, 'sha1', 6, 30, 0, 'tablet', -1)",
                [who.name, bytes(range(20))],
            )
            used = "UPDATE totp.person SET budget_used = %s + 300 * 900 WHERE name = %s"
            database.admin.execute(used, [now, who.name])
            code = who.incorrect_code(now) if steps is None else who.code(now, steps)
            answers.add(check(host, who.name, code))
    made = "too many guesses, so 1 of 2 comparisons were made"
    assert answers == {(False, "wrong-code", None, None, None, made)}
