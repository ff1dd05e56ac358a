# SPDX-License-Identifier: MIT
"""Makers' lists of tokens (CSV), over their grammar, and the tables of who gets which."""

import re
from base64 import b32encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_totp.imports import assigning, key_text, seeds, table
from pam_totp.imports.found import Entry, Found, Unusable
from pam_totp.imports.seeds import MAX_FAULTS, MAX_TOKENS

HEX = "15d2fa517d3c6b791bd4cc2044c241429307001f"
OTHER = "8c557fc050721037fd31e1d3345b5d3263263e0f"
KEY, OTHER_KEY = bytes.fromhex(HEX), bytes.fromhex(OTHER)
BASE32 = b32encode(KEY).decode()
EITHER = "2234567abcdef2234567abcdef234567"  # a key in hex, and another one in base32
NOTHING: dict[str, str | int | None] = dict.fromkeys(("type", "digits", "period", "algorithm"))


def found(**more: Any) -> Found:
    plain: dict[str, Any] = {
        "secret": KEY,
        "kind": "totp",
        "algorithm": "SHA1",
        "digits": 6,
        "period": 30,
    }
    return Found(**(plain | {"counter": 0} | more))


def read(content: bytes | str, **chosen: str | int | None) -> list[Entry]:
    given = content if isinstance(content, bytes) else content.encode()
    return seeds.read(given, NOTHING | chosen)[0]


def only(content: bytes | str, **chosen: str | int | None) -> Found:
    (entry,) = read(content, **chosen)
    assert entry.found is not None, entry.fault
    return entry.found


def fault_of(content: str, **chosen: str | int | None) -> str:
    entry = read(content, **chosen)[-1]
    assert entry.found is None
    return f"{entry.place}: {entry.fault}"


