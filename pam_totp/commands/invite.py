# SPDX-License-Identifier: MIT
"""`pam-totp invite`: allows users to enroll in the fleet, each by an invitation, once."""

import argparse
import json
import pwd
import time
from typing import Any

from pam_totp.enrollment.duration import seconds
from pam_totp.enrollment.identity import caller
from pam_totp.errors import Error, UsageError, again, command, printable
from pam_totp.fleet import people
from pam_totp.fleet.user_names import alike, meant, refuse_impossible
from pam_totp.listing import fit, moment
from pam_totp.records.host import action_log
from pam_totp.signals import finish_undisturbed

HELP = "root: invite users to enroll in the fleet"

USUAL_SECONDS = 86400
ENROLL = "pam-totp enroll"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp invite`."""
    parser.add_argument("names", metavar="USER", nargs="+")
    parser.add_argument(
        "--for",
        dest="seconds",
        metavar="TIME",
        type=seconds,
        help="how long it is valid, such as 30m, 2h or 7d (default: 1d)",
    )
    parser.add_argument("--end", action="store_true", help="take invitations back")
    parser.add_argument(
        "--yes", action="store_true", help="also for a name that differs from another in capitals"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Makes an invitation for each user, or none if one cannot be made. Raises Error."""
    names = list(dict.fromkeys(options.names))
    refuse_impossible(names)
    if options.end:
        return _end(options, names)
    seconds_valid = options.seconds or USUAL_SECONDS
    with people.connected() as store:
        known = {each.name: each for each in people.people(store, names)}
        new = [name for name in names if name not in known]
        others = [each.name for each in people.people(store)] if new else []
        others += [each.pw_name for each in pwd.getpwall()] if new else []
        if not options.yes:
            _refuse_alike(new, others)
        finish_undisturbed()
        with store.transaction():
            made = {name: people.invite(store, name, seconds_valid) for name in names}
        invited = {each.name: each for each in people.people(store, names)}
    for name in names:
        action_log.write("invite", user=name, by=caller())
    rows = [_row(made[name], invited[name], known.get(name)) for name in names]
    if options.json:
        print(json.dumps({"changed": True, "invitations": rows}, indent=2))
    else:
        print(fit(_as_text(rows, {name: meant(name, others) for name in new})))
    return 0


def _refuse_alike(new: list[str], known: list[str]) -> None:
    """Raises Error for a name that the store does not know, if it, this machine or the command has
    the same in other letters: who is meant would have no invitation."""
    for name in new:
        same = [] if name in known else alike(name, [*known, *new])
        if same:
            message = f"there is {same[0]!a}, which differs from {name!a} in capitals alone"
            message += "; nothing was changed"
            raise Error(message, f"if that is another user, run: {again('--yes')}")


def _end(options: argparse.Namespace, names: list[str]) -> int:
    """Takes invitations back; that there was none is no error. Raises Error."""
    if options.seconds:
        raise UsageError("--end cannot be combined with --for", "pam-totp invite --help")
    with people.connected() as store:
        finish_undisturbed()
        with store.transaction():
            ended = [name for name in names if people.end_invitation(store, name)]
    for name in ended:
        action_log.write("invitation-ended", user=name, by=caller())
    if options.json:
        print(json.dumps({"changed": bool(ended), "ended": ended}, indent=2))
        return 0
    for name in map(printable, names):
        state = "is no longer valid" if name in ended else "was not valid any more, or never made"
        print(f"The invitation of {name} {state}.")
    return 0


def _row(invitation: str, now: people.Person, before: people.Person | None) -> dict[str, Any]:
    until = before.invitation_until if before else None
    return {
        "user": now.name,
        "invitation": people.in_groups(invitation),
        "until": now.invitation_until,
        "replaced": until is not None and until > time.time(),
        "enrolled": now.state == people.ENROLLED,
        "known": before is not None,
    }


def _as_text(rows: list[dict[str, Any]], near: dict[str, str]) -> str:
    """near: of each name that is new, the one that may be meant, as the end of a sentence."""
    lines = []
    for row in rows:
        name = printable(row["user"])
        lines.append(f"{name}: {row['invitation']}")
        if row["replaced"]:
            lines.append("  The earlier invitation is no longer valid.")
        if row["enrolled"]:
            lines.append(
                f"  {name} is enrolled. The old phone works until the new one is confirmed."
            )
        if row["user"] in near:
            back = command("invite", row["user"], options=["--end"])
            lines.append(
                f"  {name} is new to the store{near[row['user']] or '.'} A name must be what"
            )
            lines.append(f"  `id -un` prints at the hosts. To take it back: {back}")
    whose = "The invitation is" if len(rows) == 1 else "Each invitation is"
    until = moment(rows[0]["until"])
    lines += ["", f"{whose} valid once, until {until} UTC. The user enters it at any login host,"]
    lines += ["after this command:", f"  {ENROLL}"]
    return "\n".join(lines)
