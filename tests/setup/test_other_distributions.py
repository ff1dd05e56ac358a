# SPDX-License-Identifier: MIT
"""The model reads the PAM files of Fedora, RHEL, Arch and openSUSE, and finds their ways in."""

from pathlib import Path

import pytest

from pam_totp.stack.files import file_of
from pam_totp.stack.service import read_service
from pam_totp.stack.ways_in import ways_in
from tests.setup.distributions import DISTRIBUTIONS, LAYOUTS, put

PASSWORD, ROOT = ["password"], ["root", "password"]
FINGER = ["fingerprint", "password"]
CODE = "auth required pam_totp.so\n"
WITH_CODE = ["password, then code", "password, then no code needed"]
WAYS: dict[str, dict[str, list[str]]] = {
    "fedora": {
        "sshd": PASSWORD,
        "remote": PASSWORD,
        "login": FINGER,
        "su": ["root", *FINGER],
        "su-l": ["root", *FINGER],
        "sudo": FINGER,
        "sudo-i": FINGER,
        "polkit-1": FINGER,
        "smartcard-auth": [],
        "other": [],
    },
    "rhel9": {
        "sshd": PASSWORD,
        "remote": PASSWORD,
        "login": PASSWORD,
        "su": ROOT,
        "su-l": ROOT,
        "sudo": PASSWORD,
        "sudo-i": PASSWORD,
        "polkit-1": PASSWORD,
        "other": [],
    },
    "arch": {
        "sshd": PASSWORD,
        "login": PASSWORD,
        "su": ROOT,
        "su-l": ROOT,
        "sudo": PASSWORD,
        "polkit-1": PASSWORD,
        "other": [],
    },
    "opensuse": {
        "sshd": PASSWORD,
        "login": PASSWORD,
        "su": ROOT,
        "su-l": ROOT,
        "sudo": PASSWORD,
        "sudo-i": PASSWORD,
        "polkit-1": PASSWORD,
        "other": [],
    },
}
EACH = [(name, service) for name, services in WAYS.items() for service in services]


def words(name: str, root: Path, service: str) -> list[str]:
    read = read_service(service, DISTRIBUTIONS[name].libpam, str(root))
    assert read.faults == []
    return [way.words for way in ways_in(read)]


def after(root: Path, path: str, line: str, added: str) -> None:
    """Puts `added` behind the only line that begins with these words."""
    lines = (root / path).read_text(encoding="utf-8").splitlines(keepends=True)
    (at,) = (n for n, each in enumerate(lines) if " ".join(each.split()) == line)
    (root / path).write_text("".join([*lines[: at + 1], added, *lines[at + 1 :]]), encoding="utf-8")


@pytest.mark.parametrize(("name", "service"), EACH)
def test_the_ways_into_a_service_of_another_distribution(
    tmp_path: Path, name: str, service: str
) -> None:
    put(name, tmp_path)
    assert words(name, tmp_path, service) == WAYS[name][service]


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_no_byte_of_their_files_is_lost(name: str) -> None:
    files = [path for path in (LAYOUTS / name).rglob("pam.d/*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        assert file_of(str(path), content, DISTRIBUTIONS[name].libpam).content == content


@pytest.mark.parametrize("name", ["fedora", "rhel9"])
def test_authselects_files_are_read_where_its_links_lead(tmp_path: Path, name: str) -> None:
    libpam = put(name, tmp_path)
    files = {file.path for file in read_service("sshd", libpam, str(tmp_path)).files}
    assert "/etc/pam.d/password-auth" in files
    assert (tmp_path / "etc/pam.d/password-auth").is_symlink()


@pytest.mark.parametrize(
    ("name", "path", "line"),
    [
        ("fedora", "etc/pam.d/sshd", "auth substack password-auth"),
        ("rhel9", "etc/pam.d/sshd", "auth substack password-auth"),
        ("rhel9", "etc/pam.d/login", "auth substack system-auth"),
        ("opensuse", "usr/lib/pam.d/sshd", "auth substack common-auth"),
        ("opensuse", "usr/lib/pam.d/sudo", "auth include common-auth"),
        ("arch", "etc/pam.d/sshd", "auth include system-remote-login"),
        ("arch", "etc/pam.d/sudo", "auth include system-auth"),
    ],
)
def test_a_line_after_their_password_asks_for_the_code(
    tmp_path: Path, name: str, path: str, line: str
) -> None:
    put(name, tmp_path)
    after(tmp_path, path, line, CODE)
    assert words(name, tmp_path, Path(path).name) == WITH_CODE


@pytest.mark.parametrize("name", ["fedora", "rhel9"])
def test_a_line_after_an_include_of_red_hats_system_auth_is_never_reached(
    tmp_path: Path, name: str
) -> None:
    """Its passwords are `sufficient`, and end the stack that includes them: sudo's, too."""
    put(name, tmp_path)
    after(tmp_path, "etc/pam.d/sudo", "auth include system-auth", CODE)
    assert words(name, tmp_path, "sudo") == WAYS[name]["sudo"]
