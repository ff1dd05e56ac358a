# SPDX-License-Identifier: MIT
"""SECURITY.md names a test for every threat, and the tests it names are there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \|(.*)\|$", PAGE, re.MULTILINE)
# The rows of every table whose last column is the test, with or without a number.
THREATS = [
    row
    for table in re.findall(
        r"^\|.* test \(in tests/\) \|\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE
    )
    for row in table.splitlines()
]


def test_every_threat_has_a_row_without_an_empty_cell() -> None:
    assert len(ROWS) > 26
    assert [int(number) for number, _ in ROWS] == list(range(1, len(ROWS) + 1))
    for _, row in ROWS:
        cells = row.split(" | ")
        assert len(cells) == 4
        assert all(cell.strip(" |") for cell in cells)


def test_every_threat_names_a_test_that_exists() -> None:
    for row in THREATS:
        named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", row)
        assert named, f"this row names no test: {row}"
        for file, function in named:
            source = (REPOSITORY / "tests" / file).read_text(encoding="utf-8")
            assert f"def {function}(" in source if function else "def test_" in source, function


def test_every_threat_has_exactly_the_cells_of_its_table() -> None:
    assert len(THREATS) > len(ROWS) + 20
    for row in THREATS:
        assert len(row.strip("| ").split(" | ")) in (3, 5), row
