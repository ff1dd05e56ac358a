# SPDX-License-Identifier: MIT
"""The QR code as a terminal shows it and a reader reads it."""

import os
import random
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import qrcode
from PIL import Image, ImageFilter

from pam_totp.enrollment.coloured_qr import draw
from tests.enrollment.rasterise import (
    DARK_THEME,
    LIGHT_THEME,
    Theme,
    colour_of,
    rasterise,
    read_cells,
)

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 10.0
# Among the modules of a QR code stands by chance what another reader takes for a bar code.
QR_ALONE = ("-Sdisable", "-Sqrcode.enable")
EAN_8 = "1010001011010111101111010110111010101001110111001010001001011100101"
CUBE_WHITE, CUBE_BLACK = 231, 16  # The colours that no theme changes.
BASE32 = string.ascii_uppercase + "234567"
URI = (
    "otpauth://totp/server.example:alice@server.example"
    "?secret=JBSWY3DPEHPK3PXP2WVQ4Z7TNA5OMRKC&issuer=server.example"
)
THEMES: dict[str, Theme] = {"dark": DARK_THEME, "light": LIGHT_THEME}
MODES = [(utf8, colour) for utf8 in (True, False) for colour in (True, False)]

# Run in the terminal: what enrolling does, print the lines and ask below them.
PROGRAM = """
import sys
from pam_totp.enrollment.coloured_qr import draw
text, columns, rows, utf8, colour = sys.argv[1:]
size = {"columns": int(columns), "rows": int(rows)}
lines = draw(text, **size, half_blocks=utf8 == "True", colour=colour == "True")
print("earlier output\\n" * 3 + "\\n".join(lines))
input("scanned? ")
"""


def uri_of(length: int, source: random.Random, secret_last: bool = True) -> str:
    """A provisioning URI of `length` characters with a secret of 160 bits."""
    secret = "secret=" + "".join(source.choices(BASE32, k=32))
    other = "issuer=Site"
    parameters = f"{other}&{secret}" if secret_last else f"{secret}&{other}"
    short = len(f"otpauth://totp/?{parameters}") >= length
    start, end = "otpauth://totp/", f"?{secret if short else parameters}"
    label = source.choices(
        string.ascii_letters + string.digits + "@.-_", k=length - len(start + end)
    )
    return start + "".join(label) + end


def width_of(line: str) -> int:
    """Columns a line takes: every character drawn here takes one."""
    return sum(len(cells) for cells in read_cells(line))


def modules_of(lines: list[str], utf8: bool) -> list[list[bool]]:
    """The matrix (True is dark) a viewer sees in the lines, on a dark terminal."""
    modules: list[list[bool]] = []
    for cells in read_cells("\n".join(lines)):
        halves = []
        for character, foreground, background in cells:
            ink = DARK_THEME.foreground if foreground is None else colour_of(foreground)
            paper = DARK_THEME.background if background is None else colour_of(background)
            inked = {" ": "--", "█": "##", "▀": "#-", "▄": "-#", "#": "##"}[character]
            halves.append([sum(ink if half == "#" else paper) < 384 for half in inked])
        if utf8:
            modules += [[half[0] for half in halves], [half[1] for half in halves]]
        else:
            assert halves[0::2] == halves[1::2]
            modules.append([half[0] for half in halves[0::2]])
    return modules


def matrix_of(text: str, border: int) -> list[list[bool]]:
    code = qrcode.QRCode(error_correction=qrcode.ERROR_CORRECT_L, border=border)
    code.add_data(text)
    matrix: list[list[bool]] = code.get_matrix()
    return matrix


def read_code(picture: Image.Image, path: Path) -> str:
    picture.save(path)
    reader = subprocess.run(
        ["zbarimg", "-q", "--raw", *QR_ALONE, str(path)],
        capture_output=True,
        check=False,  # It exits 4 where it finds no code: an empty answer.
        encoding="utf-8",
        timeout=DEADLINE_SECONDS,
    )
    return reader.stdout.removesuffix("\n")


