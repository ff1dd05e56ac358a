# SPDX-License-Identifier: MIT
"""PSKC: the examples of RFC 6030, files of python3-pskc, and files that somebody made to do harm.

Rule 40.
"""

import os
import re
from typing import Any

import pytest

from pam_totp.imports import assigning, pskc
from pam_totp.imports.found import Entry, Found, Unusable
from pam_totp.imports.pskc import KEY, MAX_ITERATIONS, PASSWORD
from pam_totp.imports.pskc_shape import MAX_TEXT
from pam_totp.imports.seeds import MAX_TOKENS
from tests.imports.pskc_files import (
    COUNTER_0,
    FIGURE_2,
    FIGURE_3,
    FIGURE_4,
    FIGURE_5,
    FIGURE_6,
    FIGURE_6_KEY,
    FIGURE_7,
    FIGURE_7_PASSWORD,
    HOTP,
    NAMESPACE,
    PLAIN,
    SECRET,
    TOTP,
    XENC,
    container,
    derived_key,
    found,
    made,
    package,
)

NOW = 1_800_000_000.0  # 2027-01-15
WRONG = "is wrong, or the file was changed"
OF_FIGURE_3 = found(kind="hotp", digits=8)


def read(content: bytes, secret: bytes = b"", *, is_expiry_ignored: bool = False) -> list[Entry]:
    opened = pskc.Container(content)
    if opened.needs:
        opened.decrypt(secret)
    return opened.tokens(NOW, is_expiry_ignored=is_expiry_ignored)[0]


def only(content: bytes, secret: bytes = b"") -> Found:
    """What is found of the only token."""
    (entry,) = read(content, secret)
    assert entry.found is not None, entry.fault
    return entry.found


def fault_of(content: bytes) -> str:
    """Why the only token cannot be imported."""
    (entry,) = read(content)
    assert entry.found is None
    return entry.fault


def refused(content: bytes, secret: bytes = FIGURE_6_KEY) -> str:
    """Why nothing of the file can be imported."""
    with pytest.raises(Unusable) as raised:
        read(content, secret)
    assert SECRET.decode() not in raised.value.message
    return raised.value.message


def edited(content: bytes, pattern: str, instead: str) -> bytes:
    changed, count = re.subn(pattern.encode(), instead.encode(), content, flags=re.DOTALL)
    assert count == 1, f"{count} times {pattern}"
    return changed


@pytest.mark.parametrize("content", [FIGURE_3, FIGURE_6, FIGURE_7], ids=["3", "6", "7"])
def test_examples_of_the_rfc_give_their_token(content: bytes) -> None:
    needs = pskc.Container(content).needs
    assert needs == {FIGURE_3: "", FIGURE_6: KEY, FIGURE_7: PASSWORD}[content]
    secret = {"": b"", KEY: FIGURE_6_KEY, PASSWORD: FIGURE_7_PASSWORD}[needs]
    (entry,) = read(content, secret)
    assert (entry.name, entry.found) == ("987654321", OF_FIGURE_3)


def test_example_with_a_pin_on_the_device_gives_its_token_and_not_the_pin() -> None:
    token, pin = read(FIGURE_5)
    assert (token.name, token.found) == ("987654321", OF_FIGURE_3)
    assert (pin.name, pin.fault) == ("987654321", "its key is neither for TOTP nor for HOTP")
    assert assigning.chosen([token, pin], ["987654321"]) == [token]
    assert assigning.chosen([pin, token], ["987654321"]) == [token]


@pytest.mark.parametrize(
    ("content", "fault"),
    ids=["2", "4"],
    argvalues=[
        (FIGURE_2, "the credential must have a secret of 10 to 128 bytes"),
        (FIGURE_4, "the file does not have its key"),
    ],
)
def test_examples_without_a_key_of_80_bits_say_so(content: bytes, fault: str) -> None:
    assert fault_of(content) == fault


