# SPDX-License-Identifier: MIT
"""The exports of apps: every field, and what is not one of theirs."""

import base64
import json
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pam_totp.imports import (
    aegis,
    andotp,
    choosing,
    freeotp_plus,
    google_export,
    otpauth,
)
from pam_totp.imports.found import (
    HOTP,
    MAX_COUNTER,
    TOTP,
    Entry,
    Found,
    Unusable,
    uri_of,
)
from pam_totp.rules.credential import parse_line

KEY = b"12345678901234567890"
BASE32 = base64.b32encode(KEY).decode()
PLAIN = Found(secret=KEY)
OTHER = Found(secret=KEY, algorithm="SHA256", digits=8, period=60)
COUNTED = Found(secret=KEY, kind=HOTP, digits=7, counter=5)
Read = Callable[[bytes], list[Entry]]
ROOT = Path(__file__).resolve().parents[2]
MOST_KILOBYTES = 64 * 1024
# Prints by how many kilobytes a process grows, at most, while it reads a file of that size.
GROWTH = """
import contextlib, importlib, sys
_, root, program, begin, piece, end, size = sys.argv
sys.path.insert(0, root)
from pam_totp.imports.found import Unusable
reader = importlib.import_module(f"pam_totp.imports.{program}").read
begin, piece, end = (each.encode() for each in (begin, piece, end))
content = bytearray(begin)
content += piece * ((int(size) - len(begin + end)) // len(piece)) + end
content = bytes(content)

def kilobytes(what):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what))

with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak begins anew
before = kilobytes("VmRSS")
with contextlib.suppress(Unusable):
    reader(content, 1e9) if program == "users_oath" else reader(content)
print(kilobytes("VmHWM") - before)
"""


def in_aegis(*found: Found) -> Any:
    entries = [
        {
            "type": each.kind,
            "uuid": "3ae6f1ad-2e65-4ed2-a953-1ec0dff2386d",
            "name": f"name{at}",
            "issuer": "site",
            "icon": None,
            "info": {"secret": BASE32, "algo": each.algorithm, "digits": each.digits}
            | ({"counter": each.counter} if each.kind == HOTP else {"period": each.period}),
        }
        for at, each in enumerate(found)
    ]
    header = {"slots": None, "params": None}
    return {"version": 1, "header": header, "db": {"version": 3, "entries": entries}}


def in_andotp(*found: Found) -> Any:
    return [
        {
            "secret": BASE32,
            "issuer": "site",
            "label": f"name{at}",
            "digits": each.digits,
            "type": each.kind.upper(),
            "algorithm": each.algorithm,
            "thumbnail": "Default",
            "last_used": 1,
            "tags": [],
        }
        | ({"counter": each.counter} if each.kind == HOTP else {"period": each.period})
        for at, each in enumerate(found)
    ]


def in_freeotp_plus(*found: Found) -> Any:
    tokens = [
        {
            "algo": each.algorithm,
            "counter": each.counter,
            "digits": each.digits,
            "issuerExt": "site",
            "label": f"name{at}",
            "period": each.period,
            "secret": [value - 256 if value > 127 else value for value in each.secret],
            "type": each.kind.upper(),
        }
        for at, each in enumerate(found)
    ]
    return {"tokenOrder": [f"site:name{at}" for at in range(len(found))], "tokens": tokens}


EXPORTS: dict[str, tuple[Read, Callable[..., Any]]] = {
    "aegis": (aegis.read, in_aegis),
    "andotp": (andotp.read, in_andotp),
    "freeotp-plus": (freeotp_plus.read, in_freeotp_plus),
}
READERS: list[Read] = [aegis.read, andotp.read, freeotp_plus.read, otpauth.read]


def varint(value: int) -> bytes:
    parts = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(each | 0x80 for each in parts[:-1]), parts[-1]])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def in_google(found: Found, name: str = "name0", extra: bytes = b"") -> bytes:
    algorithm = {"SHA1": 1, "SHA256": 2, "SHA512": 3}[found.algorithm]
    entry = field(1, found.secret) + field(2, name.encode()) + field(3, b"site")
    entry += field(4, algorithm) + field(5, {6: 1, 8: 2}[found.digits])
    entry += field(6, {HOTP: 1, TOTP: 2}[found.kind])
    return field(1, entry + (field(7, found.counter) if found.kind == HOTP else b"") + extra)


