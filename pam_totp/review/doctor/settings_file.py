# SPDX-License-Identifier: MIT
"""The settings file: its faults, what applies meanwhile, and whom it never asks."""

import shlex
from collections.abc import Iterator

from pam_totp.records.config.settings import KIND, NAME, PATH, last_good
from pam_totp.records.storage import state_dir
from pam_totp.review.active_settings import fault_of, way_fault
from pam_totp.review.doctor.findings import AT_RISK, OPEN, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.lockout import locked_out, never_asked
from pam_totp.rules.reasons import Failure

CHECK = "pam-totp config check"
# Faults of the file itself, each with its kind and what repairs it.
FAULTS = {
    ": No such file": ("settings-missing", "pam-totp config restore"),
    "must be owned by root": ("settings-owner", f"chown root {PATH}"),
    "must not be writable": ("settings-mode", f"chmod go-w {PATH}"),
}


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    yield from _of_snapshot()
    way = way_fault()
    if way:
        fault, _, repair = way.partition("; run: ")
        consequence = "Other users can replace the settings by some that ask for no code."
        yield Finding(OPEN, "settings-folder", fault, consequence, repair or CHECK)
    fault = fault_of(host.active)
    if fault and not (way and fault.startswith(way)):
        kinds = (row for text, row in FAULTS.items() if text in fault)
        kind, command = next(kinds, ("settings-fault", CHECK))
        consequence = "What was changed in the file does not apply, and each login logs this."
        if kind == "settings-missing":
            consequence = "The last good settings apply, and each login logs this."
        yield Finding(AT_RISK, kind, fault, consequence, command)
        return
    yield from _of_valid_file(host)


def _of_snapshot() -> Iterator[Finding]:
    path = f"{state_dir.VAR.path}/{KIND}/{NAME}"
    try:
        last_good(keeps=False)
    except (OSError, Failure, ValueError) as failure:
        why = failure.detail if isinstance(failure, Failure) else "its content is damaged"
        yield Finding(
            severity=AT_RISK,
            kind="last-good-unusable",
            what=f"the last good settings cannot be read: {why}",
            consequence="If the settings file gets a fault, every user must enter a code.",
            command=f"rm {shlex.quote(path)}",
        )


def _of_valid_file(host: Host) -> Iterator[Finding]:
    # PyYAML, which may be missing: then this check alone cannot be made.
    from pam_totp.records.config.reader import MAX_BYTES
    from pam_totp.review.method_warnings import of_programs
    from pam_totp.review.settings_faults import check
    from pam_totp.review.settings_warnings import warnings_of

    try:
        with open(PATH, "rb") as file:
            found = check(file.read(MAX_BYTES + 1))
    except FileNotFoundError:
        return  # none is installed: the defaults apply
    if found.faults:
        return  # changed a moment ago
    names = sorted(host.services)
    # Who is locked out is said with the administrators, and what sends codes with those.
    shut = list(locked_out(found, host.asking, names, host.now))
    shut += of_programs(found)
    open_ = list(never_asked(found.rules, host.asking))
    for position, what in open_:
        yield Finding(
            severity=OPEN,
            kind="nobody-asked",
            what=f"{PATH}, {position}: {what}",
            consequence="The pam_totp.so line there has no effect.",
            command=CHECK,
        )
    said = {f"{position}: {what}" for position, what in shut + open_}
    others = [each for each in warnings_of(found) if each not in said]
    if others:
        more = f" (and {len(others) - 1} more)" if len(others) > 1 else ""
        yield Finding(
            severity=AT_RISK,
            kind="settings-warning",
            what=f"{PATH}, {others[0]}{more}",
            consequence="This is allowed, and probably not intended.",
            command=CHECK,
        )
