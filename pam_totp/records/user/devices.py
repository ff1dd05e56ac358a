# SPDX-License-Identifier: MIT
"""The devices of a secret file, and the file without one, with one more, or with another name.

For commands only. Beyond what a login needs, a line has the time when `pam-totp` made it, as the
parameter `added=` (20261129T1711Z, in UTC); `unconfirmed=` in its place where root made the secret,
and no code has proved that the user has it. A token whose clock was found again has the last time
step of which a code proved that, as `resynced=`. No app gets to see any of these.

- A line that is not changed MUST stay byte for byte: comments, faulty lines, those of other
  devices.
- Lines beyond those that a login tries MUST be seen here too: they count once others are gone.
"""

import calendar
import dataclasses
import re
import time
from base64 import b32encode
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from pam_totp.rules.credential import Credential, Malformed, parse_line

ID_DIGITS = 8
ADDED, UNCONFIRMED, FORMAT = "added", "unconfirmed", "%Y%m%dT%H%MZ"
OFFSET, RESYNCED = "offset", "resynced"
# What is left as it is in a URI: whatever is quoted there already, and all that divides nothing.
_PLAIN = "%:@+,;!$'()*~/"


@dataclasses.dataclass(frozen=True)
class Device:
    """line: its number in the file, from 0; uri: for an app; kind: of codes; since: when it was
    added (Unix seconds), None if that is not known; resynced: the last time step of the codes by
    which its clock was found again, -1 if it never was."""

    line: int
    credential: Credential
    uri: str
    kind: str
    since: int | None
    resynced: int = -1

    @property
    def name(self) -> str:
        """May be empty, and that of others too, where the file was written by hand."""
        return self.credential.device

    @property
    def id(self) -> str:
        """Names the secret without telling it: of devices with the same secret it is the same."""
        return self.credential.identity[:ID_DIGITS]


def devices_of(content: bytes | None) -> list[Device]:
    """The devices of a secret file, in its order; faulty lines are left out."""
    found = []
    for number, raw in enumerate((content or b"").split(b"\n")):
        line = _text_of(raw)
        if not line or line.startswith("#"):
            continue
        try:
            credential = parse_line(line)
        except Malformed:
            continue
        kind = line.partition("://")[2].partition("/")[0].lower()
        uri, own = _uri_and_own(line, kind, credential)
        step = own.get(RESYNCED, "")
        resynced = int(step) if re.fullmatch("[0-9]{1,18}", step) else -1
        since = moment_of(own.get(ADDED, own.get(UNCONFIRMED, "")))
        found.append(Device(number, credential, uri, kind, since, resynced))
    return found


def line_of(uri: str, name: str, now: float, how: str = ADDED) -> str:
    """The line of a device that is added now. how: ADDED or UNCONFIRMED."""
    moment = time.strftime(FORMAT, time.gmtime(now))
    return f"{uri}&{how}={moment} {name}".rstrip()


def with_line(content: bytes, line: str, old: Sequence[Device] = ()) -> bytes:
    """The file with one more line: in place of some devices, or else at its end."""
    lines = content.split(b"\n")
    if old:
        lines[old[0].line] = line.encode()
        return _without(lines, old[1:])
    return content + (b"" if content.endswith(b"\n") else b"\n") + f"{line}\n".encode()


def without(content: bytes, old: Iterable[Device]) -> bytes:
    """The file without some devices."""
    return _without(content.split(b"\n"), old)


def renamed(content: bytes, old: Iterable[Device], name: str) -> bytes | None:
    """The file with another name for some devices; None where it would be taken for a part of the
    URI."""
    lines = content.split(b"\n")
    for device in old:
        raw = lines[device.line]
        end = b"\r" if raw.endswith(b"\r") else b""
        head = raw.removeprefix("\ufeff".encode()).rstrip()
        if device.name:
            head = next(
                head[:at]
                for at in range(len(head))
                if head[at : at + 1] in (b" ", b"\t") and _text_of(head[at:]) == device.name
            )
        lines[device.line] = head + f" {name}".encode() + end
        try:
            read = parse_line(_text_of(lines[device.line]))
        except Malformed:
            return None
        if vars(read) != vars(device.credential) | {"device": name}:
            return None
    return b"\n".join(lines)


def with_numbers(content: bytes, old: Iterable[Device], numbers: dict[str, int]) -> bytes | None:
    """The file with other numbers for some parameters of devices; None if a line is written in a
    way in which that cannot be done."""
    lines = content.split(b"\n")
    for device in old:
        line = lines[device.line]
        for name, number in numbers.items():
            pair = f"{name}={number}".encode()
            known = re.compile(rb"(?<=[?&;])" + name.encode() + rb"=[^&#\s]*", re.IGNORECASE)
            line = known.sub(pair, line, 1) if known.search(line) else _inserted(line, pair)
        lines[device.line] = line
        wanted = {key: value for key, value in numbers.items() if key != RESYNCED}
        read = devices_of(line)
        if not read or vars(read[0].credential) != vars(device.credential) | wanted:
            return None
        if read[0].resynced != numbers.get(RESYNCED, device.resynced):
            return None
    return b"\n".join(lines)


def _inserted(line: bytes, pair: bytes) -> bytes:
    head, _, query = line.partition(b"?")
    return head + b"?" + pair + b"&" + query


def _without(lines: list[bytes], old: Iterable[Device]) -> bytes:
    gone = {device.line for device in old}
    return b"\n".join(line for number, line in enumerate(lines) if number not in gone)


def _text_of(raw: bytes) -> str:
    """A line, or a part of it, as parse_line reads it."""
    text = raw.decode("utf-8", "replace").removeprefix("\ufeff").strip()
    return text.replace("\t", " ").replace("&amp;", "&")


def _uri_and_own(line: str, kind: str, credential: Credential) -> tuple[str, dict[str, str]]:
    """The URI as an app gets it, whatever people have typed: with the key in one piece and without
    the parameters of our own, which are beside it."""
    head, _, rest = line.partition("?")
    query = rest.removesuffix(credential.device).partition("#")[0].strip()
    kept, own = [], {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name.lower() in (ADDED, UNCONFIRMED, OFFSET, RESYNCED):
            own[name.lower()] = value
        elif name.lower() == "secret":
            key = b32encode(credential.secret).decode("ascii").rstrip("=")
            kept.append(f"secret={key}")
        else:
            kept.append(quote(pair, safe=f"{_PLAIN}="))
    label = head.partition("://")[2].partition("/")[2]
    return f"otpauth://{kind}/{quote(label, safe=_PLAIN)}?{'&'.join(kept)}", own


def moment_of(text: str) -> int | None:
    """Unix seconds of a time in FORMAT, None if it is none."""
    if not re.fullmatch(r"[0-9]{8}T[0-9]{4}Z", text, re.ASCII):
        return None
    try:
        return calendar.timegm(time.strptime(text, FORMAT))
    except ValueError:
        return None
