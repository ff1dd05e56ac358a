# SPDX-License-Identifier: MIT
"""One line of a secret file: which are credentials, and why the others are none."""

from base64 import b32encode

import pytest

from pam_totp.rules.credential import MAX_CREDENTIALS, Malformed, parse_file, parse_line

KEY = b"12345678901234567890"
SECRET = b32encode(KEY).decode()
URI = f"otpauth://totp/Server:alice@server?secret={SECRET}"


def test_everything_left_out_takes_the_default() -> None:
    credential = parse_line(URI)
    assert credential.secret == KEY
    assert (credential.algorithm, credential.digits, credential.period) == ("SHA1", 6, 30)
    assert (credential.account, credential.device) == ("Server:alice@server", "")


def test_parameters_come_in_any_order_and_unknown_ones_are_left_alone() -> None:
    query = f"period=60&image=x.png&digits=8&secret={SECRET}&issuer=Server&algorithm=sha512&lock"
    credential = parse_line(f"otpauth://totp/alice?{query}")
    assert credential.secret == KEY
    assert (credential.algorithm, credential.digits, credential.period) == ("SHA512", 8, 60)


@pytest.mark.parametrize(
    ("comment", "device"),
    [
        ("", ""),
        (" ", ""),
        (" phone", "phone"),
        ("  my  old phone ", "my  old phone"),
        (" Ü☎", "Ü☎"),
    ],
)
def test_what_follows_the_uri_names_the_device(comment: str, device: str) -> None:
    assert parse_line(URI + comment).device == device


@pytest.mark.parametrize(
    ("label", "account"),
    [
        ("Server:alice%40server", "Server:alice@server"),
        ("A%20%26%20B%3A%23%3F%2F%25", "A & B:#?/%"),
        ("%C3%BC%e2%98%8e", "ü☎"),
        ("a+b", "a+b"),
        ("%FF", "\ufffd"),
        ("", ""),
        ("a/b", "a/b"),
    ],
)
def test_percent_sequences_are_decoded(label: str, account: str) -> None:
    assert parse_line(f"otpauth://totp/{label}?secret={SECRET}").account == account


@pytest.mark.parametrize("broken", ["%", "%4", "%%", "%%41", "%zz", "%4g", "%+1", "%u0041"])
@pytest.mark.parametrize("place", ["label", "value", "secret"])
def test_broken_percent_sequence_is_malformed(broken: str, place: str) -> None:
    lines = {
        "label": f"otpauth://totp/a{broken}?secret={SECRET}",
        "value": f"{URI}&issuer=a{broken}",
        "secret": f"{URI}{broken}",
    }
    with pytest.raises(Malformed):
        parse_line(lines[place])


@pytest.mark.parametrize(
    "rest", ["", "?", "?issuer=Server", f"?key={SECRET}", f"&secret={SECRET}", " phone", " b? c"]
)
def test_line_without_a_secret_is_said_to_have_none(rest: str) -> None:
    with pytest.raises(Malformed, match="has no secret="):
        parse_line(f"otpauth://totp/a{rest}")


@pytest.mark.parametrize("fragment", ["#fragment", "#?secret=ABC&period=0"])
def test_fragment_is_left_alone(fragment: str) -> None:
    assert parse_line(URI + fragment).secret == KEY


@pytest.mark.parametrize(
    "second",
    [
        "secret=AAAAAAAAAAAAAAAA",
        f"secret={SECRET}",
        f"SECRET={SECRET}",
        "digits=6&digits=6",
        "x=1&x=2",
    ],
)
def test_parameter_given_twice_is_malformed(second: str) -> None:
    with pytest.raises(Malformed, match="duplicate"):
        parse_line(f"{URI}&{second}")


def test_quoted_name_is_another_parameter() -> None:
    assert parse_line(f"{URI}&s%65cret=AAAAAAAAAAAAAAAA").secret == KEY


@pytest.mark.parametrize(
    ("uri", "account"),
    [
        (f"otpauth://totp?secret={SECRET}", ""),
        (f"OTPAUTH://TOTP/SERVER:ALICE?SECRET={SECRET}&ISSUER=SERVER", "SERVER:ALICE"),
        (f"otpauth://TOTP/a?Secret={SECRET}", "a"),
        (f"otpauth://totp/My Server: al ice?secret={SECRET}&issuer=x", "My Server: al ice"),
        (f"otpauth://totp/a#1?secret={SECRET}&issuer=x", "a#1"),
        (f"otpauth://totp/a?issuer=My Server&secret={SECRET}", "a"),
        (f"otpauth://totp/a?secret={SECRET}&issuer=My Server &digits=6", "a"),
        (f"otpauth://totp/a?period=30&secret={SECRET}&image=https://x.example/a.png", "a"),
        (f"otpauth://totp/a?secret={SECRET}&lock=true", "a"),
        (f"otpauth://totp/a?secret={SECRET}&amp;issuer=Server", "a"),
    ],
)
@pytest.mark.parametrize("device", ["phone", "my old phone", "Tom & Jerry", "pixel7", "a=b", ""])
def test_uri_as_other_programs_write_it_is_read(uri: str, account: str, device: str) -> None:
    credential = parse_line(f"{uri} {device}")
    assert (credential.secret, credential.account, credential.device) == (KEY, account, device)


