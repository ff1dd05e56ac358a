# SPDX-License-Identifier: MIT
"""A home on a server that takes its time, as over a slow network."""

import subprocess
import time
from pathlib import Path

from tests.bench import descriptors, rounds
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, UnexpectedResult
from tests.bench.steps import CODE_PROMPT, Step
from tests.host.fuse import fuse_device

MILLISECONDS = 20
SECTION = f"home with {MILLISECONDS} ms an operation"
OURS, GOOGLE, ON_DISK = "pam_totp", "pam_google_authenticator", "pam_totp, home on the disk"
# Each operation ends with one call, which writes the answer to the kernel.
ANSWERS = "writev,splice"
SECONDS_TO_MOUNT = 10


class SlowHome:
    """bindfs over a home, slowed down by strace; nothing is cached between two operations."""

    def __init__(self, home: Path) -> None:
        self._home = home
        fuse_device()
        inject = f"--inject={ANSWERS}:delay_enter={MILLISECONDS * 1000}"
        strace = ["strace", "-f", "-qq", "-o", "/dev/null", f"--trace={ANSWERS}", inject]
        options = "nonempty,entry_timeout=0,attr_timeout=0,negative_timeout=0"
        bindfs = ["bindfs", "-f", "-o", options, str(home), str(home)]
        self._process = subprocess.Popen([*strace, *bindfs])
        deadline = time.monotonic() + SECONDS_TO_MOUNT
        while not home.is_mount():
            if time.monotonic() > deadline:
                raise UnexpectedResult(f"bindfs does not mount {home}")
            time.sleep(0.02)

    def end(self) -> None:
        subprocess.run(["umount", "--lazy", str(self._home)], check=True)
        self._process.wait()


def measure(host: BenchHost) -> list[Measured]:
    worker = descriptors.application(descriptors.OTHERS)
    far = host.another_account()
    home = SlowHome(far.user.home)
    steps = {
        GOOGLE: Step(worker, "google-authenticator", [CODE_PROMPT], far),
        OURS: Step(worker, "pam_totp", [CODE_PROMPT], far),
        ON_DISK: Step(worker, "pam_totp", [CODE_PROMPT], host.enrolled),
    }
    candidates = [Candidate(SECTION, name, GOOGLE, each.run) for name, each in steps.items()]
    measured = rounds.run(candidates, at_least=10, at_most=10, stable=0.02)
    home.end()
    return measured
