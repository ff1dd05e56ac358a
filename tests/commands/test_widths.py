# SPDX-License-Identifier: MIT
"""What a terminal of 80 columns shows: no line is wider, and nothing is broken within a word."""

import pwd
from collections.abc import Callable

import pytest

from pam_totp.commands.users import _table
from pam_totp.listing import fit
from pam_totp.login.enroll_at_login import save_first_recovery_codes
from pam_totp.records.config.table import DEFAULTS
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import recovery
from pam_totp.verbs import VERBS
from tests.commands.commands import configured, pam_totp, secret_of, verify
from tests.enrollment.person import Phone
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import COMMAND
from tests.host.terminal import CTRL_C, Conversation

OnTerminal = Callable[..., Conversation]


def assert_fits(shown: Conversation) -> None:
    assert [line for line in shown.transcript.splitlines() if len(line) > 80] == []


@pytest.fixture
def faulty_user(make_user: Callable[[], User], enrolled: Callable[..., Credential]) -> User:
    """One whose every listing has much to say: a secret that others can read, a wait, a grant."""
    user = make_user()
    credential = enrolled(user)
    verify(user, credential.fresh_code())
    for index in range(6):
        verify(user, credential.incorrect_code(index))
    pam_totp("grant", user.name, "--once")
    secret_of(user).chmod(0o644)
    return user


IMPORTS = [("import", source) for source in ("oath", "aegis", "seeds", "pskc")]
DEVICES = [("devices", action) for action in ("list", "remove", "rename", "show")]


@pytest.mark.parametrize(
    "verb", [(), *((verb,) for verb in VERBS), *DEVICES, *IMPORTS, ("config", "check")], ids=str
)
def test_help_of_a_verb_fits_80_columns(on_terminal: OnTerminal, verb: tuple[str, ...]) -> None:
    shown = on_terminal([COMMAND, *verb, "--help"])
    assert shown.status == 0
    assert_fits(shown)


@pytest.mark.parametrize("name", ["tablet", "a name " + "x" * 40 + " of fifty letters"])
def test_listing_of_devices_fits_80_columns(
    user: User, enrolled: Callable[..., Credential], on_terminal: OnTerminal, name: str
) -> None:
    verify(user, enrolled(user, device=name).code())
    shown = on_terminal([COMMAND, "devices", "--user", user.name])
    assert shown.status == 0
    assert name in shown.transcript
    assert_fits(shown)


def test_listings_of_a_faulty_user_fit_80_columns(
    on_terminal: OnTerminal, faulty_user: User
) -> None:
    for command in (["users"], ["explain", faulty_user.name]):
        shown = on_terminal([COMMAND, *command])
        assert "chmod 600" in " ".join(shown.transcript.split())
        assert_fits(shown)
    shown = on_terminal([COMMAND, "status"], user=faulty_user)
    assert "chmod 600" in " ".join(shown.transcript.split())
    assert_fits(shown)


def test_explain_of_every_service_fits_80_columns(on_terminal: OnTerminal, user: User) -> None:
    with configured(f"rules:\n  - {{user: {user.name}, service: [sshd, su], code: required}}\n"):
        for options in ([], ["--publickey"], ["--service=su"], ["--service=i3lock"]):
            assert_fits(on_terminal([COMMAND, "explain", user.name, *options]))
        assert_fits(on_terminal([COMMAND, "explain", user.name, "--service=nosuch"]))


def test_message_of_an_error_fits_80_columns(on_terminal: OnTerminal, user: User) -> None:
    for command in (["users", "--wrong", "x" * 40], ["explain", user.name, "--service=a/b"]):
        assert_fits(on_terminal([COMMAND, *command]))


def test_faults_and_warnings_of_the_settings_fit_80_columns(
    on_terminal: OnTerminal, user: User
) -> None:
    check = [COMMAND, "config", "check"]
    with configured("enrollment: requird\nremember: 2d\n"):
        for command in (check, [COMMAND, "users"]):
            assert_fits(on_terminal(command))
    with configured("enrollment: required\n"):  # root would be locked out
        assert "warning" in on_terminal(check).transcript
        assert_fits(on_terminal(check))
    assert_fits(on_terminal(check, user=user))  # without a file


def test_clock_that_is_far_off_is_told_in_80_columns(on_terminal: OnTerminal, user: User) -> None:
    def code_of_yesterday(screen: str) -> str:
        key = screen.partition("secret=")[2].partition("&")[0].strip()
        return Phone(f"otpauth://totp/x?secret={key}").code_of_another_time(-13 * 120 - 50 * 2)

    def refused(screen: str) -> str:
        told = screen.partition("Code from the app:")[2]
        assert "13 h" in told
        assert [line for line in told.splitlines() if len(line) > 80] == []
        return CTRL_C

    prompts = [("Code from the app:", code_of_yesterday), ("Code from the app:", refused)]
    assert on_terminal([COMMAND, "enroll"], prompts, user=user).status == 1


def test_listing_that_goes_into_a_file_has_one_line_for_each_fact(faulty_user: User) -> None:
    lines = pam_totp("users").output.splitlines()
    (fault,) = [line for line in lines if str(faulty_user.home) in line]
    assert len(fault) > 80


def test_messages_of_pam_fit_80_columns_with_the_longest_values_filled_in() -> None:
    """Programs print what PAM says as it is: nothing wraps it."""
    longest = {"{seconds}": "900", "{date}": "2027-03-01", "{days}": "1000"}
    longest |= {"{address}": "a…@students.example.org", "{method}": "mail"}
    longest |= {"{code}": "12345678", "{host}": "server.example.org"}
    nowhere = pwd.struct_passwd(("nobody", "x", 0, 0, "", "/nonexistent", ""))
    said = [text for key, text in DEFAULTS.items() if key.startswith("messages.")]
    said += recovery.describe(recovery.new_codes()).split("\n")
    said += save_first_recovery_codes(SecretDir(nowhere)).split("\n")
    assert said[-1] == "Run: pam-totp recovery-codes"
    for text in said:
        for placeholder, value in longest.items():
            text = text.replace(placeholder, value)
        assert "{" not in text
        assert len(text) <= 80, text


def test_grant_of_a_long_name_fits_the_terminal(on_terminal: OnTerminal, user: User) -> None:
    """A narrow terminal in place of a name of 32 characters."""
    shown = on_terminal([COMMAND, "grant", user.name, "--once"], size=(24, 60))
    assert len(max(shown.transcript.splitlines(), key=len)) <= 60


def test_path_that_is_wider_than_the_terminal_stays_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "40")
    path = "/" + "x" * 60
    assert fit(f"  fault: {path} is open to others").split("\n")[1:2] == [f"    {path}"]


def test_name_that_is_too_long_for_the_table_has_a_line_of_its_own() -> None:
    row: dict[str, object] = {
        "enrolled": True,
        "devices": ["phone"],
        "unconfirmed": True,
        "since": 1,
        "last_code_at": 1,
        "recovery_codes_left": 10,
    }
    row |= {"waiting_seconds": 0, "granted_until": None, "granted_once": False, "fault": ""}
    short, long = {"user": "a" * 21, **row}, {"user": "b" * 32, **row}
    lines = _table([short, long]).split("\n")
    assert [line for line in lines if len(line) > 80] == []
    assert lines[2] == "b" * 32
    assert lines[3].index("unconfirmed") == lines[0].index("enrolled")
