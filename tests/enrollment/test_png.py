# SPDX-License-Identifier: MIT
"""The PNG of a QR code, as another program's reader sees it."""

import io

import pytest
from PIL import Image

from pam_totp.enrollment.picture import png_of
from pam_totp.enrollment.symbol import rows_of


@pytest.mark.parametrize("text", ["x", "otpauth://totp/x:y?secret=JBSWY3DPEHPK3PXP", "A" * 500])
def test_picture_has_ten_pixels_a_module_and_a_quiet_zone_of_four_modules(text: str) -> None:
    rows = rows_of(text)
    image = Image.open(io.BytesIO(png_of(rows)))
    image.load()  # checks the checksums
    side = 10 * (len(rows) + 8)
    assert (image.format, image.mode, image.size) == ("PNG", "1", (side, side))
    light = "0" * 4
    empty = ["0" * (len(rows) + 8)] * 4
    expected = [*empty, *(f"{light}{row}{light}" for row in rows), *empty]
    for x in range(side):
        for y in range(side):
            assert (image.getpixel((x, y)) == 0) is (expected[y // 10][x // 10] == "1")
