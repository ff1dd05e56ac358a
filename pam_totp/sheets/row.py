# SPDX-License-Identifier: MIT
"""What a sheet says, for programs: in its head, and as a line of the table."""

import html
import json
import re
from dataclasses import asdict, dataclass

from pam_totp.rules.credential import Malformed, parse_line

_ELEMENT = re.compile(r'<meta name="pam-totp" content="([^"]*)">')


@dataclass(frozen=True)
class Row:
    """key: in groups; codes: recovery codes, in groups."""

    user: str
    device: str
    key: str
    uri: str
    codes: list[str]

    def element(self) -> str:
        """For the head of the sheet."""
        return f'<meta name="pam-totp" content="{html.escape(json.dumps(asdict(self)))}">\n'

    def identity(self) -> str:
        """Of the secret. Raises Malformed."""
        return parse_line(self.uri).identity


def row_in(document: str) -> Row | None:
    """That of a sheet; None where the document is none."""
    found = _ELEMENT.search(document.partition("</head>")[0])
    try:
        row = Row(**json.loads(html.unescape(found[1]))) if found else None
        return row if row and row.identity() else None
    except (ValueError, TypeError, Malformed):
        return None
