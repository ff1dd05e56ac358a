# SPDX-License-Identifier: MIT
"""Homes that are not there before a login has opened or made them, so that no secret in them can be
read."""

from collections.abc import Iterator

from pam_totp.records.config.settings import PATH
from pam_totp.review.doctor.findings import AT_RISK, Finding
from pam_totp.review.doctor.host import Host

OPENING = {
    "pam_mount.so": "pam_mount",
    "pam_ecryptfs.so": "eCryptfs",
    "pam_fscrypt.so": "fscrypt",
    "pam_encfs.so": "EncFS",
    "pam_systemd_home.so": "systemd-homed",
    "pam_zfs_key.so": "ZFS",
}
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
            what=f"a login itself opens homes ({', '.join(by)}), and secrets are in the homes",
            consequence="Before that the secret cannot be read, so users with such a home are "
            "refused.",
            command=f"echo 'store: system' >>{PATH} && pam-totp migrate --all",
        )
    if any(module in modules for module in MAKING):
        yield Finding(
            severity=AT_RISK,
            kind="homes-made-at-login",
            what="a login itself makes homes (pam_mkhomedir), and secrets are in the homes",
            consequence="A first login that may need a code is refused, because there is no home.",
            command=f"echo 'store: system' >>{PATH} && pam-totp migrate --all",
        )


def modules_of(host: Host) -> set[str]:
    """Those of the services that ask for a code, of the types that are run at a login."""
    return {
        line.module_name
        for name in host.asking
        for kind in ("auth", "session")
        for line in host.services[name].stacks[kind]
    }
