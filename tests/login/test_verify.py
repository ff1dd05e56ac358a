# SPDX-License-Identifier: MIT
"""The installed verifier: who is accepted, who is refused, and what the log says."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, LOGIN, RECORDS, REFUSED, STATE, VERIFY
from tests.host.system_log import SystemLog
from tests.login.programs import verify


@pytest.fixture
def credential(user: User, enrolled: Callable[..., Credential]) -> Credential:
    return enrolled(user, device="my phone")


def only_decision(log: SystemLog) -> dict[str, str]:
    (decision,) = log.decisions()
    return decision


def test_correct_code_is_accepted_once(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    code = credential.fresh_code()
    assert verify(user.name, code) == ACCEPTED
    assert only_decision(syslog) == {
        "verdict": "accept",
        "reason": "totp",
        "user": user.name,
        "service": "sshd",
        "rhost": "192.0.2.7",
        "device": "my phone",
    }
    syslog.clear()
    assert verify(user.name, code) == REFUSED
    decision = only_decision(syslog)
    assert (decision["verdict"], decision["reason"]) == ("refuse", "reused-code")
    assert "last accepted" in decision["detail"]


@pytest.mark.parametrize("word", ["security-key", "fingerprint", "totp", "look", "\n"])
def test_with_a_word_it_verifies_nothing_and_is_never_a_yes(
    user: User, credential: Credential, syslog: SystemLog, word: str
) -> None:
    """Rule 2: it logs what another module has accepted, if the word is a reason for that."""
    code = credential.fresh_code()
    assert verify(user.name, code, arguments=[word]) == REFUSED
    is_reason = word in ("security-key", "fingerprint")
    logged = [(each["verdict"], each["reason"], each["user"]) for each in syslog.decisions()]
    assert logged == ([("accept", word, user.name)] if is_reason else [])
    assert not (STATE / "enforced" / str(user.uid)).exists()
    # The code was not looked at.
    assert not (RECORDS / str(user.uid)).exists()
    assert verify(user.name, code) == ACCEPTED


def test_next_code_is_accepted_too(user: User, credential: Credential) -> None:
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


def test_incorrect_code_is_refused_and_uses_up_nothing(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    assert verify(user.name, credential.incorrect_code()) == REFUSED
    assert only_decision(syslog)["reason"] == "wrong-code"
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


@pytest.mark.parametrize("offset", [-10, 10])
def test_code_of_a_wrong_clock_is_refused_and_named(
    user: User, credential: Credential, syslog: SystemLog, offset: int
) -> None:
    assert verify(user.name, credential.code(offset)) == REFUSED
    decision = only_decision(syslog)
    assert decision["reason"] == "clock-skew"
    assert decision["detail"].endswith("compare the clocks")
    assert decision["device"] == "my phone"


@pytest.mark.parametrize("form", ["{0}{1}", "{0} {1}", " {0} {1} ", "{0}{1}\0"])
def test_code_may_be_typed_with_spaces(user: User, credential: Credential, form: str) -> None:
    code = credential.fresh_code()
    assert verify(user.name, form.format(code[:3], code[3:])) == ACCEPTED


@pytest.mark.parametrize("form", ["", "-{}", "+{}", "{}x", "{}\n", "{}\0\0", "\0{}", "0{}", "{}{}"])
def test_correct_code_with_anything_else_is_refused(
    user: User, credential: Credential, syslog: SystemLog, form: str
) -> None:
    code = credential.fresh_code()
    assert verify(user.name, form.format(code, code)) == REFUSED
    assert only_decision(syslog)["reason"] in ("bad-input", "wrong-code")
    assert verify(user.name, code) == ACCEPTED


def test_correct_code_in_other_digits_is_refused(user: User, credential: Credential) -> None:
    code = credential.fresh_code()
    for zero in ("０", "٠", "𝟎"):  # noqa: RUF001
        assert verify(user.name, "".join(chr(ord(zero) + int(digit)) for digit in code)) == REFUSED
    assert verify(user.name, code) == ACCEPTED


def test_each_enrolled_device_is_accepted(
    user: User, enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    path = user.home / ".config" / "pam-totp" / "secret"
    first = enrolled(user, device="phone")
    line = path.read_text(encoding="utf-8")
    second = enrolled(user, device="tablet")
    user.give(path, "# my devices\n" + line + "broken line\n" + path.read_text(encoding="utf-8"))
    assert verify(user.name, second.fresh_code()) == ACCEPTED
    assert verify(user.name, first.fresh_code()) == ACCEPTED
    assert [each["device"] for each in syslog.decisions()] == ["tablet", "phone"]


def test_code_of_another_user_is_refused(
    make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    alice, bob = make_user(), make_user()
    enrolled(alice)
    code = enrolled(bob).fresh_code()
    assert verify(alice.name, code) == REFUSED
    assert verify(bob.name, code) == ACCEPTED


def test_user_who_is_not_enrolled_is_refused(user: User, syslog: SystemLog) -> None:
    assert verify(user.name, "123456") == REFUSED
    assert only_decision(syslog)["reason"] == "not-enrolled"


def test_removed_secret_is_missing_after_a_login_with_a_code(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    assert (STATE / "enforced" / str(user.uid)).exists()
    (user.home / ".config" / "pam-totp" / "secret").unlink()
    syslog.clear()
    assert verify(user.name, credential.fresh_code()) == REFUSED
    assert only_decision(syslog)["reason"] == "secret-missing"


def test_refused_code_sets_no_mark(user: User, credential: Credential) -> None:
    assert verify(user.name, credential.incorrect_code()) == REFUSED
    assert not (STATE / "enforced" / str(user.uid)).exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [("", "secret-malformed"), ("otpauth://totp/a?secret=\n", "secret-malformed")],
)
def test_secret_file_without_a_credential_refuses(
    user: User, syslog: SystemLog, content: str, reason: str
) -> None:
    user.give(user.home / ".config" / "pam-totp" / "secret", content)
    assert verify(user.name, "123456") == REFUSED
    decision = only_decision(syslog)
    assert decision["reason"] == reason
    assert decision["detail"].startswith(f"{user.home}/.config/pam-totp/secret: ")


def test_record_that_makes_no_sense_refuses_and_names_the_file(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    (RECORDS / str(user.uid)).write_bytes(b"\0" * 4096)
    syslog.clear()
    assert verify(user.name, credential.fresh_code()) == REFUSED
    decision = only_decision(syslog)
    assert decision["reason"] == "state-unavailable"
    assert str(RECORDS / str(user.uid)) in decision["detail"]


def test_input_that_comes_in_pieces_is_one_code(user: User, credential: Credential) -> None:
    code = credential.fresh_code().encode()
    with subprocess.Popen(
        [VERIFY], env=LOGIN | {"PAM_USER": user.name}, stdin=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        for byte in code:
            process.stdin.write(bytes([byte]))
    assert process.returncode == ACCEPTED


def test_endless_input_is_refused_at_once(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    with open("/dev/zero", "rb") as endless:
        assert verify(user.name, b"", stdin=endless, timeout=2) == REFUSED
    assert only_decision(syslog)["reason"] == "bad-input"


@pytest.mark.parametrize("closed", [1, 3])
def test_closed_standard_streams_refuse(
    user: User, credential: Credential, syslog: SystemLog, closed: int
) -> None:
    process = subprocess.Popen(
        [VERIFY],
        env=LOGIN | {"PAM_USER": user.name},
        preexec_fn=lambda: os.closerange(0, closed),
    )
    assert process.wait(timeout=5) == REFUSED
    assert only_decision(syslog)["verdict"] == "refuse"


def test_code_is_recorded_before_it_is_accepted(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    """Killed on the way to the log, it has accepted nobody, and yet the code is used."""
    code = credential.fresh_code()
    inject = ["-e", "inject=sendto:signal=SIGKILL", "-o", str(tmp_path / "trace")]
    assert verify(user.name, code, through=["strace", "-e", "trace=sendto", *inject]) < 0
    assert verify(user.name, code) == REFUSED


def test_no_code_secret_or_password_is_ever_logged(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    typed = [credential.code(15), credential.incorrect_code(), "hunter2 my password", "98765432109"]
    typed += [credential.fresh_code()] * 2
    for each in typed:
        verify(user.name, each)
    path = user.home / ".config" / "pam-totp" / "secret"
    user.give(path, path.read_text(encoding="utf-8").replace("secret=", "secret=1"))
    verify(user.name, "123123")
    logged = "\n".join(line.message for line in syslog.lines())
    assert len(syslog.decisions()) == len(typed) + 1
    for each in (*typed, "123123", "hunter2", credential.secret, credential.secret[:8]):
        assert each not in logged
