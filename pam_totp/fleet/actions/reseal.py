# SPDX-License-Identifier: MIT
"""`pam-totp store reseal`: a new key for all secrets of the store."""

import argparse

from pam_totp.fleet import key_file
from pam_totp.fleet.actions.answer import Answer
from pam_totp.records.host import action_log

HELP = "make a new key file, and encrypt all secrets with it"
ABOUT = (
    "Make the next key file. Once every standby server has it, encrypt all secrets with it: copy "
    "the file to each standby server, run pam-totp store standby there, and this command again. "
    "Run it as root on the primary."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


def run(options: argparse.Namespace) -> Answer:
    """Raises Error."""
    from pam_totp.fleet import database, resealing

    with database.connect() as connection:
        done = resealing.reseal(connection)
    action_log.write("store-reseal", key=str(done.new), secrets=str(done.secrets))
    new, old = key_file.path_of(done.new), [key_file.path_of(each) for each in done.old]
    values: dict[str, object] = {
        "changed": True,
        "key_file": new,
        "old_key_files": old,
        "secrets": done.secrets,
    }
    lines = [
        f"Secrets encrypted with {new}: {done.secrets}.",
        "Keep a copy of it where you keep passwords:",
        f"  base64 {new}",
        "Keep the copy of the old key as long as you keep backups from before today. On each",
        "database server the old key file can be removed now:",
        *(f"  rm {path}" for path in old),
    ]
    return Answer(values, lines)
