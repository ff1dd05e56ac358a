# SPDX-License-Identifier: MIT
"""sshd's settings for codes: planned, and judged by sshd itself before they are written.

- Every class of logins that sshd's Match blocks tell apart MUST be judged, by `sshd -T -C`.
- The settings MUST apply: the first value wins, and without an Include line they do nothing.
"""

import dataclasses
from collections.abc import Sequence

from pam_totp.errors import Error
from pam_totp.setup import sshd_settings
from pam_totp.setup.authorized_keys import has_key
from pam_totp.setup.block import put_in, take_out
from pam_totp.setup.change import FileChange
from pam_totp.setup.exempting import by_options
from pam_totp.setup.judge_classes import ROOT, SOMEBODY, Sitting, classes_in, judge_servers
from pam_totp.setup.judge_sshd import KEY, Verdict, first_of, works
from pam_totp.setup.keyless import notes_of_keyless
from pam_totp.setup.person import exists
from pam_totp.setup.proof import PASSWORD_ONLY
from pam_totp.setup.sshd_copy import Copy
from pam_totp.setup.sshd_settings import PATH as DROP_IN
from pam_totp.setup.sshd_settings import Choices
from pam_totp.stack import sshd
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.sshd_config import PATH

INCLUDE = f"Include {DROP_IN}"


@dataclasses.dataclass
class SshdPlan:
    """replaced: the files as they would be, by path; plain: without anything of ours. notes:
    sentences about ways in that stay without a code, or that end. expected: what sshd is to say of
    a login of SOMEBODY."""

    replaced: dict[str, bytes | None] = dataclasses.field(default_factory=dict)
    plain: dict[str, bytes | None] = dataclasses.field(default_factory=dict)
    notes: list[str] = dataclasses.field(default_factory=list)
    expected: dict[str, str] = dataclasses.field(default_factory=dict)

    def changes(self) -> tuple[FileChange, ...]:
        """The files that are not yet as they would be."""
        found = [FileChange(path, _read(path), after) for path, after in self.replaced.items()]
        return tuple(each for each in found if each.before != each.after)


def without_ours() -> dict[str, bytes | None]:
    """sshd's files without what enable has put there. Raises Error."""
    main = _read(PATH)
    if main is None:
        raise Error(f"there is no {PATH}", "apt-get install openssh-server")
    try:
        return {PATH: take_out(main), DROP_IN: None}
    except ValueError as fault:
        raise Error(f"{PATH}: {fault}; nothing was changed", f"grep -n pam-totp {PATH}") from None


def plan(choices: Choices, sitting: Sequence[Sitting] = ()) -> SshdPlan:
    """Plans them. sitting: who may be the person that enables it. Raises Error."""
    found = SshdPlan(plain=without_ours())
    try:
        with Copy(found.plain) as before:
            before.test()
            found.replaced = _with_ours(found.plain, choices)
            with Copy(found.replaced) as after:
                found.expected = after.settings_of(SOMEBODY)
                found.notes += notes_of_keyless(before, after, choices)
        verdicts = judge_servers(found.plain, found.replaced, choices, sitting)
    except Unknown as unknown:
        raise Error(f"{unknown}; nothing was changed", f"{sshd.SSHD} -t") from None
    for each in verdicts:
        if each.fault:
            hint = _exempting(each, verdicts, choices) or each.repair
            raise Error(f"{each.fault}; nothing was changed", hint)
    found.notes += list(dict.fromkeys(note for verdict in verdicts for note in verdict.notes))
    return found


def _exempting(fault: Verdict, verdicts: Sequence[Verdict], choices: Choices) -> str:
    """One command for all users whom their own Match blocks let in without a code; empty where this
    fault is about somebody else."""
    if not any(map(exists, fault.users)):
        return ""
    users = [user for each in verdicts for user in each.users if exists(user)]
    return by_options(users, choices)


def _with_ours(plain: dict[str, bytes | None], choices: Choices) -> dict[str, bytes | None]:
    """The files with our settings, which apply. Raises Unknown."""
    main = plain[PATH] or b""
    found: dict[str, bytes | None] = {PATH: main, DROP_IN: sshd_settings.text(choices).encode()}
    if not _is_active(found, choices):
        found[PATH] = put_in(main, 0, 0, "sshd's settings", [INCLUDE])
    return found


def _is_active(replaced: dict[str, bytes | None], choices: Choices) -> bool:
    """Whether the drop-in is read, and before anything that says otherwise. Raises Unknown."""
    with Copy(replaced) as copy:
        classes = classes_in(copy)
        plain = [each for each in classes if not any(block.is_match for block in each.blocks)]
        if DROP_IN not in copy.names.values():
            return False
        if not plain:
            return True
        try:
            active = copy.settings_of(plain[0].example)
        except Unknown:
            return False  # such as KbdInteractiveAuthentication no before it
    wanted = sshd_settings.wanted(choices)
    return all(_same(active.get(key.lower(), ""), value) for key, value in wanted.items())


def _same(one: str, other: str) -> bool:
    return one.replace("without-password", "prohibit-password") == other


def shuts_root_out(choices: Choices) -> bool:
    """Whether root logs in with a key today, and could not with these choices. Raises Error."""
    plain = without_ours()
    try:
        with Copy(plain) as before:
            was = before.settings_of(ROOT)
        if not has_key(ROOT, was) or KEY not in map(first_of, sshd.ways(was, 0)):
            return False
        with Copy(_with_ours(plain, choices)) as after:
            ways = sshd.ways(after.settings_of(ROOT), 0)
        kept = {first_of(way) for way in ways if works(way, choices)}
        # Where keys are not enough for anybody, a password is as good.
        return not kept if choices.first_factor == PASSWORD_ONLY else KEY not in kept
    except Unknown as unknown:
        raise Error(f"{unknown}; nothing was changed", f"{sshd.SSHD} -t") from None


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise Error(f"{path}: {failure.strerror}; nothing was changed", f"ls -l {path}") from None
