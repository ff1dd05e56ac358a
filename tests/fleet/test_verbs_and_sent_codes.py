# SPDX-License-Identifier: MIT
"""What commands say and do at a login host of a fleet about users to whom codes are sent."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands.commands import assert_refused, configured, gate, pam_totp
from tests.fleet.small_fleet import SmallFleet
from tests.host.accounts import User
from tests.host.fuse import home_that_never_answers
from tests.host.programs import ASK, RECORDS, STATE
from tests.sending.outbox import NUMBER, SENDS, forget_limits, give_contact

ASKED = "the settings ask for a code"  # though no service here does
MISSING = "the store knows of no enrollment"


@pytest.fixture(autouse=True)
def settings(fleet: SmallFleet, user: User) -> Iterator[None]:
    """A rule that accepts every method, and a user with a number."""
    give_contact(user, ("sms", NUMBER))
    with configured(f"store: postgresql\n{SENDS}"):
        yield
    (STATE / "enforced" / str(user.uid)).unlink(missing_ok=True)


def recorded(user: User, content: str = "") -> None:
    """As a login with a code leaves it."""
    (STATE / "enforced").mkdir(mode=0o700, exist_ok=True)
    (STATE / "enforced" / str(user.uid)).write_text(content)


def explain(user: User) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(pam_totp("explain", user.name, "--json").output)
    return found


def row_of(user: User) -> dict[str, Any]:
    rows = json.loads(pam_totp("users", "--json").output)
    (found,) = [each for each in rows if each["user"] == user.name]
    return dict(found)


def test_explain_tells_who_is_sent_a_code_at_once_and_who_on_request(
    fleet: SmallFleet, user: User
) -> None:
    found = explain(user)
    assert (found["outcome"], found["enrolled"]) == (ASKED, True)
    assert [(each["kind"], each["at_once"]) for each in found["codes_sent"]] == [("sms", True)]
    fleet.person(user.name)
    assert [(each["kind"], each["at_once"]) for each in explain(user)["codes_sent"]] == [
        ("sms", False)
    ]


def test_explain_and_gate_agree_that_nothing_is_sent_where_an_app_is_missing_or_unknown(
    fleet: SmallFleet, user: User
) -> None:
    recorded(user)
    found = explain(user)
    assert found["outcome"] == (
        "refused: has logged in with a code here, but is not enrolled in the fleet"
    )
    assert found["codes_sent"] == []
    with fleet.away():
        away = explain(user)
        assert away["codes_sent"] == []
        assert "unless an outage code of this host is entered" in away["outcome"]
        assert gate(user).code == ASK
    recorded(user, "sent")
    assert [each["kind"] for each in explain(user)["codes_sent"]] == ["sms"]


def test_users_lists_whom_codes_are_sent_to_as_enrolled(fleet: SmallFleet, user: User) -> None:
    row = row_of(user)
    assert (row["enrolled"], row["fault"], row["unconfirmed_contacts"]) == (True, "", [])
    recorded(user, "sent")
    assert (row_of(user)["enrolled"], row_of(user)["fault"]) == (True, "")
    recorded(user)
    assert row_of(user)["enrolled"] is False
    assert MISSING in row_of(user)["fault"]


def test_users_missing_names_who_has_neither_an_app_nor_a_contact_that_codes_are_sent_to(
    fleet: SmallFleet, user: User
) -> None:
    def is_missing() -> bool:
        return user.name in json.loads(pam_totp("users", "--missing", "--json").output)

    assert not is_missing()
    recorded(user, "sent")
    assert not is_missing()
    recorded(user)  # by an app, which the store does not know: nothing is sent then
    assert is_missing()
    (STATE / "enforced" / str(user.uid)).unlink()
    give_contact(user, ("sms", NUMBER), confirmed=0)
    assert is_missing()
    fleet.person(user.name)
    assert not is_missing()


def test_users_names_a_contact_that_is_not_confirmed(fleet: SmallFleet, user: User) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=0)
    row = row_of(user)
    assert (row["enrolled"], row["unconfirmed_contacts"]) == (False, ["sms"])


def test_status_tells_root_where_codes_are_sent_and_what_was_tried(
    fleet: SmallFleet, user: User
) -> None:
    for _ in range(5):
        with fleet.connect() as host:
            host.execute("SELECT totp_api_1.count_sent(%s, '', '')", [user.name])
    found = json.loads(pam_totp("status", "--user", user.name, "--json").output)
    assert [each["kind"] for each in found["contacts"]] == ["sms"]
    assert 0 < found["waiting_seconds"] <= 30
    assert "codes can be sent to:" in pam_totp("status", "--user", user.name).output
    own = json.loads(pam_totp("status", "--json", user=user).output)
    assert own["contacts"] is None


def test_unlock_in_the_fleet_ends_the_wait_of_a_user_without_an_app(
    fleet: SmallFleet, user: User
) -> None:
    for _ in range(5):
        with fleet.connect() as host:
            host.execute("SELECT totp_api_1.count_sent(%s, '', '')", [user.name])
    answer = pam_totp("unlock", "--fleet", user.name)
    assert answer.output == f"{user.name} can try again now.\n"


def test_unlock_at_a_login_host_ends_what_is_counted_there_and_says_where_the_rest_is(
    fleet: SmallFleet, user: User
) -> None:
    try:
        assert_refused(pam_totp("unlock", user.name), "does not work at a login host")
        (RECORDS / "sendings").mkdir(mode=0o700, exist_ok=True)
        (RECORDS / "sendings" / str(user.uid)).write_text("")
        answer = pam_totp("unlock", user.name)
        assert answer.code == 0
        assert "no longer count against the user's limit" in answer.output
        assert f"pam-totp unlock {user.name} --fleet" in answer.output
        assert not (RECORDS / "sendings" / str(user.uid)).exists()
        assert_refused(pam_totp("unlock", user.name, user=user), "does not work at a login host")
    finally:
        forget_limits()


def test_what_follows_when_the_last_contact_is_removed_is_said(
    fleet: SmallFleet, user: User
) -> None:
    recorded(user, "sent")
    said = pam_totp("contact", user.name, "--remove").output
    assert f"pam-totp reset {user.name} --fleet" in " ".join(said.split())
    give_contact(user, ("sms", NUMBER))
    fleet.person(user.name)
    assert pam_totp("contact", user.name, "--remove").output == f"{user.name}: no contacts\n"


def test_config_check_and_doctor_find_no_fault_in_codes_that_are_sent_in_a_fleet(
    fleet: SmallFleet, user: User
) -> None:
    assert pam_totp("config", "check").code == 0
    found = pam_totp("doctor", "--json").output
    assert "cannot be sent" not in found


def test_a_home_that_never_answers_keeps_nobody_waiting(fleet: SmallFleet, user: User) -> None:
    with home_that_never_answers(user):
        assert pam_totp("contact", user.name, "--remove").code == 0
        assert pam_totp("status", "--user", user.name).code == 0
