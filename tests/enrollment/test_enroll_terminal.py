# SPDX-License-Identifier: MIT
"""What enrolling shows on which terminal, and that nobody else gets to see it."""

import os
from pathlib import Path

import pytest

from tests.enrollment.person import CODE_PROMPT, Start, run, secret_file
from tests.host.accounts import User
from tests.host.system_log import SystemLog

LIGHT_HALF, ESCAPE = "▀", "\x1b["


def test_code_is_drawn_in_half_blocks_and_colours_that_no_theme_changes(
    user: User, start: Start
) -> None:
    person = start(user, "enroll")
    person.scan()
    shown = person.shown.decode()
    assert LIGHT_HALF in shown
    assert "\x1b[0;38;5;231m" in shown


def test_24_lines_hold_the_code_whole_and_without_wrapping(user: User, start: Start) -> None:
    person = start(user, "enroll")
    person.scan()
    drawn = [line for line in person.shown.decode().splitlines() if ESCAPE in line]
    assert 15 < len(drawn) <= 23


@pytest.mark.parametrize("term", ["dumb", "", "vt100", "vt220", "xterm-mono"])
def test_terminal_without_colours_gets_no_escape_sequence(
    user: User, start: Start, term: str
) -> None:
    person = start(user, "enroll", TERM=term)
    person.scan()
    assert LIGHT_HALF in person.shown.decode()
    assert ESCAPE not in person.shown.decode()


@pytest.mark.parametrize("term", ["linux", "screen", "xterm-256color", "newer-than-this-host"])
def test_terminal_with_colours_or_unknown_to_this_host_gets_them(
    user: User, start: Start, term: str
) -> None:
    person = start(user, "enroll", TERM=term)
    person.scan()
    assert ESCAPE in person.shown.decode()


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"LANG": ""}, {"LANG": "C"}, {"LC_ALL": "xx_YY.none"}],
    ids=str,
)
@pytest.mark.parametrize("size", [(24, 80), (60, 120)])
def test_locale_without_utf8_gets_ascii_alone(
    user: User, start: Start, locale: dict[str, str], size: tuple[int, int]
) -> None:
    person = start(user, "enroll", size=size, **locale)
    phone = person.scan()
    person.type_line(phone.incorrect_code())
    person.answer(CODE_PROMPT, phone.code_of_another_time(30))
    person.answer(CODE_PROMPT, phone.code())
    finished = person.finish()
    assert finished.status == 0
    assert finished.raw.isascii()
    assert (ESCAPE in finished.output) == (size == (60, 120))


@pytest.mark.parametrize("size", [(10, 80), (24, 20), (1, 1)])
def test_window_too_small_for_the_code_shows_key_and_uri(
    user: User, start: Start, size: tuple[int, int]
) -> None:
    person = start(user, "enroll", size=size)
    phone = person.scan()
    shown = person.shown.decode()
    assert LIGHT_HALF not in shown
    assert f"this one is {size[1]}x{size[0]}" in shown
    assert "Key:  " in shown
    person.type_line(phone.code())
    assert person.finish().status == 0


def test_window_of_unknown_size_counts_as_80x24(user: User, start: Start) -> None:
    """As a serial console, whose driver knows of no rows and columns."""
    person = start(user, "enroll", size=(0, 0))
    phone = person.scan()
    assert LIGHT_HALF in person.shown.decode()
    person.type_line(phone.code())
    assert person.finish().status == 0


def last_rows(shown: bytes) -> list[str]:
    return shown.decode().replace("\r\n", "\n").splitlines()[-24:]


@pytest.mark.parametrize("term", ["xterm", "dumb"])
@pytest.mark.parametrize("size", [(24, 80), (0, 0), (60, 160), (10, 80), (24, 20)])
@pytest.mark.parametrize("arguments", [[], ["--no-qr"], ["--issuer", "s" * 16]], ids=str)
def test_key_stands_right_above_the_prompt(
    user: User, start: Start, term: str, size: tuple[int, int], arguments: list[str]
) -> None:
    person = start(user, "enroll", *arguments, size=size, TERM=term)
    phone = person.scan()
    key, prompt = last_rows(person.shown)[-2:]
    assert prompt == CODE_PROMPT
    assert key.removeprefix("Key:  ").replace(" ", "") == phone.secret


def test_drawing_key_and_prompt_stand_together_on_24_rows(user: User, start: Start) -> None:
    person = start(user, "enroll", "--issuer", "i" * 20, "--label", "l" * 30)
    person.scan()
    shown = last_rows(person.shown)
    drawn = [at for at, line in enumerate(shown) if ESCAPE in line]
    assert len(drawn) == 22
    assert drawn == list(range(22))


