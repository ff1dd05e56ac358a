# SPDX-License-Identifier: MIT
"""The programs that send codes: what they are given, as whom they run, and what becomes of a login
where they fail, hang or talk."""

import email.policy
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.records.config.settings import load
from pam_totp.records.config.table import SETTINGS
from pam_totp.records.user import stamps
from pam_totp.records.user.attempts import boot_seconds
from pam_totp.rules.reasons import Failure
from pam_totp.sending import limits
from pam_totp.sending.programs import fault_of
from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, RECORDS, REFUSED
from tests.host.system_log import SystemLog
from tests.sending.application import Application, login
from tests.sending.outbox import (
    NUMBER,
    OUTBOX,
    SENDS,
    TextMessage,
    forget_limits,
    gateway,
    give_contact,
    logged,
)
from tests.trial.change_host import wait_until

Messages = Callable[[], list[TextMessage]]
NOT_SENT = "No code could be sent. Try again later.\n"


@pytest.fixture(autouse=True)
def contact(user: User) -> Iterator[None]:
    forget_limits()
    give_contact(user, ("sms", NUMBER), ("mail", f"{user.name}@example.org"))
    yield
    forget_limits()


def only_fault(syslog: SystemLog, user: User) -> str:
    (decision,) = [each for each in logged(syslog, user) if each["reason"] == "send-failed"]
    return decision["detail"]


def output_of(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_program_reads_one_line_of_json(user: User, kept: Path) -> None:
    with gateway(f"cat >{kept}/given"), login(user) as application:
        line = (kept / "given").read_text()
        found = json.loads(line)
        code = found.pop("code")
        assert line.count("\n") == 1
        assert found == {
            "version": 1,
            "kind": "sms",
            "to": NUMBER,
            "text": f"{code} is your verification code for {socket.gethostname()}.",
            "user": user.name,
            "service": "sshd",
            "host": socket.gethostname(),
        }
        assert application.verify(code).code == ACCEPTED


def test_no_argument_and_no_variable_has_the_code(user: User, kept: Path) -> None:
    look = f"tr '\\0' '\\n' </proc/$$/cmdline >{kept}/seen; env >>{kept}/seen; cat >{kept}/given"
    with gateway(look), login(user):
        seen = (kept / "seen").read_text()
        assert json.loads((kept / "given").read_text())["code"] not in seen
        assert "PAM_" not in seen
        assert "SSH" not in seen


def test_a_program_runs_as_an_account_of_its_own(user: User, kept: Path) -> None:
    with (
        gateway(f"id >{kept}/id; ls -l /proc/self/fd >{kept}/open; pwd >{kept}/where"),
        login(user),
    ):
        own = output_of("id", "pam-totp-send")
        assert (kept / "id").read_text() == own
        assert "root" not in own
        opened = (kept / "open").read_text().splitlines()
        assert len([line for line in opened if "->" in line]) <= 4  # and the folder that ls reads
        assert (kept / "where").read_text() == "/\n"


def test_a_text_without_the_code_gets_it_in_front(user: User, kept: Path) -> None:
    rules = f'messages: {{code: "Hello from {{host}}"}}\n{SENDS}'
    with gateway(f"cat >{kept}/given", rules), login(user):
        found = json.loads((kept / "given").read_text())
        assert found["text"] == f"{found['code']} Hello from {socket.gethostname()}"


@pytest.mark.parametrize("words", ["x" * 390, "ü" * 190, "{host}" * 60, "{code} 😀"], ids=ascii)
def test_a_text_message_is_not_cut_off(user: User, messages: Messages, words: str) -> None:
    text = words if "{code}" in words else f"{words} {{code}}"
    with configured(f'messages: {{code: "{text}"}}\n{SENDS}', settled=True), login(user) as asks:
        (message,) = messages()
        host = socket.gethostname()
        assert message.text == text.format(code=message.code, host=host)
        assert asks.verify(message.code).code == ACCEPTED


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("exit 1", "gateway failed: exit code 1"),
        ("kill -9 $$", "gateway failed: ended by a signal"),
        ("echo first >&2; echo no carrier >&2; exit 3", "exit code 3 (first | no carrier)"),
        ("exec /nonexistent", "exit code 127"),
        ("exec <&-; printf 'a\\033[31mb\\000\\377' >&2; exit 4", "exit code 4 (a"),
        ("echo no token; exit 5", "exit code 5 (no token)"),  # as curl shows what a server answers
        ("echo 'bad \"key\"' >&2; echo more; exit 6", "exit code 6 (bad 'key')"),
    ],
)
def test_a_program_that_fails_is_logged_and_the_user_told(
    user: User, credential: Credential, syslog: SystemLog, script: str, fault: str
) -> None:
    with gateway(script), login(user) as application:
        answer = application.verify("sms")
        assert (answer.code, answer.output) == (REFUSED, NOT_SENT)
        assert application.verify(credential.fresh_code()).code == ACCEPTED
    assert fault in only_fault(syslog, user)


