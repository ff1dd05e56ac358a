# SPDX-License-Identifier: MIT
"""`pam-totp store restored`: after a backup or a snapshot of a machine was brought back."""

import argparse

from pam_totp.fleet.actions.answer import Answer
from pam_totp.records.host import action_log

HELP = "say that the store was restored from a backup or a snapshot"
ABOUT = (
    "Refuse, for about a minute, every code that the store may have accepted before it was set "
    "back, and have hosts believe it although it is older than what they have seen. Run it as root "
    "on the primary."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp store restored`."""
    parser.add_argument(
        "--void-recovery-codes",
        action="store_true",
        help="make all recovery codes invalid, as those used since the backup are valid again",
    )


def run(options: argparse.Namespace) -> Answer:
    """Raises Error where the store cannot be used yet."""
    from pam_totp.fleet import database, keys

    with database.connect() as connection:
        keys.refuse_wrong(connection)
        voids = options.void_recovery_codes
        connection.execute("SELECT totp_admin_1.restored(%s)", [voids])
    action_log.write("store-restored", void_recovery_codes="yes" if voids else "")
    lines = ["Codes are refused for about a minute. After that, the store works as before."]
    if voids:
        lines += [
            "All recovery codes are invalid. To make new ones for a user:",
            "  pam-totp recovery-codes --fleet --user USER",
        ]
    else:
        lines += [
            "Recovery codes that were used after the backup are valid again. The logs of the hosts",
            "name the users (reason=recovery-code). To make all recovery codes invalid:",
            "  pam-totp store restored --void-recovery-codes",
        ]
    return Answer({"changed": True, "void_recovery_codes": voids}, lines)
