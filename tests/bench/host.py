# SPDX-License-Identifier: MIT
"""What the bench runs on: the installed product and its peers, and their users."""

import os
import socket
import subprocess
import threading
from pathlib import Path

from tests.bench.accounts import (
    OATH_USERS,
    Account,
    OathAccount,
    add_user_as_debian_does,
    google_file,
)
from tests.bench.rounds import UnexpectedResult
from tests.bench.worker import REPOSITORY
from tests.host.credentials import enroll

PAM_FOLDER = Path("/run/bench-pam.d")
EXEC = "pam_exec.so quiet quiet_log stdout seteuid"
INTERPRETER = f"{EXEC} /usr/bin/python3 -BIS -c pass"
# Each line prompts for one thing at most. pam_exec is given the options that our module gives it.
PAM_LINES = {
    "password": ["pam_unix.so"],
    "pam_totp": ["pam_totp.so"],
    # That no code is needed accepts nobody by itself.
    "permitted-pam_totp": ["pam_totp.so", "pam_permit.so"],
    "google-authenticator": ["pam_google_authenticator.so"],
    "oath": [f"pam_oath.so usersfile={OATH_USERS} digits=6"],
    "exec": [f"{EXEC} /bin/true"],
    "two-interpreters": [INTERPRETER, INTERPRETER],
    "login-pam_totp": ["pam_unix.so", "pam_totp.so"],
    "login-google-authenticator": ["pam_unix.so", "pam_google_authenticator.so"],
}


class BenchHost:
    """`enrolled` has one secret in every product's own file, `newcomer` in none."""

    def __init__(self) -> None:
        install()
        listen_for_log_lines()
        user = add_user_as_debian_does()
        credential = enroll(user)
        google = google_file(user, credential.secret)
        self.enrolled = OathAccount(user, credential, google)
        self.newcomer = Account(add_user_as_debian_does(), credential)
        PAM_FOLDER.mkdir()
        for service, lines in PAM_LINES.items():
            text = "".join(f"auth required {line}\n" for line in lines)
            (PAM_FOLDER / service).write_text(text, encoding="ascii")

    def another_account(self) -> Account:
        """Enrolled like `enrolled`, with the same secret."""
        user = add_user_as_debian_does()
        credential = enroll(user, self.enrolled.credential.secret)
        return Account(user, credential, self.enrolled.google)


def install() -> None:
    command = ["make", "-s", "-C", str(REPOSITORY), "install"]
    made = subprocess.run(command, capture_output=True, text=True)
    if made.returncode != 0:
        raise UnexpectedResult(f"make install failed\n{made.stdout}{made.stderr}")


def listen_for_log_lines() -> None:
    """A /dev/log that takes every line, as on a real host, and drops it."""
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind("/dev/log")
    os.chmod("/dev/log", 0o666)

    def drop_lines() -> None:
        while True:
            log.recv(65536)

    threading.Thread(target=drop_lines, daemon=True).start()
