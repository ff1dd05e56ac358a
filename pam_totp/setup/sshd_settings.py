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
_OF_USER = re.compile(
    r"^Match User (\S+)\n(?:[ \t].*\n)*?[ \t]+AuthenticationMethods[ \t]+(.*?)[ \t]*$", re.MULTILINE
)


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
    choices = told_by(content or b"")
    is_whole = bool(choices.first_factor) and text(choices).encode() == content
    return choices if is_whole else None


def told_by(content: bytes) -> Choices:
    """The choices as far as the file tells them, also one that was edited; what it does not tell is
    empty."""
    found = content.decode("utf-8", "replace")
    by_value = {value: name for name, value in METHODS.items()}
    methods = re.findall(r"^AuthenticationMethods[ \t]+(.*?)[ \t]*$", found, re.MULTILINE)
    first_factor = next((by_value[value] for value in methods if value in by_value), "")
    by_user = dict(_OF_USER.findall(found))
    root = {KEY_ALONE: ROOT_KEY, KEY_THEN_CODE: ROOT_CODE}.get(by_user.pop("root", ""), "")
    if re.search(r"^PermitRootLogin[ \t]+no\b", found, re.MULTILINE):
        root = ROOT_NO
    exempt = tuple(user for user, value in by_user.items() if value == KEY_ALONE)
    return Choices(first_factor, root, exempt)


def _match(user: str, methods: str) -> str:
    extra = "" if methods != KEY_ALONE else "  PubkeyAuthentication yes\n"
    return f"Match User {user}\n{extra}  AuthenticationMethods {methods}\n"
