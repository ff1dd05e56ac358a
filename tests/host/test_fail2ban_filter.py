# SPDX-License-Identifier: MIT
"""The shipped filter, read by the real fail2ban, on lines that our programs really wrote."""

import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import new_recovery_codes, run, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import VERIFY
from tests.host.system_log import LogLine, SystemLog

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "fail2ban" / "pam-totp.conf"
FILTER = Path("/etc/fail2ban/filter.d/pam-totp.conf")  # where its first line says that it goes
ADDRESS = "203.0.113.9"
STAMPS = {
    "rsyslog's traditional format": lambda: time.strftime("%b %e %H:%M:%S"),
    "rsyslog's ISO format": lambda: time.strftime("%Y-%m-%dT%H:%M:%S.123456+00:00", time.gmtime()),
}


@pytest.fixture(autouse=True)
def installed_filter() -> Iterator[None]:
    shutil.copyfile(SHIPPED, FILTER)
    yield
    FILTER.unlink()


def as_rsyslog_writes(line: LogLine, stamp: str) -> str:
    """Control characters are escaped as #ooo there (its default since version 3)."""
    message = "".join(c if c >= " " else f"#{ord(c):03o}" for c in line.message)
    return f"{stamp} {socket.gethostname()} {line.ident}[{line.pid}]: {message}"


def banned(lines: list[str], folder: Path) -> list[str]:
    """The addresses that fail2ban-regex finds, one for each line that matches."""
    log = folder / "auth.log"
    log.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    command = ["fail2ban-regex", "--out", "ip", str(log), FILTER.stem]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def log_of(syslog: SystemLog, stamp: str = "") -> list[str]:
    stamp = stamp or time.strftime("%b %e %H:%M:%S")
    return [as_rsyslog_writes(line, stamp) for line in syslog.lines(ident="pam-totp")]


def guess(name: str, typed: str, address: str = ADDRESS, service: str = "sshd") -> None:
    variables = {"PAM_USER": name, "PAM_SERVICE": service, "PAM_RHOST": address}
    environment = {k: v.encode("utf-8", "surrogateescape") for k, v in variables.items()}
    run([VERIFY], typed, env=environment)


@pytest.fixture
def credential(user: User, enrolled: Callable[..., Credential]) -> Credential:
    return enrolled(user, device="my phone")


@pytest.mark.parametrize("form", STAMPS)
def test_guesses_are_found_with_their_address(
    user: User, credential: Credential, syslog: SystemLog, tmp_path: Path, form: str
) -> None:
    guess(user.name, credential.incorrect_code())
    guess(user.name, credential.incorrect_code(), "2001:db8::9")
    guess(user.name, credential.incorrect_code(), "192.0.2.44", "login")
    lines = log_of(syslog, STAMPS[form]())
    assert banned(lines, tmp_path) == [ADDRESS, "2001:db8::9", "192.0.2.44"]


def test_prompt_that_was_left_bans_nobody(
    user: User, credential: Credential, syslog: SystemLog, tmp_path: Path
) -> None:
    """Who closes the window at the prompt, or types the password once more, has not guessed."""
    for typed in ("", "hunter2", "1234"):
        guess(user.name, typed)
    assert {decision["reason"] for decision in syslog.decisions()} == {"bad-input"}
    assert banned(log_of(syslog), tmp_path) == []


def test_accepted_used_throttled_and_skewed_codes_are_not_found(
    user: User, credential: Credential, syslog: SystemLog, tmp_path: Path
) -> None:
    recovery = new_recovery_codes(user)[0]
    right = credential.fresh_code()
    for typed in (right, right, recovery, recovery, credential.code(10)):
        guess(user.name, typed)
    for index in range(5):
        verify(user, credential.incorrect_code(index), variables={"PAM_RHOST": "192.0.2.1"})
    guess(user.name, credential.code(1))
    (user.home / ".config/pam-totp/secret").unlink()
    guess(user.name, "123456")
    reasons = {decision["reason"] for decision in syslog.decisions()}
    assert reasons == {
        *("totp", "reused-code", "recovery-code", "clock-skew"),
        *("wrong-code", "throttled", "secret-missing"),
    }
    assert set(banned(log_of(syslog), tmp_path)) == {"192.0.2.1"}


INJECTIONS = [
    "x rhost=1.2.3.4",
    "x rhost=1.2.3.4 device=",
    'x" service=sshd rhost=1.2.3.4 device="',
    "x\nverdict=refuse reason=wrong-code user=x service=sshd rhost=1.2.3.4 device=",
    "x\nNov 23 17:07:06 server pam-totp[180]: verdict=refuse reason=wrong-code user=x "
    "service=sshd rhost=1.2.3.4 device=",
    "x\r\0rhost=1.2.3.4".replace("\0", ""),
    "\\",
    "x\u2028rhost=1.2.3.4",
]


@pytest.mark.parametrize("name", INJECTIONS)
def test_user_name_cannot_ban_the_address_of_somebody_else(
    syslog: SystemLog, tmp_path: Path, name: str
) -> None:
    guess(name, "12345")
    guess(name, "123456")
    assert set(banned(log_of(syslog), tmp_path)) <= {ADDRESS}


@pytest.mark.parametrize("name", INJECTIONS)
def test_hostile_user_name_in_a_line_that_counts_bans_its_own_address_alone(
    tmp_path: Path, syslog: SystemLog, name: str
) -> None:
    """Whatever the name, written by the product's own quoting into a line that does count."""
    from pam_totp.records.host import audit
    from pam_totp.rules.request import Request

    request = Request(user=name, service="sshd", rhost=ADDRESS)
    audit.write(request, "refuse", "wrong-code")
    assert banned(log_of(syslog), tmp_path) == [ADDRESS]


@pytest.mark.parametrize("name", INJECTIONS)
def test_hostile_device_or_service_name_bans_nobody_else(
    tmp_path: Path, syslog: SystemLog, name: str
) -> None:
    from pam_totp.records.host import audit
    from pam_totp.rules.request import Request

    request = Request(user="x", service="sshd", rhost=ADDRESS)
    audit.write(Request(**vars(request) | {"service": name}), "refuse", "wrong-code")
    audit.write(request, "refuse", "wrong-code", device=name)
    audit.write(request, "refuse", "wrong-code", name)
    assert set(banned(log_of(syslog), tmp_path)) == {ADDRESS}


def test_other_programs_lines_are_not_found(tmp_path: Path) -> None:
    stamp = time.strftime("%b %e %H:%M:%S")
    ours = "verdict=refuse reason=wrong-code user=x service=sshd rhost=1.2.3.4 device="
    lines = [
        f"{stamp} server sshd[7]: {ours}",
        f"{stamp} server sshd[7]: Invalid user pam-totp[1]: {ours} from 192.0.2.1 port 1",
        f"{stamp} server pam-totp[7]: x {ours}",
        f"{stamp} server pam-totp[7]: verdict=accept {ours}",
    ]
    assert banned(lines, tmp_path) == []


def test_filter_names_the_journals_identifier_and_takes_root_s_lines_alone(
    syslog: SystemLog, user: User
) -> None:
    """Anybody can run the verifier by hand, with any address; the journal knows who did."""
    text = FILTER.read_text(encoding="utf-8")
    found = re.search(r"^journalmatch = SYSLOG_IDENTIFIER=(\S+) _UID=0$", text, re.MULTILINE)
    verify(user, "123456")
    assert found and found[1] == syslog.lines("verdict=")[0].ident
