# SPDX-License-Identifier: MIT
"""pam-totp(1) describes every key that --json prints. (Those of confirm: test_trial.)"""

from collections.abc import Callable

import pytest

from tests.commands.commands import keys_not_in_manual, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential


@pytest.mark.parametrize(
    "arguments",
    [
        *(["users"], ["doctor"], ["migrate", "--all"], ["explain", "USER", "--service", "su"]),
        *(["explain", "USER"], ["enable", "su", "--dry-run"], ["disable", "--all", "--dry-run"]),
    ],
)
def test_manual_describes_every_key(
    user: User, enrolled: Callable[..., Credential], arguments: list[str]
) -> None:
    enrolled(user)
    words = [user.name if each == "USER" else each for each in arguments]
    output = pam_totp(*words, "--json").output
    assert keys_not_in_manual(words[0], output) == set()


def test_manual_describes_every_key_of_status(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    assert keys_not_in_manual("status", pam_totp("status", "--json", user=user).output) == set()
