# SPDX-License-Identifier: MIT
"""File systems of programs: what a throw-away host, whose /dev is new, lacks for them."""

import os
import stat
from pathlib import Path


def fuse_device() -> Path:
    """/dev/fuse, which is made if it is not there. Raises OSError."""
    device = Path("/dev/fuse")
    if not device.exists():
        os.mknod(device, 0o600 | stat.S_IFCHR, os.makedev(10, 229))
    return device
