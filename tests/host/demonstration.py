# SPDX-License-Identifier: MIT
"""What the demos are made of: somebody who types at a terminal, and the log of a host.

Nothing here needs what only the tests need.
"""

import os
import select
import socket
import subprocess
import termios
import threading
import time
from pathlib import Path

import pyotp

WINDOW = (24, 80)
WAIT_SECONDS = 30


class DemoFailed(Exception):
    """Something did not happen as it should have."""


class Player:
    """Plays the user: runs a command on a terminal of its own, and shows what is on it."""

    def __init__(self, command: list[str]) -> None:
        self.transcript = ""
        self._terminal, end = os.openpty()
        termios.tcsetwinsize(end, WINDOW)
        # No fork here: a thread follows the log, and may hold a lock that the child would need.
        on_it = ["setsid", "--ctty", *command]
        self._process = subprocess.Popen(on_it, stdin=end, stdout=end, stderr=end)
        os.close(end)

    def wait_for(self, prompt: str) -> str:
        """Waits for the prompt; what was shown before it, since the prompt before."""
        while prompt not in self.transcript:
            if not self.read():
                raise DemoFailed(f"no prompt {prompt!r}")
        before, _, self.transcript = self.transcript.partition(prompt)
        return before

    def type(self, text: str) -> None:
        """Types the text and Enter."""
        os.write(self._terminal, text.encode() + b"\n")

    def answer(self, prompt: str, text: str) -> None:
        """Types the text at the prompt."""
        self.wait_for(prompt)
        self.type(text)

    def finish(self) -> int:
        """Waits for the end; the exit code."""
        while self.read():
            pass
        return self._process.wait()

    def read(self) -> bool:
        """Waits until more is shown; False at the end."""
        ready, _, _ = select.select([self._terminal], [], [], WAIT_SECONDS)
        if not ready:
            raise DemoFailed(f"no output for {WAIT_SECONDS} s")
        try:
            text = os.read(self._terminal, 65536).decode("utf-8", "replace")
        except OSError:  # the command ended, and the terminal with it
            return False
        print(text.replace("\r", ""), end="", flush=True)
        self.transcript += text
        return bool(text)


class Log:
    """The system log of the host, read at all times: such a socket holds ten lines at most, and
    sshd would wait to write the next one."""

    def __init__(self, path: Path = Path("/dev/log")) -> None:
        self._entries: list[str] = []
        self._turn = threading.Lock()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        path.chmod(0o666)
        self._socket.setblocking(False)
        threading.Thread(target=self._follow, daemon=True).start()

    def verdicts(self) -> list[str]:
        """What pam-totp wrote about logins since the last time."""
        self._read()
        with self._turn:
            entries, self._entries = self._entries, []
        return [entry.partition("]: ")[2] or entry for entry in entries if "verdict=" in entry]

    def _follow(self) -> None:
        while True:
            select.select([self._socket], [], [])
            self._read()

    def _read(self) -> None:
        with self._turn:
            try:
                while True:
                    self._entries.append(self._socket.recv(8192).decode("utf-8", "replace"))
            except BlockingIOError:
                return


def log_in(command: list[str], password: str, code: str) -> int:
    """One login by a command like ssh, the same code at each question; the exit code."""
    player = Player(command)
    player.answer("Password: ", password)
    player.answer("Verification code: ", code)
    while True:  # asked again after a code that was not correct
        if "Verification code: " in player.transcript:
            player.answer("Verification code: ", code)
        if not player.read():
            return player.finish()


def code_at(secret: str, offset: int) -> str:
    """The code `offset` steps from now, computed by pyotp."""
    return str(pyotp.TOTP(secret).generate_otp(int(time.time()) // 30 + offset))


def title(text: str) -> None:
    """A heading."""
    print(f"\n== {text}", flush=True)
