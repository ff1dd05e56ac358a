# SPDX-License-Identifier: MIT
"""Recovery codes of eight digits, imported from another program: good once, and counted as guesses,
which those of sixteen characters are not."""

import hashlib
import os
from collections.abc import Sequence

import pytest

from pam_totp.login.check_recovery_code import MAX_SCRATCH_CODES
from pam_totp.rules import throttle
from tests.commands.commands import (
    failures_of,
    let_pass,
    mounted,
    read_only,
    recovery_of,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.tokens import Token

CODES = ("12345678", "87654321", "11223344", "55667788", "99990000")


def give_codes(user: User, codes: Sequence[str]) -> list[str]:
    """Writes the recovery file as the import does; the hashes."""
    salt = os.urandom(16)
    hashes = [
        hashlib.scrypt(code.encode(), salt=salt, n=16, r=8, p=1, dklen=32).hex() for code in codes
    ]
    content = "\n".join([f"pam-totp recovery 1 {salt.hex()}", *hashes, ""])
    user.give(recovery_of(user), content)
    return hashes


@pytest.fixture
def hashes(user: User, credential: Credential) -> list[str]:
    return give_codes(user, CODES)


def used(user: User) -> list[str]:
    record = STATE / "used" / str(user.uid)
    return record.read_text(encoding="ascii").split() if record.exists() else []


def last(log: SystemLog) -> dict[str, str]:
    return log.decisions()[-1]


def test_scratch_code_is_accepted_once_and_says_what_is_left(
    user: User, hashes: list[str], syslog: SystemLog
) -> None:
    answer = verify(user, CODES[1])
    assert (answer.code, answer.output) == (ACCEPTED, "4 recovery codes left.\n")
    assert (last(syslog)["verdict"], last(syslog)["reason"]) == ("accept", "recovery-code")
    assert used(user) == [hashes[1]]
    assert verify(user, CODES[1]).code == REFUSED
    assert last(syslog)["reason"] == "reused-code"
    assert verify(user, "1122 3344").code == ACCEPTED


def test_scratch_code_is_accepted_of_a_user_with_a_token(user: User, token: Token) -> None:
    give_codes(user, CODES)
    assert verify(user, CODES[0]).code == ACCEPTED
    assert verify(user, token.code(0)).code == ACCEPTED


def test_incorrect_scratch_code_counts_as_a_guess(
    user: User, hashes: list[str], credential: Credential, syslog: SystemLog
) -> None:
    for _ in range(throttle.Limits().free_tries):
        assert verify(user, "00000000").code == REFUSED
        assert last(syslog)["reason"] == "wrong-code"
    assert verify(user, CODES[0]).code == REFUSED
    assert last(syslog)["reason"] == "throttled"
    assert used(user) == []
    let_pass(user, 60)
    assert verify(user, CODES[0]).code == ACCEPTED
    assert failures_of(user)[0] == 0
    assert verify(user, credential.fresh_code()).code == ACCEPTED


@pytest.mark.parametrize("disk", ["full", "read-only"])
def test_scratch_code_that_cannot_be_recorded_is_refused_and_good_later(
    user: User, hashes: list[str], syslog: SystemLog, disk: str
) -> None:
    folder = STATE / "used"
    folder.mkdir(mode=0o700, exist_ok=True)
    broken = read_only(STATE) if disk == "read-only" else mounted(folder, "size=4k,mode=700")
    with broken:
        if disk == "full":
            (folder / "ballast").write_bytes(bytes(4096))
        assert verify(user, CODES[0]).code == REFUSED
        assert last(syslog)["reason"] == "state-unavailable"
    assert verify(user, CODES[0]).code == ACCEPTED


def test_no_more_codes_are_compared_than_a_guess_is_worth(
    user: User, credential: Credential
) -> None:
    codes = [f"{number:08d}" for number in range(20_000_000, 20_000_000 + MAX_SCRATCH_CODES + 1)]
    give_codes(user, codes)
    assert verify(user, codes[-1]).code == REFUSED
    assert verify(user, codes[-2]).code == ACCEPTED


@pytest.mark.parametrize("typed", ["1234567", "123456789", "1234567a", "12345679"])
def test_nothing_else_is_a_scratch_code(user: User, hashes: list[str], typed: str) -> None:
    assert verify(user, typed).code == REFUSED
    assert used(user) == []


def test_user_without_recovery_codes_is_just_refused(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    assert verify(user, CODES[0]).code == REFUSED
    assert last(syslog)["reason"] == "wrong-code"