def test_parameter_behind_an_ampersand_of_html_counts() -> None:
    credential = parse_line(f"{URI}&amp;digits=8&amp;period=60 phone")
    assert (credential.digits, credential.period, credential.device) == (8, 60, "phone")


GROUPED = [
    " ".join(SECRET[at : at + 4] for at in range(0, 32, 4)),
    " ".join(SECRET[at : at + 4] for at in range(0, 32, 4)).lower(),
    f"{SECRET[:16]} {SECRET[16:]}",
    f"{SECRET[:28]} {SECRET[28:]}",
    f"{SECRET[:31]}  {SECRET[31:]}",
    f"{SECRET[:24]}\t{SECRET[24:]}====",
    f"{SECRET[:16]} {SECRET[16:].lower()}",
    f"{SECRET[:16]}-{SECRET[16:24]} {SECRET[24:]}",
    f"{SECRET[:16].title()} {SECRET[16:20]} {SECRET[20:]}",
    "GEZDGNBVGY3TQOJQ 2345 6723 4567 2345",
]


@pytest.mark.parametrize("separator", ["-", "%20", "+", "%2D", " "])
def test_key_in_groups_is_the_same_key(separator: str) -> None:
    grouped = GROUPED[0].replace(" ", separator)
    assert parse_line(f"otpauth://totp/a?secret={grouped}&issuer=x phone").secret == KEY
    if separator != " ":
        credential = parse_line(f"otpauth://totp/a?secret={grouped} phone")
        assert (credential.secret, credential.device) == (KEY, "phone")


@pytest.mark.parametrize("key", GROUPED)
@pytest.mark.parametrize("device", ["", " phone", " my phone", " TABLET", "#fragment"])
def test_part_of_a_key_is_never_taken_for_a_device(key: str, device: str) -> None:
    with pytest.raises(Malformed, match="has a space in its secret, or a device") as malformed:
        parse_line(f"otpauth://totp/a?secret={key}{device}")
    assert not any(word in str(malformed.value) for word in key.replace("-", " ").split())


@pytest.mark.parametrize("second", [f" {URI}", f" phone {URI.upper()}", f" secret={SECRET}"])
def test_second_secret_on_the_line_is_never_taken_for_a_device(second: str) -> None:
    with pytest.raises(Malformed, match="has a second secret"):
        parse_line(f"{URI.replace('server', 'host')}{second}")


@pytest.mark.parametrize(
    "secret", [SECRET.lower(), SECRET.title(), f"{SECRET}==", f"{SECRET}%3D%3d"]
)
def test_base32_in_either_case_with_or_without_padding_is_the_same(secret: str) -> None:
    credential = parse_line(f"otpauth://totp/a?secret={secret}")
    assert credential.secret == KEY
    assert credential.identity == parse_line(URI).identity


@pytest.mark.parametrize("length", range(10, 129))
def test_secret_of_10_to_128_bytes_is_taken_whole(length: int) -> None:
    key = bytes(range(1, length + 1))
    encoded = b32encode(key).decode()
    for secret in (encoded, encoded.rstrip("=")):
        assert parse_line(f"otpauth://totp/a?secret={secret}").secret == key


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "=",
        "========",
        "A",
        "JBSWY3DPEHPK3PX",  # 9 bytes and 3 bits
        b32encode(bytes(129)).decode(),
        "0" * 32,
        "1" * 32,
        "8" * 32,
        "JBSWY3DPEHPK3PX!",
        "JBSWY3DP=EHPK3PXP",
        "JBSWY3DPEHPK3PXß",  # upper case: SS
        "JBSWY3DPEHPK3PXı",  # upper case: I  # noqa: RUF001
        "JBSWY3DPEHPK3PXſ",  # upper case: S  # noqa: RUF001
        "JBSWY3DPEHPK3PXＡ",  # full-width  # noqa: RUF001
        "JBSWY3DPEHPK3PXP%00",
    ],
)
def test_secret_that_is_empty_short_long_or_no_base32_is_malformed(secret: str) -> None:
    with pytest.raises(Malformed):
        parse_line(f"otpauth://totp/a?secret={secret}")


