# SPDX-License-Identifier: MIT
"""The table for a help desk: every user with device, key, URI and recovery codes, in one file.

It takes its name when it is whole, and never that of another file. With a recipient it is passed to
age(1) and never on the disk as it is.
"""

import contextlib
import csv
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict

from pam_totp.enrollment.new_file import NewFile, refuse_existing
from pam_totp.errors import Error, UsageError
from pam_totp.sheets.row import Row

SUFFIXES = (".csv", ".json")
HEAD = ("user", "device", "key", "uri", "recovery codes")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet computes


class Table:
    """A table that can be written: looked at before anything is changed. Raises Error."""

    def __init__(self, path: str, recipient: str | None, cells: Iterable[str]) -> None:
        self.path, self.recipient = path, recipient
        plain = path.removesuffix(".age") if recipient is not None else path
        if not plain.endswith(SUFFIXES):
            raise UsageError("the table must be a .csv or .json file", "use --table users.csv")
        self._suffix = plain[plain.rindex(".") :]
        folder, name = os.path.split(path)
        self._temporary = os.path.join(folder, f".{name}.new")
        odd = next((each for each in cells if each.startswith(FORMULA)), None)
        if self._suffix == ".csv" and odd is not None:
            message = f"a spreadsheet would take the name {odd!a} for a formula"
            raise Error(message, "use a .json file")
        refuse_existing(path)
        if recipient is not None:
            self._encrypt(b"", subprocess.DEVNULL)
        with self._begun():
            pass

    def _begun(self) -> NewFile:
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)  # of a command that was killed
        return NewFile(self._temporary)

    def write(self, rows: list[Row]) -> None:
        """Raises Error: then there is none."""
        text = as_csv(rows) if self._suffix == ".csv" else as_json(rows)
        with self._begun() as new:
            content = text.encode("utf-8", "replace")
            if self.recipient is not None:
                self._encrypt(content, new.file)
            else:
                new.write(content)
            try:
                os.fsync(new.file)
                os.link(self._temporary, self.path)  # unlike a rename, never over another file
            except OSError as failure:
                raise new.error(failure) from None
        with contextlib.suppress(OSError):
            os.unlink(self._temporary)

    def _encrypt(self, content: bytes, output: int) -> None:
        """The recipient is public, and all else goes through pipes."""
        program = shutil.which("age")
        if program is None:
            raise Error("the program age is not installed", "apt-get install age")
        command = [program, "--encrypt", f"--recipient={self.recipient}"]
        done = subprocess.run(command, input=content, stdout=output, stderr=subprocess.PIPE)
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").split("\n")[0].removeprefix("age: ")
            raise Error(f"cannot encrypt the table: {said}", "man age")


def as_csv(rows: list[Row]) -> str:
    """With a line of names, and all recovery codes of a user in one cell."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEAD)
    writer.writerows([row.user, row.device, row.key, row.uri, " ".join(row.codes)] for row in rows)
    return text.getvalue()


def as_json(rows: list[Row]) -> str:
    """A list of objects."""
    objects = [asdict(row) for row in rows]
    for each in objects:
        each["recovery_codes"] = each.pop("codes")
    return json.dumps(objects, indent=2) + "\n"
