# SPDX-License-Identifier: MIT
"""The promises of tests/fuzz/launcher.c, on the same inputs in every run: no clang needed."""

from pathlib import Path

from tests.fuzz.test_module_promises import break_no_promise

SOURCE = Path(__file__).with_name("launcher.c")
INPUTS = 60_000


def test_launcher_keeps_its_promises_whatever_the_kernel_answers(tmp_path: Path) -> None:
    """Rules 2, 7 and 31: every call fails, the mark and the groups are nearly right."""
    break_no_promise(SOURCE, INPUTS, tmp_path)
