# SPDX-License-Identifier: MIT
"""The names that an app shows: no two entries alike, and a QR code that fits 80x24."""

import argparse
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pam_totp.commands.enroll import uri_for
from pam_totp.enrollment import uri as made
from pam_totp.enrollment.coloured_qr import draw
from pam_totp.enrollment.label import additions_to_label
from pam_totp.enrollment.qr import version_of
from pam_totp.enrollment.uri import new_uri
from pam_totp.records.config.settings import typed
from pam_totp.records.config.table import DEFAULTS
from tests.enrollment.person import PASSWORD_PROMPT, Phone, Start
from tests.host.accounts import User
from tests.host.credentials import Credential

MOMENT = time.struct_time((2026, 11, 28, 20, 15, 0, 5, 332, 0))


def names_of(uri: str) -> tuple[str, str]:
    issuer, _, label = Phone(uri).account.partition(":")
    assert Phone(uri).parameters["issuer"] == issuer
    return issuer, label


def within(version: int) -> Callable[[str], bool]:
    """Whether the QR code of a text is as small as that."""
    return lambda text: version_of(text) <= version


@pytest.fixture
def name_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    def name(host: str, hosts: str = "") -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: host)
        monkeypatch.setattr(made, "HOSTS", tmp_path / "hosts")
        (tmp_path / "hosts").write_text(hosts, encoding="utf-8")

    return name


@pytest.mark.parametrize(
    ("more", "max_version"),
    [("", 5), ("", 6), ("tablet", 6), ("2026-11-28T2015", 6)],
)
@pytest.mark.parametrize("domain", ["example.org", "sub.department.example.org"])
def test_servers_of_one_name_in_two_domains_get_two_entries(
    name_host: object, more: str, max_version: int, domain: str
) -> None:
    found = []
    for host in (f"web.{domain}", f"web.{domain[:-3]}com"):
        name_host(host)  # type: ignore[operator]
        found.append(names_of(new_uri("bob", DEFAULTS, within(max_version), more=more)))
    assert found[0][1] != found[1][1]  # Microsoft's app goes by the label alone


def test_whole_host_is_the_issuer_where_it_fits(name_host: object) -> None:
    name_host("web.example.org")  # type: ignore[operator]
    assert names_of(new_uri("bob", DEFAULTS, within(6))) == (
        "web.example.org",
        "bob@web.example.org",
    )
    assert names_of(new_uri("bob", DEFAULTS | {"issuer": "Org"}, within(6), "b")) == ("Org", "b")


@pytest.mark.parametrize(
    ("hosts", "issuer"),
    [
        ("127.0.1.1 web.example.org web\n", "web.example.org"),
        ("# 127.0.1.1 web.old.org web\n::1 localhost web\n10.0.0.1 web.example.org\n", None),
        ("127.0.1.1\tother webb.example.org web\n\n10.0.0.9\n", "web"),
        ("", "web"),
    ],
)
def test_domain_comes_from_the_hosts_file(
    name_host: object, hosts: str, issuer: str | None
) -> None:
    name_host("web", hosts)  # type: ignore[operator]
    assert names_of(new_uri("bob", DEFAULTS, within(6)))[0] == (issuer or "web.example.org")


def test_hosts_file_that_only_root_may_read_is_done_without(user: User, start: Start) -> None:
    made.HOSTS.chmod(0o600)
    try:
        assert start(user, "enroll").scan().account == f"server:{user.name}@server"
    finally:
        made.HOSTS.chmod(0o644)


@pytest.mark.parametrize("host", ["w", "web.example.org", "web." + "d" * 30 + ".example.org"])
@pytest.mark.parametrize("user", ["bob", "b" * 14])
def test_default_names_fit_80x24_with_the_key_below(
    name_host: object, host: str, user: str
) -> None:
    name_host(host)  # type: ignore[operator]
    nothing_chosen = argparse.Namespace(issuer="", label="", digits=0, period=0, algorithm="")
    additions = ("x" * 130, "2026-11-28T2015")
    uri = uri_for(nothing_chosen, user, additions, typed(DEFAULTS, b""))
    assert draw(uri, columns=80, rows=23, half_blocks=True, colour=True) is not None
    assert names_of(uri)[1].endswith(" 2026-11-28T2015")


def test_new_entry_is_told_from_those_before() -> None:
    line = b"otpauth://totp/web:bob%40web%20tablet?secret=JBSWY3DPEHPK3PXP&issuer=web tablet\n"
    assert additions_to_label(None, None, MOMENT) == ("",)
    assert additions_to_label("tablet", None, MOMENT) == ("",)
    assert additions_to_label(None, line, MOMENT) == ("2026-11-28T2015",)
    assert additions_to_label("tablet", line, MOMENT) == ("2026-11-28T2015",)
    assert additions_to_label("a:b", line, MOMENT) == ("a.b", "2026-11-28T2015")
    in_this_minute = line.replace(b"tablet?", b"2026-11-28T2015?")
    assert additions_to_label(None, in_this_minute, MOMENT) == ("2026-11-28T201500",)


@pytest.mark.parametrize("options", [[], ["--device", "tablet"]], ids=str)
def test_second_device_and_replacement_get_a_label_of_their_own(
    user: User, credential: Credential, start: Start, options: list[str]
) -> None:
    person = start(user, "enroll", *options)
    person.answer(PASSWORD_PROMPT, user.password)
    phone = person.scan()
    plain, _, added = phone.account.partition(" ")
    assert plain == f"server:{user.name}@server"
    assert added == "tablet" if "tablet" in options else len(added) == len("2026-11-28T2015")
    assert "▀" in person.shown.decode()