PROTECTED: dict[str, dict[str, Any]] = {
    "plain": {},
    "key": {"protect": "preshared_key", "key": b"k" * 16},
    "key of 256 bits": {
        "protect": "preshared_key",
        "key": b"k" * 32,
        "algorithm": f"{XENC}aes256-cbc",
    },
    "key wrap": {"protect": "preshared_key", "key": b"k" * 16, "algorithm": f"{XENC}kw-aes128"},
    "password": {"protect": "pbkdf2", "password": "öffne dich"},
    "password, SHA-512": {
        "protect": "pbkdf2",
        "password": "öffne dich",
        "prf": "hmac-sha512",
        "algorithm": f"{XENC}aes192-cbc",
    },
    "all fields": {
        "protect": "preshared_key",
        "key": b"k" * 16,
        "fields": ["secret", "counter", "time_offset", "time_interval"],
    },
}


@pytest.mark.parametrize("options", PROTECTED.values(), ids=PROTECTED.keys())
def test_what_python3_pskc_writes_is_read_as_it_was(options: dict[str, Any]) -> None:
    secret = options.get("key") or options.get("password", "").encode()
    counted = {"counter": 20, "response_length": 7, "response_encoding": "DECIMAL"}
    timed = {"algorithm": TOTP, "secret": b"x" * 32, "time_interval": 60, "time_offset": 0}
    entries = read(made(counted, timed | {"algorithm_suite": "HMAC-SHA256"}, **options), secret)
    assert [entry.fault for entry in entries] == ["", ""]
    assert [entry.name for entry in entries] == ["987654321", "987654322"]
    assert [entry.found for entry in entries] == [
        found(kind="hotp", digits=7, counter=20),
        found(secret=b"x" * 32, algorithm="SHA256", period=60),
    ]


@pytest.mark.parametrize(
    "options", [each for each in PROTECTED.values() if each], ids=list(PROTECTED)[1:]
)
def test_wrong_key_or_password_opens_nothing(options: dict[str, Any]) -> None:
    content = made(**options)
    for wrong in (b"x" * len(options.get("key", b"x")), b"y" * 16, b"z" * 32):
        assert refused(content, wrong).endswith(WRONG)


def test_encrypted_number_that_is_a_digit_too_is_not_guessed() -> None:
    """python3-pskc writes the counter 53 as one byte, and reads that as the text "5"."""
    options: dict[str, Any] = {"protect": "preshared_key", "key": b"k" * 16}
    for counter in (53, 0x3132):
        content = made({"counter": counter}, fields=["secret", "counter"], **options)
        (entry,) = read(content, b"k" * 16)
        assert entry.fault == "its counter may be a text or a number"
    content = made({"counter": 500}, fields=["secret", "counter"], **options)
    assert only(content, b"k" * 16).counter == 500


CHANGED = {
    "another cipher text": ("(?<=CipherValue>\n)AAEC", "AAED", WRONG),
    "another end": ("UqGv", "UqGw", WRONG),
    "another MAC": ("Su[+]Nvt", "Su+Nvs", WRONG),
    "another MAC key": ("ESIzRF", "ESIzRE", WRONG),
    "no MAC": ("<ValueMAC>.*</ValueMAC>", "", "Secret is encrypted, and has no MAC"),
    "an empty MAC": ("Su[+]Nv.*(?=</ValueMAC>)", "", "the element ValueMAC is empty"),
    "no way of the MAC": ("<MACMethod.*</MACMethod>", "", WRONG),
    "a MAC that everybody can compute": ("#hmac-sha1", "#sha1", "is not HMAC with SHA-1 or SHA-2"),
    "a broken MAC": ("#hmac-sha1", "#hmac-md5", "is not HMAC with SHA-1 or SHA-2"),
    "a plain key instead": (
        "<Secret>.*</Secret>",
        PLAIN,
        "is encrypted, and has a key that is not",
    ),
    "a plain key beside it": (
        "<Secret>",
        "<Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue>",
        "Secret must have a PlainValue, or an EncryptedValue with its MAC",
    ),
    "a plain token behind it": (
        "</KeyContainer>",
        package(device="<SerialNo>2</SerialNo>") + "</KeyContainer>",
        "is encrypted, and has a key that is not",
    ),
    "two keys": ("</Secret>", "</Secret>" + PLAIN, "Data has the element Secret twice"),
    "an old cipher": (
        "aes128-cbc(?=.*aes128-cbc)",
        "tripledes-cbc",
        "the file is not encrypted with AES",
    ),
    "no cipher": ("(?<=<EncryptedValue>)<xenc:EncryptionMethod[^>]*>", "", "is not complete"),
    "a key of nobody": ("CipherValue>\nAAEC.*Gv\n</xenc:", "CipherValue>A</xenc:", "cannot read"),
}


