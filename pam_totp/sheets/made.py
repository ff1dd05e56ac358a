# SPDX-License-Identifier: MIT
"""What is made for one user before anything is saved: secret, recovery codes, and the sheet."""

from dataclasses import dataclass

from pam_totp.enrollment.picture import png_of
from pam_totp.enrollment.symbol import TooLong, rows_of
from pam_totp.enrollment.uri import key_of, new_uri
from pam_totp.records.user import recovery
from pam_totp.rules.credential import Credential, parse_line
from pam_totp.sheets.folder import PICTURE, SHEET
from pam_totp.sheets.page import END, KEPT, Around, Sheet, grouped, head, page
from pam_totp.sheets.row import Row

# The URI, the content of the recovery file, and that of sheet and picture.
Made = tuple[str, bytes, dict[str, bytes]]

# Of a URI. On paper a large QR code can be scanned, unlike in a terminal: version 12 with error
# correction M (ISO/IEC 18004, table 7), or smaller if the secret is in capitals.
MAX_BYTES = 287


@dataclass(frozen=True)
class Plan:
    """For all users. chosen: as for new_uri; has_pictures: whether to make PNG pictures, too."""

    around: Around
    chosen: dict[str, str]
    device: str
    has_pictures: bool


def make(user: str, more: str, plan: Plan) -> Made:
    """What one user gets. more: what tells the entry of the app from an earlier one. Raises
    ValueError where the names are too long for a QR code, or no text."""
    from qrcode.exceptions import DataOverflowError

    codes = recovery.new_codes()
    try:
        uri = new_uri(user, plan.chosen, lambda uri: len(uri) <= MAX_BYTES, more=more)
        credential = parse_line(f"{uri} {plan.device}")
        sheet = sheet_of(user, credential, uri, codes)
        row = row_of(sheet, plan.device)
        document = head(plan.around, row.element()) + page(sheet, plan.around) + END
    except (DataOverflowError, TooLong, UnicodeError):
        raise ValueError("the names are too long for a QR code, or are no text") from None
    files = {SHEET: document.encode("utf-8", "replace")}
    if plan.has_pictures:
        files[PICTURE] = png_of(sheet.modules)
    return uri, recovery.new_file(codes), files


def row_of(sheet: Sheet, device: str) -> Row:
    """The same for programs."""
    return Row(sheet.user, device, sheet.key, sheet.uri, [grouped(code) for code in sheet.codes])


def sheet_of(
    user: str, credential: Credential, uri: str, codes: list[str], no_codes: str = KEPT
) -> Sheet:
    """What is printed of a credential. Raises TooLong."""
    return Sheet(
        user=user,
        account=credential.account,
        modules=rows_of(uri),
        uri=uri,
        key=key_of(uri),
        algorithm=credential.algorithm,
        digits=credential.digits,
        period=credential.period,
        codes=codes,
        no_codes=no_codes,
    )
