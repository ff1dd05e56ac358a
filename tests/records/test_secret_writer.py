# SPDX-License-Identifier: MIT
"""Saving into a folder that its user has filled."""

import os
import pwd
import tracemalloc

from pam_totp.records.storage import secret_writer
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import secret
from tests.commands.commands import secret_of
from tests.host.accounts import User

MANY = 10_000
NAME = "x" * 200


def test_names_that_a_user_puts_there_take_no_memory_of_root_s(user: User) -> None:
    user.give(secret_of(user), "")
    folder = secret_of(user).parent
    left = folder / "secret.new-0123456789abcdef"
    user.give(left, "")
    for number in range(MANY):
        os.close(os.open(folder / f"{NAME}{number}", os.O_CREAT))
    tracemalloc.start()
    try:
        secret_writer.save(SecretDir(pwd.getpwnam(user.name)), [(secret.NAME, b"new")])
        assert tracemalloc.get_traced_memory()[1] < MANY * len(NAME) // 2
    finally:
        tracemalloc.stop()
    assert secret_of(user).read_bytes() == b"new" and not left.exists()
    assert len(os.listdir(folder)) == MANY + 2
