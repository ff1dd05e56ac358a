# SPDX-License-Identifier: MIT
"""What libpq is told for each server, and nothing that the environment would tell it."""

import os
from pathlib import Path

from psycopg.conninfo import make_conninfo

from pam_totp.records.config import store_conf
from pam_totp.rules.reasons import STORE_UNAVAILABLE, Failure
from pam_totp.rules.record import Record

MAX_PASSWORD_BYTES = 1024

# - A warning MUST reach the agent, whatever the role or the database has set: a wait for a standby
#   that somebody cancelled ends in a yes with a warning.
FIXED = {
    "target_session_attrs": "read-write",
    "options": "-c client_min_messages=warning",
    "client_encoding": "UTF8",
    "application_name": "pam-totp",
    "gssencmode": "disable",
    "passfile": "/dev/null",
    # Of a server that has vanished, so that its sockets do not stay.
    "keepalives_idle": "10",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "2000",
}


class Store(Record):
    """The store of this host. conf: the fingerprint of store.conf; id: as it was pinned when the
    host joined; servers: host and port of each; keywords, password: for all of them."""

    conf: str
    id: str
    servers: list[tuple[str, str]]
    keywords: dict[str, str]
    password: str

    def conninfo(self, host: str, port: str, address: str) -> bytes:
        """For one address of one server."""
        own = {"host": host, "hostaddr": address, "port": port, "password": self.password}
        return make_conninfo(**(self.keywords | FIXED | own)).encode()


def read_store() -> Store:
    """From systemd's credentials, or by hand from /etc. Raises Failure."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    conf, password = store_conf.PATH, store_conf.PASSWORD_PATH
    if folder:
        conf, password = f"{folder}/store", f"{folder}/password"
    try:
        found = store_conf.read(conf)
    except Failure as failure:
        detail = failure.detail.replace(conf, store_conf.PATH)
        raise Failure(failure.reason, f"{detail}; run: pam-totp store join") from None
    servers = store_conf.servers_of(found.keywords)
    return Store(
        conf=store_conf.fingerprint(found),
        id=found.store,
        servers=servers,
        keywords=found.keywords,
        password=read_password(password),
    )


def read_password(path: str) -> str:
    """Raises Failure."""
    try:
        with Path(path).open("rb") as file:
            line = file.read(MAX_PASSWORD_BYTES).decode().strip()
    except (OSError, ValueError) as failure:
        why = failure.strerror if isinstance(failure, OSError) else "not UTF-8 text"
        raise Failure(STORE_UNAVAILABLE, f"{store_conf.PASSWORD_PATH}: {why}") from None
    if not line or line.startswith("#"):  # what the unit has in place of a file that is not there
        detail = f"{store_conf.PASSWORD_PATH} is missing or empty; run: pam-totp store join --again"
        raise Failure(STORE_UNAVAILABLE, detail)
    return line


def forget_environment() -> None:
    """libpq would take what is not said from PG* variables, and files from the home."""
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    os.environ["HOME"] = "/nonexistent"
