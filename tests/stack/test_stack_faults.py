# SPDX-License-Identifier: MIT
"""Which stacks are certain to ask for a code and to refuse a wrong one: never said of another."""

import dataclasses
from pathlib import Path

import pytest

from pam_totp.stack.libpam import Libpam, Unknown, installed
from pam_totp.stack.service import Service, read_service
from pam_totp.stack.services import that_ask
from pam_totp.stack.setting_credentials import refused_at_last
from pam_totp.stack.stack_faults import broken, doubts, faults, is_combined, wants_key
from tests.host.pam_services import shipped_lines
from tests.stack.libpam import PAM_SUCCESS, authenticate_apart
from tests.stack.written import SINCE_1_6, UPSTREAM, read

OURS = "auth required pam_totp.so"
PASSWORD = "@include common-auth"
PERMIT = "auth required pam_permit.so"
COMMON_AUTH = """\
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
auth optional pam_cap.so
"""


def service(root: Path, *lines: str, name: str = "svc", **more: str) -> Service:
    files = {"common-auth": COMMON_AUTH, "other": "auth required pam_deny.so\n"} | more
    return read(root, files | {name: "\n".join([*lines, ""])}, name)


def said(root: Path, *lines: str, **more: str) -> list[str]:
    found = service(root, *lines, **more)
    return broken(found) + doubts(found)


def asking(root: Path) -> list[str]:
    return that_ask(str(root), SINCE_1_6)


def said_on_this_host(folder: Path, *lines: str) -> list[str]:
    """Of a folder that the installed libpam reads in the place of /etc/pam.d."""
    (folder / "other").write_text("auth required pam_deny.so\n", encoding="ascii")
    (folder / "svc").write_text("\n".join([*lines, ""]), encoding="utf-8", newline="")
    try:
        found = read_service("svc", dataclasses.replace(installed(), folders=(str(folder),)))
    except Unknown as unknown:
        return [f"{unknown}: not every login"]
    return broken(found)


@pytest.mark.parametrize(
    "lines",
    [
        [PASSWORD, OURS],
        ["auth substack common-auth", OURS],
        ["auth requisite pam_nologin.so", PASSWORD, OURS, "auth optional pam_group.so"],
        [PASSWORD, "auth [success=ok ignore=ignore default=die] pam_totp.so"],
        [PASSWORD, "auth requisite pam_totp.so tries=1"],
        [PASSWORD, OURS, "auth sufficient pam_permit.so"],
        ["# a comment that ends so \\", PASSWORD, OURS],
        [PASSWORD, "auth required \\", "  pam_totp.so # last \\"],
    ],
)
def test_plain_stack_is_certain(tmp_path: Path, lines: list[str]) -> None:
    assert said(tmp_path, *lines) == []
    assert asking(tmp_path) == ["svc"]


@pytest.mark.parametrize("name", sorted(
    ["key-or-password-then-code", "key-then-code", "one-prompt", "password-then-code",
     "screen-locker", "key-then-code-without-module"]
))  # fmt: skip
def test_shipped_stack_is_certain(tmp_path: Path, name: str) -> None:
    lines = shipped_lines(name, COMMON_AUTH)
    before = [PASSWORD] if name == "password-then-code" else []
    stack = [*before, *(each for each in lines if "account" not in each)]
    assert said(tmp_path, *stack) == []
    assert faults(service(tmp_path, *stack)) == []
    assert asking(tmp_path) == ["svc"]


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        (
            ["auth sufficient pam_unix.so", OURS],
            ["pam_unix.so (sufficient, line 1) can accept a login before the pam_totp.so line "
             "(password alone is enough)"],
        ),
        (["auth [success=done default=ignore] pam_sss.so", OURS], ["can accept a login before"]),
        (["@include sufficient-inside", OURS], ["can accept a login before"]),
        (
            [PASSWORD, "auth [success=1 default=ignore] pam_succeed_if.so", OURS],
            ["pam_succeed_if.so ([success=1 default=ignore], line 2) can jump over"],
        ),
        (["auth [success=5 default=die] pam_unix.so", OURS], ["accept no login"]),
        (["auth [success=4 default=ignore] pam_x.so", PASSWORD, OURS], []),
        (["auth [success=5 default=ignore] pam_x.so", PASSWORD, OURS, PERMIT], ["can jump over"]),
        (["auth [success=5 default=ignore] pam_x.so", PASSWORD, OURS], []),
        (
            ["auth [success=2 default=ignore] pam_x.so", "auth substack common-auth", OURS, PERMIT],
            ["can jump over the pam_totp.so line (unknown module alone is enough)"],
        ),
        ([PASSWORD, "auth [default=ignore] pam_totp.so"], ["not refuse every incorrect code"]),
        (
            [PASSWORD, "auth [success=ok default=ignore] pam_totp.so"],
            ["does not refuse every incorrect code (password alone is enough)"],
        ),
        (
            [PASSWORD, "auth [success=ok auth_err=ignore ignore=ignore default=die] pam_totp.so"],
            ["not refuse every incorrect"],
        ),
        (["auth [success=1 default=die] pam_totp.so"], ["does not accept a correct code"]),
        ([PASSWORD, "auth [success=bad default=die] pam_totp.so"], ["not accept a correct code"]),
        (["auth [success=ok default=die] pam_totp.so"], ["refuses users who need no code"]),
        (
            [PASSWORD, OURS, "auth [success=reset default=ignore] pam_permit.so", PERMIT],
            ["a line after pam_totp.so can discard its result (reset) (password alone is enough)"],
        ),
        (["auth optional pam_totp.so", PASSWORD], ["pam_totp.so is 'optional' there, so"]),
        (["auth sufficient pam_totp.so", PASSWORD], ["pam_totp.so is 'sufficient' there, so"]),
        (
            [PASSWORD, OURS, "auth required pam_totp.so combined"],
            ["has no pam_totp.so line after it"],
        ),
        (["auth substack sufficient-and-ours"], ["can accept a login before"]),
        (["auth [success=1 default=ignore] pam_permit.so", OURS, PERMIT], ["nothing is asked"]),
    ],
)  # fmt: skip
def test_stack_that_is_not_certain_is_told(
    tmp_path: Path, lines: list[str], parts: list[str]
) -> None:
    inside = "auth sufficient pam_unix.so\n"
    more = {"sufficient-inside": inside, "sufficient-and-ours": f"{inside}{OURS}\n"}
    found = said(tmp_path, *lines, **more)
    assert len(found) == len(parts), found
    assert all(part in sentence for part, sentence in zip(parts, found, strict=True)), found


