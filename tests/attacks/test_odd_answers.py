# SPDX-License-Identifier: MIT
"""Rules 5 and 14: whatever is typed in place of a code is refused, and so is a hang-up."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.programs import verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ACCEPTED, REFUSED
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, CTRL_D, Conversation
from tests.stack import libpam

PASSWORD_GIVEN = "auth required pam_permit.so\n"  # whose setcred succeeds too, like pam_unix's
STACK = PASSWORD_GIVEN + "auth required pam_totp.so\n"


@pytest.fixture
def services(tmp_path: Path) -> Path:
    return libpam.write_services(tmp_path / "pam", {"console": STACK})


def wide(code: str) -> str:
    return "".join(chr(0xFF10 + int(digit)) for digit in code)


def arabic(code: str) -> str:
    return "".join(chr(0x0660 + int(digit)) for digit in code)


# What is typed, from the correct code: each would be right to a parser that is a little too kind.
ODD_ANSWERS: dict[str, Callable[[str], str]] = {
    "empty": lambda code: "",
    "only spaces": lambda code: " " * 6,
    "plus": lambda code: "+" + code,
    "minus": lambda code: "-" + code,
    "underscore": lambda code: code[:3] + "_" + code[3:],
    "letters": lambda code: "abcdef",
    "letter after it": lambda code: code + "x",
    "hexadecimal": lambda code: hex(int(code)),
    "decimal point": lambda code: code + ".0",
    "tab": lambda code: "\t" + code,
    "line end": lambda code: code + "\n",
    "full-width digits": wide,
    "Arabic-Indic digits": arabic,
    "combining mark": lambda code: code + "\u0301",
    "511 bytes": lambda code: code + "0" * 505,
    "512 bytes": lambda code: code + " " * 506,
    "5000 bytes": lambda code: code * 833,
    "correct code at the end of 511": lambda code: " " * 505 + code,
    "broken UTF-8": lambda code: code + "\udcff",
}


@pytest.mark.parametrize("odd", ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
def test_odd_answer_is_refused_as_bad_input(
    credential: Credential, services: Path, syslog: SystemLog, odd: Callable[[str], str]
) -> None:
    """Rule 5, CVE-2011-4120 (yubico-pam: an empty answer), CVE-2021-31924 (pam-u2f: no PIN)."""
    user, code = credential.user.name, credential.fresh_code()
    outcome = libpam.authenticate(services, "console", user, [odd(code)])
    assert outcome.authenticate == libpam.PAM_AUTH_ERR
    assert {each["reason"] for each in syslog.decisions()} == {"bad-input"}
    assert verify(user, code) == ACCEPTED, "the code was right"


@pytest.mark.parametrize("place", range(7))
def test_nul_inside_a_code_is_refused(credential: Credential, place: int) -> None:
    """Rule 5, CVE-2011-4120: libpam cannot pass a NUL inside; the pipe can."""
    code = credential.fresh_code().encode()
    assert verify(credential.user.name, code[:place] + b"\0" + code[place:] + b"\0") == REFUSED
    assert verify(credential.user.name, code) == ACCEPTED


@pytest.mark.parametrize("answer", [libpam.HANG_UP, libpam.NO_ANSWER])
@pytest.mark.parametrize("prompt", [1, 2, 3])
def test_who_hangs_up_at_any_prompt_is_refused(
    credential: Credential, services: Path, answer: str | None, prompt: int
) -> None:
    """Rules 5 and 14, puppet-duo_unix#8: Ctrl-C at the second factor's prompt went on."""
    wrong = [credential.incorrect_code(number) for number in range(prompt - 1)]
    after = [credential.fresh_code()] * 3
    outcome = libpam.authenticate(
        services, "console", credential.user.name, [*wrong, answer, *after]
    )
    assert outcome.authenticate == libpam.PAM_AUTH_ERR
    assert len(outcome.prompts) == prompt, "nobody is asked again"


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
def test_key_that_ends_a_program_ends_su_and_ssh_without_a_login(
    credential: Credential,
    make_user: Callable[..., User],
    pam_services: PamServices,
    on_terminal: Callable[..., Conversation],
    ssh: Callable[..., Conversation],
    key: str,
) -> None:
    """Rule 14, puppet-duo_unix#8."""
    user = credential.user
    for service in ("su", "sshd"):
        pam_services.add(service)
    password = ("Password:", user.password)
    dialogue = [password, ("Verification code:", key)]
    ended = on_terminal(["su", user.name, "-c", "echo logged in"], dialogue, user=make_user())
    assert ended.status != 0
    assert "logged in" not in ended.transcript.splitlines()
    # For the ssh client Ctrl-D is an empty line; PAM asks again, three times in all.
    dialogue += [dialogue[-1]] * (2 if key == CTRL_D else 0)
    ended = ssh(user, dialogue, command="echo logged in")
    assert ended.status != 0
    assert "logged in" not in ended.transcript.splitlines()
