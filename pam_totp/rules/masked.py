# SPDX-License-Identifier: MIT
"""An address as anybody may read it who has proved a first factor. Pure."""


def masked(address: str) -> str:
    """ "+49 … 42" for a number, "a…@example.org" for a mail address."""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}…@{domain}" if at else f"{address[:3]} … {address[-2:]}"
