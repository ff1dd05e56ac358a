# SPDX-License-Identifier: MIT
"""A host on which a part of the product is gone or broken: nobody gets in who should not."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import new_recovery_codes
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.system_log import SystemLog
from tests.stack.libpam import PAM_AUTH_ERR, PAM_AUTHINFO_UNAVAIL, PAM_SUCCESS, Outcome

Enroll = Callable[..., Credential]
Drive = Callable[..., Outcome]
Break = Callable[[str, str], None]
CODE = "Verification code: "
LINE = "auth required pam_totp.so"
PROGRAMS = Path("/usr/libexec/pam-totp")
PACKAGE = Path("/usr/lib/pam-totp/pam_totp")
SCRIPTS = {
    "empty": "",
    "killed": "#!/bin/sh\nkill -9 $$\n",
    "without its interpreter": "#!/nowhere\n",
}
DAMAGES = ["missing", "not executable", "a folder", "cut short", *SCRIPTS]


@pytest.fixture
def damage(tmp_path: Path) -> Iterator[Break]:
    """`damage("verify", "missing")`: one of DAMAGES, mended after the test."""
    whole = shutil.copytree(PROGRAMS, tmp_path / "whole")

    def apply(program: str, how: str) -> None:
        path = PROGRAMS / program
        if how in SCRIPTS:
            path.write_text(SCRIPTS[how], encoding="ascii")
        elif how == "cut short":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        elif how == "not executable":
            path.chmod(0o644)
        else:
            path.unlink()
            if how == "a folder":
                path.mkdir()

    yield apply
    shutil.rmtree(PROGRAMS)
    shutil.copytree(whole, PROGRAMS)


def modules() -> Path:
    (module,) = Path("/usr/lib").glob("*/security/pam_totp.so")
    return module.parent


@pytest.mark.parametrize("how", DAMAGES)
def test_without_a_working_verifier_no_code_is_right(
    user: User, enrolled: Enroll, drive: Drive, damage: Break, how: str
) -> None:
    code = enrolled(user).fresh_code()
    damage("verify", how)
    login = drive([LINE], user, [code] * 3)
    assert (login.authenticate, login.prompts, login.messages) == (PAM_AUTH_ERR, [CODE] * 3, [])


@pytest.mark.parametrize("how", DAMAGES)
def test_without_a_working_gate_everybody_needs_a_code(
    make_user: Callable[..., User],
    enrolled: Enroll,
    drive: Drive,
    damage: Break,
    syslog: SystemLog,
    how: str,
) -> None:
    alice, bob = make_user(), make_user()
    code = enrolled(alice).fresh_code()
    damage("gate", how)
    login = drive([LINE], alice, [code])
    assert (login.authenticate, login.prompts, login.messages) == (PAM_SUCCESS, [CODE], [])
    not_enrolled = drive([LINE], bob, ["123456", "123457", "123458"])
    assert (not_enrolled.authenticate, not_enrolled.prompts) == (PAM_AUTH_ERR, [CODE] * 3)
    reasons = [decision["reason"] for decision in syslog.decisions()]
    assert reasons == ["totp", *["not-enrolled"] * 3]


@pytest.mark.parametrize("how", ["missing", "empty", "raising", "unreadable as Python"])
def test_a_damaged_package_refuses_and_is_logged_and_shows_the_user_nothing(
    user: User, enrolled: Enroll, drive: Drive, syslog: SystemLog, tmp_path: Path, how: str
) -> None:
    shutil.copytree(PACKAGE, tmp_path / "whole")
    code = enrolled(user).fresh_code()
    try:
        if how == "missing":
            shutil.rmtree(PACKAGE)
        else:
            text = {"empty": "", "raising": "raise MemoryError\n"}.get(how, "\0 = (")
            for name in ("gate", "verify"):
                (PACKAGE / "login" / f"{name}.py").write_text(text, encoding="ascii")
        login = drive([f"{LINE} tries=1"], user, [code])
    finally:
        shutil.rmtree(PACKAGE, ignore_errors=True)
        shutil.copytree(tmp_path / "whole", PACKAGE)
    assert (login.authenticate, login.prompts, login.messages) == (PAM_AUTH_ERR, [CODE], [])
    lines = syslog.lines("reason=internal-error", ident="pam-totp")
    assert [(line.facility, line.severity) for line in lines] == [("authpriv", "crit")] * 2
    assert [line.fields["verdict"] for line in lines] == ["ask", "refuse"]
    assert all(user.name in line.fields["user"] for line in lines)
    assert drive([LINE], user, [code]).authenticate == PAM_SUCCESS


@pytest.mark.parametrize("program", ["gate", "verify"])
def test_module_that_was_changed_on_disk_takes_effect_at_the_next_login(
    user: User, enrolled: Enroll, drive: Drive, syslog: SystemLog, program: str
) -> None:
    code = enrolled(user).fresh_code()
    module = PACKAGE / "login" / f"{program}.py"
    before, times = module.read_bytes(), module.stat()
    try:
        module.write_bytes(before + b"raise ValueError('changed')\n")
        drive([f"{LINE} tries=1"], user, [code])
    finally:
        module.write_bytes(before)
        os.utime(module, ns=(times.st_atime_ns, times.st_mtime_ns))
    (failure,) = syslog.lines("reason=internal-error", ident="pam-totp")
    assert "changed" in failure.fields["detail"]


@pytest.mark.parametrize("kind", ["code", "recovery code"])
def test_while_dpkg_replaces_the_modules_the_old_release_runs_as_a_whole(
    user: User, enrolled: Enroll, drive: Drive, tmp_path: Path, kind: str
) -> None:
    """A recovery code needs modules that are imported later than the others."""
    codes = [enrolled(user).fresh_code()]
    if kind == "recovery code":
        codes = new_recovery_codes(user)
    shutil.copytree(PACKAGE, tmp_path / "whole")
    has_no_name_yet = PROGRAMS / "verify.dpkg-new"
    has_no_name_yet.touch()
    try:
        for folder in ("login", "records", "rules"):
            for module in (PACKAGE / folder).rglob("*.py"):
                module.write_text("raise ValueError('of another release')\n", encoding="ascii")
        assert drive([f"{LINE} tries=1"], user, codes[:1]).authenticate == PAM_SUCCESS
        has_no_name_yet.unlink()
        assert drive([f"{LINE} tries=1"], user, codes[-1:]).authenticate == PAM_AUTH_ERR
    finally:
        has_no_name_yet.unlink(missing_ok=True)
        shutil.rmtree(PACKAGE)
        shutil.copytree(tmp_path / "whole", PACKAGE)


@pytest.mark.parametrize("text", [b"", b"junk", b"\xe3" * 99999], ids=["empty", "junk", "long"])
def test_with_a_broken_bundle_the_modules_are_imported_one_by_one(
    user: User, enrolled: Enroll, drive: Drive, text: bytes
) -> None:
    (bundle,) = PACKAGE.glob("__pycache__/verify.*.bundle")
    whole = bundle.read_bytes()
    credential = enrolled(user)
    try:
        bundle.write_bytes(text)
        assert drive([LINE], user, [credential.incorrect_code()]).authenticate == PAM_AUTH_ERR
        assert drive([LINE], user, [credential.fresh_code()]).authenticate == PAM_SUCCESS
        for length in (1, 100, len(whole) // 2, len(whole) - 1):
            bundle.write_bytes(whole[:length])
            assert drive([LINE], user, [credential.incorrect_code()]).authenticate == PAM_AUTH_ERR
    finally:
        bundle.write_bytes(whole)


def test_the_pam_exec_beside_the_module_is_the_one_that_runs(
    user: User, enrolled: Enroll, drive: Drive, tmp_path: Path
) -> None:
    for name in ("pam_totp.so", "pam_exec.so"):
        shutil.copy(modules() / name, tmp_path)
    code = enrolled(user).fresh_code()
    assert drive([f"auth required {tmp_path}/pam_totp.so"], user, [code]).authenticate == 0


@pytest.mark.parametrize("instead", [None, "pam_limits.so", "/etc/hostname"])
def test_without_pam_exec_beside_the_module_everybody_is_refused(
    make_user: Callable[..., User],
    enrolled: Enroll,
    drive: Drive,
    syslog: SystemLog,
    tmp_path: Path,
    instead: str | None,
) -> None:
    """Missing, a library of something else, or no library at all."""
    shutil.copy(modules() / "pam_totp.so", tmp_path)
    if instead is not None:
        shutil.copy(modules() / instead, tmp_path / "pam_exec.so")
    alice, bob = make_user(), make_user()
    code = enrolled(alice).fresh_code()
    for user in (alice, bob):
        login = drive([f"auth required {tmp_path}/pam_totp.so"], user, [code])
        assert (login.authenticate, login.prompts) == (PAM_AUTHINFO_UNAVAIL, [])
    refused = syslog.lines("refused: no pam_exec.so beside this module")
    assert [(line.facility, line.severity) for line in refused] == [("authpriv", "crit")] * 2
