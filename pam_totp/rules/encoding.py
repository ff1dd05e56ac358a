"""The rules as the snapshot keeps them, made once after the settings changed. Pure.

pam_totp.rules.policy reads them at each login.
"""

from pam_totp.rules.pattern import is_pattern
from pam_totp.rules.policy import BETWEEN_FIELDS, BETWEEN_NAMES, Rule


def encode(rules: list[Rule]) -> str:
    """The rules as the snapshot keeps them: lines, of which a login looks only at a few.

    A rule for plain names stands once under each of them, every other rule once under no name. The
    line is NAME, the rule's number, then its fields.
    """
    lines = [
        BETWEEN_FIELDS.join((name, f"{number:05}", _encode_one(rule, name)))
        for number, rule in enumerate(rules)
        for name in _names_of(rule)
    ]
    return "".join(f"{line}\n" for line in lines)


def encoded_bytes(rules: list[Rule]) -> int:
    """At least as many as `encode` makes of them, of which a thousand names and a thousand networks
    in one rule are a million."""
    return sum(
        len(names) * (len(_encode_one(rule, names[0]).encode()) + 8)
        + sum(2 * len(name.encode()) for name in names)
        for rule, names in ((rule, _names_of(rule)) for rule in rules)
    )


def _names_of(rule: Rule) -> tuple[str, ...]:
    return ("",) if any(is_pattern(user) for user in rule.users) else rule.users or ("",)


def _encode_one(rule: Rule, name: str) -> str:
    names = ((name,) if name else rule.users, rule.groups, rule.services, rule.sources)
    fields = [BETWEEN_NAMES.join(each) for each in names]
    return BETWEEN_FIELDS.join([*fields, rule.publickey, rule.code, str(rule.line)])
