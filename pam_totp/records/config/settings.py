"""The administrator's settings, as the login path has them.

/etc/pam-totp/config.yaml is what people write; reading YAML would cost every login 20 ms, so the
first login after a change keeps a snapshot (pam_totp.records.config.snapshot). A file that is
invalid, empty or gone changes nothing: the snapshot still applies, and every decision says so in
the log. If there never was one, the defaults apply. (A file of comments is valid: it sets the
defaults.)
"""

import posix
import time
from errno import EMFILE, ENFILE, ENOENT, ENOMEM

from pam_totp.records.config import snapshot
from pam_totp.records.config.table import DEFAULTS
from pam_totp.rules.enrollment import BY, MODES, Enrollment
from pam_totp.rules.policy import REQUIRED
from pam_totp.rules.reasons import Failure
from pam_totp.rules.throttle import Limits

PATH = "/etc/pam-totp/config.yaml"
# A file that was changed so lately can change again without another time or size to tell.
UNSETTLED_SECONDS = 0.1
SCARCE = (EMFILE, ENFILE, ENOMEM)
MESSAGE = "messages."


class Settings:
    """store: "user" or "system"; limits: of the throttle; window_steps: to each side of now;
    remember_seconds: 0 is off; rules: a text that holds the encoded ones; fault: why the file is
    not used."""

    __slots__ = (
        "_values",
        "enrollment",
        "fault",
        "limits",
        "remember_seconds",
        "rules",
        "store",
        "window_steps",
    )

    def __init__(self, values: dict[str, str], rules: str = "", fault: str = "") -> None:
        self._values = values
        self.store = values["store"]
        self.limits = Limits(**{name: int(values[f"throttle.{name}"]) for name in Limits.__slots__})
        self.window_steps = int(values["code.window"])
        mode, _, deadline = values["enrollment"].partition(" ")
        if self.store not in ("user", "system") or mode not in (*MODES, BY):
            raise ValueError("unknown store or mode of enrollment")
        services = values["enrollment_services"].split()
        self.enrollment = Enrollment(mode, int(deadline or 0), services)
        self.remember_seconds = int(values["remember"])
        self.rules = rules
        self.fault = fault

    def __getitem__(self, key: str) -> str:
        """The value of a key of DEFAULTS."""
        return self._values[key]

    def message(self, name: str, **values: object) -> str:
        """A line for the user, with what changes from login to login put in."""
        text = self._values[MESSAGE + name]
        for key, value in values.items():
            text = text.replace(f"{{{key}}}", str(value))
        return text


def load() -> Settings:
    """The active settings. What is wrong with the file changes nothing. Raises Failure, OSError
    or MemoryError where this process lacks memory or descriptors, which says nothing of the file:
    its caller may have taken them away."""
    try:
        status = posix.stat(PATH)
    except OSError as failure:
        return _without_the_file(
            "" if failure.errno == ENOENT else posix.strerror(failure.errno or 0)
        )
    identity = (
        f"{status.st_dev} {status.st_ino} {status.st_size} "
        f"{status.st_mtime_ns} {status.st_ctime_ns}"
    )
    try:
        last_good = _last_good(identity)
    except (OSError, Failure, ValueError):
        last_good = None  # it is made anew
    if last_good is not None:
        return last_good
    try:
        from pam_totp.records.config import reader  # PyYAML: only in the first one after a change

        values, rules, faults = reader.read(PATH)
        settings = Settings(values, f"\n{rules}")
    except (MemoryError, Failure):
        raise
    except Exception as failure:  # a broken library must not lock everybody out
        if isinstance(failure, OSError) and failure.errno in SCARCE:
            raise
        return _without_the_file(f"{type(failure).__name__}: {failure}")
    if faults:
        return _without_the_file(faults[0])
    # Some file systems count whole seconds.
    unsettled = UNSETTLED_SECONDS if status.st_ctime_ns % 1_000_000_000 else 2.0
    if abs(time.time() - status.st_ctime) <= unsettled:
        identity = snapshot.OF_NO_FILE  # good, and read again at the next login
    settings.fault = snapshot.make(identity, values, rules)
    return settings


def _without_the_file(fault: str) -> Settings:
    """The settings if the file cannot be used: the last good ones, or the defaults if there never
    were any. If it cannot be determined what there was, every user must enter a code."""
    kept: Settings | None = None
    try:
        kept = _last_good()
        settings = kept or Settings(DEFAULTS)
    except (OSError, Failure, ValueError):
        if posix.geteuid() != 0:
            # Only root can look. A screen locker asks users who have enrolled; where root never
            # wrote a file, which is how it is installed, there is no fault.
            settings = Settings(DEFAULTS)
        else:
            settings = Settings(DEFAULTS | {"enrollment": REQUIRED})
            fault = fault or "No such file; the last good settings cannot be read"
    if fault or kept is not None:
        settings.fault = f"{PATH}: {fault or posix.strerror(ENOENT)}"
    return settings


def _last_good(identity: str = "") -> Settings | None:
    """The snapshot's settings, None without any; with an identity only if it is of that file.
    Raises OSError, Failure or ValueError where there is one and it cannot be used."""
    found = snapshot.find(identity)
    if found is None:
        return None
    known = {key: value for key, value in found.values.items() if key in DEFAULTS}
    return Settings(DEFAULTS | known, found.text, found.fault)
