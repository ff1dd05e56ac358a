# SPDX-License-Identifier: MIT
"""What `make test` promises, wherever it is started: the same answer, and an end."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.accounts import User

REPOSITORY = Path(__file__).resolve().parents[1]
ENTER = str(REPOSITORY / "tests" / "host" / "enter")
# As nohup, and & in a shell without job control, leave it to what they start; and more than that.
IGNORING = 'trap \'\' HUP INT QUIT TERM CHLD ALRM PIPE USR1 TSTP; exec "$0" "$@"'
SIGNALS = "grep -E '^Sig(Blk|Ign):' /proc/self/status | cut -f 2"
# The C library's own two signals are ignored in what it starts so.
SPAWN = [
    sys.executable,
    "-c",
    "import os, sys; os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ); os.wait()",
]
DESCRIPTORS = "for n in 0 1 2; do test -e /proc/$$/fd/$n || exit 1; done"
PLUGINS = [
    "-p",
    "tests.conftest",
    "-p",
    "no:cacheprovider",
    "-c",
    str(REPOSITORY / "pyproject.toml"),
]


@pytest.fixture
def misbehaving() -> Iterator[Path]:
    """A file for tests of tests, where the host of a worker sees it."""
    file = REPOSITORY / "build" / "test_misbehaving.py"
    yield file
    file.unlink()


def run_with_a_worker(
    file: Path, content: str, *options: str
) -> "subprocess.CompletedProcess[str]":
    file.write_text(f"import time, pytest\n{content}", encoding="ascii")
    command = [sys.executable, "-m", "pytest", *PLUGINS, "-n", "1", *options, str(file)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


@pytest.mark.parametrize("start", [[], SPAWN], ids=["fork", "posix_spawn"])
def test_ignored_and_blocked_signals_are_as_at_a_login_in_the_host(start: list[str]) -> None:
    command = [*start, "/bin/bash", "-c", IGNORING, ENTER, "sh", "-c", SIGNALS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.split() == ["0" * 16, "0" * 16], done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_are_open_in_the_host(closed: str) -> None:
    command = ["sh", "-c", f'exec "$0" "$@" {closed}', ENTER, "sh", "-c", DESCRIPTORS]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_the_same_dice_can_be_thrown_again_in_the_host_of_a_worker(
    misbehaving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAM_TOTP_SEED", "7")
    script = "def test_has_it():\n    import os; assert os.environ['PAM_TOTP_SEED'] == '7'\n"
    done = run_with_a_worker(misbehaving, script, "-q")
    assert done.returncode == 0, done.stdout


def test_a_test_whose_clean_up_waits_for_ever_ends_with_its_worker_and_is_named(
    misbehaving: Path,
) -> None:
    script = """\
def test_installs():
    pass

@pytest.mark.timeout(1)
def test_waits():
    while True:
        try:
            time.sleep(99)
        except BaseException:
            pass
"""
    done = run_with_a_worker(misbehaving, script, "-o", "cleanup_timeout=1")
    assert done.returncode == 1
    assert "crashed while running 'build/test_misbehaving.py::test_waits'" in done.stdout
    assert "test_waits does not end: its process is ended" in done.stderr


def test_all_tests_together_end_at_their_limit_and_it_is_said(misbehaving: Path) -> None:
    script = "def test_waits():\n    time.sleep(99)\n"
    done = run_with_a_worker(misbehaving, script, "-o", "suite_timeout=4")
    assert done.returncode == 1
    assert "the tests took more than 4 s (suite_timeout)" in done.stdout


def test_make_quick_needs_no_root(user: User) -> None:
    left_out = shutil.ignore_patterns("build", ".git", "__pycache__", ".hypothesis")
    shutil.copytree(REPOSITORY, user.home / "tree", ignore=left_out)
    subprocess.run(["chown", "-R", user.name, user.home / "tree"], check=True)
    done = user.run_as("make", "quick", cwd=user.home / "tree")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed in " in done.stdout


def test_no_example_of_a_property_has_a_time_limit() -> None:
    """Hypothesis gives each 200 ms, which a busy machine exceeds."""
    limited = [
        f"{path.name}:{node.lineno}"
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for words in [" ".join(map(ast.unparse, node.decorator_list))]
        if "given(" in words and "deadline=None" not in words
    ]
    assert limited == []