FORMS = {
    "for Entra": (
        "upn,serial number,secret key,time interval,manufacturer,model\r\n"
        f"Helga@contoso.com,1234567,{BASE32.lower()},60,Contoso,HardwareKey\r\n",
        found(period=60),
    ),
    "for NetIQ and LinOTP": (f"1234567, {HEX}, totp, 8, 60", found(digits=8, period=60)),
    "counted": (f"1234567, {HEX}, hotp, 6\n", found(kind="hotp")),
    "of Excel, in Europe": (
        f'\ufeff"Serial No.";"Seed (hex)";"OTP length"\r\n"1234567";"{HEX.upper()}";8\r\n',
        found(digits=8),
    ),
    "with tabs": (f"# batch 7\n\nSN\tSEED\n1234567\t{BASE32}\n\t\n", found()),
    "in groups": (f"serial,key\n1234567,{BASE32[:16]} {BASE32[16:]}\n", found()),
    "named": (f"serial,key\n1234567,hex:{HEX}\n", found()),
    "with 0x": (f"serial,key\n1234567,0x{HEX.upper()}\n", found()),
    "of events": (
        f"Serial Number,Secret,Token Type,Counter,Interval\n1234567,{HEX},Event-Based,20,0\n",
        found(kind="hotp", counter=20),
    ),
    "with a hash": (
        f"serial,seed,type,algorithm\n1234567,{HEX},OATH-TOTP,HMAC-SHA-256\n",
        found(algorithm="SHA256"),
    ),
    "with a counter alone": (
        f"serial,seed,counter\n1234567,{HEX},7\n",
        found(kind="hotp", counter=7),
    ),
    "with columns of nothing": (f"serial,seed,,\n1234567,{HEX},,\n", found()),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(("text", "expected"), FORMS.values(), ids=FORMS.keys())
def test_list_is_read_as_its_makers_write_it(text: str, expected: Found, encoding: str) -> None:
    (entry,) = read(text.encode(encoding), type="totp")
    assert (entry.name, entry.fault, entry.found) == ("1234567", "", expected)


def test_what_the_list_does_not_say_is_what_root_says() -> None:
    chosen: dict[str, str | int | None] = {"type": "totp", "digits": 8, "period": 60}
    chosen["algorithm"] = "SHA512"
    expected = found(digits=8, period=60, algorithm="SHA512")
    assert only(f"1,{HEX}", **chosen) == expected
    assert only(f"1,{HEX},,7", **chosen) == found(digits=7, period=60, algorithm="SHA512")
    assert only(f"1,{HEX},hotp", **chosen) == found(kind="hotp", digits=8, algorithm="SHA512")


def test_list_that_does_not_say_what_makes_the_codes_is_not_guessed_at() -> None:
    (entry,) = read(f"1,{HEX}")
    assert (entry.found, entry.hint) == (None, "--type=totp")
    assert "a clock (totp) or counts (hotp)" in entry.fault


def test_key_that_may_be_hex_or_base32_is_read_as_the_others_of_the_list() -> None:
    assert fault_of(f"1,{EITHER}", type="totp") == "line 1: the key may be hex or base32"
    for other, key in ((HEX, bytes.fromhex(EITHER)), (BASE32, None)):
        first, second = read(f"1,{EITHER}\n2,{other}", type="totp")
        assert first.found is not None and second.found is not None
        assert second.found.secret == KEY
        assert (first.found.secret == bytes.fromhex(EITHER)) == (key is not None)
    mixed = read(f"1,{EITHER}\n2,{OTHER}\n3,{BASE32}", type="totp")
    assert [entry.fault for entry in mixed] == ["the key may be hex or base32", "", ""]


def test_key_is_read_in_the_way_that_stands_in_front_of_it_alone() -> None:
    assert key_text.readings(EITHER).keys() == {"hex", "base32"}
    assert key_text.readings(f"hex: {EITHER}") == {"hex": bytes.fromhex(EITHER)}
    assert key_text.readings(f"BASE32:{EITHER}").keys() == {"base32"}
    assert key_text.readings(f"hex:{BASE32}") == key_text.readings(f"base32:{HEX}") == {}


FAULTS = {
    "a key of nothing": ("1,not-a-key!", "the key is neither hex nor base32"),
    "a key that a spreadsheet has rounded": ("1,1.52E+39", "the key is neither hex nor base32"),
    "no key": ("1", "the credential must have a secret of 10 to 128 bytes"),
    "a short key": ("1,15d2fa51", "the credential must have a secret of 10 to 128 bytes"),
    "no serial number": (f",{HEX}", "the serial number must be 1 to 56 letters"),
    "a serial number that is a line": (f'"a&secret=A",{HEX}', "the serial number must be"),
    "a long serial number": (f"{'1' * 57},{HEX}", "the serial number must be 1 to 56 letters"),
    "another type": (f"1,{HEX},yubikey", "the type must be TOTP or HOTP"),
    "5 digits": (f"1,{HEX},totp,5", "the digits of a code must be a number from 6 to 8"),
    "digits in words": (f"1,{HEX},totp,six", "the digits of a code must be a number from 6 to 8"),
    "a period of a day": (f"1,{HEX},totp,6,86400", "the period must be a number from 1 to 3600"),
    "a period that is a sum": (f"1,{HEX},totp,6,30s", "the period must be a number from 1 to"),
    "a period of a counter": (f"1,{HEX},hotp,6,30", "the token is of type HOTP, and has a period"),
    "too many columns": (f"1,{HEX},totp,6,30,x", "the line has 6 columns in place of 5"),
    "an open quotation mark": (f'1,"{HEX}', "a quotation mark is not closed, or is within a field"),
    "a quotation mark within": (f'1,"{HEX}"x', "a quotation mark is not closed, or is within"),
    "a long field": (f"1,{HEX * 30}", "a field has more than 1000 characters"),
    "a long line": (f"1,{HEX}{',' * 20_000}", "the line has more than 16384 characters"),
    "NUL": (f"1\0,{HEX}", "the serial number must be"),
}


@pytest.mark.parametrize(("line", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_faulty_line_is_named_by_its_number_and_spoils_no_other(line: str, fault: str) -> None:
    first, faulty, last = read(f"A,{OTHER}\n{line}\nB,{'31' * 20}\n", type="totp")
    assert first.found is not None and last.found is not None
    assert (faulty.found, faulty.place) == (None, "line 2")
    assert faulty.fault.startswith(fault)


@pytest.mark.parametrize(
    ("header", "fields", "fault"),
    [
        ("type,algorithm", "totp,MD5", "the algorithm SHA1, SHA256 or SHA512"),
        ("counter", "-1", "the counter must be a number from 0"),
        ("type,counter", "totp,5", "the token is of type TOTP, and has a counter"),
        ("counter,period", "5,30", "a clock (totp) or counts (hotp)"),
    ],
)
def test_column_that_no_login_could_keep_is_a_fault(header: str, fields: str, fault: str) -> None:
    assert fault in fault_of(f"serial,seed,{header}\n1,{HEX},{fields}\n")


def test_serial_number_or_key_that_is_there_twice_is_nobodys() -> None:
    serials = read(f"1,{HEX}\n1,{OTHER}\n2,{'31' * 20}", type="totp")
    assert [entry.fault for entry in serials] == [
        "the serial number is also that of line 2",
        "the serial number is also that of line 1",
        "",
    ]
    keys = read(f"1,{HEX}\n2,{BASE32}", type="totp")
    assert [entry.fault for entry in keys] == [
        "the key is also that of line 2",
        "the key is also that of line 1",
    ]


def test_columns_of_which_nothing_is_known_are_named() -> None:
    _, notes = seeds.read(f"serial,seed,type,PIN,\n1,{HEX},totp,,\n".encode(), NOTHING)
    assert notes == ["the column 'PIN'"]


@pytest.mark.parametrize(
    ("content", "message"),
    ids=range(8),
    argvalues=[
        ("", "the file is empty"),
        ("\n#\n\n,,\n", "the file is empty"),
        ("serial,seed\n", "the file has no token"),
        ("serial,x\n1,2\n", "line 1: the header must have the serial number and the key"),
        ("serial,serial number,seed\n1,2,3\n", "line 1: two columns are the serial number"),
        ("x\n" * (MAX_FAULTS + 1), f"more than {MAX_FAULTS} lines cannot be read; line 1: "),
        ("1,2\n" * (MAX_TOKENS + 1), f"more than {MAX_TOKENS} tokens"),
        ("\n" * 1_000_000 + "1\n" * 100_001, "the file has more than 100000 lines"),
    ],
)
def test_file_that_is_no_list_is_refused_as_a_whole(content: str, message: str) -> None:
    with pytest.raises(Unusable) as raised:
        read(content)
    assert message in raised.value.message


SERIALS = st.from_regex(r"[0-9A-Za-z][0-9A-Za-z ._:/+-]{0,20}", fullmatch=True).map(str.strip)
TOKENS = st.builds(
    found,
    secret=st.binary(min_size=10, max_size=64),
    kind=st.sampled_from(["totp", "hotp"]),
    algorithm=st.sampled_from(["SHA1", "SHA256", "SHA512"]),
    digits=st.integers(6, 8),
    period=st.integers(1, 3600),
    counter=st.integers(0, 2**63 - 1),
)
HEADERS = {
    "serial number": ["serial", "Serial Number", "SN", "serial_no"],
    "key": ["seed", "Secret Key", "KEY", "seed (hex)"],
    "type": ["type", "Token-Type"],
    "digits": ["digits", "OTP Length"],
    "period": ["period", "Time Interval", "timestep"],
    "counter": ["counter", "moving factor"],
    "algorithm": ["algorithm", "Hash"],
    "": ["manufacturer", "x"],
}


@st.composite
def lists(draw: st.DrawFn) -> tuple[bytes, dict[str, Found]]:
    """A list in one of the ways in which they are written, and what it holds."""
    tokens = draw(st.dictionaries(SERIALS, TOKENS, min_size=1, max_size=4))
    secrets = {token.secret for token in tokens.values()}
    keys = {name: token for name, token in tokens.items() if token.secret in secrets}
    separator = draw(st.sampled_from("\t;,"))
    is_hex, is_quoted = draw(st.booleans()), draw(st.booleans())
    columns = draw(st.permutations(list(HEADERS)))

    def cell(text: str) -> str:
        quoted = text.replace('"', '""')
        return f'"{quoted}"' if is_quoted or separator in text else text

    def line(token: Found, serial: str) -> str:
        key = token.secret.hex() if is_hex else b32encode(token.secret).decode().rstrip("=")
        is_timed = token.kind == "totp"
        cells = {
            "serial number": serial,
            "key": f"{'hex' if is_hex else 'base32'}:{key}",
            "type": draw(st.sampled_from([token.kind, token.kind.upper()])),
            "digits": str(token.digits),
            "period": str(token.period) if is_timed else draw(st.sampled_from(["", "0"])),
            "counter": "" if is_timed else str(token.counter),
            "algorithm": token.algorithm,
            "": draw(st.sampled_from(["", "Müller, Söhne"])),
        }
        return separator.join(cell(cells[column]) for column in columns)

    header = separator.join(cell(draw(st.sampled_from(HEADERS[column]))) for column in columns)
    lines = [header, *(line(token, serial) for serial, token in keys.items())]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    return (end.join(lines) + draw(st.sampled_from(["", end]))).encode(encoding), keys


@settings(max_examples=100, deadline=None, database=None)
@given(lists())
def test_list_in_any_of_these_ways_is_read_as_it_is(made: tuple[bytes, dict[str, Found]]) -> None:
    content, tokens = made
    entries = read(content)
    secrets = [token.secret for token in tokens.values()]
    assert [entry.name for entry in entries] == list(tokens)
    for entry, token in zip(entries, tokens.values(), strict=True):
        kept = {"period": 30} if token.kind == "hotp" else {"counter": 0}
        if secrets.count(token.secret) > 1:
            assert "the key is also that of line" in entry.fault
        else:
            assert entry.found == found(**(vars(token) | kept)), entry.fault


@settings(max_examples=100, deadline=None, database=None)
@given(lists(), st.integers(0, 400), st.text(max_size=3))
def test_no_message_has_a_key_whatever_is_wrong_with_the_list(
    made: tuple[bytes, dict[str, Found]], at: int, put: str
) -> None:
    content, tokens = made
    try:
        damaged = content[:at] + put.encode("utf-8", "replace") + content[at:]
        entries, notes = seeds.read(damaged, NOTHING)
    except Unusable as fault:
        said = [fault.message]
    else:
        said = [*notes, *(entry.fault for entry in entries), *(entry.name for entry in entries)]
    for token in tokens.values():
        for key in (token.secret.hex(), b32encode(token.secret).decode().rstrip("=")):
            assert not any(key[:12] in text for text in said)


def named(*serials: str) -> list[Entry]:
    lines = [f"{serial},{at:02}{HEX[2:]}" for at, serial in enumerate(serials)]
    return read("\n".join(lines), type="totp")


def test_each_user_gets_the_tokens_that_the_table_says() -> None:
    entries = named("1", "2", "3")
    for content in (b"1,alice\n3,bob\n2,alice\n", b"User;Serial\nalice;1\nbob;3\nalice;2\n"):
        assigned = assigning.by_user(entries, content)
        got = {user: [each.name for each in tokens] for user, tokens in assigned.tokens.items()}
        assert (got, assigned.faults) == ({"alice": ["1", "2"], "bob": ["3"]}, {})


def test_who_is_not_clear_in_the_table_gets_nothing_and_nobody_else_suffers() -> None:
    entries = [*named("1", "2", "3"), Entry(name="4", found=None, fault="why", place="line 4")]
    lines = ["1,alice", "2,alice", "2,bob", "3,carol", "9,dave", "4,eve", "5", ",frank", "6,g,h"]
    assigned = assigning.by_user(entries, "\n".join(lines).encode())
    assert list(assigned.tokens) == ["carol"]
    assert assigned.faults == {
        "alice": "line 2 of the table: the token 2 is assigned 2 times",
        "bob": "line 3 of the table: the token 2 is assigned 2 times",
        "dave": "line 5 of the table: there is no token 9 in the list",
        "eve": "line 6 of the table: the token 4 (line 4): why",
        "line 7 of the table": "line 7 of the table: a line must have a serial number and a user",
        "frank": "line 8 of the table: a line must have a serial number and a user",
        "line 9 of the table": "line 9 of the table: the line has 3 columns in place of 2",
    }


def test_table_that_assigns_nothing_is_refused() -> None:
    for content in (b"", b"serial,user\n"):
        with pytest.raises(Unusable):
            assigning.by_user(named("1"), content)


def test_key_that_stands_in_another_column_is_not_shown() -> None:
    (entry,) = read(f"{HEX},1234567")
    assert entry.name == entry.place == "line 1"
    with pytest.raises(Unusable) as raised:
        assigning.by_user(named("1"), f"1,{HEX}\n".encode())
    assert raised.value.message == "line 1 of the table: the user may be a key"
    for content in (f"serial,{HEX}\n", f"{HEX},key\n"):
        with pytest.raises(Unusable) as raised:
            read(content)
        assert raised.value.message.startswith("line 1: the header must have")


def test_one_of_several_tokens_has_to_be_named() -> None:
    entries = named(*(str(at) for at in range(30)))
    with pytest.raises(Unusable, match=r"name a token; the file has 0, 1, 2, .*19, and 10 more"):
        assigning.chosen(entries, [])
    with pytest.raises(Unusable, match="there is no token '30'"):
        assigning.chosen(entries, ["3", "30"])
    assert [each.name for each in assigning.chosen(entries, ["7", "3", "7"])] == ["7", "3"]
    assert assigning.chosen(entries[:1], []) == entries[:1]


def test_known_names_of_columns_are_as_a_header_is_compared() -> None:
    for name in seeds.COLUMNS:
        assert re.fullmatch("[a-z0-9]+", name)
    rows = table.read(b"Serial No.\nx", seeds.COLUMNS, ("serial number",)).rows
    assert rows[0].fields == {"serial number": "x"}
