# SPDX-License-Identifier: MIT
"""`pam-totp store remove`: refuses a login host, or a standby server, from now on."""

import argparse

from pam_totp.errors import Error
from pam_totp.fleet.actions.answer import Answer
from pam_totp.records.host import action_log, outage
from pam_totp.records.storage import state_dir

HELP = "refuse a host, or a standby server, from now on"
ABOUT = (
    "Refuse a login host, or a standby server, from now on, and end its connections. The record of "
    "its tries is kept. Run it as root on the primary."
)

# The host learns that it was removed when it asks the store, and not before.
_STILL_ACCEPTED = (
    "While the host cannot reach the store, it still accepts its outage codes. To remove them,",
    "run on that host:",
    f"  rm -r {state_dir.VAR.path}/{outage.KIND}",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp store remove`."""
    parser.add_argument("name", metavar="HOST")


def run(options: argparse.Namespace) -> Answer:
    """Raises Error for a name that the store does not know."""
    from pam_totp.fleet import database, hosts, servers

    with database.connect() as connection:
        is_standby = servers.remove_standby(connection, options.name)
        changed = is_standby or hosts.remove(connection, options.name)
        known = "SELECT FROM totp.host WHERE name = %s"
        if not changed and connection.execute(known, [options.name]).fetchone() is None:
            raise Error(f"the store has no host {options.name}", "pam-totp store status")
    if changed:
        action_log.write("store-remove", host=options.name)
    what = "standby server" if is_standby else "host"
    values: dict[str, object] = {"changed": changed, "name": options.name, "standby": is_standby}
    if not changed:
        return Answer(values, [f"{options.name} was removed already."])
    lines = [f"The {what} {options.name} was removed, and its connections are ended."]
    return Answer(values, lines if is_standby else [*lines, *_STILL_ACCEPTED])
