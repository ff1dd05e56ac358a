# SPDX-License-Identifier: MIT
"""What `enable` is about to do, as text for people and as an object for programs. Pure."""

from typing import Any

from pam_totp.listing import counted
from pam_totp.setup import diff
from pam_totp.setup.enabling import Enabling
from pam_totp.setup.ssh_log import DAYS

MAX_SHOWN = 12
_WITHOUT_TERMINAL = (
    "These accounts log in with a key and no terminal. A program cannot enter a code:"
)
_PERHAPS_WITHOUT = (
    "These accounts log in with a key. A program cannot enter a code (the log does not tell which "
    "of them had no terminal):"
)


def as_text(found: Enabling) -> str:
    """What the change means for whom; empty for nothing beside the diff."""
    lines = [*found.notes]
    if found.reached:
        lines.append(f"These include a changed file and will ask, too: {', '.join(found.reached)}.")
    if found.refused:
        lines.append("These users would be refused until they enroll:")
        lines += _listed([f"{o.user}: {o.why} ({', '.join(o.services)})" for o in found.refused])
    if found.left_behind:
        lines.append("These users have a secret of the other program only, and would need no code:")
        lines += _listed(list(found.left_behind))
    if found.key_only:
        lines.append(_WITHOUT_TERMINAL if found.knows_terminals else _PERHAPS_WITHOUT)
        lines += _listed([f"{user} ({_logins(count)})" for user, count in found.key_only])
        option = " ".join(_exempting(user) for user, _ in found.key_only)
        lines.append(f"To exempt them, so that the key alone is enough, add: {option}")
        lines.append("For each, this is written for sshd:")
        lines.append(f"  Match User {found.key_only[0][0]}")
        lines.append("    AuthenticationMethods publickey")
    return "\n".join(lines)


def _logins(count: int) -> str:
    return f"{counted(count, 'login')} in the last {DAYS} days"


def _exempting(user: str) -> str:
    return f"--exempt-key {user}" if user != "root" else "--root key"


def _listed(lines: list[str]) -> list[str]:
    shown = [f"  {line}" for line in lines[:MAX_SHOWN]]
    more = len(lines) - MAX_SHOWN
    return [*shown, f"  and {more} more (add --dry-run --json to see all)"] if more > 0 else shown


def as_object(found: Enabling, *, changed: bool, dry_run: bool) -> dict[str, Any]:
    """For --json."""
    return {
        "changed": changed,
        "dry_run": dry_run,
        "services": found.change.services,
        "also_reached": found.reached,
        "files": diff.as_objects(found.change),
        "notes": found.notes,
        "refused_users": [
            {"user": one.user, "services": one.services, "why": one.why} for one in found.refused
        ],
        "users_left_behind": found.left_behind,
        "terminals_known": found.knows_terminals,
        "accounts_without_terminal": [
            {"user": user, "logins": count} for user, count in found.key_only
        ],
    }
