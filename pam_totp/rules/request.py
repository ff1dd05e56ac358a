"""A login as pam_exec describes it: six variables of the environment. Pure."""


class Request:
    """Who logs in (user), where (service, tty), from where (rhost, ruser).

    key: the public key that sshd, and only sshd, reports as accepted; else empty.
    """

    __slots__ = ("key", "rhost", "ruser", "service", "tty", "user")

    def __init__(self, environment: dict[bytes, bytes]) -> None:
        def value(name: bytes) -> str:
            return environment.get(name, b"").decode("utf-8", "surrogateescape")

        self.user = value(b"PAM_USER")
        self.service = value(b"PAM_SERVICE")
        self.rhost = value(b"PAM_RHOST")
        self.tty = value(b"PAM_TTY")
        self.ruser = value(b"PAM_RUSER")
        methods = value(b"SSH_AUTH_INFO_0").split("\n") if self.service == "sshd" else []
        keys = [method for method in methods if method.startswith("publickey ")]
        self.key = keys[0] if keys else ""

    def audit_fields(self, device: str, detail: str) -> list[tuple[str, str]]:
        """The fields of an audit line about this request."""
        fields = [("user", self.user), ("service", self.service), ("rhost", self.rhost)]
        fields.append(("device", device))
        return [*fields, ("detail", detail)] if detail else fields
