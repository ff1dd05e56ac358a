# SPDX-License-Identifier: MIT
"""Disks that are really full, and really read-only: small file systems over folders of the host."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

# Full: no block left, as a log that grew would leave it. Crowded: no inode left either, so that
# not even an empty file can be made. Read-only: as the kernel leaves it after an error.
FULL, CROWDED, READ_ONLY = "full", "crowded", "read-only"
STATES = (FULL, CROWDED, READ_ONLY)
SIZE = "256k"
INODES = 64
BALLAST = "ballast"


class Disk:
    """A file system of its own over a folder, with the folder's content."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._status = folder.stat()
        aside = Path("/tmp") / f"aside-{os.getpid()}"
        shutil.copytree(folder, aside, symlinks=True)
        owners = {path.relative_to(folder): path.stat() for path in folder.rglob("*")}
        _run("mount", "-t", "tmpfs", "-o", f"size={SIZE},nr_inodes={INODES}", "disk", str(folder))
        shutil.copytree(aside, folder, symlinks=True, dirs_exist_ok=True)
        shutil.rmtree(aside)
        for name, status in (owners | {Path("."): self._status}).items():
            os.chown(folder / name, status.st_uid, status.st_gid)
            (folder / name).chmod(status.st_mode & 0o7777)

    def become(self, state: str) -> None:
        if state == READ_ONLY:
            _run("mount", "-o", "remount,ro", str(self.folder))
            return
        with (self.folder / BALLAST).open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        assert os.statvfs(self.folder).f_bfree == 0
        if state == CROWDED:
            while os.statvfs(self.folder).f_ffree:
                (self.folder / f"{BALLAST}-{os.statvfs(self.folder).f_ffree}").touch()

    def repair(self) -> None:
        """Room again, and writable: what is there stays."""
        _run("mount", "-o", "remount,rw", str(self.folder))
        for path in self.folder.glob(f"{BALLAST}*"):
            path.unlink()

    def remove(self) -> None:
        _run("umount", str(self.folder))


@contextmanager
def disks(folders: Iterable[Path]) -> Iterator[list[Disk]]:
    made: list[Disk] = []
    try:
        for folder in folders:
            made.append(Disk(folder))
        yield made
    finally:
        for disk in made:
            disk.remove()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
