# SPDX-License-Identifier: MIT
"""What the lines of the log say about an attempt to log in. Pure."""

import dataclasses
import re
import shlex

from pam_totp.rules.reasons import BAD_INPUT

UNTOLD = "?"  # the reason, where the source of the lines does not tell it
BY_CODE = ("totp", "recovery-code", UNTOLD)
SSHD = ("sshd", "sshd-session", "sshd-auth")
PASSWORD_TYPED = "the password was typed at the code prompt"
NO_CODE = "not a code, perhaps the password"
NOT_DIGITS = "ASCII digits"  # rules/typed_code.py
NOT_ASKED = "before the code: incorrect password, or not allowed to log in"
_PASSWORD = re.compile(r"pam_totp\(([\w.-]+):auth\): the answer is the password")  # pam_totp.c
_FAILED = re.compile(r"error: PAM: Authentication failure for (?:illegal user )?(\S+) from ")
_ACCEPTED = re.compile(r"Accepted (?:keyboard-interactive/pam|password) for (\S+) from ")
_OF_SSHD = re.compile(
    r"(?:Accepted|Failed|Partial) \S+ for |error: PAM: |fatal: Internal error: PAM |ROOT LOGIN "
)


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of the log: the program that wrote it, and what it wrote."""

    program: str
    message: str


@dataclasses.dataclass(frozen=True)
class Attempt:
    """words: what is shown. user: who has logged in with a code by this; empty: nobody."""

    words: str
    user: str = ""


class Reader:
    """Reads the lines in their order. services: that are of interest; an empty name is one that the
    source of the lines does not tell."""

    def __init__(self, services: tuple[str, ...]) -> None:
        self._services = services
        self._proved: set[str] = set()  # by a code, and sshd has not said yes yet
        self._is_password = False  # what was typed last at the code prompt, by the module
        self._told: set[str] = set()  # of whom a line of ours came since sshd's last one

    def read(self, line: Line) -> Attempt | None:
        """What a line says; None where it is of no interest."""
        password = _PASSWORD.match(line.message)
        if password:
            self._is_password = password[1] in self._services
            return None
        if line.program == "pam-totp":
            return self._read_ours(line.message)
        if line.program in SSHD and "sshd" in self._services:
            return self._read_sshds(line.message)
        return None

    def _read_ours(self, message: str) -> Attempt | None:
        fields = _fields(message)
        verdict, service = fields.get("verdict"), fields.get("service", "")
        if verdict not in ("accept", "skip", "refuse") or service not in ("", *self._services):
            return None
        user, reason = fields.get("user", ""), fields.get("reason", "")
        said = {"accept": "accepted", "skip": "no code needed", "refuse": "refused"}[verdict]
        origin = f" from {fields['rhost']}" if fields.get("rhost") else ""
        where = f"{service}: " if service else ""
        more = "".join(f", {fields[key]}" for key in ("device", "detail") if fields.get(key))
        typed = ""
        if reason == BAD_INPUT and self._is_password:
            typed, more = f": {PASSWORD_TYPED}", ""  # the module hands on nothing in its place
        elif reason == BAD_INPUT and NOT_DIGITS in fields.get("detail", ""):
            typed = f": {NO_CODE}"
        self._is_password = False
        words = f"{where}{user}{origin}: {said}{typed} ({reason}{more})"
        self._told.add(user)
        if verdict != "accept" or reason not in BY_CODE:
            return Attempt(words)
        if service == "sshd":
            self._proved.add(user)
            return Attempt(words)
        return Attempt(words, user)

    def _read_sshds(self, message: str) -> Attempt | None:
        if not _OF_SSHD.match(message):
            return None
        failed = _FAILED.match(message)
        if failed:
            # Without a word of ours before it, the login was over before the code.
            more = "" if failed[1] in self._told else f" ({NOT_ASKED})"
            self._told.discard(failed[1])
            return Attempt(f"sshd: {message}{more}")
        accepted = _ACCEPTED.match(message)
        user = accepted[1] if accepted and accepted[1] in self._proved else ""
        self._proved.discard(user)
        self._told -= {accepted[1]} if accepted else set()
        return Attempt(f"sshd: {message}", user)


def line_of(text: str) -> Line | None:
    """A line of a log file, as syslogd of RFC 3164 and rsyslog write it; None for others."""
    found = re.match(
        r"(?:<\d+>)?(?:\w{3} [ \d]\d [\d:]{8}|\d{4}-\S+) \S+ ([\w./-]+)(?:\[\d+\])?: (.*)", text
    )
    return Line(found[1], found[2]) if found else None


def _fields(message: str) -> dict[str, str]:
    try:
        words = shlex.split(message)
    except ValueError:
        return {}
    return dict(word.split("=", 1) for word in words if "=" in word)
