# SPDX-License-Identifier: MIT
"""`pam-totp enable sshd` where sshd asks for the codes of google-authenticator already, on a real
sshd with that program's real users: first beside its module, then in its place."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.commands.commands import assert_refused, configured, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.oath import GOOGLE_LINE, enroll_with_google
from tests.host.pam_services import PASSWORD_LINE
from tests.host.ssh_client import client_options
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation, converse
from tests.trial.change_host import OF_THE_TEST, STACK, ChangeHost, state

PASSWORD, CODE = "Password: ", "Verification code: "
OURS, THEIRS = "ours", "theirs"
ENABLE = ("enable", "sshd")
ALL = ("--yes", "--force", "--no-trial")
BESIDE, REPLACE = ("--beside", "google-authenticator"), ("--replace", "google-authenticator")
README = Path(__file__).resolve().parents[2] / "README.md"
STRICT_LINE = GOOGLE_LINE.removesuffix(" nullok")


@pytest.fixture
def google_host(change_host: ChangeHost) -> ChangeHost:
    """sshd as its administrator has set it up for google-authenticator."""
    text = STACK.read_text()
    STACK.write_text(text.replace(PASSWORD_LINE, f"{PASSWORD_LINE}\n# the code\n{GOOGLE_LINE}"))
    OF_THE_TEST.write_text(f"{OF_THE_TEST.read_text()}KbdInteractiveAuthentication yes\n")
    change_host.reload()
    return change_host


@pytest.fixture
def log_in(google_host: ChangeHost) -> Callable[..., Conversation]:
    """`log_in(user, code, ..., key=...)`: with the password, if not with a key."""

    def to_it(user: User, *codes: str, key: Path | None = None) -> Conversation:
        options = client_options(google_host, key)  # type: ignore[arg-type]
        dialogue = [] if key else [(PASSWORD, user.password)]
        dialogue += [(CODE, code) for code in codes]
        argv = ["/usr/bin/ssh", *options, "-l", user.name, "127.0.0.1", "id -un"]
        return converse(argv, dialogue)

    return to_it


@pytest.fixture
def who_asks(
    log_in: Callable[..., Conversation], system_log: SystemLog
) -> Callable[..., list[str]]:
    """`who_asks(user, credential, key=...)`: logs in, and tells which modules took a code."""

    def asked(
        user: User, credential: Credential | None = None, key: Path | None = None
    ) -> list[str]:
        system_log.clear()
        codes = [credential.fresh_code()] if credential else []
        login = log_in(user, *codes, key=key)
        assert login.status == 0, login.transcript
        assert len(login.prompts) == (key is None) + len(codes), login.transcript
        ours = [OURS for each in system_log.decisions() if each["reason"] == "totp"]
        return ours + [THEIRS for _ in system_log.lines("Accepted google_authenticator")]

    return asked


def is_refused(login: Conversation) -> bool:
    return login.status == 255


def steps_of_readme(me: User) -> list[list[str]]:
    """The commands of the README's chapter, as one types them who is not called alice."""
    text = README.read_text(encoding="utf-8")
    chapter = text.partition("\n## Coming from google-authenticator\n")[2].partition("\n## ")[0]
    found = re.findall(r"^ +pam-totp (.*)$", chapter, re.MULTILINE)
    return [[me.name if word == "alice" else word for word in line.split()] for line in found]


def test_readme_moves_a_host_and_each_user_is_asked_once_all_the_time(
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    who_asks: Callable[..., list[str]],
    log_in: Callable[..., Conversation],
) -> None:
    me, late, other, never, new = (make_user() for _ in range(5))
    mine, of_late, of_other = map(enroll_with_google, (me, late, other))
    keys = {user: user.new_ssh_key() for user in (me, late, never)}
    look, import_me, beside, import_all, replace = steps_of_readme(me)
    before = state()
    assert pam_totp(*look).code == 0
    assert pam_totp(*import_me).code == 0
    done = pam_totp(*beside, *ALL)
    assert done.code == 0, done.errors
    of_new = enrolled(new)
    assert who_asks(me, mine, keys[me]) == [OURS]
    assert who_asks(late, of_late, keys[late]) == [THEIRS]
    assert who_asks(other, of_other) == [THEIRS]
    assert who_asks(new, of_new) == [OURS]
    assert who_asks(never) == who_asks(never, key=keys[never]) == []
    # Neither lets anybody in who has no code, and theirs does not ask again what ours refused.
    wrong = [mine.incorrect_code(number) for number in range(3)]
    assert is_refused(log_in(me, *wrong, key=keys[me]))
    assert is_refused(log_in(late, of_late.incorrect_code(), key=keys[late]))
    assert pam_totp("unlock", me.name).code == 0
    assert pam_totp(*import_all).code == 0
    assert who_asks(late, of_late) == [OURS]
    done = pam_totp(*replace, *ALL)
    assert done.code == 0, done.errors
    assert "the other program only" not in done.output
    assert who_asks(me, mine) == [OURS]
    assert who_asks(never) == []
    done = pam_totp("disable", "sshd", "--yes")
    assert (done.code, state()) == (0, before), done.errors
    assert who_asks(other, of_other) == [THEIRS]


