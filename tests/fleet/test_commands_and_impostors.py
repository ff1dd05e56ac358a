# SPDX-License-Identifier: MIT
"""Commands before somebody who has a certificate and no verifier: each ends in time with two lines,
on Ctrl-C too, and no password is told."""

import contextlib
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.errors import Error
from pam_totp.fleet import join_line, key_file, waiting
from tests.commands.commands import Answer, configured, pam_totp
from tests.fleet.database import Database
from tests.fleet.login_host import HOST, LoginHost
from tests.fleet.store import forget_join
from tests.fleet.test_hostile_network import (
    ANSWERS,
    SECONDS_THAT_SHOW_COMPUTING,
    Impostor,
    impostor,
    iterations_without_end,
    seconds_of_processor,
)
from tests.host.accounts import User
from tests.host.programs import COMMAND

Says = Callable[[Impostor, socket.socket], None]
SECONDS_TO_END = 20
STORE = "0" * 32
JOIN, STANDBY = ("store", "join", "-", "--yes"), ("store", "standby", "-")
# Of a login host, those that ask: by root, and by users about themselves. The agent opens the
# connection, and is asked for a moment.
OF_ROOT = {
    "status": ["status", "--user", "{user}"],
    "enroll": ["enroll", "--user", "{user}"],
    "users": ["users"],
    "explain": ["explain", "{user}", "--service", "sshd"],
    "grant": ["grant", "{user}", "--for", "5m"],
    "doctor": ["doctor"],
    "join again": ["store", "join", "--new-outage-codes"],
}
OF_USERS = ("status", "enroll")


def a_record_byte_by_byte(found: Impostor, peer: socket.socket) -> None:
    """Of TLS: each byte comes in time, all of them in half an hour."""
    peer.sendall(b"S")
    found.hear(peer)
    for byte in b"\x16\x03\x03\x3f\xff" + bytes(0x3FFF):
        peer.sendall(bytes([byte]))
        time.sleep(0.1)


HANGING = [a_record_byte_by_byte, iterations_without_end]


@contextlib.contextmanager
def somebody(folder: Path, answer: Says) -> Iterator[Impostor]:
    found = Impostor(folder, answer)
    forget_join()
    try:
        yield found
    finally:
        found.close()
        forget_join()


def line_to(found: Impostor, *keys: str) -> tuple[str, str]:
    """A join line that names it as the server, and the password in the line."""
    password = join_line.new_password()
    server = (("127.0.0.1", int(found.port)),)
    return str(join_line.JoinLine(HOST, password, server, STORE, keys)), password


def assert_two_lines(errors: str, *said: str) -> None:
    """The first says one of these, if there are any."""
    first, second = errors.splitlines()
    assert first.startswith("pam-totp: error: "), errors
    assert not said or any(each in first for each in said), errors
    assert second.startswith("hint: "), errors


@pytest.mark.parametrize("answer", [*ANSWERS, a_record_byte_by_byte])
def test_join_ends_and_tells_no_password(tmp_path: Path, answer: Says) -> None:
    with somebody(tmp_path, answer) as found:
        line, password = line_to(found)
        done = pam_totp(*JOIN, typed=f"{line}\n")
        assert done.code == 1
        # psycopg 3.2 ends some of them by itself, sooner.
        late = ("no answer from 127.0.0.1", "connection timeout expired")
        assert_two_lines(done.errors, *(late if answer in HANGING else ()))
        assert password.encode() not in found.heard


def test_standby_ends(database: Database, tmp_path: Path) -> None:
    with configured("store: system\n"), somebody(tmp_path, iterations_without_end) as found:
        line, _ = line_to(found, key_file.check_value(1))
        done = pam_totp(*STANDBY, typed=f"{line}\n")
        assert done.code == 1
        assert_two_lines(done.errors, "no answer from 127.0.0.1")


@pytest.mark.parametrize("more", [[], ["--server"]], ids=["a new password", "another server"])
def test_join_again_ends_and_keeps_the_password(
    login_host: LoginHost, tmp_path: Path, more: list[str]
) -> None:
    with impostor(tmp_path, login_host, iterations_without_end, "") as found:
        if more:
            login_host.configure()
            more = [*more, f"127.0.0.1:{found.port}"]
        done = pam_totp("store", "join", "--again", *more)
        assert done.code == 1
        assert_two_lines(done.errors, "no answer from 127.0.0.1")
    login_host.configure()
    login_host.restart()
    assert pam_totp("store", "join", "--new-outage-codes").code == 0


@pytest.mark.parametrize("answer", HANGING)
@pytest.mark.parametrize("words", [JOIN, STANDBY], ids=["join", "standby"])
def test_ctrl_c_ends_it(
    database: Database,
    tmp_path: Path,
    words: tuple[str, ...],
    answer: Says,
) -> None:
    is_asked = threading.Event()

    def answer_and_tell(found: Impostor, peer: socket.socket) -> None:
        is_asked.set()
        answer(found, peer)

    with configured("store: system\n"), somebody(tmp_path, answer_and_tell) as found:
        line, _ = line_to(found, *[key_file.check_value(1)] * (words is STANDBY))
        pipe = subprocess.PIPE
        running = subprocess.Popen([COMMAND, *words], stdin=pipe, stderr=pipe, text=True)
        assert running.stdin is not None and running.stderr is not None
        running.stdin.write(f"{line}\n")
        running.stdin.close()
        assert is_asked.wait(SECONDS_TO_END)
        before = seconds_of_processor(running.pid)
        while answer is iterations_without_end and (
            seconds_of_processor(running.pid) - before < SECONDS_THAT_SHOW_COMPUTING
        ):
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        # In the end it would end by itself.
        assert running.wait(waiting.MAX_SECONDS / 2) == 1
        assert_two_lines(running.stderr.read(), "interrupted")


def test_what_is_asked_in_vain_or_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "MAX_SECONDS", 0.1)
    never = threading.Event()
    with pytest.raises(Error, match="no answer from db1 within"):
        waiting.in_time(never.wait, "host=db1", "x")
    never.set()
    with pytest.raises(ZeroDivisionError):
        waiting.in_time(lambda: 1 / 0, "host=db1", "x")
    assert waiting.in_time(lambda: 5, "host=db1", "x") == 5


@pytest.mark.parametrize("verb", OF_ROOT)
def test_every_command_of_root_at_a_login_host_ends(
    login_host: LoginHost, user: User, tmp_path: Path, verb: str
) -> None:
    """pam_totp() gives it a minute."""
    with impostor(tmp_path, login_host, iterations_without_end, ""):
        done = pam_totp(*[each.format(user=user.name) for each in OF_ROOT[verb]])
    assert is_clear(done), done


@pytest.mark.parametrize("verb", OF_USERS)
def test_every_command_of_a_user_at_a_login_host_ends(
    login_host: LoginHost, user: User, tmp_path: Path, verb: str
) -> None:
    with impostor(tmp_path, login_host, iterations_without_end, ""):
        login_host.start_for_users()
        done = pam_totp(verb, user=user, typed="123456\n")
    assert is_clear(done), done
    assert "did not answer in time" in done.output + done.errors


def is_clear(done: Answer) -> bool:
    return "Traceback" not in done.errors and "unexpected failure" not in done.errors