def migration(*entries: bytes, count: int = 1, part: int = 0) -> str:
    message = b"".join(entries) + field(2, 1) + field(3, count) + field(4, part) + field(5, 77)
    return f"otpauth-migration://offline?data={quote(base64.b64encode(message))}"


# An entry that is said to be longer than what is left of the message.
_CUT = base64.b64encode(varint(1 << 3 | 2) + varint(127) + field(1, KEY))
CUT_OFF = f"otpauth-migration://offline?data={quote(_CUT)}"


@pytest.mark.parametrize("app", EXPORTS)
def test_every_field_of_an_export_is_kept(app: str) -> None:
    reader, write = EXPORTS[app]
    entries = reader(json.dumps(write(PLAIN, OTHER, COUNTED)).encode())
    assert [each.name for each in entries] == ["site:name0", "site:name1", "site:name2"]
    for entry, found in zip(entries, (PLAIN, OTHER, COUNTED), strict=True):
        assert entry.found is not None, entry.fault
        assert uri_of(entry.found, "a", "b") == uri_of(found, "a", "b")


def test_a_secret_of_freeotp_plus_has_bytes_of_either_sign() -> None:
    found = Found(secret=bytes(range(120, 140)))
    (entry,) = freeotp_plus.read(json.dumps(in_freeotp_plus(found)).encode())
    assert entry.found is not None and entry.found.secret == found.secret


@pytest.mark.parametrize("found", [PLAIN, OTHER, COUNTED])
def test_an_otpauth_uri_is_kept_with_its_counter(found: Found) -> None:
    uri = uri_of(found, "name0", "site")
    (entry,) = otpauth.read(f"# mine\n\n{uri}\n".encode())
    assert entry.found is not None and entry.name == "site:name0"
    assert uri_of(entry.found, "name0", "site") == uri


def test_the_uri_of_a_counted_credential_has_the_format_that_is_promised() -> None:
    uri = uri_of(COUNTED, "alice@host", "host")
    assert uri == (f"otpauth://hotp/host:alice@host?secret={BASE32}&counter=5&digits=7&issuer=host")


@pytest.mark.parametrize(
    "parameters",
    ["", "&digits=8&algorithm=SHA512&period=60", "&offset=-40", "&offset=3&period=60"],
)
@pytest.mark.parametrize("kind", ["totp/x?", "hotp/x?counter=7&"])
def test_a_line_of_ours_that_is_imported_makes_the_same_codes(kind: str, parameters: str) -> None:
    """Also of a token whose clock is off, which has an offset."""
    line = f"otpauth://{kind}secret={BASE32}{parameters}"
    (entry,) = otpauth.read(line.encode())
    assert entry.found is not None
    names = {"account": "site:name", "device": "token"}
    read = parse_line(f"{uri_of(entry.found, 'name', 'site')} token")
    assert vars(read) == vars(parse_line(line)) | names


@pytest.mark.parametrize("found", [PLAIN, Found(secret=KEY, algorithm="SHA512", digits=8)])
def test_an_entry_of_googles_export_is_kept(found: Found) -> None:
    counted = Found(secret=KEY, kind=HOTP, counter=2**40)
    entries = otpauth.read(migration(in_google(found), in_google(counted, "more")).encode())
    assert [each.name for each in entries] == ["site:name0", "site:more"]
    uris = [uri_of(each.found, "a", "b") for each in entries if each.found]
    assert uris == [uri_of(each, "a", "b") for each in (found, counted)]


def test_the_parts_of_googles_export_may_come_in_any_order() -> None:
    parts = [migration(in_google(PLAIN, f"name{at}"), count=3, part=at) for at in range(3)]
    entries = otpauth.read("\n".join(reversed(parts)).encode())
    assert [each.name for each in entries] == ["site:name2", "site:name1", "site:name0"]


