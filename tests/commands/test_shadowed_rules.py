# SPDX-License-Identifier: MIT
"""Rules that can never match: said only where it is certain, and then always true."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.access.facts import address_of
from pam_totp.review.settings_faults import check
from pam_totp.review.shadowed_rules import covers, shadowed
from pam_totp.rules.policy import Rule, Subject, match


def rule_of(conditions: str) -> Rule:
    """A rule of the text between the braces, without its code."""
    found = check(f"rules: [{{code: never, {conditions}}}]".encode())
    assert found.faults == []
    return found.rules[0]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("", ""),
        ("", "user: alice, group: staff, service: su, from: local, publickey: yes"),
        ("user: alice", "user: alice"),
        ("user: [alice, bob]", "user: bob"),
        ("user: [alice, bob]", "user: [bob, alice]"),
        ("user: '*'", ""),
        ("user: '*'", "user: 'a[b-c]?'"),
        ("user: 'a*'", "user: [alice, adm]"),
        ("user: 'a*'", "user: 'al*'"),
        ("user: 'a*'", "user: 'a?'"),
        ("user: '*-admin'", "user: '*-x-admin'"),
        ("user: '[a-c]*'", "user: bob"),
        ("user: 'a?[b]'", "user: 'a?[b]'"),
        ("group: staff", "group: staff"),
        ("group: [staff, wheel]", "group: wheel, user: alice"),
        ("group: 'a*'", "group: 'a*'"),
        ("service: [su, sudo]", "service: su"),
        ("publickey: yes", "publickey: yes"),
        ("publickey: yes", "publickey: sk"),
        ("publickey: sk", "publickey: sk"),
        ("from: local", "from: local"),
        ("from: [local, 10.0.0.0/8]", "from: [10.1.0.0/16, local]"),
        ("from: 10.0.0.0/8", "from: 10.1.2.3"),
        ("from: [10.0.0.0/9, 10.128.0.0/9]", "from: 10.0.0.0/8"),
        ("from: 10.0.0.0/8", "from: '::ffff:10.1.2.3'"),
        ("from: '2001:db8::/32'", "from: ['2001:db8::1', '2001:db8:1::/48']"),
        ("from: ['::/0', 0.0.0.0/0]", "from: [10.0.0.0/8, '2001:db8::/32']"),
    ],
)
def test_rule_that_an_earlier_one_covers(wide: str, narrow: str) -> None:
    assert covers(rule_of(wide), rule_of(narrow))


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("user: alice", ""),
        ("user: alice", "user: [alice, bob]"),
        ("user: alice", "user: 'alice*'"),
        ("user: 'a*'", "user: '*'"),
        ("user: 'a*'", "user: '[a]*'"),  # true, and not certain enough for us
        ("user: '*x]'", "user: '[ax]'"),
        ("user: '[a-c]*'", "user: '[a-d]*'"),
        ("group: staff", ""),
        ("group: staff", "group: [staff, wheel]"),
        ("group: 'st*'", "group: staff"),
        ("group: '*'", "group: staff"),
        ("group: '*'", ""),
        ("service: su", "service: 'su*'"),
        ("publickey: yes", ""),
        ("publickey: yes", "publickey: no"),
        ("publickey: sk", "publickey: yes"),
        ("publickey: no", "publickey: sk"),
        ("from: local", ""),
        ("from: [local, 0.0.0.0/0, '::/0']", ""),
        ("from: 10.0.0.0/8", "from: [10.0.0.0/8, local]"),
        ("from: 10.1.0.0/16", "from: 10.0.0.0/8"),
        ("from: '::/0'", "from: 10.0.0.0/8"),
        ("from: 0.0.0.0/0", "from: '::/0'"),
        ("user: alice, service: su", "user: alice"),
    ],
)
def test_rule_that_an_earlier_one_leaves_something(wide: str, narrow: str) -> None:
    assert not covers(rule_of(wide), rule_of(narrow))


NAMES = st.lists(
    st.sampled_from(["a", "ab", "b", "a*", "*b", "*", "?", "[ab]", "[!a]*", "a?"]), max_size=2
).map(tuple)
LAB = f"20010db8{'0' * 24}/32"
SOURCES = st.lists(
    st.sampled_from(["local", "0a000000/8", "0a010000/16", "00000000/0", LAB]), max_size=3
).map(tuple)
RULES = st.builds(
    lambda line, users, groups, services, sources, key: Rule(
        code="never",
        line=line,
        users=users,
        groups=groups,
        services=services,
        sources=sources,
        publickey=key,
    ),
    st.integers(1, 99),
    NAMES,
    st.lists(st.sampled_from(["x", "y"]), max_size=2).map(tuple),
    NAMES,
    SOURCES,
    st.sampled_from(["", "yes", "no", "sk"]),
)
SUBJECTS = st.builds(
    lambda user, service, rhost, key, groups: Subject(
        user=user,
        service=service,
        address=address_of(rhost),
        publickey=key,
        is_in={"x": None, "y": False, **groups}.get,
    ),
    st.sampled_from(["a", "ab", "b", "bb", "c"]),
    st.sampled_from(["a", "ab", "b", "bb", "c"]),
    st.sampled_from(["", "10.0.0.1", "10.1.0.1", "192.0.2.1", "2001:db8::1", "::1", "server"]),
    st.sampled_from([("no",), ("yes",), ("yes", "sk")]),
    st.fixed_dictionaries({"x": st.sampled_from([True, False, None])}),
)


@settings(deadline=None, max_examples=500)
@given(RULES, RULES, SUBJECTS)
def test_no_login_tells_that_a_covered_rule_matches(
    wide: Rule, narrow: Rule, subject: Subject
) -> None:
    if covers(wide, narrow) and match(narrow, subject):
        assert match(wide, subject)


@settings(deadline=None)
@given(st.lists(RULES, max_size=8))
def test_index_finds_what_comparing_all_with_all_does(rules: list[Rule]) -> None:
    rules = [Rule(**vars(rule) | {"line": line}) for line, rule in enumerate(rules)]
    expected = {
        line for line, rule in enumerate(rules) if any(covers(each, rule) for each in rules[:line])
    }
    found = list(shadowed(rules))
    assert {rule.line for rule, _ in found} == expected
    assert all(earlier.line < rule.line and covers(earlier, rule) for rule, earlier in found)


def test_ten_thousand_rules_take_no_long_time() -> None:
    rules = [Rule(code="never", line=line, users=(f"user{line}",)) for line in range(10000)]
    rules += [Rule(code="never", line=line, groups=(f"group{line}",)) for line in range(10000)]
    assert not list(shadowed(rules))
    assert len(list(shadowed([Rule(code="never"), *rules]))) == 20000
