# SPDX-License-Identifier: MIT
"""A primary that is lost, and the standby that takes its place: no code is accepted twice."""

import threading
import time

import pytest

from tests.faults.sizes import SOAK, choose
from tests.fleet.crowd import RUNS, Crowd, dice_of
from tests.fleet.database_server import Server
from tests.fleet.whole_fleet import FLOOR_SECONDS, Answer, Fleet

pytestmark = pytest.mark.timeout(3600 if SOAK else 300)
SYNCHRONOUS = "ANY 1 (db2)"
SECONDS = 20


def wait_for(server: Server, statement: str) -> None:
    """Until a statement is true there."""
    deadline = time.monotonic() + SECONDS
    while server.sql(statement) != "t":
        assert time.monotonic() < deadline, f"never true: {statement}"
        time.sleep(0.02)


def make_synchronous(pair: Fleet) -> None:
    """From now on a yes is one only when db2 has it."""
    pair.first.set("synchronous_standby_names", SYNCHRONOUS)
    wait_for(pair.first, "SELECT bool_and(sync_state = 'quorum') FROM pg_stat_replication")


def lose_the_primary(pair: Fleet) -> None:
    """db1 loses its power, and db2 takes its place."""
    pair.first.kill()
    pair.second.promote()


def used_there(server: Server, people: list[str]) -> int:
    """Of how many of these people a server knows that their code was used."""
    names = ",".join(f"'{person}'" for person in people)
    return int(
        server.sql(
            "SELECT count(*) FROM totp.credential c JOIN totp.person p ON p.id = c.person"
            f" WHERE c.last_step > 0 AND p.name IN ({names})"
        )
    )


@pytest.mark.parametrize("run", RUNS)
def test_no_code_is_accepted_twice_when_the_primary_is_lost_under_load(
    pair: Fleet, run: int
) -> None:
    dice = dice_of(run)
    with Crowd(pair, 3000, dice) as crowd:
        crowd.wait_until(dice.randrange(20, 200))
        lose_the_primary(pair)
        crowd.wait_for("store-promoted", 50)
    assert crowd.accepted_twice() == []
    again = [host.check(person, crowd.code) for host in pair.hosts for person in crowd.accepted]
    assert not any(answer.accepted for answer in again)


def test_a_promoted_server_refuses_every_code_that_the_one_before_may_have_accepted(
    pair: Fleet,
) -> None:
    alice, bob, carol = pair.people(3)
    here, there = pair.hosts
    pair.first.wait_for_standby()
    pair.first.machine.cut_off(pair.second.machine)  # what it accepts now is lost
    assert here.check(alice, pair.code()).reason == "totp"
    assert here.check(bob, pair.code(+1)).reason == "totp"
    lose_the_primary(pair)
    for host in pair.hosts:
        for person, code in (
            (alice, pair.code()),
            (bob, pair.code(+1)),
            (carol, pair.code(-1)),
            (carol, pair.code()),
            (carol, pair.code(+1)),
        ):
            assert host.check(person, code) == Answer("ok", False, "store-promoted")
    pair.move_clock(pair.second, FLOOR_SECONDS)
    for person in (alice, bob, carol):
        assert here.check(person, pair.code()).reason == "totp"
        assert there.check(person, pair.code()).reason == "reused-code"


def test_a_promoted_server_that_is_killed_at_once_refuses_them_still(pair: Fleet) -> None:
    (alice,) = pair.people()
    pair.first.wait_for_standby()
    pair.first.machine.cut_off(pair.second.machine)
    assert pair.hosts[0].check(alice, pair.code()).reason == "totp"
    lose_the_primary(pair)
    for _ in range(2):
        assert pair.hosts[1].check(alice, pair.code()).reason == "store-promoted"
        pair.second.kill()
        pair.second.start()
    assert pair.hosts[0].check(alice, pair.code()).reason == "store-promoted"


def test_a_promoted_server_that_never_heard_of_an_enrollment_is_not_believed(pair: Fleet) -> None:
    """That nobody has enrolled lets people in without a code, where rules allow that."""
    here = pair.hosts[0]
    pair.first.wait_for_standby()
    pair.first.machine.cut_off(pair.second.machine)
    (alice,) = pair.people()
    here.restart()  # a connection learns once a minute how new the store is
    assert here.ask("standing", alice)[:2] == ["ok", "enrolled"]
    lose_the_primary(pair)
    assert here.ask("standing", alice)[:2] == ["ok", "disbelieved"]


def test_a_standby_that_was_not_promoted_accepts_nobody_and_uses_up_no_code(pair: Fleet) -> None:
    (alice,) = pair.people()
    pair.first.wait_for_standby()
    pair.first.kill()
    assert [host.check(alice, pair.code()).kind for host in pair.hosts] == ["unavailable"] * 2
    pair.first.start()
    assert pair.hosts[0].check(alice, pair.code()).reason == "totp"


def test_hosts_that_reach_neither_server_get_an_answer_though_none_of_them_gives_one(
    pair: Fleet,
) -> None:
    (alice,) = pair.people()
    pair.first.wait_for_standby()
    here, there = pair.hosts
    assert here.check(alice, pair.code(-1)).reason == "totp"  # it has a connection now
    here.machine.cut_off(pair.first.machine, pair.second.machine)
    assert here.check(alice, pair.code()).kind == "unavailable"
    assert here.check(alice, pair.code()).kind == "unavailable"  # by a new connection
    assert there.check(alice, pair.code()).reason in ("totp", "reused-code")
    here.machine.reconnect(pair.first.machine, pair.second.machine)
    assert here.check(alice, pair.code(+1)).reason == "totp"


