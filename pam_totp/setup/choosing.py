# SPDX-License-Identifier: MIT
"""What `enable` was told about sshd, together with what it was told before.

- An option that is not given again MUST keep its value, and what is kept MUST be said. Only the
  option itself, or its opposite, changes it.
"""

import dataclasses
import os
from collections.abc import Callable, Iterator

from pam_totp.enrollment.identity import no_user
from pam_totp.errors import UsageError
from pam_totp.setup import plan_sshd, sshd_settings
from pam_totp.setup.block import choice_of
from pam_totp.setup.first_factor import usual_first_factor
from pam_totp.setup.host import PAM_DIR
from pam_totp.setup.person import Person, exists
from pam_totp.setup.proof import PASSWORD_ONLY
from pam_totp.setup.sshd_settings import PATH as DROP_IN
from pam_totp.setup.sshd_settings import Choices

SSHD = "sshd"
# Asks what becomes of root's login with a key: ROOT_CODE, ROOT_KEY or ROOT_NO. May raise Error.
AskRoot = Callable[[Person], str]
HAS_A_MEANING = set("*?!,\"'\\ \t#")  # in a Match line


@dataclasses.dataclass(frozen=True)
class SshdOptions:
    """The options of enable for sshd, as they were given; empty for those that were not. exempt,
    asked: accounts that are to log in with their key alone, and that are not any more."""

    first_factor: str = ""
    root: str = ""
    exempt: tuple[str, ...] = ()
    asked: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self != SshdOptions()


def choose(options: SshdOptions, person: Person, ask_root: AskRoot) -> tuple[Choices, list[str]]:
    """The choices, and sentences about what was kept and what is lost. Raises Error."""
    content = _content(DROP_IN)
    written = sshd_settings.choices_of(content)
    there = written or sshd_settings.told_by(content or b"")
    _refuse_unusable(options, there.exempt)
    kept = [name for name in there.exempt if name not in options.asked]
    choices = Choices(
        options.first_factor or there.first_factor or _of_stack() or usual_first_factor(),
        options.root or there.root,
        tuple(dict.fromkeys([*kept, *options.exempt])),
        is_chosen=bool(options.first_factor or written),
    )
    notes = [*_lost(content, written), *_kept(options, there), *_asked_again(options, there)]
    if not choices.root and plan_sshd.shuts_root_out(choices):
        choices = dataclasses.replace(choices, root=ask_root(person))
    if choices.root == sshd_settings.ROOT_CODE and choices.first_factor == PASSWORD_ONLY:
        message = "--root code is a code after a key, and --first-factor password accepts no keys"
        raise UsageError(message, "pam-totp enable sshd --first-factor password --root key")
    return choices, notes


def _refuse_unusable(options: SshdOptions, exempt: tuple[str, ...]) -> None:
    """Names that cannot be meant. Raises Error."""
    for name in (*options.exempt, *options.asked):
        if name == "root":
            message = "--root is the option that says how root logs in with a key"
            what = "key" if name in options.exempt else "code"
            raise UsageError(message, f"pam-totp enable sshd --root {what}")
        if name in options.exempt and name in options.asked:
            message = f"{name} cannot be given to both --exempt-key and --no-exempt-key"
            raise UsageError(message, f"pam-totp enable sshd --exempt-key {name}")
        if name in exempt:
            continue  # also of a user who is gone since
        if not exists(name):
            raise no_user(name)
        if set(name) & HAS_A_MEANING:
            raise UsageError(f"sshd's Match lines cannot name the user {name!a}", "getent passwd")


def _kept(options: SshdOptions, there: Choices) -> Iterator[str]:
    """The options of an earlier run that still apply."""
    found = list[str]()
    if there.first_factor and not options.first_factor:
        found.append(f"--first-factor {there.first_factor}")
    if there.root and not options.root:
        found.append(f"--root {there.root}")
    named = (*options.exempt, *options.asked)
    exempt = [f"--exempt-key {name}" for name in there.exempt if name not in named]
    if found or exempt:
        kept = " ".join([*found, *exempt])
        yield f"These options of the last `enable sshd` still apply: {kept}."
    if exempt:
        yield "To have such an account enter a code again, use --no-exempt-key."


def _asked_again(options: SshdOptions, there: Choices) -> Iterator[str]:
    for name in options.asked:
        if name in there.exempt:
            yield f"{name}: the key alone is not enough any more."
        else:
            yield f"{name} was not exempt."


def _lost(content: bytes | None, written: Choices | None) -> Iterator[str]:
    """What others wrote into the file, which is written as a whole."""
    if content is not None and written is None:
        yield (
            f"WARNING: {DROP_IN} was edited. It is written again, without those edits: put them "
            "into another file of that folder."
        )


def _of_stack() -> str:
    """The choice that the lines of /etc/pam.d/sshd were written for; empty without any."""
    choice = choice_of(_content(f"{PAM_DIR}/{SSHD}") or b"").partition(" ")[0]
    return choice if choice in sshd_settings.METHODS else ""


def _content(path: str) -> bytes | None:
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return file.read()
