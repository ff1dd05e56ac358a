# SPDX-License-Identifier: MIT
"""Every user's secret and recovery codes, by the code that reads them at a login."""

import pwd
import re
import shlex
from collections.abc import Iterator
from typing import Any

from pam_totp.records.config.settings import FLEET
from pam_totp.records.user import contacts, counters, enforced, grant, recovery
from pam_totp.review.doctor.findings import AT_RISK, REFUSED, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.doctor.required import refused_at
from pam_totp.review.everybody import names
from pam_totp.review.guessing import MAX_CHANCE, chance_with, percent
from pam_totp.review.looking import NO_ANSWER_WORDS
from pam_totp.review.sent_codes import accepted_by
from pam_totp.review.user_row import is_person, may_log_in
from pam_totp.review.user_rows import MIN_SECRET_BYTES, user_rows

FEW_CODES = 2
MAX_NAMES = 3  # of users with the same fault, before the rest is only counted
# Which fault is of which kind: the first that is found in the text.
KINDS = {
    "does not exist, so it cannot hold": "home-missing",
    NO_ANSWER_WORDS: "home-silent",
    "in the other store": "secret-elsewhere",
    "the secret is missing": "secret-missing",
    "is still on this host and not in the store": "secret-left-behind",
    "the store knows of no enrollment": "not-in-the-fleet",
    "the store is older": "store-older",
    "encrypted and locked": "home-locked",
    "is the home mounted": "home-not-mounted",
    "grant of user id": "grant-unusable",
    "recovery is malformed": "recovery-unusable",
    "is owned by": "secret-owner",
    "is open to others": "secret-mode",
    "is writable by": "secret-folder-writable",
    "google-authenticator": "secret-of-another-program",
    f"{counters.KIND}/": "counters-unusable",
    f"{contacts.KIND}/": "contacts-unusable",
    "malformed; run: rm": "attempts-unusable",
}
WITHOUT_CODES = "recovery-codes-missing", "recovery-codes-few"
Person = tuple[pwd.struct_passwd, dict[str, Any]]


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    kinds = (enforced.KIND, grant.KIND, recovery.KIND, counters.KIND, contacts.KIND)
    records = {kind: names(kind) for kind in kinds}
    faulty: dict[str, list[Person]] = {}
    none: list[str] = []
    few: list[str] = []
    weak: list[str] = []
    guessed: dict[int, list[str]] = {}
    not_enrolled: list[str] = []
    for account, row, (secret_bytes, digits) in user_rows(host.accounts, host.active, records):
        is_out = row is None or row["enrolled"] is False
        if is_out and is_person(account) and may_log_in(account) and refused_at(account, host):
            not_enrolled.append(account.pw_name)
        if row is None:
            continue
        if row["fault"]:
            faulty.setdefault(kind_of(row["fault"]), []).append((account, row))
        # In a fleet recovery codes are looked after on a database server, for all hosts at once.
        # Users to whom codes are sent, and who have nothing else, have none.
        if row["enrolled"] and secret_bytes and host.active.store != FLEET:
            codes = row["recovery_codes_left"]
            if codes is not None and codes <= FEW_CODES:
                (few if codes else none).append(account.pw_name)
            if secret_bytes < MIN_SECRET_BYTES:
                weak.append(account.pw_name)
            # With new devices the same is a warning about the settings.
            if digits < int(host.active.values["code.digits"]):
                guessed.setdefault(digits, []).append(account.pw_name)
    for kind, people in faulty.items():
        yield from _of_faults(kind, people)
    yield from _of_codes(none, few)
    yield from _of_weak(weak)
    for digits in sorted(guessed):
        yield from _of_guessed(digits, guessed[digits], host)
    yield from _of_not_enrolled(not_enrolled, host)


def kind_of(fault: str) -> str:
    """The kind of finding for a fault that `pam-totp users` shows."""
    return next((kind for text, kind in KINDS.items() if text in fault), "secret-unusable")


