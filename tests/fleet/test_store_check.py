# SPDX-License-Identifier: MIT
"""What the store answers to a host that means well, and to one that sends anything."""

import base64
import hashlib
import random
import threading
from collections import Counter
from typing import Any

import psycopg
import pyotp
import pytest

from tests.fleet.database import Connection, Database, Person, check, wait_until

NAMES = (
    "x" * 255,
    "jürgen",
    "李雷",
    "o'brien",
    '"; DROP TABLE totp.person; --',
    "'; SELECT 1; --",
    "$1",
    "%s",
    "-rf",
    "../../etc/passwd",
    "a b\tc\nd",
    "EXAMPLE\\alice",
)
ODD_ANSWERS = (
    "",
    " ",
    "12345",
    "123456789",
    "12345a",
    "+12345",
    "-12345",
    "\uff11\uff12\uff13\uff14\uff15\uff16",
    "\u0661\u0662\u0663\u0664\u0665\u0666",
    "123456\n",
    "123 456",
    "0x1e24",
    "a" * 15,
    "a" * 17,
    "A" * 16,
    "a0" * 8,
    "'; DROP TABLE x;",
    "%s%s%s",
    "9" * 100_000,
)


def test_a_code_is_accepted_only_once(database: Database, now: float) -> None:
    who = database.person()
    with database.connect("web07") as first, database.connect("web08") as second:
        assert check(first, who.name, who.code(now))[:3] == (True, "totp", "phone")
        answer = check(second, who.name, who.code(now))
    step = int(now // 30)
    steps = f"time step {step}; last accepted {step}, current {step}"
    assert answer == (False, "reused-code", "phone", None, None, f"code already used ({steps})")


def test_one_code_from_24_connections_of_two_hosts_is_accepted_once(
    database: Database, now: float
) -> None:
    """Rule 20."""
    rounds = 10
    people = [database.person() for _ in range(rounds)]
    codes = [database.value("SELECT totp_admin_1.new_recovery_codes(%s)", people[0].name)[0]]
    tries = [(people[0].name, codes[0]), *((each.name, each.code(now)) for each in people)]
    gate = threading.Barrier(24)
    answers: list[list[str]] = [[] for _ in tries]

    def try_all(host: Connection) -> None:
        for given, (name, code) in zip(answers, tries, strict=True):
            gate.wait()
            try:
                given.append(check(host, name, code)[1])
            except psycopg.errors.LockNotAvailable:  # on a machine that is busy
                given.append("unavailable")

    connections = [database.connect(f"race-{each // 4}") for each in range(24)]
    threads = [threading.Thread(target=try_all, args=[each], daemon=True) for each in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in connections:
        each.close()
    assert [len(given) for given in answers] == [24] * len(tries)
    accepted = [Counter(given)["totp"] + Counter(given)["recovery-code"] for given in answers]
    assert accepted == [1] * len(tries)
    assert {reason for given in answers for reason in given} <= {
        *("totp", "recovery-code", "reused-code", "throttled", "unavailable")
    }


def test_codes_are_those_of_pyotp(database: Database) -> None:
    """3,000 secrets of each length, algorithm and number of digits, in one query."""
    source = random.Random(4226)
    rows = []
    for _ in range(3000):
        secret = source.randbytes(source.choice([10, 16, 20, 32, 64, 65, 100, 128]))
        algorithm = source.choice(["sha1", "sha256", "sha512"])
        digits = source.choice([6, 7, 8])
        step = source.choice([0, 1, source.getrandbits(31), source.getrandbits(40)])
        otp = pyotp.HOTP(
            base64.b32encode(secret).decode(), digits=digits, digest=getattr(hashlib, algorithm)
        )
        rows.append((secret, step, digits, algorithm, otp.at(step)))
    columns = [list(column) for column in zip(*rows, strict=True)]
    different = database.admin.execute(
        "SELECT secret, step FROM unnest(%s::bytea[], %s::bigint[], %s::int[], %s::text[],"
        " %s::text[]) v (secret, step, digits, algorithm, code)"
        " WHERE totp.hotp(secret, step, digits, algorithm) <> code",
        columns,
    ).fetchall()
    assert different == []


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("digits", [6, 7, 8])
def test_every_kind_of_secret_is_checked(
    database: Database, now: float, algorithm: str, digits: int
) -> None:
    who = database.person(algorithm=algorithm, digits=digits, period=60)
    with database.connect() as host:
        assert check(host, who.name, who.incorrect_code(now))[0] is False
        assert check(host, who.name, who.code(now, 1))[1] == "totp"
        assert check(host, who.name, who.code(now))[1] == "reused-code"


def test_the_window_is_the_setting(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        assert check(host, who.name, who.code(now, -2))[1] == "clock-skew"
        assert check(host, who.name, who.code(now, -1))[1] == "totp"
        database.set(window_steps=2)
        try:
            assert check(host, who.name, who.code(now, 2))[1] == "totp"
        finally:
            database.set(window_steps=1)


def test_a_token_whose_clock_is_ahead_has_its_offset(database: Database, now: float) -> None:
    who = Person("token", bytes(range(20)))
    database.admin.execute(
        "SELECT totp_admin_1.import_credential(%s, %s, 'sha1', 6, 30, 7, 'token', -1)",
        [who.name, who.secret],
    )
    with database.connect() as host:
        assert check(host, who.name, who.code(now, 5))[1] == "clock-skew"
        assert check(host, who.name, who.code(now, 8))[:3] == (True, "totp", "token")


def test_steps_that_were_used_before_an_import_stay_used(database: Database, now: float) -> None:
    who = Person("imported", bytes(range(20)))
    database.add_secret(who, last_step=int(now // 30))
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[1] == "reused-code"
        assert check(host, who.name, who.code(now, 1))[1] == "totp"


def test_a_phone_whose_clock_is_behind_is_told_from_a_guess(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        answer = check(host, who.name, who.code(now, -10))
        assert check(host, who.name, who.code(now, -21))[1] == "wrong-code"
    detail = "code would have been correct 300 s ago; compare the clocks"
    assert answer == (False, "clock-skew", "phone", None, None, detail)


def test_no_host_is_told_that_a_guess_will_be_correct_later(database: Database, now: float) -> None:
    """A stolen host would have twenty guesses in one, and wait. The audit knows it."""
    who = database.person()
    with database.connect() as host:
        answers = {check(host, who.name, who.code(now, steps)) for steps in (2, 10, 20, 21)}
    assert answers == {(False, "wrong-code", None, None, None, "")}
    rows = database.admin.execute(
        "SELECT reason, detail FROM totp_admin_1.tries(%s, 10)", [who.name]
    ).fetchall()
    later = [
        ("clock-skew", f"code would be correct in {seconds} s; compare the clocks")
        for seconds in (60, 300, 600)
    ]
    assert sorted(rows, key=str) == sorted([*later, ("wrong-code", None)], key=str)


@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_what_is_no_code_is_refused_and_not_counted(
    database: Database, now: float, answer: str
) -> None:
    """Rule 5."""
    who = database.person()
    with database.connect() as host:
        assert check(host, who.name, answer) == (False, "bad-input", None, None, None, "")
    assert database.value("SELECT in_a_row FROM totp.person WHERE name = %s", who.name) == 0


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_only_a_name(database: Database, now: float, name: str) -> None:
    """Rule 23."""
    who = database.person(name)
    with database.connect() as host:
        assert check(host, name, who.code(now))[1] == "totp"
        assert check(host, name, who.code(now), service=name, rhost=name)[1] == "reused-code"
    tries = "SELECT service, rhost FROM totp_admin_1.tries(%s, 1)"
    assert database.admin.execute(tries, [name]).fetchone() == (name[:64], name)


@pytest.mark.parametrize("name", ["", "x" * 256, "ü" * 128])
def test_a_name_that_no_account_has_is_refused(database: Database, now: float, name: str) -> None:
    with database.connect() as host:
        assert check(host, name, "123456")[1] == "bad-input"
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        database.value("SELECT totp_admin_1.invite(%s, '1 day')", name)


@pytest.mark.parametrize("argument", range(4))
def test_an_argument_that_is_missing_or_no_text_gives_no_answer(
    database: Database, now: float, argument: int
) -> None:
    who = database.person()
    arguments: list[Any] = [who.name, who.incorrect_code(now), "sshd", ""]
    with database.connect() as host:
        for value in (b"\0", b"a\0b", b"\xff\xfe"):
            arguments[argument] = value
            query = b"SELECT * FROM totp_api_1.submit($1, $2, $3, $4)"
            given = [each if isinstance(each, bytes) else each.encode() for each in arguments]
            done = host.pgconn.exec_params(query, given, [25] * 4, [1] * 4)
            assert b"invalid byte sequence" in done.error_message
        arguments[argument] = None
        accepted, reason, *_ = check(host, *arguments)
    assert (accepted, reason) == (False, "bad-input" if argument < 2 else "wrong-code")


def test_somebody_unknown_is_not_enrolled(database: Database, now: float) -> None:
    with database.connect() as host:
        for answer in ("123456", "a" * 16):
            assert check(host, "nobody", answer) == (False, "not-enrolled", None, None, None, "")
        assert host.execute("SELECT * FROM totp_api_1.standing('nobody')").fetchone() == (
            "not-enrolled",
            0,
        )
    assert database.value("SELECT count(*) FROM totp.person WHERE name = 'nobody'") == 0


def test_the_standing_of_many_comes_in_their_order(database: Database, now: float) -> None:
    who = database.person()
    database.value("SELECT totp_admin_1.new_recovery_codes(%s)", who.name)
    database.value("SELECT totp_admin_1.reset('went')")
    names = ["went", who.name, "nobody", who.name]
    with database.connect() as host:
        for _ in range(5):
            check(host, who.name, who.incorrect_code(now))
        query = "SELECT * FROM totp_api_1.standings(%s)"
        rows = host.execute(query, [names]).fetchall()
        assert rows == [
            ("went", "reset", 0, 0, 0),
            (who.name, "enrolled", 30, 1, 10),
            ("nobody", "not-enrolled", 0, 0, 0),
            (who.name, "enrolled", 30, 1, 10),
        ]
        assert len(host.execute(query, [["x"] * 1000]).fetchall()) == 1000
        with pytest.raises(psycopg.errors.ProgramLimitExceeded):
            host.execute(query, [["x"] * 1001])


def test_no_question_of_a_login_plans_a_function_anew(database: Database, now: float) -> None:
    who = database.person()
    codes = database.value("SELECT totp_admin_1.new_recovery_codes(%s)", who.name)
    database.admin.execute("ALTER DATABASE pam_totp SET track_functions = 'all'")
    with database.connect() as host:
        for answer in (who.incorrect_code(now), who.code(now), who.code(now), codes[0], codes[0]):
            check(host, who.name, answer)
        for name in (who.name, "nobody"):
            host.execute("SELECT totp_api_1.standing(%s)", [name])
    database.admin.execute("ALTER DATABASE pam_totp RESET track_functions")
    called = (
        "SELECT array_agg(language.lanname || ' ' || f.funcname) FROM pg_stat_user_functions f"
        " JOIN pg_proc p ON p.oid = f.funcid JOIN pg_language language ON language.oid = p.prolang"
    )
    wait_until(lambda: database.value(called))  # a session tells it at its end
    names = set(database.value(called))
    assert {"plpgsql submit", "plpgsql reveal", "plpgsql standing"} <= names
    assert {name for name in names if name.startswith("sql ")} == set()


def test_a_host_says_hello_and_learns_of_the_store(database: Database, now: float) -> None:
    database.add_host("kiosk", may_enroll=True)
    with database.connect("kiosk") as host:
        row = hello(host, now + 90, "1.2\x1b[31m\n" + "x" * 100)
    store = database.value("SELECT id FROM totp.store")
    count = database.value("SELECT totp.enrolled_count()")
    incarnation = database.value("SELECT totp.incarnation() || '/' || began FROM totp.store")
    assert row == (store, 1, 1, incarnation, count, 0, now, True)
    assert len(store) == 32
    seen = database.admin.execute(
        "SELECT extract(epoch FROM last_seen)::float8, clock_difference, release"
        " FROM totp_admin_1.hosts() WHERE name = 'kiosk'"
    ).fetchone()
    assert seen == (now, 90, "1.2?[31m?" + "x" * 55)


@pytest.mark.parametrize("clock", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_a_host_may_have_any_clock(database: Database, now: float, clock: float) -> None:
    with database.connect() as host:
        hello(host, clock, "1")
    difference = database.value(
        "SELECT clock_difference FROM totp_admin_1.hosts() WHERE name = 'web07'"
    )
    assert abs(difference) == 3155760000


def test_the_audit_is_kept_for_the_days_of_the_setting(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        check(host, who.name, who.incorrect_code(now))
        database.freeze_clock(now + 90 * 86400 - 1)
        hello(host, now, "1")
        assert tries_of(database, who) == 1
        check(host, who.name, who.incorrect_code(now))
        database.freeze_clock(now + 90 * 86400 + 1)
        hello(host, now, "1")
    assert tries_of(database, who) == 1


def hello(host: Connection, clock: float, release: str) -> tuple[Any, ...] | None:
    return host.execute(
        "SELECT * FROM totp_api_1.hello(%s::double precision, %s)", [clock, release]
    ).fetchone()


def tries_of(database: Database, who: Person) -> Any:
    return database.value("SELECT count(*) FROM totp_admin_1.tries(%s, 100)", who.name)
