# SPDX-License-Identifier: MIT
"""Messages and manuals use the words that readers of sshd(8) and sudo(8) know, one word a thing."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "SECURITY.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md")
MANUALS = (
    *(ROOT / name for name in PAGES),
    *sorted((ROOT / "pam_totp" / "manual").glob("*.scd")),
    *sorted(path for path in (ROOT / "config").rglob("*") if path.is_file()),
    *(ROOT / "debian" / name for name in ("README.source", "control")),
)

# What the text must not say, and what it says instead.
IDIOMS = {
    r"\bwhoever\b": "users who …",
    r"\bin force\b": "active; apply",
    r"\bspent\b": "used",
    r"nobody can tell|cannot tell\b": "unknown; cannot be determined",
    r"\b(a|the) lines? of ours\b|\bour lines?\b": "the pam_totp.so line",
    r"\bg[ia]ven? a code|\bgives? a code|\bgiving a code": "enter a code",
    r"\blets? (\w+ ){0,2}in\b(?! a)": "accept; log in",
    r"\b(right|wrong) codes?\b|\bNot right\b": "correct, incorrect",
    r"is for root\b|root('s)? alone": "must be run as root; only root",
    r"present (secret|grant)": "existing",
    r"stands? there|leads nowhere|IPv6's clothes": "duplicate key; dangling symlink; IPv4-mapped",
    r"nobody to ask": "standard input is not a terminal",
    r": nothing was changed": "; nothing was changed",
    r"\bin their way\b|\bpassed over\b": "…",
}


def messages() -> Iterator[tuple[str, str]]:
    """Each string literal of the product but docstrings, f-strings whole, with where it is."""
    for path in sorted((ROOT / "pam_totp").rglob("*.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                if isinstance(node, ast.JoinedStr | ast.Expr):
                    continue  # a part of one that is looked at whole, or a docstring
                text = ""
                if isinstance(child, ast.JoinedStr):
                    parts = child.values
                    text = "".join(
                        str(each.value) if isinstance(each, ast.Constant) else "…" for each in parts
                    )
                elif isinstance(child, ast.Constant) and isinstance(child.value, str):
                    text = child.value
                yield f"{path.relative_to(ROOT)}:{getattr(child, 'lineno', 0)}", text


# Things that are counted, and counts that are never one. Seconds and days are not among them.
COUNTED = re.compile(
    r" ((?:more|recovery|outage|incorrect|other|unknown) )*(users|people|codes|devices|logins|tries"
    r"|findings|hosts|servers|connections|secrets|entries|tokens|rules|warnings|files|services)\b"
)
NEVER_ONE = {"count devices", "len(entries) entries", "each['unrevealed'] tries"}


def counts() -> Iterator[tuple[str, str]]:
    """Each value that a message puts before a plural noun, and that noun; but for constants."""
    for path in sorted((ROOT / "pam_totp").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.JoinedStr):
                continue
            for value, text in itertools.pairwise(node.values):
                if not (isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant)):
                    continue
                found = COUNTED.match(str(text.value))
                name = ast.unparse(value.value)
                if found and not name.rpartition(".")[2].isupper():
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", f"{name} {found[2]}"


def paragraphs(path: Path) -> Iterator[tuple[str, str]]:
    """Each paragraph on one line, with where it begins."""
    line = 1
    for block in path.read_text().split("\n\n"):
        yield f"{path.relative_to(ROOT)}:{line}", " ".join(block.split())
        line += block.count("\n") + 2


def idioms_in(texts: Iterator[tuple[str, str]]) -> list[str]:
    return [
        f"{where}: {found[0]!r}: write {instead!r}"
        for where, text in texts
        for idiom, instead in IDIOMS.items()
        if (found := re.search(idiom, text, re.IGNORECASE))
    ]


def test_no_message_uses_a_word_of_its_own_for_what_has_a_common_one() -> None:
    assert idioms_in(messages()) == []


def test_no_message_has_one_users() -> None:
    """`listing.counted` has the plural where it is one."""
    assert [each for each in counts() if each[1] not in NEVER_ONE] == []


def test_no_manual_uses_a_word_of_its_own_for_what_has_a_common_one() -> None:
    for path in MANUALS:
        assert idioms_in(paragraphs(path)) == [], path


def test_no_name_uses_a_word_of_its_own_for_what_has_a_common_one() -> None:
    """Accepted, not let in; incorrect, not wrong. The log has a fixed word, `wrong-code`."""
    idioms = re.compile(r"\b\w*(?:LET[_]IN|lets?[_]in|wrong[_](?:recovery[_])?code)\w*")
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for folder in ("pam_totp", "tests", "scripts")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in ("", ".py", ".c", ".h") and path.is_file() and path != Path(__file__)
        for name in idioms.findall(path.read_text("utf-8", "replace"))
    }
    assert found == set()
