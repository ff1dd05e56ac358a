# SPDX-License-Identifier: MIT
"""sshd's configuration by blocks, as sshd reads it (OpenSSH's servconf.c): what each Match demands.

What a setting means is sshd's to say (`sshd -T`); this tells which logins its blocks tell apart,
and in which line a value stands.
"""

import dataclasses
import glob
import os
import re
from collections.abc import Iterator

from pam_totp.stack.libpam import Unknown

PATH, FOLDER = "/etc/ssh/sshd_config", "/etc/ssh"
MAX_DEPTH = 16  # servconf.c, SERVCONF_MAX_DEPTH
MAX_BYTES = 1_000_000
# Criteria with an argument; `all` and `invalid-user` have none.
CRITERIA = (
    *("user", "group", "host", "address", "localaddress", "localport", "rdomain", "version"),
)
_KEYWORD = re.compile(r'[ \t\r\f]*"?([^\s="]+)"?[ \t\r]*=?[ \t\r]*')
_ESCAPED = re.compile(r"\\(['\"\\])")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A line: the keyword in lower case, and its words."""

    keyword: str
    words: tuple[str, ...]
    file: str
    number: int


@dataclasses.dataclass(frozen=True)
class Block:
    """The settings after a Match line, up to the next one or the end of the file; of those outside
    of any, `is_match` is false. criteria: every one must be met, also of the blocks around an
    Include. file, number: of the Match line."""

    criteria: tuple[tuple[str, str], ...]
    settings: tuple[Setting, ...]
    file: str
    number: int
    is_match: bool = True

    @property
    def place(self) -> str:
        """The file and the number, as text."""
        return f"{self.file}, line {self.number}"


@dataclasses.dataclass
class _Open:
    criteria: tuple[tuple[str, str], ...]
    file: str
    number: int
    is_match: bool


def read_blocks(path: str = PATH, root: str = "") -> list[Block]:
    """The blocks in the order in which sshd reads them. Raises Unknown."""
    blocks: list[tuple[_Open, list[Setting]]] = []
    _read(path, root, _Open((), path, 0, False), blocks, 0)
    return [
        Block(each.criteria, tuple(settings), each.file, each.number, each.is_match)
        for each, settings in blocks
    ]


def source_of(keyword: str, blocks: list[Block]) -> Setting | None:
    """The line from which sshd has the value of a keyword for a login that all these blocks apply
    to: the first one in a Match block, else the first one outside; None for a default."""
    ordered = sorted(blocks, key=lambda block: not block.is_match)
    settings = (setting for block in ordered for setting in block.settings)
    names = (keyword, *(old for old, new in OLD_NAMES.items() if new == keyword))
    return next((setting for setting in settings if setting.keyword in names), None)


OLD_NAMES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
    "dsaauthentication": "pubkeyauthentication",
}


def _read(
    path: str, root: str, around: _Open, blocks: list[tuple[_Open, list[Setting]]], depth: int
) -> None:
    if depth > MAX_DEPTH:
        raise Unknown(f"{path}: too many recursive includes")
    here = around
    blocks.append((here, []))
    for number, text in _lines(path, root):
        keyword, words = _words(text)
        if keyword == "match":
            criteria = _criteria(words, f"{path}, line {number}")
            here = _Open((*around.criteria, *criteria), path, number, True)
            blocks.append((here, []))
        elif keyword == "include":
            for pattern in words:
                for each in _included(pattern, root):
                    _read(each, root, here, blocks, depth + 1)
            blocks.append((here, []))  # what follows belongs to the block around the Include
        elif keyword:
            blocks[-1][1].append(Setting(keyword, tuple(words), path, number))


def _lines(path: str, root: str) -> Iterator[tuple[int, str]]:
    try:
        with open(root + path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as failure:
        raise Unknown(f"{path} is not readable: {failure.strerror}") from None
    if len(content) > MAX_BYTES:
        raise Unknown(f"{path} is larger than {MAX_BYTES} bytes")
    lines = content.decode("utf-8", "surrogateescape").split("\n")
    return ((number, line) for number, line in enumerate(lines, 1))


def _words(text: str) -> tuple[str, list[str]]:
    """The keyword of a line, in lower case, and the words after it; empty for a comment."""
    text = text.strip(" \t\r\f")
    found = _KEYWORD.match(text)
    if found is None or text.startswith("#"):
        return "", []
    return found[1].lower(), split(text[found.end() :])


def split(text: str) -> list[str]:
    """As argv_split does: quotes hold spaces, `#` before a word begins a comment."""
    words, word, quote, at = list[str](), None, "", 0
    while at < len(text):
        escaped = _ESCAPED.match(text, at)
        letter = text[at]
        if word is None and letter == "#":
            break
        if escaped or (not quote and text.startswith("\\ ", at)):
            word, at = (word or "") + text[at + 1], at + 1
        elif not quote and letter in " \t":
            words += [] if word is None else [word]
            word = None
        elif not quote and letter in "'\"":
            word, quote = word or "", letter
        elif letter == quote:
            quote = ""
        else:
            word = (word or "") + letter
        at += 1
    return words + ([] if word is None else [word])


def _criteria(words: list[str], place: str) -> list[tuple[str, str]]:
    """Raises Unknown for a criterion that this does not know."""
    found, waiting = list[tuple[str, str]](), [*words]
    while waiting:
        name, has_value, argument = waiting.pop(0).partition("=")
        if name.lower() == "all":
            continue
        if name.lower() == "invalid-user":
            found.append(("invalid-user", ""))
            continue
        if name.lower() not in CRITERIA:
            raise Unknown(f"{place}: Match {name} is not known here")
        while not argument and waiting:  # `User =alice` and `User = alice` too
            argument = waiting.pop(0)
            argument = argument.removeprefix("=") if not has_value else argument
            has_value = "="
        found.append((name.lower(), argument))
    return found


def _included(pattern: str, root: str) -> list[str]:
    """The files of an Include, in the order of glob(3)."""
    path = pattern if pattern.startswith(("/", "~")) else f"{FOLDER}/{pattern}"
    found = [each.removeprefix(root) for each in glob.glob(glob.escape(root) + path)]
    return sorted(each for each in found if not os.path.isdir(root + each))
