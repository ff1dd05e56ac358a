# SPDX-License-Identifier: MIT
"""What an action of `pam-totp store` answers."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Answer:
    """values: what --json prints; lines: what is printed otherwise; code: the exit code."""

    values: dict[str, object]
    lines: list[str]
    code: int = 0
