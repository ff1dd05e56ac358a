"""What a login's decision rests on: the rule that holds, and where the user stands.

The gate decides by this, and `pam-totp explain` shows it: nothing here is used up or written.
"""

import posix
import pwd

from pam_totp.access.decision import Decision, decide
from pam_totp.records.host import account
from pam_totp.records.host.groups import Groups
from pam_totp.records.storage.secret_dir import SECRET, SecretDir, stores_of
from pam_totp.records.user import enforced, grant, remembered
from pam_totp.records.user.attempts import boot_seconds, look
from pam_totp.rules.policy import NEVER, Rule, Subject, first_match
from pam_totp.rules.reasons import EXEMPT, Failure
from pam_totp.rules.throttle import wait_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pam_totp.records.config.settings import Settings
    from pam_totp.rules.request import Request

# The service that `pam-totp` re-checks a password with, all that it is good for. It must not ask,
# even where an administrator put our line into the stack that all services share.
PASSWORD_SERVICE = "pam-totp"


class View:
    """One login as the policy sees it. `standing` is None where the rule alone decides;
    `remembered`: a code was given for the same key or session a moment ago."""

    __slots__ = ("decision", "remembered", "rule", "standing", "user")

    def __init__(
        self, request: "Request", configured: "Settings", now: float, *, all_facts: bool = False
    ) -> None:
        """`now`: Unix time; `all_facts`: also those that the decision can do without. Raises
        Failure where there is no such user."""
        self.user = account.find(request.user)
        self.remembered = False
        if request.service == PASSWORD_SERVICE:
            self.rule = Rule(NEVER)
        else:
            self.rule = rule_for(request, self.user, configured)
        self.standing: Standing | None = None
        self.decision = Decision(EXEMPT)
        if self.rule.code == NEVER and not all_facts:
            return
        self.standing = standing = Standing(self.user, configured, now)
        self.decision = decide(
            self.rule.code,
            standing.is_enrolled,
            standing.given is not None,
            configured.enrollment,
            request.service,
            now,
        )
        if self.decision.needs_code and standing.is_enrolled and configured.remember_seconds:
            self.remembered = remembered.holds(request, self.user, configured)
            if self.remembered:
                self.decision = Decision(EXEMPT)


class Standing:
    """is_enrolled: has a secret or has ever given a code; None where nobody can tell, and `fault`
    says why. is_marked: has given one. given: the grant in force. wait: seconds after wrong codes.
    """

    __slots__ = ("fault", "given", "given_fault", "is_enrolled", "is_marked", "wait", "wait_fault")

    def __init__(self, user: pwd.struct_passwd, configured: "Settings", now: float) -> None:
        self.is_enrolled: bool | None = None
        self.is_marked = False
        self.given: grant.Grant | None = None
        self.fault = self.given_fault = self.wait_fault = ""
        self.wait = 0.0
        # Grants and marks are root's to read. A screen locker runs as the user, who could remove
        # the secret anyway: there the user's own file decides.
        is_root = posix.geteuid() == 0
        try:
            self.is_marked = is_root and enforced.is_set(user.pw_uid)
            self.is_enrolled = self.is_marked or has_secret(user, configured)
        except Failure as refused:
            self.fault = refused.detail
        try:
            self.given = grant.read(user.pw_uid, now) if is_root else None
        except Failure as refused:  # what is wrong with one is no reason to let in or out
            self.given_fault = refused.detail
        try:
            self.wait = wait_seconds(look(user.pw_uid)[1], boot_seconds(), configured.limits)
        except Failure as refused:
            self.wait_fault = refused.detail


def has_secret(user: pwd.struct_passwd, configured: "Settings") -> bool:
    """Whether the user has a secret, in force or not. Raises Failure."""
    # One in the other store counts too, until it is imported: a change of `store` spares nobody the
    # code. Only root can look into the system's; a screen locker does where it may be in force.
    stores = [configured.store]
    if posix.geteuid() == 0 or configured.fault or configured.store == "system":
        stores += [store for store in stores_of(user) if store != configured.store]
    return any(SecretDir(user, store).read(SECRET) is not None for store in stores)


def rule_for(request: "Request", user: pwd.struct_passwd, configured: "Settings") -> Rule:
    """The rule that decides about this login."""
    subject = Subject(
        user.pw_name,
        request.service,
        address_of(request.rhost),
        bool(request.key),
        Groups(user).has,
    )
    return first_match(configured.rules, subject, configured.enrollment.otherwise())


def address_of(rhost: str) -> bytes | None:
    """The bytes of an IPv4 or IPv6 address; empty without a remote host; None for a name.

    An IPv4 address in IPv6's clothes (RFC 4291, section 2.5.5.2) is the IPv4 address.
    """
    from _socket import AF_INET, AF_INET6, inet_pton

    if not rhost:
        return b""
    try:
        if ":" in rhost:
            address = inet_pton(AF_INET6, rhost.partition("%")[0])  # fe80::1%eth0
        else:
            address = inet_pton(AF_INET, rhost)
    except (OSError, ValueError):
        return None
    return address.removeprefix(bytes(10) + b"\xff\xff") if len(address) == 16 else address
