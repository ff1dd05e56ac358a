# SPDX-License-Identifier: MIT
"""verify for a user with as many credentials as there may be, beside one with one."""

from tests.bench import rounds
from tests.bench.accounts import Account, add_user_as_debian_does
from tests.bench.host import BenchHost
from tests.bench.programs import Program, start_launcher
from tests.bench.rounds import Candidate, Measured
from tests.host.credentials import Credential, new_secrets
from tests.host.programs import ACCEPTED, VERIFY

SECTION = "verify by number of credentials"
ONE, MANY = "1 credential", "32 credentials, the last is right"


def measure(host: BenchHost) -> list[Measured]:
    worker = start_launcher()
    accounts = {ONE: host.enrolled, MANY: account_with(32)}
    programs = [
        Program(worker, name, [VERIFY], account, ACCEPTED, has_mark=True)
        for name, account in accounts.items()
    ]
    candidates = [Candidate(SECTION, each.name, ONE, each.run) for each in programs]
    return rounds.run(candidates, at_least=100, at_most=300, stable=0.01)


def account_with(number: int) -> Account:
    user = add_user_as_debian_does()
    # Not all at once, which would look for ones that never show the same code.
    secrets = [new_secrets()[0] for _ in range(number)]
    lines = [
        f"otpauth://totp/server:{user.name}@server?secret={secret}&issuer=server phone{device}\n"
        for device, secret in enumerate(secrets)
    ]
    user.give(user.home / ".config" / "pam-totp" / "secret", "".join(lines))
    return Account(user, Credential(user, secrets[-1]))
