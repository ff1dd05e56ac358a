"""The administrator's settings, as the login path has them.

/etc/pam-totp/config.yaml is what people write; reading YAML would cost every login 20 ms. So root
keeps the last good settings as a snapshot, /var/lib/pam-totp/settings/last-good, which names the
very file it was made from (device, inode, size, times). The first login after a change makes it
anew. A file that is invalid, empty or gone changes nothing: the snapshot stays in force, and every
decision says so in the log; where there is none, the defaults hold. (A file of comments is good: it
sets the defaults.)

Format 2, UTF-8: "pam-totp settings 2 DEV INODE SIZE MTIME_NS CTIME_NS", then "KEY VALUE" lines, the
line "rules", the rules (pam_totp.rules.policy.encode), and the line "end". Format 1 had neither
rules nor an end.
"""

import posix
import time
from errno import ENOENT

from pam_totp.records import durable
from pam_totp.rules.decision import BY, MODES, Enrollment
from pam_totp.rules.refusal import Refused
from pam_totp.rules.throttle import Limits

PATH = "/etc/pam-totp/config.yaml"
KIND, NAME = "settings", "last-good"
MOST_BYTES = 4 * 1024 * 1024
# A file that was changed so lately can change again without another time or size to tell.
UNSETTLED_SECONDS = 0.1
MESSAGE = "messages."
DEFAULTS: dict[str, str] = {
    "issuer": "",
    "store": "user",
    "code.digits": "6",
    "code.period": "30",
    "code.algorithm": "SHA1",
    "code.window": "1",
    "throttle.free_tries": "5",
    "throttle.first_wait": "30",
    "throttle.longest_wait": "900",
    "enrollment": "optional",
    "remember": "0",
    "messages.wait": "Too many wrong codes: try again in {seconds} s.",
    "messages.not_enrolled": "This login needs a code. You have none yet: ask the administrator.",
    "messages.deadline": "From {date} on you need a code (days left: {days}): pam-totp enroll",
    "messages.enroll": "Scan this with an authenticator app, or type the key into it.",
}

_HEADER = "pam-totp settings 2"
_OLD_HEADER = "pam-totp settings 1 "
_RULES, _END = "\nrules\n", "\nend\n"


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
        if self.store not in ("user", "system"):
            raise ValueError("no store")
        self.limits = Limits(
            int(values["throttle.free_tries"]),
            int(values["throttle.first_wait"]),
            int(values["throttle.longest_wait"]),
        )
        self.window_steps = int(values["code.window"])
        mode, _, deadline = values["enrollment"].partition(" ")
        if mode not in (*MODES, BY):
            raise ValueError("no mode of enrollment")
        self.enrollment = Enrollment(mode, int(deadline or 0))
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
    """The settings in force. Never raises: what cannot be read changes nothing."""
    try:
        status = posix.stat(PATH)
    except OSError as failure:
        last_good = _last_good()
        if last_good is None and failure.errno == ENOENT:
            return Settings(DEFAULTS)
        return _with_fault(last_good, posix.strerror(failure.errno or 0))
    identity = (
        f"{_HEADER} {status.st_dev} {status.st_ino} {status.st_size} "
        f"{status.st_mtime_ns} {status.st_ctime_ns}"
    )
    last_good = _last_good(identity)
    if last_good is not None:
        return last_good
    try:
        from pam_totp.records import configuration  # PyYAML: only in the first one after a change

        values, rules, faults = configuration.read(PATH)
        settings = Settings(values, f"\n{rules}")
    except Exception as failure:  # a broken library must not lock everybody out
        return _with_fault(_last_good(), f"{type(failure).__name__}: {failure}")
    if faults:
        return _with_fault(_last_good(), faults[0])
    if abs(time.time() - status.st_ctime) <= UNSETTLED_SECONDS:
        identity = f"{_HEADER} 0 0 0 0 0"  # good, and read again at the next login
    _keep(identity, values, rules)
    return settings


def _with_fault(settings: Settings | None, fault: str) -> Settings:
    settings = settings or Settings(DEFAULTS)
    settings.fault = f"{PATH}: {fault}"
    return settings


def _last_good(identity: str = "") -> Settings | None:
    """The snapshot's settings, None without any; with an identity only if it is of that file."""
    try:
        content = durable.read(KIND, NAME, MOST_BYTES)
        if content is None:
            return None
        text = content.decode("utf-8")
        head = text.find(_RULES)
        header, *lines = text[: head if head >= 0 else len(text)].split("\n")
        if identity and header != identity:
            return None
        is_whole = header.startswith(_HEADER) and head >= 0 and text.endswith(_END)
        if not (is_whole or header.startswith(_OLD_HEADER)):
            return None
        values = dict(DEFAULTS)
        for line in lines:
            key, _, value = line.partition(" ")
            if key in values:
                values[key] = value
        return Settings(values, text)  # rules are found in it by their tabs
    except (Refused, ValueError):
        return None


def _keep(identity: str, values: dict[str, str], rules: str) -> None:
    """A full disk or a caller that is not root only costs the next login the same again."""
    try:
        folder = durable.open_folder(KIND, make=True)
        assert folder is not None
        lines = [identity, *(f"{key} {value}" for key, value in values.items())]
        content = "\n".join(lines) + _RULES + rules + _END[1:]
        try:
            durable.replace(folder, NAME, content.encode("utf-8"))
        finally:
            posix.close(folder)
    except (OSError, Refused):
        pass
