# SPDX-License-Identifier: MIT
"""The settings of a file that was edited since its snapshot was made: read, and kept as the new
snapshot.

Imported by a login only in the first one after the file changed (pam_totp.records.config.settings).
"""

import posix
from errno import EMFILE, ENFILE, ENOMEM

from pam_totp.records.config.settings import (
    END,
    HEADER,
    KIND,
    NAME,
    PATH,
    RULES,
    Settings,
    typed,
    without_the_file,
)
from pam_totp.records.storage.state_dir import RUN, VAR
from pam_totp.rules.reasons import Failure

SCARCE = (EMFILE, ENFILE, ENOMEM)


def load_edited(identity: str, *, keeps: bool) -> Settings:
    """The settings of the file with this identity, or the last good ones if it has a fault. Raises
    as settings.load does; keeps: a snapshot."""
    try:
        from pam_totp.records.config import reader  # PyYAML, which may be damaged

        values, rules, fault = reader.read(PATH)
        typed(values, rules)
    except (MemoryError, SystemError, Failure):  # SystemError: it had no memory to say so
        raise
    except Exception as failure:  # a broken library must not lock everybody out
        if isinstance(failure, OSError) and failure.errno in SCARCE:
            raise
        return without_the_file(f"{type(failure).__name__}: {failure}", keeps, is_known=False)
    if fault:
        return without_the_file(fault, keeps)
    lines = [HEADER + identity, *(f"{key} {value}" for key, value in values.items())]
    snapshot = "\n".join(lines).encode() + RULES + rules + END
    return typed(values, rules, keep(snapshot) if keeps else "")


def keep(snapshot: bytes) -> str:
    """Keeps a snapshot; why it is not kept for good, empty if it is."""
    if posix.geteuid() != 0:
        return ""
    try:
        VAR.write(KIND, NAME, snapshot)
        RUN.remove(KIND, NAME)
        return ""
    except (OSError, Failure) as failure:
        detail = failure.detail if isinstance(failure, Failure) else failure.strerror
    try:
        RUN.write(KIND, NAME, snapshot)
    except (OSError, Failure):
        pass  # the next login reads the file again
    return f"the settings cannot be kept: {detail}"
