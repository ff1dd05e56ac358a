# SPDX-License-Identifier: MIT
"""Rule 1: links that a user plants below the home open and change nothing of anybody else."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.programs import enroll, gate, run, traced, verify
from tests.commands.commands import new_recovery_codes
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ASK, GATE, REFUSED, VERIFY
from tests.host.saved_files import TRIED, made_in
from tests.host.system_log import SystemLog

FOLDERS = (".config", ".config/pam-totp")
FILES = (".config/pam-totp/secret", ".config/pam-totp/recovery")
IDENTITY = re.compile(r"set(?:res|re|e|fs)?uid\((?:-1, )?(\d+)")


def as_root(trace: Path, below: Path) -> list[str]:
    """The calls of a trace that name something below a folder and were made as root."""
    identity, found = "0", []
    for line in trace.read_text(encoding="utf-8", errors="replace").splitlines():
        changed = IDENTITY.search(line)
        if changed:
            identity = changed[1]
        elif identity == "0" and str(below) in line and "execve(" not in line:
            found.append(line)
    return found


@pytest.mark.parametrize("how", ["symlink", "hard link"])
@pytest.mark.parametrize("name", [*FOLDERS[1:], *FILES])
def test_planted_link_opens_no_file_of_somebody_else(
    user: User,
    credential: Credential,
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    syslog: SystemLog,
    how: str,
    name: str,
) -> None:
    """Rule 1, CVE-2024-47191 (pam_oath): root followed links in the home, at login."""
    other = enrolled(make_user())
    stolen = new_recovery_codes(other.user)[0]
    new_recovery_codes(user)
    planted, target = user.home / name, other.user.home / name
    before = target.stat()
    planted.rename(user.home / "moved-away")
    if how == "symlink" or planted.name == "pam-totp":  # there are no hard links to folders
        planted.symlink_to(target)
    else:
        os.link(target, planted)
    assert gate(user.name) == ASK
    assert verify(user.name, stolen) == REFUSED
    if name != FILES[1]:
        assert verify(user.name, other.fresh_code()) == REFUSED
    assert {each["reason"] for each in syslog.decisions()} == {"secret-unsafe"}
    after = target.stat()
    assert (after.st_uid, after.st_mode, after.st_mtime) == (
        before.st_uid,
        before.st_mode,
        before.st_mtime,
    )


@pytest.mark.parametrize("program", ["gate", "verify", "recovery-codes"])
def test_nothing_below_the_home_is_touched_as_root(
    user: User, credential: Credential, tmp_path: Path, program: str
) -> None:
    """Rule 1, CVE-2024-47191: also where root makes recovery codes for the user."""
    codes, trace = new_recovery_codes(user), tmp_path / "trace"
    through = traced(trace, "-y", "-e", "trace=%file,%desc,%creds")
    if program == "recovery-codes":
        made = subprocess.run([*through, "/usr/bin/pam-totp", program, "--user", user.name])
        assert made.returncode == 0
    else:
        run(
            {"gate": GATE, "verify": VERIFY}[program], user.name, codes[0].encode(), through=through
        )
    assert str(user.home) in trace.read_text(encoding="utf-8")
    assert as_root(trace, user.home) == []


@pytest.mark.parametrize("name", FILES)
def test_link_in_place_of_a_file_is_not_followed_even_to_the_user_s_own(
    user: User, credential: Credential, syslog: SystemLog, name: str
) -> None:
    """Rule 1, CVE-2024-47191: who may change where a link leads may not be the user."""
    code = new_recovery_codes(user)[0] if name == FILES[1] else credential.fresh_code()
    (user.home / name).rename(user.home / "elsewhere")
    (user.home / name).symlink_to(user.home / "elsewhere")
    assert gate(user.name) == ASK
    assert verify(user.name, code) == REFUSED
    assert [each["reason"] for each in syslog.decisions()] == ["secret-unsafe"]


MADE = (*FILES, ".config/pam-totp/.gitignore")
TRIALS = [f"{FILES[0]}.new-tried{number}" for number in range(2)]
NAMES = [*FOLDERS, *MADE, *TRIALS, *(f"{name}.new-0123456789abcdef" for name in MADE)]
STOPS_ENROLLMENT = (*FOLDERS, FILES[0])


@pytest.mark.parametrize("name", NAMES)
def test_link_planted_before_root_enrolls_the_user_changes_nothing_elsewhere(
    user: User, tmp_path: Path, name: str
) -> None:
    """Rule 1, CVE-2024-47191: links for every name, the temporary ones too."""
    target = Path("/root/precious")
    target.mkdir(mode=0o700)
    kept = target / "kept"
    kept.write_text("kept", encoding="ascii")
    planted = user.home / name
    user.give(planted.with_name("beside"), "")  # and so the folders above
    planted.symlink_to(target if name in FOLDERS else kept)
    trace = tmp_path / "trace"
    try:
        status = enroll(user.name, traced(trace, "-y", "-e", "trace=%file,%desc"))
        assert status == (1 if name in STOPS_ENROLLMENT else 0)
        assert [path.name for path in target.iterdir()] == ["kept"]
        assert kept.read_text(encoding="ascii") == "kept"
        assert kept.stat().st_nlink == 1
        touched = trace.read_text(encoding="utf-8", errors="replace").splitlines()
        reached = [line for line in touched if f"<{target}" in line and "execve(" not in line]
        assert reached == [], "nothing there is even opened"
        creating = [line for line in touched if str(user.home) in line and "O_CREAT" in line]
        assert all("O_EXCL|O_NOFOLLOW" in line for line in creating)
        if status:
            assert creating == []
            return
        made = [each for each in MADE if each != name or each in FILES]  # its .gitignore is kept
        assert made_in(creating) == sorted(f"{Path(each).name}.new" for each in made)
        assert any(TRIED in line for line in creating)
        left = {path.name for path in (user.home / FOLDERS[1]).iterdir()}
        assert left == {"beside", *(Path(each).name for each in MADE)}
    finally:
        kept.unlink()
        target.rmdir()
