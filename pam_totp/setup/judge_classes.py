# SPDX-License-Identifier: MIT
"""Judges every sshd that runs, for every class of logins that its Match blocks tell apart."""

import dataclasses
from collections.abc import Sequence
from functools import partial

from pam_totp.review.rules_of_class import RulesOfClasses
from pam_totp.review.sshd_class import SshdClass, people_of
from pam_totp.review.ways import active_policy
from pam_totp.review.ways_of_sshd import knows_key
from pam_totp.setup.authorized_keys import has_key
from pam_totp.setup.judge_sshd import KEY, Verdict, ended, first_of, in_words, judge, judge_uid
from pam_totp.setup.locked import judge_pam
from pam_totp.setup.proof import KEY_OR_PASSWORD
from pam_totp.setup.sshd_copy import Copy
from pam_totp.setup.sshd_settings import PATH as DROP_IN
from pam_totp.setup.sshd_settings import Choices
from pam_totp.stack import sshd
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.people import people
from pam_totp.stack.sshd import Way
from pam_totp.stack.sshd_classes import Class, classes_of, of_nobody
from pam_totp.stack.sshd_config import Block
from pam_totp.stack.sshd_match import Login, meets
from pam_totp.stack.sshd_running import Server, servers
from pam_totp.stack.sshd_unlisted import with_their_blocks

SERVICE = "sshd"
USUAL = Server()
SOMEBODY = Login("nobody")
ROOT = Login("root")
# A login, None for one not over ssh, with its first factor; empty where that is not known.
Sitting = tuple[Login | None, str]
Files = dict[str, bytes | None]


def judge_servers(
    plain: Files, replaced: Files, choices: Choices, sitting: Sequence[Sitting]
) -> list[Verdict]:
    """plain, replaced: the files before and after. Raises Unknown."""
    found = list[Verdict]()
    for server in servers():
        with Copy(plain, server) as before, Copy(replaced, server) as after:
            after.test()
            judged = [judge_pam(before.settings_of(SOMEBODY))]
            rules = _rules(after)
            judged += _judge_all(before, after, choices, server, rules)
            for login, method in sitting:
                if login is not None:
                    judged.append(_judge_sitting(before, after, choices, login, method, rules))
        found += [_at(server, each) for each in judged] if server.words else judged
        if server.words:
            found.append(
                Verdict(notes=(f"enable does not reload {server.words[3:]}: do so yourself.",))
            )
    return found


def _at(server: Server, verdict: Verdict) -> Verdict:
    """With the words for a server that is not the usual one."""
    if not verdict.fault:
        return verdict
    hint = verdict.hint or f"stop {server.words[3:]}, or correct its settings"
    return dataclasses.replace(verdict, fault=f"{server.words}: {verdict.fault}", hint=hint)


def classes_in(copy: Copy) -> list[Class]:
    """Every class of logins that its Match blocks tell apart. Raises Unknown, TooManyWays."""
    blocks = copy.blocks()
    criteria = list(dict.fromkeys(one for block in blocks for one in block.criteria))
    everybody = people(criteria)
    return classes_of(blocks, everybody)


def _judge_all(
    before: Copy, after: Copy, choices: Choices, server: Server, rules: RulesOfClasses
) -> list[Verdict]:
    found, classes = [], classes_in(after)
    for block in of_nobody(after.blocks(), classes):
        what = "is for no user or address known here, so sshd could not be asked about it."
        found.append(Verdict(notes=(f"{_match(block, after)} {what}",)))
    for each in classes:
        was = _settings(before, each.example)
        try:
            will = _settings(after, each.example)
        except Unknown as unknown:
            found.append(Verdict(f"{_named(each, after)}: {unknown}"))
            continue
        may_have_key = not each.is_root or has_key(ROOT, was)
        who = _named(each, after)
        service = sshd.service_of(will, server.name)
        if service != SERVICE:
            what = f"{who}: sshd uses the PAM service {service}, so no code would be asked for"
            found.append(Verdict(what, "remove the PAMServiceName line, or call the program sshd"))
            continue
        rule_for = partial(_rule_for, rules, SshdClass(each, will, (), server))
        found.append(judge(who, each, was, will, choices, has_key=may_have_key, rule_for=rule_for))
    return found


def _settings(copy: Copy, login: Login) -> dict[str, str]:
    """What sshd has set for a login. Raises Unknown."""
    told = copy.settings_of(login)
    if not login.is_unlisted:
        return told
    return with_their_blocks(told, login, _blocks_of(copy, login))


def _blocks_of(copy: Copy, login: Login) -> tuple[Block, ...]:
    """The blocks that apply to a login."""
    blocks = copy.blocks()
    return tuple(block for block in blocks if all(meets(login, one) for one in block.criteria))


def _rules(copy: Copy) -> RulesOfClasses:
    """The policy, for the classes of this configuration. Raises Unknown."""
    blocks = copy.blocks()
    everybody = people([one for block in blocks for one in block.criteria])
    return RulesOfClasses(active_policy(), blocks, everybody)


def _rule_for(rules: RulesOfClasses, each: SshdClass, way: Way) -> str:
    """The rule that exempts all of a class, in words, where they log in this way."""
    asked_about = people_of(each, "yes" if knows_key(way) else "no")
    exempt, asked = rules.about(each.logins).divide(asked_about)
    return exempt[-1].reason if exempt and not asked else ""


def _judge_sitting(
    before: Copy,
    after: Copy,
    choices: Choices,
    sitting: Login,
    method: str,
    rules: RulesOfClasses,
) -> Verdict:
    """The person who is sitting there: the same way in, with the code."""
    each = Class(sitting, _blocks_of(after, sitting), (sitting.user,))
    was, will = before.settings_of(sitting), after.settings_of(sitting)
    if after.server != USUAL and method not in map(first_of, sshd.ways(was, judge_uid(each))):
        return Verdict()  # came in at another
    who = f"you ({sitting.user} from {sitting.address})"
    rule_for = partial(_rule_for, rules, SshdClass(each, will, (), after.server))
    verdict = judge(who, each, was, will, choices, rule_for=rule_for)
    # Where it is not known how, it may have been in any way that there is.
    ways = {method} if method else set(map(first_of, sshd.ways(was, judge_uid(each))))
    lost = sorted(ways - verdict.kept)
    if verdict.fault or not lost or (lost == [KEY] and not method and not has_key(sitting, was)):
        return dataclasses.replace(verdict, notes=())
    is_by_choice = choices.first_factor != KEY_OR_PASSWORD and {*lost} & {*ended(each, choices)}
    hint = "pam-totp enable sshd --first-factor either" if is_by_choice else ""
    if method:
        what = f"{who} logged in with {in_words(method)}, and could not do so any more"
        return Verdict(what, hint)
    what = f"{who} may have logged in with {in_words(lost[0])}, and could not do so any more"
    return Verdict(what, hint)


def _named(each: Class, copy: Copy) -> str:
    """A class, by what its blocks demand."""
    blocks: list[Block] = [block for block in each.blocks if block.is_match]
    if not blocks:
        return "root" if each.is_root else "everybody else"
    where = copy.real(blocks[-1].place)
    if where.startswith(DROP_IN):
        return each.example.user
    who = _match(blocks[-1], copy)
    return f"root, {who}" if each.is_root else who


def _match(block: Block, copy: Copy) -> str:
    criteria = " ".join(f"{name} {argument}".strip() for name, argument in block.criteria)
    return f"Match {criteria or 'all'} ({copy.real(block.place)})"
