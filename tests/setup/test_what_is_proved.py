# SPDX-License-Identifier: MIT
"""What is proved of a service before codes are turned on, and what is said of one that fails."""

from pathlib import Path

import pytest

from pam_totp.setup.proof import KEY_ONLY, KEY_OR_PASSWORD, PASSWORD_ONLY, prove
from pam_totp.setup.replay import differences
from pam_totp.stack.credentials import credential_meanings
from pam_totp.stack.lines import Line
from tests.stack.written import SINCE_1_6, read

COMMON = """\
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
auth optional pam_cap.so
"""
INCLUDE, CODE = "@include common-auth\n", "auth required pam_totp.so\n"
EITHER = f"""\
auth [success=4 default=ignore] pam_totp.so publickey_passed
{INCLUDE}auth required pam_permit.so
{CODE}"""
KEY = "auth [success=ok default=die] pam_totp.so publickey_passed\n"
COMBINED = "auth required pam_totp.so combined\n"
LDAP = COMMON.replace("success=1", "success=2").replace(
    "auth requisite", "auth [success=1 default=ignore] pam_sss.so use_first_pass\nauth requisite", 1
)
FAILLOCK = """\
auth required pam_faillock.so preauth
auth [success=1 default=bad] pam_unix.so
auth [default=die] pam_faillock.so authfail
auth {} pam_faillock.so authsucc
"""


def faults(
    root: Path,
    before: str,
    after: str,
    common: str = COMMON,
    first_factor: str = PASSWORD_ONLY,
    name: str = "x",
) -> list[str]:
    services = [
        read(root, {name: text, "common-auth": common}, name=name) for text in (before, after)
    ]
    return [each.what for each in prove(services[0], services[1], SINCE_1_6, first_factor)]


@pytest.mark.parametrize(
    ("before", "after", "common", "first_factor"),
    [
        (INCLUDE, INCLUDE + CODE, COMMON, PASSWORD_ONLY),
        (INCLUDE, INCLUDE + CODE, LDAP, PASSWORD_ONLY),
        (INCLUDE, INCLUDE + CODE, FAILLOCK.format("required"), PASSWORD_ONLY),
        (INCLUDE, COMBINED + INCLUDE + CODE, COMMON, PASSWORD_ONLY),
        (INCLUDE, EITHER, COMMON, KEY_OR_PASSWORD),
        (INCLUDE, EITHER.replace("=4", "=3"), COMMON, KEY_OR_PASSWORD),
        (INCLUDE, KEY + CODE, COMMON, KEY_ONLY),
        ("auth substack common-auth\n", INCLUDE + CODE, COMMON, PASSWORD_ONLY),
        (
            "auth requisite pam_fprintd.so\nauth optional pam_gnome_keyring.so\n",
            f"auth requisite pam_fprintd.so\n{CODE}auth optional pam_gnome_keyring.so\n",
            COMMON,
            PASSWORD_ONLY,
        ),
        (
            "auth required pam_unix.so\nauth optional pam_gnome_keyring.so\n",
            f"auth requisite pam_unix.so\n{CODE}auth optional pam_gnome_keyring.so\n",
            COMMON,
            PASSWORD_ONLY,
        ),
        (
            "auth sufficient pam_unix.so\nauth required pam_deny.so\n",
            "auth [success=1 default=ignore] pam_unix.so\n"
            f"auth requisite pam_deny.so\nauth required pam_permit.so\n{CODE}",
            COMMON,
            PASSWORD_ONLY,
        ),
    ],
)
def test_what_is_right_is_proved(
    tmp_path: Path, before: str, after: str, common: str, first_factor: str
) -> None:
    assert faults(tmp_path, before, after, common, first_factor) == []


