# SPDX-License-Identifier: MIT
"""A security key or a fingerprint in place of the code: lines of Debian's own modules before ours.

    auth [success=2 default=ignore] pam_u2f.so ...         to the first line that logs
    auth [success=2 default=ignore] pam_fprintd.so ...     to the second
    auth [success=2 ignore=2 default=die] pam_totp.so      past both
    auth [default=1] pam_exec.so ... verify security-key
    auth [default=ignore] pam_exec.so ... verify fingerprint

- Whatever such a module returns but success, a code MUST be asked for.
- They MUST come after a password, at a program whose user sits at this machine, and MUST NOT stand
  beside lines of the same modules that the administrator wrote.
- pam_u2f MUST be told where the keys are, as it looks into its environment otherwise, and that they
  have to be touched.
"""

import dataclasses
import re
import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pam_totp.errors import Error, UsageError
from pam_totp.setup.kinds import LOCKERS
from pam_totp.stack.disk import U2F_DEFAULTS
from pam_totp.stack.factors import FINGERPRINT, NOT_ASKED, PASSWORD, SECURITY_KEY, Factor
from pam_totp.stack.profile import FINGER_OFF, finger_is_a_password
from pam_totp.stack.service import Service
from pam_totp.stack.ways_in import all_ways

if TYPE_CHECKING:
    from pam_totp.setup.host import PamHost

IN_HOMES, OF_ROOT = ".config/Yubico/u2f_keys", "/etc/u2f_mappings"
CODE_LINE = "auth [success={0} ignore={0} default=die] pam_totp.so"
_LINE = "auth [success={} default=ignore] {}"
_NOTE = "auth [default={}] pam_exec.so quiet quiet_log seteuid /usr/libexec/pam-totp/verify {}"
_CONTROL = re.compile(
    r"auth \[(success=\d+ default=ignore|success=(\d+) ignore=\2 default=die|default=(\d+|ignore))"
)
_CHOICE = re.compile(r" also (\S+)")


@dataclasses.dataclass(frozen=True)
class Kind:
    """package: of Debian, which has the module. note: the reason in the log."""

    module: str
    options: str
    package: str
    note: str
    factor: Factor


KINDS = {
    "u2f": Kind(
        "pam_u2f.so",
        "authfile={} cue userpresence=1",
        "libpam-u2f",
        "security-key",
        SECURITY_KEY,
    ),
    # As Debian's profile has it: one finger in ten seconds, and then the code.
    "fingerprint": Kind(
        "pam_fprintd.so", "max-tries=1 timeout=10", "libpam-fprintd", "fingerprint", FINGERPRINT
    ),
}


@dataclasses.dataclass(frozen=True)
class Also:
    """What stands beside the code: names of KINDS, in their order. dropped: those that are not
    wanted any more. keys: the file of security keys, below each home if it is no whole path."""

    kinds: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    keys: str = IN_HOMES

    @property
    def mark(self) -> str:
        """For the mark of our lines."""
        return f" also {','.join(self.kinds)}" if self.kinds else ""

    @property
    def factors(self) -> frozenset[Factor]:
        """What its lines prove."""
        return frozenset(KINDS[name].factor for name in self.kinds)

    @property
    def lines(self) -> list[str]:
        """Those of the modules, ours among them."""
        found, count = [KINDS[name] for name in self.kinds], len(self.kinds)
        modules = [f"{each.module} {each.options.format(self.keys)}" for each in found]
        past_the_rest = [*range(count - 1, 0, -1), "ignore"]
        return [
            *(_LINE.format(count, module) for module in modules),
            CODE_LINE.format(count),
            *(_NOTE.format(*each) for each in zip(past_the_rest, self._reasons, strict=True)),
        ]

    @property
    def _reasons(self) -> list[str]:
        return [KINDS[name].note for name in self.kinds]


NOTHING_ALSO = Also()


def is_written(line: str) -> bool:
    """Whether it is a line as they are written here; its jump may be any."""
    every = [Also(tuple(KINDS), keys=keys).lines for keys in (IN_HOMES, OF_ROOT)]
    modules = {each.partition("] ")[2] for lines in every for each in lines}
    control, _, module = line.partition("] ")
    return _CONTROL.fullmatch(control) is not None and module in modules


