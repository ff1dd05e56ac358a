# SPDX-License-Identifier: MIT
"""Reading `rules` of config.yaml: what each key takes, and every fault with its place."""

import pytest

from pam_totp.review.settings_faults import check
from pam_totp.rules.policy import Rule


def rules_of(text: str) -> list[Rule]:
    """The rules of a text without faults."""
    found = check(f"rules:\n{text}".encode())
    assert found.faults == []
    return found.rules


def faults_of(text: str) -> list[str]:
    return check(f"rules:\n{text}".encode()).faults


def only(text: str) -> Rule:
    (rule,) = rules_of(text)
    return rule


def test_rule_without_conditions_is_for_everybody() -> None:
    rule = only("- code: never\n")
    assert (rule.users, rule.groups, rule.services, rule.sources) == ((), (), (), ())
    assert (rule.publickey, rule.code, rule.line) == ("", "never", 2)


def test_rules_keep_their_order_and_know_their_lines() -> None:
    text = "- code: never\n\n# a comment\n- user: alice\n  code: required\n- {code: if-enrolled}\n"
    assert [(rule.line, rule.code) for rule in rules_of(text)] == [
        (2, "never"),
        (5, "required"),
        (7, "if-enrolled"),
    ]


def test_every_key_is_read() -> None:
    rule = only(
        "- user: [alice, 'b*']\n  group: wheel\n  service: [sshd, su*]\n"
        "  from: [local, 192.0.2.7]\n  publickey: yes\n  code: required\n"
    )
    assert rule.users == ("alice", "b*")
    assert rule.groups == ("wheel",)
    assert rule.services == ("sshd", "su*")
    assert rule.sources == ("local", "c0000207/32")
    assert (rule.publickey, rule.code) == ("yes", "required")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("alice", "alice"),
        ("'*'", "*"),
        ("1000", "1000"),
        ("007", "007"),
        ("1e3", "1e3"),
        ("yes", "yes"),
        ("'null'", "null"),
        ("2027-03-01", "2027-03-01"),
        ("1:20", "1:20"),
        ("domain users", "domain users"),
        ("EXAMPLE\\alice", "EXAMPLE\\alice"),
        ("alice@example.org", "alice@example.org"),
        ("jörg", "jörg"),
        ("-x", "-x"),
        ("'[a-c]?[!x]'", "[a-c]?[!x]"),
        ("'[]]'", "[]]"),
        ("'[!]]'", "[!]]"),
        ("'[[]'", "[[]"),
        ("'a]'", "a]"),
        ("x" * 255, "x" * 255),
    ],
)
@pytest.mark.parametrize("key", ["user", "group", "service"])
def test_names_and_patterns_are_kept_as_they_are_written(key: str, name: str, kept: str) -> None:
    rule = only(f"- {key}: {name}\n  code: never\n")
    if key == "service":
        kept = kept.lower()  # libpam has them in small letters
    assert getattr(rule, f"{key}s") == (kept,)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("local", "local"),
        ("192.0.2.7", "c0000207/32"),
        ("192.0.2.0/24", "c0000200/24"),
        ("192.0.2.0/255.255.255.0", "c0000200/24"),
        ("0.0.0.0/0", "00000000/0"),
        ("'::1'", "00000000000000000000000000000001/128"),
        ("'2001:db8::/32'", "20010db8000000000000000000000000/32"),
        ("2001:db8::/32", "20010db8000000000000000000000000/32"),
        ("'::/0'", "00000000000000000000000000000000/0"),
        ("'::ffff:192.0.2.7'", "c0000207/32"),
        ("'::ffff:10.0.0.0/104'", "0a000000/8"),
        ("'::ffff:0:0/96'", "00000000/0"),
    ],
)
def test_networks_are_kept_as_bytes(address: str, kept: str) -> None:
    assert only(f"- from: {address}\n  code: never\n").sources == (kept,)


