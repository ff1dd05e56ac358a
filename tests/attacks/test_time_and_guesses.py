# SPDX-License-Identifier: MIT
"""Rules 16, 17, 18 and 20: clocks, grants, and many logins at once."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks.programs import command, gate, traced, verify
from tests.commands.commands import new_recovery_codes
from tests.host.accounts import User
from tests.host.credentials import STEP_SECONDS, Credential
from tests.host.programs import (
    ACCEPTED,
    ASK,
    LOGIN,
    NO_CODE_NEEDED,
    RECORDS,
    REFUSED,
    STATE,
    VERIFY,
)
from tests.host.system_log import SystemLog

FAKE_CLOCK = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
LOGINS = 50


def clock_at(unix_seconds: float) -> dict[str, dict[str, str]]:
    """The option under which a program finds the wall clock standing at this time."""
    fake = {"LD_PRELOAD": str(FAKE_CLOCK), "FAKETIME": str(int(unix_seconds))}
    return {"variables": fake | {"FAKETIME_FMT": "%s", "DONT_FAKE_MONOTONIC": "1"}}


def test_clock_set_back_makes_no_used_code_good_again(
    credential: Credential, syslog: SystemLog
) -> None:
    """Rule 16, google-authenticator#130."""
    user, now = credential.user.name, credential.step()
    assert verify(user, credential.code_of(now), **clock_at(now * STEP_SECONDS)) == ACCEPTED
    for steps_back in (0, 1, 2, 20, 1000):
        earlier = now - steps_back
        typed = credential.code_of(earlier)
        assert verify(user, typed, **clock_at(earlier * STEP_SECONDS)) == REFUSED
    assert [each["reason"] for each in syslog.decisions()] == ["totp"] + ["reused-code"] * 5
    following = credential.code_of(now + 1)
    assert verify(user, following, **clock_at((now + 1) * STEP_SECONDS)) == ACCEPTED


def test_clock_that_jumped_ahead_and_back_says_so_in_the_log(
    credential: Credential, syslog: SystemLog
) -> None:
    """Rule 16, google-authenticator#130: who is locked out by a clock is told by the log."""
    user, now = credential.user.name, credential.step()
    ahead = now + 120
    assert verify(user, credential.code_of(ahead), **clock_at(ahead * STEP_SECONDS)) == ACCEPTED
    assert verify(user, credential.code_of(now), **clock_at(now * STEP_SECONDS)) == REFUSED
    refused = syslog.decisions()[-1]
    assert refused["reason"] == "reused-code"
    assert refused["detail"] == (
        f"code already used (time step {now}; last accepted {ahead}, current {now})"
    )


def test_grant_holds_from_when_to_until_when_it_was_given(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    """Rule 17, google-authenticator's grace_period held for stamps of the future, for good."""
    enrolled(user)
    given = time.time()
    assert command("grant", user.name, "--for", "10m").returncode == 0
    after = {-86400: ASK, -5: ASK, 5: NO_CODE_NEEDED, 590: NO_CODE_NEEDED, 615: ASK, 86400: ASK}
    for seconds, answer in after.items():
        assert gate(user.name, **clock_at(given + seconds)) == answer


def test_grant_is_for_one_user_for_one_login_and_of_root(
    user: User, make_user: Callable[..., User], enrolled: Callable[..., Credential]
) -> None:
    """Rule 17, google-authenticator's grace_period lay in a file of the user's."""
    other = make_user()
    enrolled(user), enrolled(other)
    assert command("grant", user.name, "--for", "10m", "--once").returncode == 0
    grant = STATE / "grants" / str(user.uid)
    for path in (STATE, STATE / "grants", grant):
        assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (0, 0)
    assert gate(other.name) == ASK
    copy = other.home / ".config" / "pam-totp" / "grant"
    other.give(copy, grant.read_text())
    other.give(other.home / ".config" / "pam-totp" / str(other.uid), grant.read_text())
    assert gate(other.name) == ASK
    assert [gate(user.name), gate(user.name)] == [NO_CODE_NEEDED, ASK]


def test_guesses_teach_no_clock_offset(credential: Credential, syslog: SystemLog) -> None:
    """Rule 18, google-authenticator learnt the offset from three codes in a row."""
    user, now = credential.user, credential.step()
    at = clock_at(now * STEP_SECONDS + 1)
    home = {path: path.read_bytes() for path in user.home.rglob("*") if path.is_file()}
    skewed = [credential.code_of(now + 10 + number) for number in range(4)]
    assert [verify(user.name, code, **at) for code in skewed] == [REFUSED] * 4
    assert {each["reason"] for each in syslog.decisions()} == {"clock-skew"}
    recorded = (RECORDS / str(user.uid)).read_text(encoding="ascii").split("\n")
    assert [line.split()[0] for line in recorded if line.strip()] == ["pam-totp", "failures"]
    assert {path: path.read_bytes() for path in user.home.rglob("*") if path.is_file()} == home
    assert command("unlock", user.name).returncode == 0
    assert verify(user.name, credential.code_of(now + 14), **at) == REFUSED
    assert verify(user.name, credential.code_of(now + 2), **at) == REFUSED
    assert verify(user.name, credential.code_of(now), **at) == ACCEPTED


@pytest.mark.parametrize("kind", ["code", "recovery code"])
def test_of_fifty_logins_at_once_with_one_code_exactly_one_is_accepted(
    credential: Credential, syslog: SystemLog, tmp_path: Path, kind: str
) -> None:
    """Rule 20, google-authenticator and pam_oath. Each stops before it records, to be overtaken."""
    user = credential.user.name
    is_recovery_code = kind == "recovery code"
    code = new_recovery_codes(credential.user)[0] if is_recovery_code else credential.fresh_code()
    call = "renameat" if is_recovery_code else "pwrite64"
    delay = ["--seccomp-bpf", "-e", f"trace={call}", "-e", f"inject={call}:delay_enter=10000"]
    logins = []
    for _ in range(LOGINS):
        logins.append(
            subprocess.Popen(
                [*traced(Path("/dev/null"), *delay), VERIFY],
                env=LOGIN | {"PAM_USER": user},
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
        )
    for login in logins:  # all are running: now all know the code, and then its end
        assert login.stdin is not None
        login.stdin.write(code.encode())
        login.stdin.flush()
    for login in logins:
        assert login.stdin is not None
        login.stdin.close()
    assert Counter(login.wait() for login in logins) == {ACCEPTED: 1, REFUSED: LOGINS - 1}
    reasons = Counter(each["reason"] for each in syslog.decisions())
    accepted = reasons.pop("recovery-code" if kind == "recovery code" else "totp")
    assert accepted == 1
    # Who had to wait longer than a login may is refused for that.
    assert set(reasons) <= {"reused-code", "state-unavailable"}