@pytest.mark.parametrize(("pattern", "instead", "message"), CHANGED.values(), ids=CHANGED.keys())
def test_encrypted_file_that_was_changed_is_refused_as_a_whole(
    pattern: str, instead: str, message: str
) -> None:
    assert message in refused(edited(FIGURE_6, pattern, instead))


def test_each_bit_of_what_is_encrypted_is_under_the_mac() -> None:
    start = FIGURE_6.index(b"AAEC")
    for at in range(start, start + 64, 3):
        other = b"B" if FIGURE_6[at : at + 1] != b"B" else b"C"
        assert refused(FIGURE_6[:at] + other + FIGURE_6[at + 1 :]).endswith(WRONG)


def test_file_that_is_cut_off_anywhere_is_refused() -> None:
    for end in range(len(FIGURE_6) - len("</KeyContainer>"), 0, -37):
        assert "the file is not XML, or is cut off" in refused(FIGURE_6[:end])


def bomb(levels: int = 20) -> str:
    laughs = "".join(
        f'<!ENTITY l{at} "{f"&l{at - 1};" * 10 if at else "ha"}">' for at in range(levels)
    )
    return f"<!DOCTYPE KeyContainer [{laughs}]>"


def with_dtd(dtd: str, value: str, encoding: str = "utf-8") -> bytes:
    text = container(package(f"<Secret><PlainValue>{value}</PlainValue></Secret>")).decode()
    head, _, rest = text.partition("?>\n")
    return f"{head.replace('UTF-8', encoding)}?>\n{dtd}\n{rest}".encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(
    ("dtd", "value"),
    [
        (bomb(), "&l19;"),
        ('<!DOCTYPE KeyContainer [<!ENTITY x SYSTEM "file:///etc/hostname">]>', "&x;"),
        ('<!DOCTYPE KeyContainer SYSTEM "http://localhost/x.dtd">', "MTIz"),
        ("<!DOCTYPE KeyContainer>", "MTIzNDU2Nzg5MDEyMzQ1Njc4OTA="),
    ],
    ids=["bomb", "file", "network", "empty"],
)
def test_document_type_is_refused_before_anything_is_expanded_or_read(
    dtd: str, value: str, encoding: str
) -> None:
    message = "the file has a document type (DTD), which PSKC has not"
    assert refused(with_dtd(dtd, value, encoding)) == message


def test_file_in_utf_16_is_read_and_one_in_another_encoding_is_not() -> None:
    text = FIGURE_3.decode().replace("UTF-8", "UTF-16")
    assert only(text.encode("utf-16")) == OF_FIGURE_3
    latin = text.replace("UTF-16", "ISO-8859-1").replace("Manufacturer<", "Müller<")
    assert refused(latin.encode("latin-1")) == "the file is not text in UTF-8 or UTF-16"


