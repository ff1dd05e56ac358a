# SPDX-License-Identifier: MIT
"""Codes that are sent: what every test of them has."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import configured
from tests.sending.outbox import SENDS, TextMessage, forget_limits, new_text_messages


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """A rule that accepts every method."""
    with configured(SENDS, settled=True):
        yield


@pytest.fixture
def messages() -> Iterator[Callable[[], list[TextMessage]]]:
    """The text messages of this test, oldest first, as a real gammu-smsd would send them."""
    forget_limits()
    with new_text_messages() as look:
        yield look
    forget_limits()


@pytest.fixture
def kept() -> Iterator[Path]:
    """Where a gateway may leave what a test looks at."""
    folder = Path("/var/tmp/gateway")
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)
