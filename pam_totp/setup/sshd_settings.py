# SPDX-License-Identifier: MIT
"""sshd's settings for codes, as the text of a file of /etc/ssh/sshd_config.d. Pure."""

import dataclasses
import re

from pam_totp.setup.proof import KEY_ONLY, KEY_OR_PASSWORD, PASSWORD_ONLY

PATH = "/etc/ssh/sshd_config.d/00-pam-totp.conf"
FIRST_LINE = "# Written by `pam-totp enable sshd`; `pam-totp disable sshd` removes this file.\n"
KEY_THEN_CODE, KEY_ALONE = "publickey,keyboard-interactive:pam", "publickey"
METHODS = {
    KEY_OR_PASSWORD: f"{KEY_THEN_CODE} keyboard-interactive:pam",
    PASSWORD_ONLY: "keyboard-interactive:pam",
    KEY_ONLY: KEY_THEN_CODE,
}
# What becomes of root, whom PermitRootLogin would shut out wherever PAM is asked: gives a code
# after the key, keeps the key alone, or is shut out.
ROOT_CODE, ROOT_KEY, ROOT_NO = "code", "key", "no"


@dataclasses.dataclass(frozen=True)
class Choices:
    """root: empty where nothing has to be said about root. exempt: accounts that log in with a key
    alone. is_chosen: whether somebody chose the first factor, which may then open a way in."""

    first_factor: str = KEY_OR_PASSWORD
    root: str = ""
    exempt: tuple[str, ...] = ()
    is_chosen: bool = dataclasses.field(default=False, compare=False)


def wanted(choices: Choices) -> dict[str, str]:
    """The settings outside of any Match block, in their order."""
    found = {"UsePAM": "yes"}
    if choices.first_factor != PASSWORD_ONLY:
        found["PubkeyAuthentication"] = "yes"
    found |= {"KbdInteractiveAuthentication": "yes", "PasswordAuthentication": "no"}
    found["AuthenticationMethods"] = METHODS[choices.first_factor]
    if choices.root == ROOT_CODE:
        found["PermitRootLogin"] = "yes"
    elif choices.root == ROOT_NO:
        found["PermitRootLogin"] = "no"
    return found


def text(choices: Choices) -> str:
    """The whole file."""
    lines = [f"{keyword} {value}\n" for keyword, value in wanted(choices).items()]
    blocks = []
    if choices.root in (ROOT_CODE, ROOT_KEY):
        methods = KEY_THEN_CODE if choices.root == ROOT_CODE else KEY_ALONE
        blocks.append(_match("root", methods))
    blocks += [_match(name, KEY_ALONE) for name in choices.exempt]
    return "".join([FIRST_LINE, *lines, *blocks])


def choices_of(content: bytes | None) -> Choices | None:
    """The choices by which the file was written; None for any other content."""
    found = (content or b"").decode("utf-8", "replace")
    methods = re.findall(r"^AuthenticationMethods (.*)$", found, re.MULTILINE)
    users = re.findall(r"^Match User (\S+)\n(?:  Pub.*\n)?  (.*)$", found, re.MULTILINE)
    named = dict(users)
    root = {f"AuthenticationMethods {KEY_ALONE}": ROOT_KEY}.get(named.get("root", ""), "")
    if named.get("root", "").endswith(KEY_THEN_CODE):
        root = ROOT_CODE
    if "\nPermitRootLogin no\n" in found:
        root = ROOT_NO
    for first_factor, value in METHODS.items():
        if methods == [value]:
            exempt = tuple(user for user, _ in users if user != "root")
            choices = Choices(first_factor, root, exempt)
            return choices if text(choices) == found else None
    return None


def _match(user: str, methods: str) -> str:
    extra = "" if methods != KEY_ALONE else "  PubkeyAuthentication yes\n"
    return f"Match User {user}\n{extra}  AuthenticationMethods {methods}\n"
