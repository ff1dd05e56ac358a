# SPDX-License-Identifier: MIT
"""Whole logins, a real OpenSSH client to a real sshd over the host's loopback."""

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench import rounds
from tests.bench.host import PAM_LINES, BenchHost
from tests.bench.rounds import Candidate, Measured, Sample, UnexpectedResult
from tests.host.pam_services import PASSWORD_LINE, PamServices
from tests.host.ssh_client import client_options
from tests.host.ssh_server import HOST_KEY, SSHD, SshServer, accepts, free_port

SECTION = "login over ssh, end to end"
PASSWORD = "password"
OURS = "password, then pam_totp"
GOOGLE = "password, then pam_google_authenticator"
SECOND_FACTOR = {PASSWORD: "", OURS: "pam_totp", GOOGLE: "google-authenticator"}

ASKPASS = Path("/root/askpass")
# ssh runs it for each prompt, with the prompt as its argument.
ASKPASS_TEXT = """\
#!/bin/sh
case $1 in
    *'Password: ') printf '%s\\n' "$PASSWORD" ;;
    *'Verification code: ') printf '%s\\n' "$CODE" ;;
    *) exit 1 ;;
esac
"""


@dataclass
class Login:
    """One sshd with its own PAM service."""

    host: BenchHost
    name: str
    server: SshServer

    def run(self) -> Sample:
        account = self.host.enrolled
        account.forget_codes()
        user = account.user
        answers = {"PASSWORD": user.password, "CODE": account.credential.code()}
        askpass = {"SSH_ASKPASS": str(ASKPASS), "SSH_ASKPASS_REQUIRE": "force"}
        begin = time.perf_counter()
        login = subprocess.run(
            ["/usr/bin/ssh", *client_options(self.server), "-l", user.name, "server", "id -un"],
            env=os.environ | askpass | answers,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        wall = time.perf_counter() - begin
        if login.stdout != f"{user.name}\n":
            raise UnexpectedResult(f"ssh, {self.name}: {login.stderr}\n{self.server.log()}")
        return Sample(wall * 1000)


def measure(host: BenchHost) -> list[Measured]:
    ASKPASS.write_text(ASKPASS_TEXT, encoding="ascii")
    ASKPASS.chmod(0o700)
    key_options = ["-q", "-t", "ed25519", "-N", "", "-f", str(HOST_KEY)]
    subprocess.run(["ssh-keygen", *key_options], check=True)
    candidates = [
        Candidate(SECTION, name, PASSWORD, Login(host, name, start_sshd(second_factor)).run)
        for name, second_factor in SECOND_FACTOR.items()
    ]
    # The aim is 5 % apart from the base: half of that would not do.
    return rounds.run(candidates, at_least=40, at_most=100, stable=0.01)


def start_sshd(second_factor: str) -> SshServer:
    """sshd on a port of its own, with /etc/pam.d/sshd and one line more under another name."""
    service = f"sshd-{second_factor or 'password'}"
    text = Path("/etc/pam.d/sshd").read_text(encoding="utf-8")
    if second_factor:
        line = f"{PASSWORD_LINE}\nauth required {PAM_LINES[second_factor][0]}"
        text = text.replace(PASSWORD_LINE, line)
    PamServices().write(service, text)
    if accepts(f"PAMServiceName {service}"):  # OpenSSH 9.8 on
        return SshServer(f"PAMServiceName {service}", free_port(), SSHD)
    program = Path(SSHD).with_name(service)  # before, the service was the program's own name
    program.symlink_to(SSHD)
    return SshServer("", free_port(), str(program))
