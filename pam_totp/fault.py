"""The one error that commands raise for people, and how it reads on a terminal."""


class Fault(Exception):
    """What is wrong, and the next command to type. Caught once, in pam_totp.command.main."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
