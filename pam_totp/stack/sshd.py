# SPDX-License-Identifier: MIT
"""Which authentication methods sshd accepts for a login, as `sshd -T` reports."""

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence

from pam_totp.stack.libpam import Unknown
from pam_totp.stack.sshd_match import Login

SSHD = "/usr/sbin/sshd"
PRIVILEGE_SEPARATION, MISSING = "/run/sshd", "Missing privilege separation directory"
MAX_SECONDS = 10
# Each method with the setting that turns it on.
METHODS = {
    "hostbased": "hostbasedauthentication",
    "gssapi-with-mic": "gssapiauthentication",
    "publickey": "pubkeyauthentication",
    "password": "passwordauthentication",
    "keyboard-interactive": "kbdinteractiveauthentication",
}
BY_PAM = ("password", "keyboard-interactive")  # the methods that run PAM's auth stack
# With these values of PermitRootLogin sshd refuses root after any of those.
NO_PASSWORDS = ("prohibit-password", "without-password", "forced-commands-only")

Way = tuple[str, ...]


def settings_for(user: str, address: str | None) -> dict[str, str]:
    """By keyword, in lower case; address: None for this machine's own. Raises Unknown."""
    here = address or "127.0.0.1"
    return settings_of(Login(user, address=here, host=here))


def settings_of(login: Login, path: str = "", options: Sequence[str] = ()) -> dict[str, str]:
    """The same for a login of which everything is known, by the configuration in use or by another,
    and by what else an sshd was started with. Raises Unknown."""
    if not os.path.exists(SSHD):
        raise Unknown(f"there is no {SSHD}")
    if "," in login.user:
        raise Unknown("sshd -T cannot be asked about a name with a comma")
    about = (
        f"user={login.user},host={login.host},addr={login.address},laddr={login.local_address},"
        f"lport={login.local_port},rdomain={login.rdomain}"
    )
    arguments = [*(["-f", path] if path else []), *options, "-C", about]
    told = _ask(arguments)
    if told.returncode != 0:
        raise Unknown(f"sshd -T: {on_one_line(told.stderr)}")
    return dict(line.partition(" ")[::2] for line in told.stdout.splitlines())


def on_one_line(said: str) -> str:
    """All that sshd says, its lines apart."""
    return "; ".join(" ".join(line.split()) for line in said.splitlines() if line.strip())


def make_folder() -> None:
    """Makes the empty folder without which a stopped sshd says nothing: its unit does at each
    start. Not where nothing may be changed. What keeps it from being made, sshd says."""
    if os.path.exists(SSHD) and os.geteuid() == 0:
        with contextlib.suppress(OSError):
            os.makedirs(PRIVILEGE_SEPARATION, mode=0o755, exist_ok=True)


def _ask(arguments: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            [SSHD, "-T", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MAX_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise Unknown(f"sshd -T: {failure}") from None


def ways(settings: dict[str, str], uid: int) -> list[Way]:
    """Each list of methods that together log this user in; those that never run PAM's auth stack
    first."""
    enabled = [method for method, keyword in METHODS.items() if settings.get(keyword) == "yes"]
    if settings.get("usepam") != "yes" and "keyboard-interactive" in enabled:
        enabled.remove("keyboard-interactive")  # nothing else asks on Linux
    lists = settings.get("authenticationmethods", "any")
    found: list[Way] = [(method,) for method in enabled]
    if lists != "any":
        found = [tuple(m.partition(":")[0] for m in each.split(",")) for each in lists.split()]
    found = [way for way in found if set(way) <= set(enabled)]
    if uid == 0:
        allowed = settings.get("permitrootlogin", "")
        found = [way for way in found if allowed != "no"]
        found = [way for way in found if allowed not in NO_PASSWORDS or not asks_pam(way)]
    return sorted(dict.fromkeys(found), key=lambda way: (asks_pam(way), way.count("publickey")))


def service_of(settings: Mapping[str, str], name: str = "sshd") -> str:
    """The PAM service that sshd asks: a setting from OpenSSH 9.8 on, in a Match block too, and sshd
    where nobody set it; before, the name of the program."""
    return settings.get("pamservicename", name)


def asks_pam(way: Way) -> bool:
    """Whether PAM's auth stack runs for it (with UsePAM yes)."""
    return any(method in BY_PAM for method in way)


def shown(way: Way) -> str:
    """As text."""
    return ", then ".join(way)
