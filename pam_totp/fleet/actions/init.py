# SPDX-License-Identifier: MIT
"""`pam-totp store init`: makes the store on this machine, the first database server."""

import argparse

from pam_totp.errors import UsageError
from pam_totp.fleet import key_file
from pam_totp.fleet.actions import cluster_options
from pam_totp.fleet.actions.answer import Answer
from pam_totp.fleet.listening import addresses
from pam_totp.records.config import settings
from pam_totp.records.host import action_log

HELP = "make the store on this machine, or make again what is missing"
ABOUT = (
    "Make the store of a fleet, in a PostgreSQL cluster of its own. The first time, the settings "
    "code and throttle of this machine are taken for the whole fleet. Run again, it applies what a "
    "new release changes in the database, and makes again what is missing. Run it as root."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp store init`."""
    cluster_options.add_options(parser)


def check(options: argparse.Namespace) -> None:
    """Raises Error for options with which no server runs, before anything is made."""
    addresses(options.listen)
    if options.port is not None and not 1024 <= options.port < 65536:
        help_ = f"pam-totp store {options.action} --help"
        raise UsageError("--port must be a number from 1024 to 65535", help_)


def run(options: argparse.Namespace) -> Answer:
    """Makes or mends it. Raises Error."""
    from pam_totp.fleet import servers
    from pam_totp.fleet.initialising import initialise

    listen = addresses(options.listen)
    done = initialise(listen, options.port, settings.load().values)
    if done.did:
        action_log.write("store-init", store=done.store, did="; ".join(done.did))
    name, port = servers.own(done.cluster)
    values: dict[str, object] = {
        "changed": bool(done.did),
        "did": list(done.did),
        "store": done.store,
        "schema_version": done.schema_version,
        "server": name,
        "port": port,
        "postgresql": done.cluster.version,
        "key_files": [key_file.path_of(each) for each in done.keys],
    }
    lines = [f"{each[0].upper()}{each[1:]}." for each in done.did]
    if not done.did:
        lines.append("Nothing was changed: the store is complete.")
    if servers.is_only_local(name):
        lines += [
            "",
            f"Warning: {name} is a loopback address on this machine (see /etc/hosts), so other "
            "hosts cannot connect. Run: pam-totp store init --listen ADDRESS",
        ]
    if done.did:
        lines += _what_to_keep(port, done.keys)
    return Answer(values, lines)


def _what_to_keep(port: int, keys: tuple[int, ...]) -> list[str]:
    at = f"-h /var/run/postgresql -p {port} -U postgres"
    return [
        "",
        "Keep a copy of each key file where you keep passwords, and not with the backups. Without",
        "it a backup cannot be used, and every user must enroll again:",
        *(f"  base64 {key_file.path_of(each)}" for each in keys),
        "Back up the database every night:",
        f"  pg_dump {at} -Fc pam_totp >pam_totp.dump",
        f"  pg_dumpall {at} --globals-only >pam_totp-globals.sql",
        "Next, for a second database server, if you want one, and then for each login host:",
        "  pam-totp store add --standby SERVER",
        "  pam-totp store add HOST",
    ]
