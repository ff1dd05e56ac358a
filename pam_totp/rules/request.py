# SPDX-License-Identifier: MIT
"""A login as pam_exec describes it: six variables of the environment. Pure."""

from pam_totp.rules.record import Record


class Request(Record):
    """Who logs in (user), where (service, tty), from where (rhost, ruser).

    key: the public key that sshd, and only sshd, reports as accepted; else empty.
    """

    user: str
    service: str
    rhost: str = ""
    ruser: str = ""
    tty: str = ""
    key: str = ""
