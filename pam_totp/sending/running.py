# SPDX-License-Identifier: MIT
"""Running the program that sends a code, to its end or that of its time.

- What it has started and left in its process group MUST be ended with its time, too.
- What has a session of its own MUST go on: a mail server delivers like that when `sendmail` has
  ended.
"""

import errno
import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO

from pam_totp.sending.message import Message
from pam_totp.sending.programs import Program, may_not_run
from pam_totp.sending.said import Said, shown

MAX_SECONDS = 20.0
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
# What the kernel means by its words, of a program that is there.
WHY_NOT_RUN = {
    errno.ENOENT: "the interpreter in its first line does not exist",
    errno.ENOEXEC: "its first line names no interpreter, as #!/bin/sh does",
}


class NotRun(Exception):
    """message: why the program does not run."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Running:
    """A program that has its message."""

    def __init__(self, program: Program) -> None:
        """Raises NotRun."""
        path, account = program.command[0], program.account
        self._name = os.path.basename(path)
        self._until = time.monotonic() + MAX_SECONDS
        try:
            process = subprocess.Popen(
                program.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                env=ENVIRONMENT
                | {"USER": account.pw_name, "LOGNAME": account.pw_name, "HOME": "/"},
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=os.getgrouplist(account.pw_name, account.pw_gid),
                umask=0o077,
                start_new_session=True,
            )
        except PermissionError:
            raise NotRun(may_not_run(account.pw_name, path)) from None
        except (OSError, subprocess.SubprocessError) as failure:
            said = getattr(failure, "strerror", "") or str(failure)
            why = WHY_NOT_RUN.get(getattr(failure, "errno", 0), said)
            raise NotRun(f"{account.pw_name} cannot run {path}: {why}") from None
        assert process.stdin and process.stdout and process.stderr
        with suppress(BrokenPipeError):  # its exit code says more
            process.stdin.write(program.given)  # less than a pipe holds
            process.stdin.close()
        self._process = process
        self._said = {process.stderr: Said(), process.stdout: Said()}
        for each in self._said:
            os.set_blocking(each.fileno(), False)

    def fault(self, message: Message) -> str:
        """Waits for its end; what went wrong, or empty."""
        is_over = False
        while not is_over and time.monotonic() < self._until:
            is_over = self._process.poll() is not None  # before the last look at what it said
            self._listen()
            time.sleep(0 if is_over else 0.01)
        code = self._process.returncode
        if code == 0:
            return ""
        how = f"did not end within {MAX_SECONDS:.0f} seconds"
        if is_over:
            how = f"failed: {f'exit code {code}' if code > 0 else 'ended by a signal'}"
        else:
            self._kill()
        why = next(filter(None, (shown(said.lines(), message) for said in self._said.values())), "")
        return f"{self._name} {how}{f' ({why})' if why else ''}"

    def end_the_rest(self) -> None:
        """Ends what it has left running, if its time comes first. (The number of a group is not
        used again while a process is in it.)"""
        with suppress(ProcessLookupError):
            while time.monotonic() < self._until:
                os.killpg(self._process.pid, 0)
                self._listen()
                time.sleep(0.05)
            self._kill()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _listen(self) -> None:
        for each, said in self._said.items():
            said.add(_read(each))


def _read(output: IO[bytes]) -> bytes:
    try:
        return os.read(output.fileno(), 65536)
    except BlockingIOError:
        return b""
