# SPDX-License-Identifier: MIT
"""What sshd's settings for one class of logins keep from being asked or entered. Pure."""

from collections.abc import Iterator, Mapping

from pam_totp.review.doctor.findings import AT_RISK, OPEN, REFUSED, Finding
from pam_totp.stack import sshd

MAIN = "/etc/ssh/sshd_config"
# To find the phone, open the app and wait for the next code. OpenSSH's default is 120.
MIN_GRACE_SECONDS = 60
# One more key than most people have: each one that a client offers in vain is a failure.
MIN_FAILURES = 3
# Of security keys: sshd refuses one that nobody touched, or that did not ask for a PIN.
TOUCHED, VERIFIED = "touch-required", "verify-required"
USUAL_TRIES = 3  # of the module


def of_class(
    who: str,
    settings: Mapping[str, str],
    tries: int,
    is_combined: bool,
    trusts_keys: bool = False,
    *,
    secrets_are_roots: bool = False,
) -> Iterator[Finding]:
    """What is wrong with sshd's settings for one class of users. tries: of the pam_totp.so line.
    trusts_keys: a rule asks for no code after a security key."""
    if settings.get("usepam") != "yes":
        yield Finding(
            severity=OPEN,
            kind="sshd-without-pam",
            what="sshd has UsePAM no",
            consequence="Its PAM stack is not used, so no code is asked for over ssh.",
            command=set_first("UsePAM yes"),
        )
        return
    ways = sshd.ways(dict(settings), 1000)
    asking = [way for way in ways if sshd.asks_pam(way)]
    can_ask = any("keyboard-interactive" in way for way in asking)
    if settings.get("kbdinteractiveauthentication") != "yes" and not is_combined:
        yield Finding(
            severity=REFUSED,
            kind="sshd-cannot-ask",
            what=f"sshd has KbdInteractiveAuthentication no for {who}, so it cannot ask for a code",
            consequence="Users who need a code are refused over ssh.",
            command=set_first("KbdInteractiveAuthentication yes"),
        )
    elif can_ask and any("keyboard-interactive" not in way for way in asking) and not is_combined:
        yield Finding(
            severity=AT_RISK,
            kind="sshd-password-cannot-ask",
            what=f"sshd accepts its method `password` for {who}, which cannot ask for a code",
            consequence="Programs that use it are refused, although password and code are correct.",
            command=set_first("PasswordAuthentication no"),
        )
    required = settings.get("pubkeyauthoptions", "").split()
    if trusts_keys and not {TOUCHED, VERIFIED} <= {*required}:
        yield _of_keys(who, is_verified=VERIFIED in required)
    if trusts_keys and secrets_are_roots and _are_in_homes(settings.get("authorizedkeysfile", "")):
        yield Finding(
            severity=AT_RISK,
            kind="sshd-keys-in-homes",
            what="a rule with `publickey: sk` asks for no code after a security key, and sshd "
            f"reads the keys of {who} in their homes, although secrets are root's (`store`)",
            consequence="A program that runs as a user can make a key of that type, add it there, "
            "and log in with it alone.",
            command=f"editor {MAIN}",
        )
    yield from _of_limits(who, settings, tries)


def _of_keys(who: str, is_verified: bool) -> Finding:
    kind, what = "sshd-keys-not-verified", "PIN or fingerprint"
    consequence = (
        f"A stolen key alone is enough to log in, unless authorized_keys has {VERIFIED} for it."
    )
    if is_verified:
        kind, what = "sshd-keys-not-touched", "touch"
        consequence = (
            "authorized_keys and certificates can spare users the touch (no-touch-required): then "
            "a program that knows the PIN can log in while the key is plugged in."
        )
    return Finding(
        severity=AT_RISK,
        kind=kind,
        what="a rule with `publickey: sk` asks for no code after a security key, and sshd requires "
        f"no {what} of that key for {who}",
        consequence=consequence,
        command=set_first(f"PubkeyAuthOptions {TOUCHED} {VERIFIED}"),
    )


def _of_limits(who: str, settings: Mapping[str, str], tries: int) -> Iterator[Finding]:
    failures = _number(settings.get("maxauthtries"))
    if failures is not None and failures < min(tries, MIN_FAILURES):
        yield Finding(
            severity=REFUSED,
            kind="sshd-max-auth-tries",
            what=f"sshd has MaxAuthTries {failures} for {who}; the pam_totp.so line allows {tries}",
            consequence="sshd counts each key that a client offers, and may disconnect before a "
            "code is asked for.",
            command=set_first("MaxAuthTries 6"),
        )
    seconds = _number(settings.get("logingracetime"))
    if seconds is not None and 0 < seconds < MIN_GRACE_SECONDS:
        yield Finding(
            severity=REFUSED,
            kind="sshd-login-grace-time",
            what=f"sshd has LoginGraceTime {seconds} (seconds)",
            consequence="It disconnects users before they have found the phone and typed a code.",
            command=set_first("LoginGraceTime 120"),
        )


def set_first(setting: str) -> str:
    """The command that puts a setting before all others: the first value wins."""
    return f"sed -i '1i {setting}' {MAIN}"


def _are_in_homes(files: str) -> bool:
    """Whether a list of AuthorizedKeysFile has one below a home."""
    names = (name for name in files.split() if name != "none")
    return any(not name.startswith("/") or "%h" in name for name in names)


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
