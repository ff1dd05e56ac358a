# SPDX-License-Identifier: MIT
"""Users whom sshd would let in by a key only, and who have none."""

from collections.abc import Iterator

from pam_totp.review.everybody import accounts
from pam_totp.review.in_time import each_in_time
from pam_totp.review.user_row import is_person, may_log_in
from pam_totp.setup.authorized_keys import has_key
from pam_totp.setup.judge_sshd import PASSWORD, SOMEBODY, first_of
from pam_totp.setup.proof import KEY_ONLY
from pam_totp.setup.sshd_copy import Copy
from pam_totp.setup.sshd_settings import Choices
from pam_totp.stack import sshd
from pam_totp.stack.sshd_match import Login

MAX_SHOWN = 12
_ANYBODY = Login("nobody")


def notes_of_keyless(before: Copy, after: Copy, choices: Choices) -> Iterator[str]:
    """Who could not log in any more, in sentences. Raises Unknown."""
    for name in choices.exempt:
        if not has_key(Login(name), after.settings_of(Login(name))):
            yield f"{name} has no key, and with the key alone could not log in over ssh any more."
    accepted = map(first_of, sshd.ways(before.settings_of(_ANYBODY), SOMEBODY))
    if choices.first_factor != KEY_ONLY or PASSWORD not in accepted:
        return
    settings = after.settings_of(_ANYBODY)
    names = [
        each.pw_name
        for each in accounts(set())
        if is_person(each) and may_log_in(each) and each.pw_name not in choices.exempt
    ]
    looks = each_in_time(names, lambda name: has_key(Login(name), settings))
    keyless = [name for name, answer in looks if answer is False]
    more = f" and {len(keyless) - MAX_SHOWN} more" if len(keyless) > MAX_SHOWN else ""
    if keyless:
        listed = ", ".join(keyless[:MAX_SHOWN]) + more
        yield f"Without a key, these users could not log in over ssh any more: {listed}."
