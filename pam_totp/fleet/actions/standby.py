# SPDX-License-Identifier: MIT
"""`pam-totp store standby`: makes this machine a standby server, by a line of `store add`."""

import argparse

from pam_totp.fleet import join_line
from pam_totp.fleet.actions import cluster_options
from pam_totp.fleet.actions.answer import Answer
from pam_totp.fleet.actions.init import check as check_of_server
from pam_totp.fleet.listening import addresses
from pam_totp.records.host import action_log

HELP = "make this machine a standby server of the store"
ABOUT = (
    "Copy the store of the primary and follow it, by a line of pam-totp store add --standby, which "
    "is asked for. The key files must be copied first. On a standby server, no line is needed: it "
    "tells the primary which key files it has now. Run it as root."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp store standby`."""
    parser.add_argument(
        "line", nargs="?", metavar="LINE", help="the line, or - to read it from stdin"
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="replace the cluster of this machine, an old primary; its data is kept aside",
    )
    cluster_options.add_options(parser)


def needs_line(options: argparse.Namespace) -> bool:
    """Whether a line has to be asked for."""
    from pam_totp.fleet import cluster

    found = cluster.find()
    return options.replace or found is None or not found.is_standby


check = check_of_server  # it has the same options


def run(options: argparse.Namespace) -> Answer:
    """Makes or checks it. Raises Error."""
    from pam_totp.fleet import standing_by, start_conf

    if options.line:
        line = join_line.parse(options.line)
        listen = addresses(options.listen)
        done = standing_by.follow(line, listen, options.port, replaces=options.replace)
    else:
        done = standing_by.check_again()
    if done.did:
        action_log.write("store-standby", server=done.name, did="; ".join(done.did))
    values: dict[str, object] = {
        "changed": bool(done.did),
        "did": list(done.did),
        "server": done.name,
        "port": done.cluster.port,
        "postgresql": done.cluster.version,
    }
    lines = [f"{each[0].upper()}{each[1:]}." for each in done.did]
    lines += [
        f"{done.name} follows the primary, and has its keys.",
        "If the primary is lost, first make sure that it neither runs nor starts with its machine:",
        f"  {start_conf.stop_for_good(done.cluster.version)}",
        "(There, or as soon as it can be reached; until then keep it off the network.) Then, here:",
        f"  pg_ctlcluster {done.cluster.version} pam_totp promote",
    ]
    return Answer(values, lines)
