# SPDX-License-Identifier: MIT
"""The doors of a host: which services it has, and every way into each."""

from pathlib import Path

import pytest

from pam_totp.review.ways import ServiceWays, ways_of_host, ways_of_service
from pam_totp.stack.libpam import installed
from tests.setup.distributions import DISTRIBUTIONS, put
from tests.stack.written import SINCE_1_6, write

COMMON_AUTH = """\
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
"""
CODE = "auth required pam_totp.so\n"
PASSWORD = "@include common-auth\n"


def ways(root: Path, name: str, text: str, **more: str) -> ServiceWays:
    write(root, {"common-auth": COMMON_AUTH, name: text} | more)
    found = ways_of_service(name, str(root), SINCE_1_6)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("name", "text", "said", "findings"),
    [
        ("sudo-i", PASSWORD, "password", 1),
        ("sudo", PASSWORD + CODE, "password, then code", 0),
        (
            "su",
            f"auth sufficient pam_rootok.so\n{PASSWORD}{CODE}",
            "root: needs nothing · others: password, then code",
            0,
        ),
        (
            "mydaemon",
            f"auth sufficient pam_rootok.so\n{PASSWORD}{CODE}",
            "root alone · password, then code",
            1,
        ),
        ("runuser", "auth sufficient pam_rootok.so\n", "root: needs nothing", 0),
        ("x", "auth required pam_deny.so\n", "nobody", 0),
        ("x", "auth required pam_permit.so\n", "nothing", 1),
        (
            "x",
            f"auth sufficient pam_u2f.so\n{PASSWORD}{CODE}",
            "security key alone · password, then code",
            1,
        ),
        (
            "x",
            f"{PASSWORD}auth [success=1 default=ignore] pam_fprintd.so\n{CODE}",
            "password, then fingerprint · password, then code",
            0,
        ),
        ("x", f"{PASSWORD}auth required pam_u2f.so\n", "password, then security key", 0),
        (
            "x",
            f"{PASSWORD}auth [success=1 default=ignore] pam_u2f.so nouserok\n{CODE}",
            "password alone · password, then code",
            1,
        ),
        # It skips the password and the code.
        (
            "x",
            f"auth [success=4 default=ignore] pam_u2f.so\n{PASSWORD}{CODE}"
            "auth required pam_permit.so\n",
            "security key alone · password, then code",
            1,
        ),
        (
            "x",
            f"auth required pam_fprintd.so\nauth required pam_u2f.so\n{CODE}",
            "fingerprint, then security key, then code",
            0,
        ),
        (
            "x",
            "auth required pam_fprintd.so\nauth required pam_u2f.so\n",
            "fingerprint, then security key",
            1,
        ),
        ("x", "@include nowhere\n", "nobody", 0),
    ],
)
def test_ways_are_said_by_whom_they_are_open_to(
    tmp_path: Path, name: str, text: str, said: str, findings: int
) -> None:
    found = ways(tmp_path, name, text)
    assert found.text == said
    assert len(found.findings) == findings


def test_a_way_without_a_code_names_the_lines_that_lead_there(tmp_path: Path) -> None:
    (finding,) = ways(tmp_path, "x", f"auth sufficient pam_sss.so\n{PASSWORD}{CODE}").findings
    assert finding.lines == ("/etc/pam.d/x, line 1: sufficient pam_sss.so: success",)
    found = ways(tmp_path, "x", f"auth optional pam_totp.so\n{PASSWORD}").findings[0].lines
    assert found == (
        "/etc/pam.d/x, line 1: optional pam_totp.so: a refusal",
        "/etc/pam.d/common-auth, line 1: [success=1 default=ignore] pam_unix.so: success",
        "/etc/pam.d/common-auth, line 3: required pam_permit.so: success",
    )


def test_a_stack_that_cannot_be_followed_is_unknown(tmp_path: Path) -> None:
    names = ("fprintd", "u2f", "p11", "oath", "duo", "yubico", "usb", "howdy", "poldi", "pkcs11")
    more = ("rootok", "unix", "mystery", "ssh_agent_auth", "google_authenticator")
    found = ways(tmp_path, "x", "".join(f"auth optional pam_{n}.so\n" for n in names + more))
    assert "too many ways to follow" in found.unknown
    assert found.text.startswith("unknown: ") and not found.ways


def test_of_another_system_nothing_is_proved_of_sshd(tmp_path: Path) -> None:
    """Its own settings may let a key in that PAM is never asked about."""
    assert "only the sshd of this machine" in ways(tmp_path, "sshd", PASSWORD + CODE).unknown


def test_services_are_what_programs_ask_for_and_not_what_files_include(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "common-auth": COMMON_AUTH,
            "system-auth": COMMON_AUTH,
            "local-auth-of-ours": COMMON_AUTH,
            "login": "auth include local-auth-of-ours\n",
            "mail": "auth include local-auth-of-ours\n",
            "i3lock": "auth include login\n",
            "imap": "auth include mail\n",
            "sshd.dpkg-old": PASSWORD,
            "sshd~": PASSWORD,
            "cron": PASSWORD,
            "passwd": "password required pam_unix.so\n",
            "newer": "password required pam_unix.so\n",
            "other": PASSWORD,
            "pam-totp": PASSWORD,
            "/usr/lib/pam.d/polkit-1": PASSWORD,
            "/usr/sbin/mail": "",
        },
    )
    found = ways_of_host(str(tmp_path), SINCE_1_6)
    assert [each.name for each in found] == ["i3lock", "imap", "login", "mail", "other", "polkit-1"]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_services_of_other_distributions_are_doors_too(tmp_path: Path, name: str) -> None:
    """Every one but sshd, whose own settings are not asked about here."""
    found = {each.name: each for each in ways_of_host(str(tmp_path), put(name, tmp_path))}
    assert {"login", "su", "su-l", "sudo", "sshd", "other", "polkit-1"} <= set(found)
    finger = "fingerprint · " if name == "fedora" else ""
    assert found["su"].text == f"root: needs nothing · others: {finger}password"
    assert found["login"].text == found["sudo"].text == f"{finger}password"
    assert found["other"].text == "nobody"
    assert not [each for each in found if "auth" in each or each == "config-util"]


def test_every_service_of_this_host_is_followed() -> None:
    found = {each.name: each.text for each in ways_of_host("", installed())}
    assert found["su"] == "root: needs nothing · others: password"
    assert not [text for text in found.values() if text.startswith("unknown")]
