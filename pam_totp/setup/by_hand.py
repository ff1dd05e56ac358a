# SPDX-License-Identifier: MIT
"""Services that ask for codes by lines which enable did not put there."""

from pam_totp.errors import Error
from pam_totp.setup import beside
from pam_totp.setup.also import Also
from pam_totp.setup.beside import Choice
from pam_totp.setup.host import PamHost
from pam_totp.setup.proof import PASSWORD_ONLY, is_asking, prove, without_passwords
from pam_totp.setup.reached import Plan
from pam_totp.stack.factors import BESIDE_A_CODE
from pam_totp.stack.profile import OFF, is_of_profile
from pam_totp.stack.service import Service


def _instead(now: Service, host: PamHost, is_profile: bool) -> str:
    """What to do about a line that is there and does not ask as it should."""
    if not is_profile:
        return "remove that line, and run the command again"
    if now.name == "sshd" and not prove(now, now, host.libpam, PASSWORD_ONLY):
        return f"run {OFF}, and enable each service, or add --first-factor password"
    return OFF


def added_by_hand(
    host: PamHost, now: Service, first_factor: str, told: Choice, also: Also, found: Plan
) -> None:
    """A service that has lines which enable did not put there. Raises Error if they are wrong."""
    line = next(line for line in now.stacks["auth"] if is_asking(line))
    is_profile = is_of_profile(line)
    by = "by enable" if host.is_by_enable(line.file) else "by hand"
    whose = "that pam-auth-update added" if is_profile else f"that was added {by}"
    where = f"a pam_totp.so line {whose} ({line.file}, line {line.number})"
    faults = [
        *prove(now, now, host.libpam, first_factor, BESIDE_A_CODE.values()),
        *without_passwords(now, first_factor),
    ]
    if faults:
        message = f"{now.name} has {where}, and {faults[0].words}"
        raise Error(message, _instead(now, host, is_profile))
    if told.how == beside.INSTEAD or also.kinds or also.dropped:
        raise Error(f"{now.name} has {where}", _instead(now, host, is_profile))
    if told:
        found.choices[now.name] = told
    found.notes.append(f"{now.name} already asks for a code: it has {where}.")
