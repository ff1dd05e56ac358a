# SPDX-License-Identifier: MIT
"""What the checks of `pam-totp doctor` make of what they read. Pure."""

from types import SimpleNamespace
from typing import cast

import pytest

from pam_totp.review.doctor import clock, confinement, disks, records, users
from pam_totp.review.doctor.administrators import who_may_all
from pam_totp.review.doctor.findings import (
    AT_RISK,
    OPEN,
    REFUSED,
    UNKNOWN,
    Finding,
    worst_first,
)
from pam_totp.review.doctor.host import Host
from pam_totp.review.doctor.sshd_settings import of_class
from pam_totp.review.doctor.users import kind_of
from pam_totp.rules.policy import Rule

# As chrony 4.3 prints it with -c: 96 seconds slow of NTP time, and before it has a source.
SLOW = (
    "C0A80001,192.168.0.1,3,1795914323.5,95.700000000,0.000012,0.000034,-12.3,0.001,0.02,0.01,"
    "0.002,64.2,Normal"
)
WITHOUT_SOURCE = "00000000,,0,0.0,0.000000000,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised"
SETTINGS = {
    "usepam": "yes",
    "kbdinteractiveauthentication": "yes",
    "pubkeyauthentication": "yes",
    "passwordauthentication": "no",
    "authenticationmethods": "publickey,keyboard-interactive:pam keyboard-interactive:pam",
    "maxauthtries": "6",
    "logingracetime": "120",
}


def finding(severity: str, kind: str = "any") -> Finding:
    return Finding(severity, kind, "what", "Consequence.", "command")


def test_worst_comes_first_and_each_once() -> None:
    found = [finding(AT_RISK), finding(UNKNOWN), finding(REFUSED), finding(OPEN)]
    assert worst_first([*found, *found]) == list(reversed(found))


def test_order_within_a_severity_stays() -> None:
    found = [finding(REFUSED, "b"), finding(OPEN, "c"), finding(REFUSED, "a")]
    assert [each.kind for each in worst_first(found)] == ["c", "b", "a"]


def test_chrony_says_how_far_the_clock_is_ahead() -> None:
    assert clock.offset_of(SLOW) == pytest.approx(-95.7)
    assert clock.offset_of(SLOW.replace("95.7", "-95.7")) == pytest.approx(95.7)


@pytest.mark.parametrize("text", ["", "506 Cannot talk to daemon", WITHOUT_SOURCE, "a," * 14])
def test_chrony_without_a_source_says_nothing(text: str) -> None:
    assert clock.offset_of(text) is None


def kinds(is_kept: bool | None, daemons: list[str], offset: float | None = None) -> list[str]:
    return [each.kind for each in clock.judge(is_kept, daemons, offset, 30)]


def test_clock_is_judged_by_its_source_then_by_the_kernel() -> None:
    assert kinds(True, []) == []
    assert kinds(False, ["chronyd"], 0.02) == []  # in a container it may not tell the kernel
    assert kinds(True, ["chronyd"], -95.7) == ["clock-off"]
    assert kinds(False, ["chronyd"]) == ["clock-not-synchronised"]
    assert kinds(False, []) == ["clock-not-kept"]
    assert kinds(None, []) == ["clock-not-kept"]


def test_finding_names_the_command_of_the_program_that_keeps_the_clock() -> None:
    commands = [
        next(clock.judge(False, [name], None, 30)).command
        for name in ("chronyd", "ntpd", "systemd-timesyn")
    ]
    assert commands == ["chronyc tracking", "ntpq -p", "timedatectl timesync-status"]


def test_login_in_the_future_tells_that_the_clock_was_set_back() -> None:
    assert list(clock.of_records(None, 1000.0)) == []
    assert list(clock.of_records(1030.0, 1000.0)) == []
    assert "10 minutes" in next(clock.of_records(1600.0, 1000.0)).what
    assert "3 hours" in next(clock.of_records(11800.0, 1000.0)).what


def sshd_kinds(**changed: str) -> list[str]:
    return [each.kind for each in of_class("all users", SETTINGS | changed, 3, False)]


def test_settings_of_sshd_are_judged() -> None:
    assert sshd_kinds() == []
    assert sshd_kinds(usepam="no") == ["sshd-without-pam"]
    assert sshd_kinds(kbdinteractiveauthentication="no") == ["sshd-cannot-ask"]
    assert sshd_kinds(maxauthtries="2") == ["sshd-max-auth-tries"]
    assert sshd_kinds(maxauthtries="3") == []
    assert sshd_kinds(logingracetime="59") == ["sshd-login-grace-time"]
    assert sshd_kinds(logingracetime="0") == []  # no limit


