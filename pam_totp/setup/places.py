# SPDX-License-Identifier: MIT
"""Lines of a planned stack, named as they stand on the disk now.

A plan reads files without our lines, and with its own: the numbers and the controls of those are of
no file that an administrator could look at.
"""

import dataclasses

from pam_totp.setup.block import numbers_on_disk
from pam_totp.setup.host import PamHost
from pam_totp.setup.replay import pairs
from pam_totp.stack.lines import Line
from pam_totp.stack.service import Service


def before_as_on_disk(host: PamHost, before: Service) -> Service:
    """A service as the plan has it before the change."""
    stacks = {
        kind: tuple(_on_disk(host, line) for line in lines) for kind, lines in before.stacks.items()
    }
    return dataclasses.replace(before, stacks=stacks)


def as_on_disk(host: PamHost, before: Service, after: Service) -> Service:
    """The auth stack of a service as it would be: lines that were there before have the place and
    the control that they have on the disk, and the new ones have number 0."""
    there, lines = before.stacks["auth"], after.stacks["auth"]
    paired = pairs(there, lines)
    found = []
    for at, line in enumerate(lines):
        old = there[paired[at]] if at in paired else None
        if old is not None:
            old = _on_disk(host, old)
            line = dataclasses.replace(line, file=old.file, number=old.number, control=old.control)
        elif not line.is_substack and line not in there:
            line = dataclasses.replace(line, number=0)
        found.append(line)
    return dataclasses.replace(after, stacks={**after.stacks, "auth": tuple(found)})


def _on_disk(host: PamHost, line: Line) -> Line:
    if host.plain.get(host.real(line.file)) is None:
        return line
    content = host.content_of(line.file)
    if content is None:  # a copy of a file of another folder
        file = host.file_of(line.file.rpartition("/")[2])
        return dataclasses.replace(line, file=file.path) if file else line
    numbers = numbers_on_disk(content)
    number = numbers[line.number - 1] if 0 < line.number <= len(numbers) else line.number
    return dataclasses.replace(line, number=number)
