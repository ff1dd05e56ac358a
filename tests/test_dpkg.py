"""The built package under a real dpkg: half installed, in use, and beside another one's upgrade."""

from pathlib import Path

import pytest

from tests.host.debian_package import in_a_host_of_its_own
from tests.host.pam_services import shipped_lines

PASSWORD = "correct horse"
ALICE = f"""
useradd --create-home alice
echo 'alice:{PASSWORD}' | chpasswd
log_in() {{ printf '%s\\n' "$1" | pamtester sshd alice authenticate; }}
"""
# A package that owns a file in /etc/pam.d, in two releases, as openssh-server does.
DOOR = """
release() { # VERSION LINE
    mkdir -p /tmp/door/DEBIAN /tmp/door/etc/pam.d
    printf '%s\\n' "$2" >/tmp/door/etc/pam.d/door
    echo /etc/pam.d/door >/tmp/door/DEBIAN/conffiles
    printf 'Package: door\\nVersion: %s\\nArchitecture: all\\nMaintainer: d <d@localhost>\\n' "$1" \
        >/tmp/door/DEBIAN/control
    echo 'Description: a service' >>/tmp/door/DEBIAN/control
    dpkg-deb --root-owner-group --build /tmp/door /tmp/door-$1.deb
}
release 1 '@include common-auth'
"""


def on_a_host(package: Path, script: str) -> str:
    """All that the script says; it must succeed."""
    done = in_a_host_of_its_own(package, script)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize(
    "choice", ["password-then-code", "key-then-code", "key-or-password-then-code", "one-prompt"]
)
def test_package_that_was_never_configured_is_removed_and_everybody_still_gets_in(
    package: Path, choice: str
) -> None:
    """dpkg runs no prerm then, which would have refused."""
    kept = "@include common-auth\\n" if choice == "password-then-code" else ""
    lines = "\\n".join(shipped_lines(choice))
    script = f"""{ALICE}
        dpkg --unpack "$deb"
        sed -i 's/^@include common-auth$/{kept}{lines}/' /etc/pam.d/sshd
        dpkg-query -W -f '${{db:Status-Abbrev}}\\n' pam-totp | grep -x 'iU '
        dpkg --remove pam-totp
        ls /usr/lib/*/security/pam_totp.so /usr/lib/pam-totp && exit 1
        log_in '{PASSWORD}'
        log_in wrong && exit 1
        dpkg --purge pam-totp
    """
    said = on_a_host(package, script)
    assert "warning: /etc/pam.d/sshd named pam-totp, which is removed" in said
    assert "successfully authenticated" in said


def test_package_in_use_refuses_to_go_and_names_the_way_back_that_works(package: Path) -> None:
    """Deleting the lines alone would leave key-then-code without anything that asks."""
    lines = "\\n".join(shipped_lines("key-then-code"))
    script = f"""{ALICE}
        dpkg -i "$deb"
        sed -i 's/^@include common-auth$/{lines}/' /etc/pam.d/sshd
        dpkg --remove pam-totp && exit 1
        ls /usr/lib/*/security/pam_totp.so
        sed -i -e '0,/^auth .*pam_totp/s/^auth .*pam_totp.*/@include common-auth/' \
            -e '/pam_totp/d' /etc/pam.d/sshd
        log_in '{PASSWORD}'
        dpkg --purge pam-totp
        log_in '{PASSWORD}'
    """
    said = on_a_host(package, script)
    assert "pam-totp: error: still in use in /etc/pam.d: sshd\nhint: " in said
    hint = said.partition("hint: ")[2].splitlines()[0]
    assert "put '@include common-auth' in their place" in hint


def test_files_that_dpkg_and_editors_leave_do_not_stop_a_purge(package: Path) -> None:
    script = """
        dpkg -i "$deb"
        for name in sshd.dpkg-old sshd.dpkg-dist sshd.ucf-old sshd~ sshd.bak; do
            echo 'auth required pam_totp.so' >/etc/pam.d/$name
        done
        dpkg --purge pam-totp
    """
    assert "pam-totp: warning" not in on_a_host(package, script)


def test_line_lost_to_another_packages_conffile_is_told_at_once_and_by_the_next_command(
    package: Path,
) -> None:
    script = f"""{DOOR}
        dpkg -i "$deb" /tmp/door-1.deb
        echo 'auth required pam_totp.so' >>/etc/pam.d/door
        pam-totp users
        release 2 '# the next release
@include common-auth'
        echo == the upgrade
        dpkg -i --force-confnew /tmp/door-2.deb
        echo == the next command
        pam-totp users
        echo == accepted
        rm /var/lib/pam-totp/services/door
        pam-totp users
    """
    said = on_a_host(package, script).partition("== the upgrade")[2]
    upgrade, _, rest = said.partition("== the next command")
    next_one, _, accepted = rest.partition("== accepted")
    warning = "pam-totp: warning: no longer asked for a code, since its line is gone: door\nhint: "
    assert warning in upgrade and warning in next_one
    assert "pam-totp: warning" not in accepted


def test_line_that_stood_before_the_package_was_configured_is_remembered(package: Path) -> None:
    """And one that dpkg itself saw last, with no command of ours between."""
    script = f"""{DOOR}
        dpkg -i /tmp/door-1.deb
        echo 'auth required pam_totp.so' >>/etc/pam.d/door
        dpkg -i "$deb"
        ls /var/lib/pam-totp/services
        release 2 '# the next release
@include common-auth'
        dpkg -i --force-confnew /tmp/door-2.deb
    """
    assert "no longer asked for a code, since its line is gone: door" in on_a_host(package, script)