def choose(host: "PamHost", before: Service, told: Also, mark: str) -> Also:
    """For a service as it is without our lines. told: by options. mark: of our lines, which says
    what was chosen before. Raises Error."""
    kept = _CHOICE.search(mark)
    wanted = {*told.kinds, *(kept[1].split(",") if kept else [])} - {*told.dropped}
    found = dataclasses.replace(told, kinds=tuple(name for name in KINDS if name in wanted))
    if found.kinds:
        _refuse_without_password(before)
    for name in found.kinds:
        _refuse_unusable(host, before, KINDS[name])
    return found


def refuse_over_the_network(host: "PamHost", name: str, because_of: str) -> None:
    """Raises Error where another service would be asked for a key of this machine, too, and
    Unknown."""
    if host.is_elsewhere(name):
        message = f"{name}, at which people log in from elsewhere, would ask, too, because of"
        hint = f"write /etc/pam.d/{name} without that include, then run the command again"
        raise Error(f"{message} {because_of}; nothing was changed", hint)


def refuse_where_it_cannot_be_asked(host: "PamHost", name: str) -> None:
    """Raises UsageError for services whose people are elsewhere, or see no question, and
    Unknown."""
    if host.is_elsewhere(name):
        message = f"people log in to {name} from elsewhere, and a key or a finger has to be here"
        hint = "write a rule with `publickey: sk` for security keys over ssh (man pam-totp.yaml)"
        raise UsageError(f"{message}; nothing was changed", hint)
    if name in LOCKERS:
        message = f"{name} shows no question: there the code is typed right after the password"
        hint = shlex.join(["pam-totp", "enable", name])
        raise UsageError(f"{message}; nothing was changed", hint)


def _refuse_without_password(before: Service) -> None:
    ways = all_ways(before.stacks["auth"])
    if not any(PASSWORD in way.proved for way in ways):
        message = f"{before.name} asks for no password, so this would be all that it asks for"
        hint = shlex.join(["pam-totp", "enable", before.name])
        raise UsageError(f"{message}; nothing was changed", hint)


def _refuse_unusable(host: "PamHost", before: Service, kind: Kind) -> None:
    there = [line for line in before.stacks["auth"] if line.module_name == kind.module]
    if there:
        message = f"{before.name} has a line of {kind.module} already ({there[0].place})"
        hint = "take that line out, and run the command again"
        if finger_is_a_password(there):
            hint = FINGER_OFF
        raise Error(f"{message}; nothing was changed", hint)
    if not host.has_module(kind.module):
        message = f"{kind.module} is not installed; nothing was changed"
        raise Error(message, f"apt-get install {kind.package}")
    for word in host.defaults_of(kind.module):
        if word in NOT_ASKED:
            message = f"{U2F_DEFAULTS} has {word}, with which users without a key would pass"
            raise Error(f"{message}; nothing was changed", f"editor {U2F_DEFAULTS}")


def notes(name: str, also: Also, told: Also) -> Iterator[str]:
    """What the choice means at a service, in sentences."""
    if kept := [each for each in also.kinds if each not in told.kinds]:
        options = " ".join(f"--also {each}" for each in kept)
        yield f"These options of the last `enable {name}` still apply: {options}."
    if "u2f" in also.kinds:
        # It ends its line with no newline, so that `-n` can add another key of the user.
        how = f"(pamu2fcfg -u USER && echo) >>{OF_ROOT}, as root"
        if also.keys == IN_HOMES:
            how = f"pamu2fcfg >~/{IN_HOMES}, by each user"
        yield f"{name}: security keys are added with {how} (package pamu2fcfg)."
    if "fingerprint" in also.kinds:
        yield f"{name}: fingerprints are added with fprintd-enroll (package fprintd)."
    if also.kinds:
        yield (
            "A key or a finger is no enrollment: users who have not enrolled need no code without "
            "it, unless the settings require one."
        )
