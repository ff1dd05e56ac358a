# SPDX-License-Identifier: MIT
"""Secrets at rest: what leaves the server without its key file tells none of them."""

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.fleet.database import KEY_FILE, Database, Person, check, make_key_file

SECOND = KEY_FILE.with_name("fleet-key.2")


@pytest.fixture
def second_key() -> Iterator[Path]:
    make_key_file(SECOND)
    yield SECOND
    SECOND.unlink()


def forms(secret: bytes) -> list[bytes]:
    """Ways in which bytes may be seen in a file."""
    return [
        secret,
        secret.hex().encode(),
        base64.b64encode(secret).rstrip(b"="),
        base64.b32encode(secret).rstrip(b"="),
    ]


def test_neither_a_dump_nor_the_files_of_the_server_hold_a_secret_or_the_key(
    database: Database, now: float
) -> None:
    marker = "person-who-is-looked-for"
    who = database.person(marker)
    with database.connect() as host:
        check(host, who.name, who.code(now))
    database.admin.execute("CHECKPOINT")
    dump = ["pg_dump", "-h", "/var/run/postgresql", "-p", str(database.port), "-U", "postgres"]
    dumped = subprocess.run([*dump, "pam_totp"], cwd="/", capture_output=True, check=True).stdout
    files = [path.read_bytes() for path in database.data.rglob("*") if path.is_file()]
    assert marker.encode() in dumped
    assert any(marker.encode() in content for content in files)  # the WAL is among them
    for form in forms(who.secret) + forms(KEY_FILE.read_bytes()):
        assert form not in dumped
        assert not any(form in content for content in files)


def test_a_secret_opens_only_in_its_row_and_for_its_person(database: Database, now: float) -> None:
    """Else somebody who can write to a backup could give an administrator their own phone."""
    victim, thief = database.person(), database.person()
    database.admin.execute(
        "UPDATE totp.credential SET sealed = (SELECT sealed FROM totp.credential c"
        "  JOIN totp.person p ON p.id = c.person WHERE name = %s)"
        " WHERE person = (SELECT id FROM totp.person WHERE name = %s)",
        [thief.name, victim.name],
    )
    moved = database.person()
    database.admin.execute(
        "UPDATE totp.person SET name = name || '-renamed' WHERE name = %s", [moved.name]
    )
    with database.connect() as host:
        for name, code in (
            (victim.name, thief.code(now)),
            (f"{moved.name}-renamed", moved.code(now)),
        ):
            with pytest.raises(psycopg.Error) as refused:
                check(host, name, code)
            assert refused.value.sqlstate == "P0T05"


@pytest.mark.parametrize("place", [0, 20, -1])
def test_a_changed_secret_does_not_open(database: Database, now: float, place: int) -> None:
    who = database.person()
    database.admin.execute(
        "UPDATE totp.credential SET sealed = set_byte(sealed, at, get_byte(sealed, at) # 1)"
        " FROM (SELECT id AS found, (length(sealed) + %s) %% length(sealed) AS at"
        "       FROM totp.credential) c WHERE id = found"
        " AND person = (SELECT id FROM totp.person WHERE name = %s)",
        [place, who.name],
    )
    with database.connect() as host, pytest.raises(psycopg.Error) as refused:
        check(host, who.name, who.code(now))
    assert refused.value.sqlstate == "P0T05"


def test_equal_secrets_are_not_seen_to_be_equal(database: Database) -> None:
    for name in ("twin1", "twin2"):
        database.person(name, secret=b"a secret of two people")
    sealed = database.admin.execute(
        "SELECT sealed FROM totp.credential c JOIN totp.person p ON p.id = c.person"
        " WHERE name LIKE 'twin%'"
    ).fetchall()
    assert len({each[start : start + 16] for (each,) in sealed for start in (0, 16, 32)}) == 6


def test_without_its_key_file_a_server_accepts_nothing(database: Database, now: float) -> None:
    who = database.person()
    hidden = KEY_FILE.with_suffix(".hidden")
    with database.connect() as host:
        KEY_FILE.rename(hidden)
        try:
            with pytest.raises(psycopg.errors.UndefinedFile):
                check(host, who.name, who.code(now))
        finally:
            hidden.rename(KEY_FILE)
        assert check(host, who.name, who.code(now))[1] == "totp"


def test_a_server_with_another_key_file_is_told(database: Database, now: float) -> None:
    who = database.person()
    right = KEY_FILE.read_bytes()
    query = "SELECT totp_admin_1.key_is_right(%s)"
    assert database.value(query, 1) is True
    assert database.value(query, 7) is None
    KEY_FILE.write_bytes(os.urandom(32))
    try:
        assert database.value(query, 1) is False
        with database.connect() as host, pytest.raises(psycopg.Error) as refused:
            check(host, who.name, who.code(now))
        assert refused.value.sqlstate == "P0T05"
        KEY_FILE.write_bytes(right[:31])
        with pytest.raises(psycopg.Error, match=r"fleet-key\.1 is too short"):
            database.value(query, 1)
    finally:
        KEY_FILE.write_bytes(right)


def test_a_new_key_seals_everything_again(database: Database, now: float, second_key: Path) -> None:
    people = [database.person() for _ in range(5)]
    database.admin.execute(  # those that were changed above do not open
        "DELETE FROM totp.credential WHERE person NOT IN"
        " (SELECT id FROM totp.person WHERE name = ANY (%s))",
        [[each.name for each in people]],
    )
    invitation = database.value("SELECT totp_admin_1.invite('later', '1 day')")
    assert database.value("SELECT totp_admin_1.reseal(2, 3)") == 3
    assert database.value("SELECT totp_admin_1.reseal(2)") == 2
    assert database.value("SELECT totp_admin_1.reseal(2)") == 0
    versions = database.admin.execute("SELECT * FROM totp_admin_1.key_versions()").fetchall()
    assert versions == [(1, 0), (2, 5)]
    hidden = KEY_FILE.with_suffix(".hidden")
    KEY_FILE.rename(hidden)
    try:
        with database.connect() as host:
            for each in people:
                assert check(host, each.name, each.code(now))[1] == "totp"
            secret = host.execute(
                "SELECT secret FROM totp_api_1.enroll_begin('later', %s, '')", [invitation]
            ).fetchone()
            assert secret is not None
            later = Person("later", secret[0])
            confirmed = host.execute(
                "SELECT confirmed FROM totp_api_1.enroll_confirm('later', %s, %s)",
                [invitation, later.code(now)],
            ).fetchone()
            assert confirmed == (True,)
    finally:
        hidden.rename(KEY_FILE)
    assert database.value("SELECT totp_admin_1.reseal(1)") == 6


def test_a_version_that_was_used_before_must_be_the_same_key(database: Database) -> None:
    third = KEY_FILE.with_name("fleet-key.3")
    make_key_file(third)
    database.value("SELECT totp_admin_1.reseal(3, 0)")
    database.value("SELECT totp_admin_1.reseal(1, 0)")
    make_key_file(third)
    with pytest.raises(psycopg.Error, match=r"fleet-key\.3 is not the key") as refused:
        database.value("SELECT totp_admin_1.reseal(3)")
    assert refused.value.sqlstate == "P0T05"