PYTHON = "exec /usr/bin/python3 -c"
QUOTED = """'
import json, sys, urllib.parse
given = json.load(sys.stdin)
sys.exit("https://example.org/send?" + urllib.parse.urlencode(given))
'"""
LONG = """'
import json, sys
sys.exit(json.load(sys.stdin)["code"][1:] + "x" * 4089)
'"""


@pytest.mark.parametrize("kind", ["sms", "mail"])
@pytest.mark.parametrize(
    "script",
    ["cat >&2; exit 1", "cat; exit 1", f"{PYTHON} {QUOTED}", f"{PYTHON} {LONG}"],
    ids=["as it is", "on standard output", "in a URL", "cut off"],
)
def test_neither_code_nor_address_is_in_what_a_program_has_to_say(
    user: User, credential: Credential, syslog: SystemLog, kept: Path, kind: str, script: str
) -> None:
    with (
        gateway(f"tee {kept}/given | ( {script} )") as path,
        configured(f"send: {{{kind}: {path}}}\n{SENDS}", settled=True),
        login(user) as application,
    ):
        application.verify(kind)
        syslog.wait_for(f"reason=send-failed user={user.name} ")
    given = json.loads((kept / "given").read_text())
    said = only_fault(syslog, user)
    assert "exit code 1" in said
    hidden = [given["code"], given["code"][1:], given["to"].removeprefix("+")]
    assert [each for each in hidden if each in said] == []
    assert given["to"].replace("@", "%40") not in said


def test_only_what_could_not_be_sent_is_a_warning(
    user: User, credential: Credential, messages: Messages, syslog: SystemLog
) -> None:
    with login(user) as application:
        application.verify("sms")
    with gateway("exit 1"), login(user) as application:
        application.verify("sms")
    lines = [each for each in syslog.lines("verdict=ask") if each.fields["user"] == user.name]
    found = [(each.fields["reason"], each.severity) for each in lines]
    assert found == [("sent-code", "info"), ("send-failed", "warning")]