@pytest.mark.parametrize("written", ["yes", "Yes", "true", "TRUE", "'yes'"])
def test_publickey_says_yes(written: str) -> None:
    assert only(f"- {{publickey: {written}, code: never}}\n").publickey == "yes"


@pytest.mark.parametrize("written", ["never", "Never", "NEVER"])
def test_words_are_read_in_any_case(written: str) -> None:
    assert only(f"- code: {written}\n").code == "never"


@pytest.mark.parametrize("written", ["no", "No", "false"])
def test_publickey_says_no(written: str) -> None:
    assert only(f"- {{publickey: {written}, code: never}}\n").publickey == "no"


@pytest.mark.parametrize("written", ["sk", "SK"])
def test_publickey_says_security_key(written: str) -> None:
    assert only(f"- {{publickey: {written}, code: never}}\n").publickey == "sk"


KNOWN = "(known here: user, group, service, from, publickey, code, methods)"
NETWORKS = "an address, a network like 192.0.2.0/24 or 2001:db8::/32, or local"
CODES = "never, if-enrolled or required"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("- never\n", "line 2, column 3: expected KEY: VALUE pairs (got 'never')"),
        ("- [code, never]\n",
         "line 2, column 3: expected KEY: VALUE pairs (got a list)"),
        ("- code: never\n-\n",
         "line 3, column 2: expected KEY: VALUE pairs (got '')"),
        ("- {}\n", "line 2, column 3: missing key code (never, if-enrolled, required)"),
        ("- user: alice\n", "line 2, column 3: missing key code (never, if-enrolled, required)"),
        ("- code:\n", f"line 2, column 8: rules.code must be {CODES} (got '')"),
        ("- code: yes\n", f"rules.code must be {CODES} (got 'yes')"),
        ("- code: require\n",
         "must be never, if-enrolled or required (got 'require'); did you mean "
         "required?"),
        ("- code: ifenrolled\n",
         "required (got 'ifenrolled'); did you mean if-enrolled?"),
        ("- code: [never]\n", f"rules.code must be {CODES} (got a list)"),
        ("- {code: never, code: required}\n",
         "line 2, column 17: duplicate key 'code'"),
        ("- {code: never, user: a, user: b}\n", "column 26: duplicate key 'user'"),
        ("- {code: never, users: a}\n",
         "line 2, column 17: unknown key 'users'; did you mean user?"),
        ("- {code: never, form: a}\n", "did you mean from?"),
        ("- {code: never, colour: a}\n", f"unknown key 'colour' {KNOWN}"),
        ("- {code: never, ~: a}\n", f"unknown key '~' {KNOWN}"),
        ("- {code: never, [a]: b}\n", "unknown key a list; a key must be a word"),
        ("- {code: never, \"\\e\": b}\n", f"unknown key '\\x1b' {KNOWN}"),
        ("- {code: never, <<: {user: a}}\n", "line 2, column 17: unknown key '<<'"),
        ("- {code: never, publickey: maybe}\n",
         "line 2, column 28: rules.publickey must be yes, no or sk (got 'maybe')"),
        ("- {code: never, publickey: ~}\n",
         "rules.publickey must be yes, no or sk (got '~')"),
        ("- {code: never, publickey: [yes]}\n",
         "rules.publickey must be yes, no or sk (got a list)"),
        ("- {code: never, user: []}\n",
         "line 2, column 23: rules.user: empty list, so the rule would match nobody"),
        ("- {code: never, from: []}\n", "rules.from: empty list, so the rule would match nobody"),
        ("- {code: never, user: ''}\n",
         "rules.user must be a name or a pattern (got '')"),
        ("- {code: never, user: }\n", "rules.user must be a name or a pattern (got '')"),
        ("- {code: never, user: ~}\n",
         "rules.user must be a name or a pattern (got '~')"),
        ("- {code: never, group: null}\n",
         "rules.group must be a name or a pattern (got 'null')"),
        ("- {code: never, user: {name: a}}\n",
         "rules.user must be a name or a pattern (got a mapping)"),
        ("- {code: never, user: [a, [b]]}\n",
         "line 2, column 27: rules.user must be a name or a pattern (got a list)"),
        ("- {code: never, user: \"a\\tb\"}\n",
         "rules.user must be a name or a pattern (got 'a\\tb')"),
        ("- {code: never, user: \"a\\x1fb\"}\n", "(got 'a\\x1fb')"),
        ("- {code: never, user: \"a\\ud800\"}\n", "(got 'a\\ud800')"),
        ("- {code: never, service: ../sshd}\n",
         "rules.service must be a name or a pattern (got '../sshd')"),
        ("- {code: never, user: " + "x" * 256 + "}\n", f"(got '{'x' * 60}')"),
        ("- {code: never, user: 'a[b'}\n",
         "rules.user has a [ without ] (got 'a[b')"),
        ("- {code: never, user: '[]'}\n", "has a [ without ] (got '[]')"),
        ("- {code: never, user: '[!]'}\n", "has a [ without ] (got '[!]')"),
        ("- {code: never, user: '[a][b'}\n", "has a [ without ] (got '[a][b')"),
        ("- {code: never, from: office}\n",
         f"line 2, column 23: rules.from must be {NETWORKS} (got 'office')"),
        ("- {code: never, from: localhost}\n",
         "must be an address, a network like "
         "192.0.2.0/24 or 2001:db8::/32, or local (got 'localhost'); did you mean local?"),
        ("- {code: never, from: 10/8}\n", f"rules.from must be {NETWORKS} (got '10/8')"),
        ("- {code: never, from: 192.0.2.256}\n", "(got '192.0.2.256')"),
        ("- {code: never, from: 192.0.2.1/33}\n", "(got '192.0.2.1/33')"),
        ("- {code: never, from: 3221225991}\n", "(got '3221225991')"),
        ("- {code: never, from: ~}\n", "(got '~')"),
        ("- {code: never, from: [[local]]}\n",
         f"rules.from must be {NETWORKS} (got a list)"),
        ("- {code: never, from: '*'}\n", "(got '*')"),
        ("- {code: never, from: 192.0.2.7/24}\n",
         "rules.from has host bits set (got '192.0.2.7/24'); did you mean 192.0.2.0/24?"),
        ("- {code: never, from: '2001:db8::1/32'}\n",
         "rules.from has host bits set (got '2001:db8::1/32'); did you mean "
         "2001:db8::/32?"),
        ("- {code: never, from: 'fe80::1%eth0'}\n",
         "rules.from must not name an interface (got 'fe80::1%eth0')"),
        ("- &a {code: never}\n- *a\n", "line 3, column 3: alias *a not allowed"),
        ("- {code: never, user: !!binary YWxpY2U=}\n",
         "line 2, column 23: tag 'tag:yaml.org,2002:binary' not "),
        ("- {code: never, user: *}\n", "line 2, column 24: expected alphabetic or numeric"),
        ("- {code: never, user: *-admin}\n", "line 2, column 23: alias *-admin not allowed"),
    ],
)  # fmt: skip
def test_fault_is_named_with_its_place(text: str, fault: str) -> None:
    found = faults_of(text)
    assert len(found) == 1
    assert fault in found[0]


def test_all_faults_of_all_rules_are_reported_in_their_order() -> None:
    text = (
        "- user: [alice, '', '[']\n  from: [10.0.0.0/8, 10.0.0.1/8]\n"
        "- {usr: bob, code: nevr}\n"
        "- code: never\n  publickey: 1\n"
    )
    assert [fault.partition(":")[0] for fault in faults_of(text)] == [
        "line 2, column 3",
        "line 2, column 17",
        "line 2, column 21",
        "line 3, column 22",
        "line 4, column 4",
        "line 4, column 20",
        "line 6, column 14",
    ]


def test_huge_list_is_read() -> None:
    names = ", ".join(f"user{number}" for number in range(5000))
    assert len(only(f"- {{code: never, user: [{names}]}}\n").users) == 5000
