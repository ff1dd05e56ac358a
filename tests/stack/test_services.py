# SPDX-License-Identifier: MIT
"""Which services ask for a code: read from /etc/pam.d as libpam reads it."""

from pathlib import Path

import pytest

from pam_totp.stack.libpam import Libpam
from pam_totp.stack.services import that_ask
from pam_totp.stack.stack_faults import doubts, faults
from tests.stack.written import BEFORE_1_6, SINCE_1_6, read, write

LINE = "auth required pam_totp.so\n"
PASSWORD = "auth requisite pam_unix.so\n"


def asking(root: Path, **services: str) -> list[str]:
    write(root, {name.replace("_", "-"): text for name, text in services.items()})
    return that_ask(str(root), SINCE_1_6)


@pytest.mark.parametrize(
    "line",
    [
        "auth required pam_totp.so",
        "auth\trequired\tpam_totp.so",
        "  auth   requisite   pam_totp.so  tries=1",
        "auth [success=1 default=ignore] pam_totp.so prompt=Code",
        "auth [success=ok ignore=ignore default=die] pam_totp.so",
        "auth sufficient /usr/lib/x86_64-linux-gnu/security/pam_totp.so",
        "auth required pam_exec.so quiet expose_authtok /usr/libexec/pam-totp/verify",
        "-auth required pam_totp.so",
        "AUTH required pam_totp.so",
        "auth required \\\n    pam_totp.so",
        "account required pam_unix.so\nauth required pam_totp.so # last",
    ],
)
def test_line_of_ours_asks(tmp_path: Path, line: str) -> None:
    assert asking(tmp_path, sshd=f"# sshd\n{line}\n") == ["sshd"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "# auth required pam_totp.so",
        "  #auth required pam_totp.so",
        "account required pam_totp.so",
        "session optional pam_totp.so",
        "auth required pam_unix.so # before pam_totp.so",
        "auth required pam_totp.so publickey_passed",
        "auth [success=2 default=ignore] pam_totp.so publickey_passed",
        "auth required pam_exec.so /usr/libexec/other/verify",
        "auth required pam_totp_other.so",
    ],
)
def test_line_of_another_does_not_ask(tmp_path: Path, line: str) -> None:
    assert asking(tmp_path, sshd=f"{line}\nauth required pam_unix.so\n") == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("auth required pam_totp.so", []),
        (
            "auth [success=ok ignore=ignore default=die] pam_totp.so tries=9 [prompt=Your code: ]",
            [],
        ),
        ("auth required pam_exec.so quiet expose_authtok /usr/libexec/pam-totp/verify", []),
        (
            "auth Optional pam_totp.so",
            ["'optional' there, so an incorrect code does not refuse the login"],
        ),
        (
            "auth sufficient pam_totp.so",
            ["'sufficient' there, so an incorrect code does not refuse the login"],
        ),
        ("auth required pam_totp.so try=3", ["invalid option, try=3, so every login is refused"]),
        (
            "auth required pam_totp.so tries=20 nullok",
            ["option, tries=20, so", "option, nullok, so"],
        ),
    ],
)
def test_line_that_does_not_do_what_it_is_for_is_told(
    tmp_path: Path, line: str, said: list[str]
) -> None:
    text = f"{PASSWORD}@include common-code\n"
    assert asking(tmp_path, sshd=text, common_code=line) == ["sshd"]
    service = read(tmp_path, {}, "sshd")
    found = faults(service) + doubts(service)
    assert len(found) == len(said)
    assert all(part in fault for part, fault in zip(said, found, strict=True))


@pytest.mark.parametrize(
    "include", ["@include common-code", "auth include common-code", "auth substack common-code"]
)
def test_included_line_asks_in_the_service_that_includes_it(tmp_path: Path, include: str) -> None:
    found = asking(
        tmp_path, sshd=f"{include}\n", sudo="auth required pam_unix.so\n", common_code=LINE
    )
    assert found == ["sshd"]


@pytest.mark.parametrize("include", ["account include common-code", "session substack common-code"])
def test_include_for_another_purpose_does_not_ask(tmp_path: Path, include: str) -> None:
    assert asking(tmp_path, sshd=f"{include}\n", common_code=LINE) == []


