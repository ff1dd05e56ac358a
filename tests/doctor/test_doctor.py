# SPDX-License-Identifier: MIT
"""`pam-totp doctor` as a whole: a healthy host, what it prints, and what it never does."""

import json

import pexpect
import pytest

from tests.commands.commands import assert_refused, pam_totp
from tests.doctor.world import World
from tests.host.accounts import User
from tests.host.pam_services import shipped_lines

BREAK_MUCH = """
rm -r /home/bob /usr/libexec/pam-totp/verify
chmod 777 /etc/pam-totp /usr/lib/pam-totp
sed -i 's/required pam_totp/optional pam_totp/' /etc/pam.d/sudo
printf 'Match User bob\\nAuthenticationMethods publickey\\n' >>/etc/ssh/sshd_config
touch /etc/clock-is-not-kept
echo 'auth required pam_totp.so a-very-long-option-that-nobody-will-ever-write' >>/etc/pam.d/login
"""


def test_healthy_host_has_no_finding(world: World) -> None:
    done = world.doctor()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("No fault was found.\n")
    assert world.findings() == []


def test_ways_to_log_in_are_listed(world: World) -> None:
    lines = [" ".join(line.split()) for line in world.doctor().stdout.splitlines()]
    assert "sudo password, then code" in lines
    assert "sshd key, then code · password, then code" in lines
    assert "su root: needs nothing · others: password, then code" in lines
    ways = json.loads(world.doctor("--json").stdout)["ways"]
    sudo = next(each for each in ways if each["service"] == "sudo")
    assert [(way["proved"], way["asks_for_code"]) for way in sudo["ways"]] == [
        ("password, then code", True)
    ]


def test_chance_of_a_guesser_is_that_of_the_active_settings(world: World) -> None:
    assert "a chance of at most 0.95% (code.digits 6, " in " ".join(world.doctor().stdout.split())
    world.run("printf 'throttle: {longest_wait: 300}\\n' >>/etc/pam-totp/config.yaml")
    stated = json.loads(world.doctor("--json").stdout)["chance_of_a_guesser"]
    assert stated == pytest.approx((300 + 30 * 86400 / 300) * 3 / 10**6)
    assert [each["kind"] for each in world.findings()] == ["settings-warning"]


def test_no_chance_is_stated_on_a_host_of_a_fleet(world: World) -> None:
    """The settings of the store decide, and they are not here."""
    world.run("printf 'store: postgresql\\ncode: {window: 5}\\n' >/etc/pam-totp/config.yaml")
    assert json.loads(world.doctor("--json").stdout)["chance_of_a_guesser"] is None
    assert "a chance of at most" not in " ".join(world.doctor().stdout.split())


def test_line_beside_that_of_another_module_is_no_finding_and_its_users_are_told(
    world: World,
) -> None:
    both = r"\n".join(shipped_lines("with-google-authenticator"))
    world.run(f"sed -i 's/^auth required pam_totp.so/{both}/' /etc/pam.d/sudo /etc/pam.d/sudo-i")
    assert world.findings() == []
    said = " ".join(world.doctor().stdout.split())
    assert (
        "At sudo, sudo-i, pam_google_authenticator.so asks all users of whom pam_totp.so needs no "
        "code."
    ) in said


@pytest.mark.parametrize(("option", "severity"), [("nullok", "open"), ("", "at risk")])
def test_line_of_another_module_alone_is_open_only_to_whom_it_does_not_ask(
    world: World, option: str, severity: str
) -> None:
    line = f"auth required pam_google_authenticator.so {option}"
    world.run(f"printf '@include common-auth\\n{line}\\n' >/etc/pam.d/newdoor")
    (found,) = world.findings()
    assert (found["kind"], found["severity"]) == ("code-of-another-program", severity)
    assert ("ways to log in without a code" in found["consequence"]) == (severity == "open")


def test_service_without_a_code_is_marked_in_the_list(world: World) -> None:
    world.run("sed -i '/pam_totp/d' /etc/pam.d/sudo-i")
    assert "password  no code: pam-totp enable sudo-i\n" in world.doctor().stdout


def test_services_that_enable_refuses_keep_it_from_no_other(world: World) -> None:
    """One prompt, as of mail servers: `enable` with such a name would change nothing at all."""
    world.run("printf '@include common-auth\\n' | tee /etc/pam.d/imap >/etc/pam.d/newdoor")
    to_enable, to_edit = world.findings()
    assert to_enable["command"] == "pam-totp enable newdoor"
    world.run("pam-totp enable newdoor --yes --force")
    assert "no code is asked for at imap, because" in to_edit["what"]
    example = to_edit["command"].removeprefix("less ")
    assert "auth required pam_totp.so combined" in world.run(f"cat {example}").stdout
    assert world.findings() == [to_edit]
    assert "password  no code: see pam/one-prompt\n" in world.doctor().stdout


