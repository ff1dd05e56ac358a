# SPDX-License-Identifier: MIT
"""Which stacks are certain to ask for a code and to refuse a wrong one: never said of another."""

from pathlib import Path

import pytest

from pam_totp.stack.evaluate import broken, doubts, faults, is_combined, wants_key
from pam_totp.stack.services import stack_of, that_ask
from tests.host.pam_services import shipped_lines
from tests.stack.libpam import PAM_SUCCESS, authenticate_apart

OURS = "auth required pam_totp.so"
COMMON_AUTH = """\
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
auth optional pam_cap.so
"""


def said(folder: Path, *lines: str) -> list[str]:
    (folder / "common-auth").write_text(COMMON_AUTH, encoding="ascii")
    (folder / "other").write_text("auth required pam_deny.so\n", encoding="ascii")
    (folder / "svc").write_text("\n".join([*lines, ""]), encoding="utf-8", newline="")
    _, stack = stack_of("svc", str(folder))
    return broken(stack) + doubts("svc", stack)


@pytest.mark.parametrize(
    "lines",
    [
        ["@include common-auth", OURS],
        ["auth substack common-auth", OURS],
        [
            "auth requisite pam_nologin.so",
            "@include common-auth",
            OURS,
            "auth optional pam_group.so",
        ],
        ["@include common-auth", "auth [success=ok ignore=ignore default=die] pam_totp.so"],
        ["@include common-auth", "auth requisite pam_totp.so tries=1"],
        ["@include common-auth", OURS, "auth sufficient pam_permit.so"],
        ["# a comment that ends so \\", "@include common-auth", OURS],
        ["@include common-auth", "auth required \\", "  pam_totp.so # last \\"],
    ],
)
def test_plain_stack_is_certain(tmp_path: Path, lines: list[str]) -> None:
    assert said(tmp_path, *lines) == []
    assert that_ask(str(tmp_path)) == ["svc"]


@pytest.mark.parametrize("name", sorted(
    ["key-or-password-then-code", "key-then-code", "one-prompt", "password-then-code",
     "screen-locker", "key-then-code-without-module"]
))  # fmt: skip
def test_shipped_stack_is_certain(tmp_path: Path, name: str) -> None:
    lines = shipped_lines(name, COMMON_AUTH)
    before = ["@include common-auth"] if name == "password-then-code" else []
    assert said(tmp_path, *before, *(each for each in lines if "account" not in each)) == []
    assert that_ask(str(tmp_path)) == ["svc"]


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        (["auth sufficient pam_unix.so", OURS], "can accept a login before"),
        (["auth [success=done default=ignore] pam_sss.so", OURS], "can accept a login before"),
        (["@include sufficient-inside", OURS], "can accept a login before"),
        (["auth [success=1 default=ignore] pam_succeed_if.so", OURS], "can jump over"),
        (["auth [success=5 default=die] pam_unix.so", OURS], "can jump over"),
        (["auth [success=4 default=ignore] pam_x.so", "@include common-auth", OURS], ""),
        (["auth [success=5 default=ignore] pam_x.so", "@include common-auth", OURS], "jump over"),
        (["auth [success=2 default=ignore] pam_x.so", "auth substack common-auth", OURS], "jump"),
        (["auth [default=ignore] pam_totp.so"], "does not refuse every incorrect code"),
        (["auth [success=ok default=ignore] pam_totp.so"], "does not refuse every incorrect code"),
        (
            ["auth [success=ok auth_err=ignore default=die] pam_totp.so"],
            "not refuse every incorrect",
        ),
        (["auth [success=1 default=die] pam_totp.so"], "does not accept a correct code"),
        (["auth [success=ok default=die] pam_totp.so"], "refuses users who need no code"),
        ([OURS, "auth [success=reset default=ignore] pam_permit.so"], "discard its result"),
        ([OURS, "auth required pam_totp.so combined"], "has no pam_totp.so line after it"),
        (["auth substack sufficient-and-ours"], "can accept a login before"),
    ],
)
def test_stack_that_is_not_certain_is_told(tmp_path: Path, lines: list[str], part: str) -> None:
    inside = "auth sufficient pam_unix.so\n"
    (tmp_path / "sufficient-inside").write_text(inside, encoding="ascii")
    (tmp_path / "sufficient-and-ours").write_text(f"{inside}{OURS}\n", encoding="ascii")
    found = said(tmp_path, *lines)
    assert part in "".join(found)
    assert bool(found) == bool(part)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("auth required pam_unix.so\r", "line 2 ends with CR LF"),
        ("account required pam_unix.so\r", "line 2 ends with CR LF"),
        ("\ufeffauth required pam_unix.so", "which PAM does not know"),
        ("autn required pam_unix.so", "begins with 'autn', which PAM does not know"),
        ("auth requierd pam_unix.so", "has the control 'requierd', which PAM does not know"),
        ("auth pam_totp.so", "has the control 'pam_totp.so', which PAM does not know"),
        ("auth required", "names no module"),
        ("@include nowhere", "includes nowhere, which does not exist"),
        ("auth substack nowhere", "includes nowhere, which does not exist"),
        ("@include svc", "includes svc, which includes it"),
        ("auth required pam_unix.so \\", "which PAM does not know"),
    ],
)
def test_line_that_libpam_refuses_everybody_for_is_told(
    tmp_path: Path, line: str, part: str
) -> None:
    (sentence,) = said(tmp_path, OURS, line)
    assert part in sentence and sentence.endswith("so every login is refused")


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
    told = said(tmp_path, "auth required pam_permit.so", line)
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
        ("auth sufficient pam_unix.so", False),  # told as what accepts before the line
        ("@include common-auth", False),
        ("", False),  # after a key, or a module that is not known here
    ],
)
def test_password_that_refuses_nobody_is_told(tmp_path: Path, line: str, is_told: bool) -> None:
    said(tmp_path, line, OURS)
    told = [each for each in faults("svc", str(tmp_path)) if "does not refuse the login" in each]
    assert bool(told) == is_told


