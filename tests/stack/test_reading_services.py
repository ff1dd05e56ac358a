# SPDX-License-Identifier: MIT
"""Services as libpam reads them, from any root folder, without a byte lost."""

import itertools
import os
import re
from pathlib import Path

import pytest

from pam_totp.stack.files import file_of
from pam_totp.stack.libpam import MODULE_UNKNOWN, PERM_DENIED, Libpam, Unknown
from pam_totp.stack.totp_lines import asks
from tests.stack.written import BEFORE_1_6, SINCE_1_6, UPSTREAM, modules, read

A, B, C = "auth required a.so\n", "auth required b.so\n", "auth required c.so\n"


@pytest.mark.parametrize("libpam", [BEFORE_1_6, SINCE_1_6], ids=["1.5", "1.6"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        A,
        "# only a comment",
        f"#%PAM-1.0\r\n{A}\n\n",
        "auth \\\n required \\\n\n# between\n a.so # last \\\n# rest\n",
        "auth required a.so\\",
        "\ufeffauth required a.so\n\tauth\trequired\tb.so",
        f"auth required a.so {'x' * 3000}\n{A}",
        "auth required caf\udce9.so\n",
    ],
    ids=itertools.count(),
)
def test_no_byte_of_a_file_is_lost(libpam: Libpam, text: str) -> None:
    content = text.encode("utf-8", "surrogateescape")
    assert file_of("/etc/pam.d/x", content, libpam).content == content


def test_each_line_knows_its_file_and_number(tmp_path: Path) -> None:
    included = "\n# comment\n\nauth required \\\n   a.so\nauth required b.so\n"
    service = read(tmp_path, {"x": f"@include included\n{C}", "included": included})
    found = [(line.file, line.number) for line in service.stacks["auth"]]
    assert found == [
        ("/etc/pam.d/included", 4),
        ("/etc/pam.d/included", 6),
        ("/etc/pam.d/x", 2),
    ]


def test_includes_are_part_of_the_stack_and_a_substack_is_a_level_below(tmp_path: Path) -> None:
    files = {"x": "@include i\nauth include i\nauth substack i\n" + C, "i": A + "account a b.so\n"}
    service = read(tmp_path, files)
    assert modules(service) == ["a.so", "a.so", "a.so1", "c.so"]
    assert modules(service, "account") == ["b.so"]  # by the line that includes every type


def test_etc_comes_before_usr_lib_and_other_last(tmp_path: Path) -> None:
    files = {"/usr/lib/pam.d/x": A, "/usr/lib/pam.d/y": B, "x": C, "other": "account a d.so\n" + A}
    assert modules(read(tmp_path, files, "x")) == ["c.so"]
    assert modules(read(tmp_path, files, "y")) == ["b.so"]
    assert modules(read(tmp_path, files, "z")) == ["a.so"]
    assert modules(read(tmp_path, files, "x"), "account") == ["d.so"]


def test_a_service_named_by_a_path_or_in_capitals_is_found_as_pam_start_does(
    tmp_path: Path,
) -> None:
    assert modules(read(tmp_path, {"sshd": A}, "/usr/sbin/SSHD")) == ["a.so"]


def test_pam_conf_is_read_only_where_there_is_no_folder_of_services(tmp_path: Path) -> None:
    conf = {"/etc/pam.conf": f"X {A}login {B}OTHER {C}"}
    assert modules(read(tmp_path / "old", conf)) == ["a.so"]
    assert modules(read(tmp_path / "old", conf, "y")) == ["c.so"]
    assert modules(read(tmp_path / "new", conf | {"x": B})) == ["b.so"]


def test_debian_includes_from_etc_alone_and_others_from_every_folder(tmp_path: Path) -> None:
    files = {"x": "auth include i\n", "/usr/lib/pam.d/i": A}
    assert modules(read(tmp_path, files, libpam=UPSTREAM)) == ["a.so"]
    service = read(tmp_path, files)
    assert [line.always for line in service.stacks["auth"]] == [PERM_DENIED]
    assert service.faults == ["/etc/pam.d/x, line 1 includes i, which does not exist"]


def test_without_debians_patch_an_include_line_of_its_own_refuses(tmp_path: Path) -> None:
    service = read(tmp_path, {"x": "@include i\n", "i": A}, libpam=UPSTREAM)
    assert [line.always for line in service.stacks["auth"]] == [PERM_DENIED]
    assert service.faults == ["/etc/pam.d/x, line 1 begins with '@include', which is no type"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("\ufeffauth required a.so\n", "line 1 begins with '\\ufeffauth', which is no type"),
        ("auth required a.so\r\n\r\n", "line 2 begins with '\\r', which is no type"),
        ("autth required a.so\n", "line 1 begins with 'autth', which is no type"),
        ("auth\n", "line 1 has no control"),
        ("auth required\n", "line 1 names no module"),
        ("auth [success=1 defualt=bad] a.so\n", "has the invalid control 'success=1 defualt=bad'"),
        ("auth [default=0] a.so\n", "has the invalid control 'default=0': 0 is no jump"),
        ("auth include nowhere\n", "line 1 includes nowhere, which does not exist"),
        ("auth substack x\n", "includes x, 16 levels deep"),
        ("@include nowhere\n", "line 1 includes nowhere, which does not exist, so that libpam re"),
        ("auth required a.so\\\n", "x ends in a backslash, so that libpam refuses it"),
    ],
)
def test_what_libpam_cannot_use_is_said(tmp_path: Path, text: str, fault: str) -> None:
    assert fault in "\n".join(read(tmp_path, text).faults)


