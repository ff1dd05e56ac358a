# SPDX-License-Identifier: MIT
"""The options of sheets: of `pam-totp sheet`, and of `pam-totp enroll` for many users."""

import argparse

from pam_totp.records.config import settings
from pam_totp.sheets.texts import MAX_SHOWN

OF_MANY = (
    *("users", "group", "sheets", "pictures", "table", "age", "replace", "json"),
    *("contact", "language"),
)
# No use for many.
OF_ONE = {
    "user": "--user",
    "label": "--label",
    "png": "--png",
    "svg": "--svg",
    "without_codes": "--no-recovery-codes",
}


def chosen_by(options: argparse.Namespace, active: settings.Settings) -> dict[str, str]:
    """What a new secret is like, by the options, and by the settings where one was not given."""
    return {
        "issuer": options.issuer or active.values["issuer"],
        "code.digits": options.digits or active.values["code.digits"],
        "code.period": options.period or active.values["code.period"],
        "code.algorithm": options.algorithm or active.values["code.algorithm"],
    }


def add_texts_to(parser: argparse._ActionsContainer) -> None:
    """What is the same on every sheet."""
    parser.add_argument(
        "--contact", metavar="TEXT", type=_contact, help="whom the sheet says to ask"
    )
    parser.add_argument(
        "--language", metavar="CODE", help="of the sheet, such as de (default: the locale's)"
    )


def add_many_to(parser: argparse.ArgumentParser) -> None:
    """Those of `pam-totp enroll` for many users."""
    many = parser.add_argument_group("many users at once, each with a sheet to print (root only)")
    many.add_argument("--users", metavar="FILE", help="names, one a line; - for standard input")
    many.add_argument("--group", metavar="GROUP", help="the members of this group")
    many.add_argument("--sheets", metavar="DIR", help="folder for the sheets, USER.html each")
    many.add_argument("--pictures", action="store_true", help="also each QR code as USER.png there")
    many.add_argument("--table", metavar="FILE", help="also one .csv or .json with all of them")
    many.add_argument("--age", metavar="RECIPIENT", help="encrypt the table to this age recipient")
    many.add_argument("--replace", action="store_true", help="replace existing secrets, too")
    many.add_argument("--json", action="store_true", help="print JSON")
    add_texts_to(many)


def is_for_many(options: argparse.Namespace) -> bool:
    """Whether one of them was given."""
    return any(getattr(options, name) for name in OF_MANY)


def _contact(text: str) -> str:
    if not text.strip() or not text.isprintable() or len(text) > MAX_SHOWN:
        raise argparse.ArgumentTypeError(f"must be 1 to {MAX_SHOWN} printable characters")
    return text
