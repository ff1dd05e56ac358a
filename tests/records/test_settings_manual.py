# SPDX-License-Identifier: MIT
"""The shipped file, the manual page and the code: the same keys and defaults, none missing."""

import argparse
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pam_totp.commands import explain
from pam_totp.records.config import reader
from pam_totp.records.config.table import DEFAULTS, SETTINGS
from pam_totp.records.config.values import MAX_MESSAGE_BYTES
from pam_totp.review.guessing import MAX_CHANCE, chance_of_a_guesser
from pam_totp.review.settings_faults import check
from pam_totp.rules.enrollment import MODES
from pam_totp.rules.policy import CODES, LOCAL

ROOT = Path(__file__).resolve().parents[2]
MANUAL = ROOT / "pam_totp" / "manual"
PAGE = (MANUAL / "pam-totp.yaml.5.scd").read_text(encoding="utf-8")
COMMAND_PAGE = (MANUAL / "pam-totp.1.scd").read_text(encoding="utf-8")
SHIPPED = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
KEYS = {*DEFAULTS, reader.RULES}
RULE_KEYS = [key.removeprefix("rules.") for key in reader.TABLE if key.startswith("rules.")]


def of_the_page(page: str) -> dict[str, str]:
    """Key and default, as they are written there: `*code.digits: 6*` at the start of a line."""
    unescaped = page.replace("\\*", "*").replace("\\_", "_")
    found = re.findall(r"^\*([a-z_.]+): (.*)\*$", unescaped, re.MULTILINE)
    assert len({key for key, _ in found}) == len(found)
    return dict(found)


def of_the_shipped_file(text: str) -> dict[str, str]:
    """The same of the commented keys: `#key: default`, or `#  key: default` below `#section:`."""
    found: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        entry = re.match(r"#(  )?([a-z_]+):(?: (.*?))?(?: +#.*)?$", line)
        if not entry:
            section = "" if not line.startswith("#") else section
        elif entry[3] is None:
            section = f"{entry[2]}."
        else:
            key = f"{section if entry[1] else ''}{entry[2]}"
            assert key not in found
            found[key] = entry[3]
    return found


def value(key: str, written: str) -> str:
    """What the code makes of a key with this value, in a file of its own."""
    section, _, name = key.rpartition(".")
    text = f"{section}:\n  {name}: {written}\n" if section else f"{name}: {written}\n"
    found = check(text.encode())
    assert found.faults == []
    return "" if key == reader.RULES else found.values[key]


@pytest.mark.parametrize(
    "written", [of_the_page(PAGE), of_the_shipped_file(SHIPPED)], ids=["manual page", "shipped"]
)
def test_every_key_of_the_code_stands_there_with_its_default_and_no_other(
    written: dict[str, str],
) -> None:
    assert written.keys() == KEYS
    assert {key: value(key, written[key]) for key in DEFAULTS} == DEFAULTS
    assert written[reader.RULES] == "[]"


def test_page_and_file_write_the_defaults_alike() -> None:
    assert of_the_page(PAGE) == of_the_shipped_file(SHIPPED)


@pytest.mark.parametrize("key", sorted(KEYS))
def test_key_that_is_left_out_is_noticed(key: str) -> None:
    """So that the tests above do not pass on what they do not see."""
    assert key not in of_the_page(re.sub(rf"^\*{re.escape(key)}: .*\n", "", PAGE, flags=re.M))
    name = key.rpartition(".")[2]
    assert key not in of_the_shipped_file(re.sub(rf"^#( *){name}: .*\n", "", SHIPPED, flags=re.M))


def test_page_and_file_are_made_from_the_table() -> None:
    """What `make` would write is what is committed."""
    script = ROOT / "scripts" / "describe-settings"
    run = subprocess.run([script, "--check"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_new_setting_without_a_description_is_named_and_removes_no_file(tmp_path: Path) -> None:
    for name in ("config", "pam_totp", "scripts"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "Makefile", tmp_path)
    table = tmp_path / "pam_totp" / "records" / "config" / "table.py"
    text = table.read_text(encoding="utf-8")
    row = '    "code.colour": ("red", "choice", "red", "blue"),\n'
    table.write_text(text.replace('    "code.digits"', f'{row}    "code.digits"'), encoding="utf-8")
    run = subprocess.run(
        ["make", "config/config.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert run.stderr.startswith("describe-settings: error: no description: code.colour\nhint: ")
    assert (tmp_path / "config" / "config.yaml").read_text(encoding="utf-8") == SHIPPED


def test_every_range_and_choice_stands_in_the_page() -> None:
    for key, (_, kind, *allowed) in SETTINGS.items():
        text = PAGE.partition("; The settings")[2].partition(f"\n*{key}: ")[2].partition("\n\n*")[0]
        assert kind == "message" or text
        for each in allowed:
            assert re.search(rf"\b{each}", text), (key, each)
    assert f"at most {MAX_MESSAGE_BYTES} bytes" in PAGE
    assert f"at most {MAX_MESSAGE_BYTES} bytes" in " ".join(SHIPPED.replace("#", "").split())


@pytest.mark.parametrize("word", [*RULE_KEYS, *CODES, *MODES, LOCAL, "{by: 2027-03-01}"])
def test_every_word_of_rules_and_enrollment_is_explained_in_both(word: str) -> None:
    assert f"*{word}*" in PAGE
    assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", SHIPPED)


def test_bound_of_longest_wait_is_the_one_that_is_warned_of() -> None:
    (least,) = re.findall(r"less than (\d+)\s+seconds", PAGE)
    assert chance_of_a_guesser(1, 6, int(least)) <= MAX_CHANCE
    assert chance_of_a_guesser(1, 6, int(least) - 1) > MAX_CHANCE


def test_example_of_the_page_is_without_faults() -> None:
    (example,) = re.findall(r"```\n(issuer: .*?)```", PAGE, re.DOTALL)
    found = check(example.encode())
    assert found.faults == []
    assert len(found.rules) == 3


def test_examples_of_the_shipped_file_are_without_faults() -> None:
    example = SHIPPED.partition("# For example:\n")[2].replace("#   -", "-")
    found = check(f"rules:\n{example}".encode())
    assert found.faults == []
    assert len(found.rules) == 3


def test_every_option_of_explain_stands_in_the_page_of_the_command() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    explain.add_arguments(parser)
    text = COMMAND_PAGE.partition("\n*explain* _USER_\n")[2].partition("\n\n*")[0]
    options = set(re.findall(r"--[a-z-]+", parser.format_usage()))
    assert {option for option in options if f"*{option}*" in text} == options - {"--json"}
    assert "\n# JSON OUTPUT\n" in COMMAND_PAGE  # of every verb: tests/commands/test_json_keys.py
