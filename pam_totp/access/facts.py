# SPDX-License-Identifier: MIT
"""The facts that a login's decision rests on: the rule that matches, and what is known of the user.

Read by the gate, the verifier, `explain`, `users` and `config check`; nothing here decides, is used
up or written.
"""

import posix
import pwd

from pam_totp.access.decision import ELSEWHERE, ENROLLED, MISSING, UNENROLLED, UNKNOWN
from pam_totp.records.config.settings import FLEET, Settings
from pam_totp.records.host import account
from pam_totp.records.host.groups import Groups
from pam_totp.records.storage.secret_dir import SECRET, SecretDir, stores_of
from pam_totp.records.user import attempts, enforced, grant, remembered
from pam_totp.records.user.attempts import boot_seconds
from pam_totp.records.user.grant import Grant
from pam_totp.rules import policy
from pam_totp.rules.enrollment import OPTIONAL
from pam_totp.rules.reasons import Failure
from pam_totp.rules.record import Record
from pam_totp.rules.request import Request
from pam_totp.rules.throttle import wait_seconds

# The service that `pam-totp` re-checks a password with, all that it is good for. It must not ask,
# even where an administrator put our line into the stack that all services share.
PASSWORD_SERVICE = "pam-totp"


class Facts(Record):
    """What is known of one login.

    rule: the one that matches; state: of the user's secret (pam_totp.access.decision), UNKNOWN with
    `fault`; is_enforced: has logged in with a code; grant: the valid one; wait: seconds after
    incorrect codes; sent_by: the kinds of codes that can be sent to the user, and that the rule
    accepts; is_contact_fault: whether `fault` is why those are not known; is_remembered: a code was
    accepted for the same key or session a moment ago; grant_fault, wait_fault: why those are not
    known.
    """

    user: pwd.struct_passwd
    rule: policy.Rule
    state: str = UNKNOWN
    is_enforced: bool = False
    grant: Grant | None = None
    wait: float = 0.0
    sent_by: tuple[str, ...] = ()
    is_contact_fault: bool = False
    is_remembered: bool = False
    fault: str = ""
    grant_fault: str = ""
    wait_fault: str = ""


def gather_facts(
    request: Request, settings: Settings, now: float, *, complete: bool = False
) -> Facts:
    """The facts about a login at `now` (Unix time). Without `complete` those that no decision needs
    are left out. Raises Failure where there is no such user."""
    user = account.find(request.user)
    rule = rule_for(request, user, settings)
    if rule.code == policy.NEVER and not complete:
        return Facts(user=user, rule=rule)
    # Grants, and who has logged in with a code, are root's to read. A screen locker runs as the
    # user, who could remove the secret anyway: there the user's own file decides.
    is_root = posix.geteuid() == 0
    state, is_enforced, fault, wait = UNKNOWN, False, "", 0.0
    sent_by: tuple[str, ...] = ()
    is_contact_fault = False
    try:
        is_enforced = is_root and enforced.is_set(user.pw_uid)
        if settings.store == FLEET:
            from pam_totp.access import in_fleet  # no other store needs it

            state, wait = in_fleet.look(user, is_enforced=is_enforced)
        elif is_enforced and not complete:
            state = ENROLLED  # or MISSING: a code is asked for, and the verifier looks
        else:
            state = state_of(user, settings, is_enforced=is_enforced)
    except Failure as failure:  # as of a home that is locked, which keeps no code from being sent
        state, fault = UNKNOWN, failure.detail
    try:
        if is_root and rule.methods != (policy.TOTP,):
            from pam_totp.access import by_contact  # hardly any rule has it

            state, sent_by = by_contact.look(user, rule, state, settings.store)
    except Failure as failure:
        state, fault, is_contact_fault = UNKNOWN, failure.detail, True
    valid_grant, grant_fault, wait_fault = None, "", ""
    try:
        valid_grant = grant.read(user.pw_uid, now) if is_root else None
    except Failure as failure:  # a faulty grant neither accepts nor refuses a login
        grant_fault = failure.detail
    try:
        if settings.store != FLEET:
            _, failures = attempts.look(user.pw_uid)
            wait = wait_seconds(failures, boot_seconds(), settings.limits)
    except Failure as failure:
        wait_fault = failure.detail
    may_be_remembered = settings.remember_seconds and state != UNENROLLED
    return Facts(
        user=user,
        rule=rule,
        state=state,
        is_enforced=is_enforced,
        grant=valid_grant,
        wait=wait,
        sent_by=sent_by,
        is_contact_fault=is_contact_fault,
        is_remembered=bool(may_be_remembered) and remembered.holds(request, user, settings),
        fault=fault,
        grant_fault=grant_fault,
        wait_fault=wait_fault,
    )


def state_of(user: pwd.struct_passwd, settings: Settings, *, is_enforced: bool) -> str:
    """ENROLLED, UNENROLLED, MISSING or ELSEWHERE. Raises Failure where it cannot be determined."""
    if settings.store == FLEET:
        from pam_totp.access import in_fleet

        return in_fleet.look(user, is_enforced=is_enforced)[0]
    if SecretDir(user, settings.store).read(SECRET) is not None:
        return ENROLLED
    # A secret in the other store counts too, until it is migrated: a change of `store` spares
    # nobody the code. Only root can look into the system's; a screen locker does where it may be
    # the active one.
    if posix.geteuid() == 0 or settings.fault or settings.store == "system":
        others = [store for store in stores_of(user) if store != settings.store]
        if any(SecretDir(user, store).read(SECRET) is not None for store in others):
            return ELSEWHERE
    return MISSING if is_enforced else UNENROLLED


def rule_for(request: Request, user: pwd.struct_passwd, settings: Settings) -> policy.Rule:
    """The rule that decides about this login; the stricter of two, where the user is asked for by
    another name than the id has."""
    if request.service == PASSWORD_SERVICE:
        return policy.Rule(code=policy.NEVER)
    otherwise = policy.IF_ENROLLED if settings.enrollment.mode == OPTIONAL else policy.REQUIRED
    if len(settings.rules) <= 1:  # only the line end
        return policy.Rule(code=otherwise)
    address, kinds = address_of(request.rhost), policy.kinds_of(request.key)

    def rule_of(name: str) -> policy.Rule:
        is_in = Groups(name, user.pw_gid).has
        subject = policy.Subject(
            user=name, service=request.service, address=address, publickey=kinds, is_in=is_in
        )
        return policy.first_match(settings.rules, subject, otherwise)

    found = rule_of(user.pw_name)
    if request.user == user.pw_name:
        return found
    return policy.stricter(found, rule_of(request.user))


def address_of(rhost: str) -> bytes | None:
    """The bytes of an IPv4 or IPv6 address; empty without a remote host; None for a name.

    An IPv4-mapped address (RFC 4291, section 2.5.5.2) is the IPv4 address.
    """
    from _socket import AF_INET, AF_INET6, inet_pton

    if not rhost:
        return b""
    text = rhost.partition("%")[0] if ":" in rhost else rhost  # fe80::1%eth0
    try:
        address = inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):
        return None
    return address.removeprefix(bytes(10) + b"\xff\xff") if len(address) == 16 else address
