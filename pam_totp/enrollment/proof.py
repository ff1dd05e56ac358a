# SPDX-License-Identifier: MIT
"""The code that proves that an app has the new secret, and what to do where there is none."""

import time
from collections.abc import Callable

from pam_totp.enrollment import display
from pam_totp.enrollment.terminal import ask, say
from pam_totp.errors import Error
from pam_totp.records.storage.secret_dir import SECRET, SecretDir
from pam_totp.rules.credential import Credential
from pam_totp.rules.ignored_parameters import ignored_parameters
from pam_totp.rules.otp import nearest_step, verdict_on
from pam_totp.rules.reasons import Failure
from pam_totp.rules.typed_code import read_code

TRIES = 10
# A phone set to another time zone by hand is off by up to 14 hours; looked at after an incorrect
# code.
SKEW_SECONDS = 14 * 3600
WINDOW_STEPS = 1


def prove(credential: Credential, command: str) -> None:
    """Returns once a code of the credential was typed. Raises Error after TRIES incorrect ones.
    command: the one that does it anew, to which options can be added."""
    for _ in range(TRIES):
        typed = ask("Code from the app: ")
        now = time.time()
        try:
            code = read_code(typed.encode("utf-8", "replace"))
        except Failure:
            say(f"A code is {credential.digits} digits.")
            continue
        if verdict_on([credential], code, now, {}).accepted:
            return
        say(what_is_wrong(credential, code, now, command))
    raise Error(f"{TRIES} incorrect codes; nothing was changed", command)


def what_is_wrong(
    credential: Credential, code: str, now: float, command: str, whose: str = "this machine's"
) -> str:
    """What may help a person whose app made an incorrect code. command: as for `prove`, empty where
    the parameters cannot be chosen; now, whose: of the clock that counts."""
    lines = []
    if len(code) != credential.digits:
        lines = [f"Codes of this secret have {credential.digits} digits, this one has {len(code)}."]
    ignored = ignored_parameters(credential, code, now, WINDOW_STEPS)
    if ignored:
        return "\n".join([*lines, f"Incorrect code: {ignored}.", _way_out(credential, command)])
    offset = nearest_step(credential, code, now, SKEW_SECONDS // credential.period)
    if offset:
        return display.describe_offset(offset * credential.period, now, whose)
    lines = lines or ["Incorrect code."]
    here = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    local = time.strftime(" (%Y-%m-%d %H:%M %Z)", time.localtime(now))
    if time.localtime(now).tm_gmtoff == 0:
        local = ""
    return "\n".join(
        [
            *lines,
            "Wait for the next one and try again, or press Ctrl-C to cancel.",
            f"{whose[0].upper()}{whose[1:]} clock says {here}{local}.",
            "Compare it with the phone's.",
        ]
    )


def _way_out(credential: Credential, command: str) -> str:
    if not command:
        return "Use another app, or press Ctrl-C to cancel."
    options = " ".join(options_without(credential))
    return f"Use another app, or press Ctrl-C and run:\n  {command} {options}"


def options_without(credential: Credential) -> list[str]:
    """Those that enroll an app that ignores parameters."""
    options = ["--digits", "6"] if credential.digits != 6 else []
    options += ["--period", "30"] if credential.period != 30 else []
    return options + (["--algorithm", "SHA1"] if credential.algorithm != "SHA1" else [])


class Unsaved:
    """`with` it, whatever is raised until the secret is saved also tells what to do in the app.

    is_kept: whether there was a secret, which nobody has replaced or removed meanwhile."""

    def __init__(self, is_kept: Callable[[], bool]) -> None:
        self._is_kept = is_kept

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None or not issubclass(kind, Error | KeyboardInterrupt):
            return
        text = "Delete the entry that you just scanned from the app."
        text += " The old one still works." if self._is_kept() else ""
        try:
            say(f"\n{text}" if issubclass(kind, KeyboardInterrupt) else text)
        except OSError:
            pass  # nobody reads it any more; what was raised says more


def is_kept(secret_dir: SecretDir, existing: bytes | None) -> bool:
    """For Unsaved, of a secret file. existing: what it held when the new secret was made."""
    try:
        return existing is not None and secret_dir.read(SECRET) == existing
    except Failure:
        return False
