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
USUAL_TRIES = 3  # of the module


def of_class(
    who: str, settings: Mapping[str, str], tries: int, is_combined: bool
) -> Iterator[Finding]:
    """What is wrong with sshd's settings for one class of users. tries: of the pam_totp.so line."""
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
    yield from _of_limits(who, settings, tries)


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


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
