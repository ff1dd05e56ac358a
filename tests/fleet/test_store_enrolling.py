# SPDX-License-Identifier: MIT
"""Enrolling from a host: with an invitation, or at a login of a host that is marked for it."""

from typing import Any

import psycopg
import pytest

from tests.fleet.database import NAMES, Connection, Database, Person, check


def test_an_invitation_enrolls_once_and_brings_recovery_codes(
    database: Database, now: float
) -> None:
    name, invitation = invited(database)
    with database.connect("web07") as host, database.connect("web08") as other:
        who, replaces = begin(host, name, invitation)
        assert (len(who.secret), replaces) == (20, False)
        assert (who.algorithm, who.digits, who.period) == ("sha1", 6, 30)
        confirmed, reason, codes = confirm(host, name, invitation, who.code(now))
        assert (confirmed, reason, len(set(codes))) == (True, "totp", 10)
        assert all(len(code) == 16 for code in codes)
        # The proving code is used, for the whole fleet.
        assert check(other, name, who.code(now))[1] == "reused-code"
        assert check(other, name, who.code(now, 1))[1] == "totp"
        assert check(other, name, codes[9])[1:5:3] == ("recovery-code", 9)
        assert check(host, name, codes[9])[1] == "reused-code"
        refuse(lambda: begin(host, name, invitation), "P0T02")


def test_a_code_alone_enrolls_nothing(database: Database, now: float) -> None:
    """A stolen host would turn one code that is typed at it into a phone of its own."""
    who = database.person()
    with database.connect() as host:
        for proof in (who.code(now), "a" * 16, "x", "'; --"):
            refuse(lambda proof=proof: begin(host, who.name, proof), "P0T02")
        refuse(lambda: begin(host, who.name, ""), "P0T03")


def test_until_a_code_proves_the_new_phone_the_old_one_counts(
    database: Database, now: float
) -> None:
    """Rule 19."""
    who = database.person()
    old_codes = database.value("SELECT totp_admin_1.new_recovery_codes(%s)", who.name)
    _, invitation = invited(database, who.name)
    with database.connect() as host:
        new, replaces = begin(host, who.name, invitation)
        assert replaces
        assert check(host, who.name, new.code(now))[1] == "wrong-code"
        refused = confirm(host, who.name, invitation, new.incorrect_code(now))
        assert refused == (False, "wrong-code", None)
        assert check(host, who.name, who.code(now))[1] == "totp"
        assert confirm(host, who.name, invitation, new.code(now))[0]
        assert check(host, who.name, who.code(now, 1))[1] == "wrong-code"
        assert check(host, who.name, old_codes[0])[1] == "wrong-code"
        assert check(host, who.name, new.code(now, 1))[1] == "totp"


def test_an_invitation_is_one_persons(database: Database, now: float) -> None:
    _, invitation = invited(database)
    other = database.person()
    with database.connect() as host:
        refuse(lambda: begin(host, other.name, invitation), "P0T02")
        refuse(lambda: begin(host, "nobody", invitation), "P0T02")


def test_an_invitation_ends_with_its_time_and_with_the_next_one(
    database: Database, now: float
) -> None:
    name, first = invited(database)
    _, second = invited(database, name)
    with database.connect() as host:
        refuse(lambda: begin(host, name, first), "P0T02")
        who, _ = begin(host, name, second)
        at = database.freeze_clock(now + 86400)
        refuse(lambda: begin(host, name, second), "P0T02")
        refuse(lambda: confirm(host, name, second, who.code(at)), "P0T02")


