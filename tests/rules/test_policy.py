# SPDX-License-Identifier: MIT
"""Rules as a table: the first that matches decides, and what cannot be known is taken strictly."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.access.facts import address_of
from pam_totp.review.explanation import shown_sources
from pam_totp.rules.encoding import MAX_BYTES, encode
from pam_totp.rules.pattern import is_pattern
from pam_totp.rules.policy import (
    CODES,
    IF_ENROLLED,
    NEVER,
    REQUIRED,
    SK,
    Rule,
    Subject,
    decode,
    first_match,
    is_within,
    kinds_of,
    match,
    rules_about,
)

OFFICE, LAB = "0a000000/8", "20010db8000000000000000000000000/32"  # 10.0.0.0/8, 2001:db8::/32
# As sshd reports them (SSH_AUTH_INFO_0).
KEY, SECURITY_KEY = "publickey ssh-ed25519 AAAA", "publickey sk-ssh-ed25519@openssh.com AAAA"
ANY_V4, ANY_V6 = "00000000/0", "00000000000000000000000000000000/0"


Names = tuple[str, ...]


def member_of(*groups: str, unknown: tuple[str, ...] = ()) -> Callable[[str], bool | None]:
    return lambda group: None if group in unknown else group in groups


IN_STAFF = member_of("staff", unknown=("ghost",))


def login(
    user: str = "alice",
    service: str = "sshd",
    rhost: str = "10.1.2.3",
    key: str = "",
    is_in: Callable[[str], bool | None] = IN_STAFF,
) -> Subject:
    """A login of alice, who is in staff; nobody can tell who is in ghost."""
    return Subject(
        user=user, service=service, address=address_of(rhost), publickey=kinds_of(key), is_in=is_in
    )


def code_for(subject: Subject, *rules: Rule, otherwise: str = IF_ENROLLED) -> str:
    return first_match(kept(*rules), subject, otherwise).code


def lists_of(rule: Rule) -> tuple[Names, Names, Names, Names, str]:
    return rule.users, rule.groups, rule.services, rule.sources, rule.publickey


def kept(*rules: Rule) -> bytes:
    """The rules as the snapshot holds them."""
    return b"before\n" + encode(list(rules)) + b"end\n"


@pytest.mark.parametrize(
    ("rule", "subject", "expected"),
    [
        (Rule(code=NEVER), login(), True),
        # users
        (Rule(code=NEVER, users=("alice",)), login(), True),
        (Rule(code=NEVER, users=("bob",)), login(), False),
        (Rule(code=NEVER, users=("bob", "alice")), login(), True),
        (Rule(code=NEVER, users=("alice2",)), login(), False),
        (Rule(code=NEVER, users=("lic",)), login(), False),
        (Rule(code=NEVER, users=("Alice",)), login(), False),
        (Rule(code=NEVER, users=("a*",)), login(), True),
        (Rule(code=NEVER, users=("bob", "[a-c]*e")), login(), True),
        (Rule(code=NEVER, users=("[!a]*",)), login(), False),
        (Rule(code=NEVER, users=("*",)), login(), True),
        # services
        (Rule(code=NEVER, services=("sshd",)), login(), True),
        (Rule(code=NEVER, services=("su",)), login(service="sudo"), False),
        (Rule(code=NEVER, services=("su*",)), login(service="sudo"), True),
        (Rule(code=NEVER, services=("login", "sudo")), login(service="sudo"), True),
        # groups: one of them is enough
        (Rule(code=NEVER, groups=("staff",)), login(), True),
        (Rule(code=NEVER, groups=("wheel",)), login(), False),
        (Rule(code=NEVER, groups=("wheel", "staff")), login(), True),
        (Rule(code=NEVER, groups=("ghost",)), login(), None),
        (Rule(code=NEVER, groups=("wheel", "ghost")), login(), None),
        (Rule(code=NEVER, groups=("ghost", "staff")), login(), True),
        # public key
        (Rule(code=NEVER, publickey="yes"), login(key=KEY), True),
        (Rule(code=NEVER, publickey="yes"), login(key=SECURITY_KEY), True),
        (Rule(code=NEVER, publickey="yes"), login(), False),
        (Rule(code=NEVER, publickey="no"), login(key=KEY), False),
        (Rule(code=NEVER, publickey="no"), login(key=SECURITY_KEY), False),
        (Rule(code=NEVER, publickey="no"), login(), True),
        (Rule(code=NEVER, publickey=""), login(key=KEY), True),
        (Rule(code=NEVER, publickey=SK), login(key=SECURITY_KEY), True),
        (Rule(code=NEVER, publickey=SK), login(key=KEY), False),
        (Rule(code=NEVER, publickey=SK), login(key="publickey ssh-sk-x AAAA"), False),
        (Rule(code=NEVER, publickey=SK), login(), False),
        # from
        (Rule(code=NEVER, sources=(OFFICE,)), login(), True),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="11.0.0.0"), False),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="10.255.255.255"), True),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="::ffff:10.1.2.3"), True),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="::ffff:0a01:0203"), True),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="::10.1.2.3"), False),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="a00::"), False),
        (Rule(code=NEVER, sources=(LAB,)), login(rhost="2001:db8::1"), True),
        (Rule(code=NEVER, sources=(LAB,)), login(rhost="2001:db9::1"), False),
        (Rule(code=NEVER, sources=(LAB,)), login(rhost="2001:db8::1%eth0"), True),
        (Rule(code=NEVER, sources=(LAB,)), login(), False),
        (Rule(code=NEVER, sources=(LAB, OFFICE)), login(), True),
        (Rule(code=NEVER, sources=(ANY_V4,)), login(), True),
        (Rule(code=NEVER, sources=(ANY_V4,)), login(rhost="::1"), False),
        (Rule(code=NEVER, sources=(ANY_V4,)), login(rhost="::ffff:1.2.3.4"), True),
        (Rule(code=NEVER, sources=(ANY_V6,)), login(rhost="::1"), True),
        (Rule(code=NEVER, sources=(ANY_V6,)), login(), False),
        (Rule(code=NEVER, sources=(ANY_V6,)), login(rhost="::ffff:1.2.3.4"), False),
        # local: without a remote host, and nothing else
        (Rule(code=NEVER, sources=("local",)), login(rhost=""), True),
        (Rule(code=NEVER, sources=("local",)), login(), False),
        (Rule(code=NEVER, sources=("local",)), login(rhost="127.0.0.1"), False),
        (Rule(code=NEVER, sources=("local",)), login(rhost="::1"), False),
        (Rule(code=NEVER, sources=("local",)), login(rhost="server"), False),
        (Rule(code=NEVER, sources=("local", OFFICE)), login(), True),
        (Rule(code=NEVER, sources=("local", OFFICE)), login(rhost=""), True),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost=""), False),
        (Rule(code=NEVER, sources=(ANY_V4, ANY_V6)), login(rhost=""), False),
        # a remote host without an address: nobody can tell
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="server"), None),
        (Rule(code=NEVER, sources=("local", OFFICE)), login(rhost="server"), None),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="10.1.2"), None),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="10.1.2.3.4"), None),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="010.1.2.3"), None),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost=":::"), None),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="10.1.2.3\0"), None),
        (Rule(code=NEVER, sources=(OFFICE,)), login(rhost="%eth0"), None),
        # all that is named has to hold, and a no outweighs what nobody can tell
        (Rule(code=NEVER, users=("alice",), services=("sshd",), groups=("staff",),
              sources=(OFFICE,)), login(), True),
        (Rule(code=NEVER, users=("alice",), services=("su",)), login(), False),
        (Rule(code=NEVER, users=("bob",), groups=("ghost",)), login(), False),
        (Rule(code=NEVER, groups=("ghost",), sources=(LAB,)), login(), False),
        (Rule(code=NEVER, groups=("wheel",), sources=(OFFICE,)), login(rhost="server"), False),
        (Rule(code=NEVER, groups=("staff",), sources=(OFFICE,)), login(rhost="server"), None),
        (Rule(code=NEVER, groups=("ghost",), sources=(OFFICE,)), login(rhost="server"), None),
        (Rule(code=NEVER, groups=("ghost",), publickey="yes"), login(), False),
    ],
)  # fmt: skip
def test_rule_matches(rule: Rule, subject: Subject, expected: bool | None) -> None:
    assert match(rule, subject) is expected
    found = first_match(kept(Rule(**vars(rule) | {"line": 7})), subject, REQUIRED)
    assert found.line == (7 if expected else 0)


def test_group_is_looked_up_only_where_the_rest_matches() -> None:
    def never_asked(group: str) -> bool | None:
        raise AssertionError(f"asked for {group}")

    rules = [
        Rule(code=NEVER, users=("bob",), groups=("staff",)),
        Rule(code=NEVER, services=("su",), groups=("staff",)),
        Rule(code=NEVER, sources=("local",), groups=("staff",)),
        Rule(code=NEVER, publickey="yes", groups=("staff",)),
    ]
    assert code_for(login(is_in=never_asked), *rules) == IF_ENROLLED


@pytest.mark.parametrize("codes", itertools.permutations(CODES))
def test_first_match_wins(codes: tuple[str, ...]) -> None:
    rules = [Rule(code=code, line=line) for line, code in enumerate(codes, 1)]
    found = first_match(kept(*rules), login(), IF_ENROLLED)
    assert (found.code, found.line) == (codes[0], 1)


def test_rules_that_do_not_match_are_passed_over() -> None:
    rules = [
        Rule(code=NEVER, users=("bob",)),
        Rule(code=NEVER, services=("login",)),
        Rule(code=REQUIRED, groups=("staff",), line=7),
        Rule(code=NEVER),
    ]
    found = first_match(kept(*rules), login(), IF_ENROLLED)
    assert (found.code, found.line) == (REQUIRED, 7)


@pytest.mark.parametrize("otherwise", CODES)
def test_where_no_rule_matches_the_code_is_what_enrollment_says(otherwise: str) -> None:
    for rules in ([], [Rule(code=NEVER, users=("bob",))]):
        found = first_match(kept(*rules), login(), otherwise)
        assert (found.code, found.line) == (otherwise, 0)


UNKNOWNS = {
    "a group": (Rule(code=NEVER, groups=("ghost",)), login()),
    "a remote host without an address": (
        Rule(code=NEVER, sources=(OFFICE,)),
        login(rhost="server"),
    ),
}


@pytest.mark.parametrize("what", UNKNOWNS)
@pytest.mark.parametrize(("this", "below"), itertools.product(CODES, CODES))
def test_what_nobody_can_tell_takes_the_stricter_of_both_answers(
    what: str, this: str, below: str
) -> None:
    unknown, subject = UNKNOWNS[what]
    rule = Rule(code=this, line=1, groups=unknown.groups, sources=unknown.sources)
    stricter = max(this, below, key=CODES.index)
    assert code_for(subject, rule, Rule(code=below, line=2)) == stricter
    assert code_for(subject, rule, otherwise=below) == stricter
    assert code_for(subject, Rule(code=below, line=1), rule) == below  # the first one did match


def test_strictest_of_several_that_may_match_holds() -> None:
    unknowns = [Rule(code=code, line=line, groups=("ghost",)) for line, code in enumerate(CODES, 1)]
    for rules in itertools.permutations(unknowns):
        assert code_for(login(), *rules, Rule(code=NEVER)) == REQUIRED


USERS = st.lists(
    st.sampled_from(["alice", "bob", "a*", "*", "[!b]*", "ali", "lice"]), max_size=2
).map(tuple)
SERVICES = st.lists(st.sampled_from(["sshd", "su*", "sudo", "*"]), max_size=2).map(tuple)
GROUPS = st.lists(st.sampled_from(["staff", "wheel", "ghost"]), max_size=2).map(tuple)
SOURCES = st.lists(st.sampled_from(["local", OFFICE, LAB, ANY_V4, ANY_V6]), max_size=2).map(tuple)
RULES = st.builds(
    Rule,
    code=st.sampled_from(CODES),
    line=st.integers(1, 99),
    users=USERS,
    groups=GROUPS,
    services=SERVICES,
    sources=SOURCES,
    publickey=st.sampled_from(["", "yes", "no", SK]),
)
LOGINS = st.builds(
    login,
    st.sampled_from(["alice", "bob", "li"]),
    st.sampled_from(["sshd", "su", "sudo"]),
    st.sampled_from(["", "10.1.2.3", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.1", "server"]),
    st.sampled_from(["", KEY, SECURITY_KEY]),
)


def possible_codes(rules: list[Rule], subject: Subject, otherwise: str) -> set[str]:
    """The answers of all worlds in which what nobody can tell is one way or the other."""
    codes: set[str] = set()
    for rule in rules:
        answer = match(rule, subject)
        if answer is not False:
            codes.add(rule.code)
        if answer is True:
            return codes
    return codes | {otherwise}


@settings(deadline=None)
@given(st.lists(RULES, max_size=8), LOGINS, st.sampled_from(CODES))
def test_answer_is_the_strictest_of_all_that_are_possible(
    rules: list[Rule], subject: Subject, otherwise: str
) -> None:
    expected = max(possible_codes(rules, subject, otherwise), key=CODES.index)
    assert code_for(subject, *rules, otherwise=otherwise) == expected


@settings(deadline=None)
@given(st.lists(RULES, max_size=4), st.sampled_from(["alice", "bob", "lice", "zoe"]))
def test_rules_survive_the_snapshot_in_their_order(rules: list[Rule], user: str) -> None:
    """All that can be about this user; of a rule for plain names only that one is left."""
    expected = [
        rule
        for rule in rules
        if not rule.users or user in rule.users or any(is_pattern(name) for name in rule.users)
    ]
    found = [decode(text) for text in dict.fromkeys(rules_about(kept(*rules), user))]
    assert [(rule.code, rule.line) for rule in found] == [
        (each.code, each.line) for each in expected
    ]
    for rule, each in zip(found, expected, strict=True):
        plain = each.users and not any(is_pattern(name) for name in each.users)
        assert rule.users == ((user,) if plain else each.users)
        assert lists_of(rule)[1:] == lists_of(each)[1:]


def test_rules_that_no_login_could_read_are_not_encoded() -> None:
    """Nor are they made to learn that: a thousand names with a thousand networks are a million."""
    networks = tuple(f"{number:08x}/32" for number in range(300))
    names = tuple(f"user{number}" for number in range(1000))
    assert len(encode([Rule(code=NEVER, users=names, sources=networks)])) < MAX_BYTES
    with pytest.raises(ValueError, match=f"the rules are larger than {MAX_BYTES} bytes"):
        encode([Rule(code=NEVER, users=names, sources=networks * 4)])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "never",
        "00001\t\t\t\t\t\tnever",
        "00001\t\t\t\t\t\tnever\tx",
        "00001\t\t\t\t\t\talways\t1",
        "00001\t\t\t\t\tmaybe\tnever\t1",
        "00001\t\t\t\t\t\t\tnever\t1",
    ],
)
def test_line_of_a_snapshot_that_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)


@pytest.mark.parametrize(
    ("rhost", "address"),
    [
        ("", b""),
        ("192.0.2.7", bytes([192, 0, 2, 7])),
        ("::1", bytes(15) + b"\1"),
        ("fe80::1%eth0", b"\xfe\x80" + bytes(13) + b"\1"),
        ("::ffff:192.0.2.7", bytes([192, 0, 2, 7])),
        ("::FFFF:c000:207", bytes([192, 0, 2, 7])),
        ("::192.0.2.7", bytes(12) + bytes([192, 0, 2, 7])),
        ("server.example.org", None),
        ("192.0.2", None),
        ("192.0.2.07", None),
        ("192.0.2.7 ", None),
        ("192.0.2.0/24", None),
        ("1::2::3", None),
        ("%", None),
        ("\0", None),
        ("1.2.3.4\0", None),
        ("\udcff", None),
    ],
)
def test_address_of_a_remote_host(rhost: str, address: bytes | None) -> None:
    assert address_of(rhost) == address


@pytest.mark.parametrize(
    ("network", "address", "expected"),
    [
        ("c0000207/32", "192.0.2.7", True),
        ("c0000207/32", "192.0.2.8", False),
        ("c0000200/31", "192.0.2.1", True),
        ("c0000200/31", "192.0.2.2", False),
        (ANY_V4, "255.255.255.255", True),
        (f"{'0' * 31}1/128", "::1", True),
        (f"{'0' * 31}1/128", "::2", False),
        (f"{'0' * 31}0/127", "::1", True),
        (f"{'0' * 24}01020304/128", "1.2.3.4", False),
    ],
)
def test_network_has_an_address(network: str, address: str, expected: bool) -> None:
    found = address_of(address)
    assert found is not None
    assert is_within(network, found) is expected


def test_networks_are_shown_as_people_write_them() -> None:
    rule = Rule(code=NEVER, sources=("local", OFFICE, LAB))
    shown = ["local", "10.0.0.0/8", "2001:0db8:0000:0000:0000:0000:0000:0000/32"]
    assert shown_sources(rule) == shown
