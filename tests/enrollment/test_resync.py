# SPDX-License-Identifier: MIT
"""`pam-totp resync`: a token's counter or clock, by two codes in a row, never backwards."""

import json
import time
from collections.abc import Callable

import pyotp
import pytest

from pam_totp.rules.tokens import RESYNC_REACH
from tests.commands.commands import (
    Answer,
    assert_refused,
    configured,
    keys_not_in_manual,
    pam_totp,
    secret_of,
    verify,
)
from tests.enrollment.person import PASSWORD_PROMPT, Person
from tests.faults.disk import FULL, READ_ONLY, disks
from tests.host.accounts import User
from tests.host.credentials import new_secrets
from tests.host.programs import ACCEPTED, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.tokens import Token

FIRST, NEXT = "Code of the token: ", "The next code of the token: "
NOT_IN_A_ROW = "these are no two codes in a row"
USED = "these codes are no later than codes that were used before"


def resync(user: User, *codes: str, by_root: bool = False, options: tuple[str, ...] = ()) -> Answer:
    """By the user, who types the password too, or by root."""
    typed = "".join(f"{code}\n" for code in codes)
    if by_root:
        return pam_totp("resync", *options, "--user", user.name, typed=typed)
    return pam_totp("resync", *options, user=user, typed=f"{user.password}\n{typed}")


@pytest.mark.parametrize("by_root", [True, False], ids=["root", "user"])
@pytest.mark.parametrize("counter", [0, 12, 5000, RESYNC_REACH - 1])
def test_token_that_is_ahead_logs_in_again(
    user: User, token: Token, syslog: SystemLog, counter: int, by_root: bool
) -> None:
    answer = resync(user, token.code(counter), token.code(counter + 1), by_root=by_root)
    assert (answer.code, answer.errors) == (0, "")
    assert f"Saved: the counter of 'token' is now {counter + 2}." in answer.output
    assert token.secret_file.read_text(encoding="ascii") == token.line(counter + 2)
    for used in (counter, counter + 1):
        assert verify(user, token.code(used)).code == REFUSED
    assert verify(user, token.code(counter + 2)).code == ACCEPTED
    assert len(syslog.lines("action=resync-device")) == by_root, "one's own change is not logged"


@pytest.mark.parametrize("by_root", [True, False], ids=["root", "user"])
def test_codes_beyond_ten_thousand_presses_change_nothing(
    user: User, token: Token, by_root: bool
) -> None:
    before = token.secret_file.read_bytes()
    codes = token.code(RESYNC_REACH), token.code(RESYNC_REACH + 1)
    answer = resync(user, *codes, by_root=by_root)
    assert_refused(answer, f"{NOT_IN_A_ROW} within 10000 presses of counter 0")
    assert token.secret_file.read_bytes() == before


@pytest.mark.parametrize("pair", [(1, 0), (0, 2), (3, 5)])
def test_codes_that_are_not_in_a_row_change_nothing(
    user: User, token: Token, pair: tuple[int, int]
) -> None:
    before = token.secret_file.read_bytes()
    answer = resync(user, *map(token.code, pair), by_root=True)
    assert_refused(answer, NOT_IN_A_ROW)
    assert token.secret_file.read_bytes() == before


def test_old_pair_that_somebody_saw_moves_nothing_backwards(user: User, token: Token) -> None:
    """By root it is refused; a user, who cannot see the record, gets nothing by it."""
    assert verify(user, token.code(8)).code == ACCEPTED
    old = token.code(3), token.code(4)
    assert_refused(resync(user, *old, by_root=True), USED)
    assert_refused(resync(user, token.code(8), token.code(9), by_root=True), USED)
    assert resync(user, *old).code == 0
    for counter in (4, 5, 6, 7, 8):
        assert verify(user, token.code(counter)).code == REFUSED
    assert verify(user, token.code(9)).code == ACCEPTED
    assert_refused(resync(user, *old), USED)
    assert_refused(resync(user, *old, by_root=True), USED)


def test_user_is_told_what_only_root_knows(user: User, token: Token) -> None:
    answer = resync(user, token.code(3), token.code(4))
    assert "If root has recorded later codes as used, logins go by that record." in answer.output
    far = resync(user, token.code(20_000), token.code(20_001))
    assert "ask root to run this" in far.errors


def test_root_searches_from_the_record_on(user: User, token: Token) -> None:
    token.enroll(counter=0)
    folder = STATE / "counters"
    folder.mkdir(mode=0o700, exist_ok=True)
    token.record.write_text(f"pam-totp counters 1\n{token.identity} 15000\n", encoding="ascii")
    token.record.chmod(0o600)
    assert resync(user, token.code(20_000), token.code(20_001), by_root=True).code == 0
    assert token.recorded() == 20_001
    assert verify(user, token.code(20_002)).code == ACCEPTED


