# SPDX-License-Identifier: MIT
"""The devices of a secret file: what is changed is one device, and all else stays byte for byte."""

from base64 import b32encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.enrollment.uri import new_uri
from pam_totp.records.user.devices import (
    Device,
    devices_of,
    line_of,
    renamed,
    with_line,
    without,
)
from pam_totp.rules.credential import parse_file, parse_line

KEYS = [b32encode(bytes([number]) * 20).decode() for number in range(1, 40)]
URIS = [f"otpauth://totp/web:alice@web?secret={key}&issuer=web" for key in KEYS]
NOON = 1795953600  # 2026-11-29 12:00:00 UTC
OTHERS = (
    b"# mine\r\n",
    b"\n",
    b"not a line\n",
    b"   \t\n",
    b"# \xff\xfe no text\n",
    f"{URIS[1]}\ttablet  \r\n".encode(),
    f"{URIS[2].replace('&', '&amp;')} my old  phone\n".encode(),
    f"otpauth://totp/?secret={KEYS[3]}\n".encode(),
    b"otpauth://hotp/x?secret=AAAA\n",
)
CHOSEN = {"issuer": "", "code.digits": "6", "code.period": "30", "code.algorithm": "SHA1"}


def of(content: bytes, name: str) -> list[Device]:
    found = [each for each in devices_of(content) if each.name == name]
    assert found
    return found


@pytest.mark.parametrize("at", range(len(OTHERS) + 1))
def test_removing_a_device_keeps_every_other_byte(at: int) -> None:
    before, after = b"".join(OTHERS[:at]), b"".join(OTHERS[at:])
    content = before + f"{URIS[0]} phone\n".encode() + after
    assert without(content, of(content, "phone")) == before + after


@pytest.mark.parametrize("at", range(len(OTHERS) + 1))
def test_replacing_a_device_keeps_every_other_byte(at: int) -> None:
    before, after = b"".join(OTHERS[:at]), b"".join(OTHERS[at:])
    content = before + f"{URIS[0]} phone\n".encode() + after
    new = with_line(content, f"{URIS[5]} phone", of(content, "phone"))
    assert new == before + f"{URIS[5]} phone\n".encode() + after


@pytest.mark.parametrize("name", ["tablet", "my old  phone", ""])
def test_renaming_a_device_keeps_every_other_byte(name: str) -> None:
    content = b"\xef\xbb\xbf" + b"".join(OTHERS)
    (device,) = of(content, name)
    changed = renamed(content, [device], "new name")
    assert changed is not None
    lines, were = changed.split(b"\n"), content.split(b"\n")
    assert lines[: device.line] + lines[device.line + 1 :] == (
        were[: device.line] + were[device.line + 1 :]
    )
    kept = were[device.line].rstrip().removesuffix(name.encode()).rstrip()
    assert lines[device.line].startswith(kept + b" new name")
    assert [each.id for each in devices_of(changed)] == [each.id for each in devices_of(content)]
    assert "new name" in [each.name for each in devices_of(changed)]


def test_name_that_would_become_a_part_of_the_secret_is_refused() -> None:
    content = f"otpauth://totp/?secret={KEYS[0]} phone\n".encode()
    assert renamed(content, devices_of(content), "ABCDEFGH") is None
    assert renamed(content, devices_of(content), "x&digits=8") is None


def test_line_beyond_those_that_a_login_tries_is_a_device_too() -> None:
    content = "".join(f"{uri} d{number}\n" for number, uri in enumerate(URIS)).encode()
    assert len(parse_file(content)[0]) == 32
    assert len(devices_of(content)) == len(URIS)


def test_file_without_a_last_line_end_gets_one_before_the_new_line() -> None:
    content = f"{URIS[0]} phone".encode()
    assert [each.name for each in devices_of(with_line(content, f"{URIS[1]} tablet"))] == [
        "phone",
        "tablet",
    ]


def test_time_is_in_the_line_and_not_in_the_uri_for_an_app() -> None:
    line = line_of(URIS[0], "phone", NOON + 59)
    assert line == f"{URIS[0]}&added=20261129T1200Z phone"
    (device,) = devices_of(line.encode())
    assert (device.uri, device.since, device.name) == (URIS[0], NOON, "phone")
    assert vars(parse_line(line)) == vars(parse_line(f"{URIS[0]} phone"))


@pytest.mark.parametrize(
    "added", ["", "2026", "20261329T1200Z", "20261129T2500Z", "20261129T1200", "x" * 99, "%00"]
)
def test_time_that_is_none_is_not_known(added: str) -> None:
    (device,) = devices_of(f"{URIS[0]}&added={added} phone\n".encode())
    assert (device.since, device.uri) == (None, URIS[0])


@pytest.mark.parametrize("host", ["web", "web.example.org"])
@pytest.mark.parametrize("changes", [{}, {"code.digits": "8", "code.algorithm": "SHA512"}])
@pytest.mark.parametrize("label", ["", "alice #1 100% ü?&"])
def test_uri_that_was_made_here_is_shown_again_byte_for_byte(
    host: str, changes: dict[str, str], label: str
) -> None:
    uri = new_uri("alice", CHOSEN | {"issuer": f"Büro & Co/2? {host}"} | changes, bool, label)
    (device,) = devices_of(line_of(uri, "phone", NOON).encode())
    assert device.uri == uri


@pytest.mark.parametrize(
    "line",
    [
        f"OTPAUTH://TOTP/my label?issuer=a b&Secret={KEYS[0].lower()}&added=x phone",
        f"otpauth://totp/my%20label?SECRET={KEYS[0][:4]}-{KEYS[0][4:]}====&amp;issuer=a%20b phone",
        f"otpauth://totp/my label?secret={KEYS[0]}&issuer=a%20b#fragment phone",
    ],
)
def test_uri_that_people_wrote_is_one_that_apps_read(line: str) -> None:
    (device,) = devices_of(line.encode())
    assert device.uri.startswith("otpauth://totp/my%20label?")
    assert f"secret={KEYS[0]}" in device.uri
    assert "issuer=a%20b" in device.uri
    assert device.credential.secret == parse_line(device.uri).secret


@settings(deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_file_breaks_the_reader(name: str, junk: str) -> None:
    content = f"{junk}\n{URIS[0]} {name}\n{junk}".encode("utf-8", "replace")
    found = devices_of(content)
    assert {each.id for each in found} <= {each.id for each in devices_of(URIS[0].encode())}
    for each in found:
        left = devices_of(without(content, [each]))
        assert len(left) == len(found) - 1
