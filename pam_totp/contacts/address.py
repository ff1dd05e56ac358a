# SPDX-License-Identifier: MIT
"""Where codes can be sent: numbers and mail addresses, as people write them. Pure.

- What is accepted MUST be one recipient and nothing else to a program that sends: no option, list,
  pipe or file.
"""

import re

from pam_totp.rules.policy import MAIL, SMS

# What people put between digits, in Unicode too: spaces, hyphens, dashes.
_BETWEEN = dict.fromkeys(map(ord, " -./()\u00a0\u2007\u2009\u202f\u2010\u2011\u2012\u2013"))
_NUMBER = re.compile(r"\+[1-9][0-9]{7,14}")
_TRUNK = re.compile(r"\(0\)")  # which nobody dials behind the country's code
# RFC 5322, section 3.2.3, without what mail servers route by or refuse: ! % / | and quotes.
_ATOM = "[A-Za-z0-9#$&*+=?^_{}~'-]+"
_LOCAL = re.compile(rf"(?!-){_ATOM}(?:\.{_ATOM})*")
_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}")
MAX_LOCAL, MAX_MAIL = 64, 254  # RFC 5321, section 4.5.3.1
LOCALHOST = ("localhost", "localhost.localdomain", "ip6-localhost")


class BadAddress(Exception):
    """message: why it is no address; meant: the one that is certain to be meant, or empty."""

    def __init__(self, message: str, meant: str = "") -> None:
        super().__init__(message)
        self.message, self.meant = message, meant

    @property
    def sentence(self) -> str:
        """Both, for people."""
        return f"{self.message}; did you mean {self.meant}?" if self.meant else self.message


def canonical(kind: str, text: str) -> str:
    """An address of this kind ("sms", "mail") as it is recorded. Raises BadAddress."""
    return {SMS: _number, MAIL: _mail}[kind](text.strip())


def is_on(address: str, host: str) -> bool:
    """Whether mail to this address stays on the host of this name, which the code protects."""
    domain = address.rpartition("@")[2]
    return "." not in domain or domain in (*LOCALHOST, host.lower())


def _number(text: str) -> str:
    """As in E.164: +, the country's code, the number."""
    digits = text.translate(_BETWEEN)
    if _TRUNK.search(text):
        without = _TRUNK.sub("", text).translate(_BETWEEN)
        raise BadAddress("the number has a 0 that is not dialled after +", _if_number(without))
    if _NUMBER.fullmatch(digits):
        return digits
    if digits.startswith("00"):
        raise BadAddress("the number must begin with +", _if_number(f"+{digits[2:]}"))
    if re.fullmatch("[0-9]+", digits):
        raise BadAddress("the number must begin with + and the code of its country")
    if re.fullmatch(r"\+[0-9]+", digits):
        raise BadAddress("the number must have 8 to 15 digits, of which the first is no 0")
    raise BadAddress("the number must be + and digits")


def _if_number(text: str) -> str:
    return text if _NUMBER.fullmatch(text) else ""


def _mail(text: str) -> str:
    local, at, domain = text.rpartition("@")
    domain = domain.lower()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise BadAddress("a mail address must be printable ASCII without spaces")
    if not at or "@" in local:
        raise BadAddress("a mail address must have one @")
    if len(local) > MAX_LOCAL or len(text) > MAX_MAIL:
        message = f"a mail address has at most {MAX_LOCAL} characters before the @"
        raise BadAddress(f"{message}, and {MAX_MAIL} in all")
    if not _LOCAL.fullmatch(local):
        raise BadAddress("what is before the @ is not the name of a mailbox")
    if not _DOMAIN.fullmatch(domain) or domain.rpartition(".")[2].isdigit():
        raise BadAddress("what is after the @ is not the name of a domain")
    return f"{local}@{domain}"
