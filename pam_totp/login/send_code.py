# SPDX-License-Identifier: MIT
"""Sending a code for a login that goes on. The gate becomes this program before the prompt, and the
verifier where the user types "sms" or "mail" there. Nothing here accepts a login.

- Nothing MUST be sent before a first factor is proven (pam_totp.login.first_factor): whoever knows
  a name could flood its owner, and run up a bill. What the gate has proven stands in root's record
  (pam_totp.records.user.sent), since the verifier does not have the password.
- A code MUST be counted against the limits, and its hash kept, before it is sent. The code itself
  is kept nowhere.
- It MUST go to the contact of the moment when its hash is kept, under the lock that a change takes.
- With the store of a fleet nothing MUST be sent unless it answers and no app of the user is missing
  (pam_totp.access.in_fleet).
"""

import os
import pwd
import sys
from contextlib import closing

from pam_totp.access import in_fleet
from pam_totp.access.decision import ENROLLED
from pam_totp.access.facts import rule_for
from pam_totp.login import first_factor
from pam_totp.records.config.settings import FLEET, Settings, load
from pam_totp.records.host import account, audit
from pam_totp.records.storage.secret_dir import SECRET, SecretDir
from pam_totp.records.user import attempts, contacts, enforced, sent
from pam_totp.records.user.attempts import boot_seconds
from pam_totp.rules.masked import masked
from pam_totp.rules.policy import TOTP
from pam_totp.rules.reasons import (
    HOST_REFUSED,
    NOT_ENROLLED,
    SECRET_MISSING,
    SEND_FAILED,
    SENT_CODE,
    STATE_UNAVAILABLE,
    STORE_UNAVAILABLE,
    THROTTLED,
    Failure,
)
from pam_totp.rules.request import Request, read_request
from pam_totp.rules.throttle import wait_seconds, whole_seconds


def main() -> None:
    """Prints what the user is told before the prompt, and logs what was sent or why nothing was."""
    request, settings = read_request(dict(os.environb)), load()
    try:
        user = account.find(request.user)
        login = Login(request, user, settings)
        lines = login.go_on(sys.argv[1]) if sys.argv[1:] else login.begin()
    except Failure as failure:
        audit.write(request, "ask", failure.reason, failure.detail)
        lines = [said_of(failure, settings)]
    except OSError as failure:
        audit.write(request, "ask", STATE_UNAVAILABLE, f"cannot send a code: {failure.strerror}")
        lines = [settings.message("not_sent")]
    os.write(1, "".join(f"{line}\n" for line in lines).encode())


def said_of(failure: Failure, settings: Settings) -> str:
    """What the user is told where no code can be sent."""
    is_away = failure.reason in (STORE_UNAVAILABLE, HOST_REFUSED)
    if settings.store == FLEET and (is_away or failure.detail == in_fleet.IS_OLDER):
        return in_fleet.said_of(failure.detail)
    return settings.message("not_sent")


class Login:
    """The one for which codes are sent. Raises OSError or Failure."""

    def __init__(self, request: Request, user: pwd.struct_passwd, settings: Settings) -> None:
        self._request, self._user, self._settings = request, user, settings
        self._methods = rule_for(request, user, settings).methods
        self._contacts = contacts.read(user)
        self._login = sent.login_of(request, user)

    def begin(self) -> list[str]:
        """Sends a code if the user has no factor that the rule prefers; and says how to ask for
        one. Raises OSError or Failure."""
        if not first_factor.is_proved(self._request, self._user):
            sent.forget(self._request, self._user)
            raise Failure(NOT_ENROLLED, "no first factor is proven, so no code is sent")
        with closing(attempts.Attempts(self._user.pw_uid)):
            sent.keep(self._user.pw_uid, self._login)
        self._look()
        usable = [each for each in self._methods if each in self._contacts or self._is_app(each)]
        lines = []
        if usable[:1] not in ([], [TOTP]):
            lines.append(self._send_or_say(usable.pop(0)))
        return lines + [self._offer(kind) for kind in usable if kind != TOTP]

    def go_on(self, kind: str) -> list[str]:
        """What the user is told who typed "sms" or "mail": once more what can be typed, if no code
        can be sent so. Raises OSError or Failure."""
        self._look()
        if self._wait > 0:  # as the gate, which then looks at no proof
            audit.write(self._request, "ask", THROTTLED, f"{self._wait} s to wait", device=kind)
            return [self._settings.message("wait", seconds=self._wait)]
        usable = [each for each in self._methods if each in self._contacts]
        if kind in usable:
            return [self._send_or_say(kind)]
        detail = f"no code can be sent to this user by {kind}"
        audit.write(self._request, "ask", SEND_FAILED, detail, device=kind)
        return [self._offer(each) for each in usable]

    def _look(self) -> None:
        """Looks how long the user has to wait after incorrect codes, and what the store of a fleet
        knows of the user. Raises Failure where no code may be sent to such a user."""
        user, settings = self._user, self._settings
        if settings.store != FLEET:
            _, failures = attempts.look(user.pw_uid)
            self._wait = whole_seconds(wait_seconds(failures, boot_seconds(), settings.limits))
            return
        self._state, self._wait = in_fleet.look(user, is_enforced=enforced.is_set(user.pw_uid))
        if not in_fleet.may_be_sent_codes(user, self._state):
            detail = "had an app here that the store does not know, so no code is sent"
            raise Failure(SECRET_MISSING, detail)

    def _is_app(self, method: str) -> bool:
        """Whether it is the app's, and the user has a secret that can be read."""
        if self._settings.store == FLEET:
            return method == TOTP and self._state == ENROLLED
        try:
            secret = SecretDir(self._user, self._settings.store).read(SECRET)
            return method == TOTP and secret is not None
        except Failure:
            return False  # such as a home that is locked

    def _send_or_say(self, kind: str) -> str:
        """Sends a code by "sms" or "mail"; what the user is told. A failure is logged, and the
        other methods are still there. Raises OSError."""
        try:
            return self._send(kind)
        except Failure as failure:
            audit.write(self._request, "ask", failure.reason, failure.detail, device=kind)
            return self._settings.message("not_sent")

    def _offer(self, kind: str) -> str:
        address = masked(self._contacts[kind].address)
        return self._settings.message("send", address=address, method=kind)

    def _send(self, kind: str) -> str:
        """As _send_or_say. Raises OSError or Failure."""
        # Most users who could be sent a code have an app, and wait for none of this.
        from pam_totp.sending import limits
        from pam_totp.sending.hand_over import hand_over
        from pam_totp.sending.message import new_code, new_message

        user, settings = self._user, self._settings
        code = new_code()
        limits.count(user.pw_uid, settings)
        with closing(attempts.Attempts(user.pw_uid)):
            # A command may have changed it since this login began, and makes what is kept void.
            contact = contacts.read(user).get(kind)
            if contact is None:
                raise Failure(SEND_FAILED, f"the contact for {kind} was removed meanwhile")
            sent.keep(user.pw_uid, self._login, kind, code)
        address = contact.address
        message = new_message(kind, address, code, user.pw_name, self._request.service, settings)

        def log(fault: str) -> None:
            audit.write(self._request, "ask", SEND_FAILED, fault, device=kind)

        fault = hand_over(message, settings, log)
        if fault:
            raise Failure(SEND_FAILED, fault)
        detail = f"a code is sent to {masked(address)}"
        audit.write(self._request, "ask", SENT_CODE, detail, device=kind)
        return settings.message("sent", address=masked(address))
