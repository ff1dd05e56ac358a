# SPDX-License-Identifier: MIT
"""Owners and modes of every file and folder of ours, and of those that lead to them.

What root runs or believes must be root's, and nobody else may write it. The files of users
(users.py) and the settings (settings_file.py) are read there by the code that a login has for it.
"""

import dataclasses
import os
import shlex
import stat
from collections.abc import Iterator

from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.review.doctor.findings import AT_RISK, OPEN, REFUSED, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.stack.totp_lines import MODULE

WRITABLE, READABLE = 0o022, 0o077
PROGRAMS = ("/usr/lib/pam-totp", "/usr/libexec/pam-totp", "/usr/bin/pam-totp")
OTHERS_DECIDE = "Other users can change what a login reads, and so log in without a code."
LOGINS_REFUSED = "Logins that need a code are refused, because its content cannot be trusted."


@dataclasses.dataclass(frozen=True)
class Area:
    """A file, or a folder with all that it holds. name: of its kinds of findings. forbidden: bits
    of a mode; severity, consequence: of a wrong owner, or of a file that others can write."""

    name: str
    path: str
    forbidden: int
    severity: str
    consequence: str
    is_deep: bool = True


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    for area in areas(host):
        yield from _of_area(area)


def areas(host: Host) -> list[Area]:
    """All that is looked at: what is not there is left out."""
    found = [Area("program", path, WRITABLE, OPEN, OTHERS_DECIDE) for path in PROGRAMS]
    modules = [f"{each}/{MODULE}" for each in host.libpam.module_folders]
    found += [Area("module", path, WRITABLE, OPEN, OTHERS_DECIDE) for path in modules]
    pam = [folder for folder in host.libpam.folders if os.path.isdir(folder)]
    found += [Area("pam-service", folder, WRITABLE, OPEN, OTHERS_DECIDE) for folder in pam]
    found.append(Area("sshd-settings", "/etc/ssh/sshd_config", WRITABLE, OPEN, OTHERS_DECIDE))
    drop_ins = "/etc/ssh/sshd_config.d"
    found.append(Area("sshd-settings", drop_ins, WRITABLE, OPEN, OTHERS_DECIDE))
    found += [
        Area("state", VAR.path, READABLE, REFUSED, LOGINS_REFUSED),
        Area("runtime-state", RUN.path, READABLE, REFUSED, LOGINS_REFUSED),
    ]
    leading = {os.path.dirname(area.path) for area in found} | {"/", "/etc", "/usr", "/var"}
    leading -= {area.path for area in found}
    found += [
        Area("parent", path, WRITABLE, OPEN, OTHERS_DECIDE, is_deep=False)
        for path in sorted(leading)
    ]
    return [area for area in found if os.path.lexists(area.path)]


def _of_area(area: Area) -> Iterator[Finding]:
    owned, writable, readable, links = list[str](), list[str](), list[str](), list[str]()
    # Where nobody else gets into the folder, what can be read in it is nobody's.
    is_shut = not os.stat(area.path).st_mode & READABLE
    for path, status in _below(area):
        is_link = stat.S_ISLNK(status.st_mode)
        if is_link and area.name in ("state", "runtime-state"):
            links.append(path)
        if status.st_uid != 0:
            owned.append(path)
        # A folder where only owners remove things, such as /tmp, is no way to replace ours.
        is_sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if is_link or is_sticky:
            continue
        if status.st_mode & WRITABLE & area.forbidden:
            writable.append(path)
        elif status.st_mode & area.forbidden and not is_shut:
            readable.append(path)
    yield from _found(area, "owner", owned, "owned by another user than root", "chown -h root")
    shut = "chmod go-rwx" if area.forbidden == READABLE else "chmod go-w"
    yield from _found(area, "mode", writable, "writable by group or others", shut)
    yield from _found(area, "link", links, "a symbolic link", "ls -l")
    if readable:
        mild = dataclasses.replace(
            area, severity=AT_RISK, consequence="Other users can see who has a second factor."
        )
        yield from _found(mild, "open", readable, "open to group or others", "chmod go-rwx")


def _found(area: Area, fault: str, paths: list[str], what: str, command: str) -> Iterator[Finding]:
    if not paths:
        return
    first, more = shlex.quote(paths[0]), len(paths) - 1
    if more and command.startswith("ch"):
        program, _, rest = command.partition(" ")
        first, command = area.path, f"{program} -R {rest.removeprefix('-h ')}"
    others = f" (and {more} more)" if more else ""
    yield Finding(
        severity=area.severity,
        kind=f"{area.name}-{fault}",
        what=f"{paths[0]}{others} is {what}",
        consequence=area.consequence,
        command=f"{command} {first}",
    )


def _below(area: Area) -> Iterator[tuple[str, os.stat_result]]:
    status = os.lstat(area.path)
    yield area.path, status
    if not area.is_deep:
        return
    folders = [area.path]
    if stat.S_ISLNK(status.st_mode) and os.path.isdir(area.path):
        folders = [os.path.realpath(area.path)]
        yield folders[0], os.stat(folders[0])
    while folders:
        if not os.path.isdir(folders[-1]):
            folders.pop()
            continue
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                try:
                    yield entry.path, entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # a record that a login has replaced meanwhile
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
