# SPDX-License-Identifier: MIT
"""Homes that are not there before a login has opened or made them, so that no secret in them can be
read."""

from collections.abc import Iterator

from pam_totp.review.doctor.findings import AT_RISK, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.doctor.settings_edit import command_to_set

OPENING = {
    "pam_mount.so": "pam_mount",
    "pam_ecryptfs.so": "eCryptfs",
    "pam_fscrypt.so": "fscrypt",
    "pam_encfs.so": "EncFS",
    "pam_systemd_home.so": "systemd-homed",
    "pam_zfs_key.so": "ZFS",
}
OUTSIDE = "With `store: system` root keeps the secrets in /var/lib/pam-totp instead."
MAKING = ("pam_mkhomedir.so", "pam_oddjob_mkhomedir.so")


def find(host: Host) -> Iterator[Finding]:
    """See the module. Nothing where secrets are not in the homes."""
    if host.active.store != "user":
        return
    modules = modules_of(host)
    by = [words for module, words in OPENING.items() if module in modules]
    if by:
        yield Finding(
            severity=AT_RISK,
            kind="homes-opened-at-login",
            what=f"some homes are opened only during a login ({', '.join(by)}), and the secrets "
            "are kept in the homes",
            consequence="The code is asked for before such a home is open, so the secret cannot be "
            f"read and the login is refused. {OUTSIDE}",
            command=_keep_them_outside(),
        )
    if any(module in modules for module in MAKING):
        yield Finding(
            severity=AT_RISK,
            kind="homes-made-at-login",
            what="some homes are created only during a login (pam_mkhomedir), and the secrets are "
            "kept in the homes",
            consequence="A first login that may need a code is refused, because there is no home. "
            f"{OUTSIDE}",
            command=_keep_them_outside(),
        )


def _keep_them_outside() -> str:
    return f"{command_to_set('store', 'system')} && pam-totp migrate --all"


def modules_of(host: Host) -> set[str]:
    """Those of the services that ask for a code, of the types that are run at a login."""
    return {
        line.module_name
        for name in host.asking
        for kind in ("auth", "session")
        for line in host.services[name].stacks[kind]
    }
