# SPDX-License-Identifier: MIT
"""The installed programs as people and PAM run them, and the state that they keep."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pam_totp.records.config.settings import UNSETTLED_SECONDS
from tests.host.accounts import User
from tests.host.programs import (
    COMMAND,
    CONFIGURATION,
    GATE,
    RECORDS,
    STATE,
    VERIFY,
    run_as_pam_exec,
)

LAST_GOOD = STATE / "settings" / "last-good"
RECOVERY_CODE = re.compile(r"^  ((?:[a-z2-7]{4}-){3}[a-z2-7]{4})$", re.MULTILINE)
FAILURES = re.compile(r"^failures (\d+) (\d+) (\d+)$", re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """Exit code, standard output and standard error of a program that ended by itself."""

    code: int
    output: str
    errors: str


def run(command: Sequence[str], typed: str = "", **options: Any) -> Answer:
    """Run a program to its end; `options` are subprocess.run's."""
    defaults: dict[str, Any] = {"input": typed, "text": True, "timeout": 60}
    done = subprocess.run(command, capture_output=True, **(defaults | options))
    return Answer(done.returncode, done.stdout, done.stderr)


def pam_totp(
    *arguments: str,
    user: User | None = None,
    typed: str = "",
    through: Sequence[str] = (),
    program: str = COMMAND,
) -> Answer:
    """`pam-totp ARGUMENTS` by root or by a user, without a terminal, with `typed` piped in."""
    command = [*through, program, *arguments]
    return run(user.command(command) if user else command, typed, start_new_session=True)


def verify(
    user: User | str,
    typed: str,
    through: Sequence[str] = (),
    service: str = "sshd",
    variables: dict[str, str] | None = None,
) -> Answer:
    """The verifier on what was typed at a login to `service`."""
    given = {"PAM_SERVICE": service} | (variables or {})
    return answer_of(VERIFY, user, typed, through, given)


def gate(
    user: User | str,
    through: Sequence[str] = (),
    variables: dict[str, str] | None = None,
    typed: str = "",
) -> Answer:
    """The gate for a login over ssh; `typed` is the password that an earlier module took."""
    return answer_of(GATE, user, typed, through, variables)


def answer_of(
    program: str,
    user: User | str,
    typed: str,
    through: Sequence[str],
    variables: dict[str, str] | None,
) -> Answer:
    name = user if isinstance(user, str) else user.name
    done = run_as_pam_exec(program, name, typed, through=through, variables=variables)
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def assert_refused(answer: Answer, message: str, code: int = 1) -> None:
    """A command ended with the code and two lines of error, the first of which holds `message`."""
    lines = answer.errors.splitlines()
    assert answer.code == code
    assert len(lines) == 2, answer.errors
    assert lines[0].startswith("pam-totp: error: "), lines[0]
    assert message in lines[0], lines[0]
    assert lines[1].startswith("hint: "), lines[1]


def new_recovery_codes(user: User) -> list[str]:
    """Ten new recovery codes of an enrolled user, made by root, as they are shown."""
    made = pam_totp("recovery-codes", "--user", user.name)
    assert made.code == 0, made.errors
    codes = RECOVERY_CODE.findall(made.output)
    assert len(codes) == 10
    return codes


def recovery_file(codes: Sequence[str]) -> str:
    """The content of a recovery file that holds these codes, made by hashlib alone."""
    salt = os.urandom(16)
    lines = [f"pam-totp recovery 1 {salt.hex()}"]
    for code in codes:
        plain = code.replace("-", "").lower().encode()
        digest = hashlib.scrypt(plain, salt=salt, n=16, r=8, p=1, dklen=32)
        lines.append(digest.hex())
    return "\n".join([*lines, ""])


def failures_of(user: User) -> tuple[int, int, int]:
    """Incorrect codes in a row, when the latest was, and the budget: as root's record has them."""
    record = RECORDS / str(user.uid)
    found = FAILURES.search(record.read_text(encoding="ascii")) if record.exists() else None
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)