def test_a_jump_that_does_not_lead_to_the_code_after_a_key_is_told(tmp_path: Path) -> None:
    gate = "auth [success={} default=ignore] pam_totp.so publickey_passed"
    assert said(tmp_path, gate.format(4), PASSWORD, PERMIT, OURS) == []
    assert said(tmp_path, gate.format(3), PASSWORD, OURS) == []  # pam_cap.so is optional
    (sentence,) = said(tmp_path, gate.format(1), PASSWORD, OURS)
    target = "pam_deny.so (requisite, line 2 of /etc/pam.d/common-auth)"
    assert f"jumps to {target}: run pam-totp enable sshd again" in sentence
    before = "auth required pam_env.so"
    (sentence,) = said(tmp_path, gate.format(1), before, PASSWORD, PERMIT, OURS)
    assert "jumps to pam_unix.so" in sentence
    (over,) = said(tmp_path, gate.format("5"), PASSWORD, OURS, PERMIT)
    assert "can jump over the pam_totp.so line (key alone is enough)" in over


def test_a_stack_that_cannot_be_followed_is_told(tmp_path: Path) -> None:
    names = ("fprintd", "u2f", "p11", "oath", "duo", "yubico", "usb", "howdy", "poldi", "pkcs11")
    more = ("rootok", "unix", "mystery", "ssh_agent_auth", "google_authenticator")
    (sentence,) = said(tmp_path, *(f"auth optional pam_{n}.so" for n in names + more), OURS)
    assert sentence.startswith("there are too many ways to follow, so what an incorrect code does")


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("auth required pam_unix.so\r", "line 2 ends with CR LF"),
        ("account required pam_unix.so\r", "line 2 ends with CR LF"),
        ("\ufeffauth required pam_unix.so", "which is no type"),
        ("autn required pam_unix.so", "begins with 'autn', which is no type"),
        ("auth requierd pam_unix.so", "has the invalid control 'requierd'"),
        ("auth pam_totp.so", "has the invalid control 'pam_totp.so'"),
        ("auth required", "names no module"),
        ("@include nowhere", "includes nowhere, which does not exist"),
        ("auth substack nowhere", "includes nowhere, which does not exist"),
        ("@include {folder}/svc", "includes {folder}/svc"),
        ("auth required pam_unix.so \\", "ends in a backslash"),
        ("auth required pam_gone.so", "names 'pam_gone.so', which is no module here"),
    ],
)
def test_line_that_libpam_refuses_everybody_for_is_told(
    tmp_path: Path, line: str, part: str
) -> None:
    (sentence,) = said_on_this_host(tmp_path, PERMIT, line.format(folder=tmp_path))
    assert part.format(folder=tmp_path) in sentence and "every login" in sentence
    assert len(sentence) < 300


@pytest.mark.parametrize(
    "line",
    [
        "",
        "auth optional pam_permit.so",
        "auth [success=ok default=ignore] pam_permit.so",
        "auth [ success = ok  default=1 ] pam_permit.so",
        "AUTH Required pam_permit.so",
        "# a comment that ends so \\",
        "auth required \\\n# in between\n\n  pam_permit.so # last \\",
        "auth required \\ \t\n pam_permit.so",
        "auth required pam_permit.so\r",
        "\ufeffauth required pam_permit.so",
        "autn required pam_permit.so",
        "\f",
        "auth",
        "auth required",
        "auth requierd pam_permit.so",
        "auth pam_permit.so",
        "auth [success=ok pam_permit.so",
        "auth [bad] pam_permit.so",
        "auth [success=okay] pam_permit.so",
        "@include nowhere",
        "@include svc",
        "auth include nowhere",
        "auth substack nowhere",
        "auth required pam_permit.so \\",
    ],
)
def test_libpam_refuses_everybody_for_the_very_lines_that_are_told(
    tmp_path: Path, line: str
) -> None:
    told = said_on_this_host(tmp_path, "auth required pam_permit.so", line)
    try:
        accepted = authenticate_apart(tmp_path, "svc", "root", []).authenticate == PAM_SUCCESS
    except OSError:  # it does not even start
        accepted = False
    assert bool(told) != accepted


