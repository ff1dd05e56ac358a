# SPDX-License-Identifier: MIT
"""The counts that the fault runs print at the end of the whole run."""

from collections.abc import Callable

import pytest
from _pytest.terminal import TerminalReporter

PROPERTY = "faults"


@pytest.fixture
def count(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """`count("120 kills, …")`: a line of the summary that `make test` ends with."""
    return lambda line: record_property(PROPERTY, line)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    reports = [report for each in terminalreporter.stats.values() for report in each]
    lines = [
        str(value)
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if lines:
        terminalreporter.section(PROPERTY)
    for line in lines:
        terminalreporter.write_line(line)
