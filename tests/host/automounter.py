# SPDX-License-Identifier: MIT
"""A real autofs mount point, and the little of automount(8) that a single one needs."""

import ctypes
import fcntl
import os
import signal
import struct
import subprocess
from pathlib import Path

READY = 0x9360  # AUTOFS_IOC_READY, linux/auto_fs.h
PACKET_BYTES = 304  # struct autofs_v5_packet
TOKEN_AT = 8


class Automounter:
    """Mounts `source` over `point` (a bind mount) when somebody else walks into it."""

    def __init__(self, point: Path, source: Path) -> None:
        self.point = point
        ready, written = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            try:
                os.close(ready)
                _serve(point, source, written)
            finally:
                os._exit(1)
        os.close(written)
        assert os.read(ready, 1) == b"1"
        os.close(ready)

    def is_triggered(self) -> bool:
        return len([line for line in self._mounts() if f" {self.point} " in line]) > 1

    def close(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        for line in self._mounts():
            if f" {self.point} " in line:
                subprocess.run(["umount", "-l", str(self.point)], check=True)

    @staticmethod
    def _mounts() -> list[str]:
        return Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()


def _serve(point: Path, source: Path, written: int) -> None:
    os.setpgid(0, 0)  # to the kernel the automounter is a process group, and triggers nothing
    requests, kernels = os.pipe()
    options = f"fd={kernels},pgrp={os.getpid()},minproto=5,maxproto=5,direct"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"automounter", bytes(point), b"autofs", 0, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    root = os.open(point, os.O_RDONLY | os.O_DIRECTORY)
    os.write(written, b"1")
    while packet := os.read(requests, PACKET_BYTES):
        subprocess.run(["mount", "--bind", str(source), str(point)], check=True)
        fcntl.ioctl(root, READY, struct.unpack_from("=I", packet, TOKEN_AT)[0])
