# SPDX-License-Identifier: MIT
"""What the tests of one file may not leave on the host that those of the next get."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Where tests put files of their own; none of these is large.
WATCHED = (
    *("/", "/mnt", "/opt", "/srv", "/usr/local/bin", "/usr/local/lib", "/usr/local/sbin"),
    *("/etc/pam.d", "/etc/pam-totp", "/etc/ssh/sshd_config.d", "/etc/sudoers.d"),
)


def files() -> set[str]:
    """The names in these folders."""
    there = (folder for folder in WATCHED if os.path.isdir(folder))
    return {os.path.join(folder, name) for folder in there for name in os.listdir(folder)}


before: dict[Path, set[str]] = {}  # the first test of the file that is running


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.path not in before:
        before.clear()
        before[item.path] = files()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Which test runs next on this host differs from run to run: what stays fails any of them."""
    yield
    if nextitem is None or nextitem.path != item.path:
        assert files() == before.pop(item.path)
