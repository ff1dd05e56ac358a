# SPDX-License-Identifier: MIT
"""Shell patterns, against Python's own: the same answer for whatever config.yaml takes."""

import fnmatch
import re

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pam_totp.rules.pattern import is_pattern, matches

# Few letters, so that texts match now and then; all that is special in a pattern or a regex.
PATTERNS = st.text(st.sampled_from("ab-!]^*?[\\&~|.é\n"), max_size=12)
TEXTS = st.text(st.sampled_from("ab-!]^*?[\\&~|.é\n"), max_size=12)
SETS = re.compile(r"\[(?:!.|[^!])[^\]]*\]", re.DOTALL)


def has_falling_range(pattern: str) -> bool:
    """Whether a range like z-a stands in it: `config check` warns of it, and Python's fnmatch takes
    what follows for a negation in [b-a!c]."""
    return any(
        low > high
        for members in SETS.findall(pattern)
        for low, high in re.findall("(.)-(.)", members[1:-1], re.DOTALL)
    )


@settings(deadline=None)
@given(PATTERNS, TEXTS)
def test_pattern_matches_what_pythons_own_does(pattern: str, text: str) -> None:
    assume(not has_falling_range(pattern))
    assert matches(pattern, text) == fnmatch.fnmatchcase(text, pattern)


@settings(deadline=None)
@given(st.from_regex(r"(\[!?[ab\]!^-]{1,4}\]|[ab?*-]){1,3}", fullmatch=True), TEXTS)
def test_set_matches_what_pythons_own_does(pattern: str, text: str) -> None:
    assume(not has_falling_range(pattern))
    assert matches(pattern, text) == fnmatch.fnmatchcase(text, pattern)


@settings(deadline=None)
@given(PATTERNS)
def test_pattern_matches_itself_where_nothing_in_it_is_special(pattern: str) -> None:
    assume(not is_pattern(pattern))
    assert matches(pattern, pattern)
    assert not matches(pattern, pattern + "x")


@settings(deadline=None)
@given(TEXTS)
def test_star_matches_everything_and_nothing_only_nothing(text: str) -> None:
    assert matches("*", text) and matches("**", text)
    assert matches("", text) == (text == "")


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("alice", ["alice"], ["Alice", "alic", "alice2", ""]),
        ("a*e", ["ae", "alice", "aee"], ["alicea", "e", "a"]),
        ("*-admin", ["x-admin", "-admin", "a-admin-admin"], ["admin", "x-admin2"]),
        ("user?", ["user1", "user?"], ["user", "user12"]),
        ("[a-c]x", ["ax", "bx", "cx"], ["dx", "-x", "x"]),
        ("[!a-c]x", ["dx", "!x"], ["ax", "x"]),
        ("[ac-]", ["a", "c", "-"], ["b"]),
        ("[-a]", ["-", "a"], ["b"]),
        ("[]]", ["]"], ["[]]", ""]),
        ("[!]]", ["[", "a"], ["]"]),
        ("[[]", ["["], ["]"]),
        ("[^a]", ["^", "a"], ["b"]),
        ("[", ["["], ["a", ""]),
        ("[a", ["[a"], ["a"]),
        ("[]", ["[]"], ["", "]"]),
        ("[!]", ["[!]"], ["a", "!"]),
        ("[!", ["[!"], ["a"]),
        ("a\\*", ["a\\", "a\\b"], ["a*"]),
        ("[b-a!c]", ["!", "c"], ["a", "b", "-", "x"]),
        ("[z-a]", [], ["z", "a", "m", "-"]),
        ("[!z-a]", ["z", "m"], [""]),
    ],
)
def test_pattern_matches_these_and_not_those(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    assert [text for text in matching if not matches(pattern, text)] == []
    assert [text for text in others if matches(pattern, text)] == []


def test_many_stars_take_no_long_time() -> None:
    assert not matches("*a" * 60 + "b", "a" * 255)
    assert matches("*a" * 60, "a" * 255)
