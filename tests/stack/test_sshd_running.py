# SPDX-License-Identifier: MIT
"""Every sshd that runs is a door, also one with a configuration, options or a name of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.review.ways import ways_of_service
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.sshd_running import Server, server_of, servers
from tests.commands.commands import configured
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_server import HOST_KEY, SshServer, shipped_settings

SETTINGS = Path("/etc/ssh/sshd_config.d/00-test.conf")
END = " [listener] 0 of 10-100 startups"


@pytest.mark.parametrize(
    ("title", "server"),
    [
        ("sshd: /usr/sbin/sshd -D", Server()),
        ("sshd: /usr/sbin/sshd", Server()),
        ("sshd: /usr/sbin/sshd -De -f /etc/ssh/b -p 2222", Server("/etc/ssh/b", ("-p2222",))),
        ("sshd: sshd -oUsePAM=no -4f/b -u0", Server("/b", ("-oUsePAM=no",))),
        ("sftpd: /opt/sftpd -D", Server(name="sftpd")),
    ],
)
def test_what_an_sshd_was_started_with_is_read_from_its_title(title: str, server: Server) -> None:
    assert server_of(title + END) == server
    assert server_of(title) is None  # a session, or another program


def test_arguments_that_cannot_be_told_apart_are_unknown() -> None:
    for arguments in ("-o UsePAM no", "-x", "-f"):
        with pytest.raises(Unknown, match="cannot be told apart"):
            server_of(f"sshd: /usr/sbin/sshd {arguments}{END}")


@pytest.fixture
def usual(pam_services: PamServices, host_key: None) -> Iterator[None]:
    """sshd as it is shipped."""
    choice = "key-or-password-then-code"
    pam_services.replace_password("sshd", shipped_lines(choice))
    SETTINGS.parent.mkdir(exist_ok=True)
    SETTINGS.write_text(f"HostKey {HOST_KEY}\n{shipped_settings(choice)}", encoding="ascii")
    yield
    SETTINGS.unlink()


@pytest.mark.usefixtures("usual")
def test_sshd_with_a_configuration_of_its_own_has_ways_of_its_own(
    start_sshd: Callable[..., SshServer],
) -> None:
    server = start_sshd("AuthenticationMethods publickey")
    path = f"/etc/ssh/sshd_config-{server.port}"
    assert Server(path) in servers() and Server() in servers()
    with configured("enrollment: required\n"):
        found = ways_of_service("sshd")
        server.stop()
        usual = ways_of_service("sshd")
    assert found is not None and usual is not None
    who = f"everybody at the sshd with -f {path}"
    assert [each.words for each in found.findings if each.who == who] == ["key alone"]
    assert path not in usual.text
