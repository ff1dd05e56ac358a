# SPDX-License-Identifier: MIT
"""Whether sshd refuses what PAM accepted: it sets credentials in another process, where each line
acts on what its module returns to pam_setcred. Pure."""

from collections.abc import Iterator, Mapping

from pam_totp.stack import totp_lines
from pam_totp.stack.credentials import credential_meanings
from pam_totp.stack.dispatch import jump_is_ok
from pam_totp.stack.factors import Factor, Meanings, with_key
from pam_totp.stack.libpam import SUCCESS, Libpam
from pam_totp.stack.lines import Line
from pam_totp.stack.search import edges_of, values_of
from pam_totp.stack.service import Service
from pam_totp.stack.ways_in import ways_in


def refused_at_last(service: Service, libpam: Libpam) -> Iterator[str]:
    """A sentence for the logins that the stack accepts and then refuses, whatever its modules
    return. Raises Unknown."""
    refused = [
        has_key
        for has_key in (True, False)
        if ways_in(service, with_key(has_key)) and not _can_set(service, has_key, libpam)
    ]
    if refused:
        yield (
            "sshd sets credentials in a process of its own, where these lines refuse every login"
            f"{_of_whom(refused, service)} that they have accepted (pam_setcred)"
        )


def _of_whom(refused: list[bool], service: Service) -> str:
    if len(refused) == 2 or not any(totp_lines.wants_key(line) for line in service.stacks["auth"]):
        return ""
    return " with a public key" if refused[0] else " without a public key"


def _can_set(service: Service, has_key: bool, libpam: Libpam) -> bool:
    edges = edges_of(service.stacks["auth"], _meanings(has_key), jump_is_ok(libpam))
    return SUCCESS in values_of(edges)


def _meanings(has_key: bool) -> Meanings:
    def known(line: Line) -> Mapping[int, Factor | None]:
        found = credential_meanings(line)
        if totp_lines.wants_key(line):
            return {value: what for value, what in found.items() if (value == SUCCESS) == has_key}
        return found

    return known
