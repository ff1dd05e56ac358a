# SPDX-License-Identifier: MIT
"""The store's own cluster, `pam_totp`, in Debian's way: pg_createcluster makes it, pg_ctlcluster
starts it, with systemd or without."""

import dataclasses
import glob
import os
import re
from collections.abc import Sequence

from pam_totp.errors import Error
from pam_totp.fleet.programs import INSTALL, run

NAME = "pam_totp"
LIST = "pg_lsclusters"
CREATE, CONTROL = "/usr/bin/pg_createcluster", "/usr/bin/pg_ctlcluster"
_SERVERS = "/usr/lib/postgresql/*/bin/initdb"
# pg_ctlcluster's own limit is that of pg_ctl: a server that recovers may take long.
_SECONDS_TO_START = 300.0


@dataclasses.dataclass(frozen=True)
class Cluster:
    """version: of PostgreSQL, such as "15". data: its data directory. log: its log file."""

    version: str
    port: int
    is_running: bool
    data: str
    log: str

    @property
    def settings(self) -> str:
        """The folder of its configuration, which no backup of the data directory holds."""
        return f"/etc/postgresql/{self.version}/{NAME}"

    @property
    def is_standby(self) -> bool:
        """Whether it will be, or is, a standby when it runs (since PostgreSQL 12)."""
        return os.path.exists(f"{self.data}/standby.signal")


def find() -> Cluster | None:
    """The cluster of this machine; of two (after an upgrade of PostgreSQL) the one that runs, or
    else the newer one. Raises Error."""
    if not os.path.exists(f"/usr/bin/{LIST}"):
        return None
    found = []
    for line in run([f"/usr/bin/{LIST}", "--no-header"], LIST).splitlines():
        # The log can be told to be elsewhere; a path with spaces does not come last but one.
        version, name, port, status, _owner, data, *log = [*line.split(), "", "", "", "", "", ""]
        if name == NAME:
            found.append(Cluster(version, int(port), status.startswith("online"), data, log[0]))
    return max(found, key=lambda each: (each.is_running, float(each.version)), default=None)


def is_configured() -> bool:
    """Whether this machine has one, as its settings tell, without running a program: for hints."""
    return bool(glob.glob(f"/etc/postgresql/*/{NAME}"))


def existing() -> Cluster:
    """The same. Raises Error where there is none."""
    found = find()
    if found is None:
        message = f"there is no cluster {NAME} on this machine"
        raise Error(message, "Run it on a database server, which `pam-totp store init` makes.")
    return found


def newest_version() -> str:
    """Of the PostgreSQL servers that are installed. Raises Error."""
    versions = [path.split("/")[4] for path in glob.glob(_SERVERS)]
    if not versions or not os.path.exists(CREATE):
        raise Error("the PostgreSQL server is not installed", INSTALL)
    return max((each for each in versions if re.fullmatch(r"\d+", each)), key=int)


def create(version: str, port: int | None, keeps: Sequence[int] = ()) -> Cluster:
    """Makes the cluster, and does not start it. port: None is the next one that no cluster has.
    keeps: as `run` has it. Raises Error."""
    at = ["--port", str(port)] if port else []
    # The locale is part of the C library, so an upgrade of it, or another machine, sorts the same.
    options = ["--start-conf", "auto", *at, "--encoding", "UTF8", "--locale", "C.UTF-8"]
    of_initdb = ["--", "--data-checksums", "--auth-local", "peer", "--auth-host", "scram-sha-256"]
    run([CREATE, *options, version, NAME, *of_initdb], LIST, keeps=keeps)
    return existing()


def control(cluster: Cluster, action: str) -> None:
    """action: start, stop, restart, reload or promote. Raises Error with what the server logged."""
    words = [CONTROL, cluster.version, NAME, action]
    if action in ("stop", "restart"):
        words[1:1] = ["--mode", "fast"]
    run(words, f"tail {cluster.log}", seconds=_SECONDS_TO_START)
