# SPDX-License-Identifier: MIT
"""What each kind of value takes: a text to the one that the snapshot keeps. Pure.

YAML's own idea of a value (yes and no, octal numbers, dates) is never asked: only texts count.
"""

import ipaddress
import re
from collections.abc import Callable
from datetime import datetime

from pam_totp.rules.policy import LOCAL

MAX_MESSAGE_BYTES = 400  # a message of PAM has at most 512
PLACEHOLDER = re.compile(r"\{[^{}]*\}")
SECONDS = {"m": 60, "h": 3600}
# Each [ has its ], as pam_totp.rules.pattern reads them: a ] that comes first is a member.
NAME = r"(?=[^/]{1,255}$)(?:[^\[]|\[(?:!.|[^!])[^\]]*\])*"


def canonical(kind: str, text: str, *allowed: str) -> str:
    """The text as the snapshot keeps it. Raises ValueError or LookupError if it is not allowed."""
    pattern, convert = KINDS[kind]
    if not (text.isprintable() and re.fullmatch(pattern, text)):
        raise ValueError
    return convert(text, *allowed)


def _choice(text: str, *words: str) -> str:
    return {word.lower(): word for word in words}[text.lower()]


def _kind_of_key(text: str) -> str:
    return {"true": "yes", "false": "no"}.get(text.lower(), text.lower())


def _number(text: str, least: str, most: str) -> str:
    if not int(least) <= int(text) <= int(most):
        raise ValueError
    return str(int(text))


def _duration(text: str, max_hours: str) -> str:
    seconds = 0 if text == "off" else int(text[:-1]) * SECONDS[text[-1]]
    return _number(str(seconds), "0", str(int(max_hours) * SECONDS["h"]))


def _date(text: str) -> str:
    """The Unix time of that day's start in UTC."""
    return str(int(datetime.fromisoformat(f"{text}T00:00+00:00").timestamp()))


def _program(text: str, *names: str) -> str:
    """A name of those, or an absolute path."""
    return text if text.startswith("/") else _choice(text, *names)


def _message(text: str, *placeholders: str) -> str:
    unknown = set(PLACEHOLDER.findall(text)).difference(placeholders)
    if unknown or len(text.encode()) > MAX_MESSAGE_BYTES:
        raise ValueError
    return text


def _network(text: str) -> str:
    """As `pam_totp.rules.policy.is_within` reads it, or "local"."""
    if text == LOCAL:
        return text
    network = ipaddress.ip_network(text)
    first, prefix = network.network_address, network.prefixlen
    if isinstance(first, ipaddress.IPv6Address) and first.ipv4_mapped and prefix >= 96:
        first, prefix = first.ipv4_mapped, prefix - 96
    return f"{first.packed.hex()}/{prefix}"


# Of each kind: its pattern, and what makes the kept text (libpam has services in lower case). What
# people are told that a value must be is in pam_totp.review.allowed_values.
KINDS: dict[str, tuple[str, Callable[..., str]]] = {
    "choice": (".*", _choice),
    "mode": (".*", _choice),
    "kind of key": ("(?i:yes|true|no|false|sk)", _kind_of_key),
    "number": ("[0-9]{1,8}", _number),
    "duration": ("off|[1-9][0-9]{0,3}[mh]", _duration),
    "date": ("[0-9]{4}-[0-9]{2}-[0-9]{2}", _date),
    "label": ("[^:]{0,64}", str),
    "message": (".*[^ ].*", _message),
    "services": ("[A-Za-z0-9_.@+-]{1,255}", str.lower),
    "names": (NAME, str),
    "service names": (NAME, str.lower),
    "networks": ("[^%]*", _network),  # an interface would stand behind a %
    "methods": (".*", _choice),
    "program": ("[a-z-]+|/[!-~]{1,255}", _program),
}
