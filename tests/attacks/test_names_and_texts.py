# SPDX-License-Identifier: MIT
"""Rules 13, 23 and 24: what strangers call themselves is data, and stays on its line."""

import io
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from tests.attacks.programs import command, gate, run, traced, verify
from tests.commands.commands import new_recovery_codes
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ASK, CONFIGURATION, GATE, NO_CODE_NEEDED, REFUSED, STATE, VERIFY
from tests.host.system_log import SystemLog

CONTROL = "\x1b[2J\x07\r\n\x7f\x9b\u202e\u2028"


@pytest.mark.parametrize("field", ["PAM_USER", "PAM_SERVICE", "PAM_RHOST", "PAM_TTY", "PAM_RUSER"])
def test_control_characters_are_neither_logged_nor_shown(
    credential: Credential, syslog: SystemLog, field: str
) -> None:
    """Rule 13, duo_unix 2026: a user name with a newline forged lines of the log."""
    forged = f'{CONTROL}" verdict=accept reason=totp user=root\n'
    for program in (GATE, VERIFY):
        answer = run(program, credential.user.name, b"x", variables={field: forged})
        if field == "PAM_USER":
            answer = run(program, credential.user.name + forged, b"x")
        assert answer.printed == b""
    lines = syslog.lines(ident="pam-totp")
    assert lines
    assert all(line.message.isprintable() for line in lines)
    assert {line.fields["verdict"] for line in lines} == {"refuse"}


def test_control_characters_of_a_file_are_neither_logged_nor_shown(
    user: User, enrolled: Callable[..., Credential], syslog: SystemLog, settings_file: Path
) -> None:
    """Rules 13 and 24, linux-pam c8a2829b: a NUL in what a child prints broke its caller."""
    device = f"phone{CONTROL}".replace("\n", "\x0b")
    credential = enrolled(user, device=device)
    settings_file.write_text('"\\e[2J\\0\\n": 1\n', encoding="ascii")
    codes = new_recovery_codes(user)
    printed = [run(VERIFY, user.name, code.encode()).printed for code in codes]
    printed.append(run(VERIFY, user.name, credential.fresh_code().encode()).printed)
    printed += [run(VERIFY, user.name, b"000000").printed for _ in range(6)]
    printed.append(run(GATE, user.name).printed)
    assert all(text.isascii() and text.decode().replace("\n", "").isprintable() for text in printed)
    assert b"recovery codes left" in printed[0]
    assert b"Try again in" in printed[-1]
    assert all(line.message.isprintable() for line in syslog.lines(ident="pam-totp"))
    assert {line["device"] for line in syslog.decisions()} > {""}


@pytest.fixture
def settings_file() -> Iterator[Path]:
    """/etc/pam-totp/config.yaml, gone after the test together with what was made of it."""
    yield CONFIGURATION
    CONFIGURATION.unlink(missing_ok=True)
    (STATE / "settings" / "last-good").unlink(missing_ok=True)


NAMES = ["$(touch /tmp/sprung)", "`touch /tmp/sprung`", "a;touch /tmp/sprung", "../x", "..", "."]
NAMES += ["a/b", "-x", "--help", "a b", "a" * 255, "ü☎", "%s%n", "root ", "\udcff\udcfe"]


@pytest.fixture
def somebody() -> Iterator[Callable[[str], None]]:
    """`somebody(name)` puts a user of that name into the password database: useradd would not."""
    passwd, home = Path("/etc/passwd"), Path("/home/somebody")
    before = passwd.read_bytes()
    home.mkdir(mode=0o700)
    os.chown(home, 29999, 29999)
    line = "{}:x:29999:29999::/home/somebody:/bin/sh\n"

    def put(name: str) -> None:
        passwd.write_bytes(before + os.fsencode(line.format(name)))

    yield put
    passwd.write_bytes(before)
    home.rmdir()


