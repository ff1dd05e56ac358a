# SPDX-License-Identifier: MIT
"""What enable names in an error is a line that the administrator can look at, and not one of the
edit that it tried."""

import re
from pathlib import Path

import pytest

from pam_totp.errors import Error
from pam_totp.setup import plan_pam
from pam_totp.setup.block import marked, numbers_on_disk, take_out
from pam_totp.setup.edits import edits
from pam_totp.setup.host import PamHost
from pam_totp.setup.proof import KEY_OR_PASSWORD
from pam_totp.stack.files import file_of
from tests.stack.written import SINCE_1_6, write

COMMON_AUTH = """\
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
"""
REST = "account required pam_unix.so\nsession required pam_unix.so\n"
OURS = marked(
    "code", b"auth optional pam_env.so\n", ["auth optional pam_env.so", "auth required x.so"]
)
SUFFICIENT = "auth sufficient pam_unix.so\n"
NAMED = re.compile(r"(/[\w./-]+), line (\d+) \(([^)]+)\)")


def refused(root: Path, name: str, first_factor: str, **files: str) -> Error:
    write(root, {"common-auth": COMMON_AUTH, "other": SUFFICIENT + REST} | files)
    with pytest.raises(Error) as failure:
        plan_pam.plan(PamHost(SINCE_1_6, str(root)), [name], first_factor)
    return failure.value


@pytest.mark.parametrize(
    ("name", "first_factor", "text"),
    [
        ("x", "password", f"# one\n# two\n{SUFFICIENT}auth optional pam_group.so\n{REST}"),
        ("x", "password", f"{OURS.decode()}{SUFFICIENT}auth optional pam_group.so\n{REST}"),
        ("sshd", "either", f"auth [success=1 default=ignore] pam_localuser.so\n{REST}"),
        ("sshd", "either", f"{OURS.decode()}auth [success=1] pam_localuser.so\n{REST}"),
        ("x", "password", f"{OURS.decode()}auth [success=0] pam_unix.so\n{REST}"),
    ],
)
def test_a_line_that_is_named_stands_there_as_it_is_quoted(
    tmp_path: Path, name: str, first_factor: str, text: str
) -> None:
    said = refused(tmp_path, name, first_factor, **{name: text, "none": "# nothing\n"})
    for path, number, quoted in NAMED.findall(said.message):
        lines = (tmp_path / path[1:]).read_text().splitlines()
        assert " ".join(lines[int(number) - 1].split()).startswith(f"auth {quoted}"), said.message
    for path, number in re.findall(r"(/[\w./-]+), line (\d+)", f"{said.message} {said.hint}"):
        line = (tmp_path / path[1:]).read_text().splitlines()[int(number) - 1]
        assert "pam_totp.so" not in line and line.startswith("auth"), said.message
    assert "publickey_passed" not in said.message


def test_a_locker_is_refused_with_the_lines_of_the_service_that_it_includes(
    tmp_path: Path,
) -> None:
    login = f"# login\n{SUFFICIENT}auth optional pam_group.so\n@include common-auth\n{REST}"
    said = refused(tmp_path, "login", "password", login=login, i3lock="auth include login\n")
    assert "i3lock: " in said.message
    assert "/etc/pam.d/login, line 2 (sufficient pam_unix.so)" in said.message
    assert "/etc/pam.d/i3lock, line" not in said.message


def test_no_edit_jumps_over_nothing(tmp_path: Path) -> None:
    """libpam refuses `success=0`: "0 is no jump"."""
    write(tmp_path, {"none": "", "common-auth": COMMON_AUTH, "other": ""})
    host = PamHost(SINCE_1_6, str(tmp_path))
    path = "/etc/pam.d/sshd"
    file = file_of(path, b"auth include none\n@include common-auth\n", SINCE_1_6)
    found = list(edits(file, (), KEY_OR_PASSWORD, "either", host.count_for(path)))
    assert found and not [each for each in found if b"success=0" in each.after]


def test_the_lines_that_are_left_are_numbered_as_on_the_disk() -> None:
    text = b"one\ntwo\n" + OURS + b"three\n" + marked("code", b"", ["ours"]) + b"four\n"
    lines = text.split(b"\n")
    left = take_out(text).split(b"\n")
    there = [lines[number - 1].removeprefix(b"# was: ") for number in numbers_on_disk(text)]
    assert there == left