def _of_faults(kind: str, people: list[Person]) -> Iterator[Finding]:
    shown = people[:1] if len(people) > MAX_NAMES else people
    for account, row in shown:
        fault, _, repair = str(row["fault"]).partition("; run: ")
        more = f" (and {len(people) - 1} more)" if len(people) > len(shown) else ""
        yield Finding(
            severity=REFUSED,
            kind=kind,
            what=f"{account.pw_name}: {fault}{more}",
            consequence="Logins of this user that may need a code are refused.",
            command=_repair(kind, repair, account, fault),
        )


def _repair(kind: str, repair: str, account: pwd.struct_passwd, fault: str) -> str:
    name = shlex.quote(account.pw_name)
    if kind == "home-missing":
        return f"mkhomedir_helper {name}"
    if kind == "secret-missing":
        return repair or f"pam-totp reset {name}"
    if kind == "secret-of-another-program":
        return f"pam-totp enroll --user {name}"
    if kind == "recovery-unusable":
        path = shlex.quote(fault.removesuffix(" is malformed"))
        return f"rm {path} && pam-totp recovery-codes --user {name}"
    repair = re.sub(r"\bUSER\b", name, repair)
    if repair.startswith("chown ") and kind == "secret-owner":
        repair = repair.replace("chown -h", "chown").replace("chown", "chown -h", 1)
    return repair or f"pam-totp explain {name}"


def _of_codes(none: list[str], few: list[str]) -> Iterator[Finding]:
    texts = ("have no recovery codes", f"have at most {FEW_CODES} recovery codes left")
    for kind, people, what in zip(WITHOUT_CODES, (none, few), texts, strict=True):
        if people:
            yield Finding(
                severity=AT_RISK,
                kind=kind,
                what=f"enrolled users who {what}: {_listed(people)}",
                consequence="Without the phone they cannot log in until root helps them.",
                command=f"pam-totp recovery-codes --user {shlex.quote(people[0])}",
            )


def _of_weak(people: list[str]) -> Iterator[Finding]:
    if people:
        yield Finding(
            severity=AT_RISK,
            kind="secret-weak",
            what=f"users whose secret has fewer than {MIN_SECRET_BYTES * 8} bits: "
            f"{_listed(people)}",
            consequence="A secret that short can be found from a few codes (RFC 4226, section 4).",
            command=f"pam-totp enroll --user {shlex.quote(people[0])}",
        )


def _of_guessed(digits: int, people: list[str], host: Host) -> Iterator[Finding]:
    is_sent = bool(accepted_by(host.rules))
    chance = chance_with(host.active.values, is_sent=is_sent, digits=digits)
    if chance is not None and chance > MAX_CHANCE:
        yield Finding(
            severity=AT_RISK,
            kind="codes-short",
            what=f"users with a device whose codes have {digits} digits, fewer than code.digits: "
            f"{_listed(people)}",
            consequence=f"A guesser who knows the password has a {percent(chance)} chance to "
            "log in within 30 days.",
            command=f"pam-totp enroll --user {shlex.quote(people[0])}",
        )


def _of_not_enrolled(people: list[str], host: Host) -> Iterator[Finding]:
    if people:
        more = host.invitation_words
        if accepted_by(host.rules):
            more += " A contact is enough where codes may be sent: see `pam-totp contact`."
        yield Finding(
            severity=REFUSED,
            kind="users-not-enrolled",
            what=f"users who must enter a code and have not enrolled: {_listed(people)}",
            consequence=f"Their logins are refused.{more}",
            command=f"pam-totp enroll --user {shlex.quote(people[0])}",
        )


def _listed(people: list[str]) -> str:
    more = f" and {len(people) - MAX_NAMES} more" if len(people) > MAX_NAMES else ""
    return ", ".join(people[:MAX_NAMES]) + more
