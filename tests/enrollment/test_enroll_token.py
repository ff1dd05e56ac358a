# SPDX-License-Identifier: MIT
"""`pam-totp enroll --token`: a hardware token by its key, and saved only after a code of it."""

import hashlib
import os
import time
from base64 import b32decode, b32encode
from collections.abc import Callable
from pathlib import Path

import pyotp
import pytest

from tests.commands.commands import Answer, assert_refused, pam_totp, recovery_of, verify
from tests.enrollment.person import PASSWORD_PROMPT, Person, secret_file, without_time
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, REFUSED
from tests.host.tokens import Token, new_secret

KEY_PROMPT = "Key of the token (hex, base32 or otpauth URI): "
CODE = "Code of the token: "
SAVED = "Saved: {} is enrolled with device '{}'."


@pytest.fixture
def made(user: User) -> Token:
    """A token whose user is not enrolled."""
    return Token(user)


def hex_of(token: Token) -> str:
    return b32decode(token.secret).hex()


def add(user: User, *options: str, typed: str = "", by_root: bool = False) -> Answer:
    who = ("--user", user.name) if by_root else ()
    return pam_totp(
        "enroll", "--token", *options, *who, user=None if by_root else user, typed=typed
    )


def lines(user: User) -> list[str]:
    content = without_time(secret_file(user).read_text(encoding="utf-8"))
    return [line for line in content.splitlines() if line.startswith("otpauth")]


FORMS = {
    "hex": lambda token: hex_of(token),
    "hex in groups": lambda token: " ".join(hex_of(token)[at : at + 4] for at in range(0, 40, 4)),
    "hex with 0x": lambda token: f"0x{hex_of(token).upper()}",
    "hex with colons": lambda token: ":".join(hex_of(token)[at : at + 2] for at in range(0, 40, 2)),
    "base32": lambda token: token.secret,
    "base32 in small letters": lambda token: token.secret.lower(),
    "base32 in groups": lambda token: f"{token.secret[:16]} {token.secret[16:]}",
    "named hex": lambda token: f"hex:{hex_of(token)}",
    "named base32": lambda token: f"base32: {token.secret}",
}


