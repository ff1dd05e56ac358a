# SPDX-License-Identifier: MIT
"""A QR code drawn with blocks, without colour: what passes through a prompt at a login.

Where a terminal takes colours, phones read pam_totp.enrollment.coloured_qr better.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import qrcode

# ISO/IEC 18004 wants a quiet zone of 4 modules. Readers do with 2 and, less gladly, with 1; with
# none they fail, and 80x24 has no room for 4.
BORDER_MODULES = 2

# Matrices hold True for a dark module, as in qrcode.
LIGHT, DARK = False, True
HALF_BLOCKS = {(LIGHT, LIGHT): "█", (LIGHT, DARK): "▀", (DARK, LIGHT): "▄", (DARK, DARK): " "}
Matrix = list[list[bool]]


def draw(
    text: str, columns: int, rows: int, half_blocks: bool, full_cell: str, background: str
) -> list[str] | None:
    """Lines to print, or None where the code does not fit a window of `columns` x `rows`.

    `background`: "dark" or "light", or "both", side by side where that fits: readers take the one
    that is right and pass over the other. Without `half_blocks` a module is `full_cell`; of "##"
    readers take it from a step back but not close up.
    """
    if background == "both":
        matrix = fitting_matrix(text, columns // 2, rows, half_blocks)
        if matrix:
            twice = [row + [not module for module in row] for row in matrix]
            return _lines(twice, half_blocks, full_cell)
    matrix = fitting_matrix(text, columns, rows, half_blocks)
    if matrix and background == "light":  # what is drawn is dark there
        matrix = [[not module for module in row] for row in matrix]
    return _lines(matrix, half_blocks, full_cell) if matrix else None


def fitting_matrix(text: str, columns: int, rows: int, half_blocks: bool) -> Matrix | None:
    """The modules with a border of 2, or of 1 where 2 do not fit; one row is left for the prompt.

    With half blocks a cell holds two modules, one over the other, and 80x24 shows a code of version
    6, that is 134 bytes: 142 characters of URI that end in a secret of 32 base32 characters, 141
    where parameters follow the secret. Without them a module takes two columns and one row: a
    border of 2 (1) needs 74x38 (70x36) up to 78 bytes, 82x42 (78x40) up to 106 bytes, 90x46 (86x44)
    up to 134 bytes.
    """
    room = min(columns, 2 * (rows - 1)) if half_blocks else min(columns // 2, rows - 1)
    matrix: Matrix = _code_of(text).get_matrix()
    if len(matrix) > room:
        matrix = [row[1:-1] for row in matrix[1:-1]]
    return matrix if len(matrix) <= room else None


def pairs_of(matrix: Matrix) -> list[list[tuple[bool, bool]]]:
    """The modules of each line of half blocks: upper and lower."""
    # The lower half of a last line alone widens the border.
    return [list(zip(*pair)) for pair in zip(matrix[::2], [*matrix[1::2], matrix[0]])]  # noqa: B905


def version_of(text: str) -> int:
    """The version of the QR code, which tells its size."""
    return int(_code_of(text).best_fit())


def _code_of(text: str) -> "qrcode.QRCode[Any]":
    # Only here, so that all other commands work though it is broken: while Python is upgraded, say.
    import qrcode
    from qrcode.constants import ERROR_CORRECT_L

    code = qrcode.QRCode(error_correction=ERROR_CORRECT_L, border=BORDER_MODULES)
    code.add_data(text)  # splits off runs of capitals and digits: the base32 secret
    return code


def _lines(matrix: Matrix, half_blocks: bool, full_cell: str) -> list[str]:
    if half_blocks:
        return ["".join(HALF_BLOCKS[pair] for pair in line) for line in pairs_of(matrix)]
    return ["".join("  " if module is DARK else full_cell for module in row) for row in matrix]
