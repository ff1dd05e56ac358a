# SPDX-License-Identifier: MIT
"""Records which services ask for a code, and reports those that no longer do.

/etc/pam.d/sshd belongs to openssh-server. An upgrade of Debian may silently replace it by a file
without the pam_totp.so line; then the password alone is enough. So every command that root runs
checks this, and dpkg does when a package has changed /etc/pam.d.

Each service that has ever asked is an empty file /var/lib/pam-totp/services/NAME; `pam-totp enable`
writes it, and so does the next command of root's for lines added by hand. If the code was turned
off on purpose, `pam-totp disable` or the administrator removes that file.
"""

import os
import shlex
import syslog
from collections.abc import Collection

from pam_totp.records.storage.state_dir import VAR
from pam_totp.rules.reasons import Failure
from pam_totp.stack import services
from pam_totp.stack.libpam import Unknown, installed
from pam_totp.stack.service import read_service

KIND = "services"
MAX_FILES = 3  # that a hint names, if it can name their folder


def lost() -> tuple[str, str] | None:
    """A warning and a hint for root if services no longer ask; None if all do. Logs the warning.

    If this cannot be checked now, the next command tries again.
    """
    try:
        asking = set(services.that_ask())
        names = _remembered(asking) - asking
    except (OSError, Failure):
        return None
    if not names:
        return None
    listed = ", ".join(sorted(names))
    message = f"no longer asking for a code, because the pam_totp.so line is gone: {listed}"
    syslog.openlog("pam-totp", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_WARNING, "".join(c if c.isprintable() else "?" for c in message))
    files = shlex.join(f"{VAR.path}/{KIND}/{name}" for name in sorted(names))
    if len(names) > MAX_FILES:  # such as all that include common-auth; what asks is recorded again
        files = f"-r {VAR.path}/{KIND}"
    return message, f"restore the line, or accept this: rm {files}"


def remember() -> None:
    """Records what asks now: from here on its loss is reported. What cannot be recorded now, the
    next command of root's records."""
    try:
        _remembered(set(services.that_ask()))
    except (OSError, Failure):
        pass


def accept_losses(files: Collection[str]) -> None:
    """What no longer asks does so on purpose, since these files of PAM's were changed: the services
    of these names, and all that include them. If this cannot be recorded, commands still warn."""
    try:
        names = set(os.listdir(f"{VAR.path}/{KIND}"))
        lost = names - set(services.that_ask()) if names and files else set[str]()
        for name in lost:
            if _is_reached(name, {*files, *map(os.path.realpath, files)}):
                VAR.remove(KIND, name)
    except (OSError, Failure):
        pass


def _is_reached(name: str, files: set[str]) -> bool:
    if name in map(os.path.basename, files):  # also where the file is gone
        return True
    try:
        read = read_service(name, installed()).files
    except Unknown:
        return False
    return any(os.path.realpath(file.path) in files for file in read)


def _remembered(asking: set[str]) -> set[str]:
    """The services that have ever asked, including those that ask now. Raises OSError, Failure."""
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
