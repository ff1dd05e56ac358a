# SPDX-License-Identifier: MIT
"""Real disks: ext4 in a file, whose folders fscrypt encrypts by the ioctls of linux/fscrypt.h."""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DISK = Path("/srv/encrypted")
LOOP_CTL_GET_FREE, LOOP_CONTROL, LOOP_MAJOR = 0x4C82, (10, 237), 7
SET_POLICY, ADD_KEY, REMOVE_KEY = 0x800C6613, 0xC0506617, 0xC0406618
AES_256_XTS, AES_256_CTS, BY_IDENTIFIER, POLICY_V2 = 1, 4, 2, 2


class EncryptedDisk:
    """`encrypt` an empty folder, then `lock` and `unlock` all of them."""

    path = DISK

    def __init__(self) -> None:
        self._key = os.urandom(64)
        self._identifier = self.unlock()

    def unlock(self) -> bytes:
        """Adds the key; what it goes by."""
        head = struct.pack("=II32sII32s", BY_IDENTIFIER, 0, b"", len(self._key), 0, b"")
        argument = bytearray(head + self._key)
        self._call(DISK, ADD_KEY, argument)
        return bytes(argument[8:24])

    def lock(self) -> None:
        """Takes the key away, and what the kernel has looked up with it."""
        os.sync()
        argument = struct.pack("=II32sI20s", BY_IDENTIFIER, 0, self._identifier, 0, b"")
        self._call(DISK, REMOVE_KEY, bytearray(argument))

    def encrypt(self, folder: Path) -> None:
        modes = (POLICY_V2, AES_256_XTS, AES_256_CTS, 0)
        self._call(
            folder, SET_POLICY, bytearray(struct.pack("=4B4s16s", *modes, b"", self._identifier))
        )

    @staticmethod
    def _call(folder: Path, request: int, argument: bytearray) -> None:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, request, argument)
        finally:
            os.close(descriptor)


@contextmanager
def disk_in_a_file(image: Path, point: Path) -> Iterator[None]:
    """An ext4 that can encrypt, mounted there until the end of the block."""
    image.touch()
    os.truncate(image, 16 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-O", "encrypt", str(image)], check=True)
    control = Path("/dev/loop-control")
    if not control.exists():
        os.mknod(control, 0o20600, os.makedev(*LOOP_CONTROL))
    descriptor = os.open(control, os.O_RDWR)
    number = fcntl.ioctl(descriptor, LOOP_CTL_GET_FREE)
    os.close(descriptor)
    device = Path(f"/dev/loop{number}")
    if not device.exists():
        os.mknod(device, 0o60600, os.makedev(LOOP_MAJOR, number))
    subprocess.run(["mount", "-o", f"loop={device}", str(image), str(point)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(point)], check=True)


@pytest.fixture
def encrypted_disk(tmp_path: Path) -> Iterator[EncryptedDisk]:
    """Mounted on /srv/encrypted, unlocked, until the test ends."""
    DISK.mkdir()
    with disk_in_a_file(tmp_path / "disk", DISK):
        yield EncryptedDisk()
    DISK.rmdir()
