# SPDX-License-Identifier: MIT
"""The command that sets a key of the settings: run as printed, on a file as people have it."""

import subprocess
from pathlib import Path

import pytest

from pam_totp.records.config import reader
from pam_totp.review.doctor.settings_edit import command_to_set
from pam_totp.rules.encoding import encode

RULES = "rules:\n  - {service: sudo, code: never}\n"


def run(path: Path) -> bytes:
    command = command_to_set("store", "system", str(path))
    subprocess.run(["bash", "-eu", "-c", command], check=True)
    return path.read_bytes()


@pytest.mark.parametrize(
    "before",
    [
        *("# the defaults\n", "# no line end", "issuer: example\n", f"{RULES}", f"{RULES}\n# end"),
        *("store: user\n", f"store: user   # in the homes\n{RULES}", f"{RULES}store: 'user'"),
        *(f"issuer: example\n\nstore : user\n{RULES}", "store: system\n"),
    ],
)
def test_a_key_is_set_where_it_is_there_and_where_it_is_not(tmp_path: Path, before: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(before)
    wanted, rules = reader.parse(reader.compose(before.encode()))
    found, after = reader.parse(reader.compose(run(path)))  # a duplicate key is a fault
    assert found == wanted | {"store": "system"}
    assert encode(after) == encode(rules)


def test_a_file_that_does_not_exist_is_made_with_its_folder(tmp_path: Path) -> None:
    assert run(tmp_path / "pam-totp" / "config.yaml") == b"store: system\n"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, path = tmp_path / "elsewhere", tmp_path / "config.yaml"
    target.write_text("store: user\n")
    path.symlink_to(target)
    assert run(path) == b"store: system\n"
    assert path.is_symlink()


@pytest.mark.parametrize(
    ("before", "line"),
    [
        ("{issuer: example, store: user}\n", 1),  # a line after it would be another document
        ("issuer: example\nstore:\n  user\n", 2),  # what follows the line belongs to the value
        ("issuer: example\n...\n", 2),
        ("store: nowhere\n", 1),
    ],
)
def test_where_no_command_is_right_the_file_is_opened(
    tmp_path: Path, before: str, line: int
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(before)
    assert command_to_set("store", "system", str(path)) == f"editor +{line} {path}"
