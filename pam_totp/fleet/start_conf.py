# SPDX-License-Identifier: MIT
"""Whether a database server starts with its machine: start.conf of the cluster, Debian's file.

A primary that was lost, and whose standby was promoted, is a primary still when it starts again.
Two primaries may each accept a code once. So it must not start by itself, and as a standby it must.
"""

import re

from pam_totp.errors import Error
from pam_totp.fleet.cluster import NAME, Cluster

_WORD = re.compile(r"^[a-z]+", re.MULTILINE)  # the others are comments


def path_of(cluster: Cluster) -> str:
    """The file."""
    return f"{cluster.settings}/start.conf"


def stop_for_good(version: str) -> str:
    """The commands that stop a server, and keep it from starting with its machine."""
    return (
        f"pg_ctlcluster {version} {NAME} stop; "
        f"echo manual >/etc/postgresql/{version}/{NAME}/start.conf"
    )


def is_automatic(cluster: Cluster) -> bool:
    """Without the file it is. Raises Error."""
    try:
        with open(path_of(cluster), encoding="utf-8", errors="replace") as file:
            found = _WORD.search(file.read())
    except FileNotFoundError:
        return True
    except OSError as failure:
        path = path_of(cluster)
        raise Error(f"{path}: {failure.strerror}", f"ls -l {path}") from None
    return found is None or found[0] == "auto"


def make_automatic(cluster: Cluster) -> bool:
    """Whether it was not. Raises Error."""
    if is_automatic(cluster):
        return False
    path = path_of(cluster)
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write("auto\n")
    except OSError as failure:
        raise Error(f"cannot write {path}: {failure.strerror}", f"ls -l {path}") from None
    return True
