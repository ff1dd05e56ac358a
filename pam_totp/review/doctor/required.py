# SPDX-License-Identifier: MIT
"""Who would be refused because a code is required of somebody who has not enrolled."""

import pwd

from pam_totp.access.decision import UNENROLLED, decide
from pam_totp.access.facts import Facts, rule_for
from pam_totp.review.doctor.host import Host
from pam_totp.review.lockout import ELSEWHERE, WAYS_OF_ADMINISTRATORS, WAYS_OF_ROOT
from pam_totp.review.sent_codes import is_refused
from pam_totp.rules.enrollment import BY, OPTIONAL
from pam_totp.rules.policy import REQUIRED
from pam_totp.rules.request import Request


def refused_at(account: pwd.struct_passwd, host: Host, *, at_deadline: bool = False) -> list[str]:
    """The services at which this account, which has not enrolled, is refused: now, or once the
    deadline to enroll has passed."""
    active = host.active
    is_required = active.enrollment.mode != OPTIONAL
    if not is_required and all(rule.code != REQUIRED for rule in host.rules):
        return []
    now = host.now
    if at_deadline and active.enrollment.mode == BY:
        now = max(now, float(active.enrollment.deadline))
    ways = WAYS_OF_ADMINISTRATORS if account.pw_uid else WAYS_OF_ROOT
    found = []
    for service in (each for each in ways if each in host.asking):
        rhost = ELSEWHERE[0] if service == "sshd" else ""
        request = Request(user=account.pw_name, service=service, rhost=rhost)
        rule = rule_for(request, account, active)
        facts = Facts(user=account, rule=rule, state=UNENROLLED)
        if is_refused(account, rule, decide(facts, active.enrollment, service, now)):
            found.append(service)
    return found
