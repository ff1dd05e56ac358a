# SPDX-License-Identifier: MIT
"""`pam-totp enroll --token`: a hardware token by its key, proved by a code of it.

One that was pressed before, or whose clock is off, is proved by two codes in a row.
"""

import argparse
import pwd
import time
from collections.abc import Sequence

from pam_totp.enrollment import token_key
from pam_totp.enrollment.terminal import say
from pam_totp.enrollment.two_codes import SKEW_SECONDS, asked
from pam_totp.enrollment.uri import host_name
from pam_totp.errors import Error, UsageError, again, command
from pam_totp.imports.found import found_of, uri_of
from pam_totp.records.config.settings import Settings
from pam_totp.records.user.devices import Device
from pam_totp.rules.credential import Credential
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.otp import WINDOW_STEPS, matching_steps
from pam_totp.rules.tokens import LOOK_AHEAD, MAX_COUNTER, RESYNC_REACH, expected, successive

NAME = "token"
TRIES = 10
PROMPT = "Code of the token: "


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp enroll` for tokens."""
    parser.add_argument("--token", action="store_true", help="add a hardware token by its key")
    parser.add_argument(
        "--key-file", metavar="FILE", help="with --token: the file of its key (-: standard input)"
    )
    parser.add_argument(
        "--hotp", action="store_true", default=None, help="with --token: codes by counter"
    )
    parser.add_argument(
        "--counter", type=_counter, metavar="N", help="with --hotp: the next counter (default: 0)"
    )


def refuse_options(options: argparse.Namespace) -> None:
    """Raises UsageError for options that do not go together."""
    needs = {"--key-file": options.key_file, "--hotp": options.hotp, "--counter": options.counter}
    for name, value in needs.items():
        if value is not None and not options.token:
            raise UsageError(f"{name} needs --token", token_key.HELP)
    if options.counter is not None and not options.hotp:
        raise UsageError("--counter needs --hotp", token_key.HELP)
    if options.hotp and options.period is not None:
        raise UsageError("codes by counter have no period", "leave out --period")
    if options.token and (options.users or options.group):
        raise UsageError("each token has a key of its own", "pam-totp enroll --token --user USER")
    if options.token and (options.png or options.svg or not options.qr):
        raise UsageError("there is no QR code of a token", "leave out --no-qr, --png and --svg")


def proved_uri(
    options: argparse.Namespace,
    account: pwd.struct_passwd,
    active: Settings,
    staying: Sequence[Device],
    accepted: dict[str, int],
) -> tuple[str, int]:
    """The URI of the token, and the counter or time step of the code that proved it. `staying`: the
    other devices; `accepted`: the last counters of tokens, as far as they are known. Raises
    Error."""
    names = ("hotp", "counter", "algorithm", "digits", "period")
    chosen = {name: getattr(options, name) for name in names}
    token = token_key.credential_of(token_key.read(options.key_file), chosen)
    for other in staying:
        if other.credential.identity == token.identity:
            message = f"this key is already that of {other.name or other.id!r}"
            raise Error(f"{message}; nothing was changed", command("devices", user=options.user))
    if token.counter is not None:
        last = _prove_counter(token, expected(token, accepted), options.user)
        token = Credential(**vars(token) | {"counter": last + 1})
    else:
        offset, last = _prove_clock(token, options.user)
        token = Credential(**vars(token) | {"offset": offset})
    issuer = options.issuer or active.values["issuer"] or host_name()
    label = options.label or f"{account.pw_name}@{host_name()}"
    return uri_of(found_of(token), label, issuer), last


def _prove_counter(token: Credential, start: int, user: str | None) -> int:
    """The counter of a code that was typed."""
    previous = ""
    for _ in range(TRIES):
        code = asked(token, PROMPT, "; --digits changes that")
        if not code:
            continue
        window = range(start, start + LOOK_AHEAD)
        found = max(matching_steps(token, code, window), default=-1)
        if found >= 0:
            return found
        reach = range(start, min(start + RESYNC_REACH, MAX_COUNTER - 1))
        first = successive(token, previous, code, reach) if previous not in ("", code) else None
        if first is not None:
            return first + 1
        say(f"Not one of the next {LOOK_AHEAD} codes{_fitting(token, code, user)}.")
        say("If the token was pressed before, press it again and enter the next code.")
        previous = code
    raise Error(f"{TRIES} incorrect codes; nothing was changed", again())


def _prove_clock(token: Credential, user: str | None) -> tuple[int, int]:
    """By how many steps the token's clock is ahead, and the time step of a code that was typed."""
    previous, reach_steps = "", SKEW_SECONDS // token.period
    for _ in range(TRIES):
        code = asked(token, PROMPT, "; --digits changes that")
        if not code:
            continue
        now = int(time.time() // token.period)
        window = range(now - WINDOW_STEPS, now + WINDOW_STEPS + 1)
        found = max(matching_steps(token, code, window), default=-1)
        if found >= 0:
            return 0, found
        around = range(max(0, now - reach_steps), now + reach_steps + 1)
        first = successive(token, previous, code, around) if previous not in ("", code) else None
        if first is not None:
            return first + 1 - now, first + 1
        say(f"Not a code of this moment{_fitting(token, code, user)}.")
        say("If the token's clock may be off, wait for its next code and enter that.")
        previous = code
    raise Error(f"{TRIES} incorrect codes; nothing was changed", again())


def _fitting(token: Credential, code: str, user: str | None) -> str:
    """Options with which the code would be correct, as the end of a sentence; empty if none."""
    now = time.time()
    for algorithm in ALGORITHMS:
        more = [] if algorithm == "SHA1" else ["--algorithm", algorithm]
        tried = Credential(**vars(token) | {"algorithm": algorithm})
        if matching_steps(tried, code, range(LOOK_AHEAD)) and token.counter is None:
            hotp = command("enroll --token", options=["--hotp", *more], user=user)
            return f", but of this: {hotp}"
        for period in (30, 60):
            step = int(now // period)
            window = range(step - WINDOW_STEPS, step + WINDOW_STEPS + 1)
            if matching_steps(tried, code, window):
                options = [*([] if period == 30 else ["--period", str(period)]), *more]
                totp = command("enroll --token", options=options, user=user)
                return f", but of this: {totp}"
    return ""


def _counter(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < MAX_COUNTER:
        return int(text)
    raise argparse.ArgumentTypeError(f"must be a number from 0 to {MAX_COUNTER - 1}")
