# SPDX-License-Identifier: MIT
"""`pam-totp doctor` as a whole: a healthy host, and what it never does."""

from tests.doctor.world import World


def test_healthy_host_has_no_finding(world: World) -> None:
    done = world.doctor()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.endswith("No fault was found.\n")
    assert world.findings() == []


def test_it_changes_no_file(world: World) -> None:
    before = world.tree()
    for _ in range(2):
        world.doctor()
        world.doctor("--json")
    assert world.tree() == before
