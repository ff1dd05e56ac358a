# SPDX-License-Identifier: MIT
"""Where a new cluster listens: options of `pam-totp store init` and `store standby`."""

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """--listen and --port."""
    parser.add_argument(
        "--listen",
        nargs="+",
        metavar="ADDRESS",
        default=[],
        help="names or addresses of this machine that hosts connect to (default: all)",
    )
    parser.add_argument(
        "--port",
        type=int,
        metavar="N",
        help="port of the cluster (default: the next one that is free)",
    )
