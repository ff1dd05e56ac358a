# SPDX-License-Identifier: MIT
"""users.oath: the whole grammar, and what pam_oath wrote of the last code."""

import subprocess
import time

import pytest

from pam_totp.imports import users_oath
from pam_totp.imports.found import HOTP, TOTP, Found, Unusable, uri_of
from pam_totp.rules.typed_code import DIGITS

NOW = 1_800_000_000.0
SECRET = "3132333435363738393031323334353637383930"  # of RFC 4226, appendix D
TYPES = {"HOTP": (6, 0), "HOTP/E": (6, 0), "HOTP/T30": (6, 30), "HOTP/T60": (6, 60)}
TYPES |= {f"HOTP/E/{digits}": (digits, 0) for digits in DIGITS}
TYPES |= {f"HOTP/T{period}/{digits}": (digits, period) for period in (30, 60) for digits in DIGITS}


def one(line: str, now: float = NOW) -> Found:
    users = users_oath.read(f"{line}\n".encode(), now)
    assert not users.faults, users.faults
    (given,) = users.imports.values()
    return given.credentials[0]


def fault(line: str) -> str:
    users = users_oath.read(f"# a comment\n\n{line}\n".encode(), NOW)
    (message,) = users.faults.values()
    assert not users.imports and SECRET not in message
    return message