@pytest.mark.parametrize(
    "parameter",
    [
        *(
            f"period={value}"
            for value in ("0", "-1", "+30", "3601", "1e3", "30.0", "", "٣٠", "9" * 99)
        ),
        *(f"digits={value}" for value in ("0", "5", "9", "-6", "six", "", " 6", "６")),  # noqa: RUF001
        *(f"algorithm={value}" for value in ("", "MD5", "SHA-1", "SHA224", "SHA3_256", "ﬁ")),
    ],
)
def test_parameter_outside_its_range_is_malformed(parameter: str) -> None:
    with pytest.raises(Malformed):
        parse_line(f"{URI}&{parameter}")


@pytest.mark.parametrize("period", [1, 15, 30, 60, 3600])
def test_period_of_a_second_to_an_hour_is_taken(period: int) -> None:
    assert parse_line(f"{URI}&period={period}").period == period


@pytest.mark.parametrize(
    "line",
    [
        SECRET,
        f"https://totp/a?secret={SECRET}",
        f"otpauth:/totp/a?secret={SECRET}",
        f"otpauth://hotp/a?secret={SECRET}",
        f"otpauth://motp/a?secret={SECRET}",
        "otpauth://totp/a",
        "otpauth://totp/a?",
        "otpauth-migration://offline?data=abc",
        f'"{URI}"',
    ],
)
def test_line_that_is_no_uri_of_ours_is_malformed(line: str) -> None:
    with pytest.raises(Malformed):
        parse_line(line)


@pytest.mark.parametrize(
    "line",
    [
        f"{SECRET}",
        f"secret={SECRET}",
        f"otpauth://hotp/a?secret={SECRET}",
        f"otpauth://{SECRET}/a",
        f"{URI}&secret={SECRET}",
        f"otpauth://totp/a?{SECRET}&{SECRET}",
        f"otpauth://totp/a?x{SECRET}=1&x{SECRET}=2",
        f"{URI}!",
        f"{URI}%",
        f"{URI}&digits={SECRET}",
        f"{URI}&period={SECRET}",
        f"{URI}&algorithm={SECRET}",
        f"{URI}&issuer=%{SECRET}",
    ],
)
def test_message_never_holds_the_secret(line: str) -> None:
    with pytest.raises(Malformed) as malformed:
        parse_line(line)
    assert SECRET not in str(malformed.value)
    assert SECRET[:8] not in str(malformed.value)


def test_identity_names_the_secret_without_telling_it() -> None:
    first, second = parse_line(URI), parse_line(URI.replace("GEZ", "GEY"))
    assert first.identity != second.identity
    assert len(first.identity) == 32
    assert set(first.identity) <= set("0123456789abcdef")
    assert KEY.hex()[:8] not in first.identity


class TestFile:
    def test_comments_and_blank_lines_are_no_credentials(self) -> None:
        content = f"# {URI}\n\n   \n\t\n  # indented\n{URI} phone\n#\n"
        credentials, faults = parse_file(content.encode())
        assert [each.device for each in credentials] == ["phone"]
        assert faults == []

    def test_one_bad_line_keeps_the_good_ones(self) -> None:
        content = f"{URI} one\nnonsense\n{URI}&period=0 two\n\xff\n{URI} three\n"
        credentials, faults = parse_file(content.encode("latin-1"))
        assert [each.device for each in credentials] == ["one", "three"]
        assert [fault.split(" ")[1] for fault in faults] == ["2", "3", "4"]

    @pytest.mark.parametrize("device", ["phone", ""])
    def test_line_ends_of_windows_are_taken(self, device: str) -> None:
        content = f"# comment\r\n\r\n{URI} {device}\r\n{URI}\r\n"
        credentials, faults = parse_file(content.encode())
        assert [(each.secret, each.device) for each in credentials] == [(KEY, device), (KEY, "")]
        assert faults == []

    def test_last_line_needs_no_end(self) -> None:
        assert len(parse_file(f"{URI}\n{URI} tablet".encode())[0]) == 2

    def test_byte_order_mark_takes_no_credential_away(self) -> None:
        credentials, faults = parse_file(f"\ufeff{URI} phone\n".encode())
        assert [each.device for each in credentials] == ["phone"]
        assert faults == []

    @pytest.mark.parametrize("content", [b"", b"\n", b"# nothing\n", b"\0" * 4096])
    def test_file_without_a_credential_has_none(self, content: bytes) -> None:
        assert parse_file(content)[0] == []

    def test_more_credentials_than_a_login_can_try_are_left_out_aloud(self) -> None:
        content = "".join(f"{URI} phone {number}\n" for number in range(MAX_CREDENTIALS + 5))
        credentials, faults = parse_file(content.encode())
        assert len(credentials) == MAX_CREDENTIALS
        assert len(faults) == 1
