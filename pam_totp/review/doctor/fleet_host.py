# SPDX-License-Identifier: MIT
"""A login host with store: postgresql: its two files, its agent, what the store answers, and the
codes for when it does not."""

import os
import stat
from collections.abc import Iterator

from pam_totp.fleet import cluster
from pam_totp.records import fleet_of_commands
from pam_totp.records.config import store_conf
from pam_totp.records.config.settings import AGENT_SOCKET, FLEET
from pam_totp.records.host import agent, outage
from pam_totp.review.doctor.clock import tolerated_seconds
from pam_totp.review.doctor.findings import AT_RISK, OPEN, REFUSED, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.doctor.imports import failures_of
from pam_totp.review.doctor.settings_edit import command_to_set
from pam_totp.rules import agent_line
from pam_totp.rules.reasons import HOST_REFUSED, Failure

_JOIN = "pam-totp store join"
_REFUSED = "Every login that needs a code is refused, except with an outage code or a grant."
FILES = (store_conf.PATH, store_conf.PASSWORD_PATH)


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    if host.active.store != FLEET:
        yield from _of_forgotten_setting(host.active.store)
        return
    failures = failures_of(["import psycopg"])
    for failure in failures.values():
        what = f"the Python library psycopg cannot be used: {failure}"
        command = "apt-get install --reinstall python3-psycopg"
        yield Finding(REFUSED, "library-missing", what, _REFUSED, command)
    of_files = list(_of_files())
    yield from of_files
    yield from _of_outage_codes()
    if failures or any(each.severity == REFUSED for each in of_files):
        return  # then the agent cannot answer either
    yield from _of_agent(host)


def _of_forgotten_setting(store: str) -> Iterator[Finding]:
    """A database server may have joined a store too, and must not go by it."""
    if not all(map(os.path.exists, FILES)) or cluster.is_configured():
        return
    yield Finding(
        severity=OPEN,
        kind="store-not-set",
        what=f"this host has joined a store, and its settings have store: {store}",
        consequence="Users who have enrolled in the fleet alone are asked for no code here. After "
        "the change, users with a secret on this host are refused until it was moved: see FLEET "
        "in pam-totp(1).",
        command=command_to_set("store", FLEET),
    )


def _of_files() -> Iterator[Finding]:
    for path in FILES:
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            yield Finding(REFUSED, "store-file-missing", f"there is no {path}", _REFUSED, _JOIN)
            continue
        writable = status.st_mode & 0o022
        if status.st_uid != 0 or writable:
            fault = "owned by another user than root" if status.st_uid else "writable by others"
            command = f"chown root {path}" if status.st_uid else f"chmod 600 {path}"
            consequence = "Other users can name a store of their own, which accepts any code."
            yield Finding(OPEN, "store-file-unsafe", f"{path} is {fault}", consequence, command)
        elif stat.S_IMODE(status.st_mode) & 0o077 and path == store_conf.PASSWORD_PATH:
            consequence = "Other users can ask the store as this host, and use up its tries."
            what = f"{path} can be read by others"
            yield Finding(AT_RISK, "store-file-open", what, consequence, f"chmod 600 {path}")
    if os.path.exists(store_conf.PATH):
        try:
            store_conf.read()
        except Failure as failure:
            yield Finding(REFUSED, "store-conf-unusable", failure.detail, _REFUSED, _JOIN)


def _of_outage_codes() -> Iterator[Finding]:
    try:
        left = outage.left()
    except Failure as failure:
        what, _, command = failure.detail.partition("; run: ")
        left, why = 0, what
    else:
        why, command = "this host has no outage codes left", ""
    if not left:
        yield Finding(
            severity=AT_RISK,
            kind="no-outage-codes",
            what=why,
            consequence="While the store does not answer, only users with a grant can log in.",
            command=command or f"{_JOIN} --new-outage-codes",
        )


def _of_agent(host: Host) -> Iterator[Finding]:
    if not os.path.exists(AGENT_SOCKET):
        what = f"there is no {AGENT_SOCKET}, so the agent cannot be asked"
        command = "systemctl enable --now pam-totp-agent.socket pam-totp-enroll.socket"
        yield Finding(REFUSED, "agent-not-listening", what, _REFUSED, command)
        return
    if _is_outdated():
        what = "pam-totp-agent still runs with an earlier store.conf"
        consequence = "What was changed in the file does not count until the agent has ended."
        command = "systemctl stop pam-totp-agent.service pam-totp-enroll.service"
        yield Finding(AT_RISK, "agent-outdated", what, consequence, command)
        return
    try:
        info = fleet_of_commands.info()
    except Failure as failure:
        if failure.reason == HOST_REFUSED:
            yield _of_refusal(failure.detail)
            return
        what = f"the store does not answer: {failure.detail}"
        yield Finding(REFUSED, "store-silent", what, _REFUSED, "journalctl -u pam-totp-agent")
        return
    off = info.clock_difference
    if abs(off) >= tolerated_seconds(host.active):
        what = f"the store's clock is {abs(off):.0f} seconds {'ahead' if off > 0 else 'behind'}"
        consequence = "One of the two clocks is wrong. Codes are checked by that of the store."
        yield Finding(AT_RISK, "store-clock-differs", what, consequence, "timedatectl")


def _of_refusal(why: str) -> Finding:
    """That the store has thrown this host out, or that another one has taken its name."""
    name = store_conf.read().keywords["user"]
    anew = f"pam-totp store remove {name} && pam-totp store add {name}"
    consequence = (
        "Every login that needs a code is refused, outage codes too, but for grants. If this host "
        f"is to be in the fleet, first run on the primary database server: {anew}"
    )
    return Finding(REFUSED, "host-refused", why, consequence, _JOIN)


def _is_outdated() -> bool:
    """Whether the agent began with another store.conf. It ends by itself after ten minutes without
    a login, and starts with what is there then."""
    try:
        return agent.ask(agent_line.CONF) != [store_conf.fingerprint(store_conf.read())]
    except Failure:
        return False  # it does not answer, which is found by the next question
