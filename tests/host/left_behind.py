# SPDX-License-Identifier: MIT
"""What the tests of one file may not leave on the host that those of the next get."""

import os
from collections.abc import Iterator

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


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left_behind(installed_product: None) -> Iterator[None]:
    """Which test runs next on this host differs from run to run: what stays fails any of them."""
    before = files()
    yield
    assert files() == before
