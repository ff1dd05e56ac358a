# SPDX-License-Identifier: MIT
"""Pictures of what a terminal shows: text with SGR sequences to cells, cells to pixels."""

import re
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

# xterm's sixteen; a theme's own may differ, which is why the product avoids them.
SIXTEEN: list[Colour] = [
    *((0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0)),
    *((0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)),
    *((127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0)),
    *((92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255)),
]
CUBE_STEPS = (0, 95, 135, 175, 215, 255)
FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf"
FONT_PIXELS = 16
CELL_WIDTH_PIXELS, CELL_HEIGHT_PIXELS = 10, 20
TOKEN = re.compile(r"\x1b\[([0-9;]*)m|([^\x1b])", re.DOTALL)


class Theme(NamedTuple):
    """The default colours of a terminal."""

    foreground: Colour
    background: Colour


DARK_THEME = Theme((229, 229, 229), (0, 0, 0))
LIGHT_THEME = Theme((0, 0, 0), (255, 255, 255))


class Cell(NamedTuple):
    """A character and its colours as numbers of the 256, None for the theme's default."""

    character: str
    foreground: int | None
    background: int | None


def read_cells(text: str) -> list[list[Cell]]:
    """Rows of cells of `text`. The colours carry over line ends, as on a terminal.

    Raises ValueError at any control sequence that is no SGR, and at any SGR that is no
    reset and no colour.
    """
    rows = []
    foreground: int | None = None
    background: int | None = None
    for line in text.split("\n"):
        cells = []
        position = 0
        while position < len(line):
            token = TOKEN.match(line, position)
            if token is None:
                raise ValueError(f"no SGR sequence: {line[position : position + 12]!r}")
            position = token.end()
            if token[2] is not None:
                cells.append(Cell(token[2], foreground, background))
            else:
                foreground, background = _after_sgr(token[1], foreground, background)
        rows.append(cells)
    return rows


def _after_sgr(
    parameters: str, foreground: int | None, background: int | None
) -> tuple[int | None, int | None]:
    codes = [int(code or "0") for code in parameters.split(";")]
    while codes:
        code = codes.pop(0)
        if code == 0:
            foreground = background = None
        elif code in (38, 48):
            if codes.pop(0) != 5:
                raise ValueError(f"not of the 256 colours: {parameters}")
            number = codes.pop(0)
            foreground, background = (number, background) if code == 38 else (foreground, number)
        elif 30 <= code <= 37 or code == 39:
            foreground = None if code == 39 else code - 30
        elif 40 <= code <= 47 or code == 49:
            background = None if code == 49 else code - 40
        elif 90 <= code <= 97:
            foreground = code - 82
        elif 100 <= code <= 107:
            background = code - 92
        else:
            raise ValueError(f"neither reset nor colour: {code} in {parameters}")
    return foreground, background


def colour_of(number: int) -> Colour:
    """RGB of one of the 256 colours."""
    if number < 16:
        return SIXTEEN[number]
    if number >= 232:
        grey = 8 + 10 * (number - 232)
        return (grey, grey, grey)
    red, rest = divmod(number - 16, 36)
    green, blue = divmod(rest, 6)
    return (CUBE_STEPS[red], CUBE_STEPS[green], CUBE_STEPS[blue])


def rasterise(
    text: str, theme: Theme, columns: int, rows: int, blocks_from_font: bool = False
) -> Image.Image:
    """The window of `columns` x `rows` cells that shows `text`.

    Block characters fill their exact halves of a cell of 10x20 pixels. With
    `blocks_from_font` they are the font's, in cells of its size, gaps included.
    """
    font = ImageFont.truetype(FONT, FONT_PIXELS)
    cell_width, cell_height = CELL_WIDTH_PIXELS, CELL_HEIGHT_PIXELS
    if blocks_from_font:
        cell_width, cell_height = round(font.getlength("█")), sum(font.getmetrics())
    picture = Image.new("RGB", (columns * cell_width, rows * cell_height), theme.background)
    pen = ImageDraw.Draw(picture)
    for row, cells in enumerate(read_cells(text)):
        for column, (character, foreground, background) in enumerate(cells):
            left, top = column * cell_width, row * cell_height
            right, bottom = left + cell_width - 1, top + cell_height - 1
            ink = theme.foreground if foreground is None else colour_of(foreground)
            if background is not None:
                pen.rectangle((left, top, right, bottom), fill=colour_of(background))
            if character in "█▀▄" and not blocks_from_font:
                middle = top + cell_height // 2
                first = middle if character == "▄" else top
                last = middle - 1 if character == "▀" else bottom
                pen.rectangle((left, first, right, last), fill=ink)
            elif character != " ":
                pen.text((left, top), character, font=font, fill=ink)
    return picture
