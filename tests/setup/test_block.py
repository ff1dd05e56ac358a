# SPDX-License-Identifier: MIT
"""The marked lines: put in and taken out without a byte of anything else changed."""

import random

import pytest

from pam_totp.setup.block import END, choice_of, marked, put_in, take_out

LINES = ["auth required pam_permit.so", "auth required pam_totp.so"]


@pytest.mark.parametrize("seed", range(200))
def test_what_is_put_in_is_taken_out_to_the_byte(seed: int) -> None:
    chance = random.Random(seed)
    pieces = (
        "auth required x.so\n",
        "# c\n",
        "\n",
        "a \\\n b\n",
        "@include x\n",
        "\t\n",
        "# was: x\n",
    )
    text = [chance.choice(pieces) for _ in range(chance.randint(1, 6))]
    if chance.random() < 0.4:
        text[-1] = "auth required last.so"
    content = "".join(text).encode()
    begin = chance.randint(0, len(text))
    end = chance.choice((begin, chance.randint(begin, len(text))))
    places = [len("".join(text[:n]).encode()) for n in (begin, end)]
    after = put_in(content, places[0], places[1], "password", LINES)
    assert after != content and take_out(after) == content
    assert choice_of(after) == "password" and choice_of(content) == ""
    more = after + (b"" if after.endswith(b"\n") else b"\n") + b"session optional more.so\n"
    assert take_out(more).endswith(b"session optional more.so\n")
    assert take_out(more).startswith(content)


def test_lines_that_others_added_after_an_open_end_stand_on_their_own() -> None:
    after = put_in(b"auth required x.so", 18, 18, "password", LINES) + b"# more\n"
    assert take_out(after) == b"auth required x.so\n# more\n"


@pytest.mark.parametrize(
    "content",
    [
        marked("x", b"", LINES).replace(END, b"# the end"),
        b"# end of pam-totp's lines\n",
        b"# begin of pam-totp's lines: x\n" + marked("x", b"", LINES),
    ],
)
def test_half_a_block_is_not_guessed_at(content: bytes) -> None:
    with pytest.raises(ValueError, match="pam-totp's lines"):
        take_out(content)
