# SPDX-License-Identifier: MIT
"""The file systems that hold the state: full, read-only, missing, or of the wrong kind."""

import os
from collections.abc import Iterator

from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.review.doctor.findings import AT_RISK, REFUSED, Finding
from pam_totp.review.doctor.host import Host

IN_MEMORY = ("tmpfs", "ramfs")
# Room for a few records of each user who logs in next; a record takes one block and one inode.
MIN_BLOCKS, MIN_INODES = 64, 16
REFUSES_CODES = "Every code is refused, because it cannot be recorded as used."
REFUSES_RECOVERY = "Recovery codes are refused, and nothing that root changes is kept."


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    del host
    if not os.path.isdir(VAR.path):
        yield Finding(
            severity=REFUSED,
            kind="state-missing",
            what=f"there is no folder {VAR.path}",
            consequence="Every login that may need a code is refused.",
            command=f"install -d -m 700 {VAR.path}",
        )
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = mounts_of(file.read())
    for state, consequence in ((RUN, REFUSES_CODES), (VAR, REFUSES_RECOVERY)):
        path = state.path if os.path.isdir(state.path) else os.path.dirname(state.path)
        if not os.path.isdir(path):
            yield _missing(path)
            continue
        point, kind = mount_of(path, mounts)
        yield from _of_room(path, os.statvfs(path), consequence)
        yield from of_kind(path, point, kind, is_volatile=state.is_volatile)


def mounts_of(table: str) -> dict[str, str]:
    """The kind of file system at each mount point of /proc/self/mountinfo (proc(5))."""
    found = {}
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode("latin-1", "replace").decode("unicode_escape")
        found[point] = after.split()[0]  # a later one is over an earlier one
    return found


def mount_of(path: str, mounts: dict[str, str]) -> tuple[str, str]:
    """The mount point above a path, and its kind of file system."""
    path = os.path.realpath(path)
    while path not in mounts and path != "/":
        path = os.path.dirname(path)
    return path, mounts.get(path, "unknown")


def of_kind(path: str, point: str, kind: str, *, is_volatile: bool) -> Iterator[Finding]:
    """What is for minutes belongs into memory; what outlives a reboot does not."""
    if is_volatile and kind not in IN_MEMORY:
        yield Finding(
            severity=AT_RISK,
            kind="runtime-state-on-disk",
            what=f"{path} is on a disk ({kind} at {point}), not in memory",
            consequence="A full disk then refuses every code, and waits after incorrect codes are "
            "wrong after a reboot.",
            command=f"mkdir -p {RUN.path} && mount -t tmpfs -o mode=700,nosuid,nodev tmpfs "
            f"{RUN.path}",
        )
    if not is_volatile and kind in IN_MEMORY:
        yield Finding(
            severity=AT_RISK,
            kind="state-in-memory",
            what=f"{path} is in memory ({kind} at {point}), so a reboot empties it",
            consequence="After a reboot used recovery codes are accepted again, and removing a "
            "secret turns the code off.",
            command=f"findmnt -T {path}",
        )


def _of_room(path: str, room: os.statvfs_result, consequence: str) -> Iterator[Finding]:
    if room.f_flag & os.ST_RDONLY:
        command = f"mount -o remount,rw {path}"
        what = f"{path} is on a read-only file system"
        yield Finding(REFUSED, "state-read-only", what, consequence, command)
    if room.f_blocks and room.f_bfree < MIN_BLOCKS:
        what = f"the file system of {path} is full ({room.f_bfree} blocks are left)"
        yield Finding(REFUSED, "state-full", what, consequence, f"df -h {path}")
    if room.f_files and room.f_ffree < MIN_INODES:
        what = f"the file system of {path} has no room for more files ({room.f_ffree} are left)"
        yield Finding(REFUSED, "state-without-inodes", what, consequence, f"df -i {path}")


def _missing(path: str) -> Finding:
    what, consequence = f"there is no folder {path}", "Every login that needs a code is refused."
    return Finding(REFUSED, "folder-missing", what, consequence, f"install -d -m 755 {path}")