HOSTILE = {
    "nested": (container("<KeyPackage>" * 100_000), "cannot be kept"),
    "nested within the signature": (
        container(f'<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">{"<a>" * 99_999}'),
        "nested too deeply",
    ),
    "a long text": (
        container(package(f"<Secret><PlainValue>{'M' * 16_000_000}</PlainValue></Secret>")),
        f"has more than {MAX_TEXT} characters",
    ),
    "a long attribute": (container(package(key="1" * 16_000_000)), "is too long"),
    "many packages": (container("<KeyPackage/>" * (MAX_TOKENS + 1)), "more than 10000 tokens"),
    "many elements": (
        container(package(more=f"<Policy>{'<KeyUsage>OTP</KeyUsage>' * 500_000}</Policy>")),
        "too many elements",
    ),
    "nothing": (b"", "the file is not XML"),
    "no XML": (b"serial,seed\n1,2\n", "the file is not XML"),
    "random bytes": (b"\xff\x00" + os.urandom(1000), "the file is not "),
    "another format": (b"<html/>", "the file is not PSKC of RFC 6030"),
    "a draft": (
        b'<KeyContainer xmlns="http://www.ietf.org/keyprov/pskc#1.0"/>',
        "the file is not PSKC of RFC 6030",
    ),
    "no namespace": (FIGURE_3.replace(NAMESPACE.encode(), b"x"), "is not PSKC of RFC 6030"),
    "a later version": (FIGURE_3.replace(b"1.0", b"2.0").replace(b'"2', b'"1', 1), "cannot read"),
    "no key": (container(), "the file has no key"),
    "an unknown element": (
        container(package(more="<Extensions><x/></Extensions>")),
        "Key has the element Extensions, which cannot be kept",
    ),
    "a word of a draft": (
        container(package("<Secret><Value>MTIz</Value></Secret>")),
        "Secret has the element Value, which cannot be kept",
    ),
    "an element of somebody else": (
        container(package(f'{PLAIN}<x:Counter xmlns:x="urn:x"/>')),
        "Data has the element Counter, which cannot be kept",
    ),
    "an element elsewhere": (
        container(PLAIN),
        "KeyContainer has the element Secret, which cannot be kept",
    ),
    "a comment in a value": (
        container(package(PLAIN.replace("MTIz", "MTIz<!-- -->"))),
        "the element PlainValue has a comment in it",
    ),
    "an instruction in a value": (
        container(package(PLAIN.replace("MTIz", "MTIz<?x y?>"))),
        "the element PlainValue has a comment in it",
    ),
    "a number in base64": (
        container(package(PLAIN + COUNTER_0.replace(">0<", ">NTM=<"))),
        "the element PlainValue is empty, or holds what does not belong there",
    ),
    "a key that is not base64": (
        container(package(PLAIN.replace("MTIz", "MT*Iz"))),
        "the element PlainValue is empty, or holds what does not belong there",
    ),
    "an empty serial number": (
        container(package(device="<SerialNo/>")),
        "the element SerialNo is empty",
    ),
    "a date of no calendar": (
        container(package(more="<Policy><ExpiryDate>tomorrow</ExpiryDate></Policy>")),
        "the element ExpiryDate is empty, or holds what does not belong there",
    ),
    "a month of no year": (
        container(package(more="<Policy><ExpiryDate>2030-13-31T00:00:00Z</ExpiryDate></Policy>")),
        "python3-pskc cannot read the file",
    ),
    "a MAC of a plain value": (
        container(package(PLAIN.replace("</Secret>", "<ValueMAC>MTIz</ValueMAC></Secret>"))),
        "Secret must have a PlainValue, or an EncryptedValue with its MAC",
    ),
}


