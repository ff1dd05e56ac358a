# SPDX-License-Identifier: MIT
"""`pam-totp explain`: what it says is what the gate does, for any policy and any login.

`remember` aside: which key a login will come with, or from which session, nobody can say.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.commands.commands import (
    assert_refused,
    configured,
    gate,
    pam_totp,
    read_only,
    tree,
    verify,
)
from tests.host.accounts import User, run
from tests.host.credentials import Credential
from tests.host.pam_services import PASSWORD_LINE, PamServices, shipped_lines
from tests.host.programs import CONFIGURATION, NO_CODE_NEEDED, STATE
from tests.host.system_log import SystemLog

CASES = 120
ADDRESSES = ("", "192.0.2.7", "10.1.2.3", "2001:db8::7", "::ffff:10.1.2.3", "fe80::1%eth0")
SERVICES = ("sshd", "login", "sudo")
GROUPS = ("staffx", "guestsx")


@dataclass
class People:
    """One user in each standing, by its name."""

    users: dict[str, User]

    @classmethod
    def make(cls, make_user: Callable[..., User], enrolled: Callable[..., Credential]) -> "People":
        standings = ("new", "enrolled", "marked", "gone", "granted", "granted once", "waiting")
        users = {standing: make_user() for standing in standings}
        for standing in ("enrolled", "marked", "granted", "granted once"):
            enrolled(users[standing])
        verify(users["waiting"], enrolled(users["waiting"]).incorrect_code())
        (STATE / "enforced").mkdir(mode=0o700, exist_ok=True)
        for standing in ("marked", "gone"):
            (STATE / "enforced" / str(users[standing].uid)).touch(0o600)
        assert pam_totp("grant", users["granted"].name, "--for", "1h").code == 0
        return cls(users)

    def again(self, standing: str) -> User:
        """The user in that standing, also after a gate used it up."""
        user = self.users[standing]
        if standing == "granted once":
            assert pam_totp("grant", user.name, "--for", "1h", "--once").code == 0
        return user


@pytest.fixture
def people(make_user: Callable[..., User], enrolled: Callable[..., Credential]) -> People:
    return People.make(make_user, enrolled)


def explain(user: str, *options: str) -> dict[str, Any]:
    answer = pam_totp("explain", user, *options, "--json")
    assert answer.code == 0, answer.errors
    found: dict[str, Any] = json.loads(answer.output)
    return found


def random_policy(dice: random.Random, people: People) -> str:
    """Settings with up to six rules about these people, as JSON, which is YAML."""

    def some(names: list[str]) -> list[str]:
        return dice.sample(names, dice.randint(1, 2))

    names = [user.name for user in people.users.values()]
    choices: dict[str, Callable[[], object]] = {
        "user": lambda: some([*names, "alice*", "*", "nobody-like-this", names[0][:-1] + "?"]),
        "group": lambda: some([*GROUPS, "staff*", "no-such-group", "[!s]*"]),
        "service": lambda: some([*SERVICES, "s*"]),
        "from": lambda: some(["local", "192.0.2.0/24", "10.0.0.0/8", "2001:db8::/32", "::/0"]),
        "publickey": lambda: dice.random() < 0.5,
    }
    rules = []
    for _ in range(dice.randint(0, 6)):
        rule: dict[str, object] = {
            key: choose() for key, choose in choices.items() if dice.random() < 0.35
        }
        rules.append(rule | {"code": dice.choice(["required", "if-enrolled", "never"])})
    modes: list[object] = ["optional", "required", "at-login", {"by": "2038-01-01"}]
    modes.append({"by": "2020-01-01"})
    # An incorrect code of a while ago still counts.
    throttle = {"free_tries": 1, "first_wait": 900}
    return json.dumps({"enrollment": dice.choice(modes), "rules": rules, "throttle": throttle})


@pytest.mark.timeout(240)
def test_explain_and_the_gate_never_disagree(people: People, syslog: SystemLog) -> None:
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    for group in GROUPS:
        run("groupadd", group)
    try:
        for user in people.users.values():
            if dice.random() < 0.5:
                run("usermod", "--append", "--groups", dice.choice(GROUPS), user.name)
        for _ in range(CASES):
            policy = random_policy(dice, people)
            user = people.again(dice.choice(list(people.users)))
            address, service = dice.choice(ADDRESSES), dice.choice(SERVICES)
            publickey = service == "sshd" and dice.random() < 0.5
            options = ["--service", service, "--from", address or "local"]
            options += ["--publickey"] if publickey else []
            variables = {"PAM_SERVICE": service, "PAM_RHOST": address}
            variables |= {"SSH_AUTH_INFO_0": "publickey ssh-ed25519 AAAA"} if publickey else {}
            case = f"seed {seed}: {user.name} {options} under {policy}"
            with configured(policy):
                said = explain(user.name, *options)
                assert (said["waiting_seconds"] > 0) == (user == people.users["waiting"]), case
                syslog.clear()
                done = gate(user, variables=variables)
                assert (done.code == NO_CODE_NEEDED) == (not said["needs_code"]), case
                decisions = [
                    each["reason"] for each in syslog.decisions() if each["verdict"] == "skip"
                ]
                assert decisions == ([] if said["needs_code"] else [said["reason"]]), case
    finally:
        for group in GROUPS:
            run("groupdel", group)


def test_decision_rule_line_and_facts_are_said(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    text = f"rules:\n- {{user: root, code: never}}\n- {{user: {user.name}, code: required}}\n"
    with configured(text):
        said = pam_totp("explain", user.name, "--service", "su").output
    assert said.splitlines()[:11] == [
        f"{user.name}, su, from this machine: the settings ask for a code",
        "  BUT /etc/pam.d/su has no pam_totp.so line, so no code is asked for",
        f"  rule: line 3 of {CONFIGURATION}: user: {user.name}; code: required",
        "  enrolled: yes",
        "  has logged in with a code: no",
        "  grant: none",
        "  waiting after incorrect codes: no",
        "  every way in at su:",
        "    root: needs nothing",
        "    others: password",
        "  way in without a code, for others: password",
    ]


def test_every_way_in_is_told_with_the_lines_to_one_without_a_code(
    user: User, pam_services: PamServices
) -> None:
    pam_services.write("svc", "auth sufficient pam_duo.so\n@include common-auth\n")
    told = explain(user.name, "--service", "svc")
    assert told["every_way_in"] == ["password"]  # pam_duo.so is not installed
    pam_services.write(
        "svc", f"auth sufficient pam_rootok.so\n{PASSWORD_LINE}\nauth required pam_totp.so\n"
    )
    told = explain(user.name, "--service", "svc")
    assert told["every_way_in"] == ["root alone · password, then code"]
    (way,) = told["without_a_code"]
    assert way == {
        "who": "everybody",
        "proved": "root alone",
        "lines": ["/etc/pam.d/svc, line 1: sufficient pam_rootok.so: success"],
    }
    assert explain(user.name, "--service", "nosuch")["every_way_in"] == ["password"]


def test_users_who_pass_because_they_have_not_enrolled_are_told_beside_the_ways_in(
    user: User, pam_services: PamServices
) -> None:
    pam_services.write("svc", f"{PASSWORD_LINE}\nauth required pam_totp.so\n")
    with configured("enrollment: optional\n"):
        told = pam_totp("explain", user.name, "--service", "svc").output
    assert (
        "  every way in at svc: password, then code\n"
        "    Users who have not enrolled need no code (enrollment: optional), unless a rule"
    ) in told
    with configured("enrollment: required\n"):
        assert explain(user.name, "--service", "svc")["enrollment_note"] == ""


def test_module_of_another_program_is_told_and_who_is_asked_by_it(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], pam_services: PamServices
) -> None:
    here, elsewhere = make_user(), make_user()
    enrolled(here)
    pair = shipped_lines("with-google-authenticator")
    note = "At svc, pam_google_authenticator.so asks all users of whom pam_totp.so needs no code."
    pam_services.write("svc", "\n".join([PASSWORD_LINE, *pair, ""]))
    for user, is_asked in ((here, True), (elsewhere, False)):
        said = explain(user.name, "--service", "svc")
        assert (said["needs_code"], said["warnings"], said["without_a_code"]) == (is_asked, [], [])
        assert said["other_module_note"] == note
        shown = " ".join(pam_totp("explain", user.name, "--service", "svc").output.split())
        assert note in shown and (
            f"{user.name}, svc, from this machine: no code is asked for by pam_totp.so" in shown
        ) == (not is_asked)
        assert (f"BUT a{note[1:-1]}" in shown) == (not is_asked)
    # Its line alone.
    pam_services.write("svc", "\n".join([PASSWORD_LINE, pair[1], ""]))
    said = explain(here.name, "--service", "svc")
    assert said["warnings"] == [
        "/etc/pam.d/svc has no pam_totp.so line, so only codes of google-authenticator are asked "
        "for"
    ]
    assert said["other_module_note"] == ""


def test_explain_changes_nothing(user: User, syslog: SystemLog) -> None:
    pam_totp("grant", user.name, "--for", "1h", "--once")
    pam_totp("explain", user.name)  # makes the settings' snapshot
    before = tree(STATE)
    syslog.clear()
    assert explain(user.name)["needs_code"] is False
    assert tree(STATE) == before
    assert syslog.lines(ident="pam-totp") == []


def test_grant_for_a_single_login_is_told_as_one(user: User) -> None:
    for options, once in (([], False), (["--once"], True)):
        pam_totp("grant", user.name, *options)
        assert explain(user.name)["granted_once"] is once
        assert ("grant: once, until 20" in pam_totp("explain", user.name).output) is once


def test_who_would_be_refused_is_told_so(user: User) -> None:
    with configured("enrollment: required\n"):
        said = explain(user.name)
        assert said["needs_code"] and "refused" in said["outcome"]
    with configured("enrollment: at-login\n"):
        assert "QR code" in explain(user.name)["outcome"]


def test_who_has_given_a_code_and_has_no_secret_is_told_to_be_refused(people: People) -> None:
    assert "refused: the secret is missing here" in explain(people.users["gone"].name)["outcome"]


def test_secret_that_no_login_can_use_is_told_so(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    user.home.chmod(0o777)
    said = explain(user.name)["outcome"]
    assert said.startswith("refused, whatever code is entered: ") and "chmod o-w" in said


def test_service_with_our_line_is_told_from_one_without(
    user: User, pam_services: PamServices
) -> None:
    assert explain(user.name)["service_asks"] is False
    pam_services.add("sshd")
    assert explain(user.name)["service_asks"] is True
    pam_services.add("sudo")
    assert explain(user.name, "--service", "sudo")["warnings"] == []


def test_grant_for_once_that_cannot_be_used_is_told(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    assert pam_totp("grant", user.name, "--once").code == 0
    assert explain(user.name)["faults"] == []
    with read_only(STATE):
        (fault,) = explain(user.name)["faults"]
        assert gate(user).code != NO_CODE_NEEDED
    assert "a code is asked for" in fault
    assert gate(user).code == NO_CODE_NEEDED


def test_sshd_without_an_address_is_no_login_of_sshd_s(user: User) -> None:
    note = "every ssh login has a remote address"
    assert note in pam_totp("explain", user.name).output
    assert note not in pam_totp("explain", user.name, "--from", "127.0.0.1").output
    assert note not in pam_totp("explain", user.name, "--service", "su").output


def test_service_is_that_of_libpam_in_small_letters(user: User) -> None:
    with configured("rules: [{service: Corp, code: required}, {code: never}]\n"):
        for service in ("Corp", "corp"):
            assert explain(user.name, "--service", service)["rule_code"] == "required"
        assert gate(user, variables={"PAM_SERVICE": "corp"}).code != NO_CODE_NEEDED


def test_host_name_never_passes_for_an_exempt_address(user: User) -> None:
    policy = "rules: [{from: 192.0.2.7, code: never}, {code: required}]\n"
    with configured(policy):
        assert gate(user, variables={"PAM_RHOST": "192.0.2.7"}).code == NO_CODE_NEEDED
        for name in (
            "192.0.2.7%x.evil.example",
            "192.0.2.7.evil.example",
            "192.0.2.7 ",
            "192.0.2.07",
        ):
            assert gate(user, variables={"PAM_RHOST": name}).code != NO_CODE_NEEDED, name


def test_last_good_policy_is_explained_with_its_fault(user: User) -> None:
    with configured("rules: [{code: never}]\n"):
        assert explain(user.name)["reason"] == "exempt"
        CONFIGURATION.write_text("rules: {\n", encoding="ascii")
        said = explain(user.name)
        assert said["reason"] == "exempt"
        assert said["faults"][0].startswith(f"{CONFIGURATION}: line ")
        assert said["faults"][0].endswith("; the last good settings are active")


@pytest.mark.parametrize("address", ["server.example", "300.1.1.1", "10.0.0.0/8", ":::"])
def test_what_is_no_address_is_wrong_usage(user: User, address: str) -> None:
    answer = pam_totp("explain", user.name, "--from", address)
    assert answer.code == 2
    assert "an IPv4 or IPv6 address" in answer.errors.splitlines()[0]


@pytest.mark.parametrize("service", ["../shadow", "/etc/pam.d/sshd", ""])
def test_what_is_no_name_of_a_service_is_wrong_usage(user: User, service: str) -> None:
    answer = pam_totp("explain", user.name, "--service", service)
    assert answer.code == 2
    assert "must be the name of a file" in answer.errors.splitlines()[0]


def test_line_that_does_not_verify_or_cannot_be_read_is_told_as_what_it_is(
    user: User, pam_services: PamServices
) -> None:
    line = "auth required pam_totp.so"
    pam_services.write("svc", f"{line} combined\n@include common-auth\n")
    said = pam_totp("explain", user.name, "--service", "svc").output
    assert "only a line with 'combined', which accepts any digits" in said
    assert "has no pam_totp.so line" not in said
    pam_services.write("svc", f"@include common-auth\n{line}\r\n")
    said = pam_totp("explain", user.name, "--service", "svc").output
    assert "ends with CR LF, so every login is refused" in said
    assert "has no pam_totp.so line" not in said


def test_service_that_is_not_there_is_said(user: User) -> None:
    said = pam_totp("explain", user.name, "--service", "nosuch").output
    assert said.splitlines()[1:3] == [
        "  ALSO there is no PAM service file /etc/pam.d/nosuch, so PAM uses /etc/pam.d/other",
        "  ALSO /etc/pam.d/other has no pam_totp.so line, so no code is asked for",
    ]


@pytest.mark.parametrize("service", ["other", "nosuch", "login"])
def test_no_line_of_a_service_is_told_twice(user: User, service: str) -> None:
    """libpam reads `other` twice for `other` itself, and once for what has no file."""
    told = explain(user.name, "--service", service)
    for way in told["without_a_code"]:
        assert len(way["lines"]) == len(set(way["lines"])) > 0
    assert len(told["warnings"]) == len(set(told["warnings"]))


def test_a_misspelt_service_is_named_with_the_one_that_may_be_meant(user: User) -> None:
    said = pam_totp("explain", user.name, "--service", "sodu").output
    assert "so PAM uses /etc/pam.d/other; did you mean sudo?" in said


def test_service_is_looked_up_in_lower_case_as_libpam_does(
    user: User, pam_services: PamServices
) -> None:
    pam_services.write("asks", "auth required pam_totp.so\n")
    assert explain(user.name, "--service", "ASKS")["service_asks"] is True


def test_explain_is_for_root_and_for_users_that_exist(user: User) -> None:
    assert_refused(pam_totp("explain", user.name, user=user), "this command must be run as root")
    assert_refused(pam_totp("explain", "nobody-like-this"), "there is no user")


def test_publickey_of_a_service_without_keys_is_wrong_usage(user: User) -> None:
    answer = pam_totp("explain", user.name, "--service", "su", "--publickey")
    assert_refused(answer, "applies only to sshd", 2)


def test_code_is_only_certain_where_the_stack_is(
    user: User, enrolled: Callable[..., Credential], pam_services: PamServices
) -> None:
    enrolled(user)
    ours = "auth required pam_totp.so"
    for line, outcome in (
        ("", "a code is asked for"),
        ("auth sufficient pam_not_there.so", "a code is asked for"),
        ("auth sufficient pam_succeed_if.so user = x", "the settings"),
    ):
        pam_services.write("svc", f"{line}\n@include common-auth\n{ours}\n")
        said = explain(user.name, "--service", "svc")
        assert said["outcome"].startswith(outcome)
        is_open = outcome == "the settings"
        assert ("can accept a login before" in "".join(said["warnings"])) is is_open


LOCKER = "auth required pam_totp.so combined\n@include common-auth\nauth required pam_totp.so\n"


@pytest.fixture
def i3lock(pam_services: PamServices) -> None:
    pam_services.write("i3lock", LOCKER)


@pytest.mark.usefixtures("i3lock")
def test_grant_and_enforced_record_do_not_count_where_the_program_runs_as_the_user(
    people: People, pam_services: PamServices
) -> None:
    granted, gone = people.users["granted"], people.users["gone"]
    assert explain(granted.name, "--service", "login")["needs_code"] is False
    said = explain(granted.name, "--service", "i3lock")
    assert (said["needs_code"], said["runs_as_user"], said["granted_until"]) == (True, True, None)
    assert said["warnings"] == []
    assert explain(gone.name, "--service", "login")["needs_code"] is True
    assert explain(gone.name, "--service", "i3lock")["needs_code"] is False  # its own file decides
    text = pam_totp("explain", granted.name, "--service", "i3lock").output
    assert f"i3lock runs as {granted.name}, so grants, recovery codes" in text
    assert "grant: " not in text
    pam_services.write("mylock", LOCKER)
    assert explain(granted.name, "--service", "mylock")["needs_code"] is False
    assert explain(granted.name, "--service", "mylock", "--as-user")["needs_code"] is True


@pytest.mark.usefixtures("i3lock")
def test_program_that_runs_as_the_user_wants_its_folder_of_run_and_no_system_store(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    (fault,) = explain(user.name, "--service", "i3lock")["faults"]
    assert fault.startswith(f"/run/user/{user.uid} does not exist")
    with configured("store: system\n"):
        said = explain(user.name, "--service", "i3lock")["outcome"]
    assert "refused, whatever code is entered" in said and "only root can read" in said


@pytest.mark.usefixtures("i3lock")
def test_nobody_enrolls_at_a_program_that_runs_as_the_user(user: User) -> None:
    with configured("enrollment: at-login\n"):
        assert "refused" in explain(user.name, "--service", "i3lock")["outcome"]
        assert "QR code" in explain(user.name, "--service", "login")["outcome"]


def test_locker_that_cannot_ask_is_told_to_stay_locked(
    user: User, pam_services: PamServices
) -> None:
    pam_services.write("i3lock", "auth include login\n")
    pam_services.add("login")
    (sentence,) = explain(user.name, "--service", "i3lock")["warnings"]
    assert "i3lock never shows the prompt" in sentence and "screen-locker" in sentence
