# SPDX-License-Identifier: MIT
"""SSSD's InfoPipe, which tells what the directory of this host has of a user, over D-Bus.

- How it is reached MUST come from nowhere but here, not from the environment of the caller.
- Each wait MUST end.
"""

from typing import TYPE_CHECKING, Any

from pam_totp.contacts.changing import UNCHANGED
from pam_totp.errors import Error

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection

BUS = "/run/dbus/system_bus_socket"
NAME = "org.freedesktop.sssd.infopipe"
USER = f"{NAME}.Users.User"
_ROOT = "/org/freedesktop/sssd/infopipe"
_PROPERTIES = "org.freedesktop.DBus.Properties"
SECONDS = 20  # SSSD gives a server up after 6 or 8, and answers what it remembers
_ALLOWED = "add root to allowed_uids in [ifp] of /etc/sssd/sssd.conf"
_LOOK = "systemctl status sssd"
# How the names of errors end; what each means, and what helps.
_ERRORS = {
    "ServiceUnknown": ("is not installed", "apt-get install sssd-dbus"),
    "AccessDenied": ("does not answer root", _ALLOWED),
    "AuthFailed": ("does not answer root", _ALLOWED),
}


class Unknown(Exception):
    """SSSD knows no such user."""


class InfoPipe:
    """A connection to it. Raises Error."""

    def __init__(self) -> None:
        try:
            from jeepney import wrappers
            from jeepney.io.blocking import open_dbus_connection
        except ImportError:
            message = "asking SSSD needs Python's jeepney library, which is not installed"
            raise Error(f"{message}{UNCHANGED}", "apt-get install python3-jeepney") from None
        self._wrappers = wrappers
        try:
            self._connection: DBusConnection = open_dbus_connection(bus=f"unix:path={BUS}")
        except OSError as failure:  # TimeoutError is one
            message = f"cannot ask SSSD: {BUS}: {failure.strerror or failure}"
            raise Error(f"{message}{UNCHANGED}", "systemctl status dbus") from None

    def close(self) -> None:
        """No more is asked."""
        self._connection.close()

    def user(self, name: str) -> tuple[int, dict[str, list[str]]]:
        """The user's id there, and the values of each attribute that [ifp] of sssd.conf lets it
        tell beyond those of the password database. Raises Unknown, too."""
        path = self._ask(f"{_ROOT}/Users", f"{NAME}.Users", "FindByName", "s", (name,))
        _, uid = self._ask(path, _PROPERTIES, "Get", "ss", (USER, "uidNumber"))
        _, extra = self._ask(path, _PROPERTIES, "Get", "ss", (USER, "extraAttributes"))
        return int(uid), dict(extra)

    def offline(self) -> list[str]:
        """The domains whose directory SSSD did not reach when it last tried."""
        found = []
        for path in self._ask(_ROOT, NAME, "ListDomains"):
            if not self._ask(path, f"{NAME}.Domains.Domain", "IsOnline"):
                _, name = self._ask(path, _PROPERTIES, "Get", "ss", (f"{NAME}.Domains", "name"))
                found.append(str(name))
        return found

    def _ask(
        self, path: str, interface: str, method: str, types: str = "", values: tuple[str, ...] = ()
    ) -> Any:
        address = self._wrappers.DBusAddress(path, bus_name=NAME, interface=interface)
        try:
            message = self._wrappers.new_method_call(address, method, types or None, values)
            reply = self._connection.send_and_get_reply(message, timeout=SECONDS)
            (answer,) = self._wrappers.unwrap_msg(reply)
            return answer
        except UnicodeEncodeError:  # a name of other bytes
            raise Unknown from None
        except TimeoutError:
            message = f"SSSD did not answer within {SECONDS} seconds"
            raise Error(f"{message}{UNCHANGED}", _LOOK) from None
        except OSError as failure:
            message = f"cannot ask SSSD: {failure.strerror or failure}"
            raise Error(f"{message}{UNCHANGED}", _LOOK) from None
        except self._wrappers.DBusErrorResponse as error:
            kind = error.name.rpartition(".")[2]
            if kind == "NotFound":
                raise Unknown from None
            said = " ".join(map(str, error.data))
            what, hint = _ERRORS.get(kind, (f"cannot be asked ({kind}: {said})", _LOOK))
            raise Error(f"SSSD's InfoPipe {what}{UNCHANGED}", hint) from None