def test_combined_without_the_line_that_verifies_does_not_ask(tmp_path: Path) -> None:
    said(tmp_path, "auth required pam_totp.so combined", "@include common-auth")
    assert that_ask(str(tmp_path)) == []
    assert is_combined(stack_of("svc", str(tmp_path))[1])


def test_pam_rootok_is_certain_only_where_users_run_the_program(tmp_path: Path) -> None:
    """A daemon is always root: pam_rootok.so would accept everybody."""
    told = said(tmp_path, "auth sufficient pam_rootok.so", "@include common-auth", OURS)
    assert "can accept a login before" in "".join(told)
    stack = stack_of("svc", str(tmp_path))[1]
    assert [doubts(service, stack) for service in ("su", "su-l")] == [[], []]
    assert doubts("sshd", stack)


def test_service_without_auth_lines_has_those_of_other(tmp_path: Path) -> None:
    said(tmp_path, "account required pam_permit.so")
    (tmp_path / "other").write_text(f"{OURS}\n", encoding="ascii")
    assert that_ask(str(tmp_path)) == ["other", "svc"]
    assert stack_of("not-there", str(tmp_path))[0] == str(tmp_path / "other")


def test_vendor_s_folder_is_looked_at_for_what_pam_d_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = tmp_path / "vendor"
    vendor.mkdir()
    monkeypatch.setattr("pam_totp.stack.services.PAM_DIR", str(tmp_path))
    monkeypatch.setattr("pam_totp.stack.services.VENDOR", str(vendor))
    (vendor / "cockpit").write_text(f"{OURS}\n", encoding="ascii")
    assert that_ask(str(tmp_path)) == ["cockpit"]
    (tmp_path / "cockpit").write_text("auth required pam_unix.so\n", encoding="ascii")
    assert that_ask(str(tmp_path)) == []


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
    said(tmp_path, line, "@include common-auth", OURS)
    assert wants_key(stack_of("svc", str(tmp_path))[1]) is wants
