# SPDX-License-Identifier: MIT
"""Which groups an account is in, for rules that name groups; the answer may be "unknown"."""

import grp
import posix

from pam_totp.rules.pattern import is_pattern, matches

LOCAL_SOURCES = ("files", "compat", "systemd")


class Groups:
    """The groups of one account (name, id of its primary group), looked up as far as a policy asks
    for them.

    A group that is not found is "unknown", not "not a member": the C library says the same of one
    that does not exist and of a directory that does not answer.
    """

    __slots__ = ("_answers", "_gid", "_ids", "_local", "_name")

    def __init__(self, name: str, gid: int) -> None:
        self._name = name
        self._gid = gid
        self._ids: set[int] = set()
        self._local: dict[str, tuple[int, str]] = {}
        self._answers: dict[str, bool | None] = {}

    def has(self, name: str) -> bool | None:
        """Whether the account is in a group of this name or pattern; None: unknown."""
        if name not in self._answers:
            look_up = self._is_in_any_like if is_pattern(name) else self._is_in
            try:
                if not self._ids:
                    self._local = _local_groups()
                    self._ids.update(posix.getgrouplist(self._name, self._gid))
                self._answers[name] = look_up(name)
            except (OSError, KeyError, ValueError):
                self._answers[name] = None
        return self._answers[name]

    def _is_in(self, name: str) -> bool:
        # The members too: where the look-up of a user's groups fails, the C library returns fewer.
        if name in self._local:
            group_id, members = self._local[name]
            return group_id in self._ids or self._name in members.split(",")
        group = grp.getgrnam(name)
        return group.gr_gid in self._ids or self._name in group.gr_mem

    def _is_in_any_like(self, pattern: str) -> bool | None:
        # Where the look-up of a user's groups fails, the C library returns fewer, without an error:
        # only where all groups are local is "none of them" known.
        answer = None if has_directory() else False
        local = [name for name in self._local if matches(pattern, name)]
        if any(self._is_in(name) for name in local):
            return True
        for group_id in self._ids.difference(group_id for group_id, _ in self._local.values()):
            try:
                if matches(pattern, grp.getgrgid(group_id).gr_name):
                    return True
            except KeyError:
                answer = None
        return answer


def _local_groups() -> dict[str, tuple[int, str]]:
    """Id and members of this machine's own groups. Asked for 500 of them, the C library would read
    the file 500 times; it is asked for those that are not there."""
    groups = dict[str, tuple[int, str]]()
    with open("/etc/group", "rb") as file:
        content = file.read()
    for line in content.decode("utf-8", "surrogateescape").split("\n"):
        name, _, rest = line.lstrip().partition(":")
        group_id, _, members = rest.partition(":")[2].partition(":")
        if group_id.isdigit():
            groups.setdefault(name, (int(group_id), members))
    return groups


def has_directory() -> bool:
    """Whether groups may come from elsewhere than this machine's own files (nsswitch.conf(5))."""
    try:
        with open("/etc/nsswitch.conf", "rb") as file:
            lines = file.read(1 << 16).decode("ascii", "replace").split("\n")
    except FileNotFoundError:
        return False  # the C library's default: files
    return any(
        source not in LOCAL_SOURCES
        for line in lines
        if line.startswith("group:")
        for source in line.partition("#")[0].split()[1:]
    )
