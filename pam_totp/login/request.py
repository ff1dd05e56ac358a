"""What pam_exec tells of a login: six variables of the environment, and nothing else is read."""

import posix


class Request:
    """Who wants in (user), where (service, tty), from where (rhost, ruser).

    publickey: sshd, and no other service, reports that a public key has passed already.
    """

    __slots__ = ("publickey", "rhost", "ruser", "service", "tty", "user")

    def __init__(self, environment: dict[bytes, bytes]) -> None:
        def value(name: bytes) -> str:
            return environment.get(name, b"").decode("utf-8", "surrogateescape")

        self.user = value(b"PAM_USER")
        self.service = value(b"PAM_SERVICE")
        self.rhost = value(b"PAM_RHOST")
        self.tty = value(b"PAM_TTY")
        self.ruser = value(b"PAM_RUSER")
        methods = value(b"SSH_AUTH_INFO_0").split("\n") if self.service == "sshd" else []
        self.publickey = any(method.startswith("publickey ") for method in methods)

    def audit_fields(self, device: str, detail: str) -> list[tuple[str, str]]:
        """The fields of an audit line about this request."""
        fields = [
            ("user", self.user),
            ("service", self.service),
            ("rhost", self.rhost),
            ("device", device),
        ]
        return [*fields, ("detail", detail)] if detail else fields


def from_environment() -> Request:
    """The request of this process."""
    return Request(posix.environ)
