# SPDX-License-Identifier: MIT
"""What the figures should be, beside what they are."""

from collections.abc import Sequence

from tests.bench import logins, policies, programs, steps
from tests.bench.rounds import Measured

MAX_TIME, MAX_MEMORY, MAX_LOGIN = 1.25, 1.2, 1.05
MAX_POLICY, MAX_GROWTH = 1.5, 1.05


def render(measured: Sequence[Measured], memory: dict[str, float]) -> str:
    """One line an aim, marked ok or MISSED."""
    wall = {(each.candidate.section, each.candidate.name): each.wall for each in measured}
    bare = wall[programs.SECTION, programs.BARE]
    rows = [
        (f"{name}: time to bare interpreter", wall[programs.SECTION, name] / bare, MAX_TIME)
        for name in programs.OURS
    ]
    rows += [
        (f"{name}: peak memory to bare", memory[name] / memory[programs.BARE], MAX_MEMORY)
        for name in programs.OURS
    ]
    step = wall[steps.SECTION, steps.OURS] / wall[steps.SECTION, steps.PASSWORD]
    login = wall[logins.SECTION, logins.OURS] / wall[logins.SECTION, logins.GOOGLE]
    rows += [
        ("pam_totp to pam_unix, through libpam", step, 1.0),
        ("ssh login to google-authenticator's", login, MAX_LOGIN),
    ]
    for number in policies.RULES:
        section = policies.section_of(number)
        ratio = wall[section, policies.ASK] / wall[section, programs.BARE]
        rows.append((f"gate with {number:,} rules to bare interpreter", ratio, MAX_POLICY))
    for name in policies.GROWING:
        few, many = (
            wall[policies.GROWTH, policies.name_of(name, number)]
            for number in (policies.FEW, policies.MANY)
        )
        what = f"{name.partition(':')[0]}: {policies.MANY:,} users to {policies.FEW}"
        rows.append((what, many / few, MAX_GROWTH))
    lines = ["", f"{'aims':<52}{'ratio':>7}{'at most':>10}"]
    for name, ratio, most in rows:
        mark = "ok" if ratio <= most else "MISSED"
        lines.append(f"  {name:<50}{ratio:>7.2f}{most:>10.2f}  {mark}")
    return "\n".join(lines)
