"""A QR code drawn so that phones read it off any terminal theme.

How the cells are painted decides whether a phone reads the code, more than the
code itself does: fonts leave gaps around block characters and between lines. So
with colours a cell of one shade is a space on that background, which has no glyph
to leave gaps, and only a cell of two shades is a block: a light one on black.
"""

from typing import Any

import qrcode
from qrcode.constants import ERROR_CORRECT_L
from qrcode.exceptions import DataOverflowError

# ISO/IEC 18004 wants a quiet zone of 4 modules. Readers do with 2 and, less gladly,
# with 1; with none they fail, and 80x24 has no room for 4.
BORDERS_MODULES = (2, 1)
MAX_VERSION = 40  # of ISO/IEC 18004

# Colours of the fixed 6x6x6 cube. The first 16 are the theme's to change: its
# "white" is often grey, its "black" sometimes light.
WHITE, BLACK = 231, 16
RESET = "\x1b[0m"

# Matrices hold True for a dark module, as in qrcode.
LIGHT, DARK = False, True
HALF_BLOCKS = {(LIGHT, LIGHT): "█", (LIGHT, DARK): "▀", (DARK, LIGHT): "▄", (DARK, DARK): " "}


BACKGROUNDS = {"dark": ("dark",), "light": ("light",), "both": ("dark", "light")}


def draw(
    text: str,
    *,
    columns: int,
    rows: int,
    half_blocks: bool,
    colour: bool,
    full_cell: str = "##",
    background: str = "dark",
) -> list[str] | None:
    """Lines to print, or None where the code does not fit `columns` x `rows`.

    `columns` and `rows` are the window's size in cells; one row is left free for the
    prompt below. The code has error correction level L and a border of 2 modules, or
    of 1 where 2 do not fit. Without `colour` the terminal is taken to be of `background`; with
    "both" the code is drawn twice, for a dark one and for a light one, side by side: readers
    take the one and pass over the other. Where two do not fit, the one for a dark one. Without
    `half_blocks` too a module is `full_cell`; readers take "##" from a step back but not close up.

    With `half_blocks` a cell holds two modules, one over the other, and 80x24 shows a code of
    version 6, that is 134 bytes: 142 characters of URI that end in a secret of 32 base32
    characters, 141 where parameters follow the secret. Without them a module takes two
    columns and one row: a border of 2 (1) needs 74x38 (70x36) up to 78 bytes, 82x42
    (78x40) up to 106 bytes, 90x46 (86x44) up to 134 bytes.
    """
    version = version_of(text)
    if version > MAX_VERSION:
        return None
    code = _code_of(text)
    side_modules = 17 + 4 * version
    columns_a_module, modules_a_row = (1, 2) if half_blocks else (2, 1)
    shown = BACKGROUNDS["dark" if colour else background]
    for grounds in (shown, shown[:1]):
        for border in BORDERS_MODULES:
            side = side_modules + 2 * border
            height = -(-side // modules_a_row)
            if len(grounds) * side * columns_a_module <= columns and height <= rows - 1:
                code.border = border
                drawn = [
                    _lines(code.get_matrix(), half_blocks, colour, full_cell, each)
                    for each in grounds
                ]
                return ["".join(parts) for parts in zip(*drawn, strict=True)]
    return None


def version_of(text: str) -> int:
    """The version of the QR code, which tells its size; more than MAX_VERSION if none holds it."""
    try:
        return int(_code_of(text).best_fit())
    except (DataOverflowError, ValueError):  # Releases differ on more than version 40 holds.
        return MAX_VERSION + 1


def _code_of(text: str) -> "qrcode.QRCode[Any]":
    code = qrcode.QRCode(error_correction=ERROR_CORRECT_L)
    code.add_data(text)  # Splits off runs of capitals and digits: the base32 secret.
    return code


def _lines(
    matrix: list[list[bool]], half_blocks: bool, colour: bool, full_cell: str, background: str
) -> list[str]:
    if background == "light":  # what is drawn is dark there
        matrix = [[not module for module in row] for row in matrix]
    if not half_blocks and colour:
        return [_paint_spaces(row) for row in matrix]
    if not half_blocks:
        return ["".join("  " if module is DARK else full_cell for module in row) for row in matrix]
    if len(matrix) % 2:  # The lower half of the last line widens the border.
        matrix = [*matrix, [matrix[0][0]] * len(matrix)]
    pairs = [list(zip(*matrix[row : row + 2], strict=True)) for row in range(0, len(matrix), 2)]
    if colour:
        return [_paint_halves(line) for line in pairs]
    return ["".join(HALF_BLOCKS[upper, lower] for upper, lower in line) for line in pairs]


def _paint_spaces(row: list[bool]) -> str:
    return _paint([("  ", BLACK if module is DARK else WHITE) for module in row])


def _paint_halves(line: list[tuple[bool, bool]]) -> str:
    cells = []
    for upper, lower in line:
        if upper == lower:
            cells.append((" ", BLACK if upper is DARK else WHITE))
        else:
            cells.append((HALF_BLOCKS[upper, lower], BLACK))
    return _paint(cells)


def _paint(cells: list[tuple[str, int]]) -> str:
    """The (text, background) cells as one line that sets every colour itself and resets.

    The foreground is white throughout, so only a new background needs a sequence.
    """
    painted = [f"\x1b[0;38;5;{WHITE}m"]
    current = None
    for text, background in cells:
        if background != current:
            painted.append(f"\x1b[48;5;{background}m")
            current = background
        painted.append(text)
    return "".join(painted) + RESET
