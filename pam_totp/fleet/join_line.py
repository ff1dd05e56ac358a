# SPDX-License-Identifier: MIT
"""The line that `pam-totp store add` prints and `pam-totp store join` reads. Pure.

    HOST:PASSWORD@SERVER[:PORT][,SERVER[:PORT]…]/STORE[/KEYS]

KEYS is for standby servers: the check values of the key files that they must have, with commas.
"""

import dataclasses
import re
import secrets

from pam_totp.errors import Error

PORT = 5432
PASSWORD = "[a-z2-7]{26}"  # 130 random bits
NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"  # a role has at most 63 bytes
_ADDRESS = rf"(?:{NAME}|\[[0-9A-Fa-f:.]+\])"
_SERVER = rf"{_ADDRESS}(?::[0-9]{{1,5}})?"
_STORE = "[0-9a-f]{16,64}"
_KEYS = "[0-9]+-[0-9a-f]{16}(?:,[0-9]+-[0-9a-f]{16})*"
_LINE = re.compile(
    rf"({NAME}):({PASSWORD})@({_SERVER}(?:,{_SERVER})*)/({_STORE})(?:/({_KEYS}))?", re.ASCII
)


@dataclasses.dataclass(frozen=True)
class JoinLine:
    """name: of the host, and of its role. servers: each an address and a port. store: its id. keys:
    check values (key_file.check_value); none for a login host."""

    name: str
    password: str = dataclasses.field(repr=False)
    servers: tuple[tuple[str, int], ...]
    store: str
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        servers = ",".join(map(server_text, self.servers))
        keys = f"/{','.join(self.keys)}" if self.keys else ""
        return f"{self.name}:{self.password}@{servers}/{self.store}{keys}"


def parse(text: str) -> JoinLine:
    """Raises Error, which never quotes the line: it holds a password."""
    found = _LINE.fullmatch(text.strip())
    if found is None:
        message = "this is not a join line (HOST:PASSWORD@SERVER/STORE)"
        raise Error(message, "copy the whole line that `pam-totp store add` printed")
    name, password, servers, store, keys = found.groups()
    try:
        pairs = tuple(map(server_of, servers.split(",")))
    except Error:
        raise Error("this join line has an invalid port", "copy the whole line again") from None
    return JoinLine(name, password, pairs, store, tuple(keys.split(",")) if keys else ())


def server_of(text: str) -> tuple[str, int]:
    """The address and the port of one server, as a line names it. Raises Error."""
    found = re.fullmatch(rf"({_ADDRESS})(?::([0-9]{{1,5}}))?", text, re.ASCII)
    port = int(found[2] or PORT) if found else 0
    if found is None or not 0 < port < 65536:
        raise Error(f"no server can be named {text!a}", "name it as NAME, or as NAME:PORT")
    return found[1].strip("[]"), port


def server_text(server: tuple[str, int]) -> str:
    """ "db1", "db1:5433", "[2001:db8::1]:5433"."""
    address, port = server
    shown = f"[{address}]" if ":" in address else address
    return shown if port == PORT else f"{shown}:{port}"


def new_password() -> str:
    """26 characters of base32 in lower case."""
    return "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(26))
