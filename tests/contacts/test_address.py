# SPDX-License-Identifier: MIT
"""What is a number, what is a mail address, and what people may have meant. Pure."""

import pytest

from pam_totp.contacts.address import BadAddress, canonical, is_on

NUMBER = "+491701234567"


@pytest.mark.parametrize(
    "typed",
    [
        NUMBER,
        f" {NUMBER}\n",
        "+49 170 1234567",
        "+49-170-1234567",
        "+49.170.12 34 567",
        "+49 (170) 1234567",
        "+49 170/1234567",
        "+49\u00a0170\u202f1234\u2013567",
    ],
)
def test_number_is_taken_as_people_write_it(typed: str) -> None:
    assert canonical("sms", typed) == NUMBER


@pytest.mark.parametrize("digits", [8, 15])
def test_number_has_eight_to_fifteen_digits(digits: int) -> None:
    longest = "+" + "1" * digits
    assert canonical("sms", longest) == longest


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("00491701234567", NUMBER),
        ("0049 170 1234567", NUMBER),
        ("+49 (0)170 1234567", NUMBER),
        ("01701234567", ""),  # of which country?
        ("170 1234567", ""),
        ("(0)170 1234567", ""),
        ("0000", ""),
        ("+0491701234567", ""),
        ("+1234567", ""),
        ("+1234567890123456", ""),
        ("", ""),
        ("+", ""),
        ("++491701234567", ""),
        ("+49170123456a", ""),
        ("+49170\u0661234567", ""),  # a digit, and none of E.164
        ("+49170123456\x007", ""),
        ("+49170,+491709999999", ""),
        ("alice@example.org", ""),
        ("-h", ""),
    ],
)
def test_what_is_no_number_is_refused_and_what_is_certain_is_suggested(
    typed: str, meant: str
) -> None:
    with pytest.raises(BadAddress) as refused:
        canonical("sms", typed)
    assert refused.value.meant == meant


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("alice@example.org", "alice@example.org"),
        (" Alice.B+code@Example.ORG ", "Alice.B+code@example.org"),
        ("root@localhost", "root@localhost"),
        ("o'neill@xn--bcher-kva.example", "o'neill@xn--bcher-kva.example"),
    ],
)
def test_mail_address_keeps_the_mailbox_and_has_the_domain_in_small_letters(
    typed: str, address: str
) -> None:
    assert canonical("mail", typed) == address


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "alice",
        "@example.org",
        "alice@",
        "alice@@example.org",
        "alice@bob@example.org",
        "-oQ/tmp@example.org",
        "alice bob@example.org",
        "alice@example.org,bob@example.org",
        "alice@example.org\nBcc: bob@example.org",
        "<alice@example.org>",
        '"alice"@example.org',
        "|program@example.org",
        "/etc/passwd@example.org",
        "a%b@example.org",
        "a!b@example.org",
        ".alice@example.org",
        "alice.@example.org",
        "al..ice@example.org",
        "alice@.example.org",
        "alice@example..org",
        "alice@example.org.",
        "alice@-example.org",
        "alice@[127.0.0.1]",
        "alice@127.0.0.1",
        "älice@example.org",
        "alice@exämple.org",
        "alice\x00@example.org",
        "a" * 65 + "@example.org",
        "alice@" + "a" * 64 + ".org",
        "alice@" + "a." * 130 + "org",
    ],
)
def test_what_is_no_mail_address_is_refused(typed: str) -> None:
    with pytest.raises(BadAddress):
        canonical("mail", typed)


@pytest.mark.parametrize(
    ("address", "stays"),
    [
        ("root@localhost", True),
        ("root@localhost.localdomain", True),
        ("root@mail", True),
        ("alice@web07.example.org", True),
        ("alice@example.org", False),
        ("alice@mail.example.org", False),
    ],
)
def test_mail_that_may_stay_on_the_host_is_known(address: str, stays: bool) -> None:
    assert is_on(address, "Web07.example.org") == stays
