# SPDX-License-Identifier: MIT
"""The texts of a sheet in the reader's language, from texts.yaml."""

import html
import os
from pathlib import Path

from pam_totp.errors import UsageError, printable

CATALOGUE = Path(__file__).with_name("texts.yaml")
DEFAULT = "en"
MAX_SHOWN = 100  # characters of a name
LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")  # the first that is set decides (locale(7))


class Texts:
    """Those of one language, ready for HTML."""

    def __init__(self, language: str, texts: dict[str, str], **values: str) -> None:
        self.language = language
        self._texts = texts
        self._values = values

    def knowing(self, **values: str) -> "Texts":
        """The same, with values for more of the words in braces."""
        return Texts(self.language, self._texts, **(self._values | values))

    def say(self, key: str) -> str:
        """One text as HTML. Every value is isolated, so that no name turns the text around it."""
        values = {name: f"<bdi>{escaped(value)}</bdi>" for name, value in self._values.items()}
        values |= {"apps": html.escape(self._texts["apps"])}
        return html.escape(self._texts[key]).format_map(values)

    def plain(self, key: str) -> str:
        """One text for an attribute or a title, which take no elements."""
        values = {name: escaped(value) for name, value in self._values.items()}
        return html.escape(self._texts[key]).format_map(values)


def escaped(text: str) -> str:
    """A name as HTML, on one line: what turns text around, or is no character, is spelt out. Of a
    very long one the middle is left out, as a sheet is one page."""
    shown = printable(text)
    if len(shown) > MAX_SHOWN:
        half = MAX_SHOWN // 2
        shown = f"{shown[:half]}…{shown[-half:]}"
    return html.escape(shown)


def texts_of(language: str | None) -> Texts:
    """Those of a language; without one, of the locale's or in English. Raises UsageError."""
    catalogue = read_catalogue()
    if language is None:
        language = _of_the_locale()
        language = language if language in catalogue else DEFAULT
    if language not in catalogue:
        *first, last = sorted(catalogue)
        message = f"unknown language {language!a}; choose {', '.join(first)} or {last}"
        raise UsageError(message, f"use --language {last}")
    return Texts(language, catalogue[language])


def read_catalogue() -> dict[str, dict[str, str]]:
    """By language and key."""
    import yaml  # only where a sheet is made

    catalogue: dict[str, dict[str, str]] = yaml.safe_load(CATALOGUE.read_text("utf-8"))
    return catalogue


def _of_the_locale() -> str:
    value = next(filter(None, (os.environ.get(name) for name in LOCALE)), "")
    return value.partition(".")[0].partition("_")[0].lower()
