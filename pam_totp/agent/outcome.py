# SPDX-License-Identifier: MIT
"""How a question to the store can end without an answer."""

import time


class Unavailable(Exception):
    """The store did not answer; str() says why, for the log. What was asked may have been done."""


class HostRefused(Unavailable):
    """A server that runs refuses the role of this host: it was removed, or its password is another
    one now. That is an answer, so outage codes are not good."""


class Refused(Exception):
    """The store answered with an error of its own: a class of PostgreSQL's or of ours (P0T01 to
    P0T04), and its text."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(f"{message} ({sqlstate})")
        self.sqlstate = sqlstate


def left(until: float) -> float:
    """The seconds until a moment of time.monotonic(), at least 0."""
    return max(0.0, until - time.monotonic())