def test_what_gammu_has_to_say_is_logged(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    owner, mode = OUTBOX.stat().st_uid, stat.S_IMODE(OUTBOX.stat().st_mode)
    try:
        shutil.chown(OUTBOX, "root")
        OUTBOX.chmod(0o700)
        with login(user) as application:
            assert application.verify("sms").output == NOT_SENT
    finally:
        shutil.chown(OUTBOX, owner)
        OUTBOX.chmod(mode)
    fault = only_fault(syslog, user)
    assert " | Cannot save " in fault
    assert fault.endswith(" | Failed to inject message: Can not open specified file.)")


@pytest.mark.parametrize(
    "script",
    [
        "sleep 60",
        "sleep 60 & exit 0",
        "trap '' TERM HUP INT; sleep 60",
        "yes",
        "yes >&2",
        "exec 2>&-; sleep 60",
    ],
)
def test_a_program_that_hangs_or_talks_holds_up_no_login(
    user: User, credential: Credential, script: str
) -> None:
    """The password was checked before: what counts is the time after it."""
    with gateway(script), login(user) as application:
        answer = application.verify("sms")
        assert answer.code == REFUSED
        assert application.seconds < 20  # of 60: `make bench` measures it
        assert application.verify(credential.fresh_code()).code == ACCEPTED


def test_a_program_that_hangs_is_ended_and_logged(user: User, syslog: SystemLog) -> None:
    with gateway("sleep 4711"), login(user):
        line = syslog.wait_for(
            f"user={user.name} service=sshd rhost=192.0.2.7 device=sms detail", 5
        )
        assert line.fields["reason"] == "sent-code"
        syslog.wait_for(f"reason=send-failed user={user.name} ", 30)
    assert only_fault(syslog, user) == "gateway did not end within 20 seconds"
    assert "sleep 4711" not in output_of("ps", "-eo", "args")


def test_a_message_is_not_on_its_way_if_the_process_that_sees_to_it_is_killed(user: User) -> None:
    """Such as by the kernel, where memory is short."""
    with gateway("exec sleep 4712"):
        command = ["pam-totp", "contact", user.name, "--sms", "+491701234577"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as asked:
            wait_until(lambda: subprocess.run(["pgrep", "-xf", "sleep 4712"]).returncode == 0)
            program = output_of("pgrep", "-xf", "sleep 4712").strip()
            seen_to_by = output_of("ps", "-o", "ppid=", "-p", program).strip()
            os.kill(int(seen_to_by), signal.SIGKILL)
            os.kill(int(program), signal.SIGKILL)
            said = asked.communicate()[1].decode()
    assert "no code could be sent: the process that sends it was ended" in said


def test_a_late_failure_is_logged(user: User, syslog: SystemLog) -> None:
    with gateway("sleep 1; exit 9"), login(user) as application:
        assert "on its way" in application.verify("sms").output
        syslog.wait_for("gateway failed: exit code 9")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda path: path.unlink(), "No such file or directory"),
        (lambda path: path.chmod(0o644), "{path} is not executable; run: chmod 755 {path}"),
        (lambda path: path.chmod(0o700), "pam-totp-send may not run {path}; run: namei -l {path}"),
        (lambda path: path.chmod(0o775), "writable by group or others; run: chmod go-w {path}"),
        (lambda path: path.chmod(0o757), "writable by group or others; run: chmod go-w {path}"),
        (lambda path: shutil.chown(path, "nobody"), "is owned by user id 65534; run: chown root"),
        (lambda path: path.write_text("#!/nonexistent\n"), "cannot run {path}: the interpreter"),
        (lambda path: path.write_text("touch x\n"), "its first line names no interpreter"),
        (lambda path: (path.unlink(), path.mkdir()), "{path} is not a program"),
        (lambda path: path.parent.chmod(0o777), "run: chmod o-w /usr/local/sbin"),
    ],
    ids=[
        *("missing", "0644", "0700", "0775", "0757", "of nobody"),
        *("bad interpreter", "no interpreter", "a folder", "folder on the way"),
    ],
)
def test_a_program_that_others_could_change_or_that_cannot_run_is_not_run(
    user: User,
    kept: Path,
    syslog: SystemLog,
    spoil: Callable[[Path], object],
    fault: str,
) -> None:
    with gateway(f"touch {kept}/ran") as path:
        mode = stat.S_IMODE(path.parent.stat().st_mode)
        try:
            spoil(path)
            with Application(user) as application:
                assert NOT_SENT in application.gate().output
        finally:
            path.parent.chmod(mode)
            if path.is_dir():
                path.rmdir()
    assert fault.format(path=path) in only_fault(syslog, user)
    assert not (kept / "ran").exists()


def test_no_repair_opens_or_closes_a_folder_that_is_not_for_programs(
    make_user: Callable[..., User],
) -> None:
    owner = make_user()
    places = [owner.home, Path("/tmp"), Path("/var/tmp")]
    for path in [each / "send" for each in places]:
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
        try:
            fault = fault_of(str(path))
        finally:
            path.unlink()
        assert fault.startswith(str(path.parent))
        assert fault.endswith("; move the program to /usr/local/sbin")


def test_without_the_account_nothing_is_sent(user: User, kept: Path, syslog: SystemLog) -> None:
    passwd = Path("/etc/passwd")
    before = passwd.read_text()
    try:
        lines = before.splitlines(keepends=True)
        passwd.write_text("".join(line for line in lines if not line.startswith("pam-totp-send:")))
        with gateway(f"touch {kept}/ran"), login(user):
            pass
    finally:
        passwd.write_text(before)
    assert only_fault(syslog, user) == "there is no account pam-totp-send, as which codes are sent"
    assert not (kept / "ran").exists()


