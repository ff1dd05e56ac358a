# SPDX-License-Identifier: MIT
"""No bytes at all make a parser crash, hang, or accept what is not right; `make fuzz` looks on."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.parsers import PARSERS, SEEDS, surroundings

TOKENS = [
    b"\0",
    b"\n",
    b" ",
    b"=",
    b"&",
    b"%",
    b":",
    b"-",
    b"+",
    b"_",
    b"9" * 20,
    b"\xff",
    b'"',
    b"*a",
]
TOKENS += [
    "٣".encode(),
    "²".encode(),
    b"1_0",
    b"-1",
    b"0x1",
    b"1e9",
    b"publickey ",
    b"&a ",
    b"secret=",
]


@pytest.fixture(scope="module", autouse=True)
def records() -> Iterator[None]:
    with surroundings():
        yield


@st.composite
def nearly_right(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """A right input with a few places changed: what a parser looks at longest."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, min(len(content), 300)))
        length = draw(st.integers(0, 12))
        put = draw(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=8)))
        content = content[:start] + put + content[start + length :]
    return content


@pytest.mark.parametrize("name", sorted(PARSERS))
def test_parser_keeps_its_promise_for_any_bytes(name: str) -> None:
    """Rules 5, 10 and 11."""

    @settings(
        max_examples=300,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.one_of(nearly_right(SEEDS[name]), st.binary(max_size=200)))
    def keeps_its_promise(content: bytes) -> None:
        PARSERS[name](content)

    keeps_its_promise()


@pytest.mark.parametrize(
    ("name", "content"), [(name, seed) for name in PARSERS for seed in SEEDS[name]]
)
def test_parser_keeps_its_promise_for_what_is_right(name: str, content: bytes) -> None:
    PARSERS[name](content)


# Found by a fuzzer, or by reading with one in mind.
FOUND = {
    "a character that no computer has": ("configuration_file", b'store: "\\UFFFFFFFF"\n'),
    "keys that repeat each other": (
        "configuration_file",
        b"? &a [x,x]\n: 1\n"
        + b"".join(b"? &%c [*%c,*%c,*%c,*%c]\n: 1\n" % (n + 1, n, n, n, n) for n in range(97, 103)),
    ),
    "a cost of its own": ("recovery_file", b"pam-totp recovery 1 2 8 1 \n"),
    "a salt of nothing": ("recovery_file", b"pam-totp recovery 1 \n"),
    "a header alone": ("recovery_file", b"pam-totp recovery 1 " + b"00" * 16),
    "failures beyond all numbers": (
        "attempts_record",
        b"pam-totp attempts 1\nfailures 1 " + b"9" * 400 + b" 1\n",
    ),
    "a record that grows beyond its page": (
        "attempts_record",
        b"pam-totp attempts 1\n"
        + b"".join(b"step %032d 60000000\n" % number for number in range(86))
        + b"step x "
        + b"9" * 26,
    ),
    "a store of a later release": (
        "settings_snapshot",
        b"pam-totp settings 1 1 2 3 4 5\nstore ldap\n",
    ),
    "a wait below zero": (
        "settings_snapshot",
        b"pam-totp settings 1 1 2 3 4 5\nthrottle.longest_wait -1\n",
    ),
}


@pytest.mark.parametrize(("name", "content"), FOUND.values(), ids=FOUND.keys())
def test_parser_keeps_its_promise_for_what_broke_one_before(name: str, content: bytes) -> None:
    PARSERS[name](content)