@pytest.mark.parametrize(
    ("texts", "message"),
    ids=range(12),
    argvalues=[
        ([migration(in_google(PLAIN), count=2, part=1)], "part 1 of the export is missing"),
        ([migration(in_google(PLAIN))] * 2, "line 2: part 1 of the export is there twice"),
        ([migration(in_google(PLAIN), count=2, part=2)], "a part of an unknown number"),
        ([migration(in_google(PLAIN), count=1 << 40)], "a part of an unknown number"),
        (["otpauth-migration://offline?data="], "is not base64"),
        (["otpauth-migration://offline?data=%00"], "is not base64"),
        (["otpauth-migration://offline?data=" + "A" * 100_000], "is not base64"),
        (["otpauth-migration://offline?data=////////"], "is damaged"),
        ([CUT_OFF], "is damaged"),
        (
            ["otpauth-migration://offline?data=" + base64.b64encode(b"\x0a\x7fx").decode()],
            "damaged",
        ),
        (["otpauth-migration://offline?data=" + base64.b64encode(b"\x0d1234").decode()], "damaged"),
        (
            ["otpauth-migration://offline?data=" + base64.b64encode(b"\x80" * 99).decode()],
            "damaged",
        ),
    ],
)
def test_a_damaged_export_of_google_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(Unusable, match=message):
        otpauth.read("\n".join(texts).encode())


@pytest.mark.parametrize("number", range(1, 8))
def test_an_entry_of_google_with_a_field_of_another_kind_is_a_fault(number: int) -> None:
    swapped = field(number, 99) if number < 4 else field(number, b"x")
    try:
        (entry,) = otpauth.read(migration(in_google(PLAIN, extra=swapped)).encode())
    except Unusable:
        return
    assert entry.found is None or number in (2, 3)


@pytest.mark.parametrize("app", EXPORTS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digits": 5}, "must have 6, 7 or 8 digits"),
        ({"period": 3601}, "must have a period of 1 to 3600"),
        ({"period": 0}, "must have a period of 1 to 3600"),
        ({"kind": "steam"}, "a type that no login here knows"),
        ({"algorithm": "MD5"}, "must have the algorithm"),
        ({"algorithm": "SHA1&digits=8"}, "must have the algorithm"),
        ({"secret": b"123456789"}, "must have a secret of 10 to 128 bytes"),
        ({"kind": HOTP, "counter": MAX_COUNTER + 1}, "the counter must be a number"),
    ],
)
def test_what_a_login_here_could_not_keep_is_a_fault_of_that_entry(
    app: str, change: dict[str, Any], message: str
) -> None:
    reader, write = EXPORTS[app]
    bad = Found(**vars(PLAIN) | change)
    text = json.dumps(write(PLAIN, bad)).replace(BASE32, BASE32, 1)
    if "secret" in change:
        short = base64.b32encode(bad.secret).decode().rstrip("=")
        text = short.join(text.rsplit(BASE32, 1)) if app != "freeotp-plus" else text
    good, faulty = reader(text.encode())
    assert good.found is not None
    assert faulty.found is None and message in faulty.fault, faulty.fault


@pytest.mark.parametrize("app", EXPORTS)
@pytest.mark.parametrize("value", [None, True, -1, 1.5, "6", [], {}, "1" * 30])
def test_a_value_of_another_type_is_a_fault_or_the_default(app: str, value: object) -> None:
    reader, write = EXPORTS[app]
    exported = json.loads(json.dumps(write(PLAIN)).replace('"digits": 6', '"digits": "HERE"'))
    text = json.dumps(exported).replace('"HERE"', json.dumps(value))
    (entry,) = reader(text.encode())
    assert (entry.found is not None) == (value is None), entry


@pytest.mark.parametrize(
    "content",
    ids=range(16),
    argvalues=[
        b"",
        b"\0" * 1000,
        b"\xff\xfe",
        b"{}",
        b"[1]",
        b"null",
        b"[" * 1_000_000,
        b'{"a":' * 1_000_000,
        b"[" + b"{}," * 1000 + b"{}]",
        b"1" * 100_000,
        b"[NaN]",
        b"[1e999]",
        b'{"db": 5}',
        b'{"db": {"entries": {}}}',
        b'{"db": {"entries": [5]}}',
        b'{"tokens": [[]]}',
    ],
)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_export_is_refused_or_has_no_good_entry(reader: Read, content: bytes) -> None:
    try:
        entries = reader(content)
    except Unusable:
        return
    assert all(each.found is None for each in entries)


def test_an_encrypted_export_says_how_to_export_plain() -> None:
    with pytest.raises(Unusable, match="the export is encrypted") as caught:
        aegis.read(json.dumps({"version": 1, "header": {"slots": []}, "db": "AAAA"}).encode())
    assert "Settings" in caught.value.hint
    with pytest.raises(Unusable, match="is not JSON, or is encrypted") as caught:
        andotp.read(bytes(range(256)))
    assert "without encryption" in caught.value.hint


