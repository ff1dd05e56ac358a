# SPDX-License-Identifier: MIT
"""Pictures of QR codes as a phone sees them (zbarimg), and logos for their middle."""

import os
import subprocess
from pathlib import Path

from PIL import Image

from tests.host.accounts import User


def read_qr_code(picture: Path) -> str:
    done = subprocess.run(
        ["zbarimg", "-q", "--raw", "--nodbus", str(picture)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def read_codes(pictures: list[bytes], folder: Path) -> list[str]:
    """What is read of each, in their order; the folder is to hold them."""
    paths = [folder / f"{number:04}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        path.write_bytes(picture)
    command = ["zbarimg", "-q", "--raw", "--nodbus", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()


def logo_of(user: User, image: Image.Image, kind: str = "PNG") -> Path:
    """A file of the user's with this picture, which is a format of PIL's."""
    path = user.home / f"logo.{kind.lower()}"
    image.save(path, kind)
    os.chown(path, user.uid, user.gid)
    return path


def unreadable_logo(user: User) -> Path:
    """A logo that is a code itself: what is read then is not the URI alone."""
    import qrcode

    return logo_of(user, qrcode.make("hello", box_size=20).get_image().convert("RGB"))
