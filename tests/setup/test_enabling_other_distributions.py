# SPDX-License-Identifier: MIT
"""enable on the files of Arch, openSUSE, Fedora and RHEL: changed where all is proved, and else the
line and its place are said."""

from pathlib import Path

import pytest

from pam_totp.errors import Error
from pam_totp.setup import plan_pam
from pam_totp.setup.block import take_out
from pam_totp.setup.host import PamHost
from pam_totp.setup.kinds import together
from pam_totp.setup.proof import KEY_ONLY, KEY_OR_PASSWORD, PASSWORD_ONLY
from tests.setup.distributions import DISTRIBUTIONS, put

CODE, KEY = "auth required pam_totp.so", "pam_totp.so publickey_passed"


def planned(name: str, root: Path, service: str, first_factor: str) -> PamHost:
    host = PamHost(put(name, root), str(root))
    plan_pam.plan(host, [each for each in together([service]) if host.file_of(each)], first_factor)
    return host


@pytest.mark.parametrize("service", ["sshd", "login", "su", "sudo", "polkit-1"])
def test_every_service_of_arch_is_changed(tmp_path: Path, service: str) -> None:
    host = planned("arch", tmp_path, service, PASSWORD_ONLY)
    content = host.would_be[f"/etc/pam.d/{service}"]
    assert content is not None and CODE.encode() in content
    assert take_out(content) == host.plain[f"/etc/pam.d/{service}"]


def test_archs_nine_lines_are_jumped_over_after_a_key(tmp_path: Path) -> None:
    host = planned("arch", tmp_path, "sshd", KEY_OR_PASSWORD)
    assert b"auth [success=9 default=ignore] pam_totp.so publickey_passed" in (
        host.would_be["/etc/pam.d/sshd"] or b""
    )


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_after_a_key_the_code_is_asked_for_everywhere(tmp_path: Path, name: str) -> None:
    host = planned(name, tmp_path, "sshd", KEY_ONLY)
    assert KEY.encode() in (host.would_be["/etc/pam.d/sshd"] or b"")


@pytest.mark.parametrize(("name", "profile"), [("fedora", "local with-"), ("rhel9", "sssd with-")])
@pytest.mark.parametrize("service", ["sshd", "login", "su", "sudo"])
def test_what_authselect_manages_is_not_changed(
    tmp_path: Path, name: str, profile: str, service: str
) -> None:
    with pytest.raises(Error) as failure:
        planned(name, tmp_path, service, PASSWORD_ONLY)
    message, hint = failure.value.message, failure.value.hint
    file = "password-auth" if service == "sshd" else "system-auth"
    assert f"{file} is managed by authselect (profile {profile}" in message
    assert f"/etc/pam.d/{file}, line " in message
    assert f"'{CODE}' belongs after line " in message and f"/etc/pam.d/{service}" in message
    key = "pam-totp enable sshd --first-factor key"
    profile = f"authselect create-profile pam-totp --base-on {profile.split()[0]}"
    assert hint == (key if service == "sshd" else profile)


@pytest.mark.parametrize("service", ["sshd", "login", "su", "sudo"])
def test_opensuses_password_has_to_end_the_stack_first(tmp_path: Path, service: str) -> None:
    with pytest.raises(Error, match="even after a wrong password") as failure:
        planned("opensuse", tmp_path, service, PASSWORD_ONLY)
    remedy = "in /etc/pam.d/common-auth, line 5, write 'requisite' in place of 'required'"
    assert failure.value.hint == remedy
    path = tmp_path / "etc/pam.d/common-auth-pc"
    path.write_text(
        path.read_text().replace("auth\trequired\tpam_unix", "auth\trequisite\tpam_unix")
    )
    host = PamHost(DISTRIBUTIONS["opensuse"].libpam, str(tmp_path))
    plan_pam.plan(host, [service], PASSWORD_ONLY)
    assert CODE.encode() in (host.would_be[f"/etc/pam.d/{service}"] or b"")
