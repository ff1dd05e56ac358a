# SPDX-License-Identifier: MIT
"""A sheet as HTML: escaped, self-contained, for every reader, in every language there is."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from string import Formatter

import pytest

from pam_totp.enrollment.symbol import rows_of
from pam_totp.errors import UsageError
from pam_totp.sheets.page import END, KEPT, NONE, Around, Sheet, head, page
from pam_totp.sheets.texts import read_catalogue, texts_of

CATALOGUE = read_catalogue()
HOSTILE = "<script>alert(1)</script>\"'&amp;{user}{0}\u202e\u200f\x1b[2J%s"
USUAL = Sheet(
    user="alice",
    account="server:alice@server",
    modules=rows_of("otpauth://totp/server:alice@server?secret=JBSWY3DPEHPK3PXP"),
    uri="otpauth://totp/server:alice@server?secret=JBSWY3DPEHPK3PXP",
    key="JBSW Y3DP EHPK 3PXP",
    algorithm="SHA1",
    digits=6,
    period=30,
    codes=["abcdefghijklmnop"] * 10,
)
EMPTY = ("meta", "path")  # elements without an end


class Reader(HTMLParser):
    """Every element with its attributes, the texts, and whether all is closed in its order."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(document)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def document(
    sheet: Sheet = USUAL, language: str = "en", server: str = "srv", contact: str = ""
) -> str:
    around = Around(texts_of(language), server, contact, "2027-03-01")
    return head(around) + page(sheet, around) + page(sheet, around, 2) + END


def test_whatever_names_hold_is_text() -> None:
    hostile = replace(USUAL, user=HOSTILE, account=HOSTILE)
    usual, odd = Reader(document()), Reader(document(hostile, server=HOSTILE, contact=HOSTILE))
    assert [tag for tag, _ in odd.elements] == [tag for tag, _ in usual.elements]
    text = document(hostile, server=HOSTILE, contact=HOSTILE)
    assert not set(text) & {"\u202e", "\u200f", "\x1b"}
    shown = "<script>alert(1)</script>\"'&amp;{user}{0}\\u202e\\u200f\\x1b[2J%s"
    assert shown in odd.texts


def test_page_needs_no_script_and_no_network() -> None:
    reader = Reader(document())
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "image",
    }
    for _, attributes in reader.elements:
        assert not {"src", "href", "style", "action", "srcset"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in document() and "@import" not in document()


def test_policy_of_the_page_allows_its_own_style_and_nothing_else() -> None:
    policies = [
        each["content"]
        for each in Reader(document()).named("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    ]
    style = document().partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    allowed = f"style-src 'sha256-{digest}'"
    assert policies == [f"default-src 'none'; base-uri 'none'; form-action 'none'; {allowed}"]


@pytest.mark.parametrize("language", CATALOGUE)
def test_screen_reader_is_told_language_headings_and_what_the_picture_is(language: str) -> None:
    reader = Reader(document(language=language))
    assert reader.named("html") == [{"lang": language}]
    assert len(reader.named("h1")) == 2
    assert len(reader.named("li")) == 2 * (6 + 10)
    titles = re.findall(r'<title id="(qr-\d)">([^<]+)</title>', document(language=language))
    assert [name for name, _ in titles] == ["qr-1", "qr-2"]
    assert all("alice" in text and "srv" in text for _, text in titles)
    for number, each in enumerate(reader.named("svg"), 1):
        assert (each["role"], each["aria-labelledby"]) == ("img", f"qr-{number}")


def test_no_name_of_an_element_is_used_twice() -> None:
    names = [each["id"] for _, each in Reader(document()).elements if "id" in each]
    assert len(names) == len(set(names)) == 2


def test_everything_is_black_on_white() -> None:
    colours = re.findall(r"#[0-9a-fA-F]{3,6}\b|\brgb|\bhsl", document())
    assert set(colours) <= {"#000", "#fff", "#000000"}


@pytest.mark.parametrize("language", CATALOGUE)
@pytest.mark.parametrize("why", [KEPT, NONE])
def test_sheet_without_recovery_codes_says_why(language: str, why: str) -> None:
    sheet = replace(USUAL, codes=[], no_codes=why)
    text = document(sheet, language)
    assert texts_of(language).plain(why) in text
    assert texts_of(language).plain("step_6") in text
    assert texts_of(language).plain("step_6_with_codes") not in text


def test_every_language_has_the_same_texts_with_the_same_words_in_braces() -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    assert {"en", "de"} <= CATALOGUE.keys()
    for language, texts in CATALOGUE.items():
        assert texts.keys() == CATALOGUE["en"].keys(), language
        for key, text in texts.items():
            assert isinstance(text, str) and text == text.strip()
            assert fields(text) == fields(CATALOGUE["en"][key]), (language, key)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de"}, "de"),
        ({"LANG": "de_AT@euro"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "en_GB", "LC_MESSAGES": "de_CH.utf8"}, "de"),
        ({"LANG": "xx_YY.UTF-8"}, "en"),
    ],
)
def test_language_is_that_of_the_locale_if_there_is_such_a_text(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert texts_of(None).language == expected


def test_unknown_language_is_an_error_that_lists_those_there_are() -> None:
    with pytest.raises(UsageError) as error:
        texts_of("fr")
    assert "choose de or en" in error.value.message
