# SPDX-License-Identifier: MIT
"""One host in several states, which change places between two samples."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.bench.rounds import Sample


class Variants:
    """Folders that are renamed: what is in them stays as it is, times and inodes included."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders
        self._now = ""
        for folder in folders:
            # An overlay renames only folders that are not on the disk below it.
            subprocess.run(["rm", "-rf", str(folder)], check=True)

    def add(self, name: str) -> None:
        """The folders are there, and empty, in a state of this name."""
        self._put_away()
        for folder in self._folders:
            folder.mkdir(mode=0o700)
        self._now = name

    def become(self, name: str) -> None:
        if name == self._now:
            return
        self._put_away()
        for folder in self._folders:
            kept(folder, name).rename(folder)
        self._now = name

    def within(self, name: str, run: Callable[[], Sample]) -> Callable[[], Sample]:
        """`run` in the state of this name."""

        def run_there() -> Sample:
            self.become(name)
            return run()

        return run_there

    def _put_away(self) -> None:
        if self._now:
            for folder in self._folders:
                folder.rename(kept(folder, self._now))


def kept(folder: Path, name: str) -> Path:
    return folder.with_name(f"{folder.name}-{name}")
