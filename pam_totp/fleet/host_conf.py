# SPDX-License-Identifier: MIT
"""store.conf of a login host, as `pam-totp store join` writes it."""

import os
import socket
from collections.abc import Sequence

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pam_totp.errors import Error
from pam_totp.fleet import own_password
from pam_totp.fleet.database import DATABASE
from pam_totp.fleet.join_line import JoinLine
from pam_totp.records.config import store_conf
from pam_totp.records.config.store_conf import StoreConf
from pam_totp.rules.reasons import Failure

PATH = store_conf.PATH
_FIRST_LINES = """\
# Written by `pam-totp store join`. `store` is the id of the store that this host believes;
# `conninfo` names its servers. The password is in store.password.
"""
Server = tuple[str, int]  # its address, and its port


def current() -> StoreConf | None:
    """What store.conf says; None if there is none. Raises Error."""
    if not os.path.lexists(PATH):
        return None
    try:
        return store_conf.read(PATH)
    except (Failure, ValueError) as failure:
        detail = failure.detail if isinstance(failure, Failure) else str(failure)
        raise Error(f"{PATH}: {detail}", f"rm {PATH}") from None


def user_of(conf: StoreConf) -> str:
    """The name of this host in the store."""
    return str(conninfo_to_dict(conf.conninfo).get("user", ""))


def is_own(name: str) -> bool:
    """Whether this machine is called so, with its domain or without, or has joined by this name.
    Raises Error."""
    joined = current()
    if joined is not None and user_of(joined) == name:
        return True
    own = socket.gethostname().lower()
    is_whole = "." in name and "." in own
    return name == own or (not is_whole and name.partition(".")[0] == own.partition(".")[0])


def conninfo_of(line: JoinLine) -> str:
    """All servers, in the order of the line; without the password."""
    return make_conninfo(
        **places(line.servers),
        dbname=DATABASE,
        user=line.name,
        sslmode="require",
        channel_binding="require",
    )


def places(servers: Sequence[Server]) -> dict[str, str]:
    """libpq's keywords for these servers."""
    addresses, ports = zip(*servers, strict=True)
    port = ",".join(map(str, ports)) if len(set(ports)) > 1 else str(ports[0])
    return {"host": ",".join(addresses), "port": port}


def with_servers(conf: StoreConf, added: Sequence[Server]) -> str:
    """The conninfo of this host with more servers. Raises Error."""
    known = [(host, int(port)) for host, port in store_conf.servers_of(conf.keywords)]
    wanted = list(dict.fromkeys([*known, *added]))
    if wanted == known:
        return conf.conninfo
    if len(wanted) > store_conf.MAX_SERVERS:
        message = f"{PATH} can name at most {store_conf.MAX_SERVERS} servers; nothing was changed"
        raise Error(message, f"editor {PATH}")
    return make_conninfo(**conf.keywords | places(wanted))


def write(store: str, conninfo: str) -> None:
    """Raises Error."""
    own_password.write(PATH, f"{_FIRST_LINES}store={store}\nconninfo={conninfo}")
