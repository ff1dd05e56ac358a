# SPDX-License-Identifier: MIT
"""`auth required` lines through libpam, in the application's own process."""

from dataclasses import dataclass

from tests.bench import descriptors, rounds
from tests.bench.accounts import Account
from tests.bench.host import PAM_FOLDER, BenchHost
from tests.bench.rounds import Candidate, Measured, Sample, UnexpectedResult
from tests.bench.worker import Worker

LIMITS = (descriptors.SYSTEMD, descriptors.OTHERS)
PASSWORD = "pam_unix: password, yescrypt"
OURS = "pam_totp: gate, question, verify"
OATH = "pam_oath"
INTERPRETERS = "two idle interpreters by pam_exec"
PASSWORD_PROMPT, CODE_PROMPT = "Password: ", "Verification code: "


def section_of(limit: int) -> str:
    return f"in a PAM stack, {limit:,} descriptors"


@dataclass
class Step:
    """One service of the folder, whose stack asks what `prompts` says and then accepts."""

    worker: Worker
    service: str
    prompts: list[str]
    account: Account

    def run(self) -> Sample:
        self.account.forget_codes()
        self.account.put_mark(True)
        self.begin()
        return self.end()

    def begin(self) -> None:
        user, code = self.account.user, self.account.credential.code()
        answers = [user.password if prompt == PASSWORD_PROMPT else code for prompt in self.prompts]
        self.worker.begin(str(PAM_FOLDER), self.service, user.name, answers)

    def end(self) -> Sample:
        wall, cpu, status, prompts = self.worker.answer()
        if status != 0 or prompts != self.prompts:
            raise UnexpectedResult(f"{self.service} returned {status} after asking {prompts}")
        return Sample(wall, cpu)


def oath_prompt(account: Account) -> str:
    return f"One-time password (OATH) for `{account.user.name}': "


def measure(host: BenchHost) -> list[Measured]:
    """Both limits in the same rounds."""
    lines = {
        PASSWORD: ("password", [PASSWORD_PROMPT]),
        OURS: ("pam_totp", [CODE_PROMPT]),
        "pam_google_authenticator": ("google-authenticator", [CODE_PROMPT]),
        OATH: ("oath", [oath_prompt(host.enrolled)]),
        "pam_exec /bin/true": ("exec", []),
        INTERPRETERS: ("two-interpreters", []),
    }
    candidates = [
        Candidate(
            section_of(limit), name, PASSWORD, Step(worker, service, prompts, host.enrolled).run
        )
        for limit in LIMITS
        for worker in [descriptors.application(limit)]
        for name, (service, prompts) in lines.items()
    ]
    return rounds.run(candidates, at_least=100, at_most=200, stable=0.02)
