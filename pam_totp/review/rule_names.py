# SPDX-License-Identifier: MIT
"""Users, groups and services in rules: do they exist, and does the rule apply to anybody?"""

import grp
import os
import pwd
import re
from collections.abc import Iterator

from pam_totp.records.host.groups import Groups, has_directory
from pam_totp.rules.pattern import is_pattern, matches
from pam_totp.rules.policy import IF_ENROLLED, LOCAL, NEVER, REQUIRED, SK, Rule
from pam_totp.spelling import did_you_mean
from pam_totp.stack import services
from pam_totp.stack.libpam import SERVICE_FOLDERS

# A missing group and one that cannot be looked up are the same to the C library.
STRICTEST = {
    NEVER: "this rule exempts no user",
    IF_ENROLLED: "this rule overrides a later `never` for all users who match its other conditions",
    REQUIRED: "all users who match its other conditions must enter a code",
}
# Services that no remote daemon uses, so that "no remote host" means local there.
LOCAL_SERVICES = (
    *("login", "su", "su-l", "sudo", "sudo-i", "runuser", "runuser-l", "polkit-1", "pkexec"),
    *("doas", "passwd", "chfn", "chsh", "newgrp", "cron", "atd", "systemd-user"),
    *("lightdm", "sddm", "gdm*", "greetd"),
    *("i3lock", "swaylock", "gtklock", "slock", "vlock", "xscreensaver", "xsecurelock", "kde*"),
    *("hyprlock", "waylock", "mate-screensaver", "cinnamon-screensaver"),
)
_SETS = re.compile(r"\[(?:!.|[^!])[^\]]*\]", re.DOTALL)


class Host:
    """The users, groups and services of this machine, each list read once, when first asked for."""

    def __init__(self) -> None:
        self.folder = SERVICE_FOLDERS[0]
        self.asking = services.that_ask()
        self._lists: dict[str, list[str]] = {}
        self._known: dict[tuple[str, str], bool] = {}
        self._primary_groups: set[int] | None = None

    def names(self, kind: str) -> list[str]:
        """All of a kind that can be listed; a directory may not list all."""
        if kind not in self._lists:
            if kind == "user":
                found = [account.pw_name for account in pwd.getpwall()]
            elif kind == "group":
                found = [group.gr_name for group in grp.getgrall()]
            else:
                found = services.names()
            self._lists[kind] = found
        return self._lists[kind]

    def has(self, kind: str, name: str) -> bool:
        """Whether one has this name, or one that can be listed matches this pattern."""
        if (kind, name) not in self._known:
            self._known[kind, name] = self._look_up(kind, name)
        return self._known[kind, name]

    def _look_up(self, kind: str, name: str) -> bool:
        if is_pattern(name):
            return any(matches(name, each) for each in self.names(kind))
        if kind == "service":
            return name in self.names(kind)
        try:
            _ = pwd.getpwnam(name) if kind == "user" else grp.getgrnam(name)
        except (KeyError, ValueError):
            return False
        return True

    def is_empty(self, group: str) -> bool:
        """Whether it has no members that can be listed."""
        if self._primary_groups is None:
            self._primary_groups = {account.pw_gid for account in pwd.getpwall()}
        found = grp.getgrnam(group)
        return not found.gr_mem and found.gr_gid not in self._primary_groups


def of_rule(rule: Rule, host: Host) -> Iterator[str]:
    """What is odd about the names of a rule."""
    for kind, names in (("user", rule.users), ("group", rule.groups), ("service", rule.services)):
        for name in names:
            yield from _of_pattern(name)
            if not host.has(kind, name):
                yield _missing(kind, name, rule, host)
            elif kind == "user":
                yield from _of_user(name)
            elif kind == "service" and rule.code != NEVER:  # which is what happens there
                yield from _of_service(name, host)
            elif kind == "group" and not is_pattern(name) and host.is_empty(name):
                yield f"group {name} has no members that can be listed"
            if kind == "group" and is_pattern(name) and has_directory():
                what = f"groups that match {name} may be in a directory that does not answer"
                yield f"{what}; then {STRICTEST[rule.code]}; name the groups instead"
    if rule.users and not any(host.has("user", name) for name in rule.users):
        if len(rule.users) > 1:  # of one name that has been said
            yield "no user that can be listed matches this rule"
    elif _is_for_no_member(rule):
        yield "this rule can never match: none of its users is a member of its groups"
    yield from _of_local(rule, host)
    has_sshd = not rule.services or any(matches(name, "sshd") for name in rule.services)
    if rule.publickey in ("yes", SK) and not has_sshd:
        yield "this rule can never match: only sshd supports publickey"


