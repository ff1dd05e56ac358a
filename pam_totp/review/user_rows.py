# SPDX-License-Identifier: MIT
"""The rows of many users, whatever their homes do."""

import contextlib
import pwd
from collections.abc import Iterator, Sequence
from typing import Any

from pam_totp.records.config.settings import FLEET, Settings
from pam_totp.records.storage import state_dir
from pam_totp.review.everybody import names
from pam_totp.review.fleet_rows import fleet_rows
from pam_totp.review.in_place_of_codes import InPlaceOfCodes
from pam_totp.review.in_time import NO_ANSWER, each_in_time
from pam_totp.review.looking import silent_home
from pam_totp.review.user_row import TRIES, describe, empty_row
from pam_totp.review.visited import Above
from pam_totp.rules.credential import Credential
from pam_totp.rules.reasons import Failure

Row = dict[str, Any]
# Of the weakest of a user's secrets, 0 without any: its bytes, and the digits of its codes.
Weakest = tuple[int, int]
MIN_SECRET_BYTES = 16  # RFC 4226, section 4, R6
OF_THE_STORE = MIN_SECRET_BYTES, 8  # which makes them, and does not tell


def user_rows(
    accounts: Sequence[pwd.struct_passwd], active: Settings, records: dict[str, set[str]]
) -> Iterator[tuple[pwd.struct_passwd, Row | None, Weakest]]:
    """Each account with its row, and what is weakest of its secrets. Raises Failure where they are
    in the store of a fleet, and that does not answer."""
    if active.store == FLEET:
        for account, row in fleet_rows(accounts, active, records):
            yield account, row, OF_THE_STORE
        return
    above, in_place = Above(), InPlaceOfCodes()
    with contextlib.suppress(Failure, OSError):  # each look says what is wrong
        records = records | {TRIES: names("", state_dir.RUN)}

    def look(account: pwd.struct_passwd) -> tuple[Row | None, Weakest]:
        credentials: list[Credential] = []
        row = describe(account, active, records, credentials, above, in_place)
        shortest = min((len(each.secret) for each in credentials), default=0)
        return row, (shortest, min((each.digits for each in credentials), default=0))

    for account, answer in each_in_time(accounts, look):
        if answer is NO_ANSWER:
            fault = silent_home(account)
            yield account, empty_row(account.pw_name, account.pw_uid) | {"fault": fault}, (0, 0)
        else:
            yield account, *answer