def code(counter: int, digits: int = 6) -> str:
    """By oathtool."""
    command = ["oathtool", "--hotp", "-d", str(digits), "-c", str(counter), SECRET]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def local(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SL", time.localtime(seconds))


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_of_the_grammar_is_read(kind: str) -> None:
    digits, period = TYPES[kind]
    found = one(f"{kind}\talice\t-\t{SECRET}")
    assert (found.digits, found.kind) == (digits, TOTP if period else HOTP)
    assert found.secret == b"12345678901234567890"
    assert not period or found.period == period
    assert uri_of(found, "alice@host", "host").startswith(f"otpauth://{found.kind}/")


@pytest.mark.parametrize("between", [" ", "\t", " \t  "])
def test_columns_are_apart_by_any_space_and_comments_are_left_out(between: str) -> None:
    text = between.join(["HOTP", "bob", "+", SECRET])
    users = users_oath.read(f"# HOTP x - 00\n \n  {text} \r\n\t# more".encode(), NOW)
    assert list(users.imports) == ["bob"] and not users.faults


@pytest.mark.parametrize("password", ["-", "+", "pw"])
def test_the_password_column_is_told_and_never_shown(password: str) -> None:
    users = users_oath.read(f"HOTP bob {password} {SECRET}\n".encode(), NOW)
    told = dict(users.imports["bob"].options)
    assert ("password" in told) == (password == "pw")
    assert "pw" not in told.get("password", "").replace("password", "")


@pytest.mark.parametrize("counter", [0, 1, 7, 2**40])
def test_after_the_last_code_the_next_counter_is_expected(counter: int) -> None:
    """The line names the counter of the last code, which pam_oath refuses by its digits alone."""
    line = f"HOTP bob - {SECRET} {counter} {code(counter)} {local(NOW)}"
    assert one(line).counter == counter + 1
    assert one(f"HOTP bob - {SECRET}").counter == 0


def test_a_last_code_further_ahead_than_its_counter_is_passed_over_too() -> None:
    assert one(f"HOTP bob - {SECRET} 5 {code(9)} {local(NOW)}").counter == 10
    assert one(f"HOTP bob - {SECRET} 5 000000 {local(NOW)}").counter == 5


@pytest.mark.parametrize("period", [30, 60])
@pytest.mark.parametrize("position", [-1, 0, 2])
def test_the_time_step_of_the_last_code_is_kept(period: int, position: int) -> None:
    step = int(NOW) // period - 1
    line = (
        f"HOTP/T{period} bob - {SECRET} {position} {code(step)} {local((step - position) * period)}"
    )
    assert one(line).used_step == step


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_an_hour_that_a_local_time_is_there_twice_does_not_matter(hours: int) -> None:
    step = int(NOW) // 30
    line = f"HOTP/T30 bob - {SECRET} 0 {code(step)} {local(step * 30 + hours * 3600)}"
    assert one(line).used_step == step


def test_a_last_code_of_the_far_future_locks_nobody_out() -> None:
    line = f"HOTP/T30 bob - {SECRET} 0 123456 {local(NOW + 86400)}"
    assert one(line).used_step == -1


def test_several_lines_of_a_user_are_several_credentials() -> None:
    lines = [f"HOTP bob - {SECRET}", f"HOTP/T30 bob - {SECRET}00", f"HOTP eve - {SECRET}"]
    users = users_oath.read("\n".join(lines).encode(), NOW)
    assert [len(each.credentials) for each in users.imports.values()] == [2, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    ids=range(21),
    argvalues=[
        ("HOTP/6 bob - " + SECRET, "line 3: pam_oath knows no such type"),
        ("HOTP/T45 bob - " + SECRET, "knows no such type"),
        ("HOTP/E/5 bob - " + SECRET, "knows no such type"),
        ("TOTP bob - " + SECRET, "knows no such type"),
        ("hotp bob - " + SECRET, "knows no such type"),
        ("HOTP", "4 columns, or 7"),
        ("HOTP bob", "4 columns, or 7"),
        ("HOTP bob -", "4 columns, or 7"),
        (f"HOTP bob - {SECRET} 5", "4 columns, or 7"),
        (f"HOTP bob - {SECRET} 5 123456", "4 columns, or 7"),
        (f"HOTP bob - {SECRET} 5 123456 2027-01-01T00:00:00L more", "4 columns, or 7"),
        ("HOTP bob - xyz", "in hex"),
        ("HOTP bob - 313", "in hex"),
        ("HOTP bob - " + "31" * 33, "1 to 32 bytes"),
        (f"HOTP bob - {SECRET} -5 123456 2027-01-01T00:00:00L", "the counter must be a number"),
        (
            f"HOTP bob - {SECRET} {'9' * 5000} 1 2027-01-01T00:00:00L",
            "the counter must be a number",
        ),
        (f"HOTP/T30 bob - {SECRET} 0 123456 2027-13-01T00:00:00L", "the time of the last code"),
        (f"HOTP/T30 bob - {SECRET} 0 123456 yesterday", "the time of the last code"),
        (f"HOTP/T30 bob - {SECRET} x 123456 2027-01-01T00:00:00L", "the position of the last code"),
        (f"HOTP bo\0b - {SECRET}", "bytes that are not text"),
        (f"HOTP bob - {SECRET}\0", "bytes that are not text"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(line: str, message: str) -> None:
    found = fault(line)
    assert found.startswith("line 3: ") and message in found


def test_a_user_of_whom_one_line_is_malformed_is_a_fault_as_a_whole() -> None:
    lines = [f"HOTP bob - {SECRET}", "HOTP bob - xyz", f"HOTP eve - {SECRET}"]
    users = users_oath.read("\n".join(lines).encode(), NOW)
    assert (list(users.imports), list(users.faults)) == (["eve"], ["bob"])


@pytest.mark.parametrize(
    ("content", "message"),
    ids=range(6),
    argvalues=[
        (b"", "names no user"),
        (b"\n" * 1_000_000, "names no user"),
        (b"x\n" * 1_000_000, "more than 100 lines"),
        (b"\0" * 1_000_000, ""),
        (b"HOTP a - 00\n" * 1_000_000, "more than 32 lines"),
        (b"".join(b"HOTP u%d - 00\n" % each for each in range(100_200)), "more than 100"),
    ],
)
def test_what_is_no_file_of_users_ends_with_one_fault(content: bytes, message: str) -> None:
    try:
        users = users_oath.read(content, NOW)
    except Unusable as refused:
        assert message in refused.message
    else:
        assert len(users.faults) == 1 and message in next(iter(users.faults.values()))
