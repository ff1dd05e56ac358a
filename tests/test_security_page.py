# SPDX-License-Identifier: MIT
"""SECURITY.md names a test for every threat, and the tests it names are there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ROWS = re.findall(
    r"^\| (\d+) \|(.*)\|$", (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8"), re.MULTILINE
)


def test_every_threat_has_a_row_without_an_empty_cell() -> None:
    assert len(ROWS) > 26
    assert [int(number) for number, _ in ROWS] == list(range(1, len(ROWS) + 1))
    for _, row in ROWS:
        cells = row.split(" | ")
        assert len(cells) == 4
        assert all(cell.strip(" |") for cell in cells)


def test_every_test_that_is_named_is_there() -> None:
    for number, row in ROWS:
        named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", row)
        assert named, f"threat {number} names no test"
        for file, function in named:
            source = (REPOSITORY / "tests" / file).read_text(encoding="utf-8")
            assert f"def {function or 'test_'}" in source, f"{file}::{function}"
