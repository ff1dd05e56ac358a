# SPDX-License-Identifier: MIT
"""Verbs that are about users of this machine, or with --fleet about those of the fleet: on a
database server, whoever leaves the option out is told of it."""

import argparse
import os

from pam_totp.errors import again
from pam_totp.fleet import cluster


def command(options: argparse.Namespace) -> str:
    """The command that was typed, with --fleet; empty unless this is a database server, and it can
    be meant."""
    if getattr(options, "fleet", True) or os.geteuid() != 0 or not cluster.is_configured():
        return ""
    return again("--fleet")
