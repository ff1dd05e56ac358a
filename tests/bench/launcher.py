# SPDX-License-Identifier: MIT
"""The worker that starts programs: as small a process as Python gives, so nothing but built-ins.

    /usr/bin/python3 -IS tests/bench/launcher.py

Linux counts what a process held before exec into the peak of the program it becomes. After
posix_spawn, the fastest way, that is all that this worker holds; after fork only what fork copies.
So time is taken of the one, peak memory of the other.
"""

import marshal
import posix
import sys
import time


def measure(
    argv: list[str], environment: dict[str, str], given: bytes, by_fork: bool
) -> tuple[float, float, int, int]:
    """Run a program with `given` on standard input.

    Returns wall ms, processor ms, peak KiB (of the program itself only with `by_fork`), and the
    exit code.
    """
    reader, writer = posix.pipe()
    posix.write(writer, given)
    posix.close(writer)
    begin = time.perf_counter()
    if by_fork:
        child = posix.fork()
        if child == 0:
            posix.dup2(reader, 0)
            posix.execve(argv[0], argv, environment)
    else:
        actions = [(posix.POSIX_SPAWN_DUP2, reader, 0)]
        child = posix.posix_spawn(argv[0], argv, environment, file_actions=actions)
    _, status, usage = posix.wait4(child, 0)
    wall = time.perf_counter() - begin
    posix.close(reader)
    code = posix.waitstatus_to_exitcode(status)
    return wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss, code


while True:
    try:
        question = marshal.load(sys.stdin.buffer)
    except EOFError:
        break
    marshal.dump(measure(*question), sys.stdout.buffer)
    sys.stdout.flush()
