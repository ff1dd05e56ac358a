# SPDX-License-Identifier: MIT
"""Each verb of `pam-totp` where the store of a fleet has the secrets: it works, or says where."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pam_totp.fleet import login_host
from pam_totp.verbs import VERBS
from tests.commands.commands import assert_refused, configured, gate, pam_totp, secret_of, verify
from tests.fleet.database import Person, check
from tests.fleet.small_fleet import SmallFleet
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ACCEPTED, ASK, NO_CODE_NEEDED

PASSWD = Path("/etc/passwd")


@pytest.fixture
def phone(fleet: SmallFleet, user: User) -> Person:
    """The user is enrolled in the fleet."""
    return fleet.person(user.name)


def marked(user: User) -> Path:
    """The record that the user has logged in with a code."""
    return Path(f"/var/lib/pam-totp/enforced/{user.uid}")


@pytest.fixture
def remembered_user(user: User) -> Iterator[User]:
    """Has logged in with a code at this host."""
    marked(user).parent.mkdir(exist_ok=True)
    marked(user).touch()
    yield user
    marked(user).unlink(missing_ok=True)


def test_no_verb_was_forgotten() -> None:
    assert set(VERBS) == set(login_host.VERBS)


def test_what_is_done_instead_is_a_verb_that_there_is() -> None:
    for instead in login_host.VERBS.values():
        found = re.search(r"pam-totp ([a-z-]+)", instead)
        assert found is None or found[1] in VERBS


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        (["devices", "--user", "{}"], "pam-totp explain --fleet {}"),
        (["devices", "remove", "phone", "--user", "{}", "--yes"], "pam-totp explain --fleet {}"),
        (["check"], "a code can only be tried by logging in with it"),
        (["resync", "--user", "{}"], "pam-totp invite {}"),
        (["recovery-codes", "--user", "{}"], "pam-totp recovery-codes --fleet --user {}"),
        (["sheet", "{}", "--html", "-"], "pam-totp invite {}"),
        (["reset", "{}", "--yes"], "pam-totp reset --fleet {}"),
        (["unlock", "{}"], "pam-totp unlock --fleet {}"),
        (["import", "google-authenticator", "{}", "--apply"], "pam-totp migrate --all --fleet"),
    ],
)
def test_a_verb_of_local_secrets_is_refused_with_what_to_do_instead(
    fleet: SmallFleet,
    user: User,
    enrolled: Callable[..., Credential],
    command: list[str],
    instead: str,
) -> None:
    enrolled(user)
    before = secret_of(user).read_bytes()
    answer = pam_totp(*(each.format(user.name) for each in command))
    assert_refused(answer, f"`pam-totp {command[0]}` does not work at a login host")
    assert instead.format(user.name) in answer.errors.splitlines()[1]
    assert secret_of(user).read_bytes() == before


def test_users_are_told_to_ask_root(fleet: SmallFleet, user: User) -> None:
    answer = pam_totp("recovery-codes", user=user)
    assert answer.errors.splitlines()[1] == (
        "hint: ask root to run on a database server: "
        f"pam-totp recovery-codes --fleet --user {user.name}"
    )


def test_migrate_puts_nothing_into_the_store_from_here(
    fleet: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    for words in ([user.name], ["--all"]):
        answer = pam_totp("migrate", *words)
        assert answer.code == 2
        assert "a login host cannot put secrets into the store of the fleet" in answer.errors
    assert secret_of(user).exists()


def test_a_host_without_a_fleet_refuses_nothing(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    with configured("store: user\n"):
        assert pam_totp("devices", "--user", user.name).code == 0
        assert pam_totp("unlock", user.name).code == 0


def status(user: User) -> Any:
    answer = pam_totp("status", "--json", user=user)
    return json.loads(answer.output) | {"code": answer.code}


def test_status_of_an_enrolled_user(fleet: SmallFleet, user: User, phone: Person) -> None:
    fleet.admin.execute("SELECT totp_admin_1.new_recovery_codes(%s)", [user.name])
    found = status(user)
    assert (found["code"], found["enrolled"], found["devices_enrolled"]) == (0, True, 1)
    assert (found["recovery_codes_left"], found["waiting_seconds"]) == (10, 0)
    assert (found["faults"], found["secret_file"]) == ([], None)
    text = pam_totp("status", user=user).output
    assert text.startswith(f"{user.name}: enrolled in the fleet\n  1 device, 10 recovery codes")


def test_status_of_a_user_who_has_not_enrolled(fleet: SmallFleet, user: User) -> None:
    assert status(user)["enrolled"] is False
    text = " ".join(pam_totp("status", user=user).output.split())
    assert "not enrolled; run, with an invitation from your administrator: pam-totp enroll" in text


def test_status_without_the_store_knows_nothing(fleet: SmallFleet, user: User) -> None:
    with fleet.away():
        found = status(user)
        assert (found["code"], found["enrolled"]) == (1, None)
        assert (found["devices_enrolled"], found["waiting_seconds"]) == (None, None)
        assert "the store of the fleet cannot be asked" in found["faults"][0]
        assert "enrollment unknown" in pam_totp("status", user=user).output


def rows() -> dict[str, Any]:
    return {row["user"]: row for row in json.loads(pam_totp("users", "--json").output)}


def test_users_lists_accounts_of_the_host_as_the_store_knows_them(
    fleet: SmallFleet, user: User, phone: Person, make_user: Callable[..., User]
) -> None:
    other = make_user()
    stranger = fleet.person("nobody-at-this-host")
    assert verify(user, phone.code(fleet.now())).code == ACCEPTED
    found = rows()
    row = found[user.name]
    assert (row["enrolled"], row["uid"], row["fault"]) == (True, user.uid, "")
    assert row["last_code_at"] is not None
    assert not {other.name, stranger.name} & set(found)
    missing = json.loads(pam_totp("users", "--missing", "--json").output)
    assert other.name in missing and user.name not in missing
    assert pam_totp("users").output.splitlines()[0].startswith("user ")
    fleet.forget(stranger.name)


def test_a_secret_that_was_left_here_is_a_fault_as_it_refuses_the_login(
    fleet: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    credential = enrolled(user)
    assert gate(user).code == ASK and verify(user, credential.code()).code != ACCEPTED
    row = rows()[user.name]
    assert row["fault"].startswith("a secret is still on this host and not in the store")


def test_a_user_whom_the_store_has_lost_is_a_fault(
    fleet: SmallFleet, remembered_user: User
) -> None:
    assert gate(remembered_user).code == ASK
    fault = rows()[remembered_user.name]["fault"]
    assert "the store knows of no enrollment" in fault
    assert fault.endswith(f"pam-totp invite {remembered_user.name}")
    explained = json.loads(pam_totp("explain", remembered_user.name, "--json").output)
    assert explained["outcome"] == (
        "refused: has logged in with a code here, but is not enrolled in the fleet"
    )
    assert (explained["enrolled"], explained["has_used_code"]) == (False, True)


def test_explain_says_that_this_host_knows_its_own_logins_alone(
    fleet: SmallFleet, user: User
) -> None:
    """The user has logged in elsewhere: this host's "no" is about this host."""
    person = fleet.person(user.name)
    with fleet.connect("web09") as elsewhere:
        assert check(elsewhere, user.name, person.code(fleet.now()))[0] is True
    text = pam_totp("explain", user.name).output
    assert "  enrolled: yes\n" in text
    there = f"pam-totp explain {user.name} --fleet, on a database server"
    assert f"  has logged in with a code at this host: no (at any host: {there})\n" in text
    assert "last code: 20" in pam_totp("explain", user.name, "--fleet").output


