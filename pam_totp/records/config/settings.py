# SPDX-License-Identifier: MIT
"""The administrator's settings, as the login path has them.

/etc/pam-totp/config.yaml is what people write; reading YAML would cost every login 20 ms, so the
first login after a change keeps a snapshot: /var/lib/pam-totp/settings/last-good, which names the
very file that it was made from. While it cannot be kept there (a full or a read-only disk), it is
in /run/pam-totp/settings/last-good, and every decision says so in the log. A file that is invalid,
empty or gone changes nothing: the snapshot still applies, and every decision says so in the log. If
there never was one, the defaults apply. (A file of comments is valid: it sets the defaults.)

Format, UTF-8: "pam-totp settings 1 DEV INODE SIZE MTIME_NS CTIME_NS", with the time of reading
behind it where a later change of the file might not show, then "KEY VALUE" lines, the line "rules",
the rules (pam_totp.rules.encoding), and the line "end".
"""

import posix
import time
from errno import ENOENT

from pam_totp.records.config.table import DEFAULTS
from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.rules.enrollment import Enrollment
from pam_totp.rules.policy import REQUIRED
from pam_totp.rules.reasons import Failure
from pam_totp.rules.record import Record
from pam_totp.rules.throttle import Limits

PATH = "/etc/pam-totp/config.yaml"
KIND, NAME = "settings", "last-good"
MAX_BYTES = 4 * 1024 * 1024  # of a snapshot
# A file that was changed so lately can change again without another time or size to tell, so what
# is read of it is read again at the next login.
UNSETTLED_SECONDS = 0.1
MESSAGE = "messages."
FLEET = "postgresql"  # the store of a fleet
AGENT_SOCKET = "/run/pam-totp/agent.sock"  # root's, on a host that has joined it
NO_FILE = "0 0 0 0 0"

HEADER = "pam-totp settings 1 "
RULES, END = b"\nrules", b"end\n"


class Settings(Record):
    """values: by the keys of DEFAULTS; store: "user", "system" or FLEET; limits: of the throttle;
    window_steps: to each side of now; remember_seconds: 0 is off; rules: encoded, each
    between line ends; fault: why the file is not used, or its snapshot not kept."""

    values: dict[str, str]
    store: str
    limits: Limits
    window_steps: int
    enrollment: Enrollment
    remember_seconds: int
    rules: bytes
    fault: str

    def message(self, name: str, **values: object) -> str:
        """A line for the user, with what changes from login to login put in."""
        text = self.values[MESSAGE + name]
        if self.store == FLEET:
            from pam_totp.records.config.fleet_messages import INSTEAD  # no other store needs it

            text = INSTEAD.get(text, text)
        for key, value in values.items():
            text = text.replace(f"{{{key}}}", str(value))
        return text


def load(*, keeps: bool = True) -> Settings:
    """The active settings. What is wrong with the file changes nothing. Raises Failure, OSError
    or MemoryError where this process lacks memory or descriptors, which says nothing of the file:
    its caller may have taken them away. keeps: a snapshot; without it nothing is written."""
    try:
        identity = identity_of(PATH)
    except OSError as failure:
        return without_the_file(posix.strerror(failure.errno or 0), keeps, is_known=False)
    if identity == NO_FILE:
        return without_the_file("", keeps)
    try:
        kept = last_good(identity, keeps=keeps)
    except (OSError, Failure, ValueError):
        kept = None  # it is made anew
    if kept is not None:
        return kept
    from pam_totp.records.config.edited import load_edited  # only the first login after an edit

    return load_edited(identity, keeps=keeps)


def identity_of(path: str) -> str:
    """What tells one state of a file from every other; NO_FILE where there is none. Raises
    OSError."""
    try:
        of = posix.stat(path)
    except FileNotFoundError:
        return NO_FILE
    identity = f"{of.st_dev} {of.st_ino} {of.st_size} {of.st_mtime_ns} {of.st_ctime_ns}"
    # Some file systems count whole seconds.
    unsettled = UNSETTLED_SECONDS if of.st_ctime_ns % 1_000_000_000 else 2.0
    if path == PATH and abs((now := time.time()) - of.st_ctime) <= unsettled:
        identity += f" {now}"  # which holds for this moment; other files are replaced by others
    return identity


def typed(values: dict[str, str], rules: bytes, fault: str = "") -> Settings:
    """The settings of values that were read and checked. Raises ValueError or KeyError."""
    mode, _, deadline = values["enrollment"].partition(" ")
    services = tuple(values["enrollment_services"].split())
    return Settings(
        values=values,
        store=values["store"],
        limits=Limits(
            free_tries=int(values["throttle.free_tries"]),
            first_wait=int(values["throttle.first_wait"]),
            longest_wait=int(values["throttle.longest_wait"]),
        ),
        window_steps=int(values["code.window"]),
        enrollment=Enrollment(mode=mode, deadline=int(deadline or 0), more_services=services),
        remember_seconds=int(values["remember"]),
        rules=rules,
        fault=fault,
    )


def last_good(identity: str = "", *, keeps: bool = True) -> Settings | None:
    """The snapshot's settings, None without any; with an identity only if it is of that file.
    Raises OSError, Failure or ValueError where there is one and it cannot be used."""
    content, fault = VAR.read(KIND, NAME, MAX_BYTES), ""
    snapshot = _parse(content, identity) if content is not None else None
    if snapshot is None or not identity:
        content = RUN.read(KIND, NAME, MAX_BYTES)
        if content is not None and (latest := _parse(content, identity)) is not None:
            from pam_totp.records.config.edited import keep  # only after a full disk

            snapshot, fault = latest, keep(content) if keeps else ""
    if snapshot is None:
        return None
    values, rules = snapshot
    return typed(DEFAULTS | values, rules, fault)


def without_the_file(fault: str, keeps: bool, *, is_known: bool = True) -> Settings:
    """The settings if the file cannot be used: the last good ones, or the defaults if there never
    were any. If it is not known what the file says, or what there was, every user must enter a
    code."""
    try:
        kept = last_good(keeps=keeps)
    except (OSError, Failure, ValueError):
        kept, is_known = None, False
    if kept is not None:
        return typed(kept.values, kept.rules, f"{PATH}: {fault or posix.strerror(ENOENT)}")
    defaults = DEFAULTS
    # Only root can look. A screen locker asks users who have enrolled; where root never wrote a
    # file, which is how it is installed, there is no fault.
    if not is_known and posix.geteuid() == 0:
        defaults = DEFAULTS | {"enrollment": REQUIRED}
        fault = fault or "No such file; the last good settings cannot be read"
    return typed(defaults, b"", f"{PATH}: {fault}" if fault else "")


def _parse(content: bytes, identity: str) -> tuple[dict[str, str], bytes] | None:
    """The values of a snapshot and its rules; None if it is of another file."""
    end_of_head = content.find(RULES + b"\n")
    header, *lines = content[: max(end_of_head, 0)].decode().split("\n")
    if identity and header != HEADER + identity:
        return None
    if not (header.startswith(HEADER) and content.endswith(b"\n" + END)):
        raise ValueError("no snapshot")
    pairs = [line.partition(" ") for line in lines]
    values = {key: value for key, _, value in pairs if key in DEFAULTS}
    return values, content[end_of_head + len(RULES) : -len(END)]
