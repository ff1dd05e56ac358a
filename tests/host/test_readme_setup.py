# SPDX-License-Identifier: MIT
"""set-up-sshd, and the README's "in five minutes": its commands, run as they stand there."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.pam_services import COMMON_AUTH, PASSWORD_LINE, SERVICES, PamServices, shipped_lines
from tests.host.ssh_server import shipped_settings

README = Path(__file__).resolve().parents[2] / "README.md"
CHAPTER = re.compile(r"^## Turn it on.*?(?=^## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^ +```\n(.*?)^ +```", re.MULTILINE | re.DOTALL)
CHOICES = ("password-then-code", "key-then-code", "key-or-password-then-code")
SET_UP = "/usr/libexec/pam-totp/set-up-sshd"
STACK = SERVICES / "sshd"
SETTINGS = Path("/etc/ssh/sshd_config.d")
OURS = SETTINGS / "00-pam-totp.conf"
CONFIGURATION = Path("/etc/ssh/sshd_config")
ORIGINAL = Path("/var/backups/pam-totp.pam.d-sshd")


@pytest.fixture(autouse=True)
def untouched(host_key: None) -> Iterator[str]:
    """/etc/pam.d/sshd as it was; all is put back after the test."""
    text = STACK.read_text(encoding="utf-8")
    SETTINGS.mkdir(exist_ok=True)
    before = set(SETTINGS.iterdir())
    yield text
    ORIGINAL.unlink(missing_ok=True)
    STACK.write_text(text, encoding="utf-8")
    for path in set(SETTINGS.iterdir()) - before:
        path.unlink()


def set_up(argument: str, status: int = 0) -> str:
    done = subprocess.run([SET_UP, argument], capture_output=True, text=True)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def commands() -> str:
    """Steps 3 and 4, but for the restart, which wants systemd."""
    chapter = CHAPTER.search(README.read_text(encoding="utf-8"))
    assert chapter
    blocks = [block for block in BLOCK.findall(chapter[0]) if "ssh" in block]
    assert len(blocks) == 3
    text = "".join(blocks)
    assert text.count("systemctl restart ssh") == 1
    return text.replace("&& systemctl restart ssh", "")


def auth_lines() -> list[str]:
    """What stands where the password's line stood."""
    text = STACK.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return lines[: lines.index("account    required     pam_nologin.so")]


def state() -> tuple[str, str | None, list[str]]:
    settings = OURS.read_text(encoding="utf-8") if OURS.exists() else None
    return STACK.read_text(encoding="utf-8"), settings, sorted(os.listdir(SERVICES))


def expected(choice: str) -> list[str]:
    lines = shipped_lines(choice)
    return [PASSWORD_LINE, *lines] if choice == "password-then-code" else lines


