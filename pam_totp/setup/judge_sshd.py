# SPDX-License-Identifier: MIT
"""Whether a class of logins at sshd gets in as before, with a code, by sshd's settings. Pure."""

import dataclasses
import re
from collections.abc import Callable, Iterator

from pam_totp.setup.exempting import by_a_rule, users_to_exempt
from pam_totp.setup.opened import opened
from pam_totp.setup.proof import KEY_ONLY, PASSWORD_ONLY
from pam_totp.setup.sshd_settings import ROOT_CODE, ROOT_KEY, ROOT_NO, Choices
from pam_totp.stack import sshd
from pam_totp.stack.sshd import Way, asks_pam
from pam_totp.stack.sshd_classes import Class

KEY, PASSWORD = "key", "password"
METHOD_OF_KEYS = "publickey"
ROOT_UID, SOMEBODY = 0, 1000
FORCED = "forced-commands-only"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """fault: why this must not be; empty: it may. hint: what to do about it, if not to mend the
    block. users: who would have to be exempted by their names. notes: what stays without a code,
    what ends and what begins. kept: the first factors with which the class gets in."""

    fault: str = ""
    hint: str = ""
    users: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    kept: frozenset[str] = frozenset()

    @property
    def repair(self) -> str:
        """What to do about the fault."""
        place = re.search(r"\((/[^()]+), line \d+\)", self.fault)
        block = f"correct or remove that Match block in {place[1]}" if place else ""
        return self.hint or block or f"{sshd.SSHD} -T"


def judge(
    who: str,
    each: Class,
    was: dict[str, str],
    will: dict[str, str],
    choices: Choices,
    *,
    has_key: bool = True,
    rule_for: Callable[[Way], str] = lambda way: "",
) -> Verdict:
    """who: the class in words. was, will: sshd's settings for it before and after. has_key: whether
    anybody in it may have a key. rule_for: the rule that exempts all of the class on a way that
    never asks PAM, in words; empty without one."""
    uid = judge_uid(each)
    before = {first_of(way) for way in sshd.ways(was, uid)}
    ways = sshd.ways(will, uid)
    kept = {first_of(way) for way in ways if works(way, choices)}
    notes = list[str]()
    if will.get("usepam") != "yes":
        return Verdict(f"{who}: sshd would not use PAM (UsePAM), so it asks for no code")
    for way in ways:
        if not asks_pam(way):
            rule = rule_for(way)
            if not rule and not is_chosen(each, choices):
                return _without_code(f"{who}: {sshd.shown(way)}", way, each)
            because = f" ({rule})" if rule else ""
            notes.append(f"{who}: {_words(way)} alone, without a code{because}.")
    for proved in opened(was, will, uid, choices):
        factors = " and ".join(map(in_words, sorted(proved)))
        if not _may_open(proved, each, choices):
            hint = "pam-totp enable sshd --first-factor key   # or password, or either"
            return Verdict(
                f"{who}: {factors} would become enough to log in, and is not today", hint
            )
        notes.append(f"{who}: {factors} is accepted from now on, and was not before.")
    allowed = will.get("permitrootlogin")
    if each.is_root and was.get("permitrootlogin") == FORCED and allowed not in (FORCED, "no"):
        what = f"a key runs one command only (PermitRootLogin {FORCED}), and could run any"
        return Verdict(f"{who}: {what}", "pam-totp enable sshd --root key   # or no")
    if not has_key:
        before -= {KEY}
    if each.is_root and before and not kept and choices.root != ROOT_NO:
        hint = "pam-totp enable sshd --root key"
        return Verdict(f"{who}: root could not log in any more (PermitRootLogin)", hint)
    for factor in sorted(before - kept):
        if factor in ended(each, choices):
            notes.append(
                f"{who}: a {factor} alone is not enough any more."
                if choices.root != ROOT_NO or not each.is_root
                else f"{who}: no login over ssh any more."
            )
        else:
            what = f"a {factor}" if factor in (KEY, PASSWORD) else f"{factor} alone"
            return Verdict(f"{who}: users who log in with {what} would be refused")
    return Verdict(notes=tuple(dict.fromkeys(notes)), kept=frozenset(kept))


def _without_code(what: str, way: Way, each: Class) -> Verdict:
    """A way in that is there today, and would stay: only a person can say that it is meant."""
    fault = f"{what} would be enough, without a code"
    if way != (METHOD_OF_KEYS,):
        return Verdict(fault)
    return Verdict(fault, by_a_rule(each.criteria), users_to_exempt(each))


def _may_open(proved: frozenset[str], each: Class, choices: Choices) -> bool:
    """Whether somebody chose that this is enough."""
    is_roots = each.is_root and choices.root in (ROOT_CODE, ROOT_KEY)
    if is_roots or each.example.user in choices.exempt:
        return proved == {KEY}
    allowed = {KEY_ONLY: {KEY}, PASSWORD_ONLY: {PASSWORD}}
    return choices.is_chosen and proved <= allowed.get(choices.first_factor, {KEY, PASSWORD})


def in_words(factor: str) -> str:
    """A first factor, for people."""
    return f"a {factor}" if factor in (KEY, PASSWORD) else factor


def judge_uid(each: Class) -> int:
    """A user id as good as any of the class: PermitRootLogin is for 0 alone."""
    return ROOT_UID if each.is_root else SOMEBODY


def first_of(way: Way) -> str:
    """The first factor that a list of methods proves."""
    if METHOD_OF_KEYS in way:
        return KEY
    return PASSWORD if asks_pam(way) else way[0]


def works(way: Way, choices: Choices) -> bool:
    """Whether PAM's stack for sshd lets users in who come this way. Its question needs keyboard-
    interactive: sshd's `password` answers it with the password."""
    if not asks_pam(way):
        return True
    if "password" in way:
        return False
    return first_of(way) == KEY or choices.first_factor != KEY_ONLY


def is_chosen(each: Class, choices: Choices) -> bool:
    """Whether the key alone was chosen for the class, by an option of enable."""
    return each.example.user in choices.exempt or (each.is_root and choices.root == ROOT_KEY)


def ended(each: Class, choices: Choices) -> Iterator[str]:
    """The first factors that are not enough any more, on purpose."""
    if each.is_root and choices.root == ROOT_NO:
        yield from (KEY, PASSWORD)
    if each.is_root and choices.root in (ROOT_CODE, ROOT_KEY):
        yield PASSWORD
    if choices.first_factor == KEY_ONLY or each.example.user in choices.exempt:
        yield PASSWORD
    if choices.first_factor == PASSWORD_ONLY:
        yield KEY


def _words(way: Way) -> str:
    return "the key" if way == (METHOD_OF_KEYS,) else sshd.shown(way)
