# SPDX-License-Identifier: MIT
"""`~/.google_authenticator`, as pam_google_authenticator reads it. Pure.

The first line is the secret; then options, lines that begin with a quotation mark and a space; then
scratch codes of eight digits. Of an option that is there twice the first one counts.
"""

import re

from pam_totp.imports.found import HOTP, Found, Import, Unusable, kept_step, number
from pam_totp.rules.credential import Malformed, decode_base32

NAME = ".google_authenticator"
MAX_CODES = 100  # the command makes up to 10
MAX_SKEW_STEPS = 25 * 60  # as far as the module looks

_OPTION = re.compile(r'" ([A-Z_]{1,30}[0-9]?)(?:[ \t]+(.*))?')
_SCRATCH_CODE = re.compile(r"[ \t]*\+?0*([1-9][0-9]{7})")
_MISREAD = str.maketrans("018", "OLB")
_INSTEAD = "replaced by the setting {}"
_OTHERS = "neither an option nor a valid scratch code; of no use there either"
_KNOWN = {
    "TOTP_AUTH": "kept: codes by time",
    "HOTP_COUNTER": "kept: codes by counter; the next one is number {}",
    "STEP_SIZE": "kept: {} seconds",
    "WINDOW_SIZE": _INSTEAD.format("code.window"),
    "RATE_LIMIT": _INSTEAD.format("throttle"),
    "DISALLOW_REUSE": "kept, as every code is accepted once",
    "TIME_SKEW": "not kept: the phone's clock differs by {} time steps, which is accepted here",
    "RESETTING_TIME_SKEW": "not kept: a difference between clocks is never learnt here",
    "LAST": _INSTEAD.format("remember"),
}


def read(content: bytes, now: float, window_steps: int) -> Import:
    """What the file gives its user; `now`: Unix seconds. Raises Unusable."""
    if b"\0" in content or not content.isascii():
        raise Unusable("the file holds bytes that are not ASCII text")
    first, *rest = re.split("[\r\n]+", content.decode("ascii"))
    options, codes, others = _read_lines(rest)
    if ("TOTP_AUTH" in options) == ("HOTP_COUNTER" in options):
        both = "both TOTP_AUTH and" if "TOTP_AUTH" in options else "neither TOTP_AUTH nor"
        raise Unusable(f"the file has {both} HOTP_COUNTER")
    values = {"HOTP_COUNTER": "1", "STEP_SIZE": "30", "TIME_SKEW": "0", "DISALLOW_REUSE": ""}
    values |= options
    if "TOTP_AUTH" in options:
        period = number(values["STEP_SIZE"], "STEP_SIZE", 1, 60)
        _refuse_skew(values["TIME_SKEW"], period, window_steps)
        step = _used_step(values["DISALLOW_REUSE"], period, now)
        found = Found(secret=_secret(first), period=period, used_step=step)
    else:
        counter = number(values["HOTP_COUNTER"], "HOTP_COUNTER", 1)
        found = Found(secret=_secret(first), kind=HOTP, counter=counter)
    told = [("secret", f"kept: {len(found.secret) * 8} bits")]
    told += [(name, _fate(name).format(values[name])) for name in options]
    told += [("scratch codes", f"kept as recovery codes: {len(codes)}")] if codes else []
    told += [(f"other lines: {others}", _OTHERS)] if others else []
    return Import(credentials=(found,), codes=tuple(codes), options=tuple(told))


def _secret(text: str) -> bytes:
    """As that program reads it, which takes 0, 1 and 8 for letters. Raises Unusable."""
    try:
        return decode_base32(text.translate(_MISREAD).replace("\t", ""))
    except Malformed:
        raise Unusable("line 1 is not a secret in base32") from None


def _read_lines(lines: list[str]) -> tuple[dict[str, str], list[str], int]:
    """The options, the scratch codes, and how many lines are neither. Behind the first of these
    that program reads no scratch code."""
    options: dict[str, str] = {}
    codes: list[str] = []
    others = 0
    for line in lines:
        option, code = _OPTION.fullmatch(line), _SCRATCH_CODE.fullmatch(line)
        if option:
            options.setdefault(option[1], (option[2] or "").strip())
        elif code and not others:
            codes.append(code[1])
        elif line and not line.startswith('"'):
            others += 1
    if len(codes) > MAX_CODES:
        raise Unusable(f"the file has more than {MAX_CODES} scratch codes")
    return options, codes, others


def _fate(name: str) -> str:
    known = "LAST" if re.fullmatch("LAST[0-9]", name) else name
    return _KNOWN.get(known, "not kept: an unknown option")


def _refuse_skew(text: str, period: int, window_steps: int) -> None:
    """Raises Unusable if a login here would not accept the codes of this phone."""
    steps = number(text.removeprefix("-"), "TIME_SKEW", 0, MAX_SKEW_STEPS)
    if steps > window_steps:
        apart = f"{steps * period} s {'behind' if text.startswith('-') else 'ahead'} (TIME_SKEW)"
        message = f"the phone's clock is {apart}, so that no code of it would be accepted"
        raise Unusable(message, "set the phone's clock, and remove the line TIME_SKEW")


def _used_step(text: str, period: int, now: float) -> int:
    """The last time step of which a code was used. Raises Unusable."""
    steps = [number(each, "DISALLOW_REUSE") for each in text.split()]
    return max((kept_step(each, period, now) for each in steps), default=-1)
