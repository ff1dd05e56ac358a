# SPDX-License-Identifier: MIT
"""What is shown of the log during a trial, and when somebody counts as logged in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pam_totp.setup import login_log
from pam_totp.setup.attempt import Line, Reader, line_of
from pam_totp.setup.recorded import RecordedLogins
from tests.commands.commands import new_recovery_codes, pam_totp, verify
from tests.host.accounts import User
from tests.host.credentials import Credential

ACCEPT = "verdict=accept reason=totp user=alice service=sshd rhost=192.0.2.7 device=phone"
OPENSSH = "Accepted keyboard-interactive/pam for alice from 192.0.2.7 port 4711 ssh2"


def ours(message: str) -> Line:
    return Line("pam-totp", message)


def test_verdict_is_shown_with_who_and_from_where_and_why() -> None:
    message = 'verdict=refuse reason=clock-skew user="a b" service=sshd rhost=192.0.2.7'
    message += ' detail="off by 300 s"'
    found = Reader(("sshd",)).read(ours(message))
    assert found is not None
    assert found.words == "sshd: a b from 192.0.2.7: refused (clock-skew, off by 300 s)"
    assert not found.user


def test_something_else_than_a_code_is_told_as_perhaps_the_password() -> None:
    message = "verdict=refuse reason=bad-input user=alice service=sshd rhost=192.0.2.7"
    found = Reader(("sshd",)).read(ours(f'{message} detail="not 6 to 8 ASCII digits"'))
    assert found is not None
    assert found.words == (
        "sshd: alice from 192.0.2.7: refused: not a code, perhaps the password "
        "(bad-input, not 6 to 8 ASCII digits)"
    )
    for other in ('detail="no code, or no way to ask"', "detail=x", ""):
        found = Reader(("sshd",)).read(ours(f"{message} {other}"))
        assert found is not None and "password" not in found.words


def test_password_at_the_code_prompt_is_told_as_the_module_has_seen_it() -> None:
    """It hands no code on then, and the log says that there was none."""
    reader = Reader(("sshd",))
    for service, said in (
        ("sshd", "refused: the password was typed at the code prompt (bad-input)"),
        ("sudo", "refused (bad-input, no code)"),
    ):
        seen = f"pam_totp({service}:auth): the answer is the password: see pam_totp(8)"
        assert reader.read(Line("sshd", seen)) is None
        for words in (said, "refused (bad-input, no code)"):
            message = 'verdict=refuse reason=bad-input user=alice service=sshd detail="no code"'
            found = reader.read(ours(message))
            assert found is not None and found.words == f"sshd: alice: {words}"


def test_incorrect_password_is_told_apart_from_an_incorrect_code() -> None:
    """sshd says the same of both."""
    reader = Reader(("sshd",))
    failed = Line("sshd", "error: PAM: Authentication failure for alice from 192.0.2.7")

    def said() -> str:
        found = reader.read(failed)
        assert found is not None and not found.user
        return found.words.removeprefix(f"sshd: {failed.message}")

    not_asked = " (before the code: incorrect password, or not allowed to log in)"
    assert said() == not_asked
    reader.read(ours("verdict=refuse reason=wrong-code user=alice service=sshd"))
    assert said() == ""
    assert said() == not_asked
    reader.read(ours(ACCEPT))
    reader.read(Line("sshd", OPENSSH))
    assert said() == not_asked
    reader.read(ours("verdict=refuse reason=wrong-code user=bob service=sshd"))
    assert said() == not_asked


@pytest.mark.parametrize("program", ["sshd", "sshd-session"])
def test_code_counts_as_a_login_over_ssh_when_sshd_accepts_it_too(program: str) -> None:
    reader = Reader(("sshd",))
    accepted = reader.read(ours(ACCEPT))
    assert accepted is not None and not accepted.user
    logged_in = reader.read(Line(program, OPENSSH))
    assert logged_in is not None and logged_in.user == "alice"
    again = reader.read(Line(program, OPENSSH))
    assert again is not None and not again.user


def test_login_without_a_code_is_no_proof() -> None:
    reader = Reader(("sshd",))
    reader.read(ours("verdict=skip reason=exempt user=alice service=sshd rhost=192.0.2.7"))
    found = reader.read(Line("sshd", OPENSSH))
    assert found is not None and not found.user


def test_code_at_another_service_is_not_shown() -> None:
    assert Reader(("sudo",)).read(ours(ACCEPT)) is None
    assert Reader(("sudo",)).read(Line("sshd", OPENSSH)) is None


def test_code_counts_at_once_where_no_daemon_says_more() -> None:
    found = Reader(("su", "su-l")).read(ours(ACCEPT.replace("sshd", "su-l")))
    assert found is not None and found.user == "alice"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Nov 29 01:02:03 server sshd[7]: Accepted", Line("sshd", "Accepted")),
        ("Nov  9 01:02:03 server pam-totp[1234]: a: b", Line("pam-totp", "a: b")),
        ("2026-11-29T01:02:03.4+00:00 server sshd[7]: x", Line("sshd", "x")),
        ("Nov 29 01:02:03 server kernel: x", Line("kernel", "x")),
        ("nothing of the kind", None),
        ("", None),
    ],
)
def test_line_of_a_log_file(text: str, line: Line | None) -> None:
    assert line_of(text) == line


@pytest.fixture
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "auth.log"
    path.write_text("Nov 29 01:00:00 server sshd[1]: before\n")
    monkeypatch.setattr(login_log, "FILES", (str(path),))
    monkeypatch.setattr(login_log, "SYSLOGD", str(tmp_path))
    return path


def test_log_is_followed_from_its_end_on_also_when_it_is_rotated_or_emptied(file: Path) -> None:
    log = login_log.follow()

    def write(*words: str) -> None:
        with file.open("a") as opened:
            opened.writelines(f"Nov 29 01:00:00 server sshd[1]: {word}\n" for word in words)

    assert log.lines() == []
    write("one", "two")
    assert [line.message for line in log.lines()] == ["one", "two"]
    write("three")
    file.rename(f"{file}.1")
    write("four")
    assert [line.message for line in log.lines()] == ["three", "four"]
    file.write_text("")
    write("5")
    assert [line.message for line in log.lines()] == ["5"]
    with file.open("a") as opened:
        opened.write("Nov 29 01:00:00 server sshd[1]: half")
        opened.flush()
        assert log.lines() == []
        opened.write(" of it\n")
    assert [line.message for line in log.lines()] == ["half of it"]
    log.close()


def test_file_of_a_syslogd_that_runs_no_more_is_not_waited_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container made from an image of a machine that had one."""
    monkeypatch.setattr(login_log, "SYSLOGD", f"{file}.nobody-listens")
    log = login_log.follow()
    assert log.name == "/run/pam-totp (there is no log)"


