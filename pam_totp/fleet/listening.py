# SPDX-License-Identifier: MIT
"""Where a database server is told to listen: looked at before anything is made or changed."""

import re
import socket
from collections.abc import Sequence

from pam_totp.errors import Error, UsageError

EVERYWHERE = ("*", "0.0.0.0", "::")
_SHOW = "ip -brief address"


def addresses(given: Sequence[str]) -> str:
    """The addresses as postgresql.conf has them. Raises Error for one that is not of this
    machine."""
    for each in given:
        if not re.fullmatch(r"[A-Za-z0-9.:_*-]+", each):
            raise UsageError(f"{each!r} is not an address", "pam-totp store init --listen ADDRESS")
        if each not in EVERYWHERE:
            _refuse_unless_it_is_here(each)
    return ",".join(given)


def _refuse_unless_it_is_here(address: str) -> None:
    """PostgreSQL would not start: it listens at one of the addresses at least."""
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except OSError as failure:
        message = f"{address} cannot be looked up: {failure.strerror}; nothing was changed"
        raise Error(message, _SHOW) from None
    for family, kind, _, _, place in found:
        try:
            with socket.socket(family, kind) as probe:
                probe.bind((place[0], 0, *place[2:]))
            return
        except OSError:
            continue
    raise Error(f"{address} is not an address of this machine; nothing was changed", _SHOW)
