# SPDX-License-Identifier: MIT
"""QR codes of sheets and pictures: a reader reads them, whatever the secret."""

import base64
import random
from pathlib import Path

import pytest

from pam_totp.enrollment.picture import png_of
from pam_totp.enrollment.symbol import TooLong, rows_of
from tests.host.pictures import read_codes

# ISO/IEC 18004, table 7: the bytes that a code of version 40 with error correction M holds.
MAX_BYTES = 2331
CODES = 200


def some_uri(seed: int) -> str:
    chosen = random.Random(seed)
    key = base64.b32encode(chosen.randbytes(chosen.choice((10, 20, 32, 64)))).decode().rstrip("=")
    return f"otpauth://totp/host{seed}:user@host{seed}?secret={key}&issuer=host{seed}"


def test_a_reader_reads_every_code_of_any_secret(tmp_path: Path) -> None:
    uris = [some_uri(seed) for seed in range(CODES)]
    assert read_codes([png_of(rows_of(uri)) for uri in uris], tmp_path) == uris


@pytest.mark.parametrize("length", [MAX_BYTES + 1, 100_000])
def test_text_that_no_code_holds_is_too_long(length: int) -> None:
    assert len(rows_of("a" * MAX_BYTES)) == 177
    with pytest.raises(TooLong):
        rows_of("a" * length)
