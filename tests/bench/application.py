# SPDX-License-Identifier: MIT
"""The worker that is a PAM application: times one authentication through libpam, in its process.

/usr/bin/python3 -m tests.bench.application LIMIT

It ends unless LIMIT is the hard limit of descriptors that it finds (tests/bench/descriptors.py).
"""

import marshal
import resource
import sys
import time

from tests.stack.libpam import authenticate


def processor_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure(
    folder: str, service: str, user: str, answers: list[str]
) -> tuple[float, float, int, list[str]]:
    """Wall ms and processor ms of it and its children, PAM's return code, the prompts."""
    processor, begin = processor_seconds(), time.perf_counter()
    outcome = authenticate(folder, service, user, answers)
    wall, processor = time.perf_counter() - begin, processor_seconds() - processor
    return wall * 1000, processor * 1000, outcome.authenticate, outcome.prompts


found = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
if found != int(sys.argv[1]):
    sys.exit(f"at most {found} descriptors, not {sys.argv[1]}")

while True:
    try:
        question = marshal.load(sys.stdin.buffer)
    except EOFError:
        break
    marshal.dump(measure(*question), sys.stdout.buffer)
    sys.stdout.flush()
