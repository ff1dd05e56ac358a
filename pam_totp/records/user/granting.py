# SPDX-License-Identifier: MIT
"""Giving a grant (pam_totp.records.user.grant, which has the format). Never at a login."""

from pam_totp.records.storage.state_dir import VAR
from pam_totp.records.user.grant import KIND, Grant, name_of


def give(uid: int, grant: Grant) -> None:
    """Records a grant in place of any other. Raises OSError or Failure."""
    times = "ONCE" if grant.once else "MANY"
    line = f"pam-totp grant 1 {grant.since} {grant.until} {times} ".encode("ascii")
    VAR.write(KIND, uid, line + name_of(uid) + b"\n")
