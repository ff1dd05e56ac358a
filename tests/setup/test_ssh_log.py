# SPDX-License-Identifier: MIT
"""What is read out of sshd's log: who came how, and who never had a terminal."""

from collections.abc import Iterator

import pytest

from pam_totp.setup.ssh_log import JOURNAL, KEY, PASSWORD, SshLog


def line(process: int, message: str, program: str = "sshd") -> str:
    return f"Nov 29 01:02:03 server {program}[{process}]: {message}"


@pytest.mark.parametrize("program", ["sshd", "sshd-session"])
def test_the_first_factor_of_a_connection(program: str) -> None:
    def lines() -> Iterator[str]:
        yield line(1, "Accepted publickey for alice from 192.0.2.1 port 1 ssh2: ED25519 x", program)
        yield line(2, "Accepted password for bob from 2001:db8::1 port 2 ssh2", program)
        yield line(3, "Partial publickey for carol from 192.0.2.1 port 3 ssh2: RSA x", program)
        yield line(4, "Accepted keyboard-interactive/pam for dora from 192.0.2.1 port 4 ssh2")
        yield line(3, "Accepted keyboard-interactive/pam for carol from 192.0.2.1 port 3 ssh2")
        yield line(5, "Failed password for eve from 192.0.2.1 port 5 ssh2", program)
        yield "Nov 29 01:02:03 server su[9]: Accepted publickey for eve from 192.0.2.1 port 9 ssh2"

    assert SshLog(lines()).accepted == {
        ("192.0.2.1", "1"): {"alice": KEY},
        ("2001:db8::1", "2"): {"bob": PASSWORD},
        ("192.0.2.1", "3"): {"carol": KEY},
        ("192.0.2.1", "4"): {"dora": PASSWORD},
    }


@pytest.mark.parametrize("method", ["gssapi-with-mic", "hostbased"])
def test_a_method_that_is_neither_a_key_nor_a_password_is_called_by_its_name(method: str) -> None:
    text = line(1, f"Accepted {method} for alice from 192.0.2.1 port 1 ssh2")
    assert SshLog(iter([text])).accepted == {("192.0.2.1", "1"): {"alice": method}}


def test_what_is_said_in_two_ways_is_not_known() -> None:
    lines = [
        line(1, f"Accepted {said} from 192.0.2.1 port 1 ssh2")
        for said in ("publickey for alice", "password for bob", "password for alice")
    ]
    assert SshLog(iter(lines)).accepted == {("192.0.2.1", "1"): {"alice": "", "bob": PASSWORD}}


def test_of_the_journal_only_what_root_wrote_is_read() -> None:
    assert "_UID=0" in JOURNAL


def test_who_came_with_a_key_and_never_had_a_terminal() -> None:
    def lines() -> Iterator[str]:
        for process in range(3):
            yield line(process, "Accepted publickey for borg from 192.0.2.1 port 1 ssh2: x")
            yield line(process, "Starting session: command for borg from 192.0.2.1 port 1 id 0")
        yield line(7, "Accepted publickey for alice from 192.0.2.1 port 1 ssh2: x")
        yield line(7, "Starting session: shell on pts/1 for alice from 192.0.2.1 port 1 id 0")
        yield line(8, "Accepted password for bob from 192.0.2.1 port 1 ssh2")

    found = SshLog(lines())
    assert found.without_terminal() == [("borg", 3)] and found.knows_terminals


def test_one_login_with_a_terminal_does_not_make_a_person_nor_one_without_a_program() -> None:
    def lines() -> Iterator[str]:
        for process, (user, what) in enumerate(
            [
                *(("borg", "command"),) * 2,
                ("borg", "shell on pts/1"),
                *(("alice", "shell on pts/1"),) * 2,
                ("alice", "subsystem 'sftp'"),
                ("root", "command"),
            ]
        ):
            yield line(process, f"Accepted publickey for {user} from 192.0.2.1 port 1 ssh2: x")
            for number in range(2):  # two sessions of one connection
                yield line(
                    process,
                    f"Starting session: {what} for {user} from 192.0.2.1 port 1 id {number}",
                )

    assert SshLog(lines()).without_terminal() == [("borg", 2), ("root", 1)]


def test_a_log_that_says_nothing_of_terminals_is_no_proof_of_none() -> None:
    text = line(1, "Accepted publickey for alice from 192.0.2.1 port 1 ssh2: x")
    found = SshLog(iter([text]))
    assert found.without_terminal() == [("alice", 1)] and not found.knows_terminals
