# SPDX-License-Identifier: MIT
"""`pam-totp enable sshd` on a real sshd: by the person who sits there, tried from another terminal,
kept, and taken out again."""

import json
import os
import pwd
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import pytest

from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential, enroll
from tests.host.ssh_client import client_options
from tests.host.terminal import Dialogue, converse
from tests.trial.change_host import (
    AUTH_LOG,
    OF_THE_TEST,
    SETTINGS,
    STACK,
    ChangeHost,
    state,
    wait_until,
)

PASSWORD, CODE, CHANGE = "Password: ", "Verification code: ", r"Change these files\? \[y/N\] "
KEEP = r"Keep it\? \[y/N\] "
ROOT_KEYS = Path("/root/.ssh/authorized_keys")
WTMP = Path("/var/log/wtmp")
REMEMBERED = "/var/lib/pam-totp/services"
ALL = ("--yes", "--force", "--no-trial")


class Sitting:
    """A person in an ssh session, on a terminal, who types a command."""

    def __init__(self, host: ChangeHost, name: str, key: Path | None, command: str) -> None:
        options = client_options(host, key)  # type: ignore[arg-type]
        argv = ["-tt", *options, "-l", name, "127.0.0.1", command]
        self.child = pexpect.spawn("/usr/bin/ssh", argv, encoding="utf-8", timeout=30)
        self.child.setwinsize(60, 200)
        self.shown = ""

    def expect(self, what: str) -> None:
        self.child.expect(what)
        self.shown += f"{self.child.before}{self.child.after}".replace("\r\n", "\n")

    def answer(self, question: str, typed: str) -> None:
        self.expect(question)
        self.child.send(f"{typed}\r")

    def end(self) -> tuple[int, str]:
        self.child.expect(pexpect.EOF)
        self.shown += str(self.child.before).replace("\r\n", "\n")
        self.child.close()
        return self.child.exitstatus or 0, self.shown


@pytest.fixture
def sit(change_host: ChangeHost) -> Iterator[Callable[..., Sitting]]:
    """`sit("alice", "command", key=…)`"""
    sessions: list[Sitting] = []

    def begin(name: str, command: str, key: Path | None = None) -> Sitting:
        sessions.append(Sitting(change_host, name, key, command))
        return sessions[-1]

    yield begin
    for session in sessions:
        session.child.close(force=True)


@pytest.fixture
def root_key(user: User) -> Iterator[Path]:
    """A key that may log in as root."""
    key = user.new_ssh_key()
    ROOT_KEYS.parent.mkdir(mode=0o700, exist_ok=True)
    ROOT_KEYS.write_bytes(key.with_name(f"{key.name}.pub").read_bytes())
    yield key
    ROOT_KEYS.unlink()


@pytest.fixture
def root_credential() -> Iterator[Credential]:
    """root is enrolled."""
    account = pwd.getpwnam("root")
    root = User("root", "", account.pw_uid, account.pw_gid, Path(account.pw_dir))
    yield enroll(root)
    shutil.rmtree(root.home / ".config/pam-totp")
    for path in ("/run/pam-totp/0", "/run/pam-totp/certain/root", "/var/lib/pam-totp/enforced/0"):
        Path(path).unlink(missing_ok=True)


def log_in(host: ChangeHost, name: str, dialogue: Dialogue = (), key: Path | None = None) -> int:
    options = client_options(host, key)  # type: ignore[arg-type]
    return converse(["/usr/bin/ssh", *options, "-l", name, "127.0.0.1", "id -un"], dialogue).status


