# SPDX-License-Identifier: MIT
"""The compiled module as it is installed: hardened, and with nothing to link against but PAM's."""

import subprocess
from pathlib import Path

import pytest

INSTALLED = next(Path("/usr/lib").glob("*/security")) / "pam_totp.so"


def tell(*command: str) -> str:
    return subprocess.run(
        [*command, str(INSTALLED)], capture_output=True, text=True, check=True
    ).stdout


def test_it_exports_what_libpam_calls_and_nothing_else() -> None:
    symbols = {line.split()[-1] for line in tell("nm", "-D", "--defined-only").splitlines()}
    assert symbols == {"pam_sm_authenticate", "pam_sm_setcred"}


def test_relocations_are_read_only_before_it_runs() -> None:
    assert "GNU_RELRO" in tell("readelf", "--wide", "--program-headers")
    assert "NOW" in tell("readelf", "--wide", "--dynamic")


def test_no_segment_is_writable_and_executable() -> None:
    headers = tell("readelf", "--wide", "--program-headers").splitlines()
    (stack,) = [line for line in headers if "GNU_STACK" in line]
    assert " RW " in stack
    assert not [line for line in headers if "RWE" in line]


@pytest.mark.parametrize("entry", ["TEXTREL", "RPATH", "RUNPATH", "DEBUG"])
def test_dynamic_section_has_no(entry: str) -> None:
    assert f"({entry})" not in tell("readelf", "--wide", "--dynamic")


def test_it_needs_pam_and_the_c_library_alone() -> None:
    lines = [
        line for line in tell("readelf", "--wide", "--dynamic").splitlines() if "NEEDED" in line
    ]
    needed = {line.split("[")[1].rstrip("]") for line in lines}
    # The dynamic linker is the C library's own: on some processors it finds a thread's variables.
    of_the_c_library = {"libc.so.6", *(name for name in needed if name.startswith("ld-linux"))}
    assert needed == {"libpam.so.0", *of_the_c_library}


def test_stack_and_memory_are_guarded() -> None:
    imported = tell("nm", "-D", "--undefined-only")
    assert "__stack_chk_fail" in imported
    assert "__explicit_bzero_chk" in imported


def test_it_is_root_s_alone_to_write() -> None:
    status = INSTALLED.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 0, 0o644)
