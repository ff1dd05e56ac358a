# SPDX-License-Identifier: MIT
"""Sheets on paper: printed by a real browser, and read as a person and a phone read them."""

import base64
import hashlib
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pam_totp.sheets.page import STYLE

SIZES = {"a4": (595, 842), "letter": (612, 792)}  # points
ARTICLE = re.compile(r'<article class="sheet.*?</article>\n', re.DOTALL)
BROWSER = [
    *("/usr/bin/chromium", "--headless", "--no-sandbox", "--disable-gpu"),
    *("--disable-dev-shm-usage", "--no-pdf-header-footer"),
]


@dataclass(frozen=True)
class Printed:
    """One page: its size in points, its text, and what a scanner reads on it."""

    size: tuple[int, int]
    text: str
    scanned: str


def articles_of(document: str) -> list[str]:
    """The pages of a document that the product made."""
    return ARTICLE.findall(document)


def print_all(head: str, articles: Sequence[str], folder: Path) -> dict[str, list[Printed]]:
    """Every article on paper of each size, by one browser: the style of the product, and the size
    of the paper, which the person who prints chooses in a window that is not here."""
    sizes = "".join(f".{size} {{ page: {size} }} @page {size} {{ size: {size} }}" for size in SIZES)
    style = STYLE + sizes
    old, new = (
        base64.b64encode(hashlib.sha256(each.encode()).digest()).decode("ascii")
        for each in (STYLE, style)
    )
    assert old in head
    begin = head.replace(old, new).replace(STYLE, style)
    pages = [
        article.replace('class="sheet', f'class="{size} sheet', 1)
        for size in SIZES
        for article in articles
    ]
    source, target = folder / "sheets.html", folder / "sheets.pdf"
    source.write_text(f"{begin}{''.join(pages)}</body></html>", encoding="utf-8")
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [*BROWSER, profile, f"--print-to-pdf={target}", source.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    assert _count(target) == len(pages), [_text(target, at) for at in range(1, _count(target) + 1)]
    printed = [_look(target, number, folder) for number in range(1, len(pages) + 1)]
    count = len(articles)
    return {size: printed[at * count : (at + 1) * count] for at, size in enumerate(SIZES)}


def _count(file: Path) -> int:
    return int(re.findall(r"^Pages: +(\d+)$", _said("pdfinfo", str(file)), re.MULTILINE)[0])


def _look(file: Path, number: int, folder: Path) -> Printed:
    one = ["-f", str(number), "-l", str(number)]
    sizes = re.findall(r"size: +([\d.]+) x ([\d.]+)", _said("pdfinfo", *one, str(file)))
    # In grey, as a printer without colour has it, and as coarse as one that is worn.
    picture = folder / f"page-{number}"
    _said("pdftoppm", *one, "-gray", "-r", "120", "-singlefile", "-png", str(file), str(picture))
    scanned = _said("zbarimg", "-q", "--raw", f"{picture}.png").strip()
    width, height = (round(float(each)) for each in sizes[0])
    return Printed((width, height), _text(file, number), scanned)


def _text(file: Path, number: int) -> str:
    return _said("pdftotext", "-f", str(number), "-l", str(number), "-layout", str(file), "-")


def _said(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout
