# SPDX-License-Identifier: MIT
"""Handing a code to the program that sends it, without holding up the login that waits for it.

A process of its own sees to the program: it outlives the login, has nothing of it open, and ends
the program when its time is over.
"""

import os
import select
import signal
from collections.abc import Callable

from pam_totp.records.config.settings import Settings
from pam_totp.sending.message import Message
from pam_totp.sending.programs import Program, program_for
from pam_totp.sending.running import NotRun, Running

MAX_WAIT = 0.3  # seconds, of the login
MAX_SEEING_TO_SECONDS = 30  # with whatever else may hang, such as a directory
TAKEN = "taken over"
Log = Callable[[str], None]


def hand_over(message: Message, settings: Settings, log: Log, wait: float = MAX_WAIT) -> str:
    """Why the message could not be handed over; empty if it was, or if the program still works on
    it after `wait` seconds: `log` is then told of a fault. Raises OSError or Failure."""
    program = program_for(message, settings)
    readable, writable = os.pipe()
    if os.fork() == 0:
        try:
            see_to(program, message, readable, writable, log)
        finally:
            os._exit(0)
    os.close(writable)
    with open(readable, "rb") as result:
        if not select.select([result], [], [], wait)[0]:
            return ""
        said = result.read().decode("utf-8", "replace")
    if said == TAKEN:
        return ""
    return said or "the process that sends it was ended"


def see_to(program: Program, message: Message, readable: int, writable: int, log: Log) -> None:
    """In a process of its own: the result goes to the login if it still waits, else to the log."""
    signal.alarm(MAX_SEEING_TO_SECONDS)
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # the login ends when its output does
        os.dup2(nothing, descriptor)
    os.close(readable)
    running = None
    try:
        running = Running(program)
        fault = running.fault(message)
    except NotRun as not_run:
        fault = not_run.message
    try:
        os.write(writable, (fault or TAKEN).encode())
    except BrokenPipeError:
        if fault:
            log(fault)
    os.close(writable)  # a command waits for its end
    if running:
        running.end_the_rest()
