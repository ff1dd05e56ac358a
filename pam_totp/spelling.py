# SPDX-License-Identifier: MIT
"""What a misspelt word may stand for."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """The most similar of the known words as the end of a sentence; empty if none is similar."""
    words = list(known)
    mixed_up = [each for each in words if sorted(each) == sorted(word)]
    near = mixed_up or difflib.get_close_matches(word, words, 1)
    return f"; did you mean {prefix}{near[0]}?" if near else ""
