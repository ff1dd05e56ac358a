"""Remembers which services ask for a code, and tells of those that no longer do.

/etc/pam.d/sshd belongs to openssh-server. An upgrade from one Debian to the next may put a new file
there, without the pam_totp.so line and without a word: from then on the password alone lets in. So
every command of root's, and dpkg when a package has changed /etc/pam.d, looks at what is there.

Each service that was ever seen to ask is an empty file /var/lib/pam-totp/services/NAME. Where the
code was turned off on purpose, the administrator removes that file.
"""

import os
import shlex
import syslog

from pam_totp.records.storage.state_dir import VAR
from pam_totp.rules.reasons import Failure
from pam_totp.stack import services

KIND = "services"


def lost() -> tuple[str, str] | None:
    """What to tell root of the services that no longer ask, and the hint; None if all do. Logs it.

    What cannot be looked at now is looked at by the next command: this one goes on.
    """
    try:
        asking = set(services.that_ask())
        names = _remembered(asking) - asking
    except (OSError, Failure):
        return None
    if not names:
        return None
    message = f"no longer asked for a code, since its line is gone: {', '.join(sorted(names))}"
    syslog.openlog("pam-totp", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_WARNING, "".join(c if c.isprintable() else "?" for c in message))
    files = shlex.join(f"{VAR.path}/{KIND}/{name}" for name in sorted(names))
    return message, f"put it back into {services.PAM_DIR}, or accept this with: rm {files}"


def _remembered(asking: set[str]) -> set[str]:
    """The services that have asked so far, those that ask now included. Raises OSError, Failure."""
    folder = VAR.open(KIND, make=True)
    assert folder is not None
    try:
        remembered = set(os.listdir(folder))
        for name in asking - remembered:
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(name, flags, 0o600, dir_fd=folder))
        if asking - remembered:
            os.fsync(folder)
        return remembered | asking
    finally:
        os.close(folder)
