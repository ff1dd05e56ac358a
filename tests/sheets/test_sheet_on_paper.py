# SPDX-License-Identifier: MIT
"""A sheet is one page of A4 and of Letter, and what is on it can be scanned, read and typed."""

import re

import pytest

from pam_totp.records.user.devices import devices_of
from pam_totp.rules.credential import parse_line
from pam_totp.sheets.made import sheet_of
from pam_totp.sheets.page import Around, Sheet, head, page
from pam_totp.sheets.texts import read_catalogue, texts_of
from tests.commands.commands import pam_totp
from tests.host.accounts import add_user, remove_user
from tests.host.credentials import enroll
from tests.sheets.paper import SIZES, Printed, articles_of, print_all

CODES = ["abcdefghijklmnop", "qrstuvwxyz234567"] * 5
DAY = "2027-03-01"
HOST = "server.department.university.example.edu"  # as long as they come
WIDEST = "W" * 64


def sheet(label: str, key: str = "JBSWY3DPEHPK3PXP" * 2, more: str = "", user: str = "") -> Sheet:
    (device,) = devices_of(f"otpauth://totp/{label}?secret={key}{more} phone".encode())
    return sheet_of(user or "alice", device.credential, device.uri, CODES)


EVERY_SHEET = {
    "usual": (sheet("example.org:alice@example.org"), "example.org", "Room 3, phone 1234"),
    "long": (sheet(f"{HOST}:first.last@{HOST}", user="first.last.of-32-characters-long"), HOST, ""),
    "widest": (
        sheet(
            f"{WIDEST}:{WIDEST}",
            "ABCDEFGH" * 25 + "ABCD",  # MAX_SECRET_BYTES
            "&algorithm=SHA512&digits=8&period=60",
            "W" * 255,
        ),
        WIDEST,
        "W" * 100,
    ),
    "turned": (sheet("%E2%80%AE<b>&amp:&quot;'x", user="\u202e" * 255), "<i>\u200f", "\"'>&</b>"),
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Printed]:
    """By language, kind of names, and size of the paper: all from one start of the browser."""
    folder = tmp_path_factory.mktemp("paper")
    names, articles = [], []
    for language in read_catalogue():
        for kind, (made, server, contact) in EVERY_SHEET.items():
            around = Around(texts_of(language), server, contact, DAY)
            names.append((language, kind))
            articles.append(page(made, around, len(names)))
    user = add_user()
    try:
        enroll(user, secret="JBSWY3DPEHPK3PXP" * 2)
        command = ["sheet", user.name, "--new-recovery-codes", "--language", "de", "--html", "-"]
        document = pam_totp(*command).output
    finally:
        remove_user(user)
    names.append(("de", "of the command"))
    articles += articles_of(document)
    found = print_all(head(around), articles, folder)
    return {
        (*name, size): each
        for size, pages in found.items()
        for name, each in zip(names, pages, strict=True)
    }


Pages = dict[tuple[str, str, str], Printed]


def test_every_sheet_is_one_page_of_the_paper_that_was_asked_for(printed: Pages) -> None:
    for (_, _, size), each in printed.items():
        width, height = SIZES[size]
        assert abs(each.size[0] - width) <= 1 and abs(each.size[1] - height) <= 1


def test_qr_code_on_the_paper_is_that_of_the_key(printed: Pages) -> None:
    for (_, kind, _), each in printed.items():
        if kind in EVERY_SHEET:
            assert each.scanned == EVERY_SHEET[kind][0].uri
        else:
            assert re.fullmatch(r"otpauth://totp/server:\w+@server\?.*", each.scanned)
            assert parse_line(each.scanned).secret == parse_line(EVERY_SHEET["usual"][0].uri).secret


def test_key_and_recovery_codes_can_be_read_on_the_paper(printed: Pages) -> None:
    for (_, kind, _), each in printed.items():
        words = each.text.split()
        if kind in EVERY_SHEET:
            assert "".join(EVERY_SHEET[kind][0].key.split()) in "".join(words)
            assert words.count("abcd-efgh-ijkl-mnop") == 5
        else:
            assert "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP" in each.text
            assert len(re.findall(r"\b(?:[a-z2-7]{4}-){3}[a-z2-7]{4}\b", each.text)) == 10


def test_last_line_is_whom_to_ask_and_is_on_the_paper(printed: Pages) -> None:
    for (language, kind, _), each in printed.items():
        ends = {"usual": "Room 3, phone 1234", "long": f"{HOST}.", "widest": "W"}
        if kind in ends:
            assert each.text.rstrip().endswith(ends[kind]), (language, kind)


def test_german_is_written_with_its_own_letters(printed: Pages) -> None:
    text = " ".join(printed["de", "usual", "a4"].text.split())
    assert "Schlüssel" in text
    assert "Öffnen Sie die App" in text


def test_names_are_shown_as_they_are_and_turn_nothing_around(printed: Pages) -> None:
    text = printed["en", "turned", "letter"].text
    assert r"<i>\u200f" in text
    assert r"\u202e\u202e" in text
    assert "\u202e" not in text and "\u200f" not in text
    assert "\"'>&</b>" in text


@pytest.mark.parametrize("size", SIZES)
def test_six_steps_and_three_apps_are_on_the_paper(printed: Pages, size: str) -> None:
    text = printed["en", "usual", size].text
    assert re.findall(r"^ +(\d)\. ", text, re.MULTILINE) == list("123456")
    for app in ("Google Authenticator", "Microsoft Authenticator", "Aegis"):
        assert app in text
