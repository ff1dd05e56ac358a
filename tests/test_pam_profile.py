# SPDX-License-Identifier: MIT
"""The profile for pam-auth-update, which is off unless an administrator turns it on: what it would
make of every service of this host, by the model, and of real logins.

`make test-profile` does the first with the services of Debian's packages.
"""

import dataclasses
from pathlib import Path

import pytest

from pam_totp.stack.libpam import installed
from tests.host.debian_package import in_a_host_of_its_own
from tests.pam_profile import PROFILE, generate, judge, services_of, update

pytestmark = pytest.mark.timeout(600)  # the package may have to be built first
LINE = "auth\trequisite\tpam_totp.so"
SECRET = "JBSWY3DPEHPK3PXP2WVQ4Z7TNA5OMRKC"


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """This host's services without and with the profile."""
    folder = tmp_path_factory.mktemp("systems")
    generate(Path("/"), folder / "off", [])
    generate(Path("/"), folder / "on", [PROFILE.name])
    return folder / "off", folder / "on"


def test_the_profile_is_off_by_default() -> None:
    assert "\nDefault: no\n" in PROFILE.read_text(encoding="utf-8")


def test_the_code_is_asked_for_after_the_password_and_before_a_home_is_unlocked(
    systems: tuple[Path, Path],
) -> None:
    text = (systems[1] / "etc/pam.d/common-auth").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines() if line and not line.startswith("#")]
    modules = [next(word for word in line.split() if ".so" in word) for line in lines]
    at = modules.index("pam_totp.so")
    assert lines[at] == LINE
    assert modules[:at] == ["pam_unix.so", "pam_deny.so", "pam_permit.so"]


def test_no_service_of_this_host_gets_a_way_in_without_a_code(systems: tuple[Path, Path]) -> None:
    """And whoever got in before still does, with the code; and pam_setcred returns the same."""
    off, on = systems
    libpam = dataclasses.replace(installed(), module_folders=())
    found = [judge(name, off, on, libpam) for name in services_of(on)]
    assert len(found) > 15
    assert [each for each in found if each.new or each.lost or not each.same_credentials] == []
    reached = {each.name for each in found if each.reaches}
    assert {"sshd", "login", "su", "su-l", "sudo", "sudo-i"} <= reached
    without = {
        each.name: sorted(" ".join(f.words for f in way) for way in each.without) for each in found
    }
    assert without["su"] == ["root"]
    assert all(without[name] == [] for name in ("sshd", "login", "sudo", "sudo-i", "other"))


@pytest.mark.parametrize(
    ("line", "new", "lost"),
    [
        ("auth sufficient pam_permit.so", [["nothing"]], []),
        ("auth sufficient pam_rootok.so", [["root"]], []),
        ("auth requisite pam_deny.so", [], [["password"]]),
        ("auth requisite pam_totp.so", [], []),
    ],
)
def test_a_line_that_opens_or_shuts_a_service_is_found(
    tmp_path: Path, line: str, new: list[list[str]], lost: list[list[str]]
) -> None:
    for name in ("off", "on"):
        (tmp_path / name / "etc/pam.d").mkdir(parents=True)
        text = "auth required pam_unix.so\n"
        text = f"{line}\n{text}" if name == "on" else text
        (tmp_path / name / "etc/pam.d/door").write_text(text, encoding="utf-8")
        (tmp_path / name / "etc/pam.d/other").write_text("auth required pam_deny.so\n")
    libpam = dataclasses.replace(installed(), module_folders=())
    found = judge("door", tmp_path / "off", tmp_path / "on", libpam)
    words = [[factor.words for factor in way] or ["nothing"] for way in found.new]
    assert (words, [[factor.words for factor in way] for way in found.lost]) == (new, lost)


def test_turned_off_again_it_leaves_common_auth_byte_for_byte(tmp_path: Path) -> None:
    before = generate(Path("/"), tmp_path / "root", [])
    assert generate(Path("/"), tmp_path / "root", [PROFILE.name]) != before
    update(tmp_path / "root", "--disable", PROFILE.name)
    assert (tmp_path / "root/etc/pam.d/common-auth").read_text(encoding="utf-8") == before


def test_what_generates_the_stack_is_what_the_package_ships(package: Path) -> None:
    """On a real host: login, sudo and sshd ask; cron does not authenticate; removing it ends it."""
    script = f"""
        cp -a /etc/pam.d /tmp/before
        same() {{ diff -r /tmp/before /etc/pam.d; }}
        useradd --create-home alice && echo 'alice:correct horse' | chpasswd
        dpkg -i "$deb" && same
        su - alice -c 'umask 077; mkdir -p ~/.config/pam-totp; cat >~/.config/pam-totp/secret' <<END
otpauth://totp/server:alice@server?secret={SECRET}&issuer=server phone
END
        log_in() {{ # SERVICE CODE
            printf 'correct horse\\n%s\\n' "$2" | pamtester "$1" alice authenticate
        }}
        DEBIAN_FRONTEND=noninteractive pam-auth-update --enable pam-totp
        for service in login sudo sshd; do
            rm -f /run/pam-totp/* && rm -rf /var/lib/pam-totp/used
            log_in $service abcdef && exit 1
            log_in $service $(oathtool --totp --base32 {SECRET})
        done
        pamtester login alice 'setcred(PAM_ESTABLISH_CRED)'
        dpkg --remove pam-totp && same
        printf 'correct horse\\n' | pamtester login alice authenticate
        dpkg -i "$deb" && same
        DEBIAN_FRONTEND=noninteractive pam-auth-update --enable pam-totp
        dpkg --purge pam-totp && same
        grep -r totp /var/lib/pam && exit 1
        echo == ended
    """
    done = in_a_host_of_its_own(package, script)
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("== ended\n")