def test_a_line_that_is_no_uri_is_a_fault_of_its_own() -> None:
    uri = uri_of(PLAIN, "name", "site")
    bad = "otpauth://hotp/x?secret=" + BASE32
    first, second, third = otpauth.read(f"hello\n{uri}\n{bad}\n".encode())
    assert (first.name, first.found) == ("line 1", None) and second.found is not None
    assert "must have counter= from 0 to" in third.fault
    with pytest.raises(Unusable, match="more than 1000 entries"):
        otpauth.read(b"x\n" * 1_000_000)


@pytest.mark.parametrize("piece", ["%41", "&", "?", " "])
@pytest.mark.parametrize("begin", ["otpauth://totp/a?x=", f"{google_export.BEGIN}offline?data="])
def test_a_line_of_megabytes_takes_no_multiple_of_that(begin: str, piece: str) -> None:
    """A user's export is read by root, and each of its characters would become an object."""
    content = f"{begin}{piece * 1_000_000}\u00e9".encode()
    tracemalloc.start()
    try:
        (entry,) = otpauth.read(content)
        assert (entry.found, entry.fault) == (None, "the line is too long for a URI")
        assert tracemalloc.get_traced_memory()[1] < 8 * len(content)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("program", "begin", "piece", "end"),
    ids=range(13),
    argvalues=[
        ("andotp", "[", "[],", "[]]"),
        ("andotp", "[", "{},", "{}]"),
        ("andotp", "[", '{"":0},', "{}]"),
        ("andotp", "[", "0.5,", "0]"),
        ("andotp", "[", '"\u00e9",', "0]"),
        ("andotp", '["\U0001f600', "x", '"]'),
        ("andotp", '["\U0001f600', "\\n", '"]'),
        ("andotp", "", '{"a":', ""),
        ("otpauth", "", "#abc\n", ""),
        ("otpauth", "\U0001f600", "x\n", ""),
        ("otpauth", "\U0001f600", "x", ""),
        ("users_oath", "", "#abc\n", ""),
        ("users_oath", "", "a ", ""),
    ],
)
@pytest.mark.parametrize("megabytes", [4, 16])
def test_no_file_takes_a_multiple_of_the_memory_that_root_would_give_it(
    program: str, begin: str, piece: str, end: str, megabytes: int
) -> None:
    arguments = [str(ROOT), program, begin, piece, end, str(megabytes << 20)]
    command = ["/usr/bin/python3", "-ISc", GROWTH, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < MOST_KILOBYTES


def test_an_export_of_a_thousand_entries_with_icons_is_read() -> None:
    export = in_aegis(*[PLAIN] * 1000)
    for entry in export["db"]["entries"]:
        entry |= {"note": "one, two: [three]", "favorite": False, "groups": ["a", "b"]}
        entry |= {"icon": "A" * 3000, "icon_mime": "image/png", "icon_hash": "0" * 64}
    assert len(aegis.read(json.dumps(export).encode())) == 1000


def test_nothing_is_taken_that_was_not_named() -> None:
    one, two = Entry(name="site:a", found=PLAIN), Entry(name="site:b", found=OTHER)
    assert choosing.choose([one], []) == [one]
    assert choosing.choose([one, two], ["site:b"]) == choosing.choose([one, two], ["2"]) == [two]
    assert choosing.choose([one, two], ["2", "1", "2"]) == [two, one]
    for entries, wanted, message in (
        ([], [], "no entry"),
        ([one, two], [], "choose one of 2 entries: 1 site:a, 2 site:b"),
        ([one, two], ["3"], "none of 2 entries is '3'"),
        ([one, one], ["site:a"], "more than one of 2 entries"),
    ):
        with pytest.raises(Unusable, match=message):
            choosing.choose(entries, wanted)


def test_names_of_entries_hold_nothing_that_moves_a_cursor() -> None:
    exported = in_andotp(PLAIN)
    exported[0]["label"] = "\x1b[2J\n" + "x" * 10_000
    (entry,) = andotp.read(json.dumps(exported).encode())
    assert entry.name.isprintable() and len(entry.name) <= 100


def test_the_parser_of_googles_export_reads_numbers_of_ten_bytes_at_most() -> None:
    with pytest.raises(Unusable):
        google_export.Parts().read(migration(field(7, 1 << 70)))
