# SPDX-License-Identifier: MIT
"""The gate: does this login need a code? Exit 0: none is needed. Anything else: ask.

`gate look` only answers: nothing is used up, printed or logged. `gate combined` is for a login with
one prompt, where nobody could enter a code that is sent: none is.

Runs inside every login, unless the launcher has answered (pam/certain.c). Only modules compiled
into the interpreter are imported here.
"""

import posix
import sys
import time

from pam_totp.access.decision import ENROLL, LET_THROUGH, UNENROLLED, Decision, decide
from pam_totp.access.facts import Facts, gather_facts
from pam_totp.records.config.settings import FLEET, Settings, load
from pam_totp.records.host import audit
from pam_totp.records.user import grant
from pam_totp.rules.enrollment import AT_LOGIN
from pam_totp.rules.policy import TOTP
from pam_totp.rules.reasons import GRACE, GRANTED, NOT_ENROLLED, STATE_UNAVAILABLE, Failure
from pam_totp.rules.request import Request, read_request
from pam_totp.rules.throttle import whole_seconds


def main() -> None:
    """Decides and ends the process; on any error the answer is "ask"."""
    status = 1
    try:
        request = read_request(posix.environ)
        settings = load()
        if settings.store == FLEET:
            from pam_totp.records.host import agent  # no other store needs it
            from pam_totp.rules.agent_line import STANDING

            agent.take_early_call(STANDING, request.user)
        now = time.time()
        facts = gather_facts(request, settings, now)
        decision = decide(facts, settings.enrollment, request.service, now)
        if sys.argv[1:] == ["look"]:
            status = int(decision.action != LET_THROUGH)
        elif decision.action == LET_THROUGH:
            let_through(request, facts, decision, settings, now)
            status = 0
        else:
            prepare_prompt(request, facts, decision, settings)
    except Failure:
        pass  # verify meets the same failure, refuses, and logs the reason
    finally:
        # No unwinding after this: no traceback to a stranger, no destructor, and 1 ms less.
        posix._exit(status)


def let_through(
    request: Request, facts: Facts, decision: Decision, settings: Settings, now: float
) -> None:
    """Uses up the grant, if it is that, and logs why no code is needed. Raises Failure: ask."""
    if decision.reason == GRANTED:
        try:
            is_used_up = grant.use_up(facts.user.pw_uid, now)
        except Failure as failure:
            audit.write(request, "ask", failure.reason, failure.detail)
            raise
        if not is_used_up:
            raise Failure(GRANTED, "another login has used the grant")
    line = f"rule of line {facts.rule.line}" if facts.rule.line else ""
    audit.write(request, "skip", decision.reason, line, settings.fault)
    if decision.reason == GRACE:
        date = time.strftime("%Y-%m-%d", time.gmtime(settings.enrollment.deadline))
        say(settings.message("deadline", date=date, days=decision.days))


def prepare_prompt(request: Request, facts: Facts, decision: Decision, settings: Settings) -> None:
    """Prints what comes before the prompt; to show an enrollment or to send a code, this process
    becomes another."""
    # If it is not known where to, what would send a code says and logs why it cannot. The store of
    # a fleet that cannot say who is enrolled is not asked again: nothing is sent then.
    is_unknown = facts.fault and (facts.is_contact_fault or settings.store != FLEET)
    may_send = facts.wait <= 0 and (facts.sent_by or (is_unknown and facts.rule.methods != (TOTP,)))
    beside = "send-code" if may_send and sys.argv[1:] != ["combined"] else ""
    if decision.action == ENROLL:
        beside = "show-enrollment"
    if facts.grant_fault:
        audit.write(request, "ask", STATE_UNAVAILABLE, facts.grant_fault)
    if beside != "send-code" and posix.geteuid() == 0 and facts.rule.methods != (TOTP,):
        from pam_totp.records.user import sent  # as send-code does; hardly any rule has it

        sent.forget(request, facts.user)
    if facts.wait > 0:
        say(settings.message("wait", seconds=whole_seconds(facts.wait)))
    elif beside and posix.geteuid() == 0:
        from pam_totp.login.become import become  # few logins do

        become(request, beside)
    elif facts.state == UNENROLLED:
        if settings.enrollment.mode == AT_LOGIN and decision.action != ENROLL:
            detail = "this service is not in enrollment_services, so no secret is shown"
            audit.write(request, "ask", NOT_ENROLLED, detail)
        say(settings.message("not_enrolled"))
    elif facts.fault and settings.store == FLEET:
        from pam_totp.access.in_fleet import said_of

        say(said_of(facts.fault))


def say(line: str) -> None:
    """One line for the user: pam_exec passes on what is printed here."""
    try:
        posix.write(1, f"{line}\n".encode())
    except OSError:
        pass  # nobody reads it, which changes nothing