@pytest.mark.parametrize("how", ["key", "password"])
def test_who_sits_there_tries_it_from_another_terminal_and_keeps_it(
    change_host: ChangeHost,
    sit: Callable[..., Sitting],
    user: User,
    credential: Credential,
    how: str,
) -> None:
    user.may_sudo()
    before = state()
    key = user.new_ssh_key() if how == "key" else None
    here = sit(user.name, "sudo pam-totp enable sshd", key)
    if not key:
        here.answer(r"password: ", user.password)
    here.answer(r"\[sudo\] password for \w+: ", user.password)
    here.answer(CODE, credential.code())
    here.answer(CHANGE, "y")
    here.expect("Attempts, from")
    first = [] if key else [(PASSWORD, user.password)]
    assert log_in(change_host, user.name, [*first, (CODE, credential.fresh_code())], key) == 0
    here.answer(KEEP, "y")
    code, shown = here.end()
    assert code == 0, shown
    assert os.listdir(REMEMBERED) == ["sshd"]  # whose lost line is reported from here on
    assert f"a code of {user.name}" in shown and "+auth required pam_totp.so" in shown
    assert log_in(change_host, user.name, [*first, (CODE, credential.fresh_code())], key) == 0
    assert "nothing was changed" in pam_totp("enable", "sshd").output
    done = pam_totp("disable", "sshd", "--yes")
    assert (done.code, state()) == (0, before), done.errors
    wait_until(lambda: not change_host.asks_for_a_key_and_more)
    assert log_in(change_host, user.name, [] if key else [("password: ", user.password)], key) == 0


def test_no_in_the_trial_takes_everything_back(
    change_host: ChangeHost, sit: Callable[..., Sitting], user: User, credential: Credential
) -> None:
    user.may_sudo()
    before = state()
    here = sit(user.name, "sudo pam-totp enable sshd --trial 60s", user.new_ssh_key())
    here.answer(r"\[sudo\] password for \w+: ", user.password)
    here.answer(CODE, credential.code())
    here.answer(CHANGE, "y")
    here.expect("Attempts, from")
    assert state() != before
    here.child.send("n\r")
    code, shown = here.end()
    assert code == 1 and "taken back" in shown
    assert "hint: sudo pam-totp enable sshd --trial 60s" in shown
    assert state() == before and not change_host.asks_for_a_key_and_more


@pytest.mark.parametrize("root", ["code", "key"])
def test_root_who_came_with_a_key_gets_in_again(
    change_host: ChangeHost,
    sit: Callable[..., Sitting],
    root_key: Path,
    root_credential: Credential,
    root: str,
) -> None:
    """The commonest server of all, with Debian's PermitRootLogin prohibit-password."""
    assert log_in(change_host, "root", key=root_key) == 0
    here = sit("root", "pam-totp enable sshd --no-trial", root_key)
    here.answer(r"root \[code/key/no\]: ", "yes")
    here.answer(r"root \[code/key/no\]: ", root)
    here.answer(CODE, root_credential.code())
    here.answer(CHANGE, "y")
    code, shown = here.end()
    assert code == 0, shown
    if root == "code":
        assert log_in(change_host, "root", [(CODE, root_credential.fresh_code())], root_key) == 0
        assert "PermitRootLogin yes" in SETTINGS.read_text()
    else:
        assert log_in(change_host, "root", key=root_key) == 0
        assert "root: the key alone, without a code." in shown


def test_root_who_sits_there_is_not_shut_out(
    change_host: ChangeHost, sit: Callable[..., Sitting], root_key: Path
) -> None:
    before = state()
    here = sit("root", "pam-totp enable sshd --no-trial --root no --yes --force", root_key)
    code, shown = here.end()
    assert code == 1 and state() == before
    assert "you (root from 127.0.0.1) logged in with a key" in shown
    here = sit("root", "pam-totp enable sshd --no-trial --yes --force </dev/null", root_key)
    code, shown = here.end()
    assert code == 2 and "choose --root code, key or no" in shown and state() == before


