# SPDX-License-Identifier: MIT
"""Every way into sshd, of the real sshd of the host and its own Match blocks."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.review.sshd_class import classes_of_sshd
from pam_totp.review.ways import ServiceWays, ways_of_service
from pam_totp.setup import sshd_settings
from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_server import HOST_KEY, shipped_settings

SETTINGS = Path("/etc/ssh/sshd_config.d/00-test.conf")
EITHER = shipped_settings("key-or-password-then-code")
KEY_OR_PASSWORD = "key, then code · password, then code"
ROOT_MAY = "PermitRootLogin yes\n"


@pytest.fixture
def ways(
    pam_services: PamServices, host_key: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., ServiceWays]]:
    """`ways(text, snippet, rules)`: with sshd's settings, PAM lines of ours, and rules. The servers
    of other tests, which may run, are not looked at."""
    monkeypatch.setattr("pam_totp.stack.sshd_running.PROC", str(tmp_path))
    SETTINGS.parent.mkdir(exist_ok=True)

    def written(
        text: str, snippet: str = "key-or-password-then-code", rules: str = ""
    ) -> ServiceWays:
        pam_services.restore()
        if snippet == "password-then-code":
            pam_services.add("sshd")
        elif snippet:
            pam_services.replace_password("sshd", shipped_lines(snippet))
        SETTINGS.write_text(f"HostKey {HOST_KEY}\n{text}\n", encoding="ascii")
        with configured(rules or "enrollment: required\n"):
            found = ways_of_service("sshd")
        assert found is not None
        return found

    yield written
    SETTINGS.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        ("key-or-password-then-code", KEY_OR_PASSWORD),
        ("key-then-code", "key, then code"),
        ("password-then-code", "password, then code"),
    ],
)
def test_what_is_shipped_has_no_way_in_without_a_code(
    ways: Callable[..., ServiceWays], choice: str, text: str
) -> None:
    found = ways(shipped_settings(choice), choice)
    assert found.text == text and not found.findings
    assert ways(ROOT_MAY + shipped_settings(choice), choice).text == text


def test_sshd_as_debian_has_it_accepts_without_a_code(ways: Callable[..., ServiceWays]) -> None:
    found = ways("", "")
    assert found.text == "key · password"
    key, password = found.findings
    assert key.lines == (
        "sshd's default: authenticationmethods any",
        "sshd's default: pubkeyauthentication yes",
    )
    assert password.lines[0].startswith("/etc/pam.d/common-auth, line ")


def test_code_that_sshd_s_password_method_cannot_ask_for_is_no_way_in(
    ways: Callable[..., ServiceWays],
) -> None:
    found = ways("PubkeyAuthentication no\n")
    assert found.text == "nobody"
    found = ways("PubkeyAuthentication no\n", "one-prompt")
    assert found.text == "password, then code"


def test_user_with_a_key_alone_is_named_with_the_lines_and_the_rule(
    ways: Callable[..., ServiceWays], make_user: Callable[..., User]
) -> None:
    borg = make_user().name
    match = f"{EITHER}\nMatch User {borg} Address 192.0.2.7\n  AuthenticationMethods publickey\n"
    found = ways(match)
    assert found.text == f"{borg} from 192.0.2.7: key alone · others: {KEY_OR_PASSWORD}"
    (finding,) = found.findings
    number = match.splitlines().index(f"Match User {borg} Address 192.0.2.7") + 2
    assert finding.lines[0] == f"{SETTINGS}, line {number}: Match user {borg} address 192.0.2.7"
    assert finding.lines[1] == f"{SETTINGS}, line {number + 1}: authenticationmethods publickey"
    rule = f"rules:\n- {{user: {borg}, from: 192.0.2.7, code: never}}\n"
    found = ways(match, rules=rule)
    assert found.text == (
        f"{borg} from 192.0.2.7: key alone (rule of line 2) · others: {KEY_OR_PASSWORD}"
    )
    assert not found.findings
    elsewhere = f"rules:\n- {{user: {borg}, from: 192.0.2.8, code: never}}\n"
    assert len(ways(match, rules=elsewhere).findings) == 1


def test_rule_says_no_password_of_a_user_from_whom_sshd_takes_only_a_key(
    ways: Callable[..., ServiceWays], make_user: Callable[..., User]
) -> None:
    borg, carol, dora = (make_user().name for _ in range(3))
    rules = f"rules:\n- {{user: [{borg}, {carol}, root], code: never}}\n"
    key = "key alone (rule of line 2)"
    for block in (
        f"User {borg},{carol}\n  AuthenticationMethods publickey",
        f"User {carol}\n  AuthenticationMethods publickey\n"
        f"Match User {borg}\n  AuthenticationMethods publickey",
    ):
        text = ways(f"{EITHER}\nMatch {block}\n", rules=rules).text
        assert "password alone" not in text and text.count(borg) == text.count(carol) == 1
        assert "root" not in text  # PermitRootLogin prohibit-password, and PAM is always asked
    both = f"{EITHER}\nMatch User {borg} Address 192.0.2.7\n  AuthenticationMethods publickey\n"
    here = ways(both, rules=f"rules:\n- {{user: {borg}, from: 192.0.2.0/24, code: never}}\n").text
    assert f"{borg} from 192.0.2.7: {key}" in here
    assert f"{borg} from 192.0.2.0/24: {key} · password alone" in here
    text = ways(EITHER, rules=f"rules:\n- {{user: {dora}, code: never}}\n").text
    assert f"{dora}: {key} · password alone (rule of line 2)" in text
    text = ways(f"{ROOT_MAY}{EITHER}", rules=rules).text
    assert f"{borg}, {carol}: {key}" in text and f"root: {key}" in text


def test_group_that_nobody_of_this_host_is_in_is_judged_by_its_lines(
    ways: Callable[..., ServiceWays],
) -> None:
    """sshd -T looks up the groups of a user, and can tell nothing of them."""
    match = f"{EITHER}\nMatch Group of-a-directory\n"
    found = ways(f"{match}  AuthenticationMethods publickey\n")
    assert [(way.who, way.words) for way in found.findings] == [
        ("members of of-a-directory", "key alone")
    ]
    rule = "rules:\n- {group: of-a-directory, code: never}\n"
    others = "Match User daemon\n  AuthenticationMethods publickey\n"
    found = ways(f"{match}  AuthenticationMethods publickey\n{others}", rules=rule)
    assert [way.who for way in found.findings] == ["daemon"]
    assert "daemon in of-a-directory" not in found.text  # of which daemon is no member
    found = ways(f"{match}  AuthenticationMethods publickey,keyboard-interactive\n")
    assert not found.findings and "of-a-directory" not in found.text
    two = f"Match Group ldap-*\n  MaxAuthTries 4\n{match.partition(EITHER)[2]}"
    assert len(ways(f"{EITHER}\n{two}  AuthenticationMethods publickey\n").findings) == 1


def test_user_whom_an_earlier_block_asks_is_not_named_for_a_later_one(
    ways: Callable[..., ServiceWays], make_user: Callable[..., User]
) -> None:
    first, second = make_user().name, make_user().name
    found = ways(
        f"{EITHER}\nMatch User {second}\n  AuthenticationMethods keyboard-interactive\n"
        f"Match User {first},{second}\n  AuthenticationMethods publickey\n"
    )
    assert found.text == f"{first}: key alone · others: {KEY_OR_PASSWORD}"


def test_root_has_ways_of_its_own(ways: Callable[..., ServiceWays]) -> None:
    match = f"{ROOT_MAY}{EITHER}\nMatch User root\n  AuthenticationMethods publickey\n"
    assert ways(match).text == f"root: key alone · others: {KEY_OR_PASSWORD}"


def test_what_enable_was_told_to_accept_is_no_finding(
    ways: Callable[..., ServiceWays], make_user: Callable[..., User]
) -> None:
    borg = make_user().name
    chosen = sshd_settings.text(sshd_settings.Choices(root=sshd_settings.ROOT_KEY, exempt=(borg,)))
    drop_in = Path(sshd_settings.PATH)
    number = chosen.splitlines().index(f"Match User {borg}") + 3
    try:
        drop_in.write_text(chosen)
        found = ways(EITHER)
        reason = "key alone (chosen in 00-pam-totp.conf, line"
        assert f"{borg}: {reason} {number})" in found.text and f"root: {reason}" in found.text
        assert not found.findings
        # What somebody else wrote there is one: also for everybody.
        drop_in.write_text("AuthenticationMethods publickey\n")
        assert ways(EITHER).findings
    finally:
        drop_in.unlink()
    other = ways(f"{EITHER}\nMatch User {borg}\n  AuthenticationMethods publickey\n")
    assert [each.who for each in other.findings] == [borg]


def test_match_blocks_of_every_kind_are_ways(ways: Callable[..., ServiceWays], user: User) -> None:
    for match, who in (
        (f"Group {user.name}", f"members of {user.name}"),
        ("Address 10.0.0.0/8,!10.1.0.0/16", "everybody from 10.0.0.0/8 but 10.1.0.0/16"),
        ("LocalPort 2222", "everybody at port 2222"),
        ("User *,!root", "everybody but root"),
    ):
        found = ways(f"{EITHER}\nMatch {match}\n  AuthenticationMethods publickey\n")
        assert f"{who}: key" in found.text
        assert found.findings and all(each.who == who for each in found.findings)


def test_match_that_only_forbids_more_is_not_mentioned(
    ways: Callable[..., ServiceWays], user: User
) -> None:
    match = f"Match User {user.name}\n  AuthenticationMethods publickey,keyboard-interactive\n"
    assert ways(f"{EITHER}\n{match}").text == KEY_OR_PASSWORD


def test_blocks_that_say_nothing_of_logins_are_not_followed(
    ways: Callable[..., ServiceWays],
) -> None:
    """One for each of a provider's customers, say."""
    many = "".join(
        f"Match User customer{n} Address 10.0.{n % 250}.0/24\n"
        f"  ChrootDirectory /srv/{n}\n  ForceCommand internal-sftp\n"
        for n in range(300)
    )
    assert ways(f"{EITHER}\n{many}").text == KEY_OR_PASSWORD