def test_without_the_program_that_sends_codes_the_log_says_so(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    """As after an upgrade that was interrupted."""
    path = Path("/usr/libexec/pam-totp/send-code")
    away = path.rename("/usr/libexec/pam-totp/send-code.away")
    try:
        with login(user) as application:
            assert application.verify(credential.fresh_code()).code == ACCEPTED
    finally:
        away.rename(path)
    first, last = logged(syslog, user)
    assert (first["reason"], last["reason"]) == ("internal-error", "totp")
    assert first["detail"] == f"cannot run {path}: No such file or directory"


def test_without_a_mail_server_the_log_says_what_is_missing(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    sendmail = Path("/usr/sbin/sendmail")
    away = sendmail.rename("/usr/sbin/sendmail.away")
    try:
        with login(user) as application:
            assert application.verify("mail").output == NOT_SENT
    finally:
        away.rename(sendmail)
    detail = "/usr/sbin/sendmail: No such file or directory; install a mail server"
    assert only_fault(syslog, user) == detail


@pytest.mark.parametrize("issuer", ["Müller GmbH", "<x>, y", "日本語"])
def test_a_mail_names_the_host_in_whatever_words(
    user: User, credential: Credential, issuer: str
) -> None:
    give_contact(user, ("mail", f"{user.name}@localhost"))
    mailbox = Path("/var/mail", user.name)
    with configured(f'issuer: "{issuer}"\n{SENDS}', settled=True), login(user) as application:
        assert "on its way" in application.verify("mail").output
        wait_until(lambda: mailbox.exists() and mailbox.read_bytes().endswith(b"\n\n"))
        content = mailbox.read_bytes()
        mail = email.message_from_bytes(content, policy=email.policy.default)
        assert mail["Subject"] == f"Verification code for {issuer}"
        code = mail.get_content().partition(" ")[0]
        assert application.verify(code).code == ACCEPTED


@pytest.mark.parametrize("whose", ["user", "host"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_text("a x\n"),
        lambda path: path.write_text(f"{'a' * 70_000} 1\n"),
        lambda path: path.chmod(0o666),
        lambda path: os.chown(path, 65534, 0),
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/dev/null")),
    ],
    ids=["malformed", "large", "0666", "of nobody", "a folder", "a link"],
)
def test_where_it_cannot_be_known_how_many_were_sent_nothing_is_sent(
    user: User,
    credential: Credential,
    messages: Messages,
    syslog: SystemLog,
    whose: str,
    spoil: Callable[[Path], object],
) -> None:
    path = RECORDS / "sendings" / (str(user.uid) if whose == "user" else limits.HOST)
    with login(user) as application:
        assert "on its way" in application.verify("sms").output
        spoil(path)
        try:
            assert application.verify("sms").output == NOT_SENT
        finally:
            path.rmdir() if path.is_dir() else path.unlink()
        assert "on its way" in application.verify("sms").output
    assert len(messages()) == 2
    assert str(path) in logged(syslog, user)[1]["detail"]


@pytest.mark.parametrize("whose", ["user", "host"])
def test_the_highest_limit_is_one(user: User, whose: str) -> None:
    """Its record can be read: of nine digits are the seconds after three years."""
    settings = load(keeps=False)
    for key in ("send.user_limit", "send.host_limit"):
        settings.values[key] = SETTINGS[key][-1]
    most = int(settings.values[f"send.{whose}_limit"])
    name, count, words = (
        (str(user.uid), most * limits.HOURS_A_DAY, "to this user")
        if whose == "user"
        else (limits.HOST, most, "by this host")
    )
    path = RECORDS / "sendings" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    try:
        moment = f"{int(boot_seconds()):09}"
        path.write_text("".join(f"{number:08x} {moment}\n" for number in range(count)))
        with pytest.raises(Failure, match=f"the limit of codes {words}"):
            limits.count(user.uid, settings)
    finally:
        path.unlink()


def test_a_user_is_not_flooded(
    user: User, credential: Credential, messages: Messages, syslog: SystemLog
) -> None:
    with login(user) as application:
        for _ in range(10):
            assert "on its way" in application.verify("sms").output
        assert application.verify("sms").output == NOT_SENT
    with login(user) as another:
        assert another.verify("sms").output == NOT_SENT
    assert len(messages()) == 10
    last = logged(syslog, user)[-1]
    assert (last["reason"], last["detail"]) == (
        "send-limit",
        "the limit of codes to this user in an hour is reached (10)",
    )


def test_a_user_who_is_flooded_takes_nothing_from_others(
    user: User, credential: Credential, make_user: Callable[..., User], messages: Messages
) -> None:
    """By default a user is sent at most a thirtieth of what the host sends in an hour."""
    other = make_user()
    give_contact(other, ("sms", "+491701234568"))
    with login(user) as application:
        for _ in range(20):
            application.verify("sms")
    with login(other) as application:
        assert messages()[-1].number == "+491701234568"
        assert application.verify(messages()[-1].code).code == ACCEPTED
    assert len(messages()) == 11


def test_no_more_than_three_times_as_many_are_sent_in_a_day(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(keeps=False)
    settings.values["send.user_limit"] = "2"
    now = 0
    monkeypatch.setattr(stamps, "boot_seconds", lambda: float(now))
    in_an_hour, in_a_day = (
        f"codes to this user in {each} is reached" for each in ("an hour", "a day")
    )
    for hour in range(3):
        now = 100_000 + hour * 3600
        for _ in range(2):
            limits.count(user.uid, settings)
        with pytest.raises(Failure, match=rf"{in_an_hour} \(2\)"):
            limits.count(user.uid, settings)
    now = 110_800
    with pytest.raises(Failure, match=rf"{in_a_day} \(6\)"):
        limits.count(user.uid, settings)
    now = 100_000 + 86_400
    limits.count(user.uid, settings)


def test_unlock_ends_the_limit_of_a_user_and_not_the_hosts(
    make_user: Callable[[], User], messages: Messages
) -> None:
    users = make_user(), make_user()
    for number, each in enumerate(users):
        give_contact(each, ("sms", f"+49170123456{number}"))
    with configured(f"send: {{user_limit: 1, host_limit: 3}}\n{SENDS}", settled=True):
        with login(users[0]) as first:
            assert first.verify("sms").output == NOT_SENT
            done = pam_totp("unlock", users[0].name)
            assert done.output == (
                f"{users[0].name} can try again now.\n"
                "Codes that were sent before no longer count against the user's limit.\n"
            )
            assert "on its way" in first.verify("sms").output
        with login(users[1]):
            pass
        pam_totp("unlock", users[0].name)
        with login(users[0]) as second:
            assert second.verify("sms").output == NOT_SENT
        assert pam_totp("unlock", users[1].name).output.count("\n") == 2
        assert pam_totp("unlock", users[1].name).output.count("\n") == 1
    assert len(messages()) == 3


def test_the_host_sends_no_more_than_its_limit(
    user: User,
    credential: Credential,
    make_user: Callable[..., User],
    messages: Messages,
    syslog: SystemLog,
) -> None:
    other = make_user()
    give_contact(other, ("sms", "+491701234568"))
    with configured(f"send: {{host_limit: 2}}\n{SENDS}", settled=True):
        with login(user) as application:
            application.verify("sms")
            application.verify("sms")
        with Application(other) as of_other:
            assert NOT_SENT in of_other.gate().output
    assert len(messages()) == 2
    refused = logged(syslog, other)[-1]
    assert refused["detail"] == "the limit of codes by this host in an hour is reached (2)"


def test_many_logins_at_once_send_no_more_than_the_limit(
    user: User, credential: Credential, messages: Messages
) -> None:
    with login(user) as application:
        application.verify_at_once("sms", 24)
        until = time.monotonic() + 20
        while len(messages()) < 10 and time.monotonic() < until:
            time.sleep(0.1)
        time.sleep(1)
    assert len(messages()) == 10


COUNTS = """
import sys
sys.path[:0] = ["/usr/lib/pam-totp"]
from pam_totp.records.config.settings import load
from pam_totp.rules.reasons import Failure
from pam_totp.sending import limits
from pam_totp.sending.programs import fault_of
settings = load(keeps=False)
settings.values.update({"send.user_limit": "100", "send.host_limit": "50"})
sys.stdin.read()
for _ in range(20):
    try:
        limits.count(int(sys.argv[1]), settings)
        print("sent")
    except Failure as failure:
        assert "by this host" in failure.detail, failure
"""


def test_many_users_at_once_are_sent_no_more_than_the_hosts_limit() -> None:
    processes = [
        subprocess.Popen(
            ["/usr/bin/python3", "-c", COUNTS, str(60_000 + number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    for process in processes:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    said = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert "".join(said).count("sent") == 50
