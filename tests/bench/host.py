# SPDX-License-Identifier: MIT
"""What the bench runs on: the installed product and its peers, two users, one secret for all."""

import base64
import os
import resource
import socket
import subprocess
import threading
from pathlib import Path

from tests.bench.rounds import UnexpectedResult
from tests.bench.worker import REPOSITORY
from tests.host.accounts import User, add_user, run
from tests.host.credentials import enroll

OATH_USERS = Path("/etc/users.oath")
SHADOW = Path("/etc/shadow")
YESCRYPT = "$y$j9T$"  # crypt(5): yescrypt at its default cost, 5
PAM_FOLDER = Path("/run/bench-pam.d")
EXEC = "pam_exec.so quiet quiet_log stdout seteuid"
# Each prompts for one thing only. pam_exec is given the options that our module gives it.
PAM_LINES = {
    "password": "pam_unix.so",
    "pam_totp": "pam_totp.so",
    "google-authenticator": "pam_google_authenticator.so",
    "oath": f"pam_oath.so usersfile={OATH_USERS} digits=6",
    "exec": f"{EXEC} /bin/true",
    "interpreter": f"{EXEC} /usr/bin/python3 -BIS -c pass",
}


class BenchHost:
    """`enrolled` has the one secret in every product's own file, `newcomer` in none."""

    def __init__(self) -> None:
        install()
        allow_descriptors_as_systemd_does()
        listen_for_log_lines()
        self.other_oath_users = 0
        self.newcomer = add_user_as_debian_does()
        self.enrolled = add_user_as_debian_does()
        self.credential = enroll(self.enrolled)
        self.incorrect_code = self.credential.incorrect_code()
        self._google_file = self.enrolled.home / ".google_authenticator"
        self._google_content = self._make_google_file()
        PAM_FOLDER.mkdir()
        for service, line in PAM_LINES.items():
            (PAM_FOLDER / service).write_text(f"auth required {line}\n", encoding="ascii")

    def forget_codes(self) -> None:
        """Nothing was used or tried before, for every product: the same code is right again."""
        Path("/run/pam-totp", str(self.enrolled.uid)).unlink(missing_ok=True)
        self.enrolled.give(self._google_file, self._google_content)
        secret = base64.b32decode(self.credential.secret).hex()
        others = [
            f"HOTP/T30/6 other{number} - {secret}\n" for number in range(self.other_oath_users)
        ]
        half = len(others) // 2
        line = f"HOTP/T30/6 {self.enrolled.name} - {secret}\n"
        OATH_USERS.write_text("".join([*others[:half], line, *others[half:]]), encoding="ascii")
        OATH_USERS.chmod(0o600)

    def _make_google_file(self) -> str:
        """As its own tool makes it with the answers it recommends, but for the secret."""
        options = ["-t", "-d", "-f", "-r", "3", "-R", "30", "-w", "3", "-q"]
        made = self.enrolled.run_as("/usr/bin/google-authenticator", *options)
        if made.returncode != 0:
            raise UnexpectedResult(f"google-authenticator: {made.stderr}")
        _, rest = self._google_file.read_text(encoding="ascii").split("\n", 1)
        self._google_file.unlink()
        return f"{self.credential.secret}\n{rest}"


def install() -> None:
    command = ["make", "-s", "-C", str(REPOSITORY), "install"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        raise UnexpectedResult(f"make install failed\n{made.stdout}{made.stderr}")


def add_user_as_debian_does() -> User:
    """With the hash that a password gets on Debian, which is what a login takes most time for.

    The tests' own users have a cheap one.
    """
    user = add_user()
    run("chpasswd", given=f"{user.name}:{user.password}\n")
    accounts = dict(line.split(":")[:2] for line in SHADOW.read_text(encoding="utf-8").splitlines())
    if not accounts[user.name].startswith(YESCRYPT):
        raise UnexpectedResult(f"the hash that chpasswd makes does not start with {YESCRYPT}")
    return user


def allow_descriptors_as_systemd_does() -> None:
    """pam_exec closes as many as the hard limit allows for, 65536 at most, at each call."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 524288))
    except ValueError:
        pass  # a container that may not raise it: the table says what it is


def listen_for_log_lines() -> None:
    """A /dev/log that takes every line, as on a real host, and drops it."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    os.chmod("/dev/log", 0o666)

    def drop_lines() -> None:
        while True:
            log.recv(65536)

    threading.Thread(target=drop_lines, daemon=True).start()
