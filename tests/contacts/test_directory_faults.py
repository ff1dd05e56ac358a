# SPDX-License-Identifier: MIT
"""`pam-totp contact --from-directory` where SSSD or the directory does not do what it should."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands.commands import Answer, assert_refused, pam_totp
from tests.commands.test_contact import lines_of
from tests.contacts.directory_server import (
    DirectoryServer,
    bus,
    names_of_the_directory,
    slapd,
    sssd,
)
from tests.host.accounts import User, add_user, remove_user
from tests.sending.outbox import NUMBER

LIBRARY = Path("/usr/lib/python3/dist-packages/jeepney/__init__.py")
SERVICE = Path("/usr/share/dbus-1/system-services/org.freedesktop.sssd.infopipe.service")
LOOK = "hint: systemctl status sssd\n"


@pytest.fixture(scope="module")
def server() -> Iterator[DirectoryServer]:
    with slapd() as running, bus(), names_of_the_directory():
        yield running


@pytest.fixture(scope="module")
def dora(server: DirectoryServer) -> Iterator[User]:
    """Also an account of this host, with the same id: she is known while SSSD is not there."""
    account = add_user("doralocal")
    server.person(name=account.name, mobile=(NUMBER,), uid=account.uid)
    yield account
    remove_user(account)


def copied(user: User) -> Answer:
    return pam_totp("contact", user.name, "--from-directory")


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    aside = path.with_name(f"{path.name}.aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


def test_account_of_this_host_and_of_the_directory_is_one_if_it_has_one_id(
    server: DirectoryServer, dora: User
) -> None:
    with sssd(server.uri):
        assert copied(dora).code == 0
    assert lines_of(dora) == [f"sms {NUMBER} 0"]
    assert pam_totp("contact", dora.name, "--remove").code == 0


def test_sssd_that_is_not_there_is_an_error(dora: User) -> None:
    answer = copied(dora)
    assert_refused(answer, "SSSD's InfoPipe cannot be asked (")
    assert answer.errors.endswith(LOOK)
    assert lines_of(dora) == []


def test_package_of_the_infopipe_is_named_where_it_is_missing(dora: User) -> None:
    with moved_away(SERVICE):
        reload_bus()
        answer = copied(dora)
    reload_bus()
    assert_refused(answer, "SSSD's InfoPipe is not installed; nothing was changed")
    assert answer.errors.endswith("hint: apt-get install sssd-dbus\n")


def test_package_of_the_library_is_named_where_it_is_missing(dora: User) -> None:
    with moved_away(LIBRARY):
        answer = copied(dora)
    assert_refused(answer, "asking SSSD needs Python's jeepney library, which is not installed")
    assert answer.errors.endswith("hint: apt-get install python3-jeepney\n")


def test_host_without_a_bus_is_an_error(dora: User) -> None:
    with moved_away(Path("/run/dbus/system_bus_socket")):
        answer = copied(dora)
    assert_refused(
        answer, "cannot ask SSSD: /run/dbus/system_bus_socket: No such file or directory"
    )


def test_bus_of_the_callers_choice_is_not_asked(server: DirectoryServer, dora: User) -> None:
    with sssd(server.uri):
        through = ["env", "DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere"]
        answer = pam_totp("contact", dora.name, "--from-directory", through=through)
        assert answer.code == 0, answer.errors
    assert pam_totp("contact", dora.name, "--remove").code == 0


def test_infopipe_that_does_not_answer_root_is_an_error(
    server: DirectoryServer, dora: User
) -> None:
    with sssd(server.uri, ifp="[ifp]\nallowed_uids = nobody\nuser_attributes = +mobile, +mail\n"):
        answer = copied(dora)
    assert_refused(answer, "SSSD's InfoPipe does not answer root; nothing was changed")
    assert "allowed_uids in [ifp] of /etc/sssd/sssd.conf" in answer.errors


@pytest.mark.parametrize(
    ("ifp", "extra"),
    [("", "ldap_user_extra_attrs = mobile\n"), ("[ifp]\nuser_attributes = +mobile", "")],
)
def test_sssd_that_is_not_told_to_tell_is_said_to_be_the_fault(
    server: DirectoryServer, dora: User, ifp: str, extra: str
) -> None:
    with sssd(server.uri, ifp, extra):
        answer = copied(dora)
    assert answer.errors.startswith(f"{dora.name}: the directory tells no mobile and no mail\n")
    assert answer.errors.endswith("hint: have SSSD tell mobile and mail, as pam-totp(1) shows\n")
    assert (answer.code, lines_of(dora)) == (1, [])


def test_infopipe_that_hangs_is_not_waited_for(server: DirectoryServer, dora: User) -> None:
    with sssd(server.uri):
        assert copied(dora).code == 0
        assert pam_totp("contact", dora.name, "--remove").code == 0
        (process,) = processes_of("sssd_ifp")
        with stopped(process):
            answer = copied(dora)
    assert_refused(answer, "SSSD did not answer within 20 seconds; nothing was changed")
    assert answer.errors.endswith(LOOK)


def test_what_sssd_remembers_of_a_directory_that_hangs_is_not_taken(
    server: DirectoryServer, dora: User
) -> None:
    with sssd(server.uri):
        assert copied(dora).code == 0
        assert pam_totp("contact", dora.name, "--remove").code == 0
        with server.hanging():
            answer = copied(dora)
    assert_refused(answer, "SSSD does not reach the directory of example.org; nothing was changed")
    assert answer.errors.endswith(LOOK)
    assert lines_of(dora) == []


def processes_of(program: str) -> list[int]:
    found = subprocess.run(["pgrep", "-x", program], capture_output=True, text=True)
    return [int(each) for each in found.stdout.split()]


@contextmanager
def stopped(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def reload_bus() -> None:
    """What it knows of services that it may start."""
    call = ["busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "ReloadConfig"]
    subprocess.run(call, check=True)