@pytest.mark.parametrize("text", ["@include nowhere\n" + A, A + "auth required a.so \\\n"])
def test_a_service_that_libpam_refuses_as_a_whole_has_no_lines(tmp_path: Path, text: str) -> None:
    service = read(tmp_path, {"x": text, "other": A})
    assert service.refused
    assert service.stacks["auth"] == ()


def test_a_damaged_file_of_other_refuses_every_service(tmp_path: Path) -> None:
    assert read(tmp_path, {"x": A, "other": "auth \\"}).refused


def test_neither_the_service_nor_other_is_a_refusal(tmp_path: Path) -> None:
    service = read(tmp_path, {"x": A}, "y")
    assert service.refused == "there is neither y nor other in /etc/pam.d"


def test_a_missing_module_fails_and_is_a_fault_without_a_dash_alone(tmp_path: Path) -> None:
    (tmp_path / "lib/security").mkdir(parents=True)
    (tmp_path / "lib/security/a.so").touch()
    libpam = Libpam(True, True, module_folders=("/lib/security",))
    service = read(tmp_path, A + B + "-auth required /lib/c.so\n", libpam=libpam)
    always = [line.always for line in service.stacks["auth"]]
    assert always == [None, MODULE_UNKNOWN, MODULE_UNKNOWN]
    assert service.faults == ["/etc/pam.d/x, line 2 names 'b.so', which is no module here"]


def test_a_module_of_another_folder_is_not_known_by_its_name(tmp_path: Path) -> None:
    own, other = tmp_path / "usr/lib/security", tmp_path / "opt/x"
    for folder in (own, other):
        folder.mkdir(parents=True)
        (folder / "pam_totp.so").touch()
    (tmp_path / "lib").symlink_to("usr/lib")
    (other / "pam_link.so").symlink_to(own / "pam_totp.so")
    libpam = Libpam(True, True, module_folders=("/lib/security",))
    for module, is_ours in {
        "pam_totp.so": True,
        "/lib/security/pam_totp.so": True,
        "/usr/lib/security/pam_totp.so": True,
        "/lib/security/$ISA/pam_totp.so": True,
        "/opt/x/pam_totp.so": False,
        "/opt/x/pam_link.so": False,
    }.items():
        service = read(tmp_path, f"auth required {module}\n", libpam=libpam)
        assert any(map(asks, service.stacks["auth"])) == is_ours, module


def test_an_absolute_link_leads_below_the_root(tmp_path: Path) -> None:
    files = {"x": "auth include system-auth\n", "/etc/authselect/system-auth": A}
    (tmp_path / "etc/pam.d").mkdir(parents=True)
    (tmp_path / "etc/pam.d/system-auth").symlink_to("/etc/authselect/system-auth")
    assert modules(read(tmp_path, files, libpam=UPSTREAM)) == ["a.so"]


def test_a_folder_is_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "etc/pam.d/i").mkdir(parents=True)
    assert modules(read(tmp_path, "auth include i\n" + A)) == ["a.so"]


def test_a_pipe_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "etc/pam.d").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc/pam.d/i")
    with pytest.raises(Unknown, match="/i is not a file"):
        read(tmp_path, "auth include i\n" + A)


NOT_KNOWN = {
    "contains a NUL byte": ("auth required a\0.so\n", SINCE_1_6),
    "line 1 includes nothing: libpam crashes": ("auth include\n", SINCE_1_6),
    "line 2 includes nothing: libpam crashes": ("\n@include\n", SINCE_1_6),
    "names '/lib/.so', at which libpam stops": ("auth required /lib/.so\n", SINCE_1_6),
    "line 1 names '', at which libpam stops": ("auth required []\n", SINCE_1_6),
    "line 2 names '', at which libpam stops": ("\nno-type required [] a.so\n", SINCE_1_6),
    "line 3 names '', at which libpam stops": ("\n\nauth substack []\n", SINCE_1_6),
    "includes x: it never ends": ("auth include x\n", BEFORE_1_6),
    "the jump in the control 'default=9999999999' is too far": (
        "auth [default=9999999999] a.so\n",
        BEFORE_1_6,
    ),
    "more than 2000 lines, with what it includes": (A * 2001, SINCE_1_6),
    "x has more than 2000 lines": ("auth include x\nauth include x\n", SINCE_1_6),
    "is larger than 1000000 bytes": ("x" * 1_000_001, SINCE_1_6),
    "at which libpam never ends": ("x" * 1022 + "\\", BEFORE_1_6),
    "what libpam does is not defined": ("auth include i\n", SINCE_1_6),
}


@pytest.mark.parametrize("why", NOT_KNOWN)
def test_what_cannot_be_determined_is_never_guessed(tmp_path: Path, why: str) -> None:
    text, libpam = NOT_KNOWN[why]
    with pytest.raises(Unknown, match=re.escape(why)):
        read(tmp_path, {"x": text, "i": "@include nowhere\n"}, libpam=libpam)
