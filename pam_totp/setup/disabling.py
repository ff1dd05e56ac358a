# SPDX-License-Identifier: MIT
"""What `disable` takes out: all that enable put in, once it is proved that people get in."""

import dataclasses
import os
import re
from functools import partial

from pam_totp.errors import Error
from pam_totp.setup.block import choice_of, take_out
from pam_totp.setup.change import Change, FileChange
from pam_totp.setup.choosing import SSHD
from pam_totp.setup.host import PAM_DIR, PamHost
from pam_totp.setup.judge_sshd import first_of
from pam_totp.setup.kinds import together
from pam_totp.setup.moving import strangers_to
from pam_totp.setup.new_lines import answer_of_ours, shown
from pam_totp.setup.plan_sshd import without_ours
from pam_totp.setup.proof import is_asking
from pam_totp.setup.reached import FOR
from pam_totp.setup.replay import differences
from pam_totp.setup.service_names import no_service
from pam_totp.setup.sshd_copy import Copy
from pam_totp.setup.sshd_settings import PATH as DROP_IN
from pam_totp.setup.sshd_settings import choices_of
from pam_totp.stack import sshd
from pam_totp.stack.factors import meanings
from pam_totp.stack.libpam import AUTH_ERR, SUCCESS, Unknown, installed
from pam_totp.stack.other_codes import answered
from pam_totp.stack.sshd_config import PATH
from pam_totp.stack.sshd_match import Login

COPIED = re.compile(r"\(copied from (/[^)]+)\)")


@dataclasses.dataclass(frozen=True)
class Disabling:
    """change: without files there is nothing to do. doubts: why people may not get in afterwards.
    notes: sentences about what still asks. also: services whose lines, which enable put in, would
    still be asked at these."""

    change: Change
    doubts: tuple[str, ...]
    notes: tuple[str, ...]
    also: tuple[str, ...] = ()


def enabled_services() -> list[str]:
    """The services whose files have lines of ours, and sshd with its settings."""
    found = [name for name in _names() if choice_of(_content(f"{PAM_DIR}/{name}") or b"")]
    has_settings = os.path.lexists(DROP_IN) or choice_of(_content(PATH) or b"")
    return sorted({*found, *([SSHD] if has_settings else [])})


def prepare(services: list[str]) -> Disabling:
    """Raises Error."""
    names = together(services)
    for name in services:
        if "/" in name or not (_content(f"{PAM_DIR}/{name}") is not None or _is_vendors(name)):
            raise no_service(name)
    of_others = [name for name in _names() if _is_for(name, names) and name not in names]
    changes = [each for name in [*names, *of_others] for each in _file_change(name)]
    pam = list({each.path: each for each in changes}.values())  # of a file and links to it, one
    settings = _settings() if SSHD in names else []
    doubts = [*_doubts(pam), *(_sshd_doubts() if settings else [])]
    settings_now = _content(DROP_IN) if settings else None
    if settings_now is not None and choices_of(settings_now) is None:
        doubts.insert(0, f"{DROP_IN} was edited since, and would be removed")
    # sshd first lets in by keys and passwords alone, then the others.
    change = Change("disable", tuple(names), (*settings, *pam), reloads_sshd=bool(settings))
    notes, also = _still_asking(names, pam)
    return Disabling(change, tuple(doubts), tuple(notes), tuple(also))


def _names() -> list[str]:
    return sorted(os.listdir(PAM_DIR)) if os.path.isdir(PAM_DIR) else []


def _is_for(name: str, services: list[str]) -> bool:
    """Whether a locker's lines are there because of one of these services."""
    choice = choice_of(_content(f"{PAM_DIR}/{name}") or b"")
    _, is_for, which = choice.partition(f", {FOR}")
    return bool(is_for) and which in services


def _is_vendors(name: str) -> bool:
    try:
        return PamHost(installed()).file_of(name) is not None
    except Unknown:
        return False


def _file_change(name: str) -> list[FileChange]:
    path = os.path.realpath(f"{PAM_DIR}/{name}")
    before = _content(path)
    if before is None:
        return []
    try:
        after: bytes | None = take_out(before)
    except ValueError as fault:
        raise Error(f"{path}: {fault}; nothing was changed", f"grep -n pam-totp {path}") from None
    copied = COPIED.search(choice_of(before))
    if copied and after == _content(copied[1]):
        after = None
    return [FileChange(path, before, after)] if after != before else []


def _settings() -> list[FileChange]:
    found = [FileChange(path, _content(path), after) for path, after in without_ours().items()]
    return [each for each in found if each.before != each.after]


def _doubts(pam: list[FileChange]) -> list[str]:
    """Whoever gets in now, with a code, gets in then: by the model."""
    try:
        host = PamHost(installed())
        host.would_be = {file.path: file.after for file in pam}
        found = []
        for name in (os.path.basename(file.path) for file in pam):
            now, then = host.before(name), host.after(name)
            new = [fault for fault in then.faults if fault not in now.faults]
            answer = partial(answer_of_ours, of_code=SUCCESS, of_key=AUTH_ERR)
            # A code that ours accepts stands for one of another module.
            were, are = (answered(each.stacks["auth"], SUCCESS) for each in (then, now))
            lost = [each for each in differences(were, are, meanings, answer) if not each.is_lost]
            where = "; ".join(shown(line) for each in lost for line, _ in each.lines[-1:])
            if new:
                found.append(f"{name}: {new[0]}, so users may be refused")
            elif lost:
                found.append(f"{name}: users would be refused ({where})")
            found += strangers_to(then)
    except Unknown as unknown:
        return [str(unknown)]
    return found


def _sshd_doubts() -> list[str]:
    try:
        with Copy({}) as now, Copy(without_ours()) as then:
            then.test()
            found = []
            for user, uid in (("nobody", 1000), ("root", 0)):
                kept = {first_of(way) for way in sshd.ways(then.settings_of(Login(user)), uid)}
                ways = sshd.ways(now.settings_of(Login(user)), uid)
                lost = {first_of(way) for way in ways if "password" not in way} - kept
                if lost and user != "root":
                    found.append(
                        f"sshd: a {' or '.join(sorted(lost))} would not be enough any more"
                    )
                elif lost:
                    found.append(
                        "sshd: root can log in now, and could not any more (PermitRootLogin)"
                    )
    except Unknown as unknown:
        return [str(unknown)]
    return found


def _still_asking(names: list[str], pam: list[FileChange]) -> tuple[list[str], list[str]]:
    """What asks by lines that stay, in sentences, and the services to which enable added those."""
    notes, also = list[str](), list[str]()
    try:
        host = PamHost(installed())
        host.would_be = {file.path: file.after for file in pam}
        for name in names:
            asking = [line for line in host.after(name).stacks["auth"] if is_asking(line)]
            if not asking:
                continue
            file, other = asking[0].file, os.path.basename(asking[0].file)
            if host.is_by_enable(file):
                also.append(other)
                whose = f"a line that enable added to {other}"
            else:
                whose = "a line that enable did not add"
            notes.append(f"{name} still asks, by {whose}: {file}, line {asking[0].number}.")
    except Unknown:
        return [], []
    return notes, list(dict.fromkeys(also))


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as failure:
        raise Error(f"{path}: {failure.strerror}; nothing was changed", f"ls -l {path}") from None
