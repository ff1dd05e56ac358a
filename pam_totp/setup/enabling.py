# SPDX-License-Identifier: MIT
"""All that `enable` finds out before it asks: the change, and what it means for whom."""

import dataclasses
import os
from collections.abc import Callable, Mapping

from pam_totp.enrollment.identity import no_user
from pam_totp.errors import Error, UsageError
from pam_totp.setup import people, plan_pam, plan_sshd, sshd_settings
from pam_totp.setup.block import choice_of
from pam_totp.setup.change import Change
from pam_totp.setup.first_factor import usual_first_factor
from pam_totp.setup.host import PAM_DIR, PamHost
from pam_totp.setup.kinds import together
from pam_totp.setup.people import Refused
from pam_totp.setup.person import Person, exists, who_sits
from pam_totp.setup.proof import PASSWORD_ONLY
from pam_totp.setup.ssh_log import SshLog, read
from pam_totp.setup.sshd_settings import PATH as DROP_IN
from pam_totp.setup.sshd_settings import Choices
from pam_totp.stack.libpam import Unknown, installed

SSHD = "sshd"
ROOT_HAS_NO_CODE = (
    "root has not enrolled, and needs a code after the key with --root code. Run: "
    "pam-totp enroll --user root"
)
# Asks what becomes of root's login with a key: ROOT_CODE, ROOT_KEY or ROOT_NO. May raise Error.
AskRoot = Callable[[Person], str]
HAS_A_MEANING = set("*?!,\"'\\ \t#")  # in a Match line


@dataclasses.dataclass(frozen=True)
class Enabling:
    """change: without files there is nothing to do. reached: other services that will ask. notes:
    sentences. refused: users who would be. key_only: accounts that come with a key and no terminal,
    with how often; knows_terminals: else it is not known whether they have one. person: who is
    sitting there. expected: what sshd is to say then; empty without it."""

    change: Change
    reached: tuple[str, ...]
    notes: tuple[str, ...]
    refused: tuple[Refused, ...]
    key_only: tuple[tuple[str, int], ...]
    knows_terminals: bool
    person: Person
    expected: Mapping[str, str]


def prepare(
    services: list[str], first_factor: str, root: str, exempt: list[str], ask_root: AskRoot
) -> Enabling:
    """first_factor, root, exempt: of sshd; empty for what is there, or is usual. Raises Error."""
    try:
        host = PamHost(installed())
        # A partner that this system does not have is missed by nobody.
        names = [each for each in together(services) if each in services or host.file_of(each)]
    except Unknown as unknown:
        raise Error(f"{unknown}; nothing was changed", "ls -l /etc/pam.d") from None
    log = read() if SSHD in names else SshLog(iter(()))
    person = who_sits(log)
    choices = None
    if SSHD in names:
        choices = _choices(first_factor, root, exempt, person, ask_root)
    elif first_factor or root or exempt:
        raise UsageError("these options apply only to sshd", "pam-totp enable sshd")
    found = plan_pam.plan(host, names, choices.first_factor if choices else "")
    files, notes, expected = host.changes(), list(found.notes), dict[str, str]()
    if choices:
        settings = plan_sshd.plan(
            choices, [(one.login, one.method) for one in (person, *person.also)]
        )
        files, notes = (*settings.changes(), *files), [*notes, *settings.notes]
        expected = settings.expected
    is_new = any(file.path.startswith("/etc/ssh/") for file in files)
    change = Change("enable", tuple(found.services), files, reloads_sshd=is_new)
    exempted = choices.exempt if choices else ()
    if choices and choices.root in (sshd_settings.ROOT_KEY, sshd_settings.ROOT_NO):
        exempted = (*exempted, "root")  # of whom PAM is not asked
    elif choices and choices.root == sshd_settings.ROOT_CODE and not people.has_enrolled("root"):
        notes.append(ROOT_HAS_NO_CODE)
    # Who sits there has a terminal; but programs may log in as root, too.
    answering = {*exempted, *([] if person.name == "root" else [person.name])}
    return Enabling(
        change,
        tuple(found.reached),
        tuple(notes),
        tuple(people.refused([*found.services, *found.reached], exempted)) if files else (),
        tuple(each for each in log.without_terminal() if each[0] not in answering),
        log.knows_terminals,
        person,
        expected,
    )


def _choices(
    first_factor: str, root: str, exempt: list[str], person: Person, ask_root: AskRoot
) -> Choices:
    written = sshd_settings.choices_of(_content(DROP_IN))
    there = written or Choices(_of_stack() or usual_first_factor())
    for name in exempt:
        if name == "root":
            message = "--root key is the option by which root keeps the key alone"
            raise UsageError(message, "pam-totp enable sshd --root key")
        if not exists(name):
            raise no_user(name)
        if set(name) & HAS_A_MEANING:
            raise UsageError(f"sshd's Match lines cannot name the user {name!a}", "getent passwd")
    choices = Choices(
        first_factor or there.first_factor,
        root or there.root,
        tuple(exempt) or there.exempt,
        is_chosen=bool(first_factor or written),
    )
    by_password = choices.first_factor == PASSWORD_ONLY
    if not choices.root and plan_sshd.shuts_root_out(choices):
        choices = dataclasses.replace(choices, root=ask_root(person))
    if choices.root == sshd_settings.ROOT_CODE and by_password:
        message = "root enters a code after a key only, and keys are not enough here"
        raise UsageError(message, "pam-totp enable sshd --first-factor password --root key")
    return choices


def _of_stack() -> str:
    """The choice that the lines of /etc/pam.d/sshd were written for; empty without any."""
    choice = choice_of(_content(f"{PAM_DIR}/{SSHD}") or b"").partition(" ")[0]
    return choice if choice in sshd_settings.METHODS else ""


def _content(path: str) -> bytes | None:
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        return file.read()
