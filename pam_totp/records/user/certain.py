# SPDX-License-Identifier: MIT
"""The mark that a user is certain to be asked for a code: then the gate needs no interpreter
(pam/certain.c). The verifier leaves it after a yes and takes it away at every no, so that what the
gate says before a prompt is still said.

- It MUST be left only where no rule that may be about the user has `never` or codes that are sent,
  `remember` is off and the login is recorded (pam_totp.records.user.enforced).
- It MUST count only in this boot, and only under the settings and accounts that were there when the
  verifier began. After an edit of either it MUST be as if there were none.

/run/pam-totp/certain/NAME, one line without an end: "pam-totp certain 1 WORD UID BOOT", then of the
settings, each place of their snapshot and /etc/passwd "DEV INODE SIZE MTIME_NS CTIME_NS". WORD is
"ask"; or "decide" if a rule may exempt the user: then the gate decides, and no verifier looks for
that rule again.
"""

import pwd

from pam_totp.records.config.settings import PATH, Settings, identity_of
from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.rules.policy import has_more_to_say
from pam_totp.rules.reasons import Failure

KIND = "certain"
FILES = (PATH, *(f"{each.path}/settings/last-good" for each in (VAR, RUN)), "/etc/passwd")
BOOT = "/proc/sys/kernel/random/boot_id"


def surroundings() -> str:
    """What a mark holds for; empty where that is not known."""
    try:
        with open(BOOT, "rb") as file:
            return " ".join([file.read(36).decode("ascii"), *map(identity_of, FILES)])
    except OSError:
        return ""


def leave(user: pwd.struct_passwd, name: str, settings: Settings, around: str) -> None:
    """Leaves a mark for a user who logged in as `name`, if that can be. `around`: surroundings()
    before the settings were read."""
    is_own_name = name == user.pw_name and "/" not in name
    if settings.fault or settings.remember_seconds or not around or not is_own_name:
        return
    words = ("ask", "decide")
    ask, decide = (f"pam-totp certain 1 {word} {user.pw_uid} {around}".encode() for word in words)
    try:
        if RUN.read(KIND, name) not in (ask, decide):
            is_open = has_more_to_say(settings.rules, name)
            RUN.write(KIND, name, decide if is_open else ask)
    except (OSError, Failure, ValueError):
        pass  # the next gate decides, a name that can be no file's among them


def forget(user: pwd.struct_passwd) -> None:
    """Takes the mark away. Raises OSError or Failure."""
    if "/" not in user.pw_name:
        RUN.remove(KIND, user.pw_name)