class Terminal:
    """tmux servers of our own, on a socket no other tmux finds."""

    def __init__(self, folder: str) -> None:
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": folder,
            "TMUX_TMPDIR": folder,
            "TERM": "xterm-256color",
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def tmux(self, *arguments: str, locale: str = "C.UTF-8") -> str:
        return subprocess.run(
            ["tmux", "-u", "-f", "/dev/null", "-L", "qr", *arguments],
            env=self.environment | {"LC_ALL": locale},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE_SECONDS,
            check=True,
        ).stdout

    def show(self, text: str, columns: int, rows: int, utf8: bool, colour: bool) -> str:
        """The window, colours and all, once the program asks below the drawn code."""
        program = [
            sys.executable,
            "-c",
            PROGRAM,
            text,
            str(columns),
            str(rows),
            f"{utf8}",
            f"{colour}",
        ]
        size = ["-x", str(columns), "-y", str(rows)]
        locale = "C.UTF-8" if utf8 else "C"
        self.tmux("new-session", "-d", *size, *program, locale=locale)
        give_up = time.monotonic() + DEADLINE_SECONDS
        while "scanned? " not in (window := self.tmux("capture-pane", "-e", "-p", "-N")):
            assert time.monotonic() < give_up, f"the program never asked:\n{window}"
            time.sleep(0.02)
        self.tmux("kill-server")
        return window


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    folder = tempfile.mkdtemp(dir="/tmp")  # A socket's path holds 107 bytes: keep it short.
    try:
        yield Terminal(folder)
    finally:
        for socket in Path(folder).glob("tmux-*/qr"):
            subprocess.run(["tmux", "-S", str(socket), "kill-server"], check=False)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("size", "utf8", "colour", "theme"),
    [
        ((80, 24), True, True, "dark"),
        ((80, 24), True, True, "light"),
        ((80, 24), True, False, "dark"),
        ((90, 46), False, True, "dark"),
        ((90, 46), False, True, "light"),
    ],
)
def test_code_in_a_terminal_reads_as_the_uri(
    terminal: Terminal,
    tmp_path: Path,
    size: tuple[int, int],
    utf8: bool,
    colour: bool,
    theme: str,
) -> None:
    window = terminal.show(URI, *size, utf8, colour)
    picture = rasterise(window, THEMES[theme], *size)
    assert read_code(picture, tmp_path / "window.png") == URI


@pytest.mark.parametrize("blur_pixels", [3, 4, 5])
def test_code_of_hashes_reads_as_the_uri_from_a_step_back(
    terminal: Terminal, tmp_path: Path, blur_pixels: int
) -> None:
    """Sharp, the gaps inside a # are dark spots: it takes a blur of a fifth of a module."""
    window = terminal.show(URI, 90, 46, utf8=False, colour=False)
    picture = rasterise(window, DARK_THEME, 90, 46).filter(ImageFilter.GaussianBlur(blur_pixels))
    assert read_code(picture, tmp_path / "window.png") == URI


@pytest.mark.parametrize(("colour", "theme"), [(True, "dark"), (True, "light"), (False, "dark")])
def test_code_in_a_real_font_reads_as_the_uri(
    terminal: Terminal, tmp_path: Path, colour: bool, theme: str
) -> None:
    window = terminal.show(URI, 80, 24, utf8=True, colour=colour)
    picture = rasterise(window, THEMES[theme], 80, 24, blocks_from_font=True)
    assert read_code(picture, tmp_path / "window.png") == URI


def test_a_bar_code_beside_the_code_is_not_read(tmp_path: Path) -> None:
    lines = draw(URI, columns=80, rows=24, half_blocks=True, colour=True)
    assert lines is not None
    picture = rasterise("\n".join(lines), LIGHT_THEME, 80, 24)
    bars = Image.new("1", (len(EAN_8), 1))
    bars.putdata([bar == "0" for bar in EAN_8])
    picture.paste(bars.resize((3 * len(EAN_8), 200)), (500, 100))
    assert read_code(picture, tmp_path / "window.png") == URI


def test_longest_uri_for_80x24_reads_whole_above_the_prompt(
    terminal: Terminal, tmp_path: Path
) -> None:
    uri = uri_of(142, random.Random(142))
    window = terminal.show(uri, 80, 24, utf8=True, colour=True)
    assert "scanned? " in window.splitlines()[-1]
    assert read_code(rasterise(window, DARK_THEME, 80, 24), tmp_path / "window.png") == uri


@pytest.mark.parametrize("colour", [True, False])
def test_uris_of_60_to_142_characters_fit_80x24(colour: bool) -> None:
    source = random.Random(60142)
    for length in range(60, 143):
        # Parameters after the secret start one more segment: that costs a character.
        for uri in (uri_of(length, source), uri_of(min(length, 141), source, secret_last=False)):
            lines = draw(uri, columns=80, rows=24, half_blocks=True, colour=colour)
            assert lines is not None, uri
            assert len(lines) <= 23
            assert all(width_of(line) <= 80 for line in lines)


