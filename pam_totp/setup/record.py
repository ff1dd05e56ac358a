# SPDX-License-Identifier: MIT
"""A change as it is recorded: what each file was and will be, and when it goes back by itself."""

import dataclasses
import json
import select
import time

from pam_totp.setup.change import Change, FileChange
from pam_totp.setup.under_way import FOLDER

_BOOT = "/proc/sys/kernel/random/boot_id"


@dataclasses.dataclass(frozen=True)
class Record:
    """targets: where each file of the change really is, links followed. boot: in which the change
    was made; deadline: of its trial, in seconds of that boot; None: it is none. by: who made it."""

    number: int
    change: Change
    targets: tuple[str, ...]
    boot: str
    deadline: float | None
    by: str

    @property
    def folder(self) -> str:
        """The change's own folder."""
        return f"{FOLDER}/{self.number}"

    @property
    def backups(self) -> str:
        """Where the files as they were before lie, each below its own path."""
        return f"{self.folder}/before"

    @property
    def files(self) -> list[tuple[FileChange, str]]:
        """Each file with its target."""
        return list(zip(self.change.files, self.targets, strict=True))

    @property
    def seconds_left(self) -> float:
        """Of the trial; 0 where it is over, or was begun before the machine was started."""
        if self.deadline is None or self.boot != boot():
            return 0
        return max(0.0, self.deadline - now())


def now() -> float:
    """Seconds since boot: no clock that somebody can set, and sleep counts."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def pause(seconds: float) -> None:
    """Does nothing for so long; on a clock that nobody can set, and faketime(1) leaves alone."""
    select.select([], [], [], seconds)


def boot() -> str:
    """Names the time since the machine was started."""
    with open(_BOOT, encoding="ascii") as file:
        return file.read().strip()


def written(record: Record) -> bytes:
    """As JSON has it: each byte of a file is the character of its number."""
    plain = dataclasses.asdict(record)
    for file in plain["change"]["files"]:
        for side in ("before", "after"):
            file[side] = None if file[side] is None else file[side].decode("latin-1")
    return json.dumps(plain).encode()


def record_of(text: bytes) -> Record:
    """What was written. Raises ValueError."""
    try:
        plain = json.loads(text)
        for file in plain["change"]["files"]:
            for side in ("before", "after"):
                file[side] = None if file[side] is None else file[side].encode("latin-1")
        change = plain.pop("change")
        files = tuple(FileChange(**each) for each in change.pop("files"))
        services = tuple(change.pop("services"))
        made = Change(**change, services=services, files=files)
        return Record(change=made, targets=tuple(plain.pop("targets")), **plain)
    except (TypeError, KeyError, AttributeError):
        raise ValueError("not a record of a change") from None
