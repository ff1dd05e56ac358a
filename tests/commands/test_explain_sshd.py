"""`explain` says where sshd's own settings leave PAM out, by what a real sshd says of them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import pam_totp
from tests.host.accounts import User
from tests.host.pam_services import PamServices
from tests.host.ssh_server import HOST_KEY, shipped_settings

SETTINGS = Path("/etc/ssh/sshd_config.d/00-test.conf")
ASKING = "KbdInteractiveAuthentication yes\nPasswordAuthentication no\n"
ALL_CHOICES = ("password-then-code", "key-then-code", "key-or-password-then-code")


@pytest.fixture
def sshd(pam_services: PamServices, host_key: None) -> Iterator[Callable[[str], None]]:
    """`sshd(text)`: what its settings begin with. Its PAM service has our line."""
    pam_services.add("sshd")
    SETTINGS.parent.mkdir(exist_ok=True)

    def set_to(text: str) -> None:
        SETTINGS.write_text(f"HostKey {HOST_KEY}\n{text}\n", encoding="ascii")

    yield set_to
    SETTINGS.unlink(missing_ok=True)


def said(user: User, *options: str) -> list[str]:
    answer = pam_totp("explain", user.name, "--from", "192.0.2.1", *options, "--json")
    assert answer.code == 0, answer.errors
    found: list[str] = json.loads(answer.output)["but"]
    return found


@pytest.mark.parametrize("choice", ALL_CHOICES)
@pytest.mark.parametrize("options", [(), ("--publickey",)])
def test_shipped_settings_leave_pam_nowhere_out(
    user: User, sshd: Callable[[str], None], choice: str, options: tuple[str, ...]
) -> None:
    sshd(shipped_settings(choice))
    assert said(user, *options) == []


def test_settings_of_the_distribution_cannot_ask(user: User, sshd: Callable[[str], None]) -> None:
    sshd("")
    (sentence,) = said(user)
    assert "KbdInteractiveAuthentication no" in sentence
    assert f"  BUT {sentence}\n" in pam_totp("explain", user.name).output


def test_sshd_without_pam_asks_nothing(user: User, sshd: Callable[[str], None]) -> None:
    sshd(f"UsePAM no\n{ASKING}")
    assert said(user) == ["sshd has UsePAM no: nothing is asked"]


def test_key_alone_asks_nothing(user: User, sshd: Callable[[str], None]) -> None:
    sshd(ASKING)
    assert said(user) == []
    assert "key alone" in said(user, "--publickey")[0]


def test_match_block_of_the_user_counts(
    user: User, make_user: Callable[..., User], sshd: Callable[[str], None]
) -> None:
    choice = shipped_settings("key-or-password-then-code")
    sshd(f"{choice}\nMatch User {user.name}\n  AuthenticationMethods publickey")
    assert "key alone" in said(user, "--publickey")[0]
    assert said(make_user(), "--publickey") == []


def test_settings_that_sshd_refuses_are_told(user: User, sshd: Callable[[str], None]) -> None:
    sshd("NoSuchKeyword yes")
    (sentence,) = said(user)
    assert sentence.startswith("sshd -T: ") and "NoSuchKeyword" in sentence