def test_include_of_an_include_asks(tmp_path: Path) -> None:
    services = {"sshd": "@include one\n", "one": "@include common-two\n", "common_two": LINE}
    assert asking(tmp_path, **services) == ["one", "sshd"]


@pytest.mark.parametrize("libpam", [BEFORE_1_6, SINCE_1_6], ids=["1.5", "1.6"])
def test_includes_in_a_circle_end_and_ask_where_the_line_is_written(
    tmp_path: Path, libpam: Libpam
) -> None:
    services = {"a": "@include b\n", "b": "@include a\n@include c\n", "c": "@include c\n"}
    write(tmp_path, services)
    assert that_ask(str(tmp_path), libpam) == []
    write(tmp_path, {"b": f"@include a\n{LINE}", "c": LINE})
    assert {"b", "c"} <= set(that_ask(str(tmp_path), libpam))


def test_line_of_a_service_that_is_refused_as_a_whole_still_counts(tmp_path: Path) -> None:
    assert asking(tmp_path, sshd=f"@include nowhere\n{LINE}") == ["sshd"]


def test_what_is_no_service_is_not_named(tmp_path: Path) -> None:
    folder = tmp_path / "etc/pam.d"
    (folder / "folder").mkdir(parents=True)
    (folder / "link").symlink_to("nowhere")
    (folder / "binary").write_bytes(b"\xff\0auth\n")
    leftovers = {"common-auth": LINE, "sshd.dpkg-old": LINE, "sshd.ucf-dist": LINE}
    for name, text in leftovers.items():
        (folder / name).write_text(text, encoding="ascii")
    assert asking(tmp_path) == []


def test_own_service_for_passwords_is_not_named(tmp_path: Path) -> None:
    assert asking(tmp_path, pam_totp=LINE) == []


def test_missing_folder_has_no_services(tmp_path: Path) -> None:
    assert that_ask(str(tmp_path / "nowhere"), SINCE_1_6) == []
    assert that_ask(str(tmp_path / "nowhere")) == []


def test_services_are_named_in_order(tmp_path: Path) -> None:
    assert asking(tmp_path, sudo=LINE, login=LINE, sshd=LINE) == ["login", "sshd", "sudo"]


@pytest.mark.parametrize(
    ("stack", "after"),
    [
        ("auth substack common-auth\nauth required pam_totp.so", "substack common-auth"),
        ("auth  SUBSTACK\tcommon-auth\n@include common-code", "SUBSTACK common-auth"),
        ("@include common-sub\nauth required pam_totp.so", "substack common-auth"),
        ("auth required pam_unix.so nullok\nauth required pam_totp.so", "required pam_unix.so"),
        ("auth required /lib/security/pam_sss.so\nauth required pam_totp.so",
         "required /lib/security/pam_sss.so"),
        ("@include common-auth\nauth required pam_totp.so", ""),
        ("auth include common-auth\nauth required pam_totp.so", ""),
        ("auth required pam_totp.so\nauth substack common-auth", ""),
        ("auth substack common-both\naccount substack common-auth", ""),
        ("auth requisite pam_unix.so\nauth required pam_totp.so", ""),
        ("auth required pam_nologin.so\n@include common-auth\nauth required pam_totp.so", ""),
        ("account substack common-auth\nauth required pam_totp.so", ""),
    ],
)  # fmt: skip
def test_line_that_a_wrong_password_still_reaches_is_told(
    tmp_path: Path, stack: str, after: str
) -> None:
    common = "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n"
    services = {"common-auth": common, "common-both": common + LINE, "common-code": LINE}
    services["common-sub"] = "auth substack common-auth\n"
    assert asking(tmp_path, cockpit=stack, **services) == ["cockpit"]
    found = faults(read(tmp_path, {}, "cockpit"))
    said = (
        [f"a wrong password still reaches the pam_totp.so line, after '{after}'"] if after else []
    )
    assert [fault.partition(";")[0] for fault in found] == said
    assert all(("@include" in fault) == ("substack" in after.lower()) for fault in found)