@pytest.mark.parametrize("store", ["user", "system"])
@pytest.mark.parametrize("name", NAMES)
def test_name_is_data_whatever_it_looks_like(
    settings_file: Path,
    somebody: Callable[[str], None],
    syslog: SystemLog,
    tmp_path: Path,
    name: str,
    store: str,
) -> None:
    """Rule 23, CVE-2026-44712: a user name reached a shell. First nobody has the name."""
    settings_file.write_text(f"store: {store}\n", encoding="ascii")
    (STATE / "secrets").mkdir(mode=0o700, exist_ok=True)
    assert gate(name) == ASK
    assert verify(name, "123456") == REFUSED
    somebody(name)
    trace = tmp_path / "trace"
    answer = gate(name, through=traced(trace, "-e", "trace=execve,open,openat"))
    # The C library takes no name that begins with a dash. Of a name that cannot be that of a folder
    # nobody can say that it has no secret there.
    no_folder = store == "system" and ("/" in name or name in (".", ".."))
    assert answer == (ASK if no_folder or name.startswith("-") else NO_CODE_NEEDED)
    assert verify(name, "123456") == REFUSED
    text = trace.read_text(encoding="utf-8", errors="replace")
    assert re.findall(r'execve\("([^"]+)"', text) == [GATE, "/usr/bin/python3"]
    assert "Traceback" not in command("users", "--json").stderr
    assert not Path("/tmp/sprung").exists()
    assert all(line.message.isprintable() for line in syslog.lines(ident="pam-totp"))


@pytest.mark.parametrize("name", ["../x", "$(touch /tmp/sprung)"])
def test_root_s_commands_take_a_name_that_cannot_be_that_of_a_folder(
    somebody: Callable[[str], None], name: str
) -> None:
    """Rule 23, CVE-2026-44712: root can help this user as well."""
    somebody(name)
    for verb in (["reset", "--yes"], ["unlock"], ["grant", "--for", "1m"], ["reset", "--yes"]):
        done = command(*verb, "--", name)
        assert (done.returncode, done.stderr) == (0, "")
    assert gate(name) == NO_CODE_NEEDED
    assert not Path("/tmp/sprung").exists()


ESCAPE = "\x1b]0;sprung\x07\x1b[2J"


@pytest.mark.parametrize(
    "arguments",
    [
        ["users"],
        ["users", "--missing"],
        ["explain", "{}"],
        ["grant", "{}"],
        ["grant", "{}", "--end"],
        ["unlock", "{}"],
        ["reset", "--yes", "{}"],
        ["migrate", "{}"],
    ],
    ids=" ".join,
)
def test_name_or_home_with_control_characters_reaches_no_terminal(arguments: list[str]) -> None:
    name = f"some{ESCAPE}body"
    passwd = Path("/etc/passwd")
    before = passwd.read_bytes()
    passwd.write_bytes(before + f"{name}:x:29999:29999::/home/{ESCAPE}:/bin/sh\n".encode())
    try:
        answer = command(*[word.format(name) for word in arguments])
        command("reset", "--yes", name)
    finally:
        passwd.write_bytes(before)
    said = answer.stdout + answer.stderr
    assert r"\x1b]0;sprung\x07" in said
    assert said.replace("\n", "").isprintable()


@pytest.mark.parametrize(
    ("verb", "questions"),
    [
        ("enroll", ["Code from the app"]),
        ("recovery-codes", ["Code from the app", "System password of"]),
    ],
)
def test_name_or_home_reaches_no_terminal_where_the_output_was_sent_elsewhere(
    verb: str, questions: list[str]
) -> None:
    """What is said beside the output, and every question, goes to the terminal itself then."""
    uid, name, home = 29998, f"some{ESCAPE}body", f"/home/{ESCAPE}"
    passwd = Path("/etc/passwd")
    before = passwd.read_bytes()
    passwd.write_bytes(before + f"{name}:x:{uid}:{uid}::{home}:/bin/sh\n".encode())
    os.mkdir(home)
    mount = ["mount", "-t", "tmpfs", "-o", f"mode=700,uid={uid}", "of-its-own", home]
    subprocess.run(mount, check=True)  # of which `enroll` warns, naming the home
    if verb != "enroll":
        folder = Path(home) / ".config" / "pam-totp"
        folder.mkdir(parents=True, mode=0o700)
        secret = folder / "secret"
        secret.write_text(f"otpauth://totp/x?secret={'A' * 32} phone\n")
        secret.chmod(0o600)
        for path in (folder.parent, folder, secret):
            os.chown(path, uid, uid)
    try:
        words = (
            f"exec setpriv --reuid {uid} --regid {uid} --clear-groups pam-totp {verb} >/dev/null"
        )
        terminal = pexpect.spawn("/bin/sh", ["-c", words], timeout=20)
        terminal.logfile_read = io.BytesIO()
        for question in questions:
            terminal.expect(question)
            terminal.expect(": ")
            terminal.send("\n" if question != questions[-1] else "\x03")
        terminal.expect(pexpect.EOF)
        terminal.close()
        said = terminal.logfile_read.getvalue()
    finally:
        subprocess.run(["umount", home], check=True)
        os.rmdir(home)
        passwd.write_bytes(before)
    assert rb"\x1b]0;sprung\x07" in said
    assert b"\x1b" not in said and b"\x07" not in said
