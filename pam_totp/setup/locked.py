# SPDX-License-Identifier: MIT
"""Accounts that sshd lets in by their key once it asks PAM.

Without PAM it refuses whoever is locked by `passwd -l`; with it, that is for pam_unix to say, which
looks at the password alone.
"""

import pwd
from collections.abc import Iterator, Mapping

from pam_totp.setup.authorized_keys import has_key
from pam_totp.setup.judge_sshd import Verdict
from pam_totp.stack.sshd_match import Login

SHADOW, LOCKED = "/etc/shadow", "!"


def judge_pam(was: Mapping[str, str]) -> Verdict:
    """Whether sshd may ask PAM, which it has to for a code."""
    if was.get("usepam") == "yes":
        return Verdict()
    locked = [name for name in _locked() if has_key(Login(name), was)]
    if locked:
        what = f"sshd needs UsePAM yes for codes, and would then accept the key of {locked[0]}"
        hint = f"usermod --expiredate 1 {locked[0]}   # refuses keys, too"
        return Verdict(f"{what}, an account that is locked by passwd -l", hint)
    return Verdict(notes=("sshd: UsePAM becomes yes, so PAM's rules for accounts apply, too.",))


def _locked() -> Iterator[str]:
    try:
        with open(SHADOW, encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                name, _, rest = line.partition(":")
                if rest.startswith(LOCKED) and _has_shell(name):
                    yield name
    except OSError:
        return


def _has_shell(name: str) -> bool:
    try:
        return not pwd.getpwnam(name).pw_shell.endswith(("/nologin", "/false"))
    except KeyError:
        return False
