# SPDX-License-Identifier: MIT
"""A code on its way: to whom, and in which words."""

import json
import secrets
import socket

from pam_totp.records.config.settings import Settings
from pam_totp.records.user.sent import DIGITS
from pam_totp.rules.masked import masked
from pam_totp.rules.policy import SMS
from pam_totp.rules.record import Record

MAX_COUNTRY_DIGITS = 3  # E.164


class Message(Record):
    """kind: "sms" or "mail"; to: the address; code: its digits; text: for the person, with the
    code; user, service, host: of the login."""

    kind: str
    to: str
    code: str
    text: str
    user: str
    service: str
    host: str

    def as_json(self) -> bytes:
        """One line, in ASCII: what a program of the administrator's reads."""
        return json.dumps({"version": 1, **vars(self)}).encode("ascii") + b"\n"

    def as_mail(self) -> bytes:
        """A whole mail (RFC 5322), from the account that sends it. RFC 3834: nobody answers it."""
        from email.message import EmailMessage  # a text message does not wait for it
        from email.policy import SMTP
        from email.utils import formatdate, make_msgid

        mail = EmailMessage(policy=SMTP)
        mail["To"] = self.to
        mail["Subject"] = f"Verification code for {self.host}"
        mail["Date"] = formatdate()
        mail["Message-ID"] = make_msgid(domain=socket.gethostname())  # `host` may be any words
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(f"{self.text}\n")
        return mail.as_bytes(policy=SMTP.clone(linesep="\n"))

    def hide_in(self, text: str) -> str:
        """What a program says, without the code and the address: as they are, in a URL, or one
        digit after the other, whatever is between them."""
        import re  # hardly any program fails
        from urllib.parse import quote

        text = re.sub(_spread(self.code), "…", text)
        for written in (self.to, quote(self.to, safe=""), self.to.removeprefix("+")):
            text = re.sub(re.escape(written), masked(self.to), text, flags=re.IGNORECASE)
        if self.kind == SMS:
            digits = self.to.removeprefix("+")
            for country in range(MAX_COUNTRY_DIGITS + 1):
                text = re.sub(f"0?{_spread(digits[country:])}", "…", text)
        return text


def _spread(digits: str) -> str:
    """A pattern of them with something in between, each as it is or as the number of its
    character, in decimal or hex."""
    return r"\D{0,40}".join(rf"(?:(?:(?:00)?3)?{each}|{ord(each)})" for each in digits)


def new_code() -> str:
    """A random one."""
    return f"{secrets.randbelow(10**DIGITS):0{DIGITS}}"


def new_message(
    kind: str, to: str, code: str, user: str, service: str, settings: Settings
) -> Message:
    """The one that brings a code. The code comes first where the administrator's text lacks it."""
    host = settings.values["issuer"] or socket.gethostname()
    text = settings.message("code", code=code, host=host)
    if code not in text:
        text = f"{code} {text}"
    return Message(kind=kind, to=to, code=code, text=text, user=user, service=service, host=host)