@pytest.mark.parametrize("by_root", [True, False], ids=["root", "user"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_key_is_taken_in_the_forms_that_makers_use(
    user: User, made: Token, form: Callable[[Token], str], by_root: bool
) -> None:
    answer = add(user, "--hotp", typed=f"{form(made)}\n{made.code(0)}\n", by_root=by_root)
    assert (answer.code, answer.errors) == (0, "")
    assert SAVED.format(user.name, "token") in answer.output
    assert "Recovery codes, each" in answer.output, "nothing was enrolled before"
    assert made.secret not in answer.output
    (line,) = lines(user)
    assert f"?secret={made.secret}&counter=1&" in line
    assert verify(user, made.code(0)).code == REFUSED, "the code that proved it is used"
    assert verify(user, made.code(1)).code == ACCEPTED


@pytest.mark.parametrize("scheme", ["otpauth", "OTPAUTH"])
def test_uri_says_everything(user: User, scheme: str) -> None:
    secret = new_secret()
    uri = f"{scheme}://hotp/Maker:0815?secret={secret}&counter=40&digits=8&algorithm=SHA256"
    oracle = pyotp.HOTP(secret, digits=8, digest=hashlib.sha256)
    answer = add(user, typed=f"{uri}\n{oracle.at(43)}\n")
    assert (answer.code, answer.errors) == (0, "")
    (line,) = lines(user)
    assert f"secret={secret}&counter=44&algorithm=SHA256&digits=8&issuer=" in line
    assert verify(user, str(oracle.at(44))).code == ACCEPTED


def test_uri_and_options_do_not_go_together(user: User, made: Token) -> None:
    uri = f"otpauth://hotp/x?secret={made.secret}&counter=0\n"
    for options in (["--hotp"], ["--digits", "8"], ["--period", "60"], ["--algorithm", "SHA1"]):
        answer = add(user, *options, typed=uri + made.code(0))
        assert_refused(answer, "the parameters are in the URI", code=2)
        assert f"leave out {options[0]}" in answer.errors
    assert not secret_file(user).exists()


@pytest.mark.parametrize("by_root", [True, False], ids=["root", "user"])
@pytest.mark.parametrize(
    ("options", "algorithm", "digits", "period"),
    [
        ((), "sha1", 6, 30),
        (("--period", "60"), "sha1", 6, 60),
        (("--algorithm", "SHA256", "--digits", "8"), "sha256", 8, 30),
    ],
)
def test_token_with_a_clock_is_added(
    user: User, options: tuple[str, ...], algorithm: str, digits: int, period: int, by_root: bool
) -> None:
    secret = new_secret()
    oracle = pyotp.HOTP(secret, digits=digits, digest=getattr(hashlib, algorithm))
    step = int(time.time()) // period
    answer = add(user, *options, typed=f"{secret}\n{oracle.at(step)}\n", by_root=by_root)
    assert (answer.code, answer.errors) == (0, "")
    (line,) = lines(user)
    assert line.startswith("otpauth://totp/")
    assert verify(user, str(oracle.at(step))).code == (REFUSED if by_root else ACCEPTED)
    assert verify(user, str(oracle.at(step + 1))).code == ACCEPTED


def test_token_with_a_clock_that_is_off_is_proved_by_two_codes(user: User) -> None:
    secret = new_secret()
    oracle, step = pyotp.HOTP(secret), int(time.time()) // 30 - 200
    answer = add(user, typed=f"{secret}\n{oracle.at(step)}\n{oracle.at(step + 1)}\n")
    assert (answer.code, answer.errors) == (0, "")
    assert "&offset=-" in lines(user)[0]
    assert verify(user, str(oracle.at(step + 2))).code == ACCEPTED


@pytest.mark.parametrize("counter", [12, 4000, 9998])
def test_token_that_was_pressed_before_is_proved_by_two_codes(
    user: User, made: Token, counter: int
) -> None:
    typed = f"{made.secret}\n{made.code(counter)}\n{made.code(counter + 1)}\n"
    answer = add(user, "--hotp", typed=typed)
    assert (answer.code, answer.errors) == (0, "")
    assert "Not one of the next 12 codes." in answer.output
    assert f"counter={counter + 2}&" in lines(user)[0]


def test_counter_may_be_told(user: User, made: Token) -> None:
    answer = add(user, "--hotp", "--counter", "30000", typed=f"{made.secret}\n{made.code(30004)}\n")
    assert answer.code == 0
    assert "counter=30005&" in lines(user)[0]


def test_key_is_typed_without_echo_at_a_terminal(
    user: User, made: Token, start: Callable[..., Person]
) -> None:
    person = start(user, "enroll", "--token", "--hotp", "--device", "my key ring")
    person.answer(KEY_PROMPT, made.secret)
    person.answer(CODE, "1234")
    person.read_until("A code of this token has 6 digits")
    person.answer(CODE, made.code(3))
    done = person.finish()
    assert done.status == 0, done.output
    assert SAVED.format(user.name, "my key ring") in done.output
    assert made.secret not in done.output
    assert verify(user, made.code(4)).code == ACCEPTED


def test_key_comes_from_a_file(user: User, made: Token) -> None:
    path = user.home / "key"
    user.give(path, f"{hex_of(made)}\r\n")
    answer = add(user, "--hotp", "--key-file", str(path), typed=f"{made.code(0)}\n")
    assert (answer.code, answer.errors) == (0, "")


def test_key_comes_from_standard_input(user: User, made: Token) -> None:
    answer = add(user, "--hotp", "--key-file", "-", typed=f"{made.secret}\n{made.code(0)}\n")
    assert (answer.code, answer.errors) == (0, "")


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "huge", "empty", "two lines", "nul"])
def test_file_that_holds_no_key_is_refused_at_once(user: User, kind: str) -> None:
    path = user.home / "key"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind != "missing":
        contents = {"huge": "A" * 10**6, "empty": "", "two lines": "A" * 32 + "\n" + "B" * 32}
        user.give(path, contents.get(kind, "A" * 16 + "\0" + "A" * 16))
    answer = add(user, "--hotp", "--key-file", str(path), by_root=True)
    assert_refused(answer, "nothing was changed")
    assert not secret_file(user).exists()


def test_file_that_holds_something_else_is_not_quoted(user: User) -> None:
    """Root may be made to read it, by a sudo rule."""
    path = Path("/root/not-a-key")
    path.write_text("root:the-secret-of-root:20000::::::", encoding="ascii")
    answer = add(user, "--key-file", str(path), by_root=True)
    assert_refused(answer, "the key cannot be used: it is neither hex nor base32")
    assert "the-secret" not in answer.errors + answer.output
    path.unlink()


@pytest.mark.parametrize(
    "key",
    ["", "\n", "x", "0123456789", "abc", "ZZZZZZZZ", "é" * 20, "1" * 39, "A" * 5000, "\x1b[2J" * 9,
     "otpauth://totp/x", "otpauth://hotp/x?secret=" + "A" * 32, "otpauth-migration://offline?data=",
     "hex:" + "Z" * 32, "base32:" + "1" * 32, "ABCDEF234567" * 3, "0" * 600],
)  # fmt: skip
def test_what_is_no_key_is_refused_and_not_quoted(user: User, key: str) -> None:
    answer = add(user, typed=f"{key}\n000000\n", by_root=True)
    assert_refused(answer, "nothing was changed")
    assert len(key) < 5 or key.strip() not in answer.errors
    assert not secret_file(user).exists()


