# SPDX-License-Identifier: MIT
"""Whole logins, a real OpenSSH client to a real sshd over the host's loopback."""

import os
import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import descriptors, rounds
from tests.bench.control_group import ControlGroup, make_control_group
from tests.bench.host import PAM_LINES, BenchHost
from tests.bench.rounds import Candidate, Measured, Sample, UnexpectedResult
from tests.host.pam_services import PASSWORD_LINE, PamServices
from tests.host.ssh_client import client_options
from tests.host.ssh_server import HOST_KEY, SSHD, SshServer, accepts, free_port

RUNS, ROUNDS = 3, 100
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


def section_of(number: int) -> str:
    return f"ssh, {descriptors.OTHERS:,} descriptors, run {number} of {RUNS}"


@dataclass
class Login:
    """One sshd with its own PAM service. The sample has the server's processor time."""

    host: BenchHost
    name: str
    server: SshServer
    group: ControlGroup | None

    def run(self) -> Sample:
        account = self.host.enrolled
        account.forget_codes()
        answers = {"PASSWORD": account.user.password, "CODE": account.credential.code()}
        askpass = {"SSH_ASKPASS": str(ASKPASS), "SSH_ASKPASS_REQUIRE": "force"}
        before = self.processor_ms()
        begin = time.perf_counter()
        login = subprocess.run(
            ["ssh", *client_options(self.server), "-l", account.user.name, "server", "id -un"],
            env=os.environ | askpass | answers,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        wall = time.perf_counter() - begin
        if login.stdout != f"{account.user.name}\n":
            raise UnexpectedResult(f"ssh, {self.name}: {login.stderr}\n{self.server.log()}")
        return Sample(wall * 1000, self.processor_ms() - before)

    def processor_ms(self) -> float:
        return self.group.processor_ms() if self.group else 0.0


def measure(host: BenchHost) -> list[Measured]:
    """Three runs: the difference of a few percent has to show in each."""
    ASKPASS.write_text(ASKPASS_TEXT, encoding="ascii")
    ASKPASS.chmod(0o700)
    key_options = ["-q", "-t", "ed25519", "-N", "", "-f", str(HOST_KEY)]
    subprocess.run(["ssh-keygen", *key_options], check=True)
    with ExitStack() as servers:
        started = [
            Login(host, name, *servers.enter_context(sshd(second_factor)))
            for name, second_factor in SECOND_FACTOR.items()
        ]
        measured = []
        for number in range(1, RUNS + 1):
            section = section_of(number)
            candidates = [Candidate(section, each.name, GOOGLE, each.run) for each in started]
            measured += rounds.run(candidates, at_least=ROUNDS, at_most=ROUNDS, stable=0.01)
    return measured


@contextmanager
def sshd(second_factor: str) -> Iterator[tuple[SshServer, ControlGroup | None]]:
    """In a control group of its own, where there can be one."""
    server = start_sshd(second_factor)
    limits = (descriptors.OTHERS, descriptors.OTHERS)
    resource.prlimit(server.process, resource.RLIMIT_NOFILE, limits)
    group = make_control_group()
    if group:
        group.add(server.process)
    try:
        yield server, group
    finally:
        server.stop()
        if group:
            group.remove()


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
