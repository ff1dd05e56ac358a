# SPDX-License-Identifier: MIT
"""Each of the 32 PAM codes at each place: in place of pam_exec's answer, and of each line of each
snippet in config/pam. Only success, where success is meant, accepts."""

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stack import libpam

CODES = range(32)  # PAM_SUCCESS to PAM_INCOMPLETE, security/_pam_types.h
SUCCESS, REFUSAL, IGNORE = 0, 7, 25
INCOMPLETE = 31  # "call me again": libpam itself hands it to the application, which gives up
REPOSITORY = Path(__file__).resolve().parents[2]
SNIPPETS = REPOSITORY / "config" / "pam"
PUBLICKEY = "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA"
# Debian's own, which a snippet may include.
COMMON_AUTH = """\
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so"""
# They stand after the password's own lines.
AFTER_THE_PASSWORD = (
    "password-then-code",
    "password-then-key-or-code",
    "with-google-authenticator",
)
LINE = re.compile(r"auth\s+(\[[^]]*\]|\w+)\s+(\S+)(.*)")


@pytest.fixture(scope="session")
def security(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules: ours, and in the place of pam_exec.so the one that answers at will."""
    folder = tmp_path_factory.mktemp("security")
    source = str(Path(__file__).with_name("return_code.c"))
    target = str(folder / "pam_exec.so")
    command = ["gcc", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", target, source]
    subprocess.run(command, check=True)
    (ours,) = Path("/usr/lib").glob("*/security/pam_totp.so")
    shutil.copy(ours, folder / "pam_totp.so")
    return folder


def setcred_apart(folder: Path, service: str, variables: tuple[str, ...] = ()) -> int:
    """What pam_setcred answers in a process that never authenticated, as in sshd's parent."""
    library = libpam.libpam
    handle = ctypes.c_void_p()
    silent = libpam.Conversation(libpam.CONVERSE(0), None)
    started = library.pam_start_confdir(
        service.encode(), b"root", ctypes.byref(silent), str(folder).encode(), ctypes.byref(handle)
    )
    assert started == SUCCESS
    for variable in variables:
        library.pam_putenv(handle, variable.encode())
    status = int(library.pam_setcred(handle, libpam.PAM_ESTABLISH_CRED))
    library.pam_end(handle, status)
    return status


def accepts(folder: Path, service: str) -> bool:
    """Whether an application would accept: both calls succeed, in one process and in two."""
    variables = (PUBLICKEY,)
    outcome = libpam.authenticate(folder, service, "root", ["1"] * 9, variables=variables)
    if outcome.authenticate != SUCCESS:
        return False
    assert outcome.setcred == SUCCESS, "authenticated, and then refused"
    assert setcred_apart(folder, service, variables) == SUCCESS, "as sshd's parent does"
    return True


@pytest.mark.parametrize("gate", CODES)
def test_only_success_of_pam_exec_counts(
    security: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gate: int
) -> None:
    """Rules 2 and 14: 32 answers of the gate, each with 32 of the verifier."""
    stack = f"auth required pam_permit.so\nauth required {security}/pam_totp.so\n"
    alone = f"auth required {security}/pam_totp.so\n"
    folder = libpam.write_services(tmp_path / "pam", {"both": stack, "alone": alone})
    monkeypatch.setenv("RETURN_CODE_gate", str(gate))
    for verify in CODES:
        monkeypatch.setenv("RETURN_CODE_verify", str(verify))
        outcome = libpam.authenticate(folder, "both", "root", ["1"] * 9)
        if gate == SUCCESS:
            assert (outcome.authenticate, outcome.prompts) == (SUCCESS, [])
        else:
            expected = (SUCCESS, 1) if verify == SUCCESS else (REFUSAL, 3)
            assert (outcome.authenticate, len(outcome.prompts)) == expected
        assert accepts(folder, "both") == (SUCCESS in (gate, verify))
        assert accepts(folder, "alone") == (gate != SUCCESS and verify == SUCCESS)
        assert libpam.authenticate(folder, "both", "root", []).authenticate == (
            SUCCESS if gate == SUCCESS else REFUSAL
        ), "nobody answers"


class Snippet:
    """The auth lines of a snippet, each of which can be made to answer anything.

    Lines are told apart by what they stand for: `key`, `split`, `password`, `code`, or a constant.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        text = (SNIPPETS / name).read_text(encoding="utf-8")
        text = re.sub("^@include common-auth$", COMMON_AUTH, text, flags=re.MULTILINE)
        text = text.replace("success=4", f"success={len(COMMON_AUTH.splitlines())}")
        text = text.replace("@include common-account\n", "")
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        found = [LINE.fullmatch(line) for line in lines]
        assert all(found), "an auth line and nothing else"
        self.lines = [(line[1], line[2], line[3].strip()) for line in found if line]
        self.places = [self._place(module, options) for _, module, options in self.lines]

    @staticmethod
    def _place(module: str, options: str) -> str:
        if module == "pam_totp.so":
            return {"publickey_passed": "key", "combined": "split"}.get(options, "code")
        if options.endswith((" security-key", " fingerprint")):
            return "note"
        others = {"pam_unix.so": "password", "pam_google_authenticator.so": "theirs"}
        others |= {"pam_u2f.so": "key", "pam_fprintd.so": "finger"}
        return ({"pam_exec.so": "code"} | others).get(module, module)

    def write(self, folder: Path, security: Path, answers: dict[str, int]) -> Path:
        """A folder with this snippet as a service; places in `answers` answer that."""
        text = "".join(
            f"auth {control} {security}/pam_exec.so code={answers[place]}\n"
            if place in answers
            else f"auth {control} {module}\n"
            for place, (control, module, _) in zip(self.places, self.lines, strict=True)
        )
        if self.name in AFTER_THE_PASSWORD:
            answer = answers.get("password", SUCCESS)
            text = (
                f"auth [success=1 default=ignore] {security}/pam_exec.so code={answer}\n"
                "auth requisite pam_deny.so\nauth required pam_permit.so\n" + text
            )
        return libpam.write_services(folder, {"service": text})


def no_code_needed(code: int) -> bool:
    return code in (SUCCESS, IGNORE)


# Who gets in: of what the key's, the password's and the code's line answer. The code's line
# answers PAM_IGNORE when no code is needed, and that alone never opens a stack.
ONE_PROMPT = (
    ("split", "password", "code"),
    lambda split, password, code: (
        no_code_needed(split) and password == SUCCESS and no_code_needed(code)
    ),
)
INTENDED: dict[str, tuple[tuple[str, ...], Callable[..., bool]]] = {
    "password-then-code": (
        ("password", "code"),
        lambda password, code: password == SUCCESS and no_code_needed(code),
    ),
    "key-then-code": (("key", "code"), lambda key, code: key == SUCCESS and no_code_needed(code)),
    "key-or-password-then-code": (
        ("key", "password", "code"),
        lambda key, password, code: SUCCESS in (key, password) and no_code_needed(code),
    ),
    # Who needs no code here is asked by the other module.
    "with-google-authenticator": (
        ("password", "code", "theirs"),
        lambda password, code, theirs: (
            password == SUCCESS and (code == SUCCESS or (code == IGNORE and no_code_needed(theirs)))
        ),
    ),
    "password-then-key-or-code": (
        ("password", "key", "finger", "code", "note"),
        lambda password, key, finger, code, note: (
            password == SUCCESS and (SUCCESS in (key, finger) or no_code_needed(code))
        ),
    ),
    "one-prompt": ONE_PROMPT,
    "screen-locker": ONE_PROMPT,
    # PAM_IGNORE is what pam_exec's setcred answers, and no control tells the two calls apart. As an
    # answer to authenticate it has it only with `type=`, which the snippet does not use.
    "key-then-code-without-module": (("code",), no_code_needed),
}


def test_every_snippet_is_known_here() -> None:
    assert {path.name for path in SNIPPETS.iterdir()} == set(INTENDED)


@pytest.mark.parametrize("name", sorted(INTENDED))
def test_every_code_at_every_line_of_a_snippet_accepts_only_users_whom_it_should(
    security: Path, tmp_path: Path, name: str
) -> None:
    """Rule 14, puppet-duo_unix#8: a control that let PAM_ABORT through."""
    snippet, (places, intended) = Snippet(name), INTENDED[name]
    wrong = []
    for place in places:
        for code in CODES:
            for others in (SUCCESS, REFUSAL, IGNORE):
                answers = dict.fromkeys(places, others) | {place: code}
                folder = snippet.write(tmp_path / "pam", security, answers)
                inside, meant = accepts(folder, "service"), intended(**answers)
                given_up = not inside and INCOMPLETE in answers.values()
                if inside != meant and not given_up:
                    wrong.append(answers)
    assert wrong == []


# A snippet, whether sshd reports a key, and whether its real lines then let sshd go on.
CREDENTIALS = [
    ("password-then-code", False, True),
    ("key-then-code", True, True),
    ("key-then-code", False, False),
    ("key-or-password-then-code", True, True),
    ("key-or-password-then-code", False, True),
    ("one-prompt", False, True),
    ("screen-locker", False, True),
    ("with-google-authenticator", False, True),
    ("password-then-key-or-code", False, True),
]


@pytest.mark.parametrize(("name", "with_key", "good"), CREDENTIALS)
def test_setcred_agrees_in_a_process_that_never_authenticated(
    tmp_path: Path, name: str, with_key: bool, good: bool
) -> None:
    """The trap in sshd: it authenticates in a child and calls pam_setcred in the parent."""
    lines = [" ".join(("auth", *line)) for line in Snippet(name).lines]
    if name in AFTER_THE_PASSWORD:
        lines.insert(0, "auth required pam_permit.so")
    folder = libpam.write_services(tmp_path / "pam", {"sshd": "\n".join(lines) + "\n"})
    variables = (PUBLICKEY,) if with_key else ()
    assert (setcred_apart(folder, "sshd", variables) == SUCCESS) == good
