# SPDX-License-Identifier: MIT
"""The module, compiled for the tests of this folder, and logins through it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pam.bench import Bench


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module and the application, with sanitizers and without."""
    from tests.pam import bench  # pytest reads this file before it knows `tests`

    folder = tmp_path_factory.mktemp("module")
    bench.compile_all(folder)
    return folder


@pytest.fixture(params=["sanitized", "as shipped"])
def bench(request: pytest.FixtureRequest, compiled: Path) -> "Iterator[Bench]":
    """The module on the bench: `bench.log_in(…)`, with programs of the test's own around it."""
    from tests.pam.bench import Bench

    yield Bench(compiled / request.param.replace(" ", "-"))
