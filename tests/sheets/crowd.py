# SPDX-License-Identifier: MIT
"""`pam-totp enroll` for many users: how tests run it, and what it has left."""

import csv
import html
import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.commands.commands import Answer, pam_totp, secret_of
from tests.host.accounts import User

FILES = {"recovery", "secret"}
SECRET = re.compile(r"secret=([A-Z2-7]+)")


def enroll(users: Iterable[User], folder: Path, *options: str) -> Answer:
    """From standard input."""
    names = "".join(f"{user.name}\n" for user in users)
    command = ["enroll", "--users", "-", "--sheets", str(folder)]
    return pam_totp(*command, *options, typed=names)


def sheet_of(user: User, folder: Path) -> Path:
    return folder / f"{user.name}.html"


def picture_of(user: User, folder: Path) -> Path:
    return folder / f"{user.name}.png"


def printed_key(sheet: Path) -> str:
    """The key as a person reads it."""
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", sheet.read_text(encoding="utf-8"))
    assert found
    return found[1].replace(" ", "")


def saved_key(user: User) -> str:
    found = SECRET.findall(secret_of(user).read_text(encoding="utf-8"))
    assert len(found) == 1
    return str(found[0])


def row_of(sheet: Path) -> dict[str, object]:
    found = re.search(r'<meta name="pam-totp" content="([^"]*)">', sheet.read_text("utf-8"))
    assert found
    row: dict[str, object] = json.loads(html.unescape(found[1]))
    return row


def keys_of_table(path: Path) -> dict[str, str]:
    """The key in the URI of each user, of a table as CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["user"]: parse_qs(urlsplit(row["uri"]).query)["secret"][0] for row in rows}


def rows_of_users() -> dict[str, dict[str, object]]:
    return {row["user"]: row for row in json.loads(pam_totp("users", "--json").output)}


def scanned(picture: Path) -> str:
    command = ["zbarimg", "-q", "--raw", "--nodbus", str(picture)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def assert_whole(users: Iterable[User], folder: Path, *, has_pictures: bool = False) -> None:
    """Everybody is enrolled, with the key on the own sheet and in the own picture, and nothing else
    is left. (A kill after the secret took its name leaves what keeps it out of a repository of
    dotfiles to the next save.)
    """
    kinds = [".html", ".png"] if has_pictures else [".html"]
    for user in users:
        assert printed_key(sheet_of(user, folder)) == saved_key(user)
        files = {path.name for path in secret_of(user).parent.iterdir()}
        assert {name for name in files if not name.startswith(".gitignore")} == FILES
        if has_pictures:
            uri = scanned(picture_of(user, folder))
            assert uri == row_of(sheet_of(user, folder))["uri"]
    names = sorted(path.name for path in folder.iterdir())
    assert names == sorted(f"{user.name}{kind}" for user in users for kind in kinds)
