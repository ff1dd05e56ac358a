# SPDX-License-Identifier: MIT
"""The real OpenSSH client at a terminal."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.terminal import Conversation, Dialogue, converse


def client_options(server: SshServer, key: Path | None = None) -> list[str]:
    """Options for ssh, scp and sftp: this server, this key or none, nothing from files.

    One password prompt: a refusal ends the client, it does not begin another login.
    """
    options = {
        "Port": str(server.port),
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "NumberOfPasswordPrompts": "1",
        "ConnectTimeout": "10",
        "BatchMode": "no",
        "IdentityAgent": "none",
        "IdentitiesOnly": "yes",
        "IdentityFile": str(key) if key else "none",
    }
    return ["-F", "/dev/null", *(f"-o{name}={value}" for name, value in options.items())]


def asked(user: User | str, *questions: str) -> list[str]:
    """How the client shows the questions of PAM modules: behind the name of the account."""
    name = user if isinstance(user, str) else user.name
    return [f"({name}@server) {question}" for question in questions]


@pytest.fixture
def ssh(sshd: SshServer) -> Callable[..., Conversation]:
    """`ssh(user, [("Password:", user.password), …])`: log in and run `command`.

    `user` may be a name that does not exist; `server` one that `start_sshd` returned.
    """

    def log_in(
        user: User | str,
        dialogue: Dialogue = (),
        *,
        command: str | None = "id -un",
        options: Sequence[str] = (),
        key: Path | None = None,
        server: SshServer = sshd,
    ) -> Conversation:
        name = user if isinstance(user, str) else user.name
        argv = ["/usr/bin/ssh", *options, *client_options(server, key), "-l", name, "server"]
        return converse([*argv, command] if command else argv, dialogue)

    return log_in


@pytest.fixture
def code_server(pam_services: PamServices, start_sshd: Callable[..., SshServer]) -> SshServer:
    """sshd that asks for the password, then the code: the shipped line, the shipped settings."""
    pam_services.add("sshd", shipped_lines("password-then-code"))
    return start_sshd(shipped_settings("password-then-code"))


@pytest.fixture
def log_in(code_server: SshServer, ssh: Callable[..., Conversation]) -> Callable[..., Conversation]:
    """`ssh`, with `code_server`."""
    return partial(ssh, server=code_server)
