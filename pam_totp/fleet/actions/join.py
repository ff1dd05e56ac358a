# SPDX-License-Identifier: MIT
"""`pam-totp store join`: connects a login host to the store."""

import argparse
from textwrap import wrap

from pam_totp import repair
from pam_totp.errors import Error, UsageError
from pam_totp.fleet import join_line
from pam_totp.fleet.actions.answer import Answer
from pam_totp.listing import counted
from pam_totp.records import fleet_of_commands
from pam_totp.records.config import settings
from pam_totp.records.host import action_log, outage
from pam_totp.records.storage.state_dir import VAR
from pam_totp.rules.reasons import Failure

HELP = "connect this login host to the store"
ABOUT = (
    "Connect this login host to the store, by a line of pam-totp store add. The line is asked for, "
    "and not shown. (As an argument, others can see it in the list of processes.) The password in "
    "it is replaced, so the line is worthless afterwards. Run it as root."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp store join`."""
    parser.add_argument(
        "line", nargs="?", metavar="LINE", help="the line, or - to read it from stdin"
    )
    parser.add_argument("--again", action="store_true", help="replace the password of this host")
    parser.add_argument(
        "--server",
        dest="servers",
        nargs="+",
        metavar="NAME",
        default=[],
        help="with --again: database servers that this host does not know yet",
    )
    parser.add_argument(
        "--yes", action="store_true", help="accept a line for a host of another name than this one"
    )
    parser.add_argument(
        "--new-outage-codes",
        action="store_true",
        help="make new outage codes in place of the old ones",
    )


def needs_line(options: argparse.Namespace) -> bool:
    """Whether a line has to be asked for."""
    return not (options.again or options.new_outage_codes or options.servers)


def run(options: argparse.Namespace) -> Answer:
    """Joins, or changes what this host got when it joined. Raises Error."""
    from pam_totp.fleet import agent_units, joining

    if options.line and not needs_line(options):
        raise UsageError(
            "--again and --new-outage-codes take no line", "pam-totp store join --help"
        )
    if options.servers and not options.again:
        raise UsageError("--server needs --again", "pam-totp store join --help")
    if needs_line(options):
        joined = joining.join(join_line.parse(options.line))
    elif options.again:
        joined = joining.rotate(tuple(map(join_line.server_of, options.servers)))
    else:
        joined = joining.already()
    if joined.changed:
        action_log.write("store-join", host=joined.host, store=joined.store)
    is_started = agent_units.start()
    codes = _outage_codes(must_be_new=options.new_outage_codes)
    silence = _why_the_agent_is_silent()
    values: dict[str, object] = {
        "changed": joined.changed or bool(codes),
        "host": joined.host,
        "store": joined.store,
        "outage_codes": codes,
        "agent_started": is_started,
        "agent_answers": not silence,
    }
    lines = [f"{joined.host} has joined the store {joined.store}."]
    if codes:
        lines += [
            "",
            "Keep these outage codes where you keep passwords. Each is accepted once, for any",
            "user, only at this host, and only while the store does not answer:",
            f"  {' '.join(codes)}",
        ]
    else:  # perhaps of a command that was killed before anybody saw them
        left = counted(outage.left(), "outage code")
        lines += [f"It has {left}. If nobody has kept them, make new ones:"]
        lines += ["  pam-totp store join --new-outage-codes"]
    if silence:
        lines += ["", f"The agent does not answer yet: {silence}"]
    if not is_started:
        lines += ["", "No systemd runs here, so start the agents yourself, now and at each boot:"]
        lines += [f"  {each}" for each in agent_units.BY_HAND]
    if _runs_a_store():
        lines += ["", "This machine runs a store, so its own logins must keep store: system."]
    elif settings.load().store != "postgresql":
        lines += ["", "Next, in /etc/pam-totp/config.yaml:", "  store: postgresql"]
    return Answer(values, lines, 1 if silence and is_started else 0)


def _runs_a_store() -> bool:
    """Whether this machine is a database server."""
    from pam_totp.fleet import cluster

    return cluster.find() is not None


def _outage_codes(*, must_be_new: bool) -> list[str]:
    """New ones, if this host has none or is to have others; else none. Raises Error."""
    try:
        if not must_be_new and outage.left():
            return []
        codes = outage.new_codes()
    except (OSError, Failure) as failure:  # the last argument is the text of either
        fault, hint = repair.split(str(failure.args[-1]), VAR.path)
        message = f"the host has joined, but its outage codes cannot be written: {fault}"
        raise Error(message, hint) from None
    return ["-".join(wrap(code, 4)) for code in codes]


def _why_the_agent_is_silent() -> str:
    """Asks it about the store, as a login would; empty if it answers."""
    try:
        fleet_of_commands.info()
    except Failure as failure:
        return failure.detail
    return ""
