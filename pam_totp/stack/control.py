# SPDX-License-Identifier: MIT
"""The words of a line and what its control says, as pam.conf(5) has them and pam_misc.c reads them.

(_pam_StrTok, since 1.6 _pam_tokenize; _pam_parse_control; _pam_set_default_control.)
"""

import functools
import re

from pam_totp.stack.libpam import RETURN_VALUES, Libpam, Unknown

# What a line does with a return value; a number: how many lines it jumps over.
Action = str | int
Actions = tuple[Action, ...]
WORDS_OF_ACTIONS = ("ignore", "ok", "done", "bad", "die", "reset")
ALL_BAD: Actions = ("bad",) * len(RETURN_VALUES)
MAX_JUMP = 2**31 - 1  # a C int

# The controls of one word. What a word does not name has its default.
_WORDS: dict[str, dict[str, str]] = {
    "required": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "bad"},
    "requisite": {"success": "ok", "new_authtok_reqd": "ok", "ignore": "ignore", "default": "die"},
    "sufficient": {"success": "done", "new_authtok_reqd": "done", "default": "ignore"},
    "optional": {"success": "ok", "new_authtok_reqd": "ok", "default": "ignore"},
}
# A bracket at the beginning of a word holds spaces; `\]` in it is a `]`.
_WORD = re.compile(r"\[((?:\\\]|[^\]])*)\]?|[^ \t\n]+")
_SPACES = r"[ \t\n\v\f\r]*"
# Nothing has to separate two entries: `[success=okdefault=bad]` is read as it is meant.
_ENTRY = re.compile(
    rf"{_SPACES}({'|'.join((*RETURN_VALUES, 'default'))}){_SPACES}={_SPACES}"
    rf"({'|'.join(WORDS_OF_ACTIONS)}|[0-9]+){_SPACES}"
)


def words_of(text: str) -> list[str]:
    """A line's words; what stood in brackets is without them, so a bracket can stand anywhere."""
    return [
        word.group() if word.group(1) is None else word.group(1).replace("\\]", "]")
        for word in _WORD.finditer(text)
    ]


def lower(word: str) -> str:
    """As strcasecmp compares: no letter but the ASCII ones has two cases."""
    if word.isascii():
        return word.lower()
    return "".join(each.lower() if each.isascii() else each for each in word)


@functools.lru_cache(200)
def actions_of(control: str, libpam: Libpam) -> tuple[Actions, str]:
    """An action for each return value, and what is wrong with the control: then every result is
    bad, success too. Raises Unknown."""
    named = _WORDS.get(lower(control))
    if named is not None:
        return tuple(named.get(value, named["default"]) for value in RETURN_VALUES), ""
    actions: dict[str, Action] = {}
    at = len(control) - len(control.lstrip(" \t\n\v\f\r"))
    while at < len(control):
        entry = _ENTRY.match(control, at)
        if entry is None:
            return ALL_BAD, f"has the invalid control {control!a}"
        value, word = entry.groups()
        action: Action = int(word) if word.isdigit() else word
        if action == 0:
            return ALL_BAD, f"has the invalid control {control!a}: 0 is no jump"
        if isinstance(action, int) and action > MAX_JUMP:
            if libpam.since_1_6:
                return ALL_BAD, f"has the invalid control {control!a}: the jump is too far"
            raise Unknown(f"the jump in the control {control!a} is too far")
        if value == "default":
            actions = dict.fromkeys(RETURN_VALUES, action) | actions
        else:
            actions[value] = action
        at = entry.end()
    return tuple(actions.get(value, "bad") for value in RETURN_VALUES), ""
