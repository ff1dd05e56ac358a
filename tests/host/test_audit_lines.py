# SPDX-License-Identifier: MIT
"""The log: one line a decision, to authpriv, safe to read whatever the name or address is."""

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import gate, new_recovery_codes, pam_totp, run, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import REFUSED, VERIFY
from tests.host.system_log import DEV_LOG, SystemLog
from tests.host.terminal import Conversation

DECISION = re.compile(r'verdict=[a-z]+ reason=[a-z-]+( [a-z]+=([^\s"]*|"[^"]*"))*')

# Where Debian's AppArmor profile lets rsyslogd read and write.
RSYSLOG, AUTH_LOG = Path("/etc/rsyslog.d/pam-totp-test.conf"), Path("/var/log/pam-totp-test.log")

ROOT, CODE = Path(__file__).resolve().parents[2], "Verification code: "
README, MANUAL = ROOT / "README.md", ROOT / "pam_totp" / "manual" / "pam_totp.8.scd"
COMMAND = re.compile(r"journalctl -b \| grep '([^']+)'")


@pytest.fixture
def rsyslog(system_log: SystemLog) -> Iterator[Callable[..., str]]:
    """Debian's rsyslogd reads /dev/log; `rsyslog()`: the file, once it has a line."""
    rules = f'module(load="imuxsock")\nauthpriv.* action(type="omfile" file="{AUTH_LOG}")\n'
    RSYSLOG.parent.mkdir(exist_ok=True)
    RSYSLOG.write_text(rules, encoding="ascii")
    aside = DEV_LOG.rename("/dev/log-of-the-tests")
    try:
        with subprocess.Popen(["/usr/sbin/rsyslogd", "-n", "-f", str(RSYSLOG)]) as daemon:

            def wait_until(arrived: Callable[[], bool]) -> None:
                deadline = time.monotonic() + 20
                while not arrived():
                    assert daemon.poll() is None, "rsyslogd has ended"
                    assert time.monotonic() < deadline, "nothing arrived"
                    time.sleep(0.02)

            def what_arrived(last: str = "\n") -> str:
                wait_until(lambda: AUTH_LOG.exists() and last in AUTH_LOG.read_text("utf-8"))
                return AUTH_LOG.read_text("utf-8")

            try:
                wait_until(DEV_LOG.exists)
                yield what_arrived
            finally:
                daemon.terminate()
    finally:
        aside.rename(DEV_LOG)
        for path in (RSYSLOG, AUTH_LOG):
            path.unlink(missing_ok=True)


@pytest.fixture
def credential(user: User, enrolled: Callable[..., Credential]) -> Credential:
    return enrolled(user, device='my "phone" \\ é')


