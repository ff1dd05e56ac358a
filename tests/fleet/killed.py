# SPDX-License-Identifier: MIT
"""`pam-totp`, killed at a step: python3 -BIS killed.py NUMBER FILE ARGUMENT...

A step is what changes something: a file renamed or removed, a program started, a statement to the
store (before it, and once more after it, when its answer is as good as lost). At the step with this
number the process kills itself; which step it was, it writes to FILE before.
"""

import os
import signal
import sys
from typing import Any

sys.path[:0] = ["/usr/lib/pam-totp"]
sys.path += ["/usr/lib/python3/dist-packages"]

import psycopg

from pam_totp.main import main

REMOVED = ("unfinished", ".new")  # not the thousand files of a half-made cluster
number, told, *arguments = sys.argv[1:]
seen = 0


def step(what: str) -> None:
    global seen
    seen += 1
    if seen == int(number):
        with open(told, "w", encoding="utf-8") as file:
            file.write(what)
        os.kill(os.getpid(), signal.SIGKILL)


def audit(event: str, given: tuple[Any, ...]) -> None:
    if event == "os.remove" and str(given[0]).endswith(REMOVED):
        step(f"remove {given[0]}")
    if event == "os.rename":
        step(f"rename {given[1]}")
    if event == "subprocess.Popen" and "pg_lsclusters" not in str(given):
        step(f"run {given[1]}")


execute = psycopg.Connection.execute


def watched(self: Any, query: Any, *values: Any, **options: Any) -> Any:
    text = str(query)[:80]
    # A question changes nothing; a file of a migration is a part of one transaction.
    if text.startswith(("SELECT", "SHOW", "b")) and "totp_admin_1.re" not in text:
        return execute(self, query, *values, **options)
    step(f"before {text}")
    answer = execute(self, query, *values, **options)
    step(f"after {text}")
    return answer


psycopg.Connection.execute = watched  # type: ignore[method-assign]
sys.addaudithook(audit)
sys.exit(main(arguments))