def test_sshd_without_pam_has_no_code(ways: Callable[..., ServiceWays]) -> None:
    found = ways("UsePAM no\nPasswordAuthentication yes\nAuthenticationMethods any\n")
    assert found.text == "key · password"
    assert found.findings[0].lines[0] == f"{SETTINGS}, line 2: usepam no"


def test_sshd_that_is_stopped_can_be_asked_too(ways: Callable[..., ServiceWays]) -> None:
    shutil.rmtree("/run/sshd", ignore_errors=True)
    assert "Missing privilege separation directory" in ways(EITHER).unknown
    assert not os.path.exists("/run/sshd")
    assert pam_totp("explain", "root", "--service", "sshd").errors == ""
    assert ways(EITHER).text == KEY_OR_PASSWORD


def test_password_that_sshd_gives_to_kerberos_itself_is_a_way_without_pam(
    ways: Callable[..., ServiceWays], user: User
) -> None:
    found = ways("PubkeyAuthentication no\nKerberosAuthentication yes\n")
    assert found.text == "password"
    assert found.findings[0].lines[0] == f"{SETTINGS}, line 3: kerberosauthentication yes"


def test_account_that_is_root_by_another_name_is_root(ways: Callable[..., ServiceWays]) -> None:
    subprocess.run(["/usr/sbin/useradd", "-o", "-u", "0", "-g", "0", "toor"], check=True)
    try:
        match = "Match User toor\n  AuthenticationMethods keyboard-interactive\n"
        assert ways(f"{EITHER}\n{match}").text == KEY_OR_PASSWORD
        toor = [each for each in classes_of_sshd().found if each.logins.example.user == "toor"]
        assert [each.methods for each in toor] == [()]
    finally:
        subprocess.run(["/usr/sbin/userdel", "-f", "toor"], check=True)