def _missing(kind: str, name: str, rule: Rule, host: Host) -> str:
    if is_pattern(name):
        return f"no {kind} that can be listed matches {name}"
    if kind == "service":
        what = f"service {name} does not exist in {host.folder}"
    else:
        what = f"{kind} {name} does not exist"
    if "," in name:
        listed = ", ".join(part.strip() for part in name.split(","))
        return f"{what}; did you mean [{listed}]?"
    what += did_you_mean(name, host.names(kind))
    if kind == "user" and name.isdigit():
        what += " (rules take names, not numbers)"
    if kind == "group":
        what += f"; until it exists, {STRICTEST[rule.code]}"
    return what


def _of_user(name: str) -> Iterator[str]:
    """A directory may answer to several spellings, and two names may have one id."""
    if is_pattern(name):
        return
    try:
        canonical = pwd.getpwuid(pwd.getpwnam(name).pw_uid).pw_name
    except (KeyError, ValueError):
        yield f"user {name} has an id that cannot be looked up: every login is refused"
        return
    if canonical != name:
        what = f"{name} is another name of user {canonical}"
        yield f"{what}, to whom this rule does not apply under that name; write {canonical}"


def _of_service(name: str, host: Host) -> Iterator[str]:
    if is_pattern(name):
        if not any(matches(name, service) for service in host.asking):
            yield f"no service that matches {name} asks for a code (no pam_totp.so line)"
    elif name not in host.asking and os.access(os.path.join(host.folder, name), os.R_OK):
        yield f"{name} never asks for a code (no pam_totp.so line in {host.folder}/{name})"


def _of_local(rule: Rule, host: Host) -> Iterator[str]:
    """A daemon that passes no remote host to PAM (xrdp) looks like a local login."""
    if LOCAL not in rule.sources or rule.code == REQUIRED:
        return
    named = [
        each
        for name in rule.services
        for each in (
            [service for service in host.names("service") if matches(name, service)]
            if is_pattern(name)
            else [name]
        )
    ]
    odd = [each for each in named if not any(matches(local, each) for local in LOCAL_SERVICES)]
    if odd or not rule.services:
        at = f"at {', '.join(odd)}" if odd else "at any service"
        yield (
            f"from: local also matches remote logins {at}, if a daemon passes no address to PAM "
            "(such as xrdp); add a condition like service: [login, su, sudo]"
        )


def _is_for_no_member(rule: Rule) -> bool:
    """Whether all users are named plainly, and are certain to be in none of the groups."""
    if not rule.groups or not rule.users or any(is_pattern(name) for name in rule.users):
        return False
    for name in rule.users:
        try:
            groups = Groups(name, pwd.getpwnam(name).pw_gid)
        except (KeyError, ValueError):
            continue
        if any(groups.has(group) is not False for group in rule.groups):
            return False
    return True


def _of_pattern(text: str) -> Iterator[str]:
    """What is valid in a pattern but has another meaning elsewhere."""
    for members in _SETS.findall(text):
        if members.startswith("[^"):
            yield f"{text}: [^a] matches ^ or a; for all but a, write [!a]"
        if members.startswith("[[:"):
            yield f"{text}: classes like [:digit:] are not supported; write [0-9]"
        for low, high in re.findall("(.)-(.)", members[1:-1], re.DOTALL):
            if low > high:
                yield f"{text}: the range {low}-{high} is empty"
