# SPDX-License-Identifier: MIT
"""The rules divide people and addresses: each way in is said with the class it is open to."""

import calendar
import itertools
import random
from pathlib import Path

import pytest

from pam_totp.records.config import reader
from pam_totp.records.config.settings import Settings, typed
from pam_totp.review.open_to import People, Policy, note_of_enrollment, policy_of, with_users
from pam_totp.review.ways import ways_of_service
from pam_totp.rules.encoding import encode
from pam_totp.rules.policy import NEVER, Rule, Subject, first_match
from tests.review.test_ways import CODE, COMMON_AUTH, PASSWORD
from tests.stack.written import SINCE_1_6, write

# The logins of each class, by what rules may say of their keys.
KINDS: dict[str, list[tuple[str, ...]]] = {
    "no": [("no",)],
    "yes": [("yes",), ("yes", "sk")],
    "sk": [("yes", "sk")],
}


def settings(text: str) -> Settings:
    values, rules = reader.parse(reader.compose(text.encode()))
    return typed(values, encode(rules))


def said(root: Path, name: str, stack: str, rules: str) -> str:
    write(root, {"common-auth": COMMON_AUTH, name: stack})
    found = ways_of_service(name, str(root), SINCE_1_6, policy_of(settings(rules)))
    assert found is not None
    return found.text + (f" ({len(found.findings)} findings)" if found.findings else "")


@pytest.mark.parametrize(
    ("name", "stack", "rules", "text"),
    [
        (
            "imap",
            PASSWORD + CODE,
            "rules:\n- {user: borg, from: 192.0.2.7, code: never}\n",
            "borg from 192.0.2.7: password alone (rule of line 2) · others: password, then code",
        ),
        (
            "imap",
            PASSWORD + CODE,
            "rules:\n- {group: [backup, staff], code: never}\n- {service: ssh*, code: never}\n",
            "members of backup, staff: password alone (rule of line 2) · "
            "others: password, then code",
        ),
        ("imap", PASSWORD + CODE, "rules:\n- {publickey: sk, code: never}\n",
         "password, then code"),
        ("imap", PASSWORD + CODE, "rules:\n- {service: im*, code: never}\n",
         "password (rule of line 2)"),
        (
            "imap",
            PASSWORD,
            "rules:\n- {user: x, code: never}\n- {code: required}\n",
            "x: password (rule of line 2) · others: password (1 findings)",
        ),
        ("imap", PASSWORD, "rules:\n- {service: imap, code: never}\n", "password (rule of line 2)"),
        (
            "imap",
            PASSWORD,
            "rules:\n- {user: x, code: if-enrolled}\n- {code: never}\n",
            "x: password · others: password (rule of line 3) (1 findings)",
        ),
        (
            "imap",
            PASSWORD + CODE,
            "enrollment: required\nrules:\n- {user: x, from: [2001:db8::/32], code: if-enrolled}\n",
            "x from 2001:db8::/32 who is not enrolled: password alone (rule of line 3) · "
            "others: password, then code",
        ),
        (
            "imap",
            PASSWORD + CODE,
            "rules:\n- {user: x, code: required}\n- {service: imap, code: never}\n",
            "x: password, then code · others: password alone (rule of line 3)",
        ),
        ("sudo", PASSWORD + CODE, "rules:\n- {from: 192.0.2.7, code: never}\n",
         "password, then code"),
        ("sudo", PASSWORD + CODE, "rules:\n- {from: local, code: never}\n",
         "password (rule of line 2)"),
        (
            "imap",
            PASSWORD + CODE,
            "rules:\n- {from: [local, 10.0.0.0/8], code: never}\n",
            "everybody from local, 10.0.0.0/8: password alone (rule of line 2) · "
            "others: password, then code",
        ),
        ("imap", PASSWORD + CODE, "rules:\n- {publickey: true, code: never}\n",
         "password, then code"),
        ("imap", PASSWORD + CODE, "rules:\n- {code: required}\n- {user: x, code: never}\n",
         "password, then code"),
    ],
)  # fmt: skip
def test_each_way_is_said_with_the_class_it_is_open_to(
    tmp_path: Path, name: str, stack: str, rules: str, text: str
) -> None:
    assert said(tmp_path, name, stack, rules) == text