def test_several_methods_are_all_proved(ways: Callable[..., ServiceWays]) -> None:
    methods = "publickey,hostbased,keyboard-interactive publickey,password"
    text = "KbdInteractiveAuthentication yes\nHostbasedAuthentication yes\n"
    found = ways(f"{text}AuthenticationMethods {methods}\n", "password-then-code")
    assert found.text == "key, then host key, then password, then code"


def test_key_that_comes_after_the_code_is_not_known_to_pam_and_to_the_rules(
    ways: Callable[..., ServiceWays],
) -> None:
    text = "KbdInteractiveAuthentication yes\n"
    text += "AuthenticationMethods keyboard-interactive,publickey\n"
    rule = "rules: [{publickey: true, code: never}, {code: required}]\n"
    assert ways(text, rules=rule).text == "password, then code, then key"
    text = text.replace("keyboard-interactive,publickey", "publickey,keyboard-interactive")
    assert ways(text, rules=rule).text == "key (rule of line 1)"


def test_settings_that_sshd_refuses_and_matches_that_are_not_known_are_unknown(
    ways: Callable[..., ServiceWays],
) -> None:
    assert "NoSuchKeyword" in ways("NoSuchKeyword yes").unknown
    assert "not known here" in ways("Match Command ls\n").unknown
    many = "".join(f"Match Address 10.0.{n}.0/24\n  MaxAuthTries 3\n" for n in range(140))
    assert "too many ways to follow" in ways(many).unknown