def test_no_qr_shows_the_key_alone(user: User, start: Start) -> None:
    person = start(user, "enroll", "--no-qr")
    phone = person.scan()
    assert person.shown.isascii()
    assert ESCAPE not in person.shown.decode()
    person.type_line(phone.code())
    assert person.finish().status == 0


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_CTYPE": "UTF-8", "LANG": ""},
        {"LANG": "xx_YY.UTF-8"},
        {"LANG": "xx_YY.utf8@euro"},
        {"LANG": "C", "LC_CTYPE": "xx_YY.UTF-8"},
        {"LANG": "C", "LC_CTYPE": "C", "LC_ALL": "xx_YY.UTF-8"},
        {"LANG": "", "LC_ALL": "", "LC_CTYPE": "C.UTF-8"},
    ],
    ids=str,
)
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_utf8_terminal_gets_half_blocks_though_its_locale_is_not_installed(
    user: User, start: Start, locale: dict[str, str], term: str
) -> None:
    person = start(user, "enroll", TERM=term, **locale)
    person.scan()
    assert LIGHT_HALF in person.shown.decode()


@pytest.mark.parametrize(
    ("locale", "drawn"),
    [({"LC_ALL": "C"}, True), ({"LANG": ""}, True), ({"LANG": "xx_YY.ISO-8859-1"}, False)],
    ids=str,
)
def test_terminal_that_reads_utf8_gets_half_blocks_unless_another_set_is_named(
    user: User, start: Start, locale: dict[str, str], drawn: bool
) -> None:
    command = 'stty iutf8; exec "$0" "$@"'
    person = start(user, "enroll", through=["/bin/sh", "-c", command], **locale)
    person.scan()
    assert (LIGHT_HALF in person.shown.decode()) == drawn


@pytest.mark.parametrize(
    ("locale", "variable"),
    [
        ({"LANG": "C"}, "LANG"),
        ({"LANG": ""}, "LANG"),
        ({"LC_CTYPE": "C"}, "LC_CTYPE"),
        ({"LC_CTYPE": "C", "LC_ALL": "POSIX"}, "LC_ALL"),
    ],
    ids=str,
)
def test_hint_names_the_variable_that_helps(
    user: User, start: Start, locale: dict[str, str], variable: str
) -> None:
    person = start(user, "enroll", **locale)
    person.scan()
    shown = person.shown.decode()
    assert f"{variable}=C.UTF-8 pam-totp enroll" in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if "otpauth" not in line)
    person = start(user, "enroll", **(locale | {variable: "C.UTF-8"}))
    person.scan()
    assert LIGHT_HALF in person.shown.decode()


def test_pipe_gets_key_and_uri_and_no_drawing(user: User) -> None:
    finished = run(user, "enroll", typed="1\n", LANG="C.UTF-8", TERM="xterm")
    assert "Key:  " in finished.output
    assert "URI:  otpauth://" in finished.output
    assert "No QR code is shown because standard output is not a terminal." in finished.output
    assert ESCAPE not in finished.output
    assert finished.raw.isascii()


def test_long_issuer_and_label_are_still_enrolled(user: User, start: Start) -> None:
    person = start(user, "enroll", "--issuer", "Ü" * 64, "--label", "☎" * 64)
    phone = person.scan()
    assert phone.account == "Ü" * 64 + ":" + "☎" * 64
    person.type_line(phone.code())
    assert person.finish().status == 0


def test_secret_is_in_no_argument_and_no_variable(
    user: User, start: Start, syslog: SystemLog
) -> None:
    person = start(user, "enroll", "--device", "tablet")
    phone = person.scan()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid != user.uid:
                continue
            visible = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        assert phone.secret.encode() not in visible
        assert phone.secret[:8].encode() not in visible
    assert all(phone.secret not in line.message for line in syslog.lines())


def test_other_users_cannot_read_the_memory_of_an_enrollment(user: User, start: Start) -> None:
    """What the kernel gives anyway, as long as nothing runs with other rights than the user's."""
    person = start(user, "enroll")
    person.scan()
    status = Path(f"/proc/{person.pid}/status").read_text(encoding="ascii")
    assert f"Uid:\t{user.uid}\t{user.uid}\t{user.uid}\t{user.uid}\n" in status


def test_home_of_the_environment_is_not_asked(user: User, start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    hostile = {name: str(tmp_path) for name in ("HOME", "XDG_CONFIG_HOME", "PYTHONPATH", "TMPDIR")}
    (tmp_path / "qrcode.py").write_text("raise SystemExit('sprung')", encoding="ascii")
    person = start(user, "enroll", **hostile, PYTHONSTARTUP="x", PYTHONHOME="/nowhere", USER="root")
    person.type_line(person.scan().code())
    assert person.finish().status == 0
    assert secret_file(user).exists()
    assert os.listdir(tmp_path) == ["qrcode.py"]
