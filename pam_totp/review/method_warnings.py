# SPDX-License-Identifier: MIT
"""Rules that accept codes which are sent: for administrators, for nobody, or by a program that
cannot be run."""

import json
import os
import pwd
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pam_totp.records.host.groups import Groups
from pam_totp.records.user import contact_list
from pam_totp.review.explanation import shown_sources
from pam_totp.review.lockout import ADMINISTRATORS, Warned, members_of
from pam_totp.review.sent_codes import accepted_by
from pam_totp.review.shadowed_rules import covers
from pam_totp.review.user_row import is_person, may_log_in
from pam_totp.rules.pattern import matches
from pam_totp.rules.policy import MAIL, NEVER, SMS, TOTP, Rule, Subject, match
from pam_totp.rules.reasons import Failure
from pam_totp.sending.programs import refuse_unless_it_may_run, sender_of

if TYPE_CHECKING:
    from pam_totp.review.settings_faults import Checked

GROUPS = (*ADMINISTRATORS, "adm")  # the last one reads the logs
MAX_NAMED = 3
# NIST SP 800-63B-4.
WHY = {
    SMS: "NIST SP 800-63B-4 restricts codes by telephone (sections 3.1.3.3 and 3.2.9)",
    MAIL: "mail is no out-of-band authenticator (NIST SP 800-63B-4, section 3.1.3.1)",
}
_PLAIN = re.compile("[A-Za-z0-9_.][A-Za-z0-9_./-]*")  # what YAML takes as a text as it is


def of_methods(found: "Checked") -> Iterator[Warned]:
    """What may not be intended; looks at nothing where no rule accepts such codes."""
    accepted = accepted_by(found.rules)
    if not accepted:
        return
    administrators = {"root": ""} | members_of(GROUPS)
    known = _with_contacts()
    for number, rule in enumerate(found.rules):
        position = f"line {rule.line}"
        if rule.methods == (TOTP,):
            continue
        if rule.code == NEVER:
            yield position, "methods has no effect with `code: never`"
            continue
        earlier = found.rules[:number]
        names = {
            name: group
            for name, group in administrators.items()
            if may_be_for(rule, name) and not _is_certainly_for_one(earlier, rule, name)
        }
        if names or any(matches(each, "sudo") for each in rule.services):
            yield position, _of_administrators(rule, names)
        if known is not None and (count := _without_contact(rule, known)):
            kinds = " or ".join(accepted_by([rule]))
            what = f"none of the users whom this rule is for ({count}) has a contact for {kinds}"
            yield position, f"{what}; to record one, run: pam-totp contact USER"


def of_programs(found: "Checked") -> Iterator[Warned]:
    """Programs that a rule needs and that cannot be run."""
    for kind in accepted_by(found.rules):
        try:
            look = refuse_unless_it_may_run if os.geteuid() == 0 else sender_of
            look(found.values[f"send.{kind}"])
        except Failure as failure:
            position = found.positions.get(f"send.{kind}") or _first(found.rules, kind)
            yield position, f"no code can be sent by {kind}: {failure.detail}"


def of_limits(found: "Checked") -> Iterator[Warned]:
    """Limits under which one user's codes leave none for the others."""
    keys = "send.user_limit", "send.host_limit"
    of_user, of_host = (int(found.values[key]) for key in keys)
    named = [found.positions[key] for key in keys if key in found.positions]
    if named and of_user >= of_host and accepted_by(found.rules):
        what = f"with {keys[0]} {of_user} and {keys[1]} {of_host}, one user can use up"
        yield named[-1], f"{what} what this host sends in an hour"


def may_be_for(rule: Rule, name: str) -> bool:
    """Whether a login of this user may be one of those that the rule is for."""
    subject = Subject(user=name, service="", address=b"", publickey=("no",), is_in=_is_in(name))
    return match(Rule(code="", users=rule.users, groups=rule.groups), subject) is not False


def _is_in(name: str) -> Callable[[str], bool | None]:
    try:
        return Groups(name, pwd.getpwnam(name).pw_gid).has
    except KeyError:
        return lambda _group: None


def _is_certainly_for_one(earlier: Sequence[Rule], rule: Rule, name: str) -> bool:
    """Whether every login of the user that this rule may be for is one of an earlier rule."""
    is_in = _is_in(name)
    for each in earlier:
        groups = each.groups if any(is_in(group) for group in each.groups) else ()
        narrow = Rule(**vars(rule) | {"users": (name,), "groups": groups})
        if covers(each, narrow):
            return True
    return False


def _of_administrators(rule: Rule, names: dict[str, str]) -> str:
    """The warning, with the lines that take them out. names: each with a group, or "" for root."""
    groups = list(dict.fromkeys(filter(None, names.values())))
    who = ["root"] if "root" in names else []
    if rule.users:
        others = [name for name in names if name != "root"]
        who += others[:MAX_NAMED]
        who += [f"{len(others) - MAX_NAMED} more"] if len(others) > MAX_NAMED else []
        is_for_others = not names.keys() >= set(rule.users)
        lines = [_line(rule, "user", list(names))] if names and is_for_others else []
    else:
        who += [f"members of {', '.join(groups)}"] if groups else []
        lines = [_line(rule, "user", ["root"])] if "root" in names else []
        lines += [_line(rule, "group", groups)] if groups else []
    kinds = accepted_by([rule])
    said = f"{' and '.join(who) or 'users of sudo'} may log in with codes by {' or '.join(kinds)}"
    why = " and ".join(WHY[kind] for kind in kinds)
    if not lines:
        return f"{said}, though {why}; write methods: [{TOTP}]"
    return f"{said}, though {why}; above this rule, add: {' and '.join(lines)}"


def _line(rule: Rule, key: str, names: list[str]) -> str:
    """A rule for some of those whom a rule is for, which accepts codes of the app alone."""
    parts = [f"{key}: {_shown(names)}"]
    conditions = ("service", list(rule.services)), ("from", shown_sources(rule))
    parts += [f"{name}: {_shown(values)}" for name, values in conditions if values]
    parts += [f"publickey: {rule.publickey}"] if rule.publickey else []
    return f"- {{{', '.join([*parts, f'code: {rule.code}', f'methods: [{TOTP}]'])}}}"


def _shown(values: list[str]) -> str:
    shown = [each if _PLAIN.fullmatch(each) else json.dumps(each) for each in values]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"


def _with_contacts() -> dict[str, set[str]] | None:
    """The kinds of contacts of each user who has any; None if this is not root's to know."""
    if os.geteuid() != 0:
        return None
    try:
        return {each.user: set(each.contacts) for each in contact_list.everybody()}
    except Failure:
        return None


def _without_contact(rule: Rule, known: dict[str, set[str]]) -> int:
    """How many people a rule is for of whom none has a contact that it accepts; 0 if one has."""
    kinds = set(accepted_by([rule]))
    if any(kinds & found and may_be_for(rule, name) for name, found in known.items() if name):
        return 0
    people = [each for each in pwd.getpwall() if is_person(each) and may_log_in(each)]
    return sum(may_be_for(rule, each.pw_name) for each in people)


def _first(rules: Sequence[Rule], kind: str) -> str:
    return f"line {next(rule.line for rule in rules if kind in rule.methods)}"
