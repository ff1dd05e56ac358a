# SPDX-License-Identifier: MIT
"""A server of the store of a fleet: its cluster, its keys, who may connect, what it logs."""

from collections.abc import Iterator

from pam_totp.errors import Error
from pam_totp.fleet import faults
from pam_totp.records.config.settings import FLEET
from pam_totp.review.doctor.findings import AT_RISK, OPEN, REFUSED, Finding, undetermined
from pam_totp.review.doctor.host import Host
from pam_totp.review.doctor.settings_edit import command_to_set

_NO_CODE = "This server accepts no code, and would accept none after a promotion."
# Of each kind of fault, how bad it is and what follows.
_KINDS = {
    "store-unfinished": (AT_RISK, "The store may lack a part that hosts need."),
    "store-not-running": (REFUSED, "Logins of all hosts are refused unless another server runs."),
    "store-key-missing": (REFUSED, _NO_CODE),
    "store-key-wrong": (REFUSED, _NO_CODE),
    "store-key-unusable": (REFUSED, _NO_CODE),
    "store-key-unsafe": (AT_RISK, "Others could open the secrets in a backup of the store."),
    "store-certificate": (REFUSED, "No host can connect with channel_binding=require."),
    "store-access-fault": (REFUSED, "The server does not read this file, or refuses hosts."),
    "store-access": (OPEN, "Others can connect to the store without proving who they are."),
    "store-logs-codes": (AT_RISK, "Codes may be written to the log of the server."),
    "store-setting": (AT_RISK, "A code may be accepted twice, or a password may be seen."),
    "store-attention": (AT_RISK, "See pam-totp store status."),
}


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    try:
        if host.active.store == FLEET and faults.has_cluster():
            yield Finding(
                severity=AT_RISK,
                kind="store-needs-itself",
                what="this server of the store has store: postgresql itself",
                consequence="If the store is away, nobody can log in here to repair it.",
                command=command_to_set("store", "system"),
            )
        for fault in faults.faults():
            severity, consequence = _KINDS[fault.kind]
            yield Finding(severity, fault.kind, fault.what, consequence, fault.command)
    except ImportError as failure:
        yield undetermined(
            f"the store on this server ({failure})", "apt-get install python3-psycopg"
        )
    except Error as failure:
        yield undetermined(f"the store on this server ({failure.message})", failure.hint)
