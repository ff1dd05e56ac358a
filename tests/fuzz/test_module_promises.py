# SPDX-License-Identifier: MIT
"""The promises of tests/fuzz/module.c, on the same inputs in every run: no clang needed."""

import os
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = Path(__file__).with_name("module.c")
INPUTS = 300_000


def test_module_keeps_its_promises_whatever_everybody_answers(tmp_path: Path) -> None:
    """Rules 2, 5 and 14: libpam, the application and pam_exec fail in every way."""
    break_no_promise(SOURCE, INPUTS, tmp_path)


def break_no_promise(source: Path, inputs: int, folder: Path) -> None:
    program = folder / source.stem
    language = ["-std=gnu11", "-D_GNU_SOURCE=", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    made = f"-I{REPOSITORY / 'build'}"  # what the launcher embeds
    command = ["gcc", *language, *sanitize, "-DSTANDALONE", made, "-o", str(program), str(source)]
    subprocess.run(command, check=True)
    options = os.environ | {"ASAN_OPTIONS": "detect_leaks=1"}
    done = subprocess.run([program, str(inputs)], env=options, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
