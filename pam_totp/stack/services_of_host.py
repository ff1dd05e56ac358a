# SPDX-License-Identifier: MIT
"""The services of a host: the files that programs ask PAM for, without what other files include."""

import os
import re
from collections.abc import Iterator

from pam_totp.stack.control import lower, words_of
from pam_totp.stack.disk import Disk
from pam_totp.stack.libpam import Libpam, Unknown

# What dpkg, rpm and editors leave beside a file; and our own, against which pam-totp checks a
# password before it shows a secret.
_LEFTOVERS = re.compile(r"\.(dpkg|ucf)-|~$|\.(bak|orig|rpmnew|rpmsave|pacnew|pacsave|swp)$|^\.")
OURS = "pam-totp"
# Files that only other files include, on Debian, Fedora and RHEL, Arch, openSUSE.
SHARED = re.compile(
    r"common-|(system|password|smartcard|fingerprint)-auth(-.*)?$|postlogin(-.*)?$|config-util$"
    r"|system-(login|local-login|remote-login|services)$"
)
# Services that others include, whatever the program is called.
INCLUDED = (
    *("login", "remote", "su", "sudo", "sshd", "gdm-password", "lightdm", "sddm", "kde", "xdm"),
    *("polkit-1", "passwd", "cups", "samba", "vlock", "screen"),
)
PROGRAM_FOLDERS = ("/usr/bin", "/usr/sbin", "/bin", "/sbin")


def services_of_host(libpam: Libpam, root: str = "") -> list[str]:
    """The names, in order; without /etc/pam.d and its like, those of /etc/pam.conf. A file that
    others include is a service too if it has the name of one, or of a program."""
    disk = Disk(root, libpam)
    if not disk.has_services:
        return sorted(_of_pam_conf(disk))
    files = names_of_files(libpam, root)
    included = {name for each in files for name in _includes(each, disk)}
    return [
        name
        for name in files
        if name != OURS
        and not SHARED.match(name)
        and (name not in included or name in INCLUDED or _is_program(name, root))
    ]


def names_of_files(libpam: Libpam, root: str = "") -> list[str]:
    """Every file in the folders of services that libpam would open, leftovers not included."""
    found = set[str]()
    for folder in libpam.folders:
        try:
            entries = os.listdir(root + folder)
        except OSError:
            continue
        found |= {name for name in entries if os.path.isfile(f"{root}{folder}/{name}")}
    return sorted(name for name in found if not _LEFTOVERS.search(name))


def _includes(name: str, disk: Disk) -> Iterator[str]:
    """The names of the files that a file includes."""
    try:
        file = disk.find(name, disk.libpam.folders)
    except Unknown:
        return
    for line in file.lines if file else ():
        words = words_of(line.text)
        if words[:1] == ["@include"]:
            yield from words[1:2]
        elif len(words) > 2 and lower(words[1]) in ("include", "substack"):
            yield words[2]


def _of_pam_conf(disk: Disk) -> set[str]:
    try:
        file = disk.find("/etc/pam.conf", ())
    except Unknown:
        return set()
    return (
        {lower(words[0]) for line in file.lines if (words := words_of(line.text))}
        if file
        else set()
    )


def _is_program(name: str, root: str) -> bool:
    return any(os.path.exists(f"{root}{folder}/{name}") for folder in PROGRAM_FOLDERS)
