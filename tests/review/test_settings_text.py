# SPDX-License-Identifier: MIT
"""The active settings as the text of a file: it means the very same, whatever they are."""

import re
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.records.config import settings
from pam_totp.records.config.reader import compose, parse
from pam_totp.records.config.table import DEFAULTS
from pam_totp.records.config.values import NAME
from pam_totp.review.settings_text import text_of
from pam_totp.rules.encoding import encode
from pam_totp.rules.policy import CODES, METHODS, TOTP, Rule
from tests.review.every_setting import EVERY_SETTING

EXAMPLE = Path(__file__).resolve().parents[2] / "config" / "config.yaml"
NAMES = st.text(
    st.sampled_from("aBß-*?!:#'\"\\ ,{}&~|>%@`0.\u00a0"), min_size=1, max_size=9
).filter(lambda text: text.isprintable() and re.fullmatch(NAME, text))
SOURCES = st.one_of(
    st.just("local"),
    st.ip_addresses(v=4).map(lambda each: f"{each.packed.hex()}/32"),
    st.integers(0, 64).map(lambda bits: f"{'20010db8'.ljust(16, '0')}{'0' * 16}/{64 + bits}"),
)
RULES = st.builds(
    lambda **fields: Rule(**fields),
    code=st.sampled_from(CODES),
    users=st.lists(NAMES, max_size=3).map(tuple),
    groups=st.lists(NAMES, max_size=2).map(tuple),
    services=st.lists(NAMES.map(str.lower).filter(str.isprintable), max_size=2).map(tuple),
    sources=st.lists(SOURCES, max_size=2).map(tuple),
    publickey=st.sampled_from(["", "yes", "no"]),
    methods=st.permutations(METHODS).map(lambda order: order[: order.index(TOTP) + 1]).map(tuple),
)


def again(text: str) -> tuple[dict[str, str], list[Rule]]:
    """What the text of a file becomes by way of the text that is made of its settings."""
    values, rules = parse(compose(text.encode()))
    return parse(compose(text_of(settings.typed(values, encode(rules))).encode()))


def unplaced(rules: list[Rule]) -> bytes:
    return encode([Rule(**vars(each) | {"line": 0}) for each in rules])


@pytest.mark.parametrize(
    "text",
    [
        "# nothing\n",
        "store: system\nissuer: 'Größe \"x\" \\'\n",
        "enrollment: {by: 2027-03-01}\n",
        "enrollment: at-login\nenrollment_services: [sshd, Cockpit]\nenrollment_qr: off\n",
        "remember: 90m\n",
        "remember: 24h\ncode: {digits: 8, period: 60}\nthrottle: {free_tries: 3}\n",
        "messages:\n  wait: 'null: {seconds}, # \"no\"'\n  enroll: '- x'\n",
        "rules:\n- {user: [null1, 'no', '~', '*-admin', 'a b'], code: never}\n- {code: required}\n",
        "rules:\n- {from: ['10.0.0.0/8', '::ffff:192.0.2.0/120', '::1', local], code: never}\n",
        "rules:\n- {group: 'null', service: SSHD, publickey: true, code: if-enrolled}\n",
        "rules: [{user: alice, code: never}, {user: [bob, alice], code: required}]\n",
        EXAMPLE.read_text(),
        EVERY_SETTING,
    ],
)
def test_text_of_settings_means_those_settings(text: str) -> None:
    values, rules = parse(compose(text.encode()))
    then_values, then_rules = again(text)
    assert then_values == values
    assert unplaced(then_rules) == unplaced(rules)


@hypothesis.settings(deadline=None)
@given(st.lists(RULES, max_size=4))
def test_text_of_any_rules_means_those_rules(rules: list[Rule]) -> None:
    active = settings.typed(DEFAULTS, encode(rules))
    _, then = parse(compose(text_of(active).encode()))
    assert unplaced(then) == unplaced(rules)
