# SPDX-License-Identifier: MIT
"""What administrators see and change of users of a fleet, on a database server."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pam_totp.verbs import VERBS
from tests.commands.commands import (
    RECOVERY_CODE,
    Answer,
    assert_refused,
    configured,
    keys_not_in_manual,
    pam_totp,
)
from tests.fleet.database import Connection, Person, check
from tests.fleet.small_fleet import SmallFleet
from tests.host.accounts import User
from tests.host.system_log import SystemLog
from tests.host.terminal import converse

TRIES = 5  # until somebody has to wait


@pytest.fixture
def server(small_fleet: SmallFleet) -> Iterator[SmallFleet]:
    """A database server, whose own logins do not need the store."""
    with configured("store: system\n"):
        yield small_fleet
    small_fleet.shift_clock(0.0)


@pytest.fixture
def somebody(server: SmallFleet) -> Iterator[Person]:
    """Enrolled, with ten recovery codes."""
    person = server.person()
    server.admin.execute("SELECT totp_admin_1.new_recovery_codes(%s)", [person.name])
    yield person
    server.forget(person.name)


@pytest.fixture
def web08(server: SmallFleet) -> Iterator[Connection]:
    with server.connect("web08") as connection:
        yield connection


def done(*arguments: str) -> Answer:
    answer = pam_totp(*arguments)
    assert (answer.code, answer.errors) == (0, "")
    return answer


def object_of(*arguments: str) -> Any:
    output = done(*arguments, "--json").output
    if arguments[0] in ("users", "explain") and "--missing" not in arguments:
        # explain prints what users prints there, and more
        undescribed = keys_not_in_manual(arguments[0], output)
        assert not undescribed & keys_not_in_manual("users", output)
    return json.loads(output)


def row_of(name: str) -> dict[str, Any]:
    (row,) = [each for each in object_of("users", "--fleet") if each["user"] == name]
    return dict(row)


def keep_waiting(host: Connection, person: Person) -> None:
    for _ in range(TRIES):
        check(host, person.name, person.incorrect_code(time.time()))


def test_secret_that_root_moved_may_be_unconfirmed_until_a_code_is_accepted(
    server: SmallFleet, somebody: Person, web08: Connection
) -> None:
    assert row_of(somebody.name)["unconfirmed"] is None
    assert check(web08, somebody.name, somebody.code(time.time()))[0]
    assert row_of(somebody.name)["unconfirmed"] is False
    done("reset", "--fleet", "--yes", somebody.name)
    assert row_of(somebody.name)["unconfirmed"] is False


def test_name_of_digits_is_one_as_others(server: SmallFleet) -> None:
    """Directories have such: matriculation numbers, say."""
    (invited,) = object_of("invite", "20231234")["invitations"]
    assert (invited["user"], invited["known"]) == ("20231234", False)
    assert row_of("20231234")["invited_until"] == invited["until"]
    assert object_of("invite", "--end", "20231234")["ended"] == ["20231234"]


def test_users_lists_everybody_in_the_store(
    server: SmallFleet, somebody: Person, web08: Connection
) -> None:
    assert check(web08, somebody.name, somebody.code(time.time()))[0]
    keep_waiting(web08, somebody)
    done("invite", somebody.name)
    row = row_of(somebody.name)
    assert (row["enrolled"], row["devices"], row["recovery_codes_left"]) == (True, ["phone"], 10)
    assert row["waiting_seconds"] > 0
    assert row["unconfirmed"] is False
    assert 86000 < row["invited_until"] - time.time() < 86500
    assert abs(row["last_code_at"] - time.time()) < 60 > abs(row["since"] - time.time())
    text = done("users", "--fleet").output
    assert somebody.name in text and "  invitation: until " in text and "  waiting: " in text


def test_users_who_have_not_enrolled_are_listed(server: SmallFleet, somebody: Person) -> None:
    done("invite", "frieda")
    missing = object_of("users", "--fleet", "--missing")
    assert "frieda" in missing and somebody.name not in missing
    server.forget("frieda")


def test_reset_ends_everything_of_the_user(
    server: SmallFleet, somebody: Person, web08: Connection, syslog: SystemLog
) -> None:
    found = object_of("reset", "--fleet", "--yes", somebody.name)
    assert found == {"changed": True, "user": somebody.name}
    assert check(web08, somebody.name, somebody.code(time.time()))[:2] == (False, "not-enrolled")
    row = row_of(somebody.name)
    assert (row["enrolled"], row["devices"], row["recovery_codes_left"]) == (False, [], 0)
    assert row["reset_at"] is not None
    again = done("reset", "--fleet", "--yes", somebody.name)
    assert f"{somebody.name} was not enrolled." in again.output
    assert again.output.endswith(f"run there: pam-totp contact {somebody.name} --remove\n")
    assert len(syslog.lines("action=reset-in-fleet")) == 1


def test_reset_ends_the_invitation_also_of_who_was_reset_before(
    server: SmallFleet, somebody: Person, web08: Connection
) -> None:
    for _ in range(2):
        assert object_of("reset", "--fleet", "--yes", somebody.name)["changed"]
        assert not object_of("reset", "--fleet", "--yes", somebody.name)["changed"]
        (invited,) = object_of("invite", somebody.name)["invitations"]
    assert "was not enrolled." in done("reset", "--fleet", "--yes", somebody.name).output
    with pytest.raises(psycopg.Error, match="no such invitation"):
        web08.execute(
            "SELECT * FROM totp_api_1.enroll_begin(%s, %s, 'phone')",
            [somebody.name, invited["invitation"].replace("-", "")],
        )


def test_reset_asks_first(server: SmallFleet, somebody: Person) -> None:
    answer = pam_totp("reset", "--fleet", somebody.name)
    assert_refused(answer, "standard input is not a terminal; nothing was changed")
    command = ["/usr/bin/pam-totp", "reset", "--fleet", somebody.name]
    assert converse(command, [(r"Continue\? \[y/N\] ", "n")]).status == 1
    assert row_of(somebody.name)["enrolled"]
    assert converse(command, [(r"Continue\? \[y/N\] ", "y")]).status == 0
    assert not row_of(somebody.name)["enrolled"]


def test_unlock_ends_the_wait_and_says_whether_there_was_one(
    server: SmallFleet, somebody: Person, web08: Connection
) -> None:
    keep_waiting(web08, somebody)
    assert check(web08, somebody.name, somebody.code(time.time()))[1] == "throttled"
    found = object_of("unlock", "--fleet", somebody.name)
    assert found == {"changed": True, "user": somebody.name, "waiting_seconds": 0}
    assert check(web08, somebody.name, somebody.code(time.time()))[0]
    assert not object_of("unlock", "--fleet", somebody.name)["changed"]
    assert done("unlock", "--fleet", somebody.name).output == (
        f"{somebody.name} can try again now.\n"
    )


def test_new_recovery_codes_replace_the_old_ones(
    server: SmallFleet, somebody: Person, web08: Connection
) -> None:
    first = RECOVERY_CODE.findall(done("recovery-codes", "--fleet", "--user", somebody.name).output)
    second = object_of("recovery-codes", "--fleet", "--user", somebody.name)["recovery_codes"]
    assert len(set(first) | set(second)) == 20
    old, new = (codes[0].replace("-", "") for codes in (first, second))
    assert not check(web08, somebody.name, old)[0]
    assert check(web08, somebody.name, new)[:2] == (True, "recovery-code")


def test_no_recovery_codes_are_made_for_who_is_not_enrolled(server: SmallFleet) -> None:
    done("invite", "frieda")
    answer = pam_totp("recovery-codes", "--fleet", "--user", "frieda")
    assert_refused(answer, "frieda is not enrolled")
    server.forget("frieda")


def test_explain_says_what_the_store_knows_and_what_hosts_are_told(
    server: SmallFleet, somebody: Person
) -> None:
    found = object_of("explain", "--fleet", somebody.name)
    assert found["known"] and found["enrolled"]
    assert found["told_to_hosts"] == {"state": "enrolled", "waiting_seconds": 0}
    text = done("explain", "--fleet", somebody.name).output
    assert "hosts are told: enrolled, so a code is asked for unless" in text
    assert "Rules, grants and remembered codes are those of each host." in text
    assert text.endswith(f"  pam-totp explain {somebody.name}\n")


def test_explain_of_somebody_unknown_is_no_error(server: SmallFleet) -> None:
    found = object_of("explain", "--fleet", "nobody-at-all")
    assert not found["known"]
    assert "in the store: unknown" in done("explain", "--fleet", "nobody-at-all").output


@pytest.mark.parametrize(
    "more", [["--service", "su"], ["--from", "192.0.2.1"], ["--publickey"], ["--as-user"]]
)
def test_explain_of_the_fleet_is_about_no_login(server: SmallFleet, more: list[str]) -> None:
    answer = pam_totp("explain", "--fleet", "somebody", *more)
    assert (answer.code, "it takes no service and no address" in answer.errors) == (2, True)


@pytest.mark.parametrize(
    "command",
    [
        *(["unlock", "--fleet", "{}"], ["recovery-codes", "--fleet", "--user", "{}"]),
        ["reset", "--fleet", "--yes", "{}"],
    ],
)
def test_whom_the_store_does_not_know_is_an_error_and_is_not_known_afterwards(
    server: SmallFleet, somebody: Person, command: list[str]
) -> None:
    for name in ("nobody-at-all", somebody.name.upper(), f"{somebody.name}x"):
        answer = pam_totp(*(each.format(name) for each in command))
        near = "" if name == "nobody-at-all" else f"; did you mean {somebody.name}?"
        assert_refused(answer, f"the store does not know the user {name!r}")
        assert answer.errors.splitlines()[0].endswith(
            f"the store does not know the user {name!r}{near}"
        )
        assert server.state_of(name) == ""


def test_name_that_differs_in_capitals_is_invited_only_knowingly(
    server: SmallFleet, somebody: Person, user: User
) -> None:
    """Of the store, and of this machine."""
    for known in (somebody.name, user.name):
        name = known.capitalize()
        answer = pam_totp("invite", name)
        assert_refused(answer, f"there is {known!r}, which differs from {name!r} in capitals alone")
        assert server.state_of(name) == ""
        assert answer.errors.endswith(
            f"if that is another user, run: pam-totp invite {name} --yes\n"
        )
        (invited,) = object_of("invite", name, "--yes")["invitations"]
        assert invited["known"] is False
        assert object_of("invite", "--end", name) == {"changed": True, "ended": [name]}
        assert server.state_of(name) == ""


def test_of_two_new_names_that_differ_in_capitals_none_is_invited(server: SmallFleet) -> None:
    assert_refused(pam_totp("invite", "Zora", "zora"), "there is 'zora', which differs from 'Zora'")
    assert (server.state_of("Zora"), server.state_of("zora")) == ("", "")


def test_new_name_is_said_to_be_new_with_the_one_that_may_be_meant(
    server: SmallFleet, somebody: Person
) -> None:
    typo = somebody.name.replace("person", "presno")
    text = done("invite", "zwölf", typo, somebody.name).output
    assert "  zwölf is new to the store. A name must be what\n" in text
    assert f"  {typo} is new to the store; did you mean {somebody.name}? A name" in text
    assert f"  {somebody.name} is new" not in text
    assert f"To take it back: pam-totp invite {typo} --end\n" in text
    assert "is new to the store" not in done("invite", "zwölf").output
    done("invite", "--end", "zwölf", typo)
    assert (server.state_of("zwölf"), server.state_of(typo)) == ("", "")


def test_new_name_that_an_account_of_this_machine_has_is_not_taken_for_a_misspelt_one(
    server: SmallFleet, user: User
) -> None:
    text = done("invite", user.name).output
    assert f"  {user.name} is new to the store. A name must be what\n" in text
    done("invite", "--end", user.name)
    assert server.state_of(user.name) == ""


def test_invitation_that_was_taken_back_is_not_valid(
    server: SmallFleet, somebody: Person, web08: Connection
) -> None:
    (invited,) = object_of("invite", somebody.name)["invitations"]
    assert f"The invitation of {somebody.name} is no longer valid." in (
        done("invite", "--end", somebody.name).output
    )
    with pytest.raises(psycopg.Error, match="no such invitation"):
        web08.execute(
            "SELECT * FROM totp_api_1.enroll_begin(%s, %s, 'phone')",
            [somebody.name, invited["invitation"].replace("-", "")],
        )
    assert row_of(somebody.name)["enrolled"] and row_of(somebody.name)["invited_until"] is None
    assert not object_of("invite", "--end", somebody.name)["changed"]
    assert pam_totp("invite", "--end", "--for", "1h", somebody.name).code == 2


def test_name_that_never_enrolled_is_forgotten_a_day_after_its_invitation(
    server: SmallFleet, somebody: Person, web08: Connection
) -> None:
    # A number of a row that an int cannot hold.
    server.admin.execute("ALTER TABLE totp.person ALTER id RESTART WITH 3000000000")
    done("invite", "mistyped", "waits", "was-reset", somebody.name, "--for", "1h")
    done("reset", "--fleet", "--yes", "was-reset")
    done("invite", "waits", "--for", "7d")
    for hours, is_known in ((24, True), (26, False)):
        server.shift_clock(hours * 3600)
        web08.execute("SELECT totp_api_1.hello(0, '1')")
        assert bool(server.state_of("mistyped")) is is_known
    assert (server.state_of("waits"), server.state_of("was-reset")) == ("not-enrolled", "reset")
    assert server.state_of(somebody.name) == "enrolled"
    for name in ("waits", "was-reset"):
        server.forget(name)


def test_somebody_whom_only_a_host_remembers_is_reset_by_name(server: SmallFleet) -> None:
    """The store was empty when the host joined: so the user is not refused there any more."""
    answer = done("reset", "--fleet", "--yes", "--unknown", "hedwig")
    assert "The store does not know hedwig yet." in answer.output
    assert server.state_of("hedwig") == "reset"
    impossible = pam_totp("reset", "--fleet", "--yes", "--unknown", "a:b")
    assert_refused(impossible, "cannot be the name of a user")
    server.forget("hedwig")


@pytest.mark.parametrize(
    "command",
    [
        *(["users", "--fleet"], ["invite", "{}"], ["reset", "--fleet", "--yes", "{}"]),
        *(["unlock", "--fleet", "{}"], ["explain", "--fleet", "{}"]),
        *(["recovery-codes", "--fleet", "--user", "{}"], ["migrate", "--all", "--fleet"]),
    ],
)
def test_users_may_do_none_of_it(
    server: SmallFleet, somebody: Person, user: User, command: list[str]
) -> None:
    answer = pam_totp(*(each.format(somebody.name) for each in command), user=user)
    assert_refused(answer, "must be run as root")
    assert answer.errors.endswith("\n") and "hint: sudo pam-totp" in answer.errors


WITH_FLEET = {
    "reset": ["{}"],
    "unlock": ["{}"],
    "explain": ["{}"],
    "recovery-codes": ["--user", "{}"],
    "migrate": ["{}"],
    "users": [],
}
HIDE = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /etc/postgresql && exec "$@"', "sh"]


def test_every_verb_with_the_option_is_looked_at() -> None:
    having = [verb for verb in VERBS if "--fleet" in pam_totp(verb, "--help").output]
    assert sorted(having) == sorted(WITH_FLEET)


@pytest.mark.parametrize("verb", [verb for verb, words in WITH_FLEET.items() if words])
def test_user_of_the_fleet_alone_is_found_by_the_hint(
    server: SmallFleet, somebody: Person, verb: str
) -> None:
    words = [each.format(somebody.name) for each in WITH_FLEET[verb]]
    answer = pam_totp(verb, *words)
    assert_refused(answer, f"there is no user {somebody.name!r}")
    assert answer.errors.endswith(f"hint: pam-totp {verb} {' '.join(words)} --fleet\n")
    elsewhere = pam_totp(verb, *words, through=HIDE)
    assert elsewhere.errors.endswith("hint: getent passwd\n")


@pytest.mark.parametrize("verb", ["users", "unlock"])
def test_who_may_mean_the_fleet_is_told_at_the_terminal(
    server: SmallFleet, user: User, verb: str
) -> None:
    words = [verb, *(each.format(user.name) for each in WITH_FLEET[verb])]
    said = converse(["/usr/bin/pam-totp", *words], []).transcript
    assert "pam-totp: note: this was about users of this server alone, not of the fleet" in said
    assert f"hint: pam-totp {' '.join(words)} --fleet" in said
    assert "note:" not in pam_totp(*words).errors
    for quiet in ([*HIDE, "/usr/bin/pam-totp", *words], ["/usr/bin/pam-totp", "users", "--fleet"]):
        assert "note:" not in converse(quiet, []).transcript


@pytest.mark.parametrize("verb", ["reset", "unlock"])
def test_json_without_fleet_is_wrong_usage(server: SmallFleet, user: User, verb: str) -> None:
    answer = pam_totp(verb, user.name, "--json")
    assert (answer.code, "--json needs --fleet" in answer.errors) == (2, True)


COMMANDS = (["users", "--fleet"], ["invite", "alice"])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_host_without_psycopg_names_the_packages(server: SmallFleet, command: list[str]) -> None:
    hide = "mount -t tmpfs none /usr/lib/python3/dist-packages/psycopg"
    through = ["unshare", "-m", "sh", "-c", f'{hide} && exec "$@"', "sh"]
    answer = pam_totp(*command, through=through)
    assert_refused(answer, "PostgreSQL's Python library cannot be used")
    assert answer.errors.endswith("hint: apt-get install postgresql python3-psycopg\n")


@pytest.mark.parametrize("command", COMMANDS)
def test_a_server_that_is_stopped_is_two_lines(server: SmallFleet, command: list[str]) -> None:
    server.admin.close()
    server.control("stop")
    try:
        assert_refused(pam_totp(*command), "the store does not answer on this machine")
    finally:
        server.control("start")
        server.admin = server.superuser()


def test_a_standby_changes_nothing_and_says_so(server: SmallFleet) -> None:
    server.admin.execute("ALTER DATABASE pam_totp SET default_transaction_read_only = on")
    try:
        assert_refused(pam_totp("invite", "alice"), "this server is a standby")
        assert done("users", "--fleet").code == 0
    finally:
        server.admin.execute("ALTER DATABASE pam_totp RESET default_transaction_read_only")


def test_an_administrator_acts_as_totp_admin_alone(server: SmallFleet) -> None:
    """What the functions of totp_admin_1 do not give is not taken with the superuser's rights."""
    from pam_totp.fleet import people

    with people.connected() as store:
        row = store.execute("SELECT current_user, session_user").fetchone()
    assert row == ("totp_admin", "postgres")


def test_a_host_that_is_a_login_host_names_the_database_server(
    small_fleet: SmallFleet, make_user: Callable[..., User]
) -> None:
    """Without a cluster of its own: the store is elsewhere."""
    with configured("store: postgresql\n"):
        answer = pam_totp("reset", "--fleet", "--yes", "alice", through=HIDE)
    assert_refused(answer, "this is a login host, and the store is on the database servers")
    assert "on a database server: pam-totp reset --fleet --yes alice" in answer.errors