def test_line_that_asks_before_the_password_asks_behind_it_and_goes_back(
    google_host: ChangeHost,
    user: User,
    log_in: Callable[..., Conversation],
    who_asks: Callable[..., list[str]],
) -> None:
    """As guides have it that put the line at the top."""
    text = STACK.read_text().replace(f"{GOOGLE_LINE}\n", "")
    STACK.write_text(f"{GOOGLE_LINE}\n{text}")
    credential, before = enroll_with_google(user), state()
    done = pam_totp(*ENABLE, *BESIDE, *ALL)
    assert done.code == 0, done.errors
    assert who_asks(user, credential) == [THEIRS]
    assert is_refused(log_in(user, credential.incorrect_code()))
    assert pam_totp("disable", "sshd", "--yes").code == 0
    assert state() == before


def test_without_a_terminal_it_is_for_the_administrator_to_say_which(
    google_host: ChangeHost, tmp_path: Path
) -> None:
    before = state()
    for arguments in (ALL, ("--no-trial",), ("--json", *ALL)):
        done = pam_totp(*ENABLE, *arguments)
        assert (done.code, state(), done.output) == (2, before, "")
        error, hint = done.errors.splitlines()
        assert error.startswith("pam-totp: error: sshd has a line that asks for codes of google")
        assert hint == f"hint: {shlex.join(['pam-totp', *ENABLE, *arguments, *BESIDE])}"
    shown = pam_totp(*ENABLE, "--dry-run")
    assert shown.code == 0 and "success=1 ignore=ignore default=die" in shown.output
    assert state() == before


def test_on_a_terminal_the_pair_is_proposed_and_nothing_is_written_without_a_yes(
    google_host: ChangeHost,
) -> None:
    before = state()
    command = ["/usr/bin/pam-totp", *ENABLE, "--no-trial", "--force"]
    said = converse(command, [(r"Change these files\? \[y/N\] ", "n")])
    shown = " ".join(said.transcript.split())
    assert state() == before and "all others by pam_google_authenticator.so, as before" in shown
    said = converse(command, [(r"Change these files\? \[y/N\] ", "y")])
    assert said.status == 0 and state() != before, said.transcript
    assert pam_totp("disable", "sshd", "--yes").code == 0
    assert state() == before


def test_users_whom_neither_knows_and_those_left_behind_are_named_before_anything_is_written(
    google_host: ChangeHost,
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
    log_in: Callable[..., Conversation],
) -> None:
    late, never, new = make_user(), make_user(), make_user()
    enroll_with_google(late)
    enrolled(new)
    shown = pam_totp(*ENABLE, *REPLACE, "--dry-run").output
    assert f"the other program only, and would need no code:\n  {late.name}\n" in shown
    assert never.name not in shown and new.name not in shown
    with configured("enrollment: required\n"):
        shown = pam_totp(*ENABLE, *REPLACE, "--dry-run").output
        assert f"{late.name}: has not enrolled (sshd)" in shown
        assert "the other program only" not in shown
    # A module that knows no `nullok` refuses those whom it does not know.
    STACK.write_text(STACK.read_text().replace(GOOGLE_LINE, STRICT_LINE))
    shown = pam_totp(*ENABLE, *BESIDE, "--dry-run").output
    why = "has a secret neither here nor of google-authenticator"
    assert f"  {never.name}: {why} (sshd)\n" in shown
    assert late.name not in shown and new.name not in shown
    assert pam_totp(*ENABLE, *BESIDE, *ALL).code == 0
    assert is_refused(log_in(never, "000000"))
    done = pam_totp("disable", "sshd", "--yes")
    assert done.code == 1 and f"{new.name} would be refused, without a secret of" in done.errors
    assert pam_totp("disable", "sshd", "--yes", "--force").code == 0


