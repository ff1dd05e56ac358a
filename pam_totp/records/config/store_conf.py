# SPDX-License-Identifier: MIT
"""/etc/pam-totp/store.conf: which store this host belongs to, and how it is reached.

Written by `pam-totp store join` and read by the agent; no login reads it. Lines KEY=VALUE, and
comments that begin with #:

    store=ID                the id of the store; an answer of any other store is refused
    conninfo=KEYWORD=VALUE… keywords of libpq (PostgreSQL, section 34.1.2), without quotes

- A server that cannot prove what it is MUST NOT be asked: with `channel_binding=require` it proves
  that it knows the host's SCRAM verifier, with `sslmode=verify-full` that an authority vouches for
  its name. libpq's defaults ask for neither.
"""

import hashlib
import re

from pam_totp.rules.reasons import STORE_UNAVAILABLE, Failure
from pam_totp.rules.record import Record

PATH = "/etc/pam-totp/store.conf"
PASSWORD_PATH = "/etc/pam-totp/store.password"  # one line
MAX_BYTES = 64 * 1024
MAX_SERVERS = 8
# What a host may choose. The password has a file of its own; everything else is the agent's.
NEEDED = ("host", "dbname", "user")
TLS = ("sslrootcert", "sslcrl", "sslcert", "sslkey", "ssl_min_protocol_version")
ALLOWED = (*NEEDED, "port", "sslmode", "channel_binding", *TLS)

_ID = re.compile(r"[0-9a-f]{8,64}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")


class StoreConf(Record):
    """store: the id, in hex; conninfo: libpq's keywords in one text; keywords: the same, each with
    its value."""

    store: str
    conninfo: str
    keywords: dict[str, str]


def read(path: str = PATH) -> StoreConf:
    """What the file says. Raises Failure."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as failure:
        raise Failure(STORE_UNAVAILABLE, f"{path}: {failure.strerror}") from None
    try:
        return parse(content)
    except ValueError as failure:
        raise Failure(STORE_UNAVAILABLE, f"{path}: {failure}") from None


def parse(content: bytes) -> StoreConf:
    """What the content of the file says. Raises ValueError with what is wrong."""
    if len(content) > MAX_BYTES or not content.isascii():
        raise ValueError(f"must be ASCII text of at most {MAX_BYTES} bytes")
    values: dict[str, str] = {}
    for line in content.decode("ascii").splitlines():
        key, is_pair, value = line.strip().partition("=")
        if not key or key.startswith("#"):
            continue
        if not is_pair or key not in ("store", "conninfo") or key in values:
            raise ValueError("must have one line store=ID and one line conninfo=…, and no others")
        values[key] = value
    if values.keys() != {"store", "conninfo"}:
        raise ValueError("must have one line store=ID and one line conninfo=…")
    if not _ID.fullmatch(values["store"]):
        raise ValueError("store must be the id of a store, in hexadecimal digits")
    keywords = keywords_of(values["conninfo"])
    return StoreConf(store=values["store"], conninfo=values["conninfo"], keywords=keywords)


def fingerprint(conf: StoreConf) -> str:
    """What tells one content from another: 16 hex digits."""
    text = f"{conf.store}\n{conf.conninfo}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def keywords_of(conninfo: str) -> dict[str, str]:
    """libpq's keywords in a text, each with its value. Raises ValueError with what is wrong."""
    keywords: dict[str, str] = {}
    for word in conninfo.split():
        key, is_pair, value = word.partition("=")
        if key not in ALLOWED:
            raise ValueError(f"conninfo: {key!a} is not allowed")
        if not is_pair or not value or key in keywords or set(value) & set("'\"\\"):
            raise ValueError(f"conninfo: {key} must have one value, without quotes")
        keywords[key] = value
    missing = [key for key in NEEDED if key not in keywords]
    if missing:
        raise ValueError(f"conninfo: {missing[0]} is missing")
    servers_of(keywords)
    is_verified = keywords.get("sslmode") == "verify-full"
    if is_verified and "sslrootcert" not in keywords:
        raise ValueError("conninfo: sslmode=verify-full needs sslrootcert")
    if not is_verified and keywords.get("channel_binding") != "require":
        raise ValueError("conninfo: channel_binding=require or sslmode=verify-full is needed")
    return keywords


def servers_of(keywords: dict[str, str]) -> list[tuple[str, str]]:
    """The host and the port of each server. Raises ValueError with what is wrong."""
    hosts, ports = keywords["host"].split(","), keywords.get("port", "5432").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts) or not all(hosts) or len(hosts) > MAX_SERVERS:
        raise ValueError(f"conninfo: host must name 1 to {MAX_SERVERS} servers, port one or each")
    if not all(_PORT.fullmatch(port) and int(port) < 1 << 16 for port in ports):
        raise ValueError("conninfo: port must be a number from 1 to 65535")
    return list(zip(hosts, ports, strict=True))


def text_of(servers: list[tuple[str, str]]) -> str:
    """As a host tells the store which servers it knows: NAME:PORT, with commas between them."""
    return ",".join(f"{host}:{port}" for host, port in servers)