def test_combined_line_needs_no_question_of_sshd() -> None:
    settings = SETTINGS | {"kbdinteractiveauthentication": "no", "passwordauthentication": "yes"}
    assert list(of_class("all users", settings, 3, True)) == []


def test_security_key_that_stands_for_a_code_has_to_be_verified() -> None:
    def found(options: str, trusts_keys: bool) -> list[str]:
        settings = SETTINGS | {"pubkeyauthoptions": options}
        return [each.kind for each in of_class("all users", settings, 3, False, trusts_keys)]

    for options, kind in (
        ("none", "sshd-keys-not-verified"),
        ("touch-required", "sshd-keys-not-verified"),
        ("verify-required", "sshd-keys-not-touched"),
    ):
        assert found(options, True) == [kind]
        assert found(options, False) == []
    assert found("touch-required verify-required", True) == []


def test_keys_that_stand_for_a_code_of_roots_store_have_to_be_roots() -> None:
    def found(files: str, trusts_keys: bool = True, is_roots: bool = True) -> list[str]:
        both = {"pubkeyauthoptions": "touch-required verify-required", "authorizedkeysfile": files}
        arguments = "all users", SETTINGS | both, 3, False, trusts_keys
        return [each.kind for each in of_class(*arguments, secrets_are_roots=is_roots)]

    for files in (".ssh/authorized_keys .ssh/authorized_keys2", "/etc/keys/%u %h/.keys"):
        assert found(files) == ["sshd-keys-in-homes"]
        assert found(files, trusts_keys=False) == found(files, is_roots=False) == []
    assert found("/etc/ssh/keys/%u") == found("none") == []


def test_few_tries_need_few_failures() -> None:
    assert list(of_class("all users", SETTINGS | {"maxauthtries": "1"}, 1, False)) == []


def test_enforced_profiles_of_programs_that_ask_pam_are_named() -> None:
    table = "man_filter (enforce)\n/usr/sbin/sshd (enforce)\n/usr/bin/su (complain)\nsudo (enforce)"
    assert confinement.profiles_of(table) == ["/usr/sbin/sshd", "sudo"]
    assert confinement.profiles_of("") == []


def test_users_and_groups_with_every_command_of_sudo() -> None:
    everything = [{"Commands": [{"command": "ALL"}]}]
    some = [{"Commands": [{"command": "/usr/bin/id"}]}]
    specs = [
        {"User_List": [{"username": "root"}, {"usergroup": "sudo"}], "Cmnd_Specs": everything},
        {"User_List": [{"username": "carol"}], "Cmnd_Specs": some},
        {"User_List": [{"username": "eve", "negated": True}], "Cmnd_Specs": everything},
    ]
    assert who_may_all({"User_Specs": specs}) == ({"root"}, {"sudo"})
    assert who_may_all({}) == (set(), set())


def test_end_of_a_grant_is_read_and_nothing_else_is_one() -> None:
    assert records.until_of(b"pam-totp grant 1 10 20 MANY a b c\n") == 20
    for content in (
        b"",
        b"x",
        b"pam-totp grant 2 10 20 MANY bob",
        b"pam-totp grant 1 10 x ONCE bob",
    ):
        assert records.until_of(content) is None
    assert records.when(10**20) == "for ever"


def test_file_system_of_a_path_is_that_of_the_nearest_mount() -> None:
    table = (
        "22 1 0:21 / / rw - ext4 /dev/vda1 rw\n"
        "23 22 0:22 / /run rw shared:3 - tmpfs tmpfs rw\n"
        "24 22 0:23 / /mnt/with\\040space rw - xfs /dev/vdb rw\n"
    )
    mounts = disks.mounts_of(table)
    assert mounts["/mnt/with space"] == "xfs"
    assert disks.mount_of("/run/pam-totp-nowhere", mounts) == ("/run", "tmpfs")
    assert disks.mount_of("/var/lib/pam-totp-nowhere", mounts) == ("/", "ext4")


def test_fault_of_a_user_that_is_of_no_kind_is_a_fault() -> None:
    assert kind_of("something new") == "secret-unusable"


@pytest.mark.parametrize(("methods", "says"), [(("totp",), False), (("totp", "mail"), True)])
def test_a_contact_is_named_where_it_is_enough(methods: tuple[str, ...], says: bool) -> None:
    rules = [Rule(code="required", methods=methods)]
    host = SimpleNamespace(rules=rules, invitation_words="")
    (finding,) = users._of_not_enrolled(["bob"], cast(Host, host))
    assert ("A contact is enough where codes may be sent" in finding.consequence) is says
