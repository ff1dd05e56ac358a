# SPDX-License-Identifier: MIT
"""Runs every check of `pam-totp doctor`. Changes nothing.

- A check that fails MUST become a finding: neither silence, which would say that all is well, nor
  the end of the other checks.
"""

import signal
from collections.abc import Callable, Iterator

from pam_totp.review.doctor import (
    administrators,
    clock,
    confinement,
    disks,
    files,
    fleet_host,
    fleet_server,
    homes,
    leftovers,
    lines,
    programs,
    records,
    second_factors,
    sending,
    settings_file,
    sshd,
    sshd_reload,
    users,
    ways,
)
from pam_totp.review.doctor.findings import Finding, undetermined, worst_first
from pam_totp.review.doctor.host import Host
from pam_totp.rules.reasons import Failure

Check = Callable[[Host], Iterator[Finding]]
# Each with what it looks at, in words.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("the ways to log in", ways.find),
    ("the pam_totp.so lines", lines.find),
    ("security keys and fingerprints", second_factors.find),
    ("the installed programs", programs.find),
    ("the settings of sshd", sshd.find),
    ("whether sshd has read its settings", sshd_reload.find),
    ("the settings", settings_file.find),
    ("the store of this host", fleet_host.find),
    ("the store's server", fleet_server.find),
    ("owners and modes", files.find),
    ("the disks", disks.find),
    ("the users", users.find),
    ("the administrators", administrators.find),
    ("the homes", homes.find),
    ("grants and other records", records.find),
    ("codes that are sent", sending.find),
    ("leftovers", leftovers.find),
    ("the clock", clock.find),
    ("SELinux and AppArmor", confinement.find),
)
# A disk or a directory that hangs holds up one check, and not the rest. (A listing of 50,000 users
# takes less.)
MAX_SECONDS = 60


def examine(host: Host) -> list[Finding]:
    """Everything that is wrong with this machine, the worst first."""
    found: list[Finding] = []
    for what, check in CHECKS:
        found += _guarded(what, check, host)
    return worst_first(found)


def _guarded(what: str, check: Check, host: Host) -> list[Finding]:
    found: list[Finding] = []
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(MAX_SECONDS)
    try:
        found.extend(check(host))
    except Exception as failure:
        found.append(undetermined(f"{what} ({_words(failure)})", "pam-totp doctor"))
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return found


def _too_slow(*_: object) -> None:
    raise TimeoutError(f"no answer within {MAX_SECONDS} seconds")


def _words(failure: Exception) -> str:
    if isinstance(failure, Failure):
        return failure.detail
    if isinstance(failure, OSError) and failure.strerror:
        return f"{failure.filename}: {failure.strerror}" if failure.filename else failure.strerror
    return f"{type(failure).__name__}: {failure}"
