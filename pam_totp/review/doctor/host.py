# SPDX-License-Identifier: MIT
"""What several checks of `pam-totp doctor` look at, each read once, when first asked for."""

import functools
import pwd
import time

from pam_totp.records.config.settings import FLEET, Settings, load
from pam_totp.review.open_to import policy_of
from pam_totp.review.ways import ServiceWays, ways_of_host
from pam_totp.rules.policy import Rule, decode
from pam_totp.stack import libpam
from pam_totp.stack.libpam import Libpam, Unknown
from pam_totp.stack.lines import Line
from pam_totp.stack.service import OTHER, Service, read_service
from pam_totp.stack.services import has_line
from pam_totp.stack.services_of_host import services_of_host

# Users who are logged in change there what is theirs, for their password; and what stands in for
# services that have no file.
NO_DOORS = ("chfn", "chsh", OTHER)


class Host:
    """This machine. Nothing of it is changed."""

    def __init__(self) -> None:
        self.now = time.time()
        self.unreadable: dict[str, str] = {}  # services, and why

    @functools.cached_property
    def active(self) -> Settings:
        """The active settings, without keeping a snapshot of them. Raises Failure."""
        return load(keeps=False)

    @functools.cached_property
    def rules(self) -> list[Rule]:
        """The rules of the active settings, in their order. One that is listed under several names
        is there once."""
        lines = filter(None, self.active.rules.decode().split("\n"))
        fields = [line.partition("\t")[2] for line in lines]
        return [decode(each) for each in sorted(set(fields))]

    @property
    def invitation_words(self) -> str:
        """What root has to do before a user of this host can enroll, if anything: a sentence that
        follows another one."""
        if self.active.store != FLEET:
            return ""
        return " In a fleet run `pam-totp invite USER` on a database server first."

    @functools.cached_property
    def libpam(self) -> Libpam:
        """The installed one. Raises Unknown."""
        return libpam.installed()

    @functools.cached_property
    def accounts(self) -> list[pwd.struct_passwd]:
        """Everybody that the database lists, each user id once."""
        listed = {account.pw_uid: account for account in reversed(pwd.getpwall())}
        return sorted(listed.values(), key=lambda account: account.pw_name)

    @functools.cached_property
    def services(self) -> dict[str, Service]:
        """By name. What cannot be read is in `unreadable`. Raises Unknown."""
        found = {}
        for name in services_of_host(self.libpam):
            try:
                found[name] = read_service(name, self.libpam)
            except Unknown as unknown:
                self.unreadable[name] = str(unknown)
        return found

    @functools.cached_property
    def ways(self) -> list[ServiceWays]:
        """Of each service that users log in by. Raises Unknown."""
        found = ways_of_host(libpam=self.libpam, policy=policy_of(self.active))
        return [each for each in found if each.name not in NO_DOORS]

    @functools.cached_property
    def asking(self) -> list[str]:
        """The services that have a line that asks for a code, reached or not."""
        return [name for name, found in self.services.items() if has_line(found)]


def auth_of(service: Service) -> tuple[Line, ...]:
    """The lines of its auth stack."""
    return service.stacks["auth"]