def test_a_rule_for_several_names_is_one_rule() -> None:
    policy = policy_of(settings("rules:\n- {user: [a, b], code: never}\n- {code: required}\n"))
    assert [rule.users for rule in policy.rules] == [("a", "b"), ()]


@pytest.mark.parametrize(
    ("enrollment", "note"),
    [
        ("optional", "Users who have not enrolled need no code (enrollment: optional), unless"),
        ("{by: 2027-03-01}", "Users who have not enrolled need no code until 2027-03-01 "),
        ("required", ""),
        ("at-login", ""),
    ],
)
def test_whom_the_setting_for_enrollment_lets_pass_is_one_sentence(
    enrollment: str, note: str
) -> None:
    active = settings(f"enrollment: {enrollment}\n")
    assert note_of_enrollment(active, calendar.timegm((2027, 2, 1, 0, 0, 0))).startswith(note)
    after = note_of_enrollment(active, calendar.timegm((2027, 4, 1, 0, 0, 0)))
    assert bool(after) == (enrollment == "optional")


NAMES, NETWORKS = ("alice", "bob", "carol"), ("c0000200/24", "c0000207/32", "0a000000/8", "local")
ADDRESSES = (
    b"",
    b"\xc0\x00\x02\x07",
    b"\xc0\x00\x02\x08",
    b"\x0a\x01\x01\x01",
    b"\x01\x01\x01\x01",
)


def some(chance: random.Random, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(chance.sample(values, min(len(values), chance.choice((0, 0, 1, 2)))))


@pytest.mark.parametrize("seed", range(20))
def test_nobody_whom_a_login_asks_for_a_code_is_said_to_be_exempt(seed: int) -> None:
    """The same rules as `first_match` decides by at a login, for every member of a class."""
    chance = random.Random(seed)
    all_exempt = 0
    for _ in range(200):
        rules = [
            Rule(
                code=chance.choice((NEVER, NEVER, "required", "if-enrolled")),
                line=number,
                users=some(chance, (*NAMES, "a*", "*")),
                groups=some(chance, ("staff",)),
                services=some(chance, ("sshd", "ssh*", "sudo")),
                sources=some(chance, NETWORKS),
                publickey=chance.choice(("", "", "yes", "no", "sk")),
            )
            for number in range(1, chance.randint(2, 5))
        ]
        people = People(
            "sshd",
            some(chance, (*NAMES, "a*")),
            some(chance, ("staff",)),
            some(chance, NETWORKS[:3]),
            is_remote=True,
            publickey=chance.choice(("yes", "no", "sk")),
        )
        exempt, asked = Policy(tuple(rules)).divide(people)
        all_exempt += not asked
        lines = {each.line for each in exempt}
        for subject in members(people):
            rule = first_match(encode(rules), subject, "required")
            if rule.code == NEVER:
                assert rule.line in lines
            else:
                assert asked
    assert all_exempt


def members(people: People) -> list[Subject]:
    of_class = people.as_rule
    found = []
    for user in NAMES:
        for address in ADDRESSES[1:]:
            of_groups: list[tuple[str, ...]] = [(), ("staff",)]
            for groups, kinds in itertools.product(of_groups, KINDS[people.publickey]):
                subject = Subject(
                    user=user,
                    service="sshd",
                    address=address,
                    publickey=kinds,
                    is_in=lambda group, groups=groups: group in groups,  # type: ignore[misc]
                )
                always = Rule(
                    code=NEVER,
                    users=of_class.users,
                    groups=of_class.groups,
                    sources=of_class.sources,
                )
                if first_match(encode([always]), subject, "required").code == NEVER:
                    found.append(subject)
    return found


def test_rule_for_other_users_stays_the_rule_that_it_is() -> None:
    rule = Rule(
        code="required",
        line=3,
        users=("alice",),
        groups=("staff",),
        services=("sshd",),
        sources=("local",),
        publickey="yes",
        methods=("sms", "totp"),
    )
    assert vars(with_users(rule, ("bob",))) == vars(rule) | {"users": ("bob",)}
