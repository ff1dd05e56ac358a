"""The counts that the fault runs print at the end of the whole run."""

from collections.abc import Callable

import pytest
from _pytest.terminal import TerminalReporter

COUNTS = pytest.StashKey[list[str]]()


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """`count("120 kills, …")`: a line of the summary that `make test` ends with."""
    return request.config.stash.setdefault(COUNTS, []).append


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash.get(COUNTS, [])
    if counts:
        terminalreporter.section("faults")
    for line in counts:
        terminalreporter.write_line(line)