def test_a_line_that_anybody_wrote_into_the_log_moves_nobody_from_the_chair(
    change_host: ChangeHost, sit: Callable[..., Sitting], root_key: Path, user: User
) -> None:
    before = state()
    said = f"Nov 29 01:02:03 server sshd[1]: Accepted password for {user.name} from 127.0.0.1"
    forge = f"set -- $SSH_CONNECTION; echo '{said} port '$2' ssh2' >>{AUTH_LOG}"
    enable = "pam-totp enable sshd --no-trial --root no --yes --force"
    code, shown = sit("root", f"{forge}; {enable}", root_key).end()
    assert code == 1 and state() == before
    assert "you (root from 127.0.0.1) logged in with a key" in shown
    enable = "pam-totp enable sshd --no-trial --root key --first-factor key --yes --force"
    code, shown = sit("root", f"{forge}; {enable}", root_key).end()
    assert code == 1 and state() == before
    assert f"you ({user.name} from 127.0.0.1) logged in with a password" in shown


@pytest.mark.parametrize(("first_factor", "method"), [("password", "a key"), ("key", "a password")])
def test_the_way_in_of_who_sits_there_is_not_ended(
    change_host: ChangeHost,
    sit: Callable[..., Sitting],
    user: User,
    first_factor: str,
    method: str,
) -> None:
    user.may_sudo()
    before = state()
    key = user.new_ssh_key() if first_factor == "password" else None
    arguments = ["--first-factor", first_factor, *ALL]
    here = sit(user.name, f"sudo pam-totp enable sshd {shlex.join(arguments)}", key)
    if not key:
        here.answer(r"password: ", user.password)
    here.answer(r"\[sudo\] password for \w+: ", user.password)
    code, shown = here.end()
    assert code == 1 and state() == before
    assert f"you ({user.name} from 127.0.0.1) logged in with {method}" in shown
    assert "hint: sudo pam-totp enable sshd --first-factor either\n" in shown


def test_accounts_of_programs_are_found_in_the_log_and_exempted(
    change_host: ChangeHost, make_user: Callable[..., User]
) -> None:
    borg, alice = make_user(), make_user()
    keys = [each.new_ssh_key() for each in (borg, alice)]
    for _ in range(2):
        assert log_in(change_host, borg.name, key=keys[0]) == 0
    text = AUTH_LOG.read_text(encoding="utf-8")
    for _ in range(3):  # alice had a terminal
        AUTH_LOG.write_text(
            text.replace(f"for {borg.name} ", f"for {alice.name} ").replace(
                f"command for {alice.name}", f"shell on pts/0 for {alice.name}"
            )
            + text
        )
    shown = pam_totp("enable", "sshd", "--dry-run").output
    assert f"  {borg.name} (2 logins in the last 30 days)" in shown and alice.name not in shown
    assert f"--exempt-key {borg.name}" in shown
    done = pam_totp("enable", "sshd", "--exempt-key", borg.name, *ALL)
    assert done.code == 0, done.errors
    assert "has no key" not in done.output
    assert f"{borg.name}: the key alone, without a code." in done.output
    assert log_in(change_host, borg.name, key=keys[0]) == 0
    assert "nothing was changed" in pam_totp("enable", "sshd", *ALL).output
    assert pam_totp("disable", "--all", "--yes").code == 0


def test_a_key_alone_by_a_block_of_the_administrator_s_needs_a_word_of_theirs(
    change_host: ChangeHost, make_user: Callable[..., User]
) -> None:
    borg = make_user()
    key = borg.new_ssh_key()
    usual = OF_THE_TEST.read_text()
    OF_THE_TEST.write_text(f"{usual}Match User {borg.name}\n  AuthenticationMethods publickey\n")
    change_host.reload()
    before = state()
    done = pam_totp("enable", "sshd", *ALL)
    assert done.code == 1 and state() == before
    assert f"Match user {borg.name} ({OF_THE_TEST}, line " in done.errors
    assert "publickey would be enough, without a code; nothing was changed" in done.errors
    assert f"\nhint: pam-totp enable sshd --exempt-key {borg.name}\n" in done.errors
    assert log_in(change_host, borg.name, key=key) == 0
    done = pam_totp("enable", "sshd", "--exempt-key", borg.name, *ALL)
    assert done.code == 0, done.errors
    assert log_in(change_host, borg.name, key=key) == 0
    assert open_at_sshd() == []
    assert pam_totp("disable", "sshd", "--yes").code == 0
    with configured(f"rules: [{{user: {borg.name}, publickey: true, code: never}}]\n"):
        done = pam_totp("enable", "sshd", *ALL)
        assert done.code == 0, done.errors
        assert "the key alone, without a code (rule of line 1)." in done.output
        assert log_in(change_host, borg.name, key=key) == 0
        assert open_at_sshd() == []
    assert len(open_at_sshd()) == 1  # the rule is gone, and the block is not
    again = pam_totp("enable", "sshd", *ALL)
    assert again.code == 1 and "--exempt-key" in again.errors
    assert pam_totp("disable", "sshd", "--yes").code == 0


