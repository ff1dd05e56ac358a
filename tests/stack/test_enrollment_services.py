# SPDX-License-Identifier: MIT
"""`enrollment: at-login` shows secrets only where PAM's messages reach the person alone."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.rules.enrollment import SHOW_SECRETS
from tests.commands.commands import configured, gate, pam_totp, secret_of, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.phone import (
    AT_LOGIN,
    NOT_ENROLLED,
    kept_uri,
    keys_on,
    recovery_codes_on,
    shows_qr_code,
)
from tests.host.programs import ACCEPTED, RECORDS, REFUSED
from tests.host.system_log import SystemLog
from tests.stack.libpam import PAM_AUTH_ERR, Outcome

Drive = Callable[..., Outcome]
STACK = [
    "auth [success=1 default=ignore] pam_unix.so nodelay",
    "auth requisite pam_deny.so",
    "auth required pam_permit.so",
    "auth required pam_totp.so tries=1",
]
MAY_LOG = ["cockpit", "xrdp-sesman", "lightdm", "sddm", "gdm-password", "dovecot", "sshd2", "su-x"]


@pytest.fixture(autouse=True)
def at_login() -> Iterator[Path]:
    with configured(AT_LOGIN, settled=True) as path:
        yield path


def said(outcome: Outcome) -> str:
    return "\n".join([*outcome.messages, *outcome.prompts])


def pending_of(user: User) -> Path:
    return RECORDS / "pending" / str(user.uid)


@pytest.mark.parametrize("service", MAY_LOG)
def test_service_that_may_log_what_pam_says_is_given_no_secret_in_any_message(
    user: User, drive: Drive, syslog: SystemLog, service: str
) -> None:
    login = drive(STACK, user, [user.password, "123456"], service=service)
    assert login.authenticate == PAM_AUTH_ERR
    assert keys_on(said(login)) == [] and not shows_qr_code(said(login))
    assert login.messages == [NOT_ENROLLED]
    assert not pending_of(user).exists()
    decisions = syslog.decisions()
    assert [each["reason"] for each in decisions] == ["not-enrolled", "not-enrolled"]
    detail = "this service is not in enrollment_services, so no secret is shown"
    assert decisions[0]["detail"] == detail


@pytest.mark.parametrize("service", SHOW_SECRETS)
def test_service_that_shows_messages_to_the_person_alone_shows_the_secret(
    user: User, drive: Drive, service: str
) -> None:
    login = drive(STACK, user, [user.password, "000000"], service=service)
    assert len(keys_on(said(login))) == 1


@pytest.mark.parametrize("written", ["cockpit", "[Cockpit, sddm]"])
def test_service_that_the_settings_name_shows_the_secret_too_and_no_other_does(
    user: User, drive: Drive, at_login: Path, written: str
) -> None:
    at_login.write_text(f"{AT_LOGIN}enrollment_services: {written}\n")
    assert keys_on(said(drive(STACK, user, [user.password], service="cockpit")))
    assert keys_on(said(drive(STACK, user, [user.password], service="sshd")))
    assert not keys_on(said(drive(STACK, user, [user.password], service="cockpit2")))


def test_correct_code_at_a_service_that_may_log_enrolls_nobody_and_prints_no_recovery_code(
    user: User,
) -> None:
    (secret,) = keys_on(gate(user, typed=user.password).output)
    phone = Credential(user, secret)
    refused = verify(user, phone.code(), service="cockpit")
    assert (refused.code, refused.output) == (REFUSED, "")
    assert not secret_of(user).exists()
    enrolled = verify(user, phone.code())
    assert enrolled.code == ACCEPTED
    assert secret in kept_uri(secret_of(user))
    assert len(recovery_codes_on(enrolled.output)) == 10


@pytest.mark.parametrize(
    ("service", "outcome"),
    [
        ("sshd", "a QR code is shown at the login, for enrolling there"),
        (
            "cockpit",
            "refused: a code is required, but the user has not enrolled; cockpit is not in "
            "enrollment_services, so no QR code is shown",
        ),
    ],
)
def test_explain_says_where_a_secret_is_shown(user: User, service: str, outcome: str) -> None:
    found = pam_totp("explain", user.name, "--service", service, "--json")
    assert json.loads(found.output)["outcome"] == outcome
