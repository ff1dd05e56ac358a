# SPDX-License-Identifier: MIT
"""A real gammu-smsd beyond its outbox: with the phone that gammu has for trying things, and with a
database in SQLite as Debian ships it."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.programs import ACCEPTED
from tests.host.system_log import SystemLog
from tests.sending.application import Application
from tests.sending.outbox import NUMBER, OUTBOX, TextMessage, forget_limits, give_contact, logged
from tests.trial.change_host import wait_until

SETTINGS = Path("/etc/gammu-smsdrc")
SPOOL = OUTBOX.parent
FOLDER = Path("/var/lib/gammu-test")
SCHEMA = Path("/usr/share/doc/gammu-smsd/examples/sqlite.sql")
PHONE = f"[gammu]\nmodel = dummy\nconnection = none\nport = {FOLDER}/phone\n"
FILES = "[smsd]\nservice = files\n" + "".join(
    f"{name}path = {SPOOL}/{folder}/\n"
    for name, folder in (
        ("inbox", "inbox"),
        ("outbox", "outbox"),
        ("sentsms", "sent"),
        ("errorsms", "error"),
    )
)
DATABASE = f"[smsd]\nservice = sql\ndriver = sqlite3\ndbdir = {FOLDER}/\ndatabase = smsd.db\n"


@pytest.fixture(autouse=True)
def contact(user: User) -> Iterator[None]:
    forget_limits()
    give_contact(user, ("sms", NUMBER))
    before = SETTINGS.read_text()
    (FOLDER / "phone").mkdir(parents=True)
    yield
    forget_limits()
    SETTINGS.write_text(before)
    shutil.rmtree(FOLDER)
    for folder in ("outbox", "sent"):
        for path in (SPOOL / folder).iterdir():
            path.unlink()


def test_a_text_message_is_transmitted_and_its_code_accepted(user: User) -> None:
    SETTINGS.write_text(PHONE + FILES)
    with (
        subprocess.Popen(["gammu-smsd", "-c", str(SETTINGS)], stderr=subprocess.DEVNULL) as smsd,
        Application(user) as application,
    ):
        try:
            assert "on its way" in application.gate().output
            sent = SPOOL / "sent"
            wait_until(lambda: list(sent.iterdir()))
            (path,) = sent.iterdir()
            message = TextMessage(path)
            assert message.number == NUMBER
            assert application.verify(message.code).code == ACCEPTED
        finally:
            smsd.terminate()


def test_a_database_takes_text_messages(user: User, syslog: SystemLog) -> None:
    SETTINGS.write_text(PHONE + DATABASE)
    path = FOLDER / "smsd.db"
    with sqlite3.connect(path) as database:
        database.executescript(SCHEMA.read_text())
    for each in (FOLDER, path):
        shutil.chown(each, "gammu")
    with Application(user) as application:
        application.gate()
        rows = "SELECT DestinationNumber, TextDecoded FROM outbox"
        wait_until(lambda: sqlite3.connect(path).execute(rows).fetchall())
        ((number, text),) = sqlite3.connect(path).execute(rows).fetchall()
        assert number == NUMBER
        assert application.verify(text[:8]).code == ACCEPTED
    os.chown(path, 0, 0)
    with Application(user) as application:
        application.gate()
        syslog.wait_for(f"reason=send-failed user={user.name} ", 30)
    detail = logged(syslog, user)[-1]["detail"]
    assert "attempt to write a readonly database" in detail
    assert text[:8] not in detail
