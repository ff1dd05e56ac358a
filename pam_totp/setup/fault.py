# SPDX-License-Identifier: MIT
"""Why codes cannot be turned on at a service. Pure."""

import dataclasses

from pam_totp.stack.lines import Line


@dataclasses.dataclass(frozen=True)
class Fault:
    """Why codes cannot be turned on: a sentence, and the lines that lead there.

    is_open: it is a way in without a code; else somebody would be refused, or asked too early.
    culprit: the line that would have to be another one, if one is to blame.
    """

    what: str
    lines: tuple[str, ...] = ()
    is_open: bool = False
    culprit: Line | None = None

    @property
    def words(self) -> str:
        """The sentence, with the last of the lines."""
        return "; ".join([self.what, *self.lines[-2:]])