def test_without_any_log_the_records_of_logins_say_that_a_code_was_accepted(
    monkeypatch: pytest.MonkeyPatch, user: User, enrolled: Callable[..., Credential]
) -> None:
    monkeypatch.setattr(login_log, "FILES", ())
    credential = enrolled(user)
    log, reader = login_log.follow(), Reader(("sshd",))
    verify(user, credential.incorrect_code())
    (line,) = log.lines()
    refused = reader.read(line)
    assert refused is not None and refused.words.startswith(f"{user.name}: refused")
    verify(user, credential.fresh_code())
    (line,) = log.lines()
    accepted = reader.read(line)
    assert accepted is not None and accepted.user == user.name
    assert log.lines() == []


def test_without_any_log_an_incorrect_recovery_code_and_unlock_are_no_login(
    monkeypatch: pytest.MonkeyPatch, user: User, enrolled: Callable[..., Credential]
) -> None:
    monkeypatch.setattr(login_log, "FILES", ())
    credential = enrolled(user)
    code = new_recovery_codes(user)[0]
    log, reader, recorded = login_log.follow(), Reader(("sshd",)), RecordedLogins()
    for _ in range(2):
        verify(user, "abcd-efgh-ijkl-mnop")
        (line,) = log.lines()
        refused = reader.read(line)
        assert refused is not None and not refused.user and "refused" in refused.words
    assert pam_totp("unlock", user.name).code == 0
    assert log.lines() == [] and not recorded.has(user.name)
    verify(user, code)
    (line,) = log.lines()
    accepted = reader.read(line)
    assert accepted is not None and accepted.user == user.name and recorded.has(user.name)
    verify(user, credential.fresh_code())
    assert pam_totp("reset", user.name, "--yes").code == 0
    assert log.lines() == []


def test_record_of_logins_that_is_removed_is_no_login(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    verify(user, enrolled(user).fresh_code())
    recorded = RecordedLogins()
    assert pam_totp("reset", user.name, "--yes").code == 0
    assert not recorded.has(user.name)
