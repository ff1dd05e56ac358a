# SPDX-License-Identifier: MIT
"""A healthy host for each test, to break."""

import itertools
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.doctor.world import HERE, WORK, World, build, world_of

HEALTHY, PRELOAD = WORK / "healthy", WORK / "clock.so"
NUMBERS = itertools.count()


@pytest.fixture(scope="module")
def healthy(host_key: None) -> Iterator[str]:
    """The folders of a healthy host."""
    WORK.mkdir(parents=True)
    command = ["gcc", "-shared", "-fPIC", "-o", str(PRELOAD), str(HERE / "clock.c")]
    subprocess.run(command, check=True)
    try:
        build(HEALTHY, PRELOAD)
        yield str(HEALTHY)
    finally:
        shutil.rmtree(WORK)


@pytest.fixture
def world(healthy: str) -> Iterator[World]:
    with world_of(healthy, f"test-{next(NUMBERS)}", PRELOAD) as made:
        yield made
