# SPDX-License-Identifier: MIT
"""What a module can return, and what differs between releases of Linux-PAM."""

import dataclasses
import glob
import re

# security/_pam_types.h: the place of a name is its number; pam.conf(5) writes them so.
RETURN_VALUES = (
    "success",
    "open_err",
    "symbol_err",
    "service_err",
    "system_err",
    "buf_err",
    "perm_denied",
    "auth_err",
    "cred_insufficient",
    "authinfo_unavail",
    "user_unknown",
    "maxtries",
    "new_authtok_reqd",
    "acct_expired",
    "session_err",
    "cred_unavail",
    "cred_expired",
    "cred_err",
    "no_module_data",
    "conv_err",
    "authtok_err",
    "authtok_recover_err",
    "authtok_lock_busy",
    "authtok_disable_aging",
    "try_again",
    "ignore",
    "abort",
    "authtok_expired",
    "module_unknown",
    "bad_item",
    "conv_again",
    "incomplete",
)
SUCCESS, PERM_DENIED, AUTH_ERR, NEW_AUTHTOK_REQD = 0, 6, 7, 12
USER_UNKNOWN, IGNORE, ABORT, MODULE_UNKNOWN, INCOMPLETE = 10, 25, 26, 28, 31
# Where libpam looks for a service, in this order; a vendor may add a third folder.
SERVICE_FOLDERS = ("/etc/pam.d", "/usr/lib/pam.d")
LIBRARIES = ("lib/*-linux-*", "usr/lib/*-linux-*", "lib64", "usr/lib64", "lib", "usr/lib")


class Unknown(Exception):
    """What libpam does cannot be determined; says why. Nothing is proved then."""


@dataclasses.dataclass(frozen=True)
class Libpam:
    """How a release reads its files and runs a stack.

    since_1_6: a blank line or a comment ends a line that a backslash continues, a line may have any
    length, and 16 nested includes are too many (before: 16 nested substacks).
    is_debian: has Debian's two patches: `@include`, with every include from /etc/pam.d alone; and a
    jump that counts for nothing in pam_setcred, too.
    module_folders: where it looks for a module; empty if unknown, so that none is ever missing.
    """

    since_1_6: bool
    is_debian: bool
    folders: tuple[str, ...] = SERVICE_FOLDERS
    module_folders: tuple[str, ...] = ()

    @property
    def include_folders(self) -> tuple[str, ...]:
        """Where it looks for what a line includes."""
        return SERVICE_FOLDERS[:1] if self.is_debian else self.folders


def installed(root: str = "") -> Libpam:
    """The library of a system, told by the texts in it. Raises Unknown."""
    found = [path for folder in LIBRARIES for path in glob.glob(f"{root}/{folder}/libpam.so.0")]
    if not found:
        raise Unknown(f"there is no libpam.so.0 below {root or '/'}")
    try:
        with open(found[0], "rb") as file:
            texts = file.read().decode("latin-1")
    except OSError as failure:
        raise Unknown(f"{found[0]} is not readable: {failure.strerror}") from None
    services = re.findall(r"(/[!-~]*)/%s\0", texts)
    modules = re.findall(r"\0(/[!-~]*/security)(?=/?\0)", texts)
    return Libpam(
        since_1_6="maximum level of inclusions" in texts,
        is_debian="@include" in texts,
        folders=tuple(dict.fromkeys((*SERVICE_FOLDERS, *services))),
        module_folders=tuple(dict.fromkeys(modules)),
    )
