# SPDX-License-Identifier: MIT
"""Root's commands while somebody presses Ctrl-C, hangs up or kills them: what they say is true."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import (
    Answer,
    configured,
    failures_of,
    gate,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    run,
    secret_of,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import NO_CODE_NEEDED, RECORDS, STATE
from tests.host.system_log import SystemLog

SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


@pytest.fixture(params=SIGNALS, ids=lambda number: number.name)
def interrupted(request: pytest.FixtureRequest) -> Callable[..., Answer]:
    """`interrupted(call, number, *arguments)`: the command, with a signal in one of its calls."""

    def run_it(call: str, number: int, *arguments: str) -> Answer:
        inject = f"inject={call}:signal={request.param.name}:when={number}"
        through = ["strace", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
        return pam_totp(*arguments, through=through)

    return run_it


def actions(syslog: SystemLog) -> list[str]:
    return [line.fields["action"] for line in syslog.lines("action=")]


def grant_of(user: User) -> Path:
    return STATE / "grants" / str(user.uid)


def test_grant_that_is_interrupted_is_given_said_and_logged(
    user: User, credential: Credential, interrupted: Callable[..., Answer], syslog: SystemLog
) -> None:
    gate(user)  # keeps the settings: no other renameat
    answer = interrupted("renameat", 1, "grant", user.name)
    assert (answer.code, answer.errors) == (0, "")
    assert gate(user).code == NO_CODE_NEEDED
    assert actions(syslog) == ["grant"]


def test_end_of_a_grant_that_is_interrupted_is_said_and_logged(
    user: User, credential: Credential, interrupted: Callable[..., Answer], syslog: SystemLog
) -> None:
    pam_totp("grant", user.name)
    syslog.clear()
    answer = interrupted("unlinkat", 1, "grant", user.name, "--end")
    assert (answer.code, answer.errors) == (0, "")
    assert not grant_of(user).exists()
    assert actions(syslog) == ["grant-ended"]


def test_unlock_that_is_interrupted_is_said_and_logged(
    user: User, credential: Credential, interrupted: Callable[..., Answer], syslog: SystemLog
) -> None:
    verify(user, credential.incorrect_code())
    answer = interrupted("pwrite64", 2, "unlock", user.name)
    assert (answer.code, answer.errors) == (0, "")
    in_a_row, last, _budget = failures_of(user)  # the budget stays used
    assert (in_a_row, last) == (0, 0)
    assert actions(syslog) == ["unlock"]


@pytest.mark.parametrize(("call", "number"), [("renameat", 1), ("renameat", 2), ("unlinkat", 1)])
def test_import_that_is_interrupted_is_finished_said_and_logged(
    user: User,
    credential: Credential,
    interrupted: Callable[..., Answer],
    syslog: SystemLog,
    call: str,
    number: int,
) -> None:
    new_recovery_codes(user)
    with configured("store: system\n", settled=True):
        gate(user)  # keeps the settings: no other renameat
        syslog.clear()
        answer = interrupted(call, number, "migrate", user.name)
        assert (answer.code, answer.errors) == (0, "")
        assert not secret_of(user).exists() and not recovery_of(user).exists()
        assert actions(syslog) == ["migrate-to-system"]


def test_import_that_fails_half_way_is_logged(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    with configured("store: system\n"), read_only(user.home):
        assert pam_totp("migrate", user.name).code == 1
    assert (STATE / "secrets" / user.name / "secret").exists()
    assert actions(syslog) == ["migrate-to-system"]


def test_import_moves_nothing_where_one_of_the_files_differs(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    new_recovery_codes(user)
    syslog.clear()
    with configured("store: system\n"):
        kept = STATE / "secrets" / user.name / "recovery"
        kept.parent.mkdir(mode=0o700)
        kept.write_text("another\n", encoding="ascii")
        kept.chmod(0o600)
        answer = pam_totp("migrate", user.name)
        assert "differs; nothing was changed" in answer.errors
        assert secret_of(user).exists()
        assert not kept.with_name("secret").exists()
    assert actions(syslog) == []


@pytest.mark.parametrize("end", [[], ["--end"]], ids=["grant", "grant --end"])
def test_grant_that_the_disk_may_not_keep_is_logged(
    user: User, credential: Credential, syslog: SystemLog, end: list[str]
) -> None:
    """The folder's fsync fails, after the rename or the removal."""
    pam_totp("grant", user.name)
    syslog.clear()
    failing = ["strace", "-o", "/dev/null", "-e", "trace=fsync"]
    failing += ["-e", f"inject=fsync:error=EIO:when={1 if end else 2}"]
    answer = pam_totp("grant", user.name, *end, through=failing)
    assert answer.code == 1
    assert "a power failure may undo" in answer.errors
    assert actions(syslog) == ["grant-ended" if end else "grant"]


@pytest.mark.parametrize("verb", [["reset", "--yes"], ["unlock"], ["grant"]])
def test_what_took_effect_is_logged_although_nobody_reads_the_output(
    user: User, credential: Credential, syslog: SystemLog, verb: list[str]
) -> None:
    run(["/bin/sh", "-c", f"pam-totp {' '.join(verb)} {user.name} >/dev/full"])
    assert actions(syslog) == [verb[0]]


def test_reset_that_fails_half_way_is_logged(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    verify(user, credential.incorrect_code())
    with read_only(RECORDS):
        assert pam_totp("reset", "--yes", user.name).code == 1
    assert not secret_of(user).exists()
    assert actions(syslog) == ["reset-in-part"]
