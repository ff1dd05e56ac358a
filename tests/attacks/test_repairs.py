# SPDX-License-Identifier: MIT
"""The command that root is told to run is ours, whatever a user calls a folder or links to."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential

BAITS = [
    "x; run: pam-totp grant bait",
    "$(touch bait)",
    "a b",
    "x; run: sh bait #",
    "x\n; run: bait",
]
ONE_COMMAND = re.compile(r"[\w./:@%+=,~? -]+")  # `?` stands for any other letter


def commands_for(user: User) -> list[str]:
    """What `users`, `doctor` and a failing command of root's say to run."""
    rows = json.loads(pam_totp("users", "--json").output)
    found = [each["fault"].partition("; run: ")[2] for each in rows if each["user"] == user.name]
    findings = json.loads(pam_totp("doctor", "--json").output)["findings"]
    found += [each["command"] for each in findings if each["what"].startswith(f"{user.name}: ")]
    errors = pam_totp("enroll", "--user", user.name, typed="\n").errors
    found += re.findall(r"^hint: (.*)$", errors, re.MULTILINE)
    assert len(found) == 3, found
    return found


@pytest.mark.parametrize("bait", BAITS)
def test_name_of_a_folder_puts_no_word_into_the_command(user: User, bait: str) -> None:
    folder = user.home / bait
    user.run_as("mkdir", str(folder), check=True)
    user.run_as("chmod", "777", str(folder), check=True)
    user.run_as("ln", "-s", bait, ".config", check=True)
    for command in commands_for(user):
        assert "bait" not in command.split()
        assert command == "" or ONE_COMMAND.fullmatch(command)


@pytest.fixture
def folder_of_a_service() -> Iterator[Path]:
    path = Path("/var/lib/a-service")
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    yield path
    path.rmdir()


@pytest.mark.parametrize("fault", ["owner", "mode"])
def test_what_a_link_leads_to_is_not_given_away_or_shut(
    user: User, folder_of_a_service: Path, fault: str
) -> None:
    """A folder of a service's, to which the user links: `chown root` would stop the service."""
    if fault == "owner":
        os.chown(folder_of_a_service, 1, 1)
    user.run_as("ln", "-s", str(folder_of_a_service), ".config", check=True)
    for command in commands_for(user):
        assert not re.search(r"\b(chown|chmod)\b", command)


def test_mode_of_what_a_user_puts_in_place_of_a_secret_is_not_changed(
    credential: Credential, tmp_path: Path
) -> None:
    """chmod follows links: a system whose /etc/passwd is 0600 lets nobody in."""
    user, of_root = credential.user, tmp_path / "of-root"
    of_root.write_text("for all to read\n")
    of_root.chmod(0o644)
    secret = user.home / ".config/pam-totp/secret"
    secret.chmod(0o644)
    commands = commands_for(user)
    secret.unlink()
    secret.symlink_to(of_root)
    for command in commands:
        subprocess.run(["sh", "-c", command], capture_output=True)
    assert of_root.stat().st_mode & 0o777 == 0o644


def test_such_a_command_mends_the_mode(user: User, enrolled: Callable[..., Credential]) -> None:
    enrolled(user)
    secret = user.home / ".config/pam-totp/secret"
    for command in commands_for_mode(secret, user):
        secret.chmod(0o644)
        subprocess.run(["sh", "-c", command], check=True)
        assert secret.stat().st_mode & 0o777 == 0o600


def commands_for_mode(secret: Path, user: User) -> list[str]:
    secret.chmod(0o644)
    return [each for each in commands_for(user) if "chmod" in each]
