# SPDX-License-Identifier: MIT
"""Reading config.yaml: all faults at once, each with its place; and the shipped file as manual."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.records.config import reader
from pam_totp.records.config.settings import MAX_BYTES as MAX_SNAPSHOT_BYTES
from pam_totp.records.config.settings import MESSAGE, typed
from pam_totp.records.config.table import DEFAULTS, SETTINGS
from pam_totp.records.config.values import KINDS, MAX_MESSAGE_BYTES
from pam_totp.review.settings_faults import check
from pam_totp.rules.encoding import MAX_BYTES, encode
from pam_totp.rules.enrollment import MODES
from pam_totp.rules.hashes import ALGORITHMS
from pam_totp.rules.policy import CODES, decode
from pam_totp.rules.typed_code import DIGITS

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "config.yaml"


def faults_of(text: str) -> list[str]:
    return check(text.encode()).faults


def values_of(text: str) -> dict[str, str]:
    """The values of a text without faults."""
    found = check(text.encode())
    assert found.faults == []
    return found.values


def uncommented() -> str:
    """The shipped file with every key uncommented: a commented key has no space after its #, or two
    and a colon after it."""
    text = SHIPPED.read_text(encoding="utf-8")
    return re.sub(r"^#(?=\S|  \w+: )", "", text, flags=re.MULTILINE)


def test_comments_alone_are_all_defaults() -> None:
    found = check(b"# only a comment\n")
    assert (found.values, found.rules, found.faults) == (DEFAULTS, [], [])


@pytest.mark.parametrize("text", ["", "\n\n", "  "])
def test_empty_file_is_a_write_that_failed(text: str) -> None:
    assert "the file is empty" in check(text.encode()).faults[0]


def test_shipped_file_is_valid_and_changes_nothing() -> None:
    found = check(SHIPPED.read_bytes())
    assert (found.values, found.rules, found.faults) == (DEFAULTS, [], [])


def test_shipped_file_with_every_key_uncommented_says_the_defaults() -> None:
    found = check(uncommented().encode())
    assert (found.values, found.rules, found.faults) == (DEFAULTS, [], [])


def written(key: str, default: str) -> str:
    """How people write a default."""
    return {"issuer": '""', "enrollment_services": "[]", "remember": "off"}.get(
        key, f'"{default}"' if key.startswith(MESSAGE) else default
    )


# Another value of every key, as people write it and as it is kept.
OTHERS = {
    "issuer": ("Example Org", "Example Org"),
    "store": ("system", "system"),
    "code.digits": ("8", "8"),
    "code.period": ("60", "60"),
    "code.algorithm": ("SHA256", "SHA256"),
    "code.window": ("0", "0"),
    "throttle.free_tries": ("4", "4"),
    "throttle.first_wait": ("29", "29"),
    "throttle.longest_wait": ("899", "899"),
    "enrollment": ("{by: 2027-03-01}", "by 1803859200"),
    "enrollment_services": ("[cockpit, Lightdm]", "cockpit lightdm"),
    "enrollment_qr": ("light", "light"),
    "remember": ("2h", "7200"),
    "send.sms": ("/usr/local/bin/send-it", "/usr/local/bin/send-it"),
    "send.mail": ("/usr/local/bin/send-it", "/usr/local/bin/send-it"),
    "send.user_limit": ("3", "3"),
    "send.host_limit": ("30", "30"),
    "messages.wait": ("Later.", "Later."),
    "messages.not_enrolled": ("Call 1234.", "Call 1234."),
    "messages.deadline": ("'{days} days'", "{days} days"),
    "messages.enroll": ("Scan it.", "Scan it."),
    "messages.code": ("'{code}'", "{code}"),
    "messages.sent": ("Look at {address}.", "Look at {address}."),
    "messages.not_sent": ("Later.", "Later."),
    "messages.send": ("Or enter {method}.", "Or enter {method}."),
}


def test_every_key_stands_in_the_shipped_file_with_its_default() -> None:
    text = uncommented()
    for key, default in DEFAULTS.items():
        section, _, name = key.rpartition(".")
        start = text.index(f"\n{section}:") if section else 0
        indent = "  " if section else ""
        value = re.escape(written(key, default))
        assert re.search(rf"^{indent}{name}: {value}( +#.*)?$", text[start:], re.MULTILINE), key
    assert re.search(r"^rules: \[\]$", text, re.MULTILINE)


def test_every_uncommented_key_counts() -> None:
    """So that the test above does not pass on a comment: another value there is another value."""
    assert OTHERS.keys() == DEFAULTS.keys()
    for key, (other, kept) in OTHERS.items():
        name = key.rpartition(".")[2]
        value = re.escape(written(key, DEFAULTS[key]))
        changed = re.sub(rf"^( *{name}): {value}", rf"\1: {other}", uncommented(), flags=re.M)
        assert values_of(changed) == DEFAULTS | {key: kept}


def test_every_setting_has_a_kind_that_takes_its_default() -> None:
    for default, kind, *allowed in SETTINGS.values():
        assert kind in KINDS
        assert kind not in ("choice", "mode") or default in allowed
    assert values_of(uncommented()) == DEFAULTS


def test_table_allows_what_the_rules_know() -> None:
    """The table imports nothing, so that it costs a login nothing, and repeats their words."""
    assert SETTINGS["enrollment"][2:] == MODES
    assert SETTINGS["code.algorithm"][2:] == tuple(ALGORITHMS)
    assert SETTINGS["code.digits"][2:] == tuple(map(str, DIGITS))


def test_values_are_taken() -> None:
    text = "store: system\nthrottle:\n  free_tries: 3\n  first_wait: 10\n  longest_wait: 60\n"
    assert values_of(text) == DEFAULTS | {
        "store": "system",
        "throttle.free_tries": "3",
        "throttle.first_wait": "10",
        "throttle.longest_wait": "60",
    }


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("issuer: Example Org", "issuer", "Example Org"),
        ("issuer: 42", "issuer", "42"),
        ("issuer: 'null'", "issuer", "null"),
        ("issuer: ''", "issuer", ""),
        ("code: {algorithm: sha512}", "code.algorithm", "SHA512"),
        ("code: {window: 00}", "code.window", "0"),
        ("enrollment: required", "enrollment", "required"),
        ("enrollment: at-login", "enrollment", "at-login"),
        ("enrollment: {by: 2027-03-01}", "enrollment", "by 1803859200"),
        ("enrollment:\n  by: '2027-03-01'", "enrollment", "by 1803859200"),
        ("enrollment: {by: 1969-12-31}", "enrollment", "by -86400"),
        ("enrollment: {by: 2028-02-29}", "enrollment", "by 1835395200"),
        ("enrollment_services: cockpit", "enrollment_services", "cockpit"),
        ("enrollment_services: [a, A, b-c.d_e]", "enrollment_services", "a b-c.d_e"),
        ("enrollment_qr: off", "enrollment_qr", "off"),
        ("remember: off", "remember", "0"),
        ("remember: 1m", "remember", "60"),
        ("remember: 24h", "remember", "86400"),
        ("remember: 1440m", "remember", "86400"),
        ("messages: {wait: 'In {seconds} s, ja?'}", "messages.wait", "In {seconds} s, ja?"),
        ("messages: {wait: Später}", "messages.wait", "Später"),
        ("messages: {deadline: '{date} {days}'}", "messages.deadline", "{date} {days}"),
        ("messages: {enroll: 'a } lone { brace'}", "messages.enroll", "a } lone { brace"),
        ("messages:\n  enroll: >-\n    two\n    lines", "messages.enroll", "two lines"),
    ],
)  # fmt: skip
def test_value_is_kept(text: str, key: str, value: str) -> None:
    assert values_of(text) == DEFAULTS | {key: value}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stor: user", "line 1, column 1: unknown key 'stor'; did you mean store?"),
        ("\n\nthrotle: {}", "line 3, column 1: unknown key 'throtle'; did you mean throttle?"),
        ("colour: red", "line 1, column 1: unknown key 'colour'"),
        ("throttle:\n  free_tires: 3", "line 2, column 3: unknown key 'free_tires'; "
         "did you mean throttle.free_tries?"),
        ("code.digits: 8", "unknown key 'code.digits'; did you mean code: {digits: …}?"),
        ("messages.wait: a", "unknown key 'messages.wait'; did you mean messages: {wait: …}?"),
        ("window: 2", "unknown key 'window'; did you mean code: {window: …}?"),
        ("enroll: required", "unknown key 'enroll'; did you mean enrollment?"),
        ("store: sytem",
         "line 1, column 8: store must be user, system or postgresql (got 'sytem'); did you mean "
         "system?"),
        ("store: [user]",
         "line 1, column 8: store must be user, system or postgresql (got a list)"),
        ("store: {user: 1}",
         "line 1, column 8: store must be user, system or postgresql (got a mapping)"),
        ("store: ~", "line 1, column 8: store must be user, system or postgresql (got '~')"),
        ("store: u\u017fer", "(got 'u\u017fer')"),
        ("code: {digits: 9}",
         "line 1, column 16: code.digits must be 6, 7 or 8 (got '9')"),
        ("code: {window: 6}",
         "line 1, column 16: code.window must be a number from 0 to 5 (got '6')"),
        ("issuer: ~", "line 1, column 9: issuer must be at most 64 printable "
         "characters without a colon (got '~')"),
        ("issuer:", "line 1, column 8: issuer must be at most 64 "),
        ("issuer: 'a:b'", "without a colon (got 'a:b')"),
        ("issuer: [a]", "(got a list)"),
        ('issuer: "a\\tb"', "(got 'a\\tb')"),
        ("issuer: " + "x" * 65, f"(got '{'x' * 60}')"),
        ("enrollment: at_login",
         "line 1, column 13: enrollment must be optional, required "
         "or at-login, or {by: 2027-03-01} (got 'at_login'); did you mean at-login?"),
        ("enrollment: by", "(got 'by')"),
        ("enrollment: by 1803859200", "(got 'by 1803859200')"),
        ("enrollment: 2027-03-01", "(got '2027-03-01')"),
        ("enrollment: [required]", "(got a list)"),
        ("enrollment: {}", "or {by: 2027-03-01} (got a mapping)"),
        ("enrollment: {until: 2027-03-01}", "unknown key 'until' (known here: by)"),
        ("enrollment: {by: 2027-03-01, by: 2027-03-02}", "duplicate key 'by'"),
        ("enrollment: {by: 2027-02-29}", "line 1, column 18: enrollment.by must be "
         "a date like 2027-03-01 (got '2027-02-29')"),
        ("enrollment: {by: 20270301}", "(got '20270301')"),
        ("enrollment: {by: 2027-W09-1}", "(got '2027-W09-1')"),
        ("enrollment: {by: 2027-3-1}", "(got '2027-3-1')"),
        ("enrollment: {by: 27-03-01}", "(got '27-03-01')"),
        ("enrollment: {by: 2027-03-01 12:00}", "(got '2027-03-01 12:00')"),
        ("enrollment: {by: [2027-03-01]}", "(got a list)"),
        ("enrollment: {by: ~}", "(got '~')"),
        ("enrollment_services: [cockpit, 'a b']",
         "line 1, column 32: enrollment_services must be "
         "the name of a PAM service, or a list of names (got 'a b')"),
        ("enrollment_services: '*'",
         "must be the name of a PAM service, or a list of names (got '*')"),
        ("enrollment_services: [a/b]", "(got 'a/b')"),
        ("enrollment_services: ~", "(got '~')"),
        ("enrollment_services: {cockpit: yes}", "(got a mapping)"),
        ("enrollment_services: [[a]]", "(got a list)"),
        ("remember: 10 m", "line 1, column 11: remember must be off, or a "
         "time like 10m or 2h, at most 24h (got '10 m')"),
        ("remember: 25h", "(got '25h')"),
        ("remember: 0m", "(got '0m')"),
        ("remember: 600", "(got '600')"),
        ("remember: no", "(got 'no')"),
        ("remember: ~", "(got '~')"),
        ("remember: 10m\u0663", "(got '10m\u0663')"),
        ("messages: {wait: '{minutes} min'}",
         "line 1, column 18: messages.wait has the unknown placeholder "
         "{minutes} (allowed: {seconds}) (got '{minutes} min')"),
        ("messages: {wait: '{a} {seconds} {}'}", "unknown placeholder {a} (allowed: {seconds})"),
        ("messages: {enroll: '{seconds}'}",
         "messages.enroll has the unknown placeholder {seconds} (allowed: none)"),
        ("messages: {deadline: '{day}'}",
         "messages.deadline has the unknown placeholder {day} (allowed: {date} and {days})"),
        ("messages: {wait: ~}",
         "messages.wait must be one printable line of at "
         "most 400 bytes (got '~')"),
        ("messages: {wait: '  '}", "(got '  ')"),
        ('messages: {wait: "a\\nb"}', "(got 'a\\nb')"),
        ('messages: {wait: "\\x1b[31m"}', "(got '\\x1b[31m')"),
        ('messages: {wait: "\\ud800"}', "(got '\\ud800')"),
        ("messages: {wait: " + "ä" * 201 + "}", f"(got '{'ä' * 60}')"),
        ("messages: {hello: a}", "line 1, column 12: unknown key 'hello'"),
        ("rule: []", "line 1, column 1: unknown key 'rule'; did you mean rules?"),
        ("enrolment: optional", "unknown key 'enrolment'; did you mean enrollment?"),
        ("rules: {code: never}", "line 1, column 8: rules must be a list of `- code: …` (got a "
         "mapping)"),
        ("rules:", "line 1, column 7: rules must be a list of `- code: …` (got '')"),
        ("throttle: {rules: []}", "line 1, column 12: unknown key 'rules'"),
        ("? [a]\n: b", "line 1, column 3: unknown key a list; a key must be a word"),
        ("~: b", "line 1, column 1: unknown key '~'"),
        ('"\\e[31m": b', "line 1, column 1: unknown key '\\x1b[31m'"),
        ('throttle: {"\\e": b}', "line 1, column 12: unknown key '\\x1b'"),
        ("x" * 100 + ": b", f"line 1, column 1: unknown key '{'x' * 60}'"),
        ("store: !!str user", "line 1, column 8: tag 'tag:yaml.org,2002:str' not allowed"),
        ("store: ! user", "line 1, column 8: tag '!' not allowed"),
        ("store: !%1b[31m user", "line 1, column 8: tag '!\\x1b[31m' not allowed"),
        ("!!map {store: user}", "line 1, column 1: tag 'tag:yaml.org,2002:map' not"),
        ("store: &a user\nissuer: *a", "line 2, column 9: alias *a not allowed"),
        ("&a {store: *a}", "line 1, column 12: alias *a not allowed"),
        ("store: &a user\nissuer: &a b\nremember: *a", "line 2, column 9: second occurrence"),
        ("throttle: &t {free_tries: 3}\ncode:\n  <<: *t", "line 3, column 7: alias *t not allowed"),
        ("throttle:\n  <<: {free_tries: 3}", "line 2, column 3: unknown key '<<'"),
        ("store: user\nissuer: \"a\0b\"", "line 2, column 11: unacceptable character #x0000"),
        ("store: user\nissuer: ä\u0007", "line 2, column 10: unacceptable character #x0007"),
        ("store:", "line 1, column 7: store must be user, system or postgresql (got '')"),
        ("throttle: {free_tries: 0}", "line 1, column 24: throttle.free_tries must be "
         "a number from 1 to 20 (got '0')"),
        ("throttle: {free_tries: 21}", "(got '21')"),
        ("throttle: {free_tries: -1}", "(got '-1')"),
        ("throttle: {free_tries: 3.5}", "(got '3.5')"),
        ("throttle: {free_tries: yes}", "(got 'yes')"),
        ("throttle: {free_tries: 0x10}", "(got '0x10')"),
        ("throttle: {free_tries: 1_0}", "(got '1_0')"),
        ("throttle: {free_tries: \u0663}", "(got '\u0663')"),
        ("throttle: {longest_wait: 901}", "must be a number from 30 to 900 (got '901')"),
        ("throttle: {longest_wait: 29}", "(got '29')"),
        ("throttle: {first_wait: 30 s}", "(got '30 s')"),
        ("throttle: 5", "line 1, column 11: expected KEY: VALUE pairs (got '5')"),
        ("throttle:", "line 1, column 10: expected KEY: VALUE pairs (got '')"),
        ("- store", "line 1, column 1: expected KEY: VALUE pairs"),
        ("user", "line 1, column 1: expected KEY: VALUE pairs"),
        ("store: user\nstore: user", "line 2, column 1: duplicate key 'store'"),
        ("throttle: {}\nthrottle: {}", "line 2, column 1: duplicate key 'throttle'"),
        ("store: user\n---\nstore: user", "line 2, column 1: "),
        ("store: \"user", "line 1, column "),
        ("throttle:\n\tfree_tries: 3", "line 2, column 1: found character '\\t'"),
        ("store: *other", "line 1, column 8: alias *other not allowed"),
        pytest.param("[" * 5000, "maximum recursion depth", id="deeper than Python can go"),
    ],
)  # fmt: skip
def test_fault_is_named_with_line_and_column(text: str, fault: str) -> None:
    found = faults_of(text)
    assert len(found) == 1
    assert fault in found[0]


def test_key_has_one_spelling_so_that_it_cannot_stand_there_twice_unnoticed() -> None:
    both = "throttle.free_tries: 3\nthrottle: {free_tries: 9}\n"
    fault = "unknown key 'throttle.free_tries'; did you mean throttle: {free_tries: …}?"
    assert f"line 1, column 1: {fault}" in faults_of(both)


def test_name_that_is_suggested_could_stand_there() -> None:
    (fault,) = faults_of("throttle:\n  colour: 3\n")
    assert "did you mean throttle?" not in fault


def test_all_faults_are_reported_at_once_in_their_order() -> None:
    text = (
        "stor: user\nthrottle:\n  free_tries: many\n  first_wiat: 3\n  longest_wait: 9999\n"
        "store: nowhere\n"
    )
    places = [fault.partition(":")[0] for fault in faults_of(text)]
    assert places == [
        "line 1, column 1",
        "line 3, column 15",
        "line 4, column 3",
        "line 5, column 17",
        "line 6, column 8",
    ]


def test_faults_are_in_the_files_order_though_a_missing_key_is_seen_last() -> None:
    text = "rules:\n- user: []\n  form: 10.0.0.1\n- {}\nissuer: ~\n"
    assert [fault.rpartition(": ")[0][:16] for fault in faults_of(text)] == [
        "line 2, column 3",
        "line 2, column 9",
        "line 3, column 3",
        "line 4, column 3",
        "line 5, column 9",
    ]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"store: \xff", "line 1, column 8"),
        (b"# \xc3\xa4\nissuer: \xc3\xa4\xff", "line 2, column 10"),
        (b"# \xc3\xa4\nissuer: \xc3\xa4", None),
        (b"\xff\xfes\0t\0o\0\0", "line 1, column "),  # UTF-16, cut
    ],
)
def test_what_is_no_text_is_named_with_its_place(content: bytes, place: str | None) -> None:
    faults = check(content).faults
    assert [fault.startswith(f"{place}") and "unacceptable" in fault for fault in faults] == (
        [] if place is None else [True]
    )


def test_byte_order_mark_is_no_fault() -> None:
    assert values_of("\ufeffstore: system\n")["store"] == "system"


def test_rules_that_no_login_could_read_again_are_a_fault() -> None:
    """Networks are longer in the snapshot: one over its size would be made at every login."""
    assert MAX_BYTES + 64 * 1024 <= MAX_SNAPSHOT_BYTES
    networks = ",".join(["'::/0'"] * 1000)
    rule = f"- {{code: never, from: [{networks}]}}\n"
    assert faults_of("rules:\n" + rule) == []
    users = ", ".join(f"user{number}" for number in range(1000))
    for text in (rule * 125, rule.replace("code", f"user: [{users}], code")):
        (fault,) = faults_of("rules:\n" + text)
        assert fault == f"the rules are larger than {MAX_BYTES} bytes"


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_raise(content: bytes) -> None:
    found = check(content)
    again = check(content)
    assert set(found.values) == set(DEFAULTS)
    assert (again.values, again.faults) == (found.values, found.faults)
    assert all(fault.isprintable() for fault in found.faults)
    typed(found.values, encode(found.rules))


RULE_KEYS = [key.removeprefix("rules.") for key in reader.TABLE if key.startswith("rules.")]
KEYS = st.sampled_from(
    [*DEFAULTS, "code", "throttle", "messages", *RULE_KEYS, "rules", "free_tries",
     "<<", "store ", "?", "&a", "!!int", "by", "wait", "window"]
)  # fmt: skip
TEXTS = st.recursive(
    st.sampled_from(
        ["user", "system", "3", "900", "yes", "~", "*a", "''", "{}", "[]", "never", "required",
         "2027-03-01", "10m", "local", "10.0.0.0/8", "'[a-z]*'", "sshd", "off", "'{seconds}'"]
    ),
    lambda inner: st.dictionaries(KEYS, inner, max_size=4).map(
        lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"
    ) | st.lists(inner, max_size=3).map(lambda entries: f"[{', '.join(entries)}]"),
)  # fmt: skip


@settings(deadline=None)
@given(TEXTS)
def test_only_allowed_values_ever_come_out(text: str) -> None:
    found = check(text.encode())
    for key, value in found.values.items():
        _, kind, *allowed = SETTINGS[key]
        if kind == "number":
            assert int(allowed[0]) <= int(value) <= int(allowed[1])
        elif kind == "choice":
            assert value in allowed
        elif key == "enrollment":
            assert re.fullmatch(r"optional|required|at-login|by -?\d+", value)
        elif key == "remember":
            assert 0 <= int(value) <= 86400
        else:
            assert value.isprintable()
    assert all(rule.code in CODES for rule in found.rules)
    lines = encode(found.rules).decode().splitlines()[1:]
    assert {decode(line.partition("\t")[2]).line for line in lines} == {
        rule.line for rule in found.rules
    }


def test_file_that_is_not_roots_alone_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("store: system\nrules: [{code: never}]\n", encoding="utf-8")
    path.chmod(0o644)
    values, rules, none = reader.read(str(path))
    assert (values["store"], rules.count(b"never"), none) == ("system", 1, "")
    for mode, owner, fault in (
        (0o664, 0, "must not be writable by group or others (mode 0664)"),
        (0o646, 0, "must not be writable by group or others (mode 0646)"),
        (0o644, 1234, "must be owned by root (owned by uid 1234)"),
    ):
        path.chmod(mode)
        os.chown(path, owner, 0)
        assert reader.read(str(path)) == (DEFAULTS, b"", fault)


def test_more_services_than_the_snapshot_has_room_for_are_a_fault() -> None:
    services = [f"s{number}".ljust(255, "x") for number in range(reader.MAX_SERVICES + 1)]
    found = check(f"enrollment_services: [{', '.join(services)}]\n".encode())
    assert found.faults == [
        "line 1, column 22: enrollment_services must have at most 100 entries (got 101)"
    ]


def test_largest_settings_and_the_largest_rules_fit_the_snapshot() -> None:
    services = [f"s{number}".ljust(255, "x") for number in range(reader.MAX_SERVICES)]
    messages = {key: "ä" * (MAX_MESSAGE_BYTES // 2) for key in DEFAULTS if "messages" in key}
    lines = [f"  {key.partition('.')[2]}: {text}" for key, text in messages.items()]
    head = [f"enrollment_services: [{', '.join(services)}]", f"issuer: {'ä' * 64}", "messages:"]
    found = check("\n".join([*head, *lines, ""]).encode())
    assert found.faults == []
    assert len(found.values["enrollment_services"].split()) == reader.MAX_SERVICES
    size = len("\n".join(f"{key} {value}" for key, value in found.values.items()).encode())
    assert MAX_BYTES + size + 1000 < MAX_SNAPSHOT_BYTES
