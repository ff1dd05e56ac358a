# SPDX-License-Identifier: MIT
"""How much a server may send: libpq keeps whatever comes, of any size, until all is there.

- What a question, or a new connection, has been sent MUST be looked at before libpq reads it.
  A single message that libpq reads as fast as it comes is bounded by LimitDATA of the units.
"""

import socket
import struct

# The longest answer to `standings` has less than half of it.
MAX_BYTES = 1024 * 1024
_OFFSET, _FORMAT = 128, "Q"  # of tcpi_bytes_received in struct tcp_info (linux/tcp.h)


def bytes_received(descriptor: int) -> int:
    """On this TCP connection until now, read or not, encrypted as they come."""
    peer = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=descriptor)
    try:
        size = _OFFSET + struct.calcsize(_FORMAT)
        info = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
    finally:
        peer.detach()  # it is libpq's
    (found,) = struct.unpack_from(_FORMAT, info, _OFFSET)
    return int(found)
