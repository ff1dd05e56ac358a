# SPDX-License-Identifier: MIT
"""The audit line: one a decision, and whatever strangers put into it stays inside its quotes."""

import shlex
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.records.host import audit
from pam_totp.records.host.audit import MAX_CHARACTERS, quote
from pam_totp.rules.request import Request
from tests.host.system_log import SystemLog


@pytest.mark.parametrize(
    "value",
    ["", "alice", "sshd", "192.0.2.7", "2001:db8::1", "/dev/pts/0", "a@b.example", "x+y_z%1-", "0"],
)
def test_plain_value_is_logged_as_it_is(value: str) -> None:
    assert quote(value) == value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("my phone", '"my phone"'),
        ("a\nb", '"a?b"'),
        ("a\r\nb", '"a??b"'),
        ("a\tb", '"a?b"'),
        ("a\0b", '"a?b"'),
        ("\x1b[2J\x07\x7f\x9b", '"?[2J???"'),
        ('a"b', '"a?b"'),
        ("CORP\\alice", '"CORP\\alice"'),
        ("a\\\\b", '"a??b"'),
        ("a\\\\\\", '"a???"'),
        ('a\\"b', '"a\\?b"'),
        ("a\\", '"a?"'),
        ("a'b", '"a\'b"'),
        ("a=b", '"a=b"'),
        ("$(id)`id`", '"$(id)`id`"'),
        ("ü☎", '"ü☎"'),
        ("\u2028\u2029\u0085", '"???"'),
        ("\u202eadmin", '"?admin"'),
        ("\ufeff\u200b", '"??"'),
        ("\udcff\ud800", '"??"'),
        ("😀\U0010ffff", '"😀?"'),
        ("a" * 1000, '"' + "a" * MAX_CHARACTERS + '"'),
        ("\n" * 1000, '"' + "?" * MAX_CHARACTERS + '"'),
    ],
)
def test_other_value_is_quoted_without_control_characters(value: str, shown: str) -> None:
    assert quote(value) == shown


@settings(derandomize=True, deadline=None, max_examples=500)
@given(st.text(max_size=400) | st.text(st.characters(), max_size=20))
def test_any_value_is_one_short_word_of_printable_characters(value: str) -> None:
    shown = quote(value)
    assert len(shown) <= MAX_CHARACTERS + 2
    assert not any(unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in shown)
    assert len(shlex.split(f"key={shown} next=1")) == 2
    shown.encode("utf-8")


def test_acceptance_is_information_and_refusal_a_warning(syslog: SystemLog) -> None:
    request = Request(user="alice", service="sshd", rhost="192.0.2.1")
    audit.write(request, "accept", "totp", "", device="my phone")
    audit.write(request, "refuse", "wrong-code", "one", "", "two")
    accepted, refused = syslog.lines(ident="pam-totp")
    assert (accepted.facility, accepted.severity) == ("authpriv", "info")
    who = "user=alice service=sshd rhost=192.0.2.1"
    assert accepted.message == f'verdict=accept reason=totp {who} device="my phone"'
    assert (refused.facility, refused.severity) == ("authpriv", "warning")
    assert refused.message == f'verdict=refuse reason=wrong-code {who} device= detail="one; two"'


@pytest.mark.parametrize(
    "value",
    [
        "a\nverdict=accept reason=totp",
        'a" verdict=accept x="',
        "a\0b",
        "\udcff",
        "a" * 5000,
        "%s%n",
    ],
)
def test_no_value_makes_a_line_or_a_field_of_its_own(syslog: SystemLog, value: str) -> None:
    """Of those of a caller, and of the store of a fleet."""
    audit.write(Request(user=value, service="sshd"), "refuse", value)
    (line,) = syslog.lines(ident="pam-totp")
    assert "\n" not in line.message
    assert line.fields.keys() == {"verdict", "reason", "user", "service", "rhost", "device"}
    assert line.fields["verdict"] == "refuse"
    assert line.fields["service"] == "sshd"
