# SPDX-License-Identifier: MIT
"""What was sent: the outbox of a real gammu-smsd, and the mailbox that a real mail server fills."""

import configparser
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.commands.commands import configured
from tests.host.accounts import User
from tests.host.programs import RECORDS, STATE
from tests.host.system_log import SystemLog
from tests.trial.change_host import wait_until

OUTBOX = Path("/var/spool/gammu/outbox")
NUMBER = "+491701234567"
SHOWN_NUMBER = "+49 … 67"
CODE = re.compile(r"\b\d{8}\b")
SENDS = "rules:\n  - {code: required, methods: [totp, sms, mail]}\n"
SECONDS = 10.0


def give_contact(user: User, *contacts: tuple[str, str], confirmed: int = 1) -> Path:
    """Root's record of where codes are sent to, by hand: ("sms", "+49…")."""
    folder = STATE / "contacts"
    folder.mkdir(mode=0o700, exist_ok=True)
    lines = [f"pam-totp contacts 1 {user.name}"]
    lines += [f"{kind} {address} {confirmed}" for kind, address in contacts]
    path = folder / str(user.uid)
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o600)
    return path


class TextMessage:
    """One that gammu-smsd would send next."""

    def __init__(self, path: Path) -> None:
        parser = configparser.ConfigParser(
            interpolation=None, comment_prefixes=(";",), strict=False
        )
        parser.read_string(path.read_text("ascii", "replace"))
        parts = [parser[name] for name in parser.sections()]
        (self.number,) = {part["Number"].strip('"') for part in parts}
        texts = [part[key] for part in parts for key in part if re.fullmatch(r"text\d\d", key)]
        self.text = bytes.fromhex("".join(texts)).decode("utf-16-be")

    @property
    def code(self) -> str:
        (code,) = CODE.findall(self.text)
        return str(code)


def sending() -> list[int]:
    """The processes that see to a message of a login, for which the login does not wait."""
    command = ["pgrep", "-f", "/usr/libexec/pam-totp/send-code"]
    return [int(each) for each in subprocess.run(command, stdout=subprocess.PIPE).stdout.split()]


def text_messages() -> list[TextMessage]:
    """Those in the outbox once nothing is sent any more, the oldest first."""
    wait_until(lambda: not sending())
    paths = sorted(OUTBOX.glob("OUT*"), key=lambda path: path.stat().st_mtime_ns)
    return [TextMessage(path) for path in paths]


@contextmanager
def new_text_messages() -> Iterator[Callable[[], list[TextMessage]]]:
    """Of the block; the outbox is empty before and after it."""

    def clear() -> None:
        for path in OUTBOX.iterdir():
            path.unlink()

    clear()
    try:
        yield text_messages
    finally:
        clear()


def wait_for(look: Callable[[], list[TextMessage]], count: int = 1) -> TextMessage:
    """The last of so many messages, once they are there."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if len(found := look()) >= count:
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(f"only {len(look())} of {count} text messages were sent")


def forget_limits() -> None:
    """How many codes were sent before this test."""
    shutil.rmtree(RECORDS / "sendings", ignore_errors=True)


@contextmanager
def gateway(script: str, rules: str = SENDS) -> Iterator[Path]:
    """A program of root's, in a shell's words, that sends text messages while the block runs."""
    path = Path("/usr/local/sbin/gateway")
    try:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        with configured(f"send: {{sms: {path}}}\n{rules}", settled=True):
            yield path
    finally:
        path.unlink(missing_ok=True)
        for process in sending():  # the next test must not find in the log how they ended
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def logged(syslog: SystemLog, user: User) -> list[dict[str, str]]:
    """The decisions about this user. What programs of earlier tests log late is about others."""
    return [each for each in syslog.decisions() if each["user"] == user.name]
