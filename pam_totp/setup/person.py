# SPDX-License-Identifier: MIT
"""Who is sitting there: the person who runs the command, and how that person came in."""

import dataclasses
import os
import pwd
from collections.abc import Iterator

from pam_totp.setup.ssh_log import SshLog
from pam_totp.stack.people import one_person
from pam_totp.stack.sshd_match import Login

NOBODY = 0xFFFFFFFF  # the login id of what no login has started
MAX_PARENTS = 64


@dataclasses.dataclass(frozen=True)
class Person:
    """name: of the account that logged in. address: the other end of the ssh connection, empty
    without one. method: "key", "password" or another of sshd's; empty where it is not known. also:
    others, where the log says that it was somebody else."""

    name: str
    address: str = ""
    method: str = ""
    local_address: str = "127.0.0.1"
    local_port: int = 22
    also: tuple["Person", ...] = ()

    @property
    def login(self) -> Login | None:
        """For sshd's Match blocks; None for somebody who did not come by ssh."""
        if not self.address:
            return None
        try:
            login = one_person(pwd.getpwnam(self.name))
        except KeyError:
            return None
        return dataclasses.replace(
            login,
            address=self.address,
            host=self.address,
            local_address=self.local_address,
            local_port=self.local_port,
        )

    @property
    def account(self) -> pwd.struct_passwd | None:
        """Of the person."""
        try:
            return pwd.getpwnam(self.name)
        except KeyError:
            return None


def who_sits(log: SshLog) -> Person:
    """By the login id or by sudo. The log, which any user may write to, adds how: of somebody else
    it makes one more person, who has to get in again, too."""
    name = _name()
    connection = next(_connections(), ())
    if len(connection) == 4:
        address, port, local_address, local_port = connection
        users = log.accepted.get((address, port), {})
        number = int(local_port) if local_port.isdigit() else 22
        about = address.partition("%")[0]
        also = tuple(
            Person(user, about, method, local_address, number)
            for user, method in users.items()
            if user != name and exists(user)
        )
        return Person(name, about, users.get(name, ""), local_address, number, also)
    return Person(name)


def exists(name: str) -> bool:
    """Whether there is such a user."""
    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):
        return False
    return True


def _name() -> str:
    try:
        with open("/proc/self/loginuid", encoding="ascii") as file:
            uid = int(file.read())
        if uid != NOBODY:
            return pwd.getpwuid(uid).pw_name
    except (OSError, ValueError, KeyError):
        pass
    caller = os.environ.get("SUDO_USER", "")
    return caller if exists(caller) else pwd.getpwuid(os.getuid()).pw_name


def _connections() -> Iterator[tuple[str, ...]]:
    """SSH_CONNECTION of this process and of those that started it: sudo hands none on."""
    process = os.getpid()
    for _ in range(MAX_PARENTS):
        if process <= 1:
            return
        try:
            with open(f"/proc/{process}/environ", "rb") as file:
                variables = file.read().split(b"\0")
            with open(f"/proc/{process}/stat", "rb") as file:
                process = int(file.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            return
        for variable in variables:
            if variable.startswith(b"SSH_CONNECTION="):
                yield tuple(variable[15:].decode("ascii", "replace").split())
