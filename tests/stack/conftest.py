# SPDX-License-Identifier: MIT
"""Stacks of a few lines for the tests of this folder.

pytest reads this file before tests/conftest.py has said where to import from: hence late imports.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.host.accounts import User
    from tests.stack.libpam import Outcome


@pytest.fixture
def drive(tmp_path: Path) -> Callable[..., Outcome]:
    """`drive([line, …], user, [answer, …], service="console", …)`: one login."""
    from tests.stack import libpam

    def log_in(
        lines: list[str],
        user: User | None,
        answers: list[str | None],
        service: str = "console",
        **arguments: Any,
    ) -> Outcome:
        folder = libpam.write_services(tmp_path / "pam", {service: "\n".join([*lines, ""])})
        name = user.name if user else None
        return libpam.authenticate_apart(folder, service, name, answers, **arguments)

    return log_in
