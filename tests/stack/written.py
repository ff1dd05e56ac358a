# SPDX-License-Identifier: MIT
"""Services below a folder that stands for a system's root."""

from collections.abc import Mapping
from pathlib import Path

from pam_totp.stack.libpam import Libpam
from pam_totp.stack.service import Service, read_service

BEFORE_1_6 = Libpam(since_1_6=False, is_debian=True)
SINCE_1_6 = Libpam(since_1_6=True, is_debian=True)
UPSTREAM = Libpam(since_1_6=True, is_debian=False)


def write(root: Path, files: Mapping[str, str]) -> None:
    """Files by their path; one without a folder is a service."""
    for path, text in files.items():
        place = root / path.lstrip("/") if "/" in path else root / "etc/pam.d" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode("utf-8", "surrogateescape"))


def read(
    root: Path, files: Mapping[str, str] | str, name: str = "x", libpam: Libpam = SINCE_1_6
) -> Service:
    """The service `name`; a single text is its file."""
    write(root, {name: files} if isinstance(files, str) else files)
    return read_service(name, libpam, str(root))


def modules(service: Service, kind: str = "auth") -> list[str]:
    """The modules of a stack, each with its level, if that is not 0."""
    lines = [line for line in service.stacks[kind] if not line.is_substack]
    return [f"{line.module}{line.level or ''}" for line in lines]
