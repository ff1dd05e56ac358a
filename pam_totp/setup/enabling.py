# SPDX-License-Identifier: MIT
"""All that `enable` finds out before it asks: the change, and what it means for whom."""

import dataclasses
from collections.abc import Mapping

from pam_totp.errors import Error, UsageError
from pam_totp.records.config.settings import load
from pam_totp.setup import moving, people, plan_pam, plan_sshd, sshd_settings
from pam_totp.setup.also import IN_HOMES, OF_ROOT
from pam_totp.setup.beside import Choice
from pam_totp.setup.change import Change
from pam_totp.setup.choosing import SSHD, AskRoot, SshdOptions, choose
from pam_totp.setup.host import PamHost
from pam_totp.setup.kinds import together
from pam_totp.setup.people import Refused
from pam_totp.setup.person import Person, who_sits
from pam_totp.setup.ssh_log import SshLog, read
from pam_totp.setup.told import NOTHING, Told
from pam_totp.stack.libpam import Unknown, installed

ROOT_HAS_NO_CODE = (
    "root has not enrolled, and needs a code after the key with --root code. Run: "
    "pam-totp enroll --user root"
)


@dataclasses.dataclass(frozen=True)
class Enabling:
    """change: without files there is nothing to do. reached: other services that will ask. notes:
    sentences. refused: users who would be. left_behind: users of whom no code would be asked any
    more, as theirs are of another program. proposed: what nobody has chosen yet, by service.
    key_only: accounts that come with a key and no terminal, with how often; knows_terminals: else
    it is not known whether they have one. person: who is sitting there. expected: what sshd is to
    say then; empty without it."""

    change: Change
    reached: tuple[str, ...]
    notes: tuple[str, ...]
    refused: tuple[Refused, ...]
    left_behind: tuple[str, ...]
    proposed: Mapping[str, Choice]
    key_only: tuple[tuple[str, int], ...]
    knows_terminals: bool
    person: Person
    expected: Mapping[str, str]


def prepare(
    services: list[str], options: SshdOptions, ask_root: AskRoot, told: Told = NOTHING
) -> Enabling:
    """told: about lines of other modules. Raises Error."""
    try:
        host = PamHost(installed())
        # A partner that this system does not have is missed by nobody.
        names = [each for each in together(services) if each in services or host.file_of(each)]
    except Unknown as unknown:
        raise Error(f"{unknown}; nothing was changed", "ls -l /etc/pam.d") from None
    log = read() if SSHD in names else SshLog(iter(()))
    person = who_sits(log)
    choices, notes = None, list[str]()
    if SSHD in names:
        choices, notes = choose(options, person, ask_root)
    elif options:
        message = "--first-factor, --root, --exempt-key and --no-exempt-key apply only to sshd"
        raise UsageError(message, "pam-totp enable sshd")
    also = dataclasses.replace(told.also, keys=IN_HOMES if _is_in_homes() else OF_ROOT)
    found = plan_pam.plan(host, names, choices.first_factor if choices else "", told.codes, also)
    notes += found.notes
    files, expected = host.changes(), dict[str, str]()
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
    refused, left_behind = list[Refused](), list[str]()
    if files:
        refused = people.refused([*found.services, *found.reached], exempted)
        shut = {(each.user, service) for each in refused for service in each.services}
        shut |= {(user, SSHD) for user in exempted}  # of whom PAM is not asked
        both = moving.refused_by_both(found.choices)
        refused += [each for each in both if (each.user, *each.services) not in shut]
        left_behind = moving.left_behind(found.choices, refused)
        notes += moving.of_unknown(found.choices)
    return Enabling(
        change,
        tuple(found.reached),
        tuple(dict.fromkeys(notes)),
        tuple(refused),
        tuple(left_behind),
        {name: each for name, each in found.choices.items() if each.is_proposed},
        tuple(each for each in log.without_terminal() if each[0] not in answering),
        log.knows_terminals,
        person,
        expected,
    )


def _is_in_homes() -> bool:
    """Whether secrets are in the homes, and so security keys may be, too. Raises Failure."""
    return load().store == "user"