def let_pass(user: User, seconds: int) -> None:
    """Makes the incorrect codes so far this much older, as if that time had passed."""
    record = RECORDS / str(user.uid)
    in_a_row, last, budget_used = failures_of(user)
    line = f"failures {in_a_row} {last - seconds} {budget_used - seconds}"
    text = FAILURES.sub(line, record.read_text(encoding="ascii"))
    record.write_text(text[:4096].ljust(4096), encoding="ascii")


@contextlib.contextmanager
def configured(text: str, *, settled: bool = False) -> Iterator[Path]:
    """The host's settings while the block runs; with no last good ones before and after it.

    `settled`: so long after the change that the first login's snapshot serves the next one.
    """
    forget_snapshots()
    try:
        CONFIGURATION.write_text(text, encoding="utf-8")
        if settled:
            time.sleep(UNSETTLED_SECONDS + 0.05)
        yield CONFIGURATION
    finally:
        CONFIGURATION.unlink(missing_ok=True)
        forget_snapshots()


def forget_snapshots() -> None:
    """In both places: where a disk was full or read-only, the last good settings are in /run."""
    for folder in (LAST_GOOD.parent, RECORDS / "settings"):
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def mounted(point: Path | str, options: str) -> Iterator[None]:
    """A tmpfs over a folder while the block runs: an empty, a tiny or a read-only disk."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "disk", str(point)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(point)], check=True)


@contextlib.contextmanager
def read_only(point: Path | str) -> Iterator[None]:
    """A folder with all it holds on a read-only disk while the block runs."""
    subprocess.run(["mount", "--bind", str(point), str(point)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", str(point)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(point)], check=True)


def clock(shift: str) -> list[str]:
    """The command through which a program finds the wall clock elsewhere, like "+1d" or "-2h".

    The kernel's boot time and the monotonic clock stay.
    """
    return ["env", "FAKETIME_DONT_FAKE_MONOTONIC=1", "faketime", "-f", shift]


def secret_of(user: User) -> Path:
    return user.home / ".config" / "pam-totp" / "secret"


def recovery_of(user: User) -> Path:
    return user.home / ".config" / "pam-totp" / "recovery"


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by name, whole: to see that nothing was changed."""
    return {
        os.fspath(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def keys_not_in_manual(verb: str, output: str, action: str = "") -> set[str]:
    """The keys of what a verb prints with --json that pam-totp(1) does not describe for it, or for
    an action of it."""
    text = _section_of_json(verb, action)
    return {key for key in _keys_of(json.loads(output)) if key not in re.findall(r"\w+", text)}


def assert_keys_as_documented(
    verb: str, output: str, action: str = "", condition: str = ""
) -> None:
    """pam-totp(1) lists these keys for it, all of them and no others: up to a full stop, with
    commas between, and in parentheses the keys of the objects below. condition: the words before
    the list, of an option.
    """
    text = _section_of_json(verb, action)
    if condition:
        text = text.partition(f"{condition}: ")[2]
    whole = " ".join(text.partition(".")[0].split())
    below = dict(re.findall(r"(\w+) \(([^)]*)\)", whole))
    found = json.loads(output)
    first = found[0] if isinstance(found, list) else found
    said = set(re.sub(r" \([^)]*\)", "", whole).split(", "))
    assert said == set(first), said ^ set(first)
    for key, value in first.items():
        inner = value[0] if isinstance(value, list) and value else value
        if isinstance(inner, dict):
            assert set(below[key].split(", ")) == set(inner), key


def _section_of_json(verb: str, action: str) -> str:
    page = (Path(__file__).parents[2] / "pam_totp/manual/pam-totp.1.scd").read_text()
    section = page.partition("# JSON OUTPUT\n")[2].partition("\n# ")[0]
    text = section.partition(f"\n*{verb}*\n")[2].partition("\n\n")[0]
    return re.split(r"_[a-z]+_:", text.partition(f"_{action}_:")[2])[0] if action else text


def _keys_of(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _keys_of(each)
    if isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _keys_of(each)