@pytest.mark.parametrize("valid_for", ["59 seconds", "31 days", "-1 day"])
def test_an_invitation_is_for_a_minute_to_thirty_days(database: Database, valid_for: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        database.value("SELECT totp_admin_1.invite('x', %s::interval)", valid_for)


def test_a_shown_secret_is_forgotten_after_ten_minutes(database: Database, now: float) -> None:
    name, invitation = invited(database)
    with database.connect() as host:
        who, _ = begin(host, name, invitation)
        at = database.freeze_clock(now + 601)
        assert confirm(host, name, invitation, who.code(at))[:2] == (False, "not-enrolled")


def test_each_shown_secret_has_ten_minutes_of_its_own(database: Database, now: float) -> None:
    name = f"new{next(NAMES)}"
    database.add_host("patient", may_enroll=True)
    with database.connect("patient") as host:
        first, _ = begin(host, name, "")
        database.freeze_clock(now + 300)
        second, _ = begin(host, name, "")
        at = database.freeze_clock(now + 700)
        assert confirm(host, name, "", first.code(at))[1] == "wrong-code"
        assert confirm(host, name, "", second.code(at))[1] == "totp"


def test_a_shown_secret_is_proved_at_the_host_that_showed_it(
    database: Database, now: float
) -> None:
    name, invitation = invited(database)
    with database.connect("web07") as host, database.connect("web08") as other:
        who, _ = begin(host, name, invitation)
        assert confirm(other, name, invitation, who.code(now))[1] == "not-enrolled"
        assert confirm(host, name, invitation, who.code(now))[1] == "totp"


@pytest.mark.parametrize("answer", ["", "12345", "a" * 16, "\uff11" * 6])
def test_what_is_no_code_proves_nothing(database: Database, now: float, answer: str) -> None:
    name, invitation = invited(database)
    with database.connect() as host:
        begin(host, name, invitation)
        assert confirm(host, name, invitation, answer) == (False, "bad-input", None)


def test_new_secrets_are_as_the_setting_says(database: Database, now: float) -> None:
    database.set(algorithm="sha256", digits=8, period=60)
    try:
        name, invitation = invited(database)
        with database.connect() as host:
            who, _ = begin(host, name, invitation, device="key ring")
            assert len(who.secret) == 32
            assert (who.algorithm, who.digits, who.period) == ("sha256", 8, 60)
            assert confirm(host, name, invitation, who.code(now))[0]
            assert check(host, name, who.code(now, 1))[:3] == (True, "totp", "key ring")
    finally:
        database.set(algorithm="sha1", digits=6, period=30)


def test_only_a_marked_host_enrolls_at_the_login(database: Database, now: float) -> None:
    name = f"new{next(NAMES)}"
    database.add_host("marked", may_enroll=True)
    with database.connect("web07") as host, database.connect("marked") as marked:
        refuse(lambda: begin(host, name, ""), "P0T03")
        who, _ = begin(marked, name, "")
        refuse(lambda: confirm(host, name, "", who.code(now)), "P0T03")
        assert confirm(marked, name, "", who.code(now))[1] == "totp"
        # From now on there is something to replace.
        refuse(lambda: begin(marked, name, ""), "P0T03")
        refuse(lambda: confirm(marked, name, "", who.code(now)), "P0T03")


def test_logins_that_enroll_side_by_side_each_have_a_secret_of_their_own(
    database: Database, now: float
) -> None:
    """Whoever of them proves it first has the phone; the others' secrets are forgotten. What one
    login shows, no other one learns."""
    name = f"new{next(NAMES)}"
    database.add_host("busy", may_enroll=True)
    with database.connect("busy") as host:
        shown = [begin(host, name, "")[0] for _ in range(9)]
        assert len({each.secret for each in shown}) == 9
        assert confirm(host, name, "", shown[0].code(now))[1] == "wrong-code"  # one of eight
        assert confirm(host, name, "", shown[4].code(now))[1] == "totp"
    for table, rows in (("credential", 1), ("pending", 0)):
        query = f"SELECT count(*) FROM totp.{table} t JOIN totp.person p ON p.id = t.person"
        assert database.value(f"{query} WHERE name = %s", name) == rows


def test_what_one_host_shows_is_not_proved_at_another_one_that_shows_something(
    database: Database, now: float
) -> None:
    name = f"new{next(NAMES)}"
    database.add_host("left", may_enroll=True)
    database.add_host("right", may_enroll=True)
    with database.connect("left") as left, database.connect("right") as right:
        first, second = begin(left, name, "")[0], begin(right, name, "")[0]
        assert confirm(right, name, "", first.code(now))[1] == "wrong-code"
        assert confirm(right, name, "", second.code(now))[1] == "totp"


def test_guesses_at_what_a_login_shows_are_counted(database: Database, now: float) -> None:
    """Rule 34: over pending secrets."""
    name = f"new{next(NAMES)}"
    database.add_host("public-desk", may_enroll=True)
    with database.connect("public-desk") as host:
        for _ in range(2):
            who, _ = begin(host, name, "")
        reasons = [confirm(host, name, "", who.incorrect_code(now))[1] for _ in range(6)]
        assert reasons == ["wrong-code"] * 5 + ["throttled"]
        used = database.value("SELECT budget_used FROM totp.person WHERE name = %s", name)
        assert used == now + 5 * 2 * 900


def test_a_marked_host_cannot_fill_the_store(database: Database, now: float) -> None:
    database.add_host("filler", may_enroll=True, burst=3)
    with database.connect("filler") as host:
        for _ in range(3):
            begin(host, f"new{next(NAMES)}", "")
        refuse(lambda: begin(host, "one-more", ""), "P0T06")


def test_who_was_reset_is_known_and_can_enroll_again(database: Database, now: float) -> None:
    who = database.person()
    database.value("SELECT totp_admin_1.new_recovery_codes(%s)", who.name)
    before = database.value("SELECT totp.enrolled_count()")
    assert database.value("SELECT totp_admin_1.reset(%s)", who.name) is True
    assert database.value("SELECT totp_admin_1.reset(%s)", who.name) is False
    assert database.value("SELECT totp.enrolled_count()") == before + 1
    database.add_host("desk", may_enroll=True)
    with database.connect("desk") as host:
        assert check(host, who.name, who.code(now))[1] == "not-enrolled"
        standing = "SELECT state FROM totp_api_1.standing(%s)"
        assert host.execute(standing, [who.name]).fetchone() == ("reset",)
        again, _ = begin(host, who.name, "")
        assert confirm(host, who.name, "", again.code(now))[1] == "totp"
        assert host.execute(standing, [who.name]).fetchone() == ("enrolled",)
    assert database.value("SELECT totp.enrolled_count()") == before + 2


def test_a_reset_gives_a_guesser_no_new_budget(database: Database, now: float) -> None:
    who = database.person()
    with database.connect() as host:
        for _ in range(5):
            check(host, who.name, who.incorrect_code(now))
    used = database.value("SELECT budget_used FROM totp.person WHERE name = %s", who.name)
    assert database.value("SELECT totp_admin_1.unlock(%s)", who.name)
    assert not database.value("SELECT totp_admin_1.unlock(%s)", who.name)
    assert database.value("SELECT totp_admin_1.reset(%s)", who.name)
    assert (
        database.value("SELECT budget_used FROM totp.person WHERE name = %s", who.name)
        == used
        > now
    )


def test_somebody_unknown_can_be_reset(database: Database) -> None:
    """After an older store was restored, so that hosts that know the person do not refuse."""
    name = f"lost{next(NAMES)}"
    assert database.value("SELECT totp_admin_1.unlock(%s)", name) is False
    assert database.value("SELECT totp_admin_1.reset(%s)", name) is True
    assert database.value("SELECT state FROM totp_admin_1.people(ARRAY[%s])", name) == "reset"


def test_an_import_adds_a_device_once(database: Database, now: float) -> None:
    who = database.person()
    query = "SELECT totp_admin_1.import_credential(%s, %s, 'sha1', 6, 30, 0, %s, %s)"
    assert not database.value(query, who.name, who.secret, "phone", -1)
    assert database.value(query, who.name, who.secret, "phone", int(now // 30))
    assert database.value(query, who.name, b"another secret", "tablet", -1)
    row = database.admin.execute(
        "SELECT state, devices, recovery_left, waiting_seconds, last_code_at, reset_at"
        " FROM totp_admin_1.people(ARRAY[%s])",
        [who.name],
    ).fetchone()
    assert row == ("enrolled", ["phone", "tablet"], 0, 0, None, None)
    with database.connect() as host:
        assert check(host, who.name, who.code(now))[1] == "reused-code"
    for secret in (b"too short", b"x" * 129, None):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            database.value(query, who.name, secret, "phone", -1)


def test_only_who_is_enrolled_gets_new_recovery_codes(database: Database, now: float) -> None:
    who = database.person()
    query = "SELECT totp_admin_1.new_recovery_codes(%s)"
    first, second = (database.value(query, who.name) for _ in range(2))
    with database.connect() as host:
        assert check(host, who.name, first[0])[1] == "wrong-code"
        assert check(host, who.name, second[0])[1] == "recovery-code"
    refuse(lambda: database.value(query, "nobody"), "P0T07")


def test_an_administrator_calls_these_functions_and_reads_no_table(database: Database) -> None:
    database.admin.execute("SET ROLE totp_admin")
    try:
        assert len(database.value("SELECT totp_admin_1.invite('alice', '1 day')")) == 16
        assert database.value("SELECT count(*) FROM totp_admin_1.people()") > 0
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            database.value("SELECT sealed FROM totp.credential")
    finally:
        database.admin.execute("RESET ROLE")


def invited(database: Database, name: str = "") -> tuple[str, str]:
    """A name, and its invitation."""
    name = name or f"new{next(NAMES)}"
    return name, database.value("SELECT totp_admin_1.invite(%s, '1 day')", name)


def begin(host: Connection, name: str, invitation: str, device: str = "") -> tuple[Person, bool]:
    """Who has the secret that was shown, and whether it replaces another one."""
    row = host.execute(
        "SELECT * FROM totp_api_1.enroll_begin(%s, %s, %s)", [name, invitation, device]
    ).fetchone()
    assert row is not None
    secret, algorithm, digits, period, replaces = row
    return Person(name, secret, digits, algorithm, period), replaces


def confirm(host: Connection, name: str, invitation: str, answer: str) -> tuple[Any, ...]:
    """confirmed, reason, recovery codes."""
    row = host.execute(
        "SELECT * FROM totp_api_1.enroll_confirm(%s, %s, %s)", [name, invitation, answer]
    ).fetchone()
    assert row is not None
    return row


def refuse(call: Any, sqlstate: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        call()
    assert refused.value.sqlstate == sqlstate


def test_a_user_who_begins_to_enroll_again_and_again_uses_up_no_tries_of_the_host(
    database: Database, now: float
) -> None:
    """The socket for users takes it from anybody, about themselves."""
    who, name = database.person(), f"new{next(NAMES)}"
    database.add_host("enrolls", burst=3, seconds=5, may_enroll=True)
    with database.connect("enrolls") as host:
        for _ in range(3):
            begin(host, name, "")
        refuse(lambda: begin(host, name, ""), "P0T06")
        assert check(host, who.name, who.incorrect_code(now))[1] == "wrong-code"
        assert check(host, who.name, who.code(now))[1] == "totp"


def test_a_user_with_no_budget_left_uses_up_no_tries_of_the_host(
    database: Database, now: float
) -> None:
    """What is refused before it is compared makes nobody wait, so it could be asked without end."""
    who, name = database.person(), f"new{next(NAMES)}"
    database.add_host("refuses", burst=3, seconds=5, may_enroll=True)
    with database.connect("refuses") as host:
        for _ in range(2):
            new, _ = begin(host, name, "")
        database.admin.execute(
            "UPDATE totp.person SET budget_used = %s WHERE name = %s", [now + 300 * 900, name]
        )
        reasons = {confirm(host, name, "", new.incorrect_code(now))[1] for _ in range(5)}
        assert reasons == {"throttled"}
        assert check(host, who.name, who.incorrect_code(now))[1] == "wrong-code"
