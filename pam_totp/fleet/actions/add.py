# SPDX-License-Identifier: MIT
"""`pam-totp store add`: makes the roles of login hosts, or of a standby server, and prints the line
by which each joins."""

import argparse

from pam_totp.errors import Error, UsageError
from pam_totp.fleet import join_line, key_file
from pam_totp.fleet.actions.answer import Answer
from pam_totp.records.host import action_log

HELP = "print the lines by which hosts, or a standby server, join"
ABOUT = (
    "Print a line for each host, to be pasted at pam-totp store join there. It can be used once, "
    "because the password in it is replaced. Run it as root on the primary."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp store add`."""
    parser.add_argument("names", nargs="*", metavar="HOST")
    parser.add_argument(
        "--enroll", action="store_true", help="users who have not enrolled need no invitation there"
    )
    parser.add_argument(
        "--burst",
        type=int,
        metavar="N",
        help="tries at once, before the host is slowed down (default: 300)",
    )
    parser.add_argument(
        "--standby", metavar="NAME", help="the line is for a second database server"
    )


def run(options: argparse.Namespace) -> Answer:
    """Raises Error."""
    from pam_totp.fleet import database, hosts, servers
    from pam_totp.fleet.cluster import existing

    if bool(options.names) == bool(options.standby):
        raise UsageError("name hosts, or use --standby NAME", "pam-totp store add --help")
    names = options.names or [options.standby]
    for name in names:
        hosts.require_name(name)
    keys: tuple[str, ...] = ()
    here = existing()
    own_name, _ = servers.own(here)
    if own_name in names:
        message = f"{own_name} is this database server itself; nothing was changed"
        raise Error(message, "pam-totp store status")
    lines = []
    # All of them or none: a line is shown once.
    with database.connect(here.port) as connection, connection.transaction():
        store, _ = servers.identity(connection)
        reached = servers.every(connection, here)
        with connection.transaction():  # all of them or none: a line is printed once
            for name in names:
                if options.standby:
                    password = servers.add_standby(connection, name)
                    reached = (servers.own(here),)
                    keys = tuple(map(key_file.check_value, key_file.versions()))
                else:
                    password = hosts.add(
                        connection, name, may_enroll=options.enroll, burst=options.burst
                    )
                lines.append(join_line.JoinLine(name, password, reached, store, keys))
    for each in lines:
        action_log.write("store-add", host=each.name, standby="yes" if options.standby else "")
    shown = [{"name": each.name, "line": str(each)} for each in lines]
    verb = "standby" if options.standby else "join"
    told = [*map(str, lines), ""]
    if options.standby:
        told += [
            "Copy the key files of this server to the standby server first:",
            *(f"  {key_file.copy_to(lines[0].name, each)}" for each in key_file.versions()),
        ]
    told.append(f"Each line can be used once. Paste it there at: pam-totp store {verb}")
    return Answer({"changed": True, "standby": bool(options.standby), "lines": shown}, told)
