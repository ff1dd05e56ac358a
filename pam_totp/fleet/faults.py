# SPDX-License-Identifier: MIT
"""What is wrong with this machine as a server of the store, for `pam-totp doctor`. Changes nothing.

Without a cluster nothing is wrong. psycopg is needed only where one runs.
"""

import dataclasses
import os
import shlex
from collections.abc import Iterator
from typing import Any

from pam_totp.fleet import certificate, cluster, key_file, server_files, unfinished
from pam_totp.fleet.cluster import Cluster

# What must be so in the store's database, and the values: of the database, or of the server.
OF_DATABASE = {
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "plan_cache_mode": "force_generic_plan",
    "debug_print_parse": "off",
    "debug_print_rewritten": "off",
    "debug_print_plan": "off",
}
OF_SERVER = {
    "ssl": "on",
    "fsync": "on",
    "full_page_writes": "on",
    "password_encryption": "scram-sha-256",
}
_SAFE = {"local": ("peer", "scram-sha-256"), "hostssl": ("scram-sha-256", "cert")}
_RULES = """
    SELECT type, auth_method, line_number, coalesce(error, '') FROM pg_hba_file_rules
    ORDER BY line_number
"""
_SECONDS = 10  # of one statement


@dataclasses.dataclass(frozen=True)
class Fault:
    """kind: as a finding has it; command: what repairs it."""

    kind: str
    what: str
    command: str


def faults() -> list[Fault]:
    """All of them, each once. Raises Error where they cannot be determined."""
    return list(dict.fromkeys(_faults()))


def _faults() -> Iterator[Fault]:
    found = cluster.find()
    if found is None:
        return
    if unfinished.phase():
        what = "a command that makes the store's cluster was interrupted"
        yield Fault("store-unfinished", what, "pam-totp store init")
        return
    yield from _of_certificate(found)
    if not found.is_running:
        yield from _of_keys(found, {})
        what = f"the cluster {cluster.NAME} of the store does not run"
        command = f"pg_ctlcluster {found.version} {cluster.NAME} start"
        yield Fault("store-not-running", what, command)
        return
    yield from _of_database(found)


def has_cluster() -> bool:
    """Whether this machine is a server of the store. Raises Error."""
    return cluster.find() is not None


def _of_keys(found: Cluster, wrong: dict[str, str]) -> Iterator[Fault]:
    """wrong: what the store says of the keys that it needs, each with its command."""
    from pam_totp.fleet import servers

    source = servers.old_primary(found) if found.is_standby else ""
    faults = wrong
    for version in key_file.versions() or ([] if found.is_running else [1]):
        what, command = key_file.fault_of(version, source)
        faults = ({what: command} if what else {}) | faults
    for what, command in faults.items():
        yield Fault(_kind_of_key_fault(what), what, command)


def _of_certificate(found: Cluster) -> Iterator[Fault]:
    path = f"{found.settings}/{server_files.CERTIFICATE}"
    if not os.path.exists(path):
        yield Fault("store-certificate", f"there is no {path}", "pam-totp store init")
    elif "ED25519" in certificate.kind_of_key(path).upper():
        key = f"{found.settings}/{server_files.KEY}"
        command = f"rm {shlex.quote(path)} {shlex.quote(key)} && pam-totp store init"
        yield Fault("store-certificate", f"{path} is an Ed25519 certificate", command)


def _of_database(found: Cluster) -> Iterator[Fault]:
    from pam_totp.fleet import database, keys, status

    with database.connect(found.port) as connection:
        connection.execute(f"SET statement_timeout = '{_SECONDS}s'")
        yield from _of_rules(connection, found)
        yield from _of_settings(connection, found)
        wrong = {what: command for _, what, command in keys.wrong(connection)}
        yield from _of_keys(found, wrong)
        for sentence in status.look(connection, found).attention:
            what, _, command = sentence.partition("; run: ")
            if what not in wrong:
                yield Fault("store-attention", what, command or "pam-totp store status")


def _kind_of_key_fault(what: str) -> str:
    if what.startswith("there is no"):
        return "store-key-missing"
    if what.endswith("is not the key of this store"):
        return "store-key-wrong"
    is_open = what.endswith("is open to others") or "is not owned by" in what
    return "store-key-unsafe" if is_open else "store-key-unusable"


def _of_rules(connection: Any, found: Cluster) -> Iterator[Fault]:
    path = f"{found.settings}/{server_files.ACCESS}"
    for kind, method, line, error in connection.execute(_RULES):
        edit = f"editor +{line} {shlex.quote(path)}"
        if error:
            yield Fault("store-access-fault", f"{path}, line {line}: {error}", edit)
        elif method not in (*_SAFE.get(kind, ()), "reject"):
            what = f"{path}, line {line}: connections by {kind} with {method} are accepted"
            yield Fault("store-access", what, edit)


def _of_settings(connection: Any, found: Cluster) -> Iterator[Fault]:
    at = f"psql -h /var/run/postgresql -p {found.port} -U postgres -d {cluster.NAME}"
    for name, value in (OF_DATABASE | OF_SERVER).items():
        (active,) = connection.execute(f"SHOW {name}").fetchone()
        if active == value:
            continue
        where = f"DATABASE {cluster.NAME}" if name in OF_DATABASE else "SYSTEM"
        statement = shlex.quote(f"ALTER {where} SET {name} = '{value}'")
        reload = "" if name in OF_DATABASE else " -c 'SELECT pg_reload_conf()'"
        kind = "store-logs-codes" if name in OF_DATABASE else "store-setting"
        what = f"{name} is {active} in the store's database, and must be {value}"
        yield Fault(kind, what, f"{at} -c {statement}{reload}")