def test_a_server_that_hangs_lets_nobody_wait_for_it(pair: Fleet) -> None:
    alice, bob = pair.people(2)
    here, there = pair.hosts
    assert here.check(alice, pair.code(-1)).reason == "totp"
    pair.first.machine.send("STOP", "postgres")
    assert [host.check(alice, pair.code()).kind for host in pair.hosts] == ["unavailable"] * 2
    pair.first.machine.send("CONT", "postgres")
    assert there.check(bob, pair.code()).reason == "totp"


def test_without_its_synchronous_standby_nobody_is_accepted(pair: Fleet) -> None:
    alice, bob, carol = pair.people(3)
    here, there = pair.hosts
    make_synchronous(pair)
    assert here.check(alice, pair.code()).reason == "totp"
    pair.second.stop()
    assert here.check(bob, pair.code()).kind == "unavailable"
    pair.second.start()
    wait_for(pair.first, "SELECT bool_and(sync_state = 'quorum') FROM pg_stat_replication")
    assert there.check(carol, pair.code()).reason == "totp"
    assert not there.check(bob, pair.code()).accepted


def test_a_primary_that_comes_back_accepts_nobody_without_its_synchronous_standby(
    pair: Fleet,
) -> None:
    """By itself it knows nothing of the server that was promoted meanwhile."""
    alice, bob = pair.people(2)
    here, there = pair.hosts
    make_synchronous(pair)
    pair.first.wait_for_standby()
    lose_the_primary(pair)
    here.machine.cut_off(pair.second.machine)
    pair.first.start()
    assert here.check(alice, pair.code()).kind == "unavailable"
    there.machine.cut_off(pair.first.machine)
    assert there.check(bob, pair.code()).reason == "store-promoted"


def test_an_old_primary_that_comes_back_is_refused_by_hosts_that_saw_the_new_one(
    pair: Fleet,
) -> None:
    alice, bob = pair.people(2)
    here, there = pair.hosts
    pair.first.wait_for_standby()
    lose_the_primary(pair)
    assert here.check(alice, pair.code()).reason == "store-promoted"
    pair.first.start()
    here.machine.cut_off(pair.second.machine)
    assert here.check(alice, pair.code()).kind == "unavailable"  # asked the new one, in vain
    answer = here.check(alice, pair.code())
    assert "another server has taken its place" in answer.text, answer.text
    there.machine.cut_off(pair.second.machine)  # before it saw the new one
    assert there.check(bob, pair.code()).kind == "ok"


def test_a_wait_for_the_standby_that_somebody_cancels_ends_in_no(pair: Fleet) -> None:
    """PostgreSQL then says yes, with a warning, and the standby knows nothing of it."""
    (alice,) = pair.people()
    here, there = pair.hosts
    make_synchronous(pair)
    pair.first.machine.cut_off(pair.second.machine)
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(here.check(alice, pair.code())))
    asking.start()
    cancel = (
        "SELECT count(pg_cancel_backend(pid)) > 0 FROM pg_stat_activity"
        " WHERE wait_event = 'SyncRep'"
    )
    wait_for(pair.first, cancel)
    asking.join()
    assert [answer.kind for answer in answers] == ["unavailable"]
    lose_the_primary(pair)
    assert not there.check(alice, pair.code()).accepted


@pytest.mark.parametrize("run", RUNS)
def test_a_synchronous_standby_knows_of_every_code_that_was_accepted(pair: Fleet, run: int) -> None:
    dice = dice_of(run)
    make_synchronous(pair)
    with Crowd(pair, 3000, dice) as crowd:
        crowd.wait_until(dice.randrange(20, 200))
        lose_the_primary(pair)
        crowd.wait_for("store-promoted", 20)
    assert used_there(pair.second, crowd.accepted) == len(crowd.accepted)
    assert crowd.accepted_twice() == []


@pytest.mark.parametrize("run", RUNS)
def test_killed_servers_that_come_back_have_forgotten_no_code(pair: Fleet, run: int) -> None:
    dice = dice_of(run)
    with Crowd(pair, 3000, dice) as crowd:
        for _ in range(choose(3, 10)):
            crowd.wait_until(dice.randrange(20, 100))
            server = dice.choice([pair.first, pair.first, pair.second])
            server.kill()
            server.start()
        crowd.wait_until(20)
    assert crowd.accepted_twice() == []
    assert used_there(pair.first, crowd.accepted) == len(crowd.accepted)


def test_a_primary_that_was_lost_follows_the_new_one_and_takes_its_place_again(
    pair: Fleet,
) -> None:
    alice, bob = pair.people(2)
    here, there = pair.hosts
    pair.first.wait_for_standby()
    lose_the_primary(pair)
    assert here.check(alice, pair.code()).reason == "store-promoted"
    pair.move_clock(pair.second, FLOOR_SECONDS)
    assert here.check(alice, pair.code()).reason == "totp"
    pair.stand_by(pair.first, pair.second, "--replace")
    assert pair.first.is_standby()
    pair.second.wait_for_standby()
    assert there.check(bob, pair.code()).reason == "totp"
    pair.second.kill()
    pair.first.promote()
    for person in (alice, bob):
        assert not here.check(person, pair.code()).accepted
    pair.move_clock(pair.first, FLOOR_SECONDS)
    assert there.check(alice, pair.code()).reason == "totp"
