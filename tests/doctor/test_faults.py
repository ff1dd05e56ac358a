# SPDX-License-Identifier: MIT
"""Each fault is planted for real on a healthy host, and `pam-totp doctor` finds it alone."""

import os

import pytest

from tests.doctor import faults, faults_of_people
from tests.doctor.faults import Fault
from tests.doctor.world import World

FAULTS = (
    *faults.WAYS,
    *faults.LINES,
    *faults.SECOND_FACTORS,
    *faults.PROGRAMS,
    *faults.SSHD_SETTINGS,
    *faults.CLOCK,
    *faults.FILES,
    *faults_of_people.USERS,
    *faults_of_people.RECORDS,
    *faults_of_people.SENDING,
    *faults_of_people.LEFTOVERS,
    *faults_of_people.DISKS,
    *faults_of_people.SETTINGS,
    *faults_of_people.AROUND,
)
MIN_KINDS = 40


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_planted_fault_is_found(world: World, fault: Fault) -> None:
    world.run(fault.plant)
    found = world.findings()
    assert {each["kind"] for each in found} == {fault.kind} | fault.also, found
    wanted = [each for each in found if each["kind"] == fault.kind and fault.words in each["what"]]
    assert len(wanted) == 1, found
    assert wanted[0]["consequence"].endswith(".")
    if fault.repaired:
        world.run(wanted[0]["command"] + answers_of(wanted[0]["command"]))
        assert world.findings() == []


def test_command_about_a_file_of_keys_changes_no_file_that_a_link_of_its_user_leads_to(
    world: World,
) -> None:
    keys, shared = "/home/alice/.config/Yubico/u2f_keys", "/home/shared"
    world.run(
        f"{faults.ENABLE} --also u2f; install -d -o alice {os.path.dirname(keys)};"
        f" install -m 666 /dev/null {shared}; ln -s {shared} {keys}"
    )
    (found,) = world.findings()
    assert found["command"] == f"runuser -u alice -- chmod go-w {keys}"
    world.run(found["command"], check=False)
    assert world.run(f"stat -c %a {shared}").stdout == "666\n"


def answers_of(command: str) -> str:
    """What a person answers, who has no other session to try it from."""
    return " --yes --force --no-trial" if command.startswith("pam-totp enable") else ""


def test_at_least_forty_kinds_are_planted(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = {fault.kind for fault in FAULTS}
    with capsys.disabled():
        print(f"\ndoctor finds {len(FAULTS)} planted faults of {len(kinds)} kinds")
    assert len(kinds) >= MIN_KINDS
