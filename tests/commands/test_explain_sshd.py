# SPDX-License-Identifier: MIT
"""`explain` says where sshd's own settings leave PAM out, by what a real sshd says of them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.stack.sshd import service_of
from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_server import HOST_KEY, accepts, shipped_settings

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
    found: list[str] = json.loads(answer.output)["warnings"]
    return found


def ways(user: str, *options: str) -> dict[str, str]:
    """What is said of each way in, worst first."""
    answer = pam_totp("explain", user, "--from", "192.0.2.1", *options, "--json")
    return {
        ",".join(each["methods"]): each["outcome"]
        for each in json.loads(answer.output)["sshd_ways"]
    }


def test_the_stack_is_that_of_the_service_which_sshd_asks(
    user: User, sshd: Callable[[str], None]
) -> None:
    """OpenSSH knows the setting from 9.8 on."""
    other, where = "PAMServiceName ssh-corp", "Match Address 192.0.2.0/24"
    sshd(f"{shipped_settings('password-then-code')}{where}\n  {other}\n")
    known = accepts(other)
    assert any("service file /etc/pam.d/ssh-corp" in each for each in said(user)) == known
    assert any("cannot be determined" in each for each in said(user)) != known
    assert service_of({"pamservicename": "ssh-corp"}) == "ssh-corp"
    assert service_of({}) == "sshd"


@pytest.mark.parametrize("choice", ALL_CHOICES)
def test_shipped_settings_leave_pam_nowhere_out(
    user: User, sshd: Callable[[str], None], choice: str
) -> None:
    sshd(shipped_settings(choice))
    assert said(user) == []
    after_a_key = said(user, "--publickey")
    if choice == "password-then-code":
        assert after_a_key == [f"sshd accepts no login of {user.name} with a key"]
    else:
        assert after_a_key == []


def test_settings_of_the_distribution_let_a_key_in_and_cannot_ask(
    user: User, sshd: Callable[[str], None]
) -> None:
    sshd("")
    cannot_ask, key = said(user)
    assert "KbdInteractiveAuthentication no" in cannot_ask and "the key alone" in key
    assert f"  ALSO {key}\n" in pam_totp("explain", user.name).output
    assert list(ways(user.name)) == ["publickey", "password"]
    assert ways(user.name)["publickey"] == "no code is asked for, because PAM is never asked"
    assert "cannot ask" in ways(user.name)["password"]


@pytest.mark.parametrize("mode", ["optional", "required"])
def test_before_anything_is_turned_on_it_does_not_contradict_itself(
    user: User, sshd: Callable[[str], None], pam_services: PamServices, mode: str
) -> None:
    pam_services.restore()
    sshd("")
    with configured(f"enrollment: {mode}\n"):
        told = pam_totp("explain", user.name, "--from", "192.0.2.1").output
    assert "/etc/pam.d/sshd has no pam_totp.so line, so no code is asked for" in told
    assert "cannot ask" not in told  # for what nothing asks for
    first, *rest = told.splitlines()
    assert ("refused" in first) == (mode == "required")
    assert not any("refused" in line for line in rest)
    assert ("  BUT " in told, "  ALSO " in told) == (mode == "required", mode == "optional")
    password = "  by password: no code is asked for, because the PAM stack has no line for it"
    assert any(line.startswith(password) for line in rest)


def test_every_way_in_is_told_worst_first_without_being_asked(
    user: User, enrolled: Callable[..., Credential], sshd: Callable[[str], None]
) -> None:
    enrolled(user)
    sshd(f"{ASKING}HostbasedAuthentication yes\nGSSAPIAuthentication yes\n")
    told = pam_totp("explain", user.name, "--from", "192.0.2.1").output
    assert told.startswith(f"{user.name}, sshd, from 192.0.2.1: the settings ask for a code")
    outcomes = ways(user.name)
    assert list(outcomes)[-1] == "keyboard-interactive"
    assert outcomes.pop("keyboard-interactive") == "a code is asked for"
    assert set(outcomes) == {"hostbased", "gssapi-with-mic", "publickey"}
    assert set(outcomes.values()) == {"no code is asked for, because PAM is never asked"}


def test_way_with_a_key_goes_by_the_rules_for_one(
    user: User, enrolled: Callable[..., Credential], sshd: Callable[[str], None]
) -> None:
    enrolled(user)
    sshd(shipped_settings("key-or-password-then-code"))
    with configured("rules: [{publickey: true, code: never}]\n"):
        assert ways(user.name) == {
            "keyboard-interactive": "a code is asked for",
            "publickey,keyboard-interactive": "no code is asked for",
        }


def test_key_that_comes_after_the_code_is_not_known_to_the_rules(
    user: User, enrolled: Callable[..., Credential], sshd: Callable[[str], None]
) -> None:
    enrolled(user)
    sshd(f"{ASKING}AuthenticationMethods keyboard-interactive,publickey\n")
    with configured("rules: [{publickey: true, code: never}]\n"):
        assert ways(user.name) == {"keyboard-interactive,publickey": "a code is asked for"}


def test_stack_that_wants_a_key_and_sshd_that_takes_none_refuse_everybody(
    user: User, sshd: Callable[[str], None], pam_services: PamServices
) -> None:
    pam_services.restore()
    pam_services.replace_password("sshd", shipped_lines("key-then-code"))
    sshd(shipped_settings("password-then-code"))
    (sentence,) = said(user)
    assert "every login is refused" in sentence
    assert ways(user.name)["keyboard-interactive"].startswith(
        "refused, because the PAM stack requires"
    )
    sshd(shipped_settings("key-then-code"))
    assert said(user) == []


@pytest.mark.parametrize("allowed", ["no", "prohibit-password", "forced-commands-only"])
def test_root_whom_sshd_refuses_is_told_so(sshd: Callable[[str], None], allowed: str) -> None:
    sshd(f"PermitRootLogin {allowed}\n{shipped_settings('key-or-password-then-code')}")
    answer = pam_totp("explain", "root", "--from", "192.0.2.1", "--publickey", "--json")
    found = json.loads(answer.output)
    assert any(f"refuses root whenever PAM is asked (PermitRootLogin {allowed}" in each
               for each in found["warnings"])  # fmt: skip
    assert found["sshd_ways"] == []


def test_root_whom_sshd_accepts_is_told_the_ways(sshd: Callable[[str], None]) -> None:
    choice = shipped_settings("key-or-password-then-code")
    sshd(f"PermitRootLogin yes\n{choice}")
    assert len(ways("root")) == 2
    sshd(f"PermitRootLogin prohibit-password\n{ASKING}")
    assert list(ways("root")) == ["publickey"]


def test_sshd_without_pam_asks_nothing(user: User, sshd: Callable[[str], None]) -> None:
    sshd(f"UsePAM no\n{ASKING}")
    assert said(user) == ["sshd has UsePAM no, so no code is asked for"]


def test_key_alone_asks_nothing(user: User, sshd: Callable[[str], None]) -> None:
    sshd(ASKING)
    assert "key alone" in said(user)[0]
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
    assert "cannot be determined" in sentence


def test_way_that_the_stack_accepts_nobody_on_is_told_as_refused(
    user: User, sshd: Callable[[str], None], pam_services: PamServices
) -> None:
    """The jump after a key leads to the refusal of a wrong password."""
    pam_services.restore()
    lines = shipped_lines("key-or-password-then-code")
    lines[0] = "auth [success=1 default=ignore] pam_totp.so publickey_passed"
    pam_services.replace_password("sshd", lines)
    sshd(shipped_settings("key-or-password-then-code"))
    told = ways(user.name)
    assert told["publickey,keyboard-interactive"] == (
        "refused, because no way through the PAM stack accepts it"
    )
    assert told["keyboard-interactive"] == "no code is asked for"


def test_password_that_sshd_gives_to_kerberos_is_told(
    user: User, sshd: Callable[[str], None]
) -> None:
    sshd("PasswordAuthentication yes\nKerberosAuthentication yes\nPubkeyAuthentication no\n")
    assert any("(KerberosAuthentication yes), so no code is asked for" in each
               for each in said(user))  # fmt: skip


def test_way_on_which_the_stack_has_no_line_is_told(
    user: User, sshd: Callable[[str], None], pam_services: PamServices
) -> None:
    pam_services.restore()
    sshd(f"{ASKING}PubkeyAuthentication no\n")
    assert "has no line for it" in ways(user.name)["keyboard-interactive"]


def test_stack_that_sshd_refuses_when_it_sets_credentials_is_told(
    user: User, sshd: Callable[[str], None], pam_services: PamServices
) -> None:
    pam_services.restore()
    pam_services.replace_password("sshd", shipped_lines("key-then-code-without-module")[:1])
    sshd(shipped_settings("key-then-code"))
    assert "refuse every login that they have accepted (pam_setcred)" in "".join(said(user))
    pam_services.restore()
    pam_services.replace_password("sshd", shipped_lines("key-then-code-without-module"))
    assert said(user) == []
