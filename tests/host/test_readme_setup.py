"""The README's "in five minutes": its commands for PAM and sshd, run as they stand there."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.pam_services import PASSWORD_LINE, SERVICES, shipped_lines

README = Path(__file__).resolve().parents[2] / "README.md"
CHAPTER = re.compile(r"^## Turn it on.*?(?=^## )", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^ +```\n(.*?)^ +```", re.MULTILINE | re.DOTALL)
CHOICES = ("password-then-code", "key-then-code", "key-or-password-then-code")
STACK = SERVICES / "sshd"
SETTINGS = Path("/etc/ssh/sshd_config.d")
BACKUP = Path("/root/pam.d-sshd.before")


@pytest.fixture
def untouched() -> Iterator[str]:
    """/etc/pam.d/sshd as it was; all is put back after the test."""
    text = STACK.read_text(encoding="utf-8")
    SETTINGS.mkdir(exist_ok=True)
    before = set(SETTINGS.iterdir())
    BACKUP.unlink(missing_ok=True)
    yield text
    BACKUP.unlink(missing_ok=True)
    STACK.write_text(text, encoding="utf-8")
    for path in set(SETTINGS.iterdir()) - before:
        path.unlink()


def commands() -> str:
    """Steps 3 and 4, but for the restart, which wants systemd."""
    chapter = CHAPTER.search(README.read_text(encoding="utf-8"))
    assert chapter
    blocks = [block for block in BLOCK.findall(chapter[0]) if "/etc/ssh" in block or "sed" in block]
    assert len(blocks) == 3
    text = "".join(blocks)
    assert text.count("systemctl restart ssh") == 1
    return text.replace("&& systemctl restart ssh", "")


def run_commands(choice: str) -> None:
    script = re.sub(r"^( *choice=)\S+", rf"\g<1>{choice}", commands(), count=1, flags=re.MULTILINE)
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("earlier", [None, *CHOICES])
@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.usefixtures("host_key")
def test_commands_put_the_chosen_lines_where_the_tests_have_them(
    untouched: str, choice: str, earlier: str | None
) -> None:
    """Also when they are run again, with another choice; and the way back stays."""
    if earlier:
        run_commands(earlier)
    run_commands(choice)
    assert BACKUP.read_text(encoding="utf-8") == untouched
    lines = shipped_lines(choice)
    expected = [PASSWORD_LINE, *lines] if choice == "password-then-code" else lines
    now = [line for line in STACK.read_text(encoding="utf-8").splitlines() if line.strip()]
    before = [line for line in untouched.splitlines() if line.strip()]
    at = before.index(PASSWORD_LINE)
    ours = now[at : len(now) - (len(before) - at - 1)]
    assert [line for line in ours if not line.startswith("#")] == expected
    assert now[:at] == before[:at] and now[-1] == before[-1]
    assert (SETTINGS / "00-pam-totp.conf").exists()
    assert "Match User borg" in (SETTINGS / "50-borg.conf").read_text(encoding="utf-8")
