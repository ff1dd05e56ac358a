# SPDX-License-Identifier: MIT
"""Which services of this host ask for a code. Changes nothing."""

import re

from pam_totp.stack.files import File
from pam_totp.stack.libpam import Libpam, Unknown, installed
from pam_totp.stack.service import Service, read_service
from pam_totp.stack.services_of_host import OURS, SHARED, names_of_files
from pam_totp.stack.totp_lines import asks

_WRITTEN = re.compile(
    rb"^[^#\n]*\bauth\b[^#\n]*(pam_totp\.so|/pam-totp/verify)", re.MULTILINE | re.I
)


def that_ask(root: str = "", libpam: Libpam | None = None) -> list[str]:
    """The names of the services whose auth stack has a pam_totp.so line, even if included."""
    try:
        libpam = libpam or installed(root)
    except Unknown:
        return []
    known: dict[str, File | None] = {}
    candidates = [name for name in names(root, libpam) if name != OURS and not SHARED.match(name)]
    return [name for name in candidates if _asks(name, libpam, root, known)]


def names(root: str = "", libpam: Libpam | None = None) -> list[str]:
    """Every file of a service."""
    try:
        return names_of_files(libpam or installed(root), root)
    except Unknown:
        return []


def has_line(service: Service) -> bool:
    """Whether the auth stack has a line that asks for a code; of one that libpam refuses as a
    whole, whether such a line is written in its files."""
    if service.refused:
        return any(_WRITTEN.search(file.content) for file in service.files)
    return any(asks(line) for line in service.stacks["auth"])


def _asks(name: str, libpam: Libpam, root: str, known: dict[str, File | None]) -> bool:
    try:
        return has_line(read_service(name, libpam, root, known))
    except Unknown:
        files = (known.get(f"{folder}/{name}") for folder in libpam.folders)
        return any(file and _WRITTEN.search(file.content) for file in files)