PROFILE_ON = """
sed -i '/pam_totp/d' /etc/pam.d/{login,su,su-l,sudo,sudo-i}
cp /etc/pam.d/sudo /etc/pam.d/sshd
rm /etc/ssh/sshd_config.d/00-pam-totp.conf
sed -i 's/^auth.*pam_permit.so$/&\\nauth requisite pam_totp.so/' /etc/pam.d/common-auth
echo 'auth requisite pam_totp.so' >/etc/profiles-that-are-on
mount --bind /etc/profiles-that-are-on /var/lib/pam/auth
"""


def test_profile_of_pam_auth_update_is_understood(world: World) -> None:
    """It asks everywhere but after a key, and `enable sshd` alone would refuse."""
    world.run(PROFILE_ON)
    table = world.doctor().stdout.partition("\n\n")[0]
    assert "no code: pam-totp enable" not in table
    assert " ".join(next(line for line in table.splitlines() if "sshd" in line).split()) == (
        "sshd key a way without a code"
    )
    first = world.findings()[0]
    assert (first["kind"], first["command"]) == (
        "way-without-code",
        "pam-totp enable sshd --first-factor password",
    )
    assert "turn the profile off (pam-auth-update --disable pam-totp)" in first["consequence"]
    assert world.run("pam-totp enable sshd --dry-run", check=False).returncode == 1
    world.run(f"{first['command']} --yes --force --no-trial")
    assert not [each for each in world.findings() if each["kind"] == "way-without-code"]


def test_way_around_the_code_at_sshd_is_repaired_where_it_is_written(world: World) -> None:
    world.run("printf 'Match User bob\nAuthenticationMethods publickey\n' >>/etc/ssh/sshd_config")
    (found,) = world.findings()
    last = world.run("wc -l </etc/ssh/sshd_config").stdout.strip()
    assert found["command"] == f"editor +{last} /etc/ssh/sshd_config"
    assert "bob: key alone" in world.doctor().stdout


def test_findings_come_worst_first_each_with_what_to_type(world: World) -> None:
    world.run(BREAK_MUCH)
    found = world.findings()
    order = ["open", "refused", "unknown", "at risk"]
    ranks = [order.index(each["severity"]) for each in found]
    assert ranks == sorted(ranks)
    assert {"open", "refused", "at risk"} <= {each["severity"] for each in found}
    text = world.doctor().stdout
    for number, each in enumerate(found, 1):
        shown = f" {number}. {each['severity']}: {each['what']}\n   {each['consequence']}\n"
        assert f"{shown}   run: {each['command']}\n" in text
    assert text.endswith(f"\n{len(found)} findings\n")


def test_no_line_is_wider_than_the_terminal(world: World) -> None:
    world.run(BREAK_MUCH)
    command, arguments = world.command("pam-totp doctor")
    screen = pexpect.spawn(command, arguments, encoding="utf-8", dimensions=(24, 80), timeout=60)
    screen.expect(pexpect.EOF)
    lines = str(screen.before).splitlines()
    assert len(lines) > 30
    assert [line for line in lines if len(line) > 80] == []


def test_it_changes_no_file(world: World) -> None:
    world.run(BREAK_MUCH)
    before = world.tree()
    for _ in range(2):
        world.doctor()
        world.doctor("--json")
    assert world.tree() == before


def test_stopped_sshd_is_asked_nothing_that_would_change_a_file(world: World) -> None:
    """Without this folder of its unit it says nothing."""
    world.run("rm -rf /run/sshd")  # which is in the host's own /run
    found = world.findings()
    assert {each["kind"] for each in found} == {"undetermined"}
    assert world.run("test -e /run/sshd", check=False).returncode == 1
    command = "mkdir -m 755 /run/sshd"
    assert [each["command"] for each in found].count(command) == 1
    world.run(command)
    assert world.findings() == []


def test_settings_that_were_just_written_are_not_kept_by_it(world: World) -> None:
    world.run("rm -r /var/lib/pam-totp/settings; echo '# none' >>/etc/pam-totp/config.yaml")
    before = world.tree()
    world.doctor()
    assert world.tree() == before


