# SPDX-License-Identifier: MIT
"""What other modules that ask for one-time codes do at a service, in sentences. Pure."""

from collections.abc import Iterable

from pam_totp.stack.libpam import Unknown
from pam_totp.stack.lines import Line
from pam_totp.stack.other_codes import PROGRAMS, asking_instead, of_others, program_of
from pam_totp.stack.service import Service


def asked_instead(services: Iterable[Service]) -> list[str]:
    """Where another module asks users of whom ours needs no code: a sentence for each module. What
    cannot be determined is left out."""
    names: dict[str, list[str]] = {}
    for service in services:
        for line in _asking(service)[:1]:
            names.setdefault(line.module_name, []).append(service.name)
    return [
        f"At {', '.join(found)}, {module} asks all users of whom pam_totp.so needs no code."
        for module, found in names.items()
    ]


def _asking(service: Service) -> list[Line]:
    try:
        return asking_instead(service.stacks["auth"])
    except Unknown:
        return []


def program_at(service: Service) -> str:
    """Whose codes a service asks for by another module; empty for none."""
    return next(map(program_of, of_others(service.stacks["auth"])), "")


def needs_code_of_others(words: str) -> bool:
    """Whether such a code is among what is proved on a way, in the words of ways_in.py."""
    return any(f"({module.removesuffix('.so')})" in words for module in PROGRAMS)
