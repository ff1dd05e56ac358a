# SPDX-License-Identifier: MIT
"""`make bench`: what a login with a code costs, beside what it is compared with.

Prints one table; the exit code is 0 whenever it could be printed, missed aims included. A candidate
that does not accept, or refuse, as it should is an error.

Sections by name, one or more, instead of all: tests/host/enter /usr/bin/python3 tests/bench logins
"""

import os
import sys
from pathlib import Path


def main() -> int:
    if "PAM_TOTP_THROWAWAY_HOST" not in os.environ:
        print("bench: error: not in a throw-away host\nhint: sudo make bench", file=sys.stderr)
        return 2
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # instead of this folder
    from tests.bench import (
        aims,
        credentials,
        crowd,
        doctor,
        fleet,
        growth,
        importing,
        in_fleet,
        kinds,
        listing,
        logins,
        many,
        policies,
        programs,
        sending,
        slow_home,
        steps,
        table,
    )
    from tests.bench.host import BenchHost
    from tests.bench.rounds import UnexpectedResult

    # listing leaves its accounts, and every later login would read a long /etc/passwd.
    sections = {
        "programs": programs,
        "steps": steps,
        "logins": logins,
        "kinds": kinds,
        "credentials": credentials,
        "policies": policies,
        "crowd": crowd,
        "slow_home": slow_home,
        "sending": sending,
        "growth": growth,
        "many": many,
        "doctor": doctor,
        "import": importing,
        "fleet": fleet,
        "in_fleet": in_fleet,
        "listing": listing,
    }
    names = sys.argv[1:] or list(sections)
    if not sections.keys() >= set(names):
        print(f"bench: error: unknown section\nhint: {' '.join(sections)}", file=sys.stderr)
        return 2
    try:
        host, conditions = BenchHost(), table.conditions()
        memory = programs.peak_memory(host) if "programs" in names else {}
        measured = []
        for name in names:
            print(f"bench: measuring {name}", file=sys.stderr, flush=True)
            measured += sections[name].measure(host)
    except (UnexpectedResult, AssertionError) as unexpected:
        print(f"bench: error: {unexpected}\nhint: make test", file=sys.stderr)
        return 1
    print(conditions)
    print(table.render(measured, memory))
    print(aims.render(measured, memory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