@pytest.mark.parametrize("where", ["${HOME}/users.oath", "/etc/oath/${USER}", "/etc/users.oath"])
def test_who_is_left_behind_is_never_nobody_because_each_user_has_a_file_of_oath(
    google_host: ChangeHost, user: User, where: str
) -> None:
    line = f"auth required pam_oath.so usersfile={where}"
    STACK.write_text(STACK.read_text().replace(GOOGLE_LINE, line))
    path = Path(where.replace("${HOME}", str(user.home)).replace("${USER}", user.name))
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"HOTP/T30 {user.name} - {'3132333435' * 4}\n")
    shown = " ".join(pam_totp(*ENABLE, "--replace", "oath", "--dry-run").output.split())
    is_one = where == "/etc/users.oath"
    assert (f"and would need no code: {user.name}" in shown) == is_one, shown
    assert ("has files of its own, so it is not known here which users" in shown) != is_one


def test_what_was_chosen_is_kept_until_the_other_option_is_given(google_host: ChangeHost) -> None:
    before = state()
    assert pam_totp(*ENABLE, *BESIDE, *ALL).code == 0
    beside = state()
    again = pam_totp(*ENABLE, *ALL)
    assert (again.code, state()) == (0, beside)
    assert "still applies: --beside google-authenticator." in again.output
    assert pam_totp(*ENABLE, *REPLACE, *ALL).code == 0
    alone = state()
    assert b"# was: " + GOOGLE_LINE.encode() in alone[0]
    again = pam_totp(*ENABLE, *ALL)
    assert (again.code, state()) == (0, alone)
    assert "still applies: --replace google-authenticator." in again.output
    assert pam_totp(*ENABLE, *BESIDE, *ALL).code == 0
    assert state() == beside
    assert pam_totp("disable", "sshd", "--yes").code == 0
    assert state() == before


def test_line_of_a_module_that_is_gone_meanwhile_is_not_put_back(google_host: ChangeHost) -> None:
    assert pam_totp(*ENABLE, *REPLACE, *ALL).code == 0
    after = state()
    module = next(Path("/usr/lib").glob("*/security/pam_google_authenticator.so"))
    aside = module.rename(module.with_suffix(".aside"))
    try:
        done = pam_totp("disable", "sshd", "--yes")
    finally:
        aside.rename(module)
    assert (done.code, state()) == (1, after)
    assert_refused(
        done, "'pam_google_authenticator.so', which is no module here, so users may be refused"
    )
    hint = "if that may happen, run: pam-totp disable sshd --yes --force"
    assert done.errors.splitlines()[1] == f"hint: {hint}"
    assert pam_totp("disable", "sshd", "--yes").code == 0


def test_either_step_is_on_trial_and_a_no_takes_that_step_back(
    user: User, credential: Credential, log_in: Callable[..., Conversation]
) -> None:
    key = user.new_ssh_key()
    for option in (BESIDE, REPLACE):
        before = state()
        for answer in ("n", "y"):
            words = [*ENABLE, *option, "--yes", "--force"]
            child = pexpect.spawn("/usr/bin/pam-totp", words, encoding="utf-8", timeout=60)
            child.expect("Attempts, from")
            assert log_in(user, credential.fresh_code(), key=key).status == 0
            child.expect(r"Keep it\? \[y/N\] ")
            child.send(f"{answer}\r")
            child.expect(pexpect.EOF)
            child.close()
            assert (child.exitstatus == 0, state() == before) == (answer == "y", answer == "n")
    assert pam_totp("disable", "sshd", "--yes").code == 0


def test_program_that_no_line_is_of_is_a_fault_in_two_lines(google_host: ChangeHost) -> None:
    before = state()
    done = pam_totp(*ENABLE, "--beside", "oath", *ALL)
    assert (done.code, state()) == (2, before)
    assert done.errors.splitlines() == [
        "pam-totp: error: sshd: no line asks for codes of oath",
        "hint: pam-totp enable sshd",
    ]
