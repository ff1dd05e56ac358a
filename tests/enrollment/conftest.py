# SPDX-License-Identifier: MIT
"""Commands on terminals of their own, for the tests of this folder."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.enrollment.person import Person


@pytest.fixture
def start() -> Iterator["Callable[..., Person]"]:
    """`start(user, "enroll", …)`: the command on a terminal, gone when the test ends."""
    from tests.enrollment.person import Person  # pytest reads this file before it knows `tests`

    persons: list[Person] = []

    def begin(*arguments: Any, **options: Any) -> Person:
        persons.append(Person(*arguments, **options))
        return persons[-1]

    yield begin
    for person in persons:
        person.end()