def test_after_a_reset_what_this_host_remembers_does_not_count(
    fleet: SmallFleet, remembered_user: User
) -> None:
    assert pam_totp("reset", "--fleet", "--yes", "--unknown", remembered_user.name).code == 0
    assert gate(remembered_user).code == NO_CODE_NEEDED
    assert rows()[remembered_user.name]["fault"] == ""


def test_without_the_store_no_list_is_printed(fleet: SmallFleet, user: User) -> None:
    with fleet.away():
        for words in ([], ["--missing"]):
            answer = pam_totp("users", *words)
            assert_refused(answer, "the list is not complete, because the store cannot be asked")
            assert answer.output == ""


def test_users_asks_for_more_accounts_than_one_line_can_name(
    fleet: SmallFleet, user: User, phone: Person
) -> None:
    before = PASSWD.read_bytes()
    lines = [
        f"many{n}:x:{30000 + n}:{30000 + n}::/nonexistent:/usr/sbin/nologin" for n in range(2100)
    ]
    last = fleet.person("many2099")
    try:
        PASSWD.write_bytes(before + "\n".join([*lines, ""]).encode())
        found = rows()
    finally:
        PASSWD.write_bytes(before)
        fleet.forget(last.name)
    assert found[user.name]["enrolled"] is True
    assert found["many2099"]["enrolled"] is True
    assert "many5" not in found


def explain(user: User, *options: str) -> Any:
    return json.loads(pam_totp("explain", user.name, "--service", "su", *options, "--json").output)


def test_explain_tells_the_states_of_the_fleet(
    fleet: SmallFleet, user: User, pam_services: PamServices
) -> None:
    pam_services.add("su")
    found = explain(user)
    assert (found["enrolled"], found["needs_code"]) == (False, False)
    fleet.person(user.name)
    found = explain(user)
    assert (found["enrolled"], found["outcome"]) == (True, "a code is asked for")
    with fleet.away():
        found = explain(user)
        assert (found["enrolled"], found["needs_code"]) == (None, True)
        assert found["outcome"].startswith("refused, unless an outage code of this host is entered")
        assert found["faults"]


def test_explain_promises_no_remembered_code(
    fleet: SmallFleet, user: User, phone: Person, pam_services: PamServices
) -> None:
    pam_services.add("su")
    with configured("store: postgresql\nremember: 1h\n"):
        assert explain(user)["remember_seconds"] == 0


def test_explain_and_doctor_name_a_secret_that_was_left_here(
    fleet: SmallFleet, user: User, enrolled: Callable[..., Credential]
) -> None:
    enrolled(user)
    assert explain(user)["outcome"] == (
        "refused: a secret is still on this host and not in the store of the fleet"
    )
    assert f"{user.name}: a secret is still on this host" in doctor()["secret-left-behind"]


def doctor() -> dict[str, str]:
    found = json.loads(pam_totp("doctor", "--json").output)["findings"]
    return {each["kind"]: each["what"] for each in found}


def test_doctor_finds_nothing_wrong_with_users_of_a_fleet(
    fleet: SmallFleet, user: User, phone: Person
) -> None:
    kinds = set(doctor())
    assert not {each for each in kinds if each.startswith(("secret-", "recovery-"))}
    with fleet.away():
        assert "undetermined" in doctor()
