"""Why what `explain` says does not come to pass: the service's stack, and sshd before it."""

import os
import subprocess

from pam_totp.stack import services

SSHD = "/usr/sbin/sshd"
MAX_SECONDS = 10


def reasons(
    user: str, service: str, address: str | None, *, publickey: bool, has_line: bool
) -> list[str]:
    """A sentence for each. address: None for this machine's own; publickey: after a key;
    has_line: the service's stack has a line of ours."""
    stack = f"{services.PAM_DIR}/{service}"
    if not os.path.isfile(stack):
        return [f"there is no PAM service file {stack}"]
    if not has_line:
        return [f"{stack} has no line of ours: nothing is asked"]
    found = [f"{stack}: {fault}" for fault in services.faults(service)]
    return found + (_of_sshd(user, address, publickey) if service == "sshd" else [])


def _of_sshd(user: str, address: str | None, publickey: bool) -> list[str]:
    """By its settings for this login; none where there is no sshd or it does not answer."""
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
            timeout=MAX_SECONDS,
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
