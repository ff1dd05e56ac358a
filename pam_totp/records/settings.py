"""The administrator's settings, as the login path has them.

/etc/pam-totp/config.yaml is what people write; reading YAML would cost every login 20 ms. So root
keeps the last good settings as a snapshot, /var/lib/pam-totp/settings/last-good, which names the
very file it was made from (device, inode, size, times). The first login after a change makes it
anew. A file that is invalid, empty or gone changes nothing: the snapshot stays in force, and every
decision says so in the log; where there is none, the defaults hold. (A file of comments is good: it
sets the defaults.)

Format 1, ASCII: "pam-totp settings 1 DEV INODE SIZE MTIME_NS CTIME_NS", then "KEY VALUE" lines.
"""

import posix
from errno import ENOENT

from pam_totp.records import durable
from pam_totp.rules.refusal import Refused
from pam_totp.rules.throttle import Limits

PATH = "/etc/pam-totp/config.yaml"
KIND, NAME = "settings", "last-good"
DEFAULTS: dict[str, str] = {
    "store": "user",
    "throttle.free_tries": "5",
    "throttle.first_wait": "30",
    "throttle.longest_wait": "900",
}

_HEADER = "pam-totp settings 1"


class Settings:
    """store: "user" or "system"; limits: of the throttle; fault: why the file was not used."""

    __slots__ = ("fault", "limits", "store")

    def __init__(self, values: dict[str, str], fault: str = "") -> None:
        self.store = values["store"]
        if self.store not in ("user", "system"):
            raise ValueError
        self.limits = Limits(
            int(values["throttle.free_tries"]),
            int(values["throttle.first_wait"]),
            int(values["throttle.longest_wait"]),
        )
        self.fault = fault


def load() -> Settings:
    """The settings in force. Never raises: what cannot be read changes nothing."""
    try:
        status = posix.stat(PATH)
    except OSError as failure:
        values = _last_good()
        if values is None and failure.errno == ENOENT:
            return Settings(DEFAULTS)
        return Settings(values or DEFAULTS, f"{PATH}: {failure.strerror}")
    identity = (
        f"{_HEADER} {status.st_dev} {status.st_ino} {status.st_size} "
        f"{status.st_mtime_ns} {status.st_ctime_ns}"
    )
    values = _last_good(identity)
    if values is not None:
        return Settings(values)
    try:
        from pam_totp.records import configuration  # PyYAML: only in the first one after a change

        values, faults = configuration.read(PATH)
    except Exception as failure:  # a broken library must not lock everybody out
        values, faults = None, [f"{type(failure).__name__}: {failure}"]
    if faults or values is None:
        return Settings(_last_good() or DEFAULTS, f"{PATH}: {faults[0]}")
    _keep(identity, values)
    return Settings(values)


def _last_good(identity: str = "") -> dict[str, str] | None:
    """The snapshot's values, None without any; with an identity only if it is of that file."""
    try:
        content = durable.read(KIND, NAME)
        if content is None:
            return None
        header, *lines = content.decode("ascii").rstrip("\n").split("\n")
        if not header.startswith(_HEADER) or (identity and header != identity):
            return None
        values = dict(DEFAULTS)
        for line in lines:
            key, _, value = line.partition(" ")
            if key in values:
                values[key] = value
        Settings(values)
    except (Refused, ValueError):
        return None
    return values


def _keep(identity: str, values: dict[str, str]) -> None:
    """A full disk or a caller that is not root only costs the next login the same again."""
    try:
        folder = durable.open_folder(KIND, make=True)
        assert folder is not None
        lines = [identity, *(f"{key} {value}" for key, value in values.items()), ""]
        try:
            durable.replace(folder, NAME, "\n".join(lines).encode("ascii"))
        finally:
            posix.close(folder)
    except (OSError, Refused):
        pass