def open_at_sshd() -> list[str]:
    """The ways without a code at sshd that doctor finds."""
    found = json.loads(pam_totp("doctor", "--json").output)["findings"]
    return [
        each["what"]
        for each in found
        if each["kind"] == "way-without-code" and each["what"].startswith("sshd ")
    ]


def test_programs_that_log_in_as_root_are_found_too(
    change_host: ChangeHost, root_key: Path
) -> None:
    WTMP.write_bytes(b"")  # other tests were root at a terminal
    assert log_in(change_host, "root", key=root_key) == 0
    shown = pam_totp("enable", "sshd", "--dry-run", "--root", "code").output
    assert "  root (1 login in the last 30 days)" in shown and "add: --root key" in shown
    shown = pam_totp("enable", "sshd", "--dry-run", "--root", "key").output
    assert "root (1 login" not in shown


def test_a_code_of_root_s_needs_that_root_has_enrolled(
    change_host: ChangeHost, root_key: Path
) -> None:
    said = "root has not enrolled, and needs a code after the key with --root code."
    dry = ("enable", "sshd", "--dry-run", "--root")
    assert said in pam_totp(*dry, "code").output
    assert said not in pam_totp(*dry, "key").output


def test_users_without_a_key_are_named_where_only_keys_are_to_do(
    change_host: ChangeHost, make_user: Callable[..., User]
) -> None:
    borg, carol = make_user(), make_user()
    borg.new_ssh_key()
    dry = ("enable", "sshd", "--dry-run")
    shown = " ".join(pam_totp(*dry, "--first-factor", "key").output.split())
    (listed,) = re.findall(r"Without a key, these users could not log in .*?: (.*?)\.", shown)
    assert carol.name in listed and borg.name not in listed
    shown = pam_totp(*dry, "--exempt-key", borg.name, "--exempt-key", carol.name).output
    assert f"{carol.name} has no key, and with the key alone could not log in" in shown
    assert f"{borg.name} has no key" not in shown and "Without a key" not in shown


def test_after_a_key_alone_nobody_is_accepted_any_more(
    change_host: ChangeHost, user: User, credential: Credential
) -> None:
    assert pam_totp("enable", "sshd", *ALL).code == 0
    key = user.new_ssh_key()
    assert log_in(change_host, user.name, [(CODE, credential.fresh_code())], key) == 0
    wrong = [(CODE, credential.incorrect_code(number)) for number in range(3)]
    assert log_in(change_host, user.name, wrong, key) == 255
    assert log_in(change_host, user.name, [(PASSWORD, "wrong")]) == 255


def test_on_a_server_of_keys_alone_no_password_lets_anybody_in(
    change_host: ChangeHost, user: User, make_user: Callable[..., User], credential: Credential
) -> None:
    OF_THE_TEST.write_text(
        f"{OF_THE_TEST.read_text()}PasswordAuthentication no\nKbdInteractiveAuthentication no\n"
    )
    change_host.reload()
    other, key = make_user(), user.new_ssh_key()
    assert log_in(change_host, other.name) == 255
    done = pam_totp("enable", "sshd", *ALL)
    assert done.code == 0, done.errors
    with configured("enrollment: optional\n"):
        assert log_in(change_host, user.name, [(CODE, credential.fresh_code())], key) == 0
        assert log_in(change_host, other.name) == 255
        opened = pam_totp("enable", "sshd", "--first-factor", "either", *ALL)
        assert "everybody else: a password is accepted from now on" in opened.output
    assert pam_totp("disable", "sshd", "--yes", "--force").code == 0