def test_password_comes_before_any_code_and_an_incorrect_one_changes_nothing(
    user: User, token: Token
) -> None:
    before = token.secret_file.read_bytes()
    typed = f"no\nno\nno\n{token.code(0)}\n{token.code(1)}\n"
    answer = pam_totp("resync", user=user, typed=typed)
    assert_refused(answer, "the password was not accepted; nothing was changed")
    assert token.secret_file.read_bytes() == before


def test_person_at_a_terminal_is_asked_and_may_try_again(
    user: User, token: Token, start: Callable[..., Person]
) -> None:
    person = start(user, "resync")
    person.answer(PASSWORD_PROMPT, user.password)
    person.answer(FIRST, "12 34")
    person.read_until("A code of this token has 6 digits.")
    person.answer(FIRST, token.code(40))
    person.answer(NEXT, token.code(40))
    person.read_until("The two codes are the same.")
    person.answer(FIRST, token.code(40))
    person.answer(NEXT, token.code(42))
    person.read_until("These are no two codes in a row")
    person.answer(FIRST, f"{token.code(43)[:3]} {token.code(43)[3:]}")
    person.answer(NEXT, token.code(44))
    done = person.finish()
    assert done.status == 0, done.output
    assert "is now 45." in done.output
    assert verify(user, token.code(45)).code == ACCEPTED


@pytest.mark.parametrize(
    "typed",
    ["", "\n\n\n", "12345\n1234567\nx\n", "\0\0\0\n" * 3, "٣٣٣٣٣٣\n" * 3, "9" * 9999, "-1\n" * 4],
)  # fmt: skip
def test_what_is_no_code_changes_nothing(user: User, token: Token, typed: str) -> None:
    before = token.secret_file.read_bytes()
    answer = pam_totp("resync", "--user", user.name, typed=typed)
    assert_refused(answer, "nothing was changed")
    assert token.secret_file.read_bytes() == before


def test_ctrl_c_changes_nothing(user: User, token: Token, start: Callable[..., Person]) -> None:
    before = token.secret_file.read_bytes()
    person = start(user, "resync")
    person.answer(PASSWORD_PROMPT, user.password)
    person.answer(FIRST, token.code(0))
    person.read_until(NEXT)
    person.press("\x03")
    assert person.finish().status == 1
    assert token.secret_file.read_bytes() == before


def test_other_lines_stay_byte_for_byte(user: User, token: Token) -> None:
    other = f"otpauth://totp/x?secret={pyotp.random_base32()} phone"
    content = f"# mine\n{other}\n\nbroken\n\t{token.line(0, 'my token').rstrip()}\r\n# end"
    user.give(token.secret_file, content)
    assert resync(user, token.code(6), token.code(7)).code == 0
    after = token.secret_file.read_bytes()
    assert after == content.replace("counter=0", "counter=8").encode()


def test_device_that_is_meant_must_be_clear(user: User, token: Token) -> None:
    second = Token(user)
    token.enroll(more=second.line(0, "other token"))
    assert_refused(resync(user), "has several devices: token, other token")
    assert_refused(resync(user, options=("tokn",)), "did you mean token?")
    assert resync(user, second.code(0), second.code(1), options=("other token",)).code == 0
    assert token.line(0) + second.line(2, "other token") == token.secret_file.read_text()


def test_token_is_meant_where_there_is_one_beside_a_phone(user: User, token: Token) -> None:
    token.enroll(more=f"otpauth://totp/x?secret={pyotp.random_base32()} phone\n")
    assert resync(user, token.code(0), token.code(1)).code == 0


def test_nobody_enrolled_and_no_root_are_told(user: User) -> None:
    assert_refused(pam_totp("resync", "--user", user.name), "has no device")
    assert_refused(pam_totp("resync", "--user", "root", user=user), "must be run as root")
    with configured("store: system\n"):
        assert_refused(pam_totp("resync", user=user), "only root can read them")


def test_root_resynchronizes_with_store_system(user: User, token: Token) -> None:
    folder = STATE / "secrets" / user.name
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o700)
    (folder / "secret").write_text(token.line(0), encoding="ascii")
    (folder / "secret").chmod(0o600)
    with configured("store: system\n"):
        assert resync(user, token.code(30), token.code(31), by_root=True).code == 0
        assert verify(user, token.code(32)).code == ACCEPTED


