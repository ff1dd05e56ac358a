# SPDX-License-Identifier: MIT
"""The calling program never sees our child, whatever it does with SIGCHLD, and loses none of its
own: its action, its signals and its children are afterwards what they would be without us."""

import os
import resource
import subprocess
from dataclasses import dataclass

import pytest

from tests.pam.bench import RIGHT_CODE, SANITIZER_OPTIONS, Bench

SUCCESS, AUTH_ERR = 0, 7  # security/_pam_types.h
LEFT = 99  # tests/pam/caller.c
DISPOSITIONS = ["default", "ignored", "no-zombies", "reaped", "blocked", "held"]
LOGINS = 20
# The sanitizer would set a limit of its own.
KEEP_CORE_LIMIT = f"{SANITIZER_OPTIONS['ASAN_OPTIONS']}:disable_coredump=0"
# The caller's own child ends while our program runs.
END_OWN_CHILD = """\
own=$(/bin/cat {folder}/own-child)
kill -KILL $own
while [ -e /proc/$own ] && ! /bin/grep -q ') Z ' /proc/$own/stat; do :; done
exit 1
"""


@dataclass
class Caller:
    """What the program found when its logins were over."""

    answers: list[list[int]]
    action: str
    pending: bool
    strangers: int
    own_reaped: int
    own_child: str
    core_limit: tuple[int, int]
    later: int  # how a child ended that it made then


def call(
    bench: Bench,
    disposition: str,
    *codes: str,
    threads: int = 1,
    core_limit: tuple[int, int] = (0, 0),
    sanitizer: str = KEEP_CORE_LIMIT,
) -> Caller:
    """A program with this disposition of SIGCHLD, each thread of which logs in with every code."""
    services = bench.folder / "services"
    services.mkdir(exist_ok=True)
    (services / "daemon").write_text(f"auth required {bench.folder}/pam_totp.so tries=1\n")
    done = subprocess.run(
        [bench.folder / "caller", services, "daemon", disposition, str(threads), *codes],
        cwd=bench.folder,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, core_limit),
        env=os.environ | SANITIZER_OPTIONS | {"ASAN_OPTIONS": sanitizer},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = [line.split(" ", 1) for line in done.stdout.splitlines()]
    answers = [[int(word) for word in text.split()] for name, text in said if name == "answers"]
    found = dict(said)
    core = found["core"].split()
    return Caller(
        answers,
        found["action"],
        found["pending"] == "1",
        int(found["strangers"]),
        int(found["reaped"]),
        found["child"],
        (int(core[0]), int(core[1])),
        int(found["later"]),
    )


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_correct_codes_are_accepted_and_wrong_ones_refused(bench: Bench, disposition: str) -> None:
    caller = call(bench, disposition, *(["000000", RIGHT_CODE] * LOGINS))
    assert caller.answers == [[AUTH_ERR, SUCCESS] * LOGINS]
    assert (caller.action, caller.pending, caller.strangers) == ("same", False, 0)
    assert caller.own_child == "S"


@pytest.mark.parametrize("disposition", DISPOSITIONS)
def test_threads_that_log_in_at_once_do_not_disturb_each_other(
    bench: Bench, disposition: str
) -> None:
    caller = call(bench, disposition, *(["000000", RIGHT_CODE] * 5), threads=4)
    assert caller.answers == [[AUTH_ERR, SUCCESS] * 5] * 4
    assert (caller.action, caller.pending, caller.strangers) == ("same", False, 0)


@pytest.mark.parametrize(
    ("disposition", "pending", "reaped", "own_child"),
    [
        ("default", False, 0, "Z"),
        ("ignored", False, 0, "gone"),
        ("no-zombies", False, 0, "gone"),
        ("reaped", False, 1, "gone"),
        ("blocked", True, 0, "Z"),
        ("held", True, 0, "Z"),
    ],
)
def test_child_of_the_callers_own_that_ends_meanwhile_is_not_lost(
    bench: Bench, disposition: str, pending: bool, reaped: int, own_child: str
) -> None:
    bench.gate_does(END_OWN_CHILD.format(folder=bench.folder))
    caller = call(bench, disposition, RIGHT_CODE)
    assert caller.answers == [[SUCCESS]]
    assert (caller.action, caller.strangers) == ("same", 0)
    assert (caller.pending, caller.own_reaped, caller.own_child) == (pending, reaped, own_child)


def test_handler_of_the_callers_that_never_returns_keeps_no_later_login_waiting(
    bench: Bench,
) -> None:
    bench.gate_does(END_OWN_CHILD.format(folder=bench.folder))
    may_leak = f"{KEEP_CORE_LIMIT}:detect_leaks=0"  # what it jumps out of is never freed
    caller = call(bench, "left", RIGHT_CODE, RIGHT_CODE, sanitizer=may_leak)
    assert caller.answers == [[LEFT, SUCCESS]]


def test_signal_that_waits_for_the_caller_when_the_login_begins_waits_when_it_ends(
    bench: Bench,
) -> None:
    caller = call(bench, "early-blocked", "000000", RIGHT_CODE)
    assert caller.answers == [[AUTH_ERR, SUCCESS]]
    assert (caller.action, caller.pending, caller.own_child) == ("same", True, "Z")


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("limit", [(-1, -1), (65536, -1), (4096, 8192), (0, -1)])
def test_program_of_ours_that_crashes_leaves_no_core_file_and_the_limit_stays(
    bench: Bench, limit: tuple[int, int], threads: int
) -> None:
    bench.gate_does("kill -SEGV $$")
    bench.program("verify", "#!/bin/sh\nkill -ABRT $$\n")
    caller = call(bench, "default", "000000", threads=threads, core_limit=limit)
    assert (caller.answers, caller.core_limit) == ([[AUTH_ERR]] * threads, limit)
    assert list(bench.folder.glob("core*")) == []


def test_kernel_hands_no_core_of_our_programs_on_to_a_program(bench: Bench) -> None:
    """With `|` in front of kernel.core_pattern a limit of 0 does not hold, and 1 does."""
    seen = bench.folder / "seen"
    bench.gate_does(f"/bin/grep '^Max core' /proc/self/limits >{seen}; exit 1")
    caller = call(bench, "default", RIGHT_CODE, core_limit=(-1, -1))
    assert (caller.answers, caller.core_limit) == ([[SUCCESS]], (-1, -1))
    assert seen.read_text(encoding="ascii").split()[-3:] == ["1", "1", "bytes"]


@pytest.mark.parametrize("threads", [1, 4])
def test_program_of_ours_that_loops_before_it_has_set_its_own_limits_is_ended(
    bench: Bench, threads: int
) -> None:
    """As a caller who is not root: then the launcher changes no limit."""
    seen = bench.folder / "seen"
    bench.gate_does(f"ulimit -S -t >>{seen}; ulimit -H -t >>{seen}; exit 1")
    caller = call(bench, "default", RIGHT_CODE, threads=threads)
    assert caller.answers == [[SUCCESS]] * threads
    assert seen.read_text(encoding="ascii").split() == ["20", "20"] * threads
    assert os.waitstatus_to_exitcode(caller.later) == 42, "a child of its own has no limit"
