# SPDX-License-Identifier: MIT
"""A full disk, an expired certificate, a wrong clock, and agents that are killed, in a fleet."""

import pytest

from tests.faults.sizes import SOAK, choose
from tests.fleet.crowd import RUNS, Crowd, dice_of
from tests.fleet.database_server import DATA, SETTINGS
from tests.fleet.test_failover import used_there
from tests.fleet.whole_fleet import Fleet
from tests.host.programs import ACCEPTED, REFUSED
from tests.login.programs import FAKE_CLOCK

pytestmark = pytest.mark.timeout(3600 if SOAK else 300)
SMALL_DISK = "size=160m,mode=700"
CERTIFICATE = "/etc/pam-totp/store.crt"
STORE_CONF = "/etc/pam-totp/store.conf"


def test_a_server_whose_disk_is_full_accepts_nothing_that_it_cannot_keep(pair: Fleet) -> None:
    server = pair.first
    server.stop()
    server.machine.must_run("mv", DATA, f"{DATA}.big")
    server.machine.must_run("install", "-d", "-o", "postgres", "-m", "700", DATA)
    server.machine.must_run("mount", "-t", "tmpfs", "-o", SMALL_DISK, "data", DATA)
    server.machine.must_run("cp", "-a", f"{DATA}.big/.", DATA)
    try:
        server.start()
        with Crowd(pair, 3000, dice_of(0)) as crowd:
            crowd.wait_until(20)
            server.machine.run("dd", "if=/dev/zero", f"of={DATA}/filling", "bs=64k")
            crowd.wait_for("unavailable", 20)
            server.kill()
            server.machine.must_run("rm", f"{DATA}/filling")
            server.start()
            crowd.wait_until(20)
        assert crowd.accepted_twice() == []
        assert used_there(server, crowd.accepted) == len(crowd.accepted)
    finally:
        server.kill()
        server.machine.must_run("umount", DATA)
        server.machine.must_run("rm", "-rf", f"{DATA}.big")


def test_a_host_that_verifies_certificates_refuses_one_that_has_expired(pair: Fleet) -> None:
    (alice,) = pair.people()
    here, server = pair.hosts[0], pair.first
    conf = here.machine.path(STORE_CONF)
    before = conf.read_text(encoding="utf-8")
    make = ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-subj", "/CN=db1", "-days", "30"]
    make += ["-pkeyopt", "ec_paramgen_curve:P-256", "-addext", "subjectAltName=DNS:db1"]
    make += ["-keyout", "/root/key", "-out", "/root/certificate"]
    kept = [
        server.machine.path(f"{SETTINGS}/server.{kind}").read_bytes() for kind in ("key", "crt")
    ]
    try:
        for through, kind in (([], "ok"), (["faketime", "-f", "-40d"], "unavailable")):
            server.machine.must_run(*through, *make)
            for source, target in (("key", "key"), ("certificate", "crt")):
                content = server.machine.path(f"/root/{source}").read_bytes()
                server.machine.path(f"{SETTINGS}/server.{target}").write_bytes(content)
            here.machine.write(CERTIFICATE, server.machine.path("/root/certificate").read_text())
            conf.write_text(
                before.replace("sslmode=require", f"sslmode=verify-full sslrootcert={CERTIFICATE}")
            )
            server.reload()
            here.restart()
            if kind == "ok":
                here.wait_for_store()
            answer = here.check(alice, pair.code())
            assert answer.kind == kind, answer
        assert "certificate verify failed" in answer.text
    finally:
        conf.write_text(before)
        for content, kind in zip(kept, ("key", "crt"), strict=True):
            server.machine.path(f"{SETTINGS}/server.{kind}").write_bytes(content)
        server.reload()


@pytest.mark.parametrize("clock", ["-3d", "+3d"])
def test_a_host_with_a_wrong_clock_accepts_and_refuses_the_same_codes(
    pair: Fleet, clock: str
) -> None:
    (alice,) = pair.people()
    here, there = pair.hosts
    here.restart("env", f"LD_PRELOAD={FAKE_CLOCK}", f"FAKETIME={clock}", "DONT_FAKE_MONOTONIC=1")
    here.wait_for_store()
    assert here.check(alice, pair.code(-2)).reason in ("wrong-code", "clock-skew")
    assert here.check(alice, pair.code()).reason == "totp"
    assert there.check(alice, pair.code()).reason == "reused-code"
    assert there.check(alice, pair.code(+1)).reason == "totp"
    assert here.check(alice, pair.code(+1)).reason == "reused-code"


@pytest.mark.parametrize("run", RUNS)
def test_agents_that_are_killed_under_load_say_yes_to_no_code_twice(pair: Fleet, run: int) -> None:
    """Those who wait for one then have no answer, which is a no."""
    dice = dice_of(run)
    with Crowd(pair, 3000, dice) as crowd:
        for _ in range(choose(6, 60)):
            crowd.wait_until(dice.randrange(5, 30))
            dice.choice(pair.hosts).signal_agent("KILL")
        crowd.wait_until(20)
    assert crowd.accepted_twice() == []
    assert used_there(pair.first, crowd.accepted) == len(crowd.accepted)


@pytest.mark.parametrize("run", RUNS)
def test_agents_that_are_replaced_under_load_leave_nobody_without_an_answer(
    pair: Fleet, run: int
) -> None:
    """By SIGTERM, as at an upgrade."""
    dice = dice_of(run)
    with Crowd(pair, 3000, dice) as crowd:
        for _ in range(choose(6, 60)):
            crowd.wait_until(dice.randrange(5, 30))
            dice.choice(pair.hosts).signal_agent("TERM")
        crowd.wait_until(20)
    assert crowd.kinds.keys() <= {"totp", "reused-code"}, crowd.kinds
    assert crowd.accepted_twice() == []


def test_an_agent_that_hangs_keeps_no_login_waiting(pair: Fleet) -> None:
    """verify itself asks here, whom the agent never answers; then another agent does."""
    (alice,) = pair.people()
    here = pair.hosts[0]
    here.machine.must_run("useradd", "--no-create-home", alice)
    assert here.verify(alice, pair.code(-1)) == ACCEPTED
    here.signal_agent("STOP")
    assert here.verify(alice, pair.code()) == REFUSED
    here.signal_agent("KILL")
    here.wait_for_store()
    assert here.verify(alice, pair.code(+1)) == ACCEPTED