@pytest.mark.parametrize("state", [FULL, READ_ONLY])
def test_disk_on_which_it_cannot_be_saved_changes_nothing(
    user: User, token: Token, state: str
) -> None:
    before = token.secret_file.read_bytes()
    with disks([user.home]) as [home]:
        home.become(state)
        answer = resync(user, token.code(0), token.code(1))
        assert_refused(answer, "cannot save the secret")
        assert token.secret_file.read_bytes() == before


def test_file_that_was_changed_meanwhile_is_left_alone(
    user: User, token: Token, start: Callable[..., Person]
) -> None:
    person = start(user, "resync")
    person.answer(PASSWORD_PROMPT, user.password)
    person.answer(FIRST, token.code(0))
    person.read_until(NEXT)
    token.enroll(counter=77)
    person.type_line(token.code(1))
    done = person.finish()
    assert done.status == 1
    assert "was changed meanwhile; nothing was changed" in done.output
    assert token.secret_file.read_text() == token.line(77)


def test_json_says_what_was_changed(user: User, token: Token) -> None:
    answer = resync(user, token.code(0), token.code(1), by_root=True, options=("--json",))
    found = json.loads(answer.output)
    assert found == {
        "changed": True,
        "user": user.name,
        "device": "token",
        "id": token.identity[:8],
    }
    assert keys_not_in_manual("resync", answer.output) == set()


class Clock:
    """A token with TOTP whose clock is off by some time steps. It stands still, so that its codes
    are in a row however long the commands between them take."""

    def __init__(self, user: User, off: int) -> None:
        self.user = user
        self._step = int(time.time() // 30) + off
        (self.secret,) = new_secrets()
        self._generator = pyotp.TOTP(self.secret)
        self.enroll()

    def enroll(self) -> None:
        line = f"otpauth://totp/server:{self.user.name}?secret={self.secret}&issuer=server token\n"
        self.user.give(secret_of(self.user), line)

    def code(self, ahead: int = 0) -> str:
        return str(self._generator.generate_otp(self._step + ahead))

    def line(self) -> str:
        return secret_of(self.user).read_text(encoding="ascii")


@pytest.mark.parametrize("by_root", [True, False], ids=["root", "user"])
@pytest.mark.parametrize("off", [-1600, -9, 0, 4, 1600])
def test_clock_that_is_off_is_found_by_two_codes(user: User, off: int, by_root: bool) -> None:
    clock = Clock(user, off)
    accepted = verify(user, clock.code()).code == ACCEPTED
    assert accepted is (off == 0)
    answer = resync(user, clock.code(1), clock.code(2), by_root=by_root)
    assert (answer.code, answer.errors) == (0, "")
    assert f"&secret={clock.secret}" in clock.line()
    assert verify(user, clock.code(3)).code == ACCEPTED
    assert verify(user, clock.code(2)).code == REFUSED, "a step before the last accepted one"


def test_old_pair_does_not_move_a_clock_backwards(user: User) -> None:
    clock = Clock(user, 100)
    old, new = (clock.code(0), clock.code(1)), (clock.code(5), clock.code(6))
    assert resync(user, *old).code == 0
    before = clock.line()
    assert_refused(resync(user, *old), USED)
    assert clock.line() == before
    assert resync(user, *new).code == 0
    assert_refused(resync(user, *old), USED)
    assert verify(user, clock.code(7)).code == ACCEPTED


def test_root_refuses_codes_that_were_used_at_a_login(user: User) -> None:
    clock = Clock(user, 0)
    used = clock.code(1)
    assert verify(user, used).code == ACCEPTED
    assert_refused(resync(user, clock.code(0), used, by_root=True), USED)


def test_codes_that_root_resynchronized_with_are_used(user: User) -> None:
    clock = Clock(user, 0)
    assert resync(user, clock.code(0), clock.code(1), by_root=True).code == 0
    assert verify(user, clock.code(1)).code == REFUSED


def test_guesses_at_logins_teach_no_offset(user: User, syslog: SystemLog) -> None:
    """Rule 18."""
    clock = Clock(user, 7)
    before = clock.line()
    for ahead in (0, 1, 2):
        assert verify(user, clock.code(ahead)).code == REFUSED
    assert {each["reason"] for each in syslog.decisions()} == {"clock-skew"}
    assert clock.line() == before


def test_damaged_record_is_named(user: User, token: Token) -> None:
    assert verify(user, token.code(0)).code == ACCEPTED
    token.record.write_text("x", encoding="ascii")
    answer = resync(user, token.code(1), token.code(2), by_root=True)
    assert_refused(answer, f"{token.record} is malformed; nothing was changed")
    assert (RECORDS / str(user.uid)).exists()
