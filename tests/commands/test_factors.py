# SPDX-License-Identifier: MIT
"""What root is told of users to whom codes are sent: users, status, explain, and who is locked
out."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pam_totp.review.settings_faults import check
from pam_totp.review.settings_warnings import warnings_of
from tests.commands.commands import (
    assert_refused,
    configured,
    gate,
    keys_not_in_manual,
    pam_totp,
    run,
    secret_of,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import ONE_LINE, PamServices
from tests.host.programs import ASK, NO_CODE_NEEDED, STATE
from tests.sending.outbox import NUMBER, SENDS, give_contact

Enrolled = Callable[..., Credential]
MAIL = "a@example.org"
FROM = ("--from", "192.0.2.7")


def row_of(user: User) -> dict[str, Any]:
    rows: list[dict[str, Any]] = json.loads(pam_totp("users", "--json").output)
    return next(row for row in rows if row["user"] == user.name)


def notes_of(user: User) -> list[str]:
    _, _, rest = pam_totp("users").output.partition(f"\n{user.name} ")
    lines = rest.splitlines()[1:]
    end = next((at for at, line in enumerate(lines) if not line.startswith(" ")), len(lines))
    return [line.strip() for line in lines[:end]]


def explained(user: User, *options: str) -> dict[str, Any]:
    answer = pam_totp("explain", user.name, "--json", *FROM, *options)
    assert answer.code == 0, answer.errors
    found: dict[str, Any] = json.loads(answer.output)
    return found


def log_in_once(user: User) -> None:
    """As root's record of a login with a code says."""
    path = STATE / "enforced" / str(user.uid)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(0o600)


def test_factors_are_listed_the_weakest_first(user: User, enrolled: Enrolled) -> None:
    enrolled(user)
    give_contact(user, ("sms", NUMBER), ("mail", MAIL))
    with configured(SENDS):
        assert row_of(user)["factors"] == ["mail", "sms", "totp"]
        assert notes_of(user) == ["factors: mail, sms, totp"]
    with configured("rules:\n  - {code: required, methods: [totp, sms]}\n"):
        assert row_of(user)["factors"] == ["sms", "totp"]
    assert row_of(user)["factors"] == ["totp"]
    assert notes_of(user) == []


def test_token_that_counts_is_a_factor_of_its_own(user: User, enrolled: Enrolled) -> None:
    enrolled(user)
    path = secret_of(user)
    line = "otpauth://hotp/server:a?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&counter=0 token\n"
    path.write_text(path.read_text() + line)
    assert row_of(user)["factors"] == ["totp", "hotp"]


def test_user_with_a_confirmed_contact_is_enrolled_where_a_rule_accepts_it(user: User) -> None:
    give_contact(user, ("sms", NUMBER))
    log_in_once(user)
    with configured(SENDS):
        row = row_of(user)
        assert (row["enrolled"], row["factors"], row["fault"]) == (True, ["sms"], "")
        assert user.name not in pam_totp("users", "--missing").output.splitlines()
    row = row_of(user)
    assert (row["enrolled"], row["factors"]) == (False, [])
    assert "the secret is missing, so every login is refused" in row["fault"]


def test_unconfirmed_contact_is_listed_and_makes_nobody_enrolled(user: User) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=0)
    with configured(SENDS):
        row = row_of(user)
        assert (row["enrolled"], row["factors"]) == (False, [])
        assert row["unconfirmed_contacts"] == ["sms"]
        assert notes_of(user) == ["unconfirmed contact: sms"]
        assert user.name in pam_totp("users", "--missing").output.splitlines()


def test_user_without_a_home_needs_none_for_codes_that_are_sent(user: User) -> None:
    give_contact(user, ("sms", NUMBER))
    run(["usermod", "-d", "/nowhere", user.name])
    with configured(SENDS):
        row = row_of(user)
        assert (row["enrolled"], row["fault"]) == (True, "")
        assert "refused" not in explained(user)["outcome"]
    row = row_of(user)
    assert (row["enrolled"], row["fault"].partition(",")[0]) == (
        None,
        "home '/nowhere' does not exist",
    )


def test_malformed_record_is_a_fault_with_its_repair(user: User) -> None:
    give_contact(user)
    path = STATE / "contacts" / str(user.uid)
    path.write_text("junk\n")
    fault = f"{path} is malformed; run: pam-totp contact {user.name} --remove"
    assert row_of(user)["fault"] == fault
    assert pam_totp("users").code == 1
    with configured(SENDS):
        assert fault in explained(user)["faults"]
    assert json.loads(pam_totp("status", "--user", user.name, "--json").output)["faults"] == [fault]


