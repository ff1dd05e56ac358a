# SPDX-License-Identifier: MIT
"""The README's "Turn it on for a real server": three commands, and options that exist."""

import re
from pathlib import Path

from tests.commands.commands import pam_totp

README = Path(__file__).resolve().parents[2] / "README.md"
CHAPTER = re.compile(r"^## Turn it on.*?(?=^What to know before)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^ +```\n(.*?)^ +```", re.MULTILINE | re.DOTALL)


def chapter() -> str:
    found = CHAPTER.search(README.read_text(encoding="utf-8"))
    assert found
    return found[0]


def test_three_commands_are_all_that_is_run() -> None:
    commands = [line.strip() for block in BLOCK.findall(chapter()) for line in block.splitlines()]
    install, *others = commands
    assert install.startswith("make deb && apt-get install ")
    assert others == ["pam-totp enroll", "sudo pam-totp enable sshd"]


def test_every_option_and_every_command_that_it_names_exists() -> None:
    options = {"--first-factor", "--root", "--exempt-key"}
    assert options <= set(re.findall(r"`(--[a-z-]+)", chapter()))
    known = pam_totp("enable", "--help").output
    assert [option for option in options if option not in known] == []
    for line in ("enable login su sudo", "disable sshd"):
        assert f"pam-totp {line}" in chapter()
        assert pam_totp(*line.split(), "--dry-run").code == 0
    assert pam_totp("disable", "--all", "--dry-run").code == 0