@pytest.mark.parametrize(
    ("line", "is_told"),
    [
        ("auth optional pam_unix.so", True),
        ("auth [success=ok default=ignore] pam_sss.so", True),
        ("auth required pam_unix.so\nauth optional pam_krb5.so use_first_pass", False),
        ("auth sufficient pam_unix.so", True),  # the password alone is enough, and so is the code
        ("@include common-auth", False),
        ("", False),  # after a key, or a module that is not known here
    ],
)
def test_password_that_refuses_nobody_is_told(tmp_path: Path, line: str, is_told: bool) -> None:
    told = faults(service(tmp_path, line, OURS))
    wrong = [each for each in told if "a wrong password at '" in each]
    assert all(each.endswith("' does not refuse the login") for each in wrong)
    assert bool(wrong) == is_told


def test_combined_without_the_line_that_verifies_does_not_ask(tmp_path: Path) -> None:
    found = service(tmp_path, "auth required pam_totp.so combined", PASSWORD)
    assert asking(tmp_path) == []
    assert is_combined(found)


def test_pam_rootok_is_certain_only_where_users_run_the_program(tmp_path: Path) -> None:
    """A daemon is always root: pam_rootok.so would accept everybody."""
    lines = ["auth sufficient pam_rootok.so", PASSWORD, OURS]
    assert "can accept a login before" in "".join(said(tmp_path, *lines))
    assert [doubts(service(tmp_path, *lines, name=name)) for name in ("su", "su-l")] == [[], []]
    assert doubts(service(tmp_path, *lines, name="sshd"))


def test_service_without_auth_lines_has_those_of_other(tmp_path: Path) -> None:
    service(tmp_path, "account required pam_permit.so", other=f"{OURS}\n")
    assert asking(tmp_path) == ["other", "svc"]


def test_vendor_s_folder_is_looked_at_for_what_pam_d_does_not_have(tmp_path: Path) -> None:
    read(tmp_path, {"/usr/lib/pam.d/cockpit": f"{OURS}\n"})
    assert asking(tmp_path) == ["cockpit"]
    read(tmp_path, {"cockpit": "auth required pam_unix.so\n"})
    assert asking(tmp_path) == []


@pytest.mark.parametrize(
    ("line", "wants"),
    [
        ("auth [success=ok default=die] pam_totp.so publickey_passed", True),
        ("auth required pam_totp.so publickey_passed", True),
        ("auth [success=2 default=ignore] pam_totp.so publickey_passed", False),
        ("auth sufficient pam_totp.so publickey_passed", False),
        (OURS, False),
    ],
)
def test_stack_that_wants_a_key_is_known(tmp_path: Path, line: str, wants: bool) -> None:
    assert wants_key(service(tmp_path, line, PASSWORD, OURS)) is wants


EXEC = "pam_exec.so quiet /usr/libexec/pam-totp/verify"
GATE = "auth [success=4 default=ignore] pam_totp.so publickey_passed"


@pytest.mark.parametrize(
    ("lines", "whom"),
    [
        ([f"auth required {EXEC}", PERMIT], None),
        ([f"auth required {EXEC}"], "every login that"),
        ([f"auth [success=1 default=ignore] {EXEC}", "auth requisite pam_deny.so", PERMIT],
         "every login that"),
        ([GATE, PASSWORD, PERMIT, OURS], None),
        ([PASSWORD, OURS], None),
        ([GATE, PASSWORD, f"auth required {EXEC}"], "every login with a public key that"),
        (["auth required pam_mystery.so", OURS], None),  # it may return anything
        (["auth required pam_deny.so", OURS], None),  # it accepts nobody in the first place
    ],
)  # fmt: skip
@pytest.mark.parametrize("libpam", [SINCE_1_6, UPSTREAM], ids=["debian", "upstream"])
def test_stack_with_which_sshd_refuses_what_pam_accepted_is_told(
    tmp_path: Path, lines: list[str], whom: str | None, libpam: Libpam
) -> None:
    """sshd's parent sets credentials; the process that authenticated is another one."""
    text = "\n".join(lines).replace(PASSWORD, COMMON_AUTH.rstrip("\n"))
    told = list(refused_at_last(read(tmp_path, text, libpam=libpam), libpam))
    jump_counts = not libpam.is_debian and "success=4" in text
    assert len(told) == (whom is not None and not jump_counts)
    assert all(f"refuse {whom}" in each for each in told)
