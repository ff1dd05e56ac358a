# SPDX-License-Identifier: MIT
"""Named values, as dataclasses are. Pure.

The module `dataclasses` would cost a login 15 ms and `types`, which names the class below
SimpleNamespace, a look-up. mypy knows the fields of each kind of record by its annotations: which
ones it must be made with, and that those of a Record stay as they were.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import dataclass_transform

    @dataclass_transform(kw_only_default=True, frozen_default=True)
    class Record:
        """The base of values that are made at once and never change."""

    @dataclass_transform(kw_only_default=True)
    class MutableRecord:
        """The base of what changes while it is used."""
else:
    Record = MutableRecord = type(sys.implementation)
