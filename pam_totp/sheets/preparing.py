# SPDX-License-Identifier: MIT
"""Makes what many users get on all processors, which takes longer than saving it."""

import os
from collections.abc import Callable, Generator, Sequence

from pam_totp.review.looking import LookFailed, Process
from pam_totp.sheets.made import Made, Plan, make

MAX_SECONDS = 600.0  # nothing waits in there, but another load may have all processors


def prepared(
    jobs: Sequence[tuple[str, str]], plan: Plan, in_child: Callable[[], None]
) -> Generator[Made | str, None, None]:
    """Of each job (the user's name, and what is added to the label) what `make` returns, or a
    sentence why nothing can be made; in their order. in_child: called in each process first. The
    processes end with the iterator. Raises LookFailed."""
    count = max(1, min(len(os.sched_getaffinity(0)), len(jobs)))

    def look(job: tuple[str, str]) -> Made | str:
        in_child()
        try:
            return make(*job, plan)
        except ValueError as fault:
            return str(fault)

    processes = list[Process]()
    try:
        for first in range(count):
            processes.append(Process(jobs[first::count], look, MAX_SECONDS))
            processes[-1].start()
        for at in range(len(jobs)):
            answer = processes[at % count].next_answer()
            if not isinstance(answer, tuple | str):
                raise LookFailed("a process of this command does not answer")
            yield answer
    finally:
        for process in processes:
            process.end()
