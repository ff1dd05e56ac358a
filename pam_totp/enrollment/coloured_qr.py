# SPDX-License-Identifier: MIT
"""A QR code drawn so that phones read it off any terminal theme.

How the cells are painted decides whether a phone reads the code, more than the
code itself does: fonts leave gaps around block characters and between lines. So
with colours a cell of one shade is a space on that background, which has no glyph
to leave gaps, and only a cell of two shades is a block: a light one on black.
"""

from pam_totp.enrollment import qr
from pam_totp.enrollment.qr import DARK, HALF_BLOCKS

# Colours of the fixed 6x6x6 cube. The first 16 are the theme's to change: its
# "white" is often grey, its "black" sometimes light.
WHITE, BLACK = 231, 16
RESET = "\x1b[0m"


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
    """Lines to print, as pam_totp.enrollment.qr.draw has it, with colours if the terminal has them:
    then its background does not matter."""
    from qrcode.exceptions import DataOverflowError  # as qr.py imports qrcode

    try:
        qr.version_of(text)
    except (DataOverflowError, ValueError):  # releases differ on more than any code holds
        return None
    if not colour:
        return qr.draw(text, columns, rows, half_blocks, full_cell, background)
    matrix = qr.fitting_matrix(text, columns, rows, half_blocks)
    if not matrix:
        return None
    if half_blocks:
        return [_paint_halves(line) for line in qr.pairs_of(matrix)]
    return [_paint([("  ", _colour_of(module)) for module in row]) for row in matrix]


def _paint_halves(line: list[tuple[bool, bool]]) -> str:
    cells = []
    for upper, lower in line:
        if upper == lower:
            cells.append((" ", _colour_of(upper)))
        else:
            cells.append((HALF_BLOCKS[upper, lower], BLACK))
    return _paint(cells)


def _colour_of(module: bool) -> int:
    return BLACK if module is DARK else WHITE


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
