# SPDX-License-Identifier: MIT
"""Many logins at once, each through libpam in a process of its own."""

import time
from dataclasses import dataclass

from tests.bench import descriptors, rounds
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, Sample
from tests.bench.steps import CODE_PROMPT, PASSWORD_PROMPT, Step

SIZE = 50
SECTION = f"{SIZE} logins at once, all of them"
PASSWORD = "password"
OURS = "password, then pam_totp"
GOOGLE = "password, then pam_google_authenticator"
SERVICES = {
    PASSWORD: ("password", [PASSWORD_PROMPT]),
    OURS: ("login-pam_totp", [PASSWORD_PROMPT, CODE_PROMPT]),
    GOOGLE: ("login-google-authenticator", [PASSWORD_PROMPT, CODE_PROMPT]),
}


@dataclass
class Crowd:
    steps: list[Step]

    def run(self) -> Sample:
        """From the first question until the last login is over."""
        for step in self.steps:
            step.account.forget_codes()
        begin = time.perf_counter()
        for step in self.steps:
            step.begin()
        samples = [step.end() for step in self.steps]
        wall = time.perf_counter() - begin
        return Sample(wall * 1000, sum(sample.cpu for sample in samples))


def measure(host: BenchHost) -> list[Measured]:
    people = [
        (host.another_account(), descriptors.application(descriptors.OTHERS)) for _ in range(SIZE)
    ]
    candidates = []
    for name, (service, prompts) in SERVICES.items():
        everyone = [Step(worker, service, prompts, account) for account, worker in people]
        candidates.append(Candidate(SECTION, name, GOOGLE, Crowd(everyone).run))
    return rounds.run(candidates, at_least=10, at_most=10, stable=0.02)