@pytest.mark.parametrize(
    ("before", "after", "common", "first_factor", "said"),
    [
        (INCLUDE, INCLUDE, COMMON, PASSWORD_ONLY, "password would be enough, without a code"),
        (INCLUDE, CODE + INCLUDE, COMMON, PASSWORD_ONLY, "before a first factor was proved"),
        (INCLUDE, f"auth substack common-auth\n{CODE}", COMMON, PASSWORD_ONLY, "after a wrong"),
        (
            INCLUDE,
            INCLUDE + CODE,
            FAILLOCK.format("sufficient"),
            PASSWORD_ONLY,
            "password would be enough",
        ),
        (
            "auth required pam_unix.so\n",
            f"auth required pam_unix.so\n{CODE}",
            COMMON,
            PASSWORD_ONLY,
            "even after a wrong password",
        ),
        (
            INCLUDE,
            INCLUDE + "auth [success=ok default=ignore] pam_totp.so\n",
            COMMON,
            PASSWORD_ONLY,
            "password would be enough",
        ),
        (
            INCLUDE,
            INCLUDE + "auth [success=ok default=die] pam_totp.so\n",
            COMMON,
            PASSWORD_ONLY,
            "with no code needed, users who can log in today would be refused",
        ),
        (INCLUDE, EITHER.replace("=4", "=5"), COMMON, KEY_OR_PASSWORD, "no code needed would not"),
        (INCLUDE, EITHER.replace("=4", "=6"), COMMON, KEY_OR_PASSWORD, "a key and code would not"),
        (INCLUDE, INCLUDE + CODE, COMMON, KEY_OR_PASSWORD, "a key and code would not be enough"),
        (INCLUDE, KEY + INCLUDE + CODE, COMMON, KEY_ONLY, "a key and code would not be enough"),
        (
            "auth requisite pam_succeed_if.so user = alice\n" + INCLUDE,
            INCLUDE + CODE,
            COMMON,
            PASSWORD_ONLY,
            "users who are refused today could log in",
        ),
        ("auth required pam_permit.so\n", f"auth required pam_permit.so\n{CODE}", COMMON,
         PASSWORD_ONLY, "before a first factor was proved"),
        (
            INCLUDE,
            "auth [success=1 default=ignore] pam_exec.so /bin/true\n" + INCLUDE + CODE,
            COMMON,
            PASSWORD_ONLY,
            "is new",
        ),
        (INCLUDE, INCLUDE + "auth required pam_x.so\n" + CODE, COMMON, PASSWORD_ONLY, "is new"),
        (INCLUDE, INCLUDE + CODE + "account required pam_permit.so\n", COMMON, PASSWORD_ONLY,
         "the lines for 'account'"),
        (INCLUDE, INCLUDE + CODE + "@include nowhere\n", COMMON, PASSWORD_ONLY, "does not exist"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    tmp_path: Path, before: str, after: str, common: str, first_factor: str, said: str
) -> None:
    found = faults(tmp_path, before, after, common, first_factor)
    assert found and any(said in each for each in found)


def test_credentials_that_sshd_could_not_set_are_a_fault(tmp_path: Path) -> None:
    """The trap of two processes: there a jump is taken on what the module returns in the second,
    and pam_exec.so, a wrong choice of the module, has nothing to say there."""
    text = (
        "auth [success=1 default=ignore] pam_exec.so /usr/libexec/pam-totp/verify\n"
        "auth requisite pam_deny.so\nauth required pam_permit.so\n"
    )
    before, after = (read(tmp_path, each) for each in ("auth required pam_permit.so\n", text))
    lines = before.stacks["auth"], after.stacks["auth"]

    def answer(line: Line) -> int:
        return next(iter(credential_meanings(line)))

    (lost,) = differences(*lines, credential_meanings, answer)
    assert lost.is_lost and lost.lines[-1][0].module_name == "pam_deny.so"


def test_root_needs_no_code_to_become_another_user(tmp_path: Path) -> None:
    root = "auth sufficient pam_rootok.so\n"
    assert faults(tmp_path, root + INCLUDE, root + INCLUDE + CODE, name="su") == []
    found = faults(tmp_path, root + INCLUDE, root + INCLUDE + CODE, name="cups")
    assert found == ["root would be enough, without a code"]


def test_a_fault_has_the_lines_that_lead_there(tmp_path: Path) -> None:
    common = FAILLOCK.format("sufficient")
    before = read(tmp_path, {"x": INCLUDE, "common-auth": common})
    after = read(tmp_path, {"x": INCLUDE + CODE, "common-auth": common})
    (fault, *_) = prove(before, after, SINCE_1_6)
    last = "/etc/pam.d/common-auth, line 4 (sufficient pam_faillock.so) returns success"
    assert fault.lines[-1] == last
