# SPDX-License-Identifier: MIT
"""Real users of the throw-away host, made with useradd and gone after the test."""

import itertools
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pam_totp.records.storage.state_dir import TEMPORARY

# A number is never used twice: what an earlier test left for its user is nobody's.
USER_NUMBERS = itertools.count(20001)
SUDOERS = Path("/etc/sudoers.d")


@dataclass(frozen=True)
class User:
    """A user with bash, a home of mode 0700 and a password that pam_unix takes."""

    name: str
    password: str = field(repr=False)
    uid: int
    gid: int
    home: Path

    def command(self, arguments: list[str]) -> list[str]:
        """`arguments`, run as this user with the user's groups and a login's environment."""
        identity = ["--reuid", str(self.uid), "--regid", str(self.gid), "--init-groups"]
        return ["/usr/bin/setpriv", *identity, "--reset-env", "--", *arguments]

    def run_as(self, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command as the user, in the home; `options` are subprocess.run's."""
        defaults: dict[str, Any] = {"cwd": self.home, "capture_output": True, "text": True}
        return subprocess.run(self.command(list(arguments)), **(defaults | options))

    def give(self, path: Path, content: str, mode: int = 0o600) -> None:
        """Write a file below the home as if the user had; folders on the way are 0700."""
        folders = list(path.relative_to(self.home).parents)[:-1]
        for folder in reversed([self.home / part for part in folders]):
            folder.mkdir(mode=0o700, exist_ok=True)
            os.chown(folder, self.uid, self.gid)
        path.write_text(content, encoding="utf-8")
        path.chmod(mode)
        os.chown(path, self.uid, self.gid)

    def may_sudo(self) -> None:
        """Let the user run anything with sudo, for the user's own password."""
        (SUDOERS / self.name).write_text(f"{self.name} ALL=(ALL:ALL) ALL\n", encoding="ascii")

    def new_ssh_key(self) -> Path:
        """An ed25519 key that may log in as the user; the private half is root's, as a client's."""
        key = Path("/root") / f"key-of-{self.name}"
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", self.name, "-f", str(key))
        public = key.with_name(key.name + ".pub").read_text(encoding="ascii")
        self.give(self.home / ".ssh" / "authorized_keys", public)
        return key


def run(*command: str, given: str = "") -> None:
    result = subprocess.run(command, input=given, capture_output=True, text=True)
    assert result.returncode == 0, f"{' '.join(command)}: {result.stderr}"


def add_user(name: str = "") -> User:
    uid = next(USER_NUMBERS)
    name = name or f"alice{uid - 20000}"
    home = Path("/home") / name
    password = secrets.token_urlsafe(9)
    run("useradd", "--uid", str(uid), "--user-group", "--create-home", "--shell", "/bin/bash", name)
    home.chmod(0o700)
    # Checked in a millisecond at each login; yescrypt, the default, takes twenty.
    quick = ["--crypt-method", "SHA512", "--sha-rounds", "1000"]
    run("chpasswd", *quick, given=f"{name}:{password}\n")
    return User(name, password, uid, uid, home)


def remove_user(user: User) -> None:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == user.uid:
                os.kill(int(process.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended by itself
    run("userdel", "--force", user.name)
    shutil.rmtree(user.home, ignore_errors=True)
    left_behind = [
        SUDOERS / user.name,
        Path("/run/sudo/ts") / user.name,
        Path("/var/mail") / user.name,
        Path("/run/pam-totp") / str(user.uid),
        Path("/run/pam-totp/certain") / user.name,
        Path("/run/pam-totp/store") / user.name,
        *(
            Path("/run/pam-totp") / kind / str(user.uid)
            for kind in ("pending", "remembered", "sent", "sendings")
        ),
        Path("/run/user") / str(user.uid),
        *(
            Path("/var/lib/pam-totp") / kind / str(user.uid)
            for kind in ("enforced", "used", "grants", "counters", "contacts")
        ),
        Path("/var/lib/pam-totp/secrets") / user.name,
        Path("/root") / f"key-of-{user.name}",
        Path("/root") / f"key-of-{user.name}.pub",
    ]
    # What a program that was killed had not given its name yet.
    temporary = [path.with_name(f"{path.name}{TEMPORARY}*") for path in left_behind]
    left_behind += [path for each in temporary for path in each.parent.glob(each.name)]
    for path in left_behind:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@pytest.fixture
def make_user() -> Iterator[Callable[..., User]]:
    """`make_user()` or `make_user("a-name")`: as many new users as a test wants."""
    users: list[User] = []

    def make(name: str = "") -> User:
        users.append(add_user(name))
        return users[-1]

    yield make
    for user in users:
        remove_user(user)


@pytest.fixture
def user(make_user: Callable[..., User]) -> User:
    return make_user()
