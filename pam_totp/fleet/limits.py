# SPDX-License-Identifier: MIT
"""The limits of guessing and the parameters of new secrets, the same for every host."""

from collections.abc import Mapping

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

# The key of config.yaml, and the column of totp.setting.
COLUMNS = {
    "throttle.free_tries": "free_tries",
    "throttle.first_wait": "first_wait",
    "throttle.longest_wait": "longest_wait",
    "code.window": "window_steps",
    "code.digits": "digits",
    "code.period": "period",
    "code.algorithm": "algorithm",
}
_NUMBERS = {"code.algorithm"}.symmetric_difference(COLUMNS)


def copy_into_store(connection: psycopg.Connection[TupleRow], values: Mapping[str, str]) -> None:
    """Writes them into the store. values: of the settings, by their keys. Raises psycopg.Error."""
    pairs = [
        sql.SQL("{} = {}").format(
            sql.Identifier(column),
            sql.Literal(int(values[key]) if key in _NUMBERS else values[key].lower()),
        )
        for key, column in COLUMNS.items()
    ]
    connection.execute(sql.SQL("UPDATE totp.setting SET {}").format(sql.SQL(", ").join(pairs)))
