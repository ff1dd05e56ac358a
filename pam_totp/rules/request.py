# SPDX-License-Identifier: MIT
"""A login as pam_exec describes it: six variables of the environment. Pure."""

from pam_totp.rules.record import Record

_VARIABLES = (b"PAM_USER", b"PAM_SERVICE", b"PAM_RHOST", b"PAM_RUSER", b"PAM_TTY")


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


def read_request(environment: dict[bytes, bytes]) -> Request:
    """Who logs in, and where and how. Only sshd reports a key, in a variable that it alone sets."""
    user, service, rhost, ruser, tty, methods = (
        environment.get(name, b"").decode("utf-8", "surrogateescape")
        for name in (*_VARIABLES, b"SSH_AUTH_INFO_0")
    )
    keys = [method for method in methods.split("\n") if method.startswith("publickey ")]
    key = keys[0] if keys and service == "sshd" else ""
    return Request(user=user, service=service, rhost=rhost, ruser=ruser, tty=tty, key=key)
