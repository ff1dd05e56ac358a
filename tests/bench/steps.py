# SPDX-License-Identifier: MIT
"""Section 2: one `auth required` line through libpam, in the application's own process."""

from dataclasses import dataclass

from tests.bench.host import PAM_FOLDER, BenchHost
from tests.bench.rounds import Candidate, Sample, UnexpectedResult
from tests.bench.worker import Worker

SECTION = "one line of a PAM stack"
PASSWORD = "pam_unix: password, yescrypt"
OURS = "pam_totp: gate, question, verify"
OATH = "pam_oath"
INTERPRETER = "pam_exec python3 -BIS -c pass"  # once; a login needs two
PASSWORD_PROMPT, CODE_PROMPT = "Password: ", "Verification code: "


@dataclass
class Step:
    """One service of the folder, whose stack asks what `prompts` says and then accepts."""

    host: BenchHost
    worker: Worker
    service: str
    prompts: list[str]

    def run(self) -> Sample:
        user = self.host.enrolled
        self.host.forget_codes()
        code = self.host.credential.code()
        answers = [user.password if prompt == PASSWORD_PROMPT else code for prompt in self.prompts]
        wall, cpu, status, prompts = self.worker.ask(
            str(PAM_FOLDER), self.service, user.name, answers
        )
        if status != 0 or prompts != self.prompts:
            raise UnexpectedResult(f"{self.service} returned {status} after asking {prompts}")
        return Sample(wall, cpu)


def oath_prompt(host: BenchHost) -> str:
    return f"One-time password (OATH) for `{host.enrolled.name}': "


def steps(host: BenchHost) -> list[Candidate]:
    worker = Worker("/usr/bin/python3", "-m", "tests.bench.application")
    lines = {
        PASSWORD: ("password", [PASSWORD_PROMPT]),
        OURS: ("pam_totp", [CODE_PROMPT]),
        "pam_google_authenticator": ("google-authenticator", [CODE_PROMPT]),
        OATH: ("oath", [oath_prompt(host)]),
        "pam_exec /bin/true": ("exec", []),
        INTERPRETER: ("interpreter", []),
    }
    return [
        Candidate(SECTION, name, PASSWORD, Step(host, worker, service, prompts).run)
        for name, (service, prompts) in lines.items()
    ]