def test_readme_s_commands_set_sshd_up() -> None:
    done = subprocess.run(["bash", "-euc", commands()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert auth_lines() == expected("key-or-password-then-code")
    assert "Match User borg" in (SETTINGS / "50-borg.conf").read_text(encoding="utf-8")


@pytest.mark.parametrize("earlier", [None, *CHOICES])
@pytest.mark.parametrize("choice", CHOICES)
def test_chosen_lines_stand_where_the_tests_have_them_also_after_another_choice(
    untouched: str, choice: str, earlier: str | None
) -> None:
    if earlier:
        set_up(earlier)
    said = set_up(choice)
    assert auth_lines() == expected(choice)
    assert OURS.read_text(encoding="utf-8") == shipped_settings(choice)
    assert ORIGINAL.read_text(encoding="utf-8") == untouched
    after = state()
    assert after[2] == sorted(set(after[2]) - {".sshd.pam-totp", ".sshd.pam-totp.new"})
    if choice != earlier:
        assert f"added {choice}" in said and "systemctl restart ssh" in said
    assert "nothing was changed" in set_up(choice)
    assert state() == after
    set_up("--undo")
    assert STACK.read_text(encoding="utf-8") == untouched
    assert not OURS.exists()
    assert "nothing was changed" in set_up("--undo")


@pytest.mark.parametrize("argument", ["", "key-then-cod", "password_then_code", "../x", "--und"])
def test_misspelt_choice_changes_nothing(argument: str) -> None:
    before = state()
    said = set_up(argument, 2)
    assert "nothing was changed\nhint: " in said and "key-or-password-then-code" in said
    assert [line for line in said.splitlines() if len(line) > 80] == []
    assert state() == before


@pytest.mark.parametrize("argument", ["--help", "-h"])
def test_help_explains_each_choice_in_80_columns_and_changes_nothing(argument: str) -> None:
    before = state()
    said = set_up(argument)
    assert all(f"\n  {each} " in said for each in (*CHOICES, "--undo"))
    assert [line for line in said.splitlines() if len(line) > 80] == []
    assert state() == before


def test_undo_on_purpose_is_no_loss_that_commands_warn_of() -> None:
    def warning() -> str:
        done = subprocess.run(["pam-totp", "users"], capture_output=True, text=True)
        return done.stderr

    set_up("key-then-code")
    assert warning() == ""
    STACK.write_text(f"{PASSWORD_LINE}\n", encoding="utf-8")  # as an upgrade may
    assert "no longer asking for a code" in warning()
    set_up("--undo")
    assert warning() == ""


def test_what_else_stands_there_stays(untouched: str) -> None:
    set_up("key-then-code")
    with STACK.open("a", encoding="utf-8") as file:
        file.write("session optional pam_permit.so\n")
    set_up("password-then-code")
    set_up("--undo")
    assert STACK.read_text(encoding="utf-8") == untouched + "session optional pam_permit.so\n"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("auth required pam_unix.so\n", "not have exactly one line"),
        (f"{PASSWORD_LINE}\n{PASSWORD_LINE}\n", "not have exactly one line"),
        (f"{PASSWORD_LINE}\nauth required pam_totp.so\n", "added by hand"),
        (f"auth sufficient pam_unix.so\n{PASSWORD_LINE}\n", "would be wrong"),
        (f"{PASSWORD_LINE}\nauth required pam_unix.so\r\n", "would be wrong"),
        (f"{PASSWORD_LINE}\n@include nowhere\n", "would be wrong"),
    ],
)
def test_stack_that_would_not_be_right_is_left_as_it_is(
    pam_services: PamServices, text: str, what: str
) -> None:
    pam_services.write("sshd", text)
    before = state()
    said = set_up("password-then-code", 1)
    assert what in said and len(said.splitlines()) == 2
    assert state() == before


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("HostKey /etc/ssh/throwaway_host_key\n", "does not use"),  # no Include
        ("AuthenticationMethods any\nInclude /etc/ssh/sshd_config.d/*.conf\n", "does not use"),
        ("NoSuchKeyword yes\n", "NoSuchKeyword"),
    ],
)
def test_settings_that_sshd_would_not_use_are_taken_back(text: str, what: str) -> None:
    before, kept = state(), CONFIGURATION.read_text(encoding="utf-8")
    try:
        CONFIGURATION.write_text(text, encoding="ascii")
        assert what in set_up("key-then-code", 1)
    finally:
        CONFIGURATION.write_text(kept, encoding="utf-8")
    assert state() == before


def test_jump_after_a_key_is_counted_for_this_host_s_common_auth(
    pam_services: PamServices,
) -> None:
    more = "auth optional pam_faildelay.so\n@include more-auth\n"
    pam_services.write("more-auth", "auth optional pam_faildelay.so\n# auth x\n")
    pam_services.write("common-auth", COMMON_AUTH.read_text(encoding="utf-8") + more)
    set_up("key-or-password-then-code")
    lines = shipped_lines("key-or-password-then-code")  # counts what is in that file itself
    number = int(re.findall(r"success=(\d+)", lines[0])[0])
    assert auth_lines()[0] == lines[0].replace(f"success={number}", f"success={number + 1}")


@pytest.mark.parametrize("argument", ["key-then-code", "--undo"])
def test_only_root_may_and_the_hint_is_the_whole_command(user: User, argument: str) -> None:
    done = user.run_as(SET_UP, argument)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 2)
    assert done.stderr.endswith(f"\nhint: sudo {SET_UP} {argument}\n")
