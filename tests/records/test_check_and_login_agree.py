# SPDX-License-Identifier: MIT
"""`config check` and a login accept the same files, and refuse the others for the same reasons."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.records.config import reader
from pam_totp.records.config.table import DEFAULTS
from pam_totp.review.settings_faults import MAX_FAULTS, check
from pam_totp.rules.encoding import encode

# Of each kind of fault, some; some files are good.
FILES = [
    "", " \n", "# the defaults\n", "store: system\n", "stor: user\n", "store: [user]\n", "store:\n",
    "store: user\nstore: user\n", "throttle: 5\n", "throttle:\n", "throttle: {}\n", "- store\n",
    "throttle: {free_tries: 0, first_wait: 900, longest_wait: 29}\n", "throttle.free_tries: 3\n",
    "code: {digits: 9, period: 31, algorithm: md5, window: x}\n", "code: {algorithm: sha512}\n",
    "enrollment: {}\n", "enrollment: {by: 2027-03-01}\n", "enrollment: {by: 2027-02-29}\n",
    "enrollment: {by: 2027-03-01, by: x}\n", "enrollment: {until: 2027-03-01}\n",
    "enrollment: {by: [x], to: y, by: z}\n", "enrollment_services: [[a], b/c, 'd e', f]\n",
    "enrollment_services: []\n", "remember: 25h\n", "remember: 24h\n",
    "issuer: ~\n", "issuer: ''\n",
    "messages: {wait: '{a}', enroll: '', deadline: ~}\n", "? [a]\n: b\n", "rules:\n", "rules: {}\n",
    "rules: [never, [], {}, {code: never}]\n", "rules: [{code: nevr, cod: never}]\n",
    "rules: [{form: x}, {user: [], group: ['', ~, '[', [], 'a/b']}]\n", "rules: [{code: {}}]\n",
    "rules: [{from: [local, 10.0.0.1/8, 'fe80::1%e', x], code: required, code: never}]\n",
    "rules: [{publickey: maybe, service: [], code: ~}]\n", "rules: [{user: [a], code: never}]\n",
    "store: *a\n", "store: !!str user\n", "store: &a user\n", "store: {\n", "a: b: c\n", "\tx\n",
    "store: user\n---\nstore: user\n", "issuer: \a\n", "[" * 5000, "issuer: \"\\UFFFFFFFF\"\n",
    "stor: user\n" * (MAX_FAULTS + 1),
    "rules: [{code: required, methods: [sms, x, sms, []]}, {code: never, methods: mail}]\n",
    "rules: [{code: required, methods: [mail, totp, SMS]}]\nsend: {sms: /a/b, mail: sendmail}\n",
    "store: postgresql\nstor: user\nrules: [{code: never}, {code: never, methods: [totp, sms]}]\n",
    "store: postgresql\nrules:\n- methods: [totp, sms]\n  code: never\n",
    "send: {sms: gamu, mail: a/b, user_limit: 0, host_limit: 3001, fax: x}\n", "send: sms\n",
]  # fmt: skip

Read = Callable[[bytes], tuple[dict[str, str], bytes, str]]


@pytest.fixture(scope="module")
def by_a_login(tmp_path_factory: pytest.TempPathFactory) -> Read:
    path = tmp_path_factory.mktemp("settings") / "config.yaml"

    def read(content: bytes) -> tuple[dict[str, str], bytes, str]:
        path.write_bytes(content)
        path.chmod(0o644)
        return reader.read(str(path))

    return read


def assert_agreed(by_a_login: Read, content: bytes) -> None:
    values, rules, fault = by_a_login(content)
    checked = check(content)
    assert bool(fault) == bool(checked.faults)
    if fault:
        # A login names the key and the value, and `config check` what it must be as well.
        place, _, end = fault.partition(": invalid ")
        value = end[end.find(" (got ") :]
        assert any(place in each and value in each for each in checked.faults)
        assert (values, rules) == (DEFAULTS, b"")
    else:
        assert (values, rules) == (checked.values, encode(checked.rules))


@pytest.mark.parametrize("text", FILES)
def test_check_and_login_agree_about_a_file(by_a_login: Read, text: str) -> None:
    assert_agreed(by_a_login, text.encode())


def test_check_and_login_agree_about_rules_that_are_too_large(by_a_login: Read) -> None:
    networks = ", ".join(["'::/0'"] * 500)
    names = ", ".join(f"user{number}" for number in range(500))
    for users in ("alice", names):
        rule = f"{{code: never, user: [{users}], from: [{networks}]}}"
        assert_agreed(by_a_login, f"rules: [{rule}]".encode())
    assert_agreed(by_a_login, b"#" * (reader.MAX_BYTES + 1))


def test_check_and_login_agree_about_many_rules_of_which_one_is_wrong(by_a_login: Read) -> None:
    text = "rules:\n" + "- {code: never}\n" * 20_000 + "- {}\n"
    assert_agreed(by_a_login, text.encode())


SCALARS = ["user", "3", "yes", "~", "''", "never", "required", "2027-03-01", "10m", "local", "sshd"]
NAMES = sorted({part for key in reader.TABLE for part in key.split(".")} | {"cod", "~", "[a]"})
TEXTS = st.recursive(
    st.sampled_from([*SCALARS, "[]", "{}", "*a", "10.0.0.1/8"]),
    lambda inner: st.one_of(
        st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=4).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
        st.lists(inner, max_size=3).map(lambda entries: f"[{', '.join(entries)}]"),
    ),
)


@settings(deadline=None)
@given(TEXTS)
def test_check_and_login_agree_about_any_file(by_a_login: Read, text: str) -> None:
    assert_agreed(by_a_login, text.encode())


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(NAMES), TEXTS), max_size=4))
def test_check_and_login_agree_about_any_rule(
    by_a_login: Read, pairs: list[tuple[str, str]]
) -> None:
    text = "".join(f"  {key}: {value}\n" for key, value in pairs)
    assert_agreed(by_a_login, f"rules:\n- code: never\n{text}".encode())


def test_fault_that_comes_of_another_is_not_told(tmp_path: Path) -> None:
    """Each is taken out before the next is looked for; what that leaves behind is no fault."""
    for text in ("rules: [{code: x}]", "enrollment: {by: x}", "rules: [{user: [''], code: never}]",
                 "enrollment: {until: x}", "enrollment_services: ['']", "rules: [x]"):  # fmt: skip
        (fault,) = check(text.encode()).faults
        assert re.match("line 1, column [0-9]+: ", fault)


def test_faults_of_a_file_full_of_them_are_told_in_part() -> None:
    *faults, more = check(b"rules:\n" + b"- {}\n" * 2000).faults
    assert len(faults) == MAX_FAULTS
    assert more == f"there may be more faults than these {MAX_FAULTS}"
