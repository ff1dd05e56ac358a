# SPDX-License-Identifier: MIT
"""File systems of programs: what a throw-away host, whose /dev is new, lacks for them."""

import ctypes
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.host.accounts import User

MS_NOSUID, MS_NODEV = 2, 4


def fuse_device() -> Path:
    """/dev/fuse, which is made if it is not there. Raises OSError."""
    device = Path("/dev/fuse")
    if not device.exists():
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(10, 229))
    return device


@contextmanager
def home_that_never_answers(user: User) -> Iterator[None]:
    """Its secrets are in a file system whose program, the user's, never answers: as sshfs or rclone
    make one with allow_other, or a server that is gone."""
    program = os.open(fuse_device(), os.O_RDWR | os.O_CLOEXEC)
    point = user.home / ".config"
    user.run_as("mkdir", str(point), check=True)
    identity = f"user_id={user.uid},group_id={user.gid}"
    options = f"fd={program},rootmode=40000,{identity},allow_other"
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV)
    done = libc.mount(b"silent", os.fsencode(point), b"fuse", flags, options.encode())
    assert done == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        os.close(program)  # whoever waits is told so
        libc.umount2(os.fsencode(point), 2)
