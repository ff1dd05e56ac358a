# SPDX-License-Identifier: MIT
"""The pipe from ldapsearch into `pam-totp contact --from -`, as pam-totp(1) has it."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.test_contact import CONTACTS, lines_of
from tests.contacts.directory_server import SUFFIX, DirectoryServer, slapd
from tests.host.accounts import User
from tests.sending.outbox import NUMBER

MANUAL = Path(__file__).resolve().parents[2] / "pam_totp" / "manual" / "pam-totp.1.scd"
EXAMPLES = MANUAL.read_text().split("```\n")[1::2]
(PIPE,) = (each for each in EXAMPLES if each.startswith("ldapsearch"))
OTHER = "+491709999999"


@pytest.fixture
def server() -> Iterator[DirectoryServer]:
    settings = Path("/etc/ldap/ldap.conf")
    before = settings.read_text() if settings.exists() else None  # of a package of its own
    with slapd() as running:
        settings.write_text(f"URI {running.uri}\nBASE {SUFFIX}\n")
        yield running
    settings.unlink()
    if before is not None:
        settings.write_text(before)
    shutil.rmtree(CONTACTS, ignore_errors=True)


def piped() -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["/bin/sh", "-c", PIPE], capture_output=True, text=True, timeout=60)


def test_pipe_of_the_manual_records_what_ldapsearch_finds(
    server: DirectoryServer, make_user: Callable[[], User]
) -> None:
    alice, bob, third = make_user(), make_user(), make_user()
    server.person(name=alice.name, mobile=("+49 170 1234567",), mail=("a@example.org",))
    server.person(name=bob.name, mail=(f"{'long' * 15}@mail.example.org",))
    server.person(name=third.name)
    done = piped()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Users whose contacts are recorded: 2, changed: 2.\n"
    assert lines_of(alice) == [f"sms {NUMBER} 0", "mail a@example.org 0"]
    assert lines_of(bob) == [f"mail {'long' * 15}@mail.example.org 0"]


@pytest.mark.parametrize(
    "values",
    [
        {"mobile": (NUMBER, OTHER)},
        {"mail": ("a@example.org", "b@example.org")},
        {"mobile": (f"{OTHER},",)},
        {"mail": ('"a@example.org',)},
        {"mail": ("a\nb@example.org",)},
        {"mail": ("a@example.org\t\t\t",)},
    ],
    ids=str,
)
def test_value_of_which_the_pipe_could_make_another_one_is_a_fault(
    server: DirectoryServer, make_user: Callable[[], User], values: dict[str, tuple[str, ...]]
) -> None:
    alice, bob = make_user(), make_user()
    server.person(name=alice.name, mobile=values.get("mobile", ()), mail=values.get("mail", ()))
    server.person(name=bob.name, mobile=("+4915112345678",))
    done = piped()
    assert done.returncode == 1
    assert "standard input: line 1: " in done.stderr
    assert (lines_of(alice), lines_of(bob)) == ([], [])
