# SPDX-License-Identifier: MIT
"""The Debian package, built from a copy of the tree, and hosts to install it into."""

import fcntl
import os
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTER = ROOT / "tests" / "host" / "enter"
BUILT = ROOT / "build" / "package-of-tests"  # where all workers see it
SECONDS_OF_A_RUN = 3600
NOT_COPIED = {"build", ".git", ".hypothesis", "__pycache__"}


def run(*command: str | Path, folder: Path = ROOT) -> str:
    """Standard output of a command that must succeed, without the outer make's variables."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(command, cwd=folder, env=ours, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def files_below(folder: Path) -> Iterator[str]:
    """Relative paths of all that is no folder."""
    for path in sorted(folder.rglob("*")):
        if not path.is_dir():
            yield str(path.relative_to(folder))


def copy_of_the_tree(target: Path) -> Path:
    """The sources as they are, so that building leaves the tree alone."""
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target / "tree.tar", "w") as archive:
        archive.add(ROOT, "tree", filter=lambda f: None if Path(f.name).name in NOT_COPIED else f)
    run("tar", "-xf", "tree.tar", folder=target)
    return target / "tree"


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_the_tree(tmp_path_factory.mktemp("package"))


@pytest.fixture(scope="session")
def package(tree: Path) -> Path:
    """The built .deb, the same for all workers of a run, beside the folder `deb` of the build.
    (The tests that run at its build are among these; `make check` runs them.)"""
    of_this_run = BUILT / os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid4().hex)
    BUILT.mkdir(parents=True, exist_ok=True)
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not of_this_run.exists():
            forget_earlier_runs()
            build(tree)
            shutil.copytree(tree / "build", of_this_run, ignore=shutil.ignore_patterns("source"))
    (package,) = of_this_run.glob("*.deb")
    return package


def forget_earlier_runs() -> None:
    for folder in BUILT.iterdir():
        if folder.is_dir() and time.time() - folder.stat().st_mtime > SECONDS_OF_A_RUN:
            shutil.rmtree(folder)


def build(tree: Path) -> None:
    before = set(files_below(tree))
    run("env", "DEB_BUILD_OPTIONS=nocheck", "make", "-s", "deb", folder=tree)
    after = {name for name in files_below(tree) if not name.startswith("build/")}
    assert after == before, "make deb leaves dirt in the tree"


def in_a_host_of_its_own(package: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """Runs a shell script on a throw-away host inside this one, whose dpkg is a real one: $deb is
    the package. It begins without what `make install` put on this host."""
    copy = shutil.copy(package, "/var/tmp/pam-totp.deb")  # each host has a /tmp of its own
    begin = f"set -eu\nexec 2>&1\nexport LC_ALL=C.UTF-8\ndeb={copy}\n"
    begin += "rm -rf /usr/lib/pam-totp /usr/libexec/pam-totp /usr/bin/pam-totp /var/lib/pam-totp\n"
    begin += "rm -f /usr/lib/*/security/pam_totp.so /usr/lib/pam.d/pam-totp\n"
    return subprocess.run(
        [ENTER, "sh", "-c", begin + script],
        capture_output=True,
        text=True,
        timeout=120,
    )
