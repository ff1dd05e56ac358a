# SPDX-License-Identifier: MIT
"""The PAM services that Debian's packages ship, brought by apt at test time."""

import shutil
import subprocess
from pathlib import Path

from tests.pam_profile import PROFILES

REPOSITORY = Path(__file__).resolve().parents[1]
FOLDER = REPOSITORY / "build" / "profile"
PATTERNS = ("./etc/pam.d", "./usr/lib/pam.d", f"./{PROFILES}")
# A full desktop and server of Debian 12 or 13; one that a release does not have is left out.
NAMES = """
    at calife cinnamon-screensaver cockpit-ws courier-imap courier-mta courier-pop cron cups-daemon
    cyrus-imapd dovecot-core freeradius frr ftpd-ssl gdm3 gnome-screensaver greetd gtklock i3lock
    inetutils-ftpd kde-config-screenlocker kscreenlocker libkscreenlocker5 libpam-abl
    libpam-biometric libpam-cap libpam-ccreds libpam-duo libpam-fprintd libpam-fscrypt
    libpam-gnome-keyring libpam-krb5 libpam-ldapd libpam-mklocaluser libpam-mount libpam-passwdqc
    libpam-pwquality libpam-radius-auth libpam-runtime libpam-script libpam-sss libpam-systemd
    libpam-tmpdir libpam-winbind ecryptfs-utils libreswan lightdm login lxdm mate-screensaver monit
    nodm ocserv open-vm-tools opendoas openssh-server passwd phosh polkitd popa3d ppp proftpd-core
    pure-ftpd-common pwauth rsh-redone-server rsh-server samba-common schroot sddm slim sssd-common
    suckless-tools sudo sudo-ldap super swaylock systemd systemd-homed tigervnc-common
    ukui-screensaver usermode util-linux uucp vsftpd waylock wdm weston xdm xpra xrdp xscreensaver
"""


def run(*command: str | Path, folder: Path) -> bool:
    return subprocess.run(command, cwd=folder, capture_output=True).returncode == 0


def fetch() -> tuple[Path, int]:
    """The services and profiles of all packages in one folder, and the number of packages."""
    packages, system = FOLDER / "packages", FOLDER / "system"
    packages.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(system, ignore_errors=True)
    system.mkdir()
    count = 0
    for name in NAMES.split():
        if not [*packages.glob(f"{name}_*.deb")]:
            run("apt-get", "-qq", "download", name, folder=packages)
        for package in packages.glob(f"{name}_*.deb"):
            unpack = 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --no-anchored "${@:3}"'
            for pattern in PATTERNS:
                run("bash", "-c", unpack, "bash", package, system, pattern, folder=packages)
            count += 1
    return system, count
