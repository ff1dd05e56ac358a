# SPDX-License-Identifier: MIT
"""A service that asked for a code and no longer does: every command of root's says so."""

import json
import shutil
from collections.abc import Callable, Iterator

import pytest

from tests.commands.commands import pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PASSWORD_LINE, SERVICES, PamServices
from tests.host.programs import STATE
from tests.host.system_log import SystemLog

REMEMBERED = STATE / "services"
DISTRIBUTION = f"# the file of a new release\n{PASSWORD_LINE}\n"


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    shutil.rmtree(REMEMBERED, ignore_errors=True)
    yield
    shutil.rmtree(REMEMBERED, ignore_errors=True)


def warning(*names: str) -> list[str]:
    files = " ".join(f"{REMEMBERED}/{name}" for name in names)
    return [
        "pam-totp: warning: no longer asking for a code, because the pam_totp.so line is gone: "
        + ", ".join(names),
        f"hint: restore the line, or accept this: rm {files}",
    ]


@pytest.mark.parametrize("command", [("users",), ("config", "check"), ("--version",), ("nosuch",)])
def test_line_that_another_package_took_away_is_told_by_every_command(
    pam_services: PamServices, syslog: SystemLog, command: tuple[str, ...]
) -> None:
    pam_services.add("sshd")
    assert pam_totp(*command).errors.splitlines()[:1] != warning("sshd")[:1]
    pam_services.write("sshd", DISTRIBUTION)
    for _ in range(2):
        assert pam_totp(*command).errors.splitlines()[:2] == warning("sshd")
    lines = syslog.lines("no longer asking for a code", ident="pam-totp")
    assert [(line.facility, line.severity) for line in lines] == [("authpriv", "warning")] * 2
    assert all(line.message.endswith(": sshd") for line in lines)


def test_it_is_told_until_the_line_is_back(pam_services: PamServices) -> None:
    pam_services.add("sshd")
    pam_totp("users")
    text = (SERVICES / "sshd").read_text(encoding="utf-8")
    pam_services.write("sshd", DISTRIBUTION)
    assert pam_totp("users").errors != ""
    pam_services.write("sshd", text)
    assert pam_totp("users").errors == ""


def test_it_is_told_until_the_administrator_accepts_it(pam_services: PamServices) -> None:
    pam_services.add("sshd")
    pam_services.add("sudo")
    pam_totp("users")
    pam_services.write("sshd", DISTRIBUTION)
    pam_services.write("sudo", DISTRIBUTION)
    assert pam_totp("users").errors.splitlines() == warning("sshd", "sudo")
    (REMEMBERED / "sudo").unlink()
    assert pam_totp("users").errors.splitlines() == warning("sshd")
    (REMEMBERED / "sshd").unlink()
    assert pam_totp("users").errors == ""


def check_that_one_path_accepts_all_losses(pam_services: PamServices) -> None:
    """Of the services that included a line of common-auth."""
    common = (SERVICES / "common-auth").read_text(encoding="utf-8")
    pam_services.write("common-auth", f"{common}auth required pam_totp.so\n")
    pam_totp("users")
    pam_services.write("common-auth", common)
    hint = pam_totp("users").errors.splitlines()[1]
    assert hint == f"hint: restore the line, or accept this: rm -r {REMEMBERED}"
    shutil.rmtree(REMEMBERED)
    assert pam_totp("users").errors == ""


def test_all_that_included_one_line_are_accepted_with_one_path(pam_services: PamServices) -> None:
    check_that_one_path_accepts_all_losses(pam_services)


def test_many_losses_are_accepted_with_one_path_though_a_service_still_asks(
    pam_services: PamServices,
) -> None:
    """Such as after `pam-auth-update --disable pam-totp` and `pam-totp enable sshd`."""
    pam_services.add("sshd")
    check_that_one_path_accepts_all_losses(pam_services)
    pam_services.write("sshd", DISTRIBUTION)
    assert pam_totp("users").errors.splitlines() == warning("sshd")


def test_service_that_is_gone_is_told_too(pam_services: PamServices) -> None:
    """Without its file libpam goes by that of /usr/lib/pam.d, or by `other`."""
    pam_services.write("imap", f"{PASSWORD_LINE}\nauth required pam_totp.so\n")
    pam_totp("users")
    (SERVICES / "imap").unlink()
    try:
        assert pam_totp("users").errors.splitlines() == warning("imap")
    finally:
        (SERVICES / "imap").touch()


@pytest.mark.parametrize("name", ["sshd.dpkg-old", "sshd.ucf-dist", "sshd~", "sshd.bak"])
def test_file_that_is_no_service_is_not_remembered(pam_services: PamServices, name: str) -> None:
    pam_services.write(name, "auth required pam_totp.so\n")
    pam_totp("users")
    assert list(REMEMBERED.iterdir()) == []


def test_what_is_told_changes_neither_output_nor_exit_code(
    pam_services: PamServices, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    pam_services.add("sshd")
    before = pam_totp("users", "--json")
    pam_services.write("sshd", DISTRIBUTION)
    after = pam_totp("users", "--json")
    assert (after.code, json.loads(after.output)) == (before.code, json.loads(before.output))


def test_users_commands_neither_remember_nor_tell(pam_services: PamServices, user: User) -> None:
    pam_services.add("sshd")
    assert pam_totp("status", user=user).errors == ""
    assert not REMEMBERED.exists()
    pam_totp("users")
    pam_services.write("sshd", DISTRIBUTION)
    assert pam_totp("status", user=user).errors == ""


def test_what_cannot_be_remembered_stops_no_command(pam_services: PamServices) -> None:
    pam_services.add("sshd")
    away = STATE.with_name("pam-totp-away")
    STATE.rename(away)
    try:
        assert (pam_totp("--version").code, pam_totp("--version").errors) == (0, "")
    finally:
        away.rename(STATE)
