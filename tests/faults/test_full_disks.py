# SPDX-License-Identifier: MIT
"""Full and read-only disks, under everything that is written to: one at a time, and all at once.

google-authenticator wrote to the secret file at every login: a full disk locked everybody out, or
accepted a code twice (its issue 13, open since 2014).
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import command
from tests.faults.command import Dialogue
from tests.faults.disk import CROWDED, FULL, READ_ONLY, STATES, disks
from tests.faults.subject import RUN, VAR, Record, Subject
from tests.host.accounts import User
from tests.host.system_log import SystemLog

PLACES = ("var", "home", "run", "var+home", "var+home+run")
ERRORS = {
    FULL: "No space left on device|the file system is full",
    CROWDED: "No space left on device|the file system is full",
    READ_ONLY: "Read-only file system",
}


@pytest.fixture
def subject(user: User) -> Iterator[Subject]:
    subject = Subject(user=user)
    subject.enroll()
    yield subject
    subject.forget()


def folders(places: str, subject: Subject) -> list[Path]:
    known = {"var": VAR, "home": subject.user.home, "run": RUN}
    return [known[place] for place in places.split("+")]


def refusal(syslog: SystemLog) -> dict[str, str]:
    return syslog.decisions()[-1]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("recorded", [True, False], ids=["with-a-record", "without"])
@pytest.mark.parametrize("marked", [True, False], ids=["marked", "first-login"])
def test_a_correct_code_is_accepted_once_wherever_it_can_be_recorded(
    subject: Subject, syslog: SystemLog, state: str, places: str, recorded: bool, marked: bool
) -> None:
    subject.enroll(marked=marked, recorded=recorded)
    kept = subject.kept()
    can_be_recorded = "run" not in places or (recorded and state != READ_ONLY)
    with disks(folders(places, subject)) as mounted:
        for disk in mounted:
            disk.become(state)
        assert subject.gate().status != 0
        code = subject.credential.fresh_code()
        logins = [subject.verify(code) for _ in range(2)]
        assert [login.status == 0 for login in logins] == [can_be_recorded, False]
        reasons = [each["reason"] for each in syslog.decisions()]
        if can_be_recorded:
            assert reasons == ["totp", "reused-code"]
        else:
            assert reasons == ["state-unavailable"] * 2
            assert re.search(ERRORS[state], refusal(syslog)["detail"])
        assert subject.kept().secret == kept.secret
        Record.parse(subject.kept().record or b"")
        for disk in mounted:
            disk.repair()
        assert (subject.verify(code).status == 0) is not can_be_recorded
        assert subject.verify(subject.credential.fresh_code()).status == 0


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("places", ["var", "var+home", "var+home+run"])
def test_a_recovery_code_is_refused_where_it_cannot_be_recorded_and_is_good_later(
    subject: Subject, syslog: SystemLog, state: str, places: str
) -> None:
    code = subject.recovery.codes[0]
    with disks(folders(places, subject)) as mounted:
        for disk in mounted:
            disk.become(state)
        assert subject.verify(code).status != 0
        assert refusal(syslog)["reason"] == "state-unavailable"
        assert re.search(ERRORS[state], refusal(syslog)["detail"])
        if "run" not in places or state != READ_ONLY:  # where a code from the app still goes
            assert subject.verify(subject.credential.fresh_code()).status == 0
        for disk in mounted:
            disk.repair()
        assert [subject.verify(code).status == 0 for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("recorded", [True, False], ids=["with-a-record", "without"])
def test_a_recovery_code_is_accepted_or_not_used_up_while_run_is_broken(
    subject: Subject, state: str, recorded: bool
) -> None:
    subject.enroll(recorded=recorded)
    code = subject.recovery.codes[0]
    with disks([RUN]) as [run]:
        run.become(state)
        accepted = [subject.verify(code).status == 0 for _ in range(2)]
        used = subject.recovery.hashes[0] in subject.kept().spent_hashes
        assert accepted == [used, False]
        run.repair()
        assert (subject.verify(code).status == 0) is not used


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("places", ["var", "var+home", "var+home+run"])
@pytest.mark.parametrize("recorded", [True, False], ids=["with-a-record", "without"])
def test_a_code_of_a_token_is_refused_where_it_cannot_be_recorded_and_is_good_later(
    subject: Subject, syslog: SystemLog, state: str, places: str, recorded: bool
) -> None:
    """And however often the owner tries it meanwhile, there is no wait."""
    subject.enroll_token(recorded)
    code, before = subject.credential.code_of(7), subject.kept()
    with disks(folders(places, subject)) as mounted:
        for disk in mounted:
            disk.become(state)
        assert [subject.verify(code).status for _ in range(7)] == [1] * 7
        assert {each["reason"] for each in syslog.decisions()} == {"state-unavailable"}
        assert re.search(ERRORS[state], refusal(syslog)["detail"])
        for disk in mounted:
            disk.repair()
        assert subject.kept() == before
        assert [subject.verify(code).status == 0 for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize("state", STATES)
def test_a_grant_that_cannot_be_used_up_exempts_nobody(subject: Subject, state: str) -> None:
    subject.grant_once()
    with disks([VAR]) as [var]:
        var.become(state)
        accepted = [subject.gate().status == 0 for _ in range(3)]
        assert sum(accepted) == (0 if state == READ_ONLY else 1)
        var.repair()
        accepted += [subject.gate().status == 0 for _ in range(3)]
        assert sum(accepted) == 1


@pytest.mark.parametrize("state", STATES)
def test_nobody_is_taken_for_not_enrolled_on_a_broken_disk(subject: Subject, state: str) -> None:
    subject.home("secret").unlink()
    with disks([VAR, RUN, subject.user.home]) as mounted:
        for disk in mounted:
            disk.become(state)
        assert subject.gate().status != 0


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("replace", [command.enroll, command.renew])
def test_what_cannot_be_saved_leaves_the_old_files_byte_for_byte(
    subject: Subject, state: str, replace: Callable[[Subject], Dialogue]
) -> None:
    before, names = subject.kept(), names_in(subject.home("secret").parent)
    with disks([subject.user.home]) as [home]:
        home.become(state)
        ended = replace(subject)
        assert ended.status == 1
        last = ended.shown.splitlines()[-2:]
        assert re.fullmatch(f"pam-totp: error: cannot save .*({ERRORS[state]}); .*", last[0])
        assert re.fullmatch("hint: .+", last[1])
        assert ended.codes == []
        assert (subject.kept(), names_in(subject.home("secret").parent)) == (before, names)
        home.repair()
        assert replace(subject).status == 0
        assert subject.kept() != before


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