def test_status_of_a_user_tells_root_where_codes_are_sent(user: User, enrolled: Enrolled) -> None:
    enrolled(user)
    give_contact(user, ("sms", NUMBER), ("mail", MAIL), confirmed=0)
    answer = pam_totp("status", "--user", user.name)
    assert answer.code == 0
    assert answer.output.startswith(f"{user.name}: enrolled since ")
    shown = f"    sms: {NUMBER} (unconfirmed: used only where a code is required)\n"
    assert f"\n  codes can be sent to:\n{shown}" in answer.output
    output = pam_totp("status", "--user", user.name, "--json").output
    assert keys_not_in_manual("status", output) == set()
    found = json.loads(output)
    assert found["contacts"][1] == {"kind": "mail", "address": MAIL, "confirmed": None}
    own = pam_totp("status", "--json", user=user)
    assert (own.code, json.loads(own.output)["contacts"]) == (0, None)
    assert NUMBER not in pam_totp("status", user=user).output


def test_user_is_told_that_only_root_can_see_where_codes_are_sent(user: User) -> None:
    asked = (
        "codes may be sent to you, and only root can see where; ask root to run:\n  pam-totp con"
    )
    give_contact(user, ("sms", NUMBER))
    assert "sent" not in pam_totp("status", user=user).output
    with configured(SENDS):
        told = pam_totp("status", user=user).output
        assert f"{asked}tact {user.name}\n" in told and NUMBER not in told
        assert "enroll again, unless codes are sent to you\n" in told
        by_root = pam_totp("status", "--user", user.name).output
    assert by_root.startswith(f"{user.name}: no device; logs in with codes that are sent\n")
    assert f"  codes can be sent to:\n    sms: {NUMBER}" in by_root and asked not in by_root


def test_user_whom_no_rule_has_codes_sent_is_told_nothing_of_them(user: User) -> None:
    for rule in ("{user: nobody, code: required, methods: [totp, sms]}", "{code: required}"):
        with configured(f"rules:\n- {rule}\n"):
            assert "sent to" not in pam_totp("status", user=user).output


def test_status_of_another_user_is_for_root(make_user: Callable[[], User]) -> None:
    user, other = make_user(), make_user()
    answer = pam_totp("status", "--user", other.name, user=user)
    assert_refused(answer, "with --user, this command must be run as root")
    assert pam_totp("status", "--user", other.name).output.startswith(
        f"{other.name}: not enrolled; run: pam-totp enroll --user {other.name}\n"
    )


def test_explanation_says_where_a_code_is_sent_at_once(user: User) -> None:
    give_contact(user, ("sms", NUMBER), ("mail", MAIL))
    with configured(SENDS):
        found = explained(user)
        text = pam_totp("explain", user.name, *FROM).output
    assert keys_not_in_manual("explain", json.dumps(found)) == set()
    assert (found["needs_code"], found["enrolled"]) == (True, True)
    assert found["methods"] == ["totp", "sms", "mail"]
    assert found["codes_sent"] == [
        {"kind": "sms", "address": NUMBER, "confirmed": 1, "at_once": True},
        {"kind": "mail", "address": MAIL, "confirmed": 1, "at_once": False},
    ]
    assert ": methods: totp, sms, mail; code: required\n" in text
    assert f"\n  a code is sent by sms to {NUMBER} (confirmed)\n" in text
    assert f"\n  to have one sent to {MAIL} (confirmed), enter mail at the prompt\n" in text


def test_users_with_an_app_are_said_to_ask_for_a_code(user: User, enrolled: Enrolled) -> None:
    enrolled(user)
    give_contact(user, ("sms", NUMBER), confirmed=0)
    with configured(SENDS):
        (sent,) = explained(user)["codes_sent"]
    assert sent == {"kind": "sms", "address": NUMBER, "confirmed": None, "at_once": False}


def test_preferred_method_is_sent_at_once_though_there_is_an_app(
    user: User, enrolled: Enrolled
) -> None:
    enrolled(user)
    give_contact(user, ("sms", NUMBER))
    with configured("rules:\n  - {code: required, methods: [sms, totp]}\n"):
        assert explained(user)["codes_sent"][0]["at_once"] is True


