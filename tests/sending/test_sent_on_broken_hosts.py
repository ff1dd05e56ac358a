# SPDX-License-Identifier: MIT
"""Codes that are sent on a host with a full disk, a clock that jumps, or a /run that is gone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.disk import FULL, READ_ONLY, STATES, disks
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.login.programs import clock_at
from tests.sending.application import Application, login
from tests.sending.outbox import NUMBER, OUTBOX, TextMessage, give_contact, logged, wait_for

Messages = Callable[[], list[TextMessage]]
NOT_SENT = "No code could be sent. Try again later.\n"
YEARS = 10 * 365 * 86400
SPOOL = Path("/var/spool/exim4")


def fail_once(application: Application, code: str) -> None:
    """So that there is a record of the user's tries."""
    assert application.verify(f"{(int(code) + 1) % 10**8:08}").code == REFUSED


@pytest.mark.parametrize("state", STATES)
def test_a_code_that_was_sent_is_good_once_while_run_is_full(
    user: User, messages: Messages, syslog: SystemLog, state: str
) -> None:
    """Where it cannot be forgotten, it is refused, and good later."""
    give_contact(user, ("sms", NUMBER))
    can_be_forgotten = state != READ_ONLY
    with login(user) as application:
        code = wait_for(messages).code
        fail_once(application, code)
        with disks([RECORDS]) as (disk,):
            disk.become(state)
            answers = [application.verify(code).code == ACCEPTED for _ in range(2)]
            assert answers == [can_be_forgotten, False]
            if not can_be_forgotten:
                assert logged(syslog, user)[-1]["reason"] == "state-unavailable"
            disk.repair()
            later = [application.verify(code).code == ACCEPTED for _ in range(2)]
            assert later == [not can_be_forgotten, False]


@pytest.mark.parametrize("state", STATES)
def test_nothing_is_sent_while_run_is_full_and_the_app_still_counts(
    user: User, credential: Credential, messages: Messages, syslog: SystemLog, state: str
) -> None:
    give_contact(user, ("sms", NUMBER))
    with login(user) as earlier:
        fail_once(earlier, "0")
    with disks([RECORDS]) as (disk,), Application(user) as application:
        disk.become(state)
        shown = application.gate()
        assert (shown.code, shown.output) == (ASK, NOT_SENT)
        assert logged(syslog, user)[-1]["reason"] == "state-unavailable"
        assert messages() == []
        can_be_recorded = state != READ_ONLY
        answer = application.verify(credential.fresh_code())
        assert (answer.code == ACCEPTED) is can_be_recorded
        disk.repair()
        application.gate()
        assert application.verify("sms").output.startswith("A code is on its way")
        assert application.verify(wait_for(messages).code).code == ACCEPTED


@pytest.mark.parametrize("state", STATES)
def test_a_code_is_accepted_while_var_is_full_and_confirms_the_contact_later(
    user: User, messages: Messages, syslog: SystemLog, state: str
) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=0)
    (STATE / "enforced").mkdir(mode=0o700, exist_ok=True)
    record = STATE / "contacts" / str(user.uid)
    with disks([STATE]) as (disk,):
        disk.become(state)
        with login(user) as application:
            assert application.verify(wait_for(messages).code).code == ACCEPTED
        assert "cannot record that the contact is confirmed" in logged(syslog, user)[-1]["detail"]
        assert record.read_text().endswith(" 0\n")
        disk.repair()
        with login(user) as application:
            assert application.verify(wait_for(messages, 2).code).code == ACCEPTED
        assert not record.read_text().endswith(" 0\n")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("kind", "spool"), [("sms", OUTBOX), ("mail", SPOOL)])
@pytest.mark.usefixtures("messages")
def test_a_spool_that_is_full_is_logged_and_the_app_still_counts(
    user: User, credential: Credential, syslog: SystemLog, state: str, kind: str, spool: Path
) -> None:
    give_contact(user, ("sms", NUMBER), ("mail", f"{user.name}@localhost"))
    with login(user) as application, disks([spool]) as (disk,):
        disk.become(state)
        application.verify(kind)
        # gammu-smsd-inject (1.42) makes an empty file then, and ends with 0.
        if (kind, state) != ("sms", FULL):
            line = syslog.wait_for(f"reason=send-failed user={user.name} ", 30)
            assert " failed: " in line.message
        assert application.verify(credential.fresh_code()).code == ACCEPTED


@pytest.mark.parametrize("seconds", [-YEARS, -3600, 3600, YEARS])
def test_a_clock_that_jumps_changes_nothing_of_a_code_that_was_sent(
    user: User, messages: Messages, seconds: int
) -> None:
    give_contact(user, ("sms", NUMBER))
    jumped = clock_at(Credential.step() * 30 + seconds)
    with login(user) as application:
        code = wait_for(messages).code
        assert application.verify(f"{(int(code) + 1) % 10**8:08}", **jumped).code == REFUSED
        assert application.verify(code, **jumped).code == ACCEPTED
        assert application.verify(code, **jumped).code == REFUSED
        assert application.verify(code).code == REFUSED


@pytest.mark.parametrize("has_app", [True, False])
def test_a_code_of_before_a_reboot_is_refused_and_the_next_login_is_sent_one(
    user: User,
    messages: Messages,
    syslog: SystemLog,
    request: pytest.FixtureRequest,
    has_app: bool,
) -> None:
    """What is in /run is gone, and all else is there."""
    give_contact(user, ("sms", NUMBER))
    credential = request.getfixturevalue("credential") if has_app else None
    with login(user) as application:
        if has_app:
            application.verify("sms")
        code = wait_for(messages).code
        shutil.rmtree(RECORDS)
        assert application.verify(code).code == REFUSED
        told = logged(syslog, user)[-1]
        assert has_app or told["detail"] == "no secret file, and no code was sent for this login"
        assert application.verify("sms").code == REFUSED
        if credential:
            assert application.verify(credential.fresh_code()).code == ACCEPTED
    assert len(messages()) == 1
    with login(user) as application:
        if has_app:
            application.verify("sms")
        assert application.verify(wait_for(messages, 2).code).code == ACCEPTED