@pytest.mark.parametrize(("content", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_file_is_refused_with_a_sentence(content: bytes, message: str) -> None:
    assert message in refused(content)


def with_derivation(**parts: str) -> bytes:
    return FIGURE_7.replace(derived_key().encode(), derived_key(**parts).encode())


@pytest.mark.parametrize(
    ("content", "message"),
    ids=range(10),
    argvalues=[
        (with_derivation(iterations=f"{MAX_ITERATIONS + 1}"), "must have 1 to 2000000 iterations"),
        (with_derivation(iterations="99999999999999999999"), "must have 1 to 2000000 iterations"),
        (with_derivation(iterations="-1"), "must have 1 to 2000000 iterations"),
        (with_derivation(length="1000000000"), "must make a key of 16, 24 or 32 bytes"),
        (with_derivation(length="32"), WRONG),
        (with_derivation(prf='<PRF Algorithm="http://x#hmac-md5"/>'), "HMAC with SHA-1 or SHA-2"),
        (with_derivation(prf='<PRF Algorithm="http://x#hmac-shake_256"/>'), "HMAC with SHA-1"),
        (with_derivation(prf="<PRF>http://x#hmac-sha512</PRF>"), "the element PRF is empty, or"),
        (edited(FIGURE_7, "#pbkdf2", "#scrypt"), "something else than PBKDF2"),
        (edited(FIGURE_7, "<Salt.*</Salt>", ""), "cannot read the file"),
    ],
)
def test_time_that_a_password_takes_is_bounded_by_what_is_read_first(
    content: bytes, message: str
) -> None:
    assert message in refused(content, FIGURE_7_PASSWORD)


LIMITS = {
    "codes of 5 digits": (
        {"parameters": '<ResponseFormat Length="5" Encoding="DECIMAL"/>'},
        "the credential must have 6, 7 or 8 digits",
    ),
    "codes of letters": (
        {"parameters": '<ResponseFormat Length="6" Encoding="ALPHANUMERIC"/>'},
        "its codes are not plain digits",
    ),
    "a check digit": (
        {"parameters": '<ResponseFormat Length="6" Encoding="DECIMAL" CheckDigits="true"/>'},
        "its codes are not plain digits",
    ),
    "a challenge": (
        {"parameters": '<ChallengeFormat Min="6" Max="6" Encoding="DECIMAL"/>'},
        "it answers challenges",
    ),
    "another hash": ({"parameters": "<Suite>HMAC-MD5</Suite>"}, "SHA1, SHA256 or SHA512"),
    "OCRA": ({"algorithm": HOTP.replace("hotp", "ocra")}, "neither for TOTP nor for HOTP"),
    "no algorithm": ({"algorithm": ""}, "neither for TOTP nor for HOTP"),
    "no OTP": (
        {"more": "<Policy><KeyUsage>CR</KeyUsage><KeyUsage>Encrypt</KeyUsage></Policy>"},
        "its key is not for codes (KeyUsage)",
    ),
    "a number of logins": (
        {"more": "<Policy><NumberOfTransactions>9</NumberOfTransactions></Policy>"},
        "its policy has limits that no login here holds",
    ),
    "a PIN in the code": (
        {"more": '<Policy><PINPolicy PINUsageMode="Append"/></Policy>'},
        "its PIN is to be typed with the code",
    ),
    "a PIN somewhere": (
        {"more": '<Policy><PINPolicy MinLength="4"/></Policy>'},
        "its PIN is to be typed with the code",
    ),
    "not yet valid": (
        {"more": "<Policy><StartDate>2030-01-01T00:00:00Z</StartDate></Policy>"},
        "it is not valid before 2030-01-01",
    ),
    "no longer valid": (
        {"more": "<Policy><ExpiryDate>2026-12-31T00:00:00</ExpiryDate></Policy>"},
        "it was valid until 2026-12-31",
    ),
    "a device of the past": (
        {"device": "<SerialNo>1</SerialNo><ExpiryDate>2026-12-31T00:00:00Z</ExpiryDate>"},
        "it was valid until 2026-12-31",
    ),
    "a counter of a clock": ({"algorithm": TOTP}, "it is of type TOTP, and has a counter"),
    "a period of a counter": (
        {"data": f"{PLAIN}<TimeInterval><PlainValue>30</PlainValue></TimeInterval>"},
        "it is of type HOTP, and has a time",
    ),
    "another beginning of time": (
        {"algorithm": TOTP, "data": f"{PLAIN}<Time><PlainValue>7</PlainValue></Time>"},
        "its time does not begin in 1970 (Time)",
    ),
    "a period of two hours": (
        {
            "algorithm": TOTP,
            "data": f"{PLAIN}<TimeInterval><PlainValue>7200</PlainValue></TimeInterval>",
        },
        "the credential must have a period of 1 to 3600 seconds",
    ),
    "a period of nothing": (
        {
            "algorithm": TOTP,
            "data": f"{PLAIN}<TimeInterval><PlainValue>0</PlainValue></TimeInterval>",
        },
        "the credential must have a period of 1 to 3600 seconds",
    ),
    "a clock of another year": (
        {
            "algorithm": TOTP,
            "data": f"{PLAIN}<TimeDrift><PlainValue>-99999</PlainValue></TimeDrift>",
        },
        "the credential must have offset=",
    ),
    "a counter beyond all": (
        {"data": f"{PLAIN}<Counter><PlainValue>9223372036854775808</PlainValue></Counter>"},
        "its counter is too large",
    ),
    "a counter below 0": (
        {"data": f"{PLAIN}<Counter><PlainValue>-1</PlainValue></Counter>"},
        "the counter must be a number from 0",
    ),
    "a serial number that is a line": (
        {"device": "<SerialNo>1&#10;otpauth://totp/x?secret=A</SerialNo>"},
        "the serial number must be 1 to 56",
    ),
}


@pytest.mark.parametrize(("parts", "fault"), LIMITS.values(), ids=LIMITS.keys())
def test_what_no_login_here_could_hold_keeps_the_token_out(
    parts: dict[str, str], fault: str
) -> None:
    data = PLAIN + COUNTER_0.replace(">0<", ">3<")
    assert fault in fault_of(container(package(**({"data": data} | parts))))


def test_drift_period_and_hash_are_kept() -> None:
    data = (
        f"{PLAIN}<Time><PlainValue>0</PlainValue></Time><TimeInterval><PlainValue>60</PlainValue>"
        "</TimeInterval><TimeDrift><PlainValue>-4</PlainValue></TimeDrift>"
    )
    parts = {"algorithm": TOTP, "parameters": "<Suite>HMAC-SHA512</Suite>"}
    expected = found(algorithm="SHA512", period=60, offset=-4)
    assert only(container(package(data, **parts))) == expected


def test_key_that_expires_later_is_taken_only_where_root_says_so() -> None:
    policy = "<Policy><ExpiryDate>2037-12-31T00:00:00Z</ExpiryDate></Policy>"
    content = container(package(more=policy))
    (entry,) = read(content)
    assert entry.fault == "it expires on 2037-12-31, and no login here would end then"
    assert entry.hint == pskc.IGNORE_EXPIRY
    (entry,) = read(content, is_expiry_ignored=True)
    assert entry.found == OF_FIGURE_3


def test_token_without_a_serial_number_is_named_by_its_key() -> None:
    (entry,) = read(container(package(device="")))
    assert (entry.name, entry.fault) == ("12345678", "")


def test_token_whose_serial_number_or_key_another_one_has_is_nobodys() -> None:
    other = "<Secret><PlainValue>QUFBQUFBQUFBQUFBQUFBQQ==</PlainValue></Secret>"
    same_serial = [entry.fault for entry in read(container(package(), package(other)))]
    assert same_serial == [f"the serial number is also that of key {at}" for at in (2, 1)]
    second = package(device="<SerialNo>2</SerialNo>")
    same_key = [entry.fault for entry in read(container(package(), second))]
    assert same_key == [f"the key is also that of key {at}" for at in (2, 1)]


def test_signature_is_said_not_to_be_checked() -> None:
    signature = "<ds:Signature><ds:SignedInfo/><ds:SignatureValue>x</ds:SignatureValue>"
    content = container(package(), f"{signature}</ds:Signature>")
    entries, notes = pskc.Container(content).tokens(NOW, is_expiry_ignored=False)
    assert (len(entries), notes) == (1, ["the signature, which is not checked"])