def test_key_that_may_be_hex_or_base32_has_to_be_named(user: User) -> None:
    key = "ABCDEF234567" * 3
    answer = add(user, "--hotp", typed=f"{key}\n")
    assert_refused(answer, "the key may be hex or base32; nothing was changed")
    assert "put hex: or base32: in front of the key" in answer.errors
    code = pyotp.HOTP(b32encode(bytes.fromhex(key)).decode()).at(0)
    assert add(user, "--hotp", typed=f"hex:{key}\n{code}\n").code == 0


def test_ten_incorrect_codes_change_nothing(user: User, made: Token) -> None:
    answer = add(user, "--hotp", typed=f"{made.secret}\n" + f"{made.incorrect_code()}\n" * 10)
    assert_refused(answer, "10 incorrect codes; nothing was changed")
    assert not secret_file(user).exists()
    assert not recovery_of(user).exists()


def test_code_of_another_kind_is_named_with_its_options(user: User, made: Token) -> None:
    answer = add(user, typed=f"{made.secret}\n{made.code(0)}\n")
    assert "but of this: pam-totp enroll --token --hotp." in answer.output
    code = made.code(int(time.time()) // 60)
    answer = add(user, typed=f"{made.secret}\n{code}\n")
    assert "but of this: pam-totp enroll --token --period 60." in answer.output


def test_phone_and_recovery_codes_stay_beside_a_token(
    user: User, made: Token, credential: Credential
) -> None:
    before = lines(user)
    typed = f"{user.password}\n{made.secret}\n{made.code(0)}\n"
    answer = add(user, "--hotp", typed=typed)
    assert (answer.code, answer.errors) == (0, "")
    assert "This will add the device 'token'." in answer.output
    assert "Recovery codes, each" not in answer.output
    assert lines(user)[0] == before[0]
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    assert verify(user, made.code(1)).code == ACCEPTED
    second = Token(user)
    typed = f"{user.password}\n{second.secret}\n{second.code(0)}\n"
    assert SAVED.format(user.name, "token-2") in add(user, "--hotp", typed=typed).output


def test_incorrect_password_comes_before_the_key(
    user: User, made: Token, credential: Credential
) -> None:
    before = lines(user)
    answer = add(user, "--hotp", typed=f"no\nno\nno\n{made.secret}\n{made.code(0)}\n")
    assert_refused(answer, "the password was not accepted; nothing was changed")
    assert lines(user) == before


def test_key_of_another_device_is_refused(user: User, token: Token) -> None:
    typed = f"{token.secret}\n{token.code(0)}\n"
    answer = add(user, "--hotp", typed=typed, by_root=True)
    assert_refused(answer, "this key is already that of 'token'; nothing was changed")


def test_token_that_comes_back_begins_behind_its_used_codes(user: User, token: Token) -> None:
    """Root has the record; it was removed from the file, and not by `reset`."""
    assert verify(user, token.code(9)).code == ACCEPTED
    secret_file(user).unlink()
    answer = add(user, "--hotp", typed=f"{token.secret}\n{token.code(5)}\n", by_root=True)
    assert_refused(answer, "no answer")
    answer = add(user, "--hotp", typed=f"{token.secret}\n{token.code(12)}\n", by_root=True)
    assert answer.code == 0
    assert "counter=13&" in lines(user)[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--token", "--users", "x"], "each token has a key of its own"),
        (["--hotp"], "--hotp needs --token"),
        (["--key-file", "x"], "--key-file needs --token"),
        (["--counter", "1"], "--counter needs --token"),
        (["--token", "--counter", "1"], "--counter needs --hotp"),
        (["--token", "--hotp", "--period", "60"], "codes by counter have no period"),
        (["--token", "--no-qr"], "there is no QR code of a token"),
        (["--token", "--hotp", "--counter", "-1"], "counter"),
        (["--token", "--hotp", "--counter", "9" * 30], "must be a number from 0 to"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    user: User, options: list[str], message: str
) -> None:
    assert_refused(pam_totp("enroll", *options, user=user), message, code=2)


def test_ctrl_c_saves_nothing(user: User, made: Token, start: Callable[..., Person]) -> None:
    person = start(user, "enroll", "--token", "--hotp")
    person.answer(KEY_PROMPT, made.secret)
    person.read_until(CODE)
    person.press("\x03")
    done = person.finish()
    assert done.status == 1
    assert "Delete the entry" not in done.output, "that is for apps"
    assert not secret_file(user).exists()


def test_key_is_never_an_argument(user: User) -> None:
    answer = pam_totp("enroll", "--token", "A" * 32, user=user)
    assert_refused(answer, "unrecognized arguments", code=2)


def test_password_prompt_is_the_first_question(
    user: User, credential: Credential, start: Callable[..., Person]
) -> None:
    person = start(user, "enroll", "--token")
    person.read_until(PASSWORD_PROMPT)
    person.hang_up()
