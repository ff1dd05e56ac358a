# SPDX-License-Identifier: MIT
"""What `pam-totp users` lists at a login host of a fleet: the accounts of the host, as the store
knows them, with what the host itself remembers.

- What the store does not say MUST NOT be listed as "not enrolled".
"""

import os
import pwd
from collections.abc import Iterator, Sequence
from typing import Any

from pam_totp.records import fleet, fleet_of_commands
from pam_totp.records.config.settings import Settings
from pam_totp.records.fleet_of_commands import PersonStanding
from pam_totp.records.storage.secret_dir import SECRET, SecretDir, stores_of
from pam_totp.records.user import contacts, enforced, grant
from pam_totp.review import sent_codes
from pam_totp.review.in_time import NO_ANSWER, each_in_time
from pam_totp.review.looking import NO_ANSWER_WORDS
from pam_totp.review.user_row import (
    empty_row,
    fault_of_home,
    granted,
    last_code_at,
    may_log_in,
    told,
)
from pam_totp.review.visited import stat_file
from pam_totp.rules.agent_line import MAX_MANY_BYTES, MAX_PERSONS
from pam_totp.rules.reasons import Failure

Row = dict[str, Any]
_REFUSED = "so every login that requires a code is refused; on a database server, run: pam-totp"
_LEFT = (
    "a secret is still on this host and not in the store, so every login that requires a code is "
    "refused; run: pam-totp migrate --all --write FILE"
)
_FAULTS = {
    fleet.DISBELIEVED: "the store is older than one that this host has seen, "
    f"{_REFUSED} store restored",
    fleet.NOT_ENROLLED: "has logged in with a code here, and the store knows of no enrollment, "
    f"{_REFUSED} invite {{user}}",
}


def fleet_rows(
    accounts: Sequence[pwd.struct_passwd], active: Settings, records: dict[str, set[str]]
) -> Iterator[tuple[pwd.struct_passwd, Row | None]]:
    """Each account with its row, None if there is nothing to list. records: the user ids with a
    record of each kind. Raises Failure where the store does not answer."""
    standings = list(standings_of(accounts))
    faults = _left_behind([each for each, found in standings if not _is_enrolled(found)])
    for account, standing in standings:
        uid = str(account.pw_uid)
        is_recorded, is_granted = uid in records[enforced.KIND], uid in records[grant.KIND]
        fault, has_contacts = faults.get(account.pw_name, ""), uid in records[contacts.KIND]
        if not (is_recorded or is_granted or has_contacts or fault or _is_known(standing)):
            yield account, None
            continue
        row = empty_row(account.pw_name, account.pw_uid)
        row["last_code_at"] = last_code_at(account.pw_uid) if is_recorded else None
        if standing is not None:
            row |= _of_standing(standing, account, is_recorded=is_recorded)
        row["fault"] = fault or row["fault"]
        if has_contacts:
            _add_contacts(row, account, active)
        if is_granted:
            try:
                row |= granted(account.pw_uid)
            except Failure as failure:
                row["fault"] = row["fault"] or failure.detail
        yield account, row


def _add_contacts(row: Row, account: pwd.struct_passwd, active: Settings) -> None:
    """What they add, if codes may be sent to the user."""
    try:
        if row["enrolled"] is False and row["fault"] and enforced.is_only_sent(account.pw_uid):
            row["fault"] = ""
            row |= sent_codes.of_row(account, active, row)
            if not row["enrolled"]:
                row["fault"] = _FAULTS[fleet.NOT_ENROLLED].format(user=account.pw_name)
        elif not row["fault"]:
            row |= sent_codes.of_row(account, active, row)
    except Failure as failure:
        row["fault"] = row["fault"] or told(failure.detail, account)


def standings_of(
    accounts: Sequence[pwd.struct_passwd],
) -> Iterator[tuple[pwd.struct_passwd, PersonStanding | None]]:
    """Each account with its standing; None for a name that no store can have. Raises Failure."""
    portion: list[pwd.struct_passwd] = []
    size = 0
    for account in accounts:
        length = _length_of(account.pw_name)
        if not length:
            yield account, None
            continue
        if len(portion) == MAX_PERSONS or size + length > MAX_MANY_BYTES // 2:
            yield from _asked(portion)
            portion, size = [], 0
        portion.append(account)
        size += length
    yield from _asked(portion)


def _asked(
    portion: list[pwd.struct_passwd],
) -> Iterator[tuple[pwd.struct_passwd, PersonStanding | None]]:
    found = fleet_of_commands.standings([each.pw_name for each in portion])
    yield from zip(portion, found, strict=True)


def _length_of(name: str) -> int:
    """Of a name in a line to the agent, in bytes; 0 if no line can hold it."""
    is_name = name.isprintable() and len(name) <= 255
    return len(os.fsencode(name)) + 1 if name and is_name else 0


def _left_behind(accounts: Sequence[pwd.struct_passwd]) -> dict[str, str]:
    """By name, of users who are not enrolled: that a secret is still here, or cannot be looked for.
    Either refuses their logins."""

    def look(account: pwd.struct_passwd) -> str:
        try:
            stores = (SecretDir(account, store) for store in stores_of(account))
            return _LEFT if any(each.look(SECRET, stat_file) for each in stores) else ""
        except Failure as failure:
            is_open = may_log_in(account) and not fault_of_home(account)
            return told(failure.detail, account) if is_open else ""

    faults = {}
    for account, answer in each_in_time(accounts, look):
        fault = f"the home gives {NO_ANSWER_WORDS}" if answer is NO_ANSWER else answer
        if fault:
            faults[account.pw_name] = fault
    return faults


def _is_enrolled(standing: PersonStanding | None) -> bool:
    return standing is not None and standing.state == fleet.ENROLLED


def _is_known(standing: PersonStanding | None) -> bool:
    if standing is None:
        return False
    return standing.state != fleet.NOT_ENROLLED or standing.wait_seconds > 0


def _of_standing(standing: PersonStanding, account: pwd.struct_passwd, *, is_recorded: bool) -> Row:
    is_enrolled = _is_enrolled(standing)
    fault = _FAULTS.get(standing.state, "")
    if standing.state == fleet.NOT_ENROLLED and not is_recorded:
        fault = ""
    return {
        "enrolled": None if standing.state == fleet.DISBELIEVED else is_enrolled,
        "recovery_codes_left": standing.recovery_left,
        "waiting_seconds": standing.wait_seconds,
        "fault": fault.format(user=account.pw_name),
    }