def test_decisions_go_to_authpriv_and_refusals_are_warnings(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    assert verify(user, credential.incorrect_code()).code == REFUSED
    assert verify(user, credential.fresh_code()).code == 0
    refused, accepted = syslog.lines("verdict=")
    assert (refused.facility, refused.severity, refused.ident) == (
        "authpriv",
        "warning",
        "pam-totp",
    )
    assert (accepted.facility, accepted.severity, accepted.ident) == (
        "authpriv",
        "info",
        "pam-totp",
    )
    assert refused.pid > 1
    assert all(DECISION.fullmatch(line.message) for line in (refused, accepted))


def test_line_is_in_rsyslogs_file_as_it_was_sent(
    user: User, credential: Credential, rsyslog: Callable[..., str]
) -> None:
    assert verify(user, credential.fresh_code()).code == 0
    where, _, message = rsyslog().splitlines()[0].partition("]: ")
    assert re.search(r" server pam-totp\[\d+$", where)
    accepted = f"verdict=accept reason=totp user={user.name} service=sshd rhost=192.0.2.7"
    assert message == f'{accepted} device="my ?phone? \\ é"'


def test_pattern_of_the_manual_finds_the_lines_of_the_programs_and_of_the_module(
    user: User,
    credential: Credential,
    rsyslog: Callable[..., str],
    log_in: Callable[..., Conversation],
) -> None:
    """journalctl shows a line as rsyslog writes it: when, host, program, text."""
    wrong = credential.incorrect_code()
    answers = [(CODE, wrong), (CODE, wrong), (CODE, credential.fresh_code())]
    assert log_in(user, [("Password: ", user.password), *answers]).status == 0
    lines = rsyslog("verdict=accept").splitlines()
    for page in (README, MANUAL):
        (pattern,) = set(COMMAND.findall(page.read_text("utf-8").replace("\\", "")))
        found = [line.partition(" server ")[2] for line in lines if re.search(pattern, line)]
        # OpenSSH from 9.8 on has sshd-session, and not every Linux-PAM names the process.
        plain = [re.sub(r"(-session)?(\[\d+\])?:", ":", line, count=1) for line in found]
        said = [line.partition(" user=")[0] for line in plain]
        assert said == [
            "pam-totp: verdict=refuse reason=wrong-code",
            "sshd: pam_totp(sshd:auth): the same answer again: not counted",
            "pam-totp: verdict=accept reason=totp",
        ]


def test_skipped_logins_are_logged_too(user: User, syslog: SystemLog) -> None:
    assert gate(user).code == 0
    (decision,) = syslog.decisions()
    assert (decision["verdict"], decision["reason"]) == ("skip", "not-enrolled")


def test_asking_for_a_code_is_no_decision(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    gate(user)
    assert syslog.decisions() == []


def test_quotes_and_backslashes_of_a_device_name_cannot_end_the_value(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    verify(user, credential.fresh_code())
    assert syslog.decisions()[0]["device"] == "my ?phone? \\ é"


@pytest.mark.parametrize(
    "name",
    [
        "eve\nverdict=accept reason=totp user=root",
        "eve\r\x1b[2Jverdict=accept",
        'eve" rhost="198.51.100.1',
        "eve rhost=198.51.100.1 device=",
        "eve\\",
        "\u202eeve",  # right-to-left override
        "eve\u2028verdict=accept",
        "e" * 4000,
        "\udcff\udcfe",
    ],
)
@pytest.mark.parametrize("field", ["PAM_USER", "PAM_RHOST"])
def test_hostile_name_or_address_stays_inside_its_value(
    user: User, syslog: SystemLog, name: str, field: str
) -> None:
    given = {"PAM_SERVICE": "sshd", "PAM_RHOST": "192.0.2.7", "PAM_USER": user.name, field: name}
    environment = {key: value.encode("utf-8", "surrogateescape") for key, value in given.items()}
    assert run([VERIFY], "123456", env=environment).code == REFUSED
    (line,) = syslog.lines(ident="pam-totp")
    assert DECISION.fullmatch(line.message)
    assert line.message.isprintable()
    assert len(line.message) < 1000
    assert line.fields["verdict"] == "refuse"
    if field == "PAM_USER":
        assert line.fields["rhost"] == "192.0.2.7"
    else:
        assert line.fields["user"] == user.name


def test_line_is_written_although_the_process_then_fails(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    """The log comes before the answer: one that never arrives is still on record."""
    fail = ["strace", "-o", "/dev/null", "-e", "inject=exit_group:signal=KILL"]
    assert verify(user, credential.fresh_code(), through=fail).code == -9
    assert syslog.decisions()[0]["verdict"] == "accept"


def test_nothing_that_was_typed_is_logged(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    recovery = new_recovery_codes(user)[0]
    typed = [credential.fresh_code(), credential.incorrect_code(), "hunter2hunter2", recovery, "12"]
    for each in typed:
        verify(user, each)
    logged = " ".join(line.message for line in syslog.lines())
    assert len(syslog.decisions()) == len(typed)
    for each in [*typed[:4], credential.secret]:
        assert each not in logged


@pytest.mark.parametrize("action", ["reset", "unlock", "grant"])
def test_what_root_does_for_others_is_logged(
    user: User, credential: Credential, syslog: SystemLog, action: str
) -> None:
    options = ["--yes"] if action == "reset" else []
    assert pam_totp(action, user.name, *options).code == 0
    (line,) = syslog.lines("action=")
    assert (line.facility, line.severity, line.ident) == ("authpriv", "notice", "pam-totp")
    assert line.fields == {"action": action, "user": user.name, "by": "root"}


def test_log_names_who_used_sudo(user: User, syslog: SystemLog) -> None:
    through = ["env", "SUDO_USER=carol x\n"]
    assert pam_totp("unlock", user.name, through=through).code == 0
    (line,) = syslog.lines("action=")
    assert line.fields["by"] == "carol x?"
