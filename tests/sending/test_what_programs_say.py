# SPDX-License-Identifier: MIT
"""What the log has of a program that failed: enough to act on, and neither code nor address."""

import base64
from urllib.parse import quote

import pytest

from pam_totp.sending.message import Message
from pam_totp.sending.said import MAX_BYTES, MAX_SAID, Said, shown

CODE, NUMBER, MAIL = "40719263", "+491701234567", "Alice.O'Hara@example.org"
TEXT = f"{CODE} is your verification code for server."
LEFT_IN = (CODE, CODE[:6], CODE[2:], NUMBER[1:], NUMBER[3:], "1234567", "Alice", "O'Hara")


def message(to: str = NUMBER) -> Message:
    return Message(
        kind="sms", to=to, code=CODE, text=TEXT, user="alice", service="sshd", host="server"
    )


def said(text: str, to: str = NUMBER) -> str:
    output = Said()
    for at in range(0, len(text), 1000):
        output.add(text[at : at + 1000].encode())
    return shown(output.lines(), message(to))


def test_the_first_lines_and_the_last_one_are_shown() -> None:
    lines = ["cannot reach 192.0.2.10 port 443: refused", "giving up", "exit"]
    assert said("\n".join([*lines, ""])) == " | ".join(lines)


def test_of_many_lines_the_last_one_is_always_shown() -> None:
    found = said("".join(f"the reason, in line {number}\n" for number in range(90)))
    assert found.startswith("the reason, in line 0 | the reason, in line 1 | ")
    assert found.endswith(" | … | the reason, in line 89")
    assert len(found) <= MAX_SAID


def test_a_line_that_comes_again_is_shown_once() -> None:
    assert said("retrying\n" * 5000 + "no carrier\n") == "retrying | no carrier"


def test_gammu_says_why_its_database_cannot_be_written() -> None:
    """Its own words, with a database of root's; the code is in them as it is and in hex."""
    own = "gammu-smsd-inject[1906]: "
    insert = f"INSERT INTO outbox VALUES ('{TEXT.encode('utf-16-be').hex().upper()}', '{NUMBER}', "
    again = [
        "DBI error 8: 8: attempt to write a readonly database",
        f"SQL failed: {insert}'{TEXT}')",
        "Reconnecting to the database!",
    ]
    lines = [
        f"{own}Warning: No PIN code in /etc/gammu-smsdrc file",
        f"{own}Connected to Database sqlite3: smsd.db on localhost",
        *(own + each for each in again * 4),
        "Failed to inject message: Unknown error.",
    ]
    found = said("\n".join([*lines, ""]))
    assert "attempt to write a readonly database" in found
    assert found.endswith("Failed to inject message: Unknown error.")


@pytest.mark.parametrize("to", [NUMBER, MAIL])
@pytest.mark.parametrize(
    "words",
    [
        "{code} to {to}",
        "{spaced} to {to}",
        "{dashed} for {national}",
        "+49 170 123 45 67: {code}",
        "{upper}: {hexed}",
        "{lower}: {wide}",
        "https://example.org/?to={quoted}&text={percent}",
        "body {encoded}",
        "body {plain_encoded}",
        "{commas}",
        "playing {played}",
        "{wide_text}",
        "{colons} {escaped}",
        "{numbers} {entities}",
    ],
)
def test_neither_code_nor_address_is_shown_however_it_is_written(words: str, to: str) -> None:
    text = words.format(
        code=CODE,
        to=to,
        spaced=f"{CODE[:4]} {CODE[4:]}",
        dashed="-".join(CODE[at : at + 2] for at in range(0, 8, 2)),
        national=f"0{NUMBER[3:]}",
        upper=to.upper(),
        lower=to.lower(),
        hexed=TEXT.encode().hex(),
        wide=TEXT.encode("utf-16-be").hex().upper(),
        quoted=quote(to, safe=""),
        percent="".join(f"%{byte:02X}" for byte in CODE.encode()),
        encoded=base64.b64encode(TEXT.encode()).decode(),
        plain_encoded=base64.b64encode(CODE.encode()).decode(),
        commas=", ".join(CODE),
        played="&".join(f"digits/{digit}" for digit in CODE),
        wide_text=CODE.encode("utf-16-le").decode("latin-1"),
        colons=CODE.encode().hex(":"),
        escaped="".join(f"\\u{ord(digit):04x}" for digit in CODE),
        numbers=list(CODE.encode()),
        entities="".join(f"&#{ord(digit)};" for digit in CODE),
    )
    found = said(f"refused: {text}\n", to)
    assert found.startswith("refused: ")
    forms = (*LEFT_IN, quote(to, safe=""), base64.b64encode(CODE.encode()).decode()[:8])
    assert [form for form in forms if form.lower() in found.lower()] == []
    assert CODE.encode().hex() not in found
    assert "".join(filter(str.isdigit, found)) in ("", "4967", "49")


@pytest.mark.parametrize(
    "number", ["+49.170.12.34.56.7", "0170.123.45.67", "(170) 123.4567", "0170/12.34.567"]
)
def test_no_number_is_shown_however_its_digits_are_grouped(number: str) -> None:
    found = said(f"cannot dial {number} at 192.0.2.10\n")
    assert found.startswith("cannot dial ")
    assert found.endswith(" at 192.0.2.10")
    assert not set(filter(str.isdigit, found.removesuffix("192.0.2.10")))


@pytest.mark.parametrize("code", [CODE, "44440011", "33333333"])
def test_no_code_is_shown_of_which_each_digit_has_a_line(code: str) -> None:
    """As of a voice that reads it, where lines that come again are shown once."""
    output = Said()
    output.add("".join(f"voice[123]: playing digits/{digit}.gsm\n" for digit in code).encode())
    spoken = Message(
        kind="sms", to=NUMBER, code=code, text=TEXT, user="alice", service="sshd", host="server"
    )
    assert shown(output.lines(), spoken) == "playing digits/….gsm"


@pytest.mark.parametrize("at", range(MAX_BYTES - len(CODE), MAX_BYTES))
def test_no_part_of_a_code_is_shown_where_the_text_is_cut(at: int) -> None:
    digits = set(filter(str.isdigit, said(f"{'x' * at}{CODE}\nthe end\n" + "y\n" * MAX_BYTES)))
    assert not digits
    digits = set(filter(str.isdigit, said(f"first\n{'z' * MAX_BYTES}{CODE}{'x' * at}\n")))
    assert not digits


def test_what_helps_is_left_as_it_is() -> None:
    lines = [
        "curl: (28) Connection timed out after 15002 milliseconds",
        "curl: (22) The requested URL returned error: 503",
        "postdrop: warning: uid=999: No space left on device",
        "ssh: connect to 2001:db8::25 port 2525: No route to host",
        "/usr/lib/x86_64-linux-gnu/libdbi.so.1: cannot open shared object file",
    ]
    for line in lines:
        assert said(f"{line}\n") == line


def test_what_is_said_cannot_end_a_sentence_of_ours_or_move_the_cursor() -> None:
    found = said('no; run: rm -r / \033[2J\r\t"x"\x85\u2028end\n')
    assert found.isprintable()
    assert ";" not in found
    assert '"' not in found


def test_what_is_no_text_is_shown_too() -> None:
    output = Said()
    output.add(b"\xff\xfe\x00no\n")
    assert shown(output.lines(), message()).endswith("no")
