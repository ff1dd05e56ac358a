# SPDX-License-Identifier: MIT
"""The line that says how far a command is, at terminals that take nothing, or are gone."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 60
PROGRAM = f"""
import sys, time
sys.path[:0] = [{str(REPOSITORY)!r}]
from pam_totp import progress
progress.FIRST_SECONDS = progress.NEXT_SECONDS = 0.001

def items():
    print("begun", flush=True)
    sys.stdin.readline()
    for number in range(100):
        time.sleep(0.01)
        yield number

print(sum(1 for _ in progress.told(items(), 100, "things")))
"""


@pytest.mark.parametrize("is_gone", [False, True], ids=["stalled", "gone"])
def test_listing_goes_on_at_a_terminal_that_takes_nothing(is_gone: bool) -> None:
    terminal, own = os.openpty()
    process = subprocess.Popen(
        ["/usr/bin/python3", "-BIS", "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=own,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    os.close(own)
    assert process.stdin is not None and process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    if is_gone:
        os.close(terminal)
    else:
        time.sleep(8)  # nobody reads it, and it takes no more
    process.stdin.write(b"\n")
    process.stdin.flush()
    try:
        if not is_gone:
            time.sleep(2)
            with contextlib.suppress(OSError):  # it has ended
                while os.read(terminal, 65536):
                    continue
            os.close(terminal)
        assert process.wait(timeout=SECONDS) == 0
        assert process.stdout.read() == b"100\n"
    finally:
        process.kill()
        process.wait()
