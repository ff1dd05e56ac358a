"""What sshd's own settings make of a login that PAM would ask for a code."""

import os
import subprocess

SSHD = "/usr/sbin/sshd"
MOST_SECONDS = 10


def faults(user: str, address: str | None, publickey: bool) -> list[str]:
    """Why this login is not asked, or cannot be; empty where there is no sshd or it does not say.

    address: None for this machine's own; publickey: after a key was accepted.
    """
    if not os.path.exists(SSHD) or "," in user:
        return []
    here = address or "127.0.0.1"
    login = f"user={user},host={here},addr={here}"  # so that its Match blocks are heeded
    try:
        told = subprocess.run(
            [SSHD, "-T", "-C", login],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=MOST_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    if told.returncode != 0:
        return [f"sshd -T: {' '.join(told.stderr.split())}"]
    settings = dict(line.partition(" ")[::2] for line in told.stdout.splitlines())
    methods = settings.get("authenticationmethods", "any").split()
    if settings.get("usepam") != "yes":
        return ["sshd has UsePAM no: nothing is asked"]
    if publickey and not {"any", "publickey"}.isdisjoint(methods):
        return ["sshd is content with the key alone (AuthenticationMethods): nothing is asked"]
    if settings.get("kbdinteractiveauthentication") != "yes":
        return ["sshd cannot ask (KbdInteractiveAuthentication no): refused if a code is needed"]
    return []
