# SPDX-License-Identifier: MIT
"""The installed programs: where they are and write, what they answer, how PAM runs them.

What a test wants to know of a run differs, so the drivers differ: tests/login, tests/commands,
tests/attacks, tests/enrollment and tests/faults have one each, on top of this one.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GATE = "/usr/libexec/pam-totp/gate"
VERIFY = "/usr/libexec/pam-totp/verify"
COMMAND = "/usr/bin/pam-totp"
MFA = "/usr/share/doc/pam-totp/examples/mfa"
NO_CODE_NEEDED, ASK = 0, 1
ACCEPTED, REFUSED = 0, 1
# What they become, with the variables that they would take away: for a clock of its own.
LOGIN_PROGRAM = Path(__file__).resolve().parents[2] / "scripts" / "login.py"
INTERPRETED = {
    program: ["/usr/bin/python3", "-BIS", "-c", LOGIN_PROGRAM.read_text(), Path(program).name]
    for program in (GATE, VERIFY)
}
RECORDS = Path("/run/pam-totp")
STATE = Path("/var/lib/pam-totp")
CONFIGURATION = Path("/etc/pam-totp/config.yaml")
LOGIN = {"PAM_SERVICE": "sshd", "PAM_RHOST": "192.0.2.7", "PAM_TTY": "ssh", "PAM_TYPE": "auth"}


def run_as_pam_exec(
    program: str,
    user: str | bytes,
    typed: str | bytes = b"",
    *,
    through: Sequence[str] = (),
    arguments: Sequence[str] = (),
    variables: dict[str, str] | None = None,
    **options: Any,
) -> "subprocess.CompletedProcess[bytes]":
    """Gate or verifier with a few variables and standard input, started `through` a command.

    `variables` come on top of those of a login over ssh; `options` are subprocess.run's.
    """
    name = user if isinstance(user, bytes) else user.encode("utf-8", "surrogateescape")
    given = {key.encode(): value.encode() for key, value in (LOGIN | (variables or {})).items()}
    defaults: dict[str, Any] = {"timeout": 60, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if "stdin" not in options:
        defaults["input"] = typed.encode() if isinstance(typed, str) else typed
    environment = {**given, b"PAM_USER": name}
    has_clock = b"FAKETIME" in given or "faketime" in through
    command = INTERPRETED[program] if has_clock else [program]
    return subprocess.run([*through, *command, *arguments], env=environment, **(defaults | options))
