"""Reading config.yaml: all faults at once, each with its place; and the shipped file as manual."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_totp.records import configuration
from pam_totp.records.settings import DEFAULTS

SHIPPED = Path(__file__).resolve().parents[2] / "config" / "config.yaml"


def faults_of(text: str) -> list[str]:
    return configuration.parse(text.encode()).faults


def uncommented() -> str:
    """The shipped file with every key in force: a commented key has no space after its #."""
    text = SHIPPED.read_text(encoding="utf-8")
    return re.sub(r"^#(?=\S| +\w+: )(?! [A-Z`])", "", text, flags=re.MULTILINE)


def test_comments_alone_are_all_defaults() -> None:
    assert configuration.parse(b"# only a comment\n") == (DEFAULTS, [])


@pytest.mark.parametrize("text", ["", "\n\n", "  "])
def test_empty_file_is_a_write_that_failed(text: str) -> None:
    assert "is empty" in configuration.parse(text.encode()).faults[0]


def test_shipped_file_is_valid_and_changes_nothing() -> None:
    assert configuration.parse(SHIPPED.read_bytes()) == (DEFAULTS, [])


def test_shipped_file_with_every_key_uncommented_says_the_defaults() -> None:
    values, faults = configuration.parse(uncommented().encode())
    assert (values, faults) == (DEFAULTS, [])


def test_every_key_stands_in_the_shipped_file_with_its_default() -> None:
    text = uncommented()
    for key, default in DEFAULTS.items():
        section, _, name = key.rpartition(".")
        start = text.index(f"\n{section}:") if section else 0
        indent = "  " if section else ""
        assert re.search(rf"^{indent}{name}: {default}\b", text[start:], re.MULTILINE), key


def test_every_uncommented_key_counts() -> None:
    """So that the test above does not pass on a comment: another value there is another value."""
    for key, default in DEFAULTS.items():
        name = key.rpartition(".")[2]
        other = "system" if default == "user" else str(int(default) - 1)
        text = re.sub(rf"\b{name}: {default}\b", f"{name}: {other}", uncommented())
        assert configuration.parse(text.encode()) == (DEFAULTS | {key: other}, [])


def test_every_key_has_its_rule() -> None:
    assert set(configuration.CHOICES) | set(configuration.RANGES) == set(DEFAULTS)
    for key, default in DEFAULTS.items():
        if key in configuration.RANGES:
            least, most = configuration.RANGES[key]
            assert least <= int(default) <= most
        else:
            assert default in configuration.CHOICES[key]


def test_values_are_taken() -> None:
    text = "store: system\nthrottle:\n  free_tries: 3\n  first_wait: 10\n  longest_wait: 60\n"
    values, faults = configuration.parse(text.encode())
    assert faults == []
    assert values == {
        "store": "system",
        "throttle.free_tries": "3",
        "throttle.first_wait": "10",
        "throttle.longest_wait": "60",
    }


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("stor: user", "line 1, column 1: unknown key stor; did you mean store?"),
        ("\n\nthrotle: {}", "line 3, column 1: unknown key throtle; did you mean throttle?"),
        ("colour: red", "line 1, column 1: unknown key colour"),
        ("throttle:\n  free_tires: 3", "line 2, column 3: unknown key throttle.free_tires; "
         "did you mean throttle.free_tries?"),
        ("store: sytem", "line 1, column 8: store is user or system, not 'sytem'"),
        ("store: [user]", "line 1, column 8: store is user or system, not 'a list or mapping'"),
        ("store:", "line 1, column 7: store is user or system, not ''"),
        ("throttle: {free_tries: 0}", "line 1, column 24: throttle.free_tries is a number from 1 "
         "to 20, not '0'"),
        ("throttle: {free_tries: 21}", "not '21'"),
        ("throttle: {free_tries: -1}", "not '-1'"),
        ("throttle: {free_tries: 3.5}", "not '3.5'"),
        ("throttle: {free_tries: yes}", "not 'yes'"),
        ("throttle: {free_tries: 0x10}", "not '0x10'"),
        ("throttle: {free_tries: 1_0}", "not '1_0'"),
        ("throttle: {free_tries: \u0663}", "not '\u0663'"),
        ("throttle: {longest_wait: 901}", "is a number from 30 to 900, not '901'"),
        ("throttle: {longest_wait: 29}", "not '29'"),
        ("throttle: {first_wait: 30 s}", "not '30 s'"),
        ("throttle: 5", "line 1, column 11: throttle takes KEY: VALUE lines"),
        ("throttle:", "throttle takes KEY: VALUE lines"),
        ("- store", "line 1, column 1: the file takes KEY: VALUE lines"),
        ("user", "line 1, column 1: the file takes KEY: VALUE lines"),
        ("store: user\nstore: user", "line 2, column 1: store stands there twice"),
        ("throttle: {}\nthrottle: {}", "line 2, column 1: throttle stands there twice"),
        ("store: user\n---\nstore: user", "line 2, column 1: "),
        ("store: \"user", "line 1, column "),
        ("throttle:\n\tfree_tries: 3", "line 2, column 1: found character '\\t'"),
        ("store: *other", "line 1, column 8: found undefined alias"),
        pytest.param("[" * 5000, "is no YAML", id="deeper than Python can go"),
    ],
)  # fmt: skip
def test_fault_is_named_with_line_and_column(text: str, fault: str) -> None:
    found = faults_of(text)
    assert len(found) == 1
    assert fault in found[0]


def test_key_has_one_spelling_so_that_it_cannot_stand_there_twice_unnoticed() -> None:
    both = "throttle.free_tries: 3\nthrottle: {free_tries: 9}\n"
    assert "line 1, column 1: unknown key throttle.free_tries" in faults_of(both)


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


@given(st.binary(max_size=300))
def test_no_bytes_raise(content: bytes) -> None:
    values, faults = configuration.parse(content)
    assert set(values) == set(DEFAULTS)
    assert faults or configuration.parse(content) == (values, [])


KEYS = st.sampled_from([*DEFAULTS, "throttle", "free_tries", "<<", "store ", "?", "&a", "!!int"])
TEXTS = st.recursive(
    st.sampled_from(["user", "system", "3", "900", "yes", "~", "*a", "''", "{}", "[]"]),
    lambda inner: st.dictionaries(KEYS, inner, max_size=4).map(
        lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs.items()) + "}"
    ),
)


@given(TEXTS)
def test_only_allowed_values_ever_come_out(text: str) -> None:
    values, _ = configuration.parse(text.encode())
    for key, value in values.items():
        if key in configuration.RANGES:
            least, most = configuration.RANGES[key]
            assert least <= int(value) <= most
        else:
            assert value in configuration.CHOICES[key]


def test_file_that_is_not_there_or_not_root_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    assert configuration.read(str(path))[1] == ["No such file or directory"]
    path.write_text("store: system\n", encoding="utf-8")
    path.chmod(0o644)
    assert configuration.read(str(path))[1] == []
    for mode, owner in ((0o664, 0), (0o646, 0), (0o644, 1234)):
        path.chmod(mode)
        os.chown(path, owner, 0)
        assert configuration.read(str(path)) == (DEFAULTS, ["is not root's alone to write"])
