# SPDX-License-Identifier: MIT
"""Tables of others: CSV (RFC 4180), as spreadsheets and the makers of tokens write it. Pure.

The separator is a tab, a semicolon or a comma, the one that the first line has most of. A header
names the columns; without one they are in a fixed order. A line that begins with # is a comment. A
field has one line: so a quotation mark that is not closed spoils no other line.
"""

import csv
import io
import re

from pam_totp.imports.encoded_text import text_of
from pam_totp.imports.found import Unusable
from pam_totp.rules.record import Record

MAX_LINES, MAX_LINE, MAX_FIELD, MAX_TITLE = 100_000, 16 * 1024, 1000, 40
SEPARATORS = "\t;,"


class Row(Record):
    """A line by its number. fields: by column; fault: why it cannot be read, empty if it can."""

    line: int
    fields: dict[str, str]
    fault: str = ""


class Table(Record):
    """ignored: what the header calls the columns of which nothing is known here."""

    rows: list[Row]
    ignored: list[str]


def read(content: bytes, columns: dict[str, str], order: tuple[str, ...], needed: int = 2) -> Table:
    """columns: the columns by their names in a header, of small letters and digits alone; order:
    the columns of a table without header, of which the first ones, `needed`, must be in each.
    Raises Unusable."""
    lines = _lines(text_of(content, "replace"))
    if not lines:
        raise Unusable("the file is empty")
    number, first = lines[0]
    separator = max(SEPARATORS, key=first.count)
    try:
        titles = _fields(first, separator)
    except Unusable:
        titles = []
    names = [columns.get(re.sub("[^a-z0-9]", "", title.lower()), "") for title in titles]
    if not any(names):
        return Table(rows=[_row(each, separator, order) for each in lines], ignored=[])
    if not set(order[:needed]) <= set(names):
        missing = " and the ".join(order[:needed])
        raise Unusable(f"line {number}: the header must have the {missing}")
    twice = next((each for each in names if each and names.count(each) > 1), "")
    if twice:
        raise Unusable(f"line {number}: two columns are the {twice}")
    ignored = [title[:MAX_TITLE] for title, name in zip(titles, names, strict=True) if not name]
    rows = [_row(each, separator, names) for each in lines[1:]]
    return Table(rows=rows, ignored=[title for title in ignored if title])


def _lines(text: str) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if line.strip(f" \n{SEPARATORS}") and not line.startswith("#"):
            lines.append((number, line.rstrip("\n")))
        if len(lines) > MAX_LINES:
            raise Unusable(f"the file has more than {MAX_LINES} lines")
    return lines


def _row(numbered: tuple[int, str], separator: str, names: list[str] | tuple[str, ...]) -> Row:
    number, line = numbered
    try:
        fields = _fields(line, separator)
        while len(fields) > len(names) and not fields[-1]:
            fields.pop()
        if len(fields) > len(names):
            raise Unusable(f"the line has {len(fields)} columns in place of {len(names)}")
    except Unusable as fault:
        return Row(line=number, fields={}, fault=fault.message)
    named = {name: field for name, field in zip(names, fields, strict=False) if name}
    return Row(line=number, fields=named)


def _fields(line: str, separator: str) -> list[str]:
    if len(line) > MAX_LINE:  # it may be millions of fields
        raise Unusable(f"the line has more than {MAX_LINE} characters")
    try:
        reader = csv.reader([line], delimiter=separator, strict=True, skipinitialspace=True)
        fields = [field.strip() for field in next(reader)]
    except csv.Error:
        raise Unusable("a quotation mark is not closed, or is within a field") from None
    if any(len(field) > MAX_FIELD for field in fields):
        raise Unusable(f"a field has more than {MAX_FIELD} characters")
    return fields
