# SPDX-License-Identifier: MIT
"""A whole login, password and code of the app, at which a code is sent too: by gammu-smsd-inject,
and by a gateway that works, fails or hangs."""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pam_totp.records.config.settings import UNSETTLED_SECONDS
from tests.bench import descriptors, rounds
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, Sample
from tests.bench.steps import CODE_PROMPT, PASSWORD_PROMPT, Step
from tests.host.programs import CONFIGURATION
from tests.sending.outbox import NUMBER, OUTBOX, forget_limits, give_contact, sending
from tests.trial.change_host import wait_until

SECTION = "a login at which a code is sent"
APP, GAMMU = "the app alone", "gammu-smsd-inject"
WORKS, GONE, FULL, HANGS = (
    f"gateway {state}" for state in ("works", "is gone", "is full", "hangs")
)
MAX_MORE_SECONDS = 0.5
GATEWAY = Path("/usr/local/sbin/gateway")
SCRIPTS = {WORKS: "exec cat >/dev/null", FULL: "exec cat >/dev/full", HANGS: "exec sleep 60"}


@dataclass
class Login:
    """state: of the gateway, by its name in the table."""

    step: Step
    state: str

    def run(self) -> Sample:
        forget_limits()
        GATEWAY.unlink(missing_ok=True)
        if self.state in SCRIPTS:
            GATEWAY.write_text(f"#!/bin/sh\n{SCRIPTS[self.state]}\n")
            GATEWAY.chmod(0o755)
        sample = self.step.run()
        self.end()
        return sample

    def end(self) -> None:
        """Nothing that a login has left behind runs beside the next one."""
        if self.state == HANGS:
            for process in sending():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        wait_until(lambda: not sending())
        for path in OUTBOX.iterdir():
            path.unlink()


def measure(host: BenchHost) -> list[Measured]:
    worker = descriptors.application(descriptors.OTHERS)
    by_sms, by_mail = host.another_account(), host.another_account()
    give_contact(by_sms.user, ("sms", NUMBER))
    give_contact(by_mail.user, ("mail", "bench@example.org"))
    rules = f"- {{user: {host.enrolled.user.name}, code: required}}\n"
    rules += "- {code: required, methods: [sms, mail, totp]}\n"
    settings = f"send: {{mail: {GATEWAY}}}\nrules:\n{rules}"
    CONFIGURATION.write_text(settings, encoding="ascii")
    time.sleep(UNSETTLED_SECONDS + 0.1)
    accounts = {APP: host.enrolled, GAMMU: by_sms}
    prompts = [PASSWORD_PROMPT, CODE_PROMPT]
    candidates = []
    for name in (APP, GAMMU, WORKS, GONE, FULL, HANGS):
        step = Step(worker, "login-pam_totp", prompts, accounts.get(name, by_mail))
        candidates.append(Candidate(SECTION, name, APP, Login(step, name).run))
    measured = rounds.run(candidates, at_least=20, at_most=20, stable=0.02)
    GATEWAY.unlink(missing_ok=True)
    # A file that is gone would leave its snapshot in force.
    CONFIGURATION.write_text("# the defaults\n", encoding="ascii")
    return measured