@pytest.mark.parametrize(("utf8", "colour"), MODES)
@pytest.mark.parametrize("border", [2, 1])
def test_border_narrows_by_a_module_before_the_code_is_given_up(
    utf8: bool, colour: bool, border: int
) -> None:
    side = len(matrix_of(URI, border))
    columns, rows = (side, (side + 1) // 2 + 1) if utf8 else (2 * side, side + 1)
    for window in ((columns, 99), (200, rows), (columns, rows)):
        lines = draw(URI, columns=window[0], rows=window[1], half_blocks=utf8, colour=colour)
        assert lines is not None
        assert {width_of(line) for line in lines} == {columns}
        assert len(lines) == rows - 1
    for window in ((columns - 1, 99), (200, rows - 1)):
        lines = draw(URI, columns=window[0], rows=window[1], half_blocks=utf8, colour=colour)
        if border == 1:
            assert lines is None
        else:
            assert lines is not None
            assert all(width_of(line) < columns for line in lines)


@pytest.mark.parametrize("size", [(0, 0), (-1, -1), (80, 0), (0, 24), (38, 24), (80, 12)])
@pytest.mark.parametrize(("utf8", "colour"), MODES)
def test_window_too_small_gives_none(size: tuple[int, int], utf8: bool, colour: bool) -> None:
    assert draw(URI, columns=size[0], rows=size[1], half_blocks=utf8, colour=colour) is None


@pytest.mark.parametrize("length", [3000, 10_000])
def test_text_beyond_any_code_gives_none(length: int) -> None:
    assert draw("a" * length, columns=9999, rows=9999, half_blocks=True, colour=True) is None


@pytest.mark.parametrize(("utf8", "colour"), MODES)
def test_drawn_modules_are_those_of_the_code(utf8: bool, colour: bool) -> None:
    source = random.Random(2026)
    for _ in range(40):
        uri = uri_of(source.randint(60, 250), source, secret_last=source.random() < 0.5)
        matrix = matrix_of(uri, border=2)
        if utf8:
            matrix.append([False] * len(matrix))
        lines = draw(uri, columns=200, rows=100, half_blocks=utf8, colour=colour)
        assert lines is not None
        assert modules_of(lines, utf8) == matrix


@pytest.mark.parametrize("utf8", [True, False])
def test_colours_depend_on_no_theme_and_end_with_the_line(utf8: bool) -> None:
    lines = draw(URI, columns=200, rows=100, half_blocks=utf8, colour=True)
    assert lines is not None
    for line in lines:
        # Nothing may lean on what came before: not on the line above, not on a reversed prompt.
        assert line.startswith("\x1b[0;")
        for cell in read_cells(line)[0]:
            assert cell.foreground == CUBE_WHITE
            assert cell.background in (CUBE_WHITE, CUBE_BLACK)
            assert cell.background == CUBE_BLACK or cell.character == " "
        assert read_cells(line + "?")[0][-1] == ("?", None, None)


@pytest.mark.parametrize("utf8", [True, False])
def test_colours_are_sent_only_where_they_change(utf8: bool) -> None:
    lines = draw(URI, columns=200, rows=100, half_blocks=utf8, colour=True)
    assert lines is not None
    for line in lines:
        backgrounds = [cell.background for cell in read_cells(line)[0]]
        changes = sum(before != after for before, after in pairwise(backgrounds))
        assert line.count("\x1b") == changes + 3  # The foreground, the first one, the reset.


@pytest.mark.parametrize("utf8", [True, False])
def test_lines_without_colour_hold_no_control_character(utf8: bool) -> None:
    lines = draw(URI, columns=200, rows=100, half_blocks=utf8, colour=False)
    assert lines is not None
    assert set("".join(lines)) == set("█▀▄ " if utf8 else "# ")


def test_code_without_utf8_is_ascii() -> None:
    lines = draw(URI, columns=200, rows=100, half_blocks=False, colour=True)
    assert lines is not None
    assert "".join(lines).isascii()


def read_codes(lines: list[str], theme: Theme, path: Path, blocks_from_font: bool) -> list[str]:
    picture = rasterise("\n".join(lines), theme, 80, 24, blocks_from_font=blocks_from_font)
    return read_code(picture, path / "window.png").splitlines()


@pytest.mark.parametrize("theme", THEMES)
def test_code_without_colour_for_both_backgrounds_reads_on_each(tmp_path: Path, theme: str) -> None:
    uri = uri_of(100, random.Random(100))
    lines = draw(uri, columns=80, rows=22, half_blocks=True, colour=False, background="both")
    assert lines is not None and len(lines) <= 21
    assert all(width_of(line) == 78 for line in lines)
    assert read_codes(lines, THEMES[theme], tmp_path, False) == [uri]


@pytest.mark.parametrize("background", THEMES)
@pytest.mark.parametrize("theme", THEMES)
def test_code_without_colour_for_one_background_reads_on_that_one(
    tmp_path: Path, background: str, theme: str
) -> None:
    lines = draw(URI, columns=80, rows=24, half_blocks=True, colour=False, background=background)
    assert lines is not None
    read = read_codes(lines, THEMES[theme], tmp_path, False)
    assert read == ([URI] if background == theme else [])


@pytest.mark.parametrize("utf8", [True, False])
def test_code_for_both_backgrounds_is_that_for_a_dark_one_where_two_do_not_fit(utf8: bool) -> None:
    side = len(matrix_of(URI, border=1)) * (1 if utf8 else 2)
    for columns, drawn in ((2 * side, 2 * side), (2 * side - 1, side + (4 if not utf8 else 2))):
        lines = draw(
            URI, columns=columns, rows=99, half_blocks=utf8, colour=False, background="both"
        )
        assert lines is not None
        assert {width_of(line) for line in lines} == {drawn}
    with_colour = draw(URI, columns=200, rows=99, half_blocks=utf8, colour=True, background="both")
    assert with_colour == draw(URI, columns=200, rows=99, half_blocks=utf8, colour=True)


def test_font_without_half_blocks_gets_full_ones() -> None:
    lines = draw(URI, columns=90, rows=46, half_blocks=False, colour=False, full_cell="██")
    assert lines is not None
    assert set("".join(lines)) == set("█ ")
    assert modules_of([line.replace("█", "#") for line in lines], utf8=False) == matrix_of(URI, 2)
