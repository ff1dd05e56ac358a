# SPDX-License-Identifier: MIT
"""sshd's configuration as it would be, in a folder of its own, for sshd itself to judge."""

import contextlib
import fnmatch
import glob
import os
import re
import subprocess
import tempfile

from pam_totp.setup.sshd_settings import PATH as DROP_IN
from pam_totp.stack import sshd
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.sshd_config import FOLDER, PATH, Block, read_blocks, split
from pam_totp.stack.sshd_match import Login
from pam_totp.stack.sshd_running import Server

RUN_FOLDER = "/run/sshd"  # sshd -t wants it; its unit makes it
USUAL = Server()
MAX_DEPTH = 16
PLACES = ("/run", "/var/lib/pam-totp", "/root", "/")
_INCLUDE = re.compile(r'^[ \t]*"?include"?[ \t]*=?[ \t]*(.*)$', re.IGNORECASE)


class Copy:
    """The files of the configuration with some replaced, by path. `path` is the main one; `names`
    has the real path of each copy. server: whose configuration it is. To be used as a context
    manager."""

    def __init__(self, replaced: dict[str, bytes | None], server: Server = USUAL) -> None:
        self._replaced, self.server = replaced, server
        self.names: dict[str, str] = {}
        self.path = ""

    def __enter__(self) -> "Copy":
        """Raises Unknown."""
        # Not where TMPDIR says: whoever owns that folder could exchange what sshd is to read.
        folder = next(each for each in PLACES if os.path.isdir(each))
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="pam-totp-", dir=folder)
            self.path = self._copy(self.server.path, 0)
        except OSError as failure:
            raise Unknown(f"{failure.filename or folder}: {failure.strerror}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def test(self) -> None:
        """Whether sshd would start with it. Raises Unknown with what sshd says."""
        with contextlib.suppress(OSError):  # which sshd says in its own words
            os.makedirs(RUN_FOLDER, mode=0o755, exist_ok=True)
        told = subprocess.run(
            [sshd.SSHD, "-t", "-f", self.path, *self.server.options],
            capture_output=True,
            text=True,
            errors="replace",
        )
        if told.returncode != 0:
            where = f" {self.server.words}" if self.server.words else ""
            said = sshd.on_one_line(told.stderr)
            raise Unknown(f"sshd -t{where}: {self.real(said)}")

    def settings_of(self, login: Login) -> dict[str, str]:
        """By keyword, in lower case. Raises Unknown."""
        try:
            return sshd.settings_of(login, self.path, self.server.options)
        except Unknown as unknown:
            raise Unknown(self.real(str(unknown))) from None

    def blocks(self) -> list[Block]:
        """Its blocks. Raises Unknown."""
        return read_blocks(self.path)

    def real(self, text: str) -> str:
        """A text with the names of the files and the numbers of their lines as they are now."""
        for copy, path in self.names.items():
            text = text.replace(copy, path)
        main = self._replaced.get(PATH)
        ours = re.match(rb"(?s)# begin of pam-totp.*?\n# end of pam-totp's lines\n", main or b"")
        added = ours[0].count(b"\n") if ours else 0
        return re.sub(
            rf"({re.escape(PATH)},? line )(\d+)",
            lambda found: f"{found[1]}{int(found[2]) - added}",
            text,
        )

    def _content(self, path: str) -> bytes:
        replaced = self._replaced.get(path)
        if replaced is not None:
            return replaced
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as failure:
            raise Unknown(f"{path}: {failure.strerror}") from None

    def _copy(self, path: str, depth: int) -> str:
        if depth > MAX_DEPTH:
            raise Unknown(f"{path}: too many recursive includes")
        lines = self._content(path).decode("utf-8", "surrogateescape").split("\n")
        lines = [self._line(line, depth) for line in lines]
        # Not by its own name, which may mean something else in an Include line.
        place = f"{self._folder.name}/{len(self.names)}.conf"
        self.names[place] = path
        with open(place, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(lines))
        return place

    def _line(self, line: str, depth: int) -> str:
        """A line whose Include leads to copies."""
        found = _INCLUDE.match(line)
        if found is None:
            return line
        copies = []
        for pattern in split(found[1]):
            path = pattern if pattern.startswith("/") else f"{FOLDER}/{pattern}"
            files = {each for each in glob.glob(path) if not os.path.isdir(each)}
            files |= {each for each in self._replaced if _is_included(each, path)}
            there = [each for each in files if self._replaced.get(each, b"") is not None]
            copies += [self._copy(each, depth + 1) for each in sorted(there)]
        # An Include of nothing is one of a pattern that matches nothing.
        return f"Include {' '.join(copies) or self._folder.name + '/none'}"


def _is_included(path: str, pattern: str) -> bool:
    """Whether glob(3) would find a path: a wildcard stands for no `/`."""
    pairs = zip(path.split("/"), pattern.split("/"), strict=False)
    is_as_deep = path.count("/") == pattern.count("/")
    return is_as_deep and all(fnmatch.fnmatchcase(name, each) for name, each in pairs)


def has_drop_in() -> bool:
    """Whether our settings are there."""
    return os.path.lexists(DROP_IN)
