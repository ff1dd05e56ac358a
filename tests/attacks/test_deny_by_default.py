# SPDX-License-Identifier: MIT
"""Rules 2, 12 and 15: whatever breaks, the answer is no."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.programs import failing, gate, number_of, run, traced, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, GATE, NO_CODE_NEEDED, REFUSED, VERIFY
from tests.host.system_log import SystemLog
from tests.stack import libpam

PASSWORD_GIVEN = "auth required pam_permit.so\n"  # whose setcred succeeds too, like pam_unix's
STACK = PASSWORD_GIVEN + "auth required pam_totp.so\n"


@pytest.fixture
def services(tmp_path: Path) -> Path:
    alone = "auth required pam_totp.so\n"
    return libpam.write_services(tmp_path / "pam", {"console": STACK, "alone": alone})


@pytest.fixture
def replace_program() -> Iterator[Callable[[str, str], None]]:
    """`replace_program(path, text)`: an installed program with another content, until the end."""
    before: dict[str, bytes] = {}

    def replace(path: str, text: str) -> None:
        before.setdefault(path, Path(path).read_bytes())
        Path(path).write_text(text, encoding="utf-8")

    yield replace
    for path, content in before.items():
        Path(path).write_bytes(content)
        Path(path).chmod(0o755)


BROKEN = {
    "no interpreter": "#!/nonexistent/python3\n",
    "empty": "",
    "no program": "\x7fELF junk",
    "killed": "#!/bin/sh\nkill -9 $$\n",
    "exit 1": "#!/bin/sh\nexit 1\n",
    "exit 255": "#!/bin/sh\nexit 255\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_program_that_cannot_run_exempts_nobody(
    credential: Credential,
    services: Path,
    replace_program: Callable[[str, str], None],
    text: str,
) -> None:
    """Rule 2, CVE-2025-23013 (pam-u2f): a failed call ended in PAM_IGNORE, no second factor."""
    user = credential.user.name
    replace_program(VERIFY, text)
    broken = libpam.authenticate(services, "console", user, [credential.fresh_code()] * 3)
    assert broken.authenticate == libpam.PAM_AUTH_ERR
    assert len(broken.prompts) == 3
    replace_program(GATE, text)
    assert libpam.authenticate(services, "console", user, []).authenticate == libpam.PAM_AUTH_ERR


def test_missing_programs_refuse(credential: Credential, services: Path) -> None:
    """Rule 2, CVE-2025-23013 (pam-u2f)."""
    folder = Path(GATE).parent
    away = folder.with_name("pam-totp-away")
    folder.rename(away)
    try:
        code = credential.fresh_code()
        outcome = libpam.authenticate(services, "console", credential.user.name, [code])
        assert outcome.authenticate == libpam.PAM_AUTH_ERR
    finally:
        away.rename(folder)
    outcome = libpam.authenticate(services, "console", credential.user.name, [code])
    assert outcome.authenticate == libpam.PAM_SUCCESS, "or the above would prove nothing"


@pytest.mark.parametrize("call", ["openat", "pread64", "pwrite64", "sendto"])
def test_verifier_killed_at_a_call_refuses_a_correct_code(
    credential: Credential,
    services: Path,
    replace_program: Callable[[str, str], None],
    tmp_path: Path,
    call: str,
) -> None:
    """Rule 2, CVE-2025-23013 (pam-u2f): here the verifier dies under a real pam_exec."""
    real = tmp_path / "verify"
    real.write_bytes(Path(VERIFY).read_bytes())
    real.chmod(0o755)
    kill = " ".join(failing(call, 1, "signal=SIGKILL"))
    replace_program(VERIFY, f"#!/bin/sh\nexec {kill} {real}\n")
    code = credential.fresh_code()
    outcome = libpam.authenticate(services, "console", credential.user.name, [code])
    assert outcome.authenticate == libpam.PAM_AUTH_ERR
    assert len(outcome.prompts) == 2


def test_group_look_up_that_fails_never_skips_the_code(
    credential: Credential, syslog: SystemLog
) -> None:
    """Rule 12, duo_unix 2026: a failed group look-up let users through without Duo."""
    user, code = credential.user, credential.fresh_code()
    assert gate(user.name, through=failing("setgroups", 1, "error=EIO")) == ASK
    assert verify(user.name, code, through=failing("setgroups", 1, "error=EIO")) == REFUSED
    assert [each["reason"] for each in syslog.decisions()] == ["secret-unsafe"]


@pytest.fixture
def vault(user: User) -> Iterator[Path]:
    """A folder that only a supplementary group of the user can pass; the home lies in it."""
    folder = Path("/srv/vault")
    folder.mkdir(mode=0o710)
    subprocess.run(["groupadd", "vaulters"], check=True)
    moved = ["usermod", "-a", "-G", "vaulters", "-d", f"{folder}/{user.name}", user.name]
    subprocess.run(moved, check=True)
    subprocess.run(["chgrp", "vaulters", str(folder)], check=True)
    user.home.rename(folder / user.name)
    yield folder
    (folder / user.name).rename(user.home)
    subprocess.run(["usermod", "-d", str(user.home), user.name], check=True)
    subprocess.run(["groupdel", "vaulters"], check=True)
    os.rmdir(folder)


def test_home_that_a_failed_group_look_up_hides_is_not_taken_for_an_empty_one(
    credential: Credential, vault: Path, tmp_path: Path
) -> None:
    """Rule 12, duo_unix 2026."""
    name, trace = credential.user.name, tmp_path / "trace"
    for program in (GATE, VERIFY):
        run(program, name, credential.incorrect_code().encode(), through=traced(trace))
        for file in ("/etc/group", "/etc/passwd"):
            broken = failing("openat", number_of(trace, "openat", f'"{file}"'), "error=EIO")
            typed = credential.code().encode()
            assert run(program, name, typed, through=broken).status == REFUSED == ASK
    assert verify(name, credential.code()) == ACCEPTED


def test_no_code_needed_never_by_itself_opens_a_stack(user: User, services: Path) -> None:
    """Rule 15, google-authenticator's nullok: alone in a stack it was enough."""
    assert gate(user.name) == NO_CODE_NEEDED
    alone = libpam.authenticate(services, "alone", user.name, [])
    assert (alone.prompts, alone.setcred) == ([], -1)
    assert alone.authenticate != libpam.PAM_SUCCESS
    assert libpam.authenticate(services, "console", user.name, []).authenticate == 0
