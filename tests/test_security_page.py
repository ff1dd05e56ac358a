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


def test_every_rule_that_a_test_claims_to_hold_has_a_row_that_names_the_file() -> None:
    """Tests say so in a docstring: Rule 11, or Rules 2, 5 and 14. So the page is the whole map."""
    claims = {
        (number, path.relative_to(REPOSITORY / "tests").as_posix())
        for path in sorted((REPOSITORY / "tests").rglob("test_*.py"))
        for claim in re.findall(r"\bRules? (\d+(?:(?:, | and )\d+)*)", path.read_text("utf-8"))
        for number in re.findall(r"\d+", claim)
        if path.name != Path(__file__).name
    }
    assert len(claims) > 30
    named = {(number, file) for number, row in ROWS for file in re.findall(r"`([\w/]+\.py)", row)}
    assert claims - named == set()


def test_every_file_of_attacks_is_named_by_a_row() -> None:
    named = {file for row in THREATS for file in re.findall(r"`([\w/]+\.py)", row)}
    files = {f"attacks/{path.name}" for path in (REPOSITORY / "tests/attacks").glob("test_*.py")}
    assert files - named == set()
