# SPDX-License-Identifier: MIT
"""The QR code of a secret as a picture, in memory and in a file.

- A picture is as secret as what it shows: it MUST be a NewFile (pam_totp.enrollment.new_file).
- One that a logo has made unreadable MUST NOT be written.
"""

import io
import os
import shutil
import stat
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

from pam_totp.enrollment.new_file import NewFile
from pam_totp.errors import Error

if TYPE_CHECKING:
    import qrcode

MODULE_PIXELS, BORDER_MODULES = 10, 4  # ISO/IEC 18004 wants a quiet zone of 4 modules
LOGO_PART = 5  # of the width: a 25th of the code, of which level H restores 30 %
MAX_LOGO_BYTES = 16 * 1024 * 1024
MAX_LOGO_PIXELS = 16 * 1024 * 1024  # of 4 bytes each, however few the file has
LOGO_FORMATS = ("PNG", "JPEG")  # PIL runs programs for some others
READ_SECONDS = 30
# --nodbus: zbarimg would tell everybody on the message bus what it has read.
READER = ("zbarimg", "--quiet", "--raw", "--nodbus", "-Sdisable", "-Sqrcode.enable")
IN_MEMORY = "/dev/shm"


def refuse_without(*, png: bool, logo: bool) -> None:
    """Raises Error where a package is missing, before anything is asked."""
    if png:
        try:
            import PIL.Image  # noqa: F401 - to see whether it is there
        except ImportError:
            message = "a PNG picture needs Python's imaging library, which is not installed"
            raise Error(message, "apt-get install python3-pil") from None
    if logo and shutil.which(READER[0]) is None:
        message = "a code with a logo is tried out with zbarimg, which is not installed"
        raise Error(message, "apt-get install zbar-tools")


def svg(uri: str) -> bytes:
    """The code as SVG, with a white background. Raises Error."""
    from qrcode.image.svg import SvgPathFillImage

    drawn = io.BytesIO()
    _code_of(uri, is_damaged=False).make_image(image_factory=SvgPathFillImage).save(drawn)
    return drawn.getvalue()


def png(uri: str, logo: str | None = None) -> bytes:
    """The code as PNG; with a logo (the path of a picture) in its middle. Raises Error."""
    from qrcode.image.pil import PilImage

    code = _code_of(uri, is_damaged=logo is not None)
    image = code.make_image(image_factory=PilImage).get_image().convert("RGB")
    if logo is not None:
        _put_in_the_middle(image, _logo_of(logo, image.width // LOGO_PART))
    drawn = io.BytesIO()
    image.save(drawn, "PNG")
    if logo is not None and _read(drawn.getvalue()) != uri:
        message = f"with {logo} the QR code cannot be read; nothing was written"
        raise Error(message, "use a simpler logo, or none")
    return drawn.getvalue()


def png_of(modules: list[str]) -> bytes:
    """A code of pam_totp.enrollment.symbol as PNG: pixel by pixel what `png` draws, in a tenth of
    the time."""
    from PIL import Image

    size = len(modules)
    row_bytes = (size + 7) // 8
    rows = (int(row.ljust(8 * row_bytes, "0"), 2).to_bytes(row_bytes, "big") for row in modules)
    code = Image.frombytes("1", (size, size), b"".join(rows), "raw", "1;I")  # 0 is white
    side, border = size * MODULE_PIXELS, BORDER_MODULES * MODULE_PIXELS
    image = Image.new("1", (side + 2 * border, side + 2 * border), 255)
    image.paste(code.resize((side, side)), (border, border))
    drawn = io.BytesIO()
    image.save(drawn, "PNG", compress_level=1)
    return drawn.getvalue()


def write_new(path: str, content: bytes) -> None:
    """Writes a file that was not there. Raises Error: then there is none."""
    with NewFile(path) as new:
        new.write(content)


def _code_of(uri: str, *, is_damaged: bool) -> "qrcode.QRCode[Any]":
    """The code; `is_damaged`: so that a part of it may be covered. Raises Error."""
    import qrcode
    from qrcode.constants import ERROR_CORRECT_H, ERROR_CORRECT_M
    from qrcode.exceptions import DataOverflowError

    level = ERROR_CORRECT_H if is_damaged else ERROR_CORRECT_M
    code = qrcode.QRCode(None, level, MODULE_PIXELS, BORDER_MODULES)
    code.add_data(uri)
    try:
        code.make(fit=True)
    except (DataOverflowError, ValueError):  # releases differ
        raise Error(
            "the URI is too long for a QR code", "pam-totp devices show NAME --uri"
        ) from None
    return code


def _put_in_the_middle(image: Any, logo: Any) -> None:
    """Puts the logo there, on white that is a module wider."""
    from PIL import Image

    width, height = (each + 2 * MODULE_PIXELS for each in logo.size)
    ground = Image.new("RGB", (width, height), "white")
    ground.paste(logo, (MODULE_PIXELS, MODULE_PIXELS), logo)
    image.paste(ground, ((image.width - width) // 2, (image.height - height) // 2))


def _logo_of(path: str, most_pixels: int) -> Any:
    """The picture at the path, made to fit a square. Raises Error."""
    from PIL import Image

    try:
        # O_NONBLOCK: a FIFO is not waited for.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Error(f"{path} is not a file", "give a PNG or JPEG file")
            content = file.read(MAX_LOGO_BYTES + 1)
    except OSError as failure:
        raise Error(f"{path}: {failure.strerror}", "give a PNG or JPEG file") from None
    if len(content) > MAX_LOGO_BYTES:
        raise Error(f"{path} is larger than {MAX_LOGO_BYTES} bytes", "give a smaller picture")
    try:
        opened = Image.open(io.BytesIO(content), formats=LOGO_FORMATS)
        if opened.width * opened.height > MAX_LOGO_PIXELS:
            raise ValueError
        logo = opened.convert("RGBA")
        logo.thumbnail((most_pixels, most_pixels))
    except Exception:  # PIL raises all kinds at what is damaged, or huge
        raise Error(f"{path} is no picture that can be used", "give a PNG or JPEG file") from None
    return logo


def _read(picture: bytes) -> str:
    """What a reader of QR codes reads there. Raises Error."""
    # A file of ours, in memory if there is such a folder: of a pipe the reader would make one.
    memory = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else None
    try:
        with tempfile.TemporaryDirectory(dir=memory) as folder:
            path = f"{folder}/code.png"
            write_new(path, picture)
            done = subprocess.run(
                [*READER, path],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=READ_SECONDS,
            )
    except (OSError, subprocess.TimeoutExpired):
        raise Error(f"{READER[0]} cannot be run", "leave out --logo") from None
    return done.stdout.decode("utf-8", "replace").rstrip("\n")