def test_what_others_wrote_since_stays(change_host: ChangeHost) -> None:
    before = STACK.read_bytes()
    assert pam_totp("enable", "sshd", *ALL).code == 0
    STACK.write_bytes(STACK.read_bytes() + b"session optional pam_permit.so\n")
    assert pam_totp("disable", "sshd", "--yes").code == 0
    assert STACK.read_bytes() == before + b"session optional pam_permit.so\n"
    assert not SETTINGS.exists()
    assert pam_totp("enable", "sshd", *ALL).code == 0
    SETTINGS.write_text(SETTINGS.read_text() + "# by hand\n")
    done = pam_totp("disable", "sshd", "--yes")
    assert done.code == 1 and "was edited since, and would be removed" in done.errors
    assert pam_totp("disable", "sshd", "--yes", "--force").code == 0
    assert not SETTINGS.exists()
    again = pam_totp("disable", "sshd", "--yes")
    assert again.code == 0 and "nothing was changed" in again.output


def test_an_option_that_is_not_given_again_keeps_its_value(
    change_host: ChangeHost, make_user: Callable[..., User]
) -> None:
    borg, ansible, carol = make_user(), make_user(), make_user()
    key, code = borg.new_ssh_key(), enroll(borg)
    enable = ("enable", "sshd")
    first = ("--first-factor", "either", "--root", "no", "--exempt-key", borg.name)
    assert pam_totp(*enable, *first, *ALL).code == 0
    second = pam_totp(*enable, "--exempt-key", ansible.name, *ALL)
    assert second.code == 0, second.errors
    kept = f"still apply: --first-factor either --root no --exempt-key {borg.name}.\n"
    assert kept in second.output
    assert log_in(change_host, borg.name, key=key) == 0
    third = pam_totp(*enable, "--no-exempt-key", borg.name, *ALL)
    assert third.code == 0, third.errors
    assert f"{borg.name}: the key alone is not enough any more.\n" in third.output
    assert f"still apply: --first-factor either --root no --exempt-key {ansible.name}.\n" in (
        third.output
    )
    assert log_in(change_host, borg.name, [(CODE, code.fresh_code())], key) == 0
    again = pam_totp(*enable, "--no-exempt-key", carol.name, *ALL)
    assert (again.code, "nothing was changed" in again.output) == (0, True)
    assert f"Match User {ansible.name}\n" in SETTINGS.read_text()
    assert pam_totp("disable", "sshd", "--yes").code == 0


def test_what_an_edited_file_still_tells_is_kept_and_what_is_lost_is_said(
    change_host: ChangeHost, make_user: Callable[..., User]
) -> None:
    borg, carol = make_user(), make_user()
    enable = ("enable", "sshd")
    first = ("--first-factor", "key", "--root", "no", "--exempt-key", borg.name)
    assert pam_totp(*enable, *first, *ALL).code == 0
    SETTINGS.write_text(f"MaxAuthTries 9\n{SETTINGS.read_text()}")
    done = pam_totp(*enable, "--exempt-key", carol.name, *ALL)
    assert done.code == 0, done.errors
    assert f"WARNING: {SETTINGS} was edited." in done.output
    written = SETTINGS.read_text()
    assert "MaxAuthTries" not in written
    assert "AuthenticationMethods publickey,keyboard-interactive:pam\n" in written
    assert "PermitRootLogin no\n" in written
    assert re.findall("^Match User (.*)$", written, re.MULTILINE) == [borg.name, carol.name]
    assert pam_totp("disable", "sshd", "--yes").code == 0
