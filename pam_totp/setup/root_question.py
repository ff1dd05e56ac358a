# SPDX-License-Identifier: MIT
"""Asks what becomes of root's login with a key, where nobody has chosen it."""

import dataclasses

from pam_totp.enrollment.terminal import ask, say
from pam_totp.errors import Error, UsageError
from pam_totp.setup.person import Person
from pam_totp.setup.sshd_settings import ROOT_CODE, ROOT_KEY, ROOT_NO

TRIES = 3


@dataclasses.dataclass(frozen=True)
class RootQuestion:
    """again: the command that has an answer. is_possible: whether somebody could answer."""

    again: str
    is_possible: bool

    def __call__(self, person: Person) -> str:
        """ROOT_CODE, ROOT_KEY or ROOT_NO. Raises Error."""
        if not self.is_possible:
            message = (
                "root logs in with a key, and PermitRootLogin would refuse root, because a code is "
                "asked for through PAM; choose --root code, key or no"
            )
            raise UsageError(message, self.again)
        print("root logs in with a key today. sshd would refuse root (PermitRootLogin), because")
        print("a code is asked for through PAM. How is root to log in?")
        print("  code  root enters a code after the key")
        print("  key   root logs in with the key alone, without a code")
        print("  no    root cannot log in over ssh")
        if person.name == "root" and person.address:
            print("You are logged in as root: with 'no' you could not come back in this way.")
        for _ in range(TRIES):
            answer = ask("root [code/key/no]: ").strip().lower()
            if answer in (ROOT_CODE, ROOT_KEY, ROOT_NO):
                return answer
            say("Answer code, key or no.")
        raise Error("no choice for root; nothing was changed", self.again)
