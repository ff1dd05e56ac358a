# SPDX-License-Identifier: MIT
"""`pam-totp store add` and `join`: a line is good once, whatever becomes of the command."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from socket import gethostname

import pytest

from pam_totp.fleet import agent_units, host_conf
from tests.commands.commands import (
    Answer,
    assert_keys_as_documented,
    assert_refused,
    pam_totp,
    run,
    tree,
)
from tests.fleet.store import (
    CONF,
    ETC,
    LOG,
    PASSWORD,
    Store,
    forget_join,
    killed_at,
)
from tests.host.programs import COMMAND
from tests.host.terminal import Conversation, converse

NEW = Path(f"{PASSWORD}.new")
LINE = re.compile(r"([a-z0-9-]+):([a-z2-7]{26})@127\.0\.0\.1:\d+/[0-9a-f]{32}")
NAMES = (f"web{number:02}" for number in range(100))


@pytest.fixture
def line(store: Store) -> Iterator[str]:
    """A fresh one, on a host that has not joined."""
    forget_join()
    yield store.add(next(NAMES))
    forget_join()


def join(line: str, *options: str) -> Answer:
    """As on a machine of that name; --yes says that it is meant."""
    return pam_totp("store", "join", "-", "--yes", *options, typed=f"{line}\n")


def parts(line: str) -> tuple[str, str]:
    """The name and the password."""
    found = LINE.fullmatch(line)
    assert found, line
    return found[1], found[2]


def own_password() -> str:
    return PASSWORD.read_text().strip()


def test_add_prints_a_line_for_each_host(store: Store) -> None:
    done = pam_totp("store", "add", "one", "two", "--json")
    assert done.code == 0, done.errors
    lines = [each["line"] for each in json.loads(done.output)["lines"]]
    assert [parts(each)[0] for each in lines] == ["one", "two"]


def test_added_host_is_a_role_that_may_call_the_store_and_nothing_else(store: Store) -> None:
    name, password = parts(store.add("plain"))
    with store.as_host(name, password) as connection:
        row = connection.execute("SELECT store FROM totp_api_1.hello(0, 'x')").fetchone()
        assert row is not None and len(row[0]) == 32


@pytest.mark.parametrize("name", ["Web", "a_b", "-x", "postgres", "x" * 64, "a b", "a;b"])
def test_names_that_no_host_has_are_refused(store: Store, name: str) -> None:
    assert_refused(pam_totp("store", "add", "--", name), "is not a valid host name")


def test_host_that_is_there_already_is_refused(store: Store) -> None:
    store.add("twice")
    done = pam_totp("store", "add", "twice")
    assert_refused(done, "the store already has a host twice")
    again = "pam-totp store remove twice && pam-totp store add twice"
    assert done.errors.endswith(f"hint: If no machine has joined as twice, run: {again}\n")


def test_options_of_a_host_are_kept(store: Store) -> None:
    store.add("jump", "--enroll", "--burst", "5000")
    query = "SELECT may_enroll, burst FROM totp.host WHERE name = 'jump'"
    assert store.row(query) == (True, 5000)


def test_join_writes_both_files_for_root_alone(store: Store, line: str) -> None:
    done = join(line)
    assert done.code == 0, done.errors
    for path in (CONF, PASSWORD):
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (0, 0o600)
    name, pasted = parts(line)
    text = CONF.read_text()
    assert f"user={name} sslmode=require channel_binding=require\n" in text
    assert pasted not in text
    assert own_password() not in text
    assert not NEW.exists()


def test_commands_for_a_machine_without_systemd_are_shown(store: Store, line: str) -> None:
    said = join(line).output.split("\n")
    assert [each.strip() for each in said if " --listen " in each] == list(agent_units.BY_HAND)


def test_pasted_line_is_worthless_after_the_join(store: Store, line: str) -> None:
    name, pasted = parts(line)
    assert store.accepts(name, pasted)
    assert join(line).code == 0
    assert not store.accepts(name, pasted)
    assert store.accepts(name, own_password())
    forget_join()
    done = join(line)
    assert_refused(done, "because the join line was used already, or is not the newest one")
    again = f"pam-totp store remove {name} && pam-totp store add {name}"
    assert done.errors.endswith(f"has joined as {name}, run on the primary: {again}\n")
    assert not CONF.exists() and not PASSWORD.exists() and not NEW.exists()


def test_join_by_the_same_line_on_the_same_host_changes_nothing(store: Store, line: str) -> None:
    assert join(line).code == 0
    before = tree(ETC)
    done = join(line, "--json")
    assert done.code == 0, done.errors
    assert_keys_as_documented("store", done.output, "join")
    assert json.loads(done.output)["changed"] is False
    assert tree(ETC) == before


def test_five_outage_codes_are_shown_once(store: Store, line: str) -> None:
    first = json.loads(join(line, "--json").output)["outage_codes"]
    assert len(set(first)) == 5
    assert json.loads(join(line, "--json").output)["outage_codes"] == []
    done = pam_totp("store", "join", "--new-outage-codes")
    assert done.code == 0, done.errors
    assert not [code for code in first if code in done.output]


def test_password_is_rotated(store: Store, line: str) -> None:
    join(line)
    before = own_password()
    done = pam_totp("store", "join", "--again")
    assert done.code == 0, done.errors
    name, _ = parts(line)
    assert not store.accepts(name, before)
    assert store.accepts(name, own_password())


def test_another_store_is_refused_before_anything_changes(store: Store, line: str) -> None:
    name, pasted = parts(line)
    wrong = line[:-32] + "0" * 32
    assert_refused(join(wrong), "the server has the store ")
    assert not CONF.exists() and not PASSWORD.exists() and not NEW.exists()
    assert store.accepts(name, pasted)


def test_host_that_joined_elsewhere_is_refused(store: Store, line: str) -> None:
    join(line)
    other = line[:-32] + "0" * 32
    done = join(other)
    assert_refused(done, "this host has joined the store ")
    assert done.errors.endswith(f"hint: rm {CONF} {PASSWORD}\n")


def test_removed_host_is_refused_until_it_is_added_again(store: Store, line: str) -> None:
    name, _ = parts(line)
    assert join(line).code == 0
    assert pam_totp("store", "remove", name).code == 0
    assert_refused(pam_totp("store", "join", "--again"), f"the store has removed {name}")
    assert "removed already" in pam_totp("store", "remove", name).output
    assert join(store.add(name)).code == 0


def test_unknown_host_cannot_be_removed(store: Store) -> None:
    assert_refused(pam_totp("store", "remove", "nosuch"), "the store has no host nosuch")


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "x",
        "web07:short@db1/0123456789abcdef",
        f"web07:{'a' * 26}@db1/store",
        f"web07:{'a' * 26}@db1:99999/{'0' * 32}",
        f"web07:{'a' * 26}@/{'0' * 32}",
        f"web07 x:{'a' * 26}@db1/{'0' * 32}",
        f"web07:{'A' * 26}@db1/{'0' * 32}",
        f"web07:{'a' * 26}@db1 host=evil/{'0' * 32}",
    ],
)
def test_what_is_no_line_is_refused_and_never_quoted(typed: str) -> None:
    done = join(typed)
    assert_refused(done, "join line")
    assert "a" * 26 not in done.errors


def test_server_that_is_not_there_is_told(store: Store, line: str) -> None:
    done = join(re.sub(r":\d+/", ":1/", line))
    assert_refused(done, "cannot connect to the store: ")
    assert "Check that the store runs at 127.0.0.1, port 1, and that no firewall" in done.errors
    assert not CONF.exists()


def test_line_of_a_standby_server_is_refused(store: Store, line: str) -> None:
    done = join(f"{line}/1-{'0' * 16}")
    assert_refused(done, "this line is for a standby server, not for a login host")
    assert not CONF.exists()


def test_line_is_asked_for_and_not_shown(store: Store, line: str) -> None:
    talk: Conversation = converse([COMMAND, "store", "join", "--yes"], [("Join line:", line)])
    assert talk.status == 0, talk.transcript
    assert parts(line)[1] not in talk.transcript


def test_line_of_another_host_is_used_only_if_that_is_confirmed(store: Store, line: str) -> None:
    name, pasted = parts(line)
    done = pam_totp("store", "join", "-", typed=line)
    assert_refused(done, f"this line is for {name}, and this machine is called {gethostname()}")
    assert pasted not in done.errors
    asked = [("Join line:", line), (rf"Join as {name}\? \[y/N\] ", "n")]
    refused = converse([COMMAND, "store", "join"], asked)
    assert refused.status == 1
    assert "not confirmed; nothing was changed" in refused.transcript
    assert not CONF.exists() and store.accepts(name, pasted)
    confirmed = converse([COMMAND, "store", "join"], [*asked[:1], (asked[1][0], "y")])
    assert confirmed.status == 0, confirmed.transcript
    # A host that has joined by a name has that name.
    assert pam_totp("store", "join", "-", typed=line).code == 0


@pytest.mark.parametrize(
    ("own", "name", "is_own"),
    [
        ("web07", "web07", True),
        ("WEB07", "web07", True),
        ("web07.example.org", "web07", True),
        ("web07", "web07.example.org", True),
        ("web07.example.org", "web07.example.com", False),
        ("web07", "web0", False),
        ("web08", "web07", False),
        ("ip-10-0-0-7", "web07", False),
    ],
)
def test_name_of_a_host_may_have_its_domain(
    monkeypatch: pytest.MonkeyPatch, own: str, name: str, is_own: bool
) -> None:
    forget_join()
    monkeypatch.setattr("socket.gethostname", lambda: own)
    assert host_conf.is_own(name) is is_own


def test_every_kill_leaves_a_line_or_a_password_that_completes_it(store: Store) -> None:
    number, step = 0, "none"
    while step:
        number += 1
        forget_join()
        line = store.add(next(NAMES))
        name, pasted = parts(line)
        step = killed_at(number, "store", "join", "-", "--yes", typed=line)
        again = join(line)
        assert again.code == 0, (step, again.errors)
        assert store.accepts(name, own_password()), step
        assert not store.accepts(name, pasted), step
        assert not NEW.exists(), step
    assert number > 7


def test_outage_codes_that_nobody_has_seen_are_told_by_the_next_join(
    store: Store, line: str
) -> None:
    """A command that was killed, or whose terminal was lost, made them and did not show them."""
    assert "Keep these outage codes" in join(line).output
    again = join(line)
    assert "It has 5 outage codes." in again.output
    assert "pam-totp store join --new-outage-codes" in again.output


def test_every_kill_of_a_rotation_is_completed_by_the_next_one(store: Store, line: str) -> None:
    join(line)
    name, _ = parts(line)
    number, step = 0, "none"
    while step:
        number += 1
        before = own_password()
        step = killed_at(number, "store", "join", "--again")
        again = pam_totp("store", "join", "--again")
        assert again.code == 0, (step, again.errors)
        assert store.accepts(name, own_password()), step
        assert not store.accepts(name, before), step
    assert number > 5


def test_password_is_known_to_no_log_statistics_or_process_list(store: Store, line: str) -> None:
    """Neither the pasted one, nor the one that replaces it: the server gets its verifier."""
    with store.connect() as connection:
        connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        connection.execute("ALTER SYSTEM SET log_min_duration_statement = 0")
        connection.execute("SELECT pg_reload_conf()")
    try:
        name, pasted = parts(store.add("logged"))
        with store.connect() as connection:  # as if what hosts do were logged
            connection.execute("ALTER ROLE logged RESET log_min_messages")
        trace = ["strace", "-f", "-qq", "-s", "4096", "-e", "trace=execve", "-o", "/tmp/execs"]
        forget_join()
        wanted = f"{name}:{pasted}{line[line.index('@') :]}\n"
        done = run([*trace, COMMAND, "store", "join", "-", "--yes"], wanted)
        assert done.code == 0, done.errors
    finally:
        with store.connect() as connection:
            connection.execute("ALTER SYSTEM RESET ALL")
            connection.execute("SELECT pg_reload_conf()")
    seen = LOG.read_text(errors="replace") + Path("/tmp/execs").read_text()
    assert f'ALTER ROLE "{name}" PASSWORD' in seen
    for secret in (pasted, own_password()):
        assert secret not in seen
        data = run(["grep", "-rlF", secret, "/var/lib/postgresql", "/var/lib/pam-totp"])
        assert data.output == ""
