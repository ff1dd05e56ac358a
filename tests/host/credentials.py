# SPDX-License-Identifier: MIT
"""Enrolled users, written by hand, and their codes from an independent oracle: Debian's pyotp."""

import time
from collections.abc import Callable
from itertools import islice

import pyotp
import pytest

from tests.host.accounts import User

STEP_SECONDS = 30  # RFC 6238 section 4.1
APART_STEPS = 60  # a test that means one of these steps means no other of them
FAR_STEPS = 400  # no incorrect code is right anywhere near: the verifier tells a skewed clock apart


class Credential:
    """One secret of one user, and the codes a phone would show for it."""

    def __init__(self, user: User, secret: str) -> None:
        self.user = user
        self.secret = secret
        self._generator = pyotp.TOTP(secret)
        self._last_step = 0

    @staticmethod
    def step() -> int:
        return int(time.time()) // STEP_SECONDS

    def code_of(self, step: int) -> str:
        return str(self._generator.generate_otp(step))

    def code(self, step_offset: int = 0) -> str:
        """The code of the current step, or of one before or after it. May have been used."""
        return self.code_of(self.step() + step_offset)

    def fresh_code(self) -> str:
        """A code never handed out before, that the verifier takes now and in the next 30 seconds.

        The step is later than all before, so not used; and this one or the next, so within the
        window of one step even if a step passes on the way. Two are there at once: a third
        waits for the clock, up to 30 seconds. A new user costs less.
        """
        step = max(self.step(), self._last_step + 1)
        while step > self.step() + 1:
            time.sleep(step * STEP_SECONDS - STEP_SECONDS - time.time() + 0.01)
        self._last_step = step
        return self.code_of(step)

    def incorrect_code(self, index: int = 0) -> str:
        """A code of no step within hours of now; another one for every index."""
        now = self.step()
        near = {self.code_of(step) for step in range(now - FAR_STEPS, now + FAR_STEPS)}
        all_codes = (f"{number:06d}" for number in range(1000000))
        return next(islice((code for code in all_codes if code not in near), index, None))


def new_secrets(count: int = 1) -> list[str]:
    """Random secrets that show no code twice within half an hour to either side of now.

    Of single ones one in 140 does, and the code of one step would be judged as that of another.
    """
    while True:
        secrets, now = [pyotp.random_base32() for _ in range(count)], Credential.step()
        steps = range(now - APART_STEPS, now + APART_STEPS + 1)
        codes = {pyotp.TOTP(secret).generate_otp(step) for secret in secrets for step in steps}
        if len(codes) == count * len(steps):
            return secrets


def enroll(user: User, secret: str = "", device: str = "phone") -> Credential:
    """Write the user's secret file with one credential, as `pam-totp enroll` leaves it."""
    secret = secret or new_secrets()[0]
    line = f"otpauth://totp/server:{user.name}@server?secret={secret}&issuer=server {device}\n"
    user.give(user.home / ".config" / "pam-totp" / "secret", line)
    return Credential(user, secret)


@pytest.fixture
def enrolled() -> Callable[..., Credential]:
    """`enrolled(user)` or `enrolled(user, secret="…", device="…")`: the user's new credential."""
    return enroll


@pytest.fixture
def credential(user: User) -> Credential:
    """The one of `user`, who is enrolled."""
    return enroll(user)
