# SPDX-License-Identifier: MIT
"""The rules as the snapshot keeps them, made once after the settings changed. Pure.

pam_totp.rules.policy reads them at each login.
"""

from pam_totp.rules.pattern import is_pattern
from pam_totp.rules.policy import BETWEEN_FIELDS, BETWEEN_NAMES, Rule

MAX_BYTES = 4 * 1024 * 1024 - 64 * 1024  # a snapshot has 4 MiB, and the other settings in it


def encode(rules: list[Rule]) -> bytes:
    """The rules as the snapshot keeps them, between line ends: a login looks only at a few.

    A rule for plain names is listed once under each of them, every other rule under no name. The
    line is NAME, the rule's number, then its fields. Raises ValueError if they are more than
    MAX_BYTES, as a thousand networks for a thousand names are.
    """
    lines, size = [b"\n"], 0
    for number, rule in enumerate(rules):
        has_plain_names = rule.users and not any(is_pattern(user) for user in rule.users)
        for name in rule.users if has_plain_names else ("",):
            names = ((name,) if name else rule.users, rule.groups, rule.services, rule.sources)
            lists = [BETWEEN_NAMES.join(each) for each in names]
            accepted = BETWEEN_NAMES.join(rule.methods)
            code = [rule.publickey, accepted, rule.code, str(rule.line)]
            fields = [name, f"{number:05}", *lists, *code]
            lines.append(f"{BETWEEN_FIELDS.join(fields)}\n".encode())
            size += len(lines[-1])
            if size > MAX_BYTES:
                raise ValueError(f"the rules are larger than {MAX_BYTES} bytes")
    return b"".join(lines)
