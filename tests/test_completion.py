# SPDX-License-Identifier: MIT
"""What bash and zsh put in when somebody presses Tab after `pam-totp`: both at a real terminal."""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from pam_totp.verbs import VERBS, parser

SECONDS = 20
PROMPT = "ready> "
SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
}
SETTINGS = {
    "bash": [f"PS1='{PROMPT}'", ". /usr/share/bash-completion/bash_completion"],
    "zsh": [f"PROMPT='{PROMPT}'", "autoload -U compinit", "compinit -u"],
}


@pytest.fixture(params=SHELLS, scope="module")
def shell(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["pexpect.spawn[str]"]:
    """A shell at its prompt."""
    tmp_path = tmp_path_factory.mktemp("home")
    command = SHELLS[request.param]
    environment = {"HOME": str(tmp_path), "TERM": "dumb", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    terminal = pexpect.spawn(
        command[0],
        command[1:],
        encoding="utf-8",
        timeout=SECONDS,
        env=environment | {"LC_ALL": "C.UTF-8"},
        dimensions=(50, 200),
        cwd=str(tmp_path),
    )
    for setting in [*SETTINGS[request.param], "printf 'is %s\\n' set-up"]:
        terminal.sendline(setting)
    terminal.expect("is set-up")
    terminal.expect(PROMPT)
    yield terminal
    terminal.close(force=True)


def completed(shell: "pexpect.spawn[str]", typed: str) -> list[str]:
    """The words that are in the line after Tab was pressed behind `typed`."""
    shell.send(f"{typed}\t")
    # To the beginning of the line: what is in it is printed, not run.
    shell.send("\x01printf '<%s>' \r")
    shell.expect(r"(<pam-totp>(?:<[^>\r\n]*>)*)")
    assert isinstance(shell.match, re.Match)
    words = re.findall(r"<([^>]*)>", shell.match[1])
    shell.expect(PROMPT)
    return words


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("pam-totp recov", ["pam-totp", "recovery-codes"]),
        ("pam-totp expl", ["pam-totp", "explain"]),
        ("pam-totp config ch", ["pam-totp", "config", "check"]),
        ("pam-totp explain --serv", ["pam-totp", "explain", "--service"]),
        ("pam-totp explain --service login", ["pam-totp", "explain", "--service", "login"]),
        ("pam-totp explain --service ssh", ["pam-totp", "explain", "--service", "sshd"]),
        ("pam-totp enroll --algorithm SHA25", ["pam-totp", "enroll", "--algorithm", "SHA256"]),
        ("pam-totp config check /etc/hostna", ["pam-totp", "config", "check", "/etc/hostname"]),
        ("pam-totp reset nobo", ["pam-totp", "reset", "nobody"]),
        ("pam-totp enroll --user nobo", ["pam-totp", "enroll", "--user", "nobody"]),
        ("pam-totp enable ssh", ["pam-totp", "enable", "sshd"]),
        ("pam-totp enable sshd logi", ["pam-totp", "enable", "sshd", "login"]),
        (
            "pam-totp enable sshd --first-factor pass",
            ["pam-totp", "enable", "sshd", "--first-factor", "password"],
        ),
        ("pam-totp devices ren", ["pam-totp", "devices", "rename"]),
        ("pam-totp devices --js", ["pam-totp", "devices", "--json"]),
        (
            "pam-totp devices show phone --png /etc/hostna",
            ["pam-totp", "devices", "show", "phone", "--png", "/etc/hostname"],
        ),
        ("pam-totp enroll --group nogr", ["pam-totp", "enroll", "--group", "nogroup"]),
        ("pam-totp sheet nobo", ["pam-totp", "sheet", "nobody"]),
        (
            "pam-totp sheet x --html /etc/hostna",
            ["pam-totp", "sheet", "x", "--html", "/etc/hostname"],
        ),
        ("pam-totp disable --al", ["pam-totp", "disable", "--all"]),
        ("pam-totp nothing-like-this", ["pam-totp", "nothing-like-this"]),
    ],
)
def test_tab_completes_verbs_options_services_users_and_files(
    shell: "pexpect.spawn[str]", typed: str, words: list[str]
) -> None:
    assert completed(shell, typed) == words


@pytest.mark.parametrize(
    "path",
    [
        "/usr/share/bash-completion/completions/pam-totp",
        "/usr/share/zsh/vendor-completions/_pam-totp",
    ],
)
def test_no_verb_and_no_option_is_missing(path: str) -> None:
    """What is installed was made from the verbs as they are now."""
    text = Path(path).read_text(encoding="utf-8")
    options = set(options_of(parser()))
    assert {"--json", "--user"} <= options
    missing = [each for each in (*VERBS, *options) if not re.search(rf"{each}\b", text)]
    assert missing == []


def options_of(whole: argparse.ArgumentParser) -> Iterator[str]:
    for action in whole._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from options_of(verb)
