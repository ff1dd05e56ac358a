# SPDX-License-Identifier: MIT
"""Looks at many things in several processes: every answer, in order, whatever becomes of a look."""

import mmap
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from pam_totp.review import in_time
from pam_totp.review.in_time import NO_ANSWER, LookFailed, each_in_time
from pam_totp.review.looking import CHUNK

MANY = 2_000  # enough for a second process
A_MINUTE = 60


def answers(items: range, look: Callable[[int], Any]) -> list[Any]:
    found = list(each_in_time(items, look))
    assert [item for item, _ in found] == list(items)
    return [answer for _, answer in found]


@pytest.mark.parametrize("number", [0, 1, 3, CHUNK, CHUNK + 1, MANY, MANY + 1])
def test_each_has_its_own_answer_in_order(number: int) -> None:
    assert answers(range(number), str) == [str(at) for at in range(number)]


def test_processes_are_as_many_as_processors_where_each_has_enough_to_do() -> None:
    processors = len(os.sched_getaffinity(0))
    assert [in_time.processes_for(items) for items in (0, 3, 999)] == [1, 1, 1]
    assert in_time.processes_for(1_000) == min(2, processors)
    assert in_time.processes_for(1_000_000) == min(8, processors)


def test_looks_are_shared_by_the_processes() -> None:
    seen_by = set(answers(range(MANY), lambda _: os.getpid()))
    assert len(seen_by) == in_time.processes_for(MANY)
    assert os.getpid() not in seen_by


def test_silent_ones_alone_have_no_answer() -> None:
    """Each is looked at once: a second look would hold up the list as long again."""
    silent, looked = {10, 11, CHUNK + 5, MANY - 1}, mmap.mmap(-1, MANY)

    def look(at: int) -> int:
        looked[at] += 1
        if at in silent:
            time.sleep(A_MINUTE)
        return at

    expected = [NO_ANSWER if at in silent else at for at in range(MANY)]
    assert answers(range(MANY), look) == expected
    assert [looked[at] for at in sorted(silent)] == [1] * len(silent)


def test_slow_ones_are_waited_for_although_all_take_longer_than_one_may() -> None:
    def look(at: int) -> int:
        time.sleep(0.2)
        return at

    assert answers(range(30), look) == list(range(30))


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("at_last", [0, 700, MANY - 1])
def test_process_that_dies_is_an_error_and_no_end_of_the_list(end: int, at_last: int) -> None:
    def look(at: int) -> None:
        if at == at_last:
            os.kill(os.getpid(), end)

    with pytest.raises(LookFailed, match="was ended before it had seen all users"):
        answers(range(MANY), look)


def test_error_of_a_look_is_raised_in_its_place() -> None:
    looks = each_in_time(range(MANY), lambda at: 1 // (700 - at) * 0)
    assert [at for at, _ in (next(looks) for _ in range(700))] == list(range(700))
    with pytest.raises(LookFailed, match="ZeroDivisionError"):
        next(looks)


def test_processes_are_gone_when_nobody_wants_the_rest() -> None:
    looks = each_in_time(range(MANY), lambda _: os.getpid())
    process = next(looks)[1]
    looks.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_answers_that_nobody_has_asked_for_are_not_piled_up() -> None:
    looked = mmap.mmap(-1, MANY)

    def look(at: int) -> bytes:
        looked[at] = 1
        return bytes(1000)

    looks = each_in_time(range(MANY), look)
    next(looks)
    time.sleep(1)
    ahead = sum(looked[:])
    looks.close()  # type: ignore[attr-defined]
    assert ahead < MANY / 2