@pytest.mark.parametrize("code", ["required", "if-enrolled"])
@pytest.mark.parametrize("confirmed", [0, 1])
@pytest.mark.parametrize("has_logged_in", [True, False])
def test_explanation_of_a_user_without_an_app_agrees_with_the_gate(
    user: User, code: str, confirmed: int, has_logged_in: bool
) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=confirmed)
    if has_logged_in:
        log_in_once(user)
    with configured(f"rules:\n  - {{code: {code}, methods: [totp, sms]}}\n", settled=True):
        found = explained(user)
        answer = gate(user, variables={"PAM_RHOST": "192.0.2.7"})
    assert answer.code == (ASK if found["needs_code"] else NO_CODE_NEEDED)
    assert found["needs_code"] == (code == "required" or bool(confirmed) or has_logged_in)
    assert ("refused" in found["outcome"]) is False


def test_contact_that_the_rule_does_not_accept_changes_nothing(user: User) -> None:
    give_contact(user, ("mail", MAIL))
    with configured("rules:\n  - {code: required, methods: [totp, sms]}\n"):
        found = explained(user)
    assert found["codes_sent"] == []
    assert found["outcome"].startswith("refused: a code is required, but the user has not enrolled")


def test_program_that_runs_as_the_user_sends_nothing(user: User) -> None:
    give_contact(user, ("sms", NUMBER))
    with configured(SENDS):
        assert explained(user, "--as-user")["codes_sent"] == []


def test_root_to_whom_a_code_can_be_sent_is_not_locked_out() -> None:
    root = User("root", "", 0, 0, STATE)
    rules = "rules:\n- {user: root, code: required, methods: [totp, sms]}\n"

    def is_locked_out() -> bool:
        found = check(rules.encode())
        return any("locked out" in each for each in warnings_of(found))

    assert is_locked_out()
    give_contact(root, ("sms", NUMBER), confirmed=0)
    try:
        assert not is_locked_out()
    finally:
        (STATE / "contacts" / "0").unlink()


KEY_LINE = "{}:AbCd,EfGh,es256,+presence\n"


def also_takes(pam_services: PamServices, *modules: str) -> None:
    """A service that asks for a code, and takes these in its place."""
    lines = [f"auth sufficient {module}" for module in modules]
    pam_services.write("with-keys", "\n".join(["@include common-auth", *lines, ONE_LINE, ""]))


def give_key(user: User, owner: str = "") -> None:
    path = user.home / ".config/Yubico/u2f_keys"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(KEY_LINE.format(owner or user.name))
    for each in (path, path.parent, path.parent.parent):
        os.chown(each, user.uid, user.gid)


def test_key_and_finger_are_factors_where_a_service_takes_them(
    user: User, enrolled: Enrolled, pam_services: PamServices, tmp_path: Path
) -> None:
    enrolled(user)
    give_key(user)
    finger = Path("/var/lib/fprint", user.name, "driver/0/7")
    finger.parent.mkdir(parents=True)
    finger.write_bytes(b"print")
    try:
        assert row_of(user)["factors"] == ["totp"]
        also_takes(pam_services, "pam_u2f.so cue", "pam_fprintd.so")
        assert row_of(user)["factors"] == ["totp", "fingerprint", "security-key"]
        assert notes_of(user) == ["factors: totp, fingerprint, security-key"]
        own = json.loads(pam_totp("status", "--json", user=user).output)
        assert "security-key" in own["in_place_of_codes"]
        assert keys_not_in_manual("status", json.dumps(own)) == set()
        also_takes(pam_services, f"pam_u2f.so authfile={tmp_path}/keys")
        assert row_of(user)["factors"] == ["totp"]
        (tmp_path / "keys").write_text(KEY_LINE.format("root") + KEY_LINE.format(user.name))
        assert row_of(user)["factors"] == ["totp", "security-key"]
    finally:
        shutil.rmtree("/var/lib/fprint")


def test_user_who_has_only_a_key_is_listed_as_not_enrolled(
    user: User, pam_services: PamServices
) -> None:
    give_key(user)
    also_takes(pam_services, "pam_u2f.so cue")
    assert (row_of(user)["enrolled"], row_of(user)["factors"]) == (False, ["security-key"])
    assert user.name in pam_totp("users", "--missing").output.split()


def test_key_of_another_user_is_none_and_a_pipe_is_not_waited_for(
    user: User, enrolled: Enrolled, pam_services: PamServices
) -> None:
    enrolled(user)
    give_key(user, "root")
    also_takes(pam_services, "pam_u2f.so cue")
    assert row_of(user)["factors"] == ["totp"]
    path = user.home / ".config/Yubico/u2f_keys"
    path.unlink()
    os.mkfifo(path)
    assert row_of(user)["factors"] == ["totp"]
