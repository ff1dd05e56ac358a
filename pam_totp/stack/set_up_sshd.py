# SPDX-License-Identifier: MIT
"""set-up-sshd CHOICE: writes the lines of a choice to /etc/pam.d/sshd, and sshd's settings for it.

- Both files MUST be checked before either is changed, and MUST be unchanged if one of them is
  wrong: half a change locks people out, or accepts logins without a code.
- Everything else in /etc/pam.d/sshd MUST be kept.
"""

import os
import re
import subprocess
import sys

from pam_totp.errors import Error
from pam_totp.stack import sshd, stack_faults, totp_lines, turned_on
from pam_totp.stack.libpam import Unknown, installed
from pam_totp.stack.service import read_service

CHOICES = ("key-or-password-then-code", "password-then-code", "key-then-code")
SNIPPETS = "/usr/lib/pam-totp/snippets"
STACK = "/etc/pam.d/sshd"
ORIGINAL = "/var/backups/pam-totp.pam.d-sshd"
SETTINGS = "/etc/ssh/sshd_config.d/00-pam-totp.conf"
PASSWORD_LINE = "@include common-auth"
BEGIN, END = "# begin of pam-totp's lines:", "# end of pam-totp's lines"
_BLOCK = re.compile(rf"^{BEGIN}.*?^{END}$", re.MULTILINE | re.DOTALL)
_PASSWORD = re.compile(rf"^{PASSWORD_LINE}[ \t]*$", re.MULTILINE)
_OURS = re.compile(r"^[^#\n]*(pam_totp\.so|/pam-totp/verify)", re.MULTILINE)
HELP = f"""usage: set-up-sshd CHOICE | --undo

Writes what sshd asks for into {STACK} and
{SETTINGS}, and checks both first.

choices:
  key-or-password-then-code  a public key or the system password, then the code
  password-then-code         the system password, then the code; no keys
  key-then-code              a public key, then the code; no passwords

  --undo                     takes the lines and the settings back"""


def main(arguments: list[str]) -> int:
    """0: done, or nothing to do; 1: failed, nothing was changed; 2: wrong usage."""
    if arguments in (["--help"], ["-h"]):
        print(HELP)
        return 0
    if len(arguments) != 1 or arguments[0] not in (*CHOICES, "--undo"):
        print("set-up-sshd: error: wrong usage; nothing was changed", file=sys.stderr)
        print(f"hint: choose {', '.join(CHOICES)}", file=sys.stderr)
        return 2
    choice = "" if arguments[0] == "--undo" else arguments[0]
    try:
        if os.geteuid() != 0:
            raise Error(
                "this command must be run as root",
                f"sudo /usr/libexec/pam-totp/set-up-sshd {arguments[0]}",
            )
        _change(choice)
    except (Error, OSError) as failure:
        hint = failure.hint if isinstance(failure, Error) else "nothing was changed"
        print(f"set-up-sshd: error: {failure}\nhint: {hint}", file=sys.stderr)
        return 1
    return 0


def _change(choice: str) -> None:
    path = os.path.realpath(STACK)
    before = _read(path)
    if before is None:
        raise Error(f"there is no {STACK}", "apt-get install openssh-server")
    plain = _BLOCK.sub(PASSWORD_LINE, before)
    if _OURS.search(plain):
        raise Error(f"{STACK} has pam_totp.so lines that were added by hand", "remove those lines")
    if len(_PASSWORD.findall(plain)) != 1:
        raise Error(
            f"{STACK} does not have exactly one line {PASSWORD_LINE!r}",
            f"add the lines of {SNIPPETS}/pam by hand",
        )
    block = f"{BEGIN} {choice}\n{_lines(choice)}{END}" if choice else PASSWORD_LINE
    after = _PASSWORD.sub(lambda _: block, plain)
    settings_before = _read(SETTINGS)
    settings = _read(f"{SNIPPETS}/sshd/{choice}.conf") if choice else None
    if (before, settings_before) == (after, settings):
        print(f"{'Already set up' if choice else 'There is nothing to undo'}; nothing was changed.")
        return
    new = f"{os.path.dirname(path)}/.sshd.pam-totp"
    try:
        _write(new, after)
        if choice:
            _check_stack(new)
        _write(SETTINGS, settings)
        try:
            _check_sshd(choice, settings)
            if choice and before == plain:
                _write(ORIGINAL, before)
            os.replace(new, path)
        except BaseException:
            _write(SETTINGS, settings_before)
            raise
    finally:
        _write(new, None)
    if choice:
        print(f"{STACK}: added {choice}\n  (the original is {ORIGINAL})")
        print(f"{SETTINGS}: written and accepted by sshd")
    else:
        turned_on.accept_loss("sshd")
        print(f"{STACK}: restored {PASSWORD_LINE}")
        print(f"{SETTINGS}: removed")
    print("Run: systemctl restart ssh\nThen test a login before you close this session.")


def _lines(choice: str) -> str:
    """The snippet without its comments, for this host's common-auth; the password's own line, where
    the snippet follows it."""
    text = _read(f"{SNIPPETS}/pam/{choice}") or ""
    text = re.sub("^#.*\n", "", text, flags=re.MULTILINE)
    if choice == "password-then-code":
        text = f"{PASSWORD_LINE}\n{text}"
    common = read_service("common-auth", installed()).stacks["auth"]
    count = sum(line.level == 0 for line in common)  # a substack is one to a jump
    return re.sub(
        r"success=\d+(?=.*publickey_passed$)", f"success={count}", text, flags=re.MULTILINE
    )


def _check_stack(path: str) -> None:
    try:
        service = read_service(path, installed())
    except Unknown as unknown:
        raise Error(f"the new {STACK} would be wrong: {unknown}", "nothing was changed") from None
    wrong = stack_faults.broken(service) + stack_faults.doubts(service)
    if sum(totp_lines.asks(line) for line in service.stacks["auth"]) != 1:
        wrong.append("there is not exactly one line that asks for a code")
    if wrong:
        raise Error(f"the new {STACK} would be wrong: {wrong[0]}", "nothing was changed")


def _check_sshd(choice: str, settings: str | None) -> None:
    """Lets sshd check the new settings, which are in place by then. Raises Error."""
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # sshd -t needs it; its unit creates it
    told = subprocess.run([sshd.SSHD, "-t"], capture_output=True, text=True, errors="replace")
    if told.returncode != 0:
        raise Error(f"sshd -t: {' '.join(told.stderr.split())}", "nothing was changed")
    if not choice:
        return
    try:
        active = sshd.settings_for("nobody", None)
    except Unknown as unknown:
        raise Error(str(unknown), "nothing was changed") from None
    wanted = re.findall(r"^(\w+) (.*)$", settings or "", re.MULTILINE)
    for keyword, value in wanted:
        if active.get(keyword.lower()) != value:
            raise Error(
                f"sshd does not use {SETTINGS}: {keyword} is {active.get(keyword.lower())}",
                "put 'Include /etc/ssh/sshd_config.d/*.conf' first in /etc/ssh/sshd_config",
            )


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write(path: str, content: str | None) -> None:
    """Replaces a file's content, whole or not at all; None removes the file."""
    if content is None:
        if os.path.lexists(path):
            os.unlink(path)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        os.chmod(temporary, 0o644)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
