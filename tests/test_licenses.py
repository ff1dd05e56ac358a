# SPDX-License-Identifier: MIT
"""Each file of code names its license in its first line, or in the one after `#!` (SPDX)."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = (".ci", "debian", "pam_totp", "scripts", "tests")
BUILT = ("__pycache__", "debian/.debhelper", "debian/pam-totp/")
SCRIPT, C = "# SPDX-License-Identifier: MIT", "/* SPDX-License-Identifier: MIT */"


def code() -> Iterator[tuple[str, str, str]]:
    """Name, text and the line that it must have, of each file of code that is not empty."""
    paths = [ROOT / "Makefile", *(path for each in FOLDERS for path in (ROOT / each).rglob("*"))]
    for path in sorted(paths):
        name = str(path.relative_to(ROOT))
        if not path.is_file() or any(each in name for each in BUILT):
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        if path.suffix in (".c", ".h", ".map"):
            yield name, text, C
        elif path.suffix == ".py" or path.name == "Makefile" or text.startswith("#!"):
            yield name, text, SCRIPT


def test_every_file_of_code_names_its_license() -> None:
    files = [each for each in code() if each[1]]
    assert len(files) > 200
    without = []
    for name, text, line in files:
        lines = text.splitlines()
        if lines[int(lines[0].startswith("#!"))] != line:
            without.append(name)
    assert without == []


def test_license_is_the_one_of_the_tree() -> None:
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License\n")
    assert "License: Expat\n" in (ROOT / "debian/copyright").read_text(encoding="utf-8")