def test_it_works_where_nothing_can_be_written(world: World) -> None:
    everything = "findmnt -rno TARGET | grep -v '^/proc' | sort -r"
    world.run(f"for point in $({everything}); do mount -o remount,bind,ro $point || true; done")
    assert world.run("touch /etc/x", check=False).returncode != 0
    found = world.findings()
    assert {each["kind"] for each in found} == {"state-read-only"}
    assert len(found) == 2


def test_check_that_fails_is_a_finding_and_stops_no_other(world: World) -> None:
    world.run("umount /var/lib/pam-totp; chown bob /var/lib/pam-totp; chmod 666 /etc/pam.d/su")
    found = world.findings()
    undetermined = [each for each in found if each["kind"] == "undetermined"]
    assert len(undetermined) > 1
    assert all("/var/lib/pam-totp is owned by user id" in each["what"] for each in undetermined)
    assert "pam-service-mode" in {each["kind"] for each in found}
    world.run("chown root /var/lib/pam-totp")


def test_program_that_hangs_is_a_finding(world: World) -> None:
    world.run("printf '#!/bin/sh\\nsleep 100\\n' >/etc/sudo; chmod 755 /etc/sudo")
    world.run("mount --bind /etc/sudo /usr/bin/cvtsudoers")
    found = world.findings()
    assert {each["kind"] for each in found} == {"undetermined"}
    assert all("timed out" in each["what"] for each in found)
    told = "".join(each["what"] for each in found)
    assert all(part in told for part in ("who may use sudo", "log in at sudo:", "at sudo-i:"))


@pytest.mark.parametrize(
    "damage",
    [
        "echo 'def (' >>/usr/lib/pam-totp/pam_totp/commands/doctor.py",
        "rm /usr/lib/pam-totp/pam_totp/listing.py",
    ],
)
def test_command_that_is_damaged_itself_says_so_in_two_lines(world: World, damage: str) -> None:
    world.run(damage)
    done = world.doctor()
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 2)
    assert lines[0].startswith("pam-totp: error: the installation is damaged: ")
    assert lines[1].startswith("hint: ")


def test_it_must_be_run_as_root(user: User) -> None:
    assert_refused(pam_totp("doctor", user=user), "this command must be run as root")


@pytest.mark.parametrize("option", ["--jsn", "sshd"])
def test_wrong_usage_ends_with_2(option: str) -> None:
    assert_refused(pam_totp("doctor", option), "unrecognized arguments", code=2)


def test_it_remembers_no_service_that_asks(world: World) -> None:
    world.doctor()
    assert world.run("ls /var/lib/pam-totp/services").stdout == ""
    world.run("touch /var/lib/pam-totp/services/imap")
    assert world.doctor().stderr == ""  # where other commands warn


@pytest.mark.parametrize("there", ["", "store: user"])
def test_secrets_leave_the_homes_by_the_command_of_the_finding(world: World, there: str) -> None:
    world.run("echo 'session optional pam_mkhomedir.so' >>/etc/pam.d/login")
    world.run(f"printf '\\n%s' '{there}' >>/etc/pam-totp/config.yaml")
    (found,) = world.findings()
    assert found["kind"] == "homes-made-at-login"
    world.run(found["command"])
    assert not {"settings-fault", found["kind"]} & {each["kind"] for each in world.findings()}
    assert world.run("ls /var/lib/pam-totp/secrets/alice").stdout.split() == ["recovery", "secret"]


def test_settings_whose_folder_is_gone_are_written_by_the_command_of_the_finding(
    world: World,
) -> None:
    world.run("rm -r /etc/pam-totp")
    (found,) = world.findings()
    assert found["kind"] == "settings-missing"
    world.run(found["command"])
    assert "settings-missing" not in {each["kind"] for each in world.findings()}


def test_lost_settings_are_written_anew_by_the_command_of_the_finding(world: World) -> None:
    rule = '{user: ["alice"], from: ["192.0.2.7/32"], code: never}'.replace('["alice"]', "[alice]")
    world.run(f"printf '%s\n' 'store: system' 'rules: [{rule}]' >/etc/pam-totp/config.yaml")
    world.run("pam-totp users || true")  # keeps the settings, which are good
    world.run("rm /etc/pam-totp/config.yaml")
    (found,) = [each for each in world.findings() if each["kind"] == "settings-missing"]
    world.run(found["command"])
    text = world.run("cat /etc/pam-totp/config.yaml").stdout
    assert "store: system\n" in text
    assert rule in text
