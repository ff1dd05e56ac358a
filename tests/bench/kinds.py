# SPDX-License-Identifier: MIT
"""Logins through libpam that are not asked for a code, or have to make what others find."""

import shutil
import time

from pam_totp.records.config.settings import UNSETTLED_SECONDS
from tests.bench import descriptors, rounds
from tests.bench.accounts import Account, add_user_as_debian_does
from tests.bench.host import BenchHost
from tests.bench.rounds import Candidate, Measured, Sample
from tests.bench.steps import CODE_PROMPT, Step
from tests.host.programs import CONFIGURATION, RECORDS

SECTION = "pam_totp by kind of login"
ASKED = "enrolled user"


def measure(host: BenchHost) -> list[Measured]:
    application = descriptors.application(descriptors.OTHERS)
    exempt = Account(add_user_as_debian_does(), host.enrolled.credential)
    rule = f"rules:\n- {{user: {exempt.user.name}, code: never}}\n"
    CONFIGURATION.write_text(rule, encoding="ascii")
    time.sleep(UNSETTLED_SECONDS + 0.1)
    asked = Step(application, "permitted-pam_totp", [CODE_PROMPT], host.enrolled).run

    def first_of_a_boot() -> Sample:
        for path in RECORDS.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        return asked()

    runs = {
        ASKED: asked,
        "first login of a boot": first_of_a_boot,
        "user exempt by a rule": Step(application, "permitted-pam_totp", [], exempt).run,
        "user who has not enrolled": Step(application, "permitted-pam_totp", [], host.newcomer).run,
    }
    candidates = [Candidate(SECTION, name, ASKED, run) for name, run in runs.items()]
    measured = rounds.run(candidates, at_least=60, at_most=150, stable=0.02)
    # A file that is gone would leave its snapshot in force.
    CONFIGURATION.write_text("# the defaults\n", encoding="ascii")
    return measured
