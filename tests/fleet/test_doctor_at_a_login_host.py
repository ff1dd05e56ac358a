# SPDX-License-Identifier: MIT
"""`pam-totp doctor` on a login host of the store: each fault is planted for real, found alone."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pam_totp.fleet import hosts
from pam_totp.records.config.store_conf import PASSWORD_PATH, PATH
from pam_totp.records.host import outage
from pam_totp.review.doctor import fleet_host
from pam_totp.review.doctor.findings import OPEN, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.doctor.users import _of_not_enrolled
from pam_totp.rules import agent_line
from tests.fleet.database import Database
from tests.fleet.login_host import HOST, LoginHost
from tests.fleet.test_agent import ABOUT_OTHERS, ask_as
from tests.host.accounts import User
from tests.host.programs import CONFIGURATION, STATE

PSYCOPG = "/usr/lib/python3/dist-packages/psycopg/__init__.py"
DAMAGE = "echo 'raise ImportError' >/tmp/damaged.py; mount --bind /tmp/damaged.py"


def findings() -> list[Finding]:
    return list(fleet_host.find(Host()))


def shell(script: str) -> None:
    subprocess.run(["bash", "-euc", script], check=True)


@pytest.fixture
def healthy(login_host: LoginHost) -> Iterator[LoginHost]:
    """A host that has joined completely."""
    outage.new_codes()
    assert findings() == []
    yield login_host


@pytest.mark.parametrize(
    ("plant", "kind", "words"),
    [
        (f"rm {PATH}", "store-file-missing", f"there is no {PATH}"),
        (f"rm {PASSWORD_PATH}", "store-file-missing", f"there is no {PASSWORD_PATH}"),
        (f"chmod 666 {PATH}", "store-file-unsafe", "writable by others"),
        (f"chown nobody {PASSWORD_PATH}", "store-file-unsafe", "owned by another user"),
        (f"chmod 644 {PASSWORD_PATH}", "store-file-open", "can be read by others"),
        (f"sed -i s/channel_binding=require// {PATH}", "store-conf-unusable", "channel_binding"),
        (f"echo nonsense >>{PATH}", "store-conf-unusable", "must have one line"),
        ("rm /var/lib/pam-totp/outage/codes", "no-outage-codes", "no outage codes left"),
        ("echo x >/var/lib/pam-totp/outage/codes", "no-outage-codes", "is malformed"),
        ("rm /run/pam-totp/agent.sock", "agent-not-listening", "there is no /run/pam-totp"),
    ],
)
def test_planted_fault_is_found_alone(
    healthy: LoginHost, plant: str, kind: str, words: str
) -> None:
    shell(plant)
    (found,) = findings()
    assert found.kind == kind
    assert words in found.what
    assert found.consequence.endswith(".")
    if found.command.startswith(("ch", "rm")):
        shell(found.command)
        assert kind not in [each.kind for each in findings() if each.kind != "no-outage-codes"]
    healthy.configure()


def test_silence_of_the_store_is_a_finding(healthy: LoginHost) -> None:
    healthy.configure(ports="1")
    healthy.restart()
    (found,) = findings()
    assert found.kind == "store-silent"
    assert "the store does not answer: " in found.what


def test_another_store_is_a_finding(healthy: LoginHost) -> None:
    healthy.configure(store="0" * 32)
    healthy.restart()
    (found,) = findings()
    assert found.kind == "store-silent"
    assert "has another store" in found.what


def test_removed_host_is_a_finding_whose_commands_bring_it_back(
    healthy: LoginHost, database: Database
) -> None:
    hosts.remove(database.admin, HOST)
    try:
        (found,) = findings()
        assert found.kind == "host-refused"
        assert found.consequence.endswith(
            f"pam-totp store remove {HOST} && pam-totp store add {HOST}"
        )
        assert found.command == "pam-totp store join"
    finally:
        database.add_host(HOST)


def test_missing_library_is_a_finding(healthy: LoginHost) -> None:
    shell(f"{DAMAGE} {PSYCOPG}")
    try:
        (found,) = findings()
    finally:
        shell(f"umount {PSYCOPG}")
    assert (found.kind, "psycopg" in found.what) == ("library-missing", True)


def test_clock_that_differs_is_a_finding(healthy: LoginHost, database: Database) -> None:
    database.shift_clock(100)
    try:
        healthy.restart()
        (found,) = findings()
    finally:
        database.shift_clock(0)
    assert found.kind == "store-clock-differs"
    assert "seconds ahead" in found.what


@pytest.mark.parametrize(
    "edit", [f"sed -i s/host=/host=192.0.2.9,/ {PATH}", f"sed -i s/{HOST}/web99/ {PATH}"]
)
@pytest.mark.parametrize("is_away", [False, True])
def test_agent_that_runs_with_an_earlier_file_is_a_finding(
    healthy: LoginHost, edit: str, is_away: bool
) -> None:
    """Also where the earlier file is the reason why the store is silent."""
    if is_away:
        healthy.configure(ports="1")
        healthy.restart()
    shell(f"echo '# a comment changes nothing' >>{PATH}")
    assert [each.kind for each in findings()] == ["store-silent"] * is_away
    shell(edit)
    (found,) = findings()
    assert found.kind == "agent-outdated"
    assert found.command.startswith("systemctl stop pam-totp-agent.service")
    healthy.configure()
    healthy.restart()
    assert findings() == []


def test_users_agent_says_nothing_of_the_file(login_host: LoginHost, user: User) -> None:
    login_host.start_for_users()
    assert ask_as(user, agent_line.CONF) == ABOUT_OTHERS


@pytest.mark.parametrize("settings", ["store: system\n", "# the defaults\n", ""])
def test_forgotten_setting_is_a_finding_until_it_is_set(healthy: LoginHost, settings: str) -> None:
    CONFIGURATION.write_text(settings)
    if not settings:
        CONFIGURATION.unlink()
        shutil.rmtree(STATE / "settings", ignore_errors=True)
    with no_cluster():
        (found,) = findings()
        assert (found.kind, found.severity) == ("store-not-set", OPEN)
        shell(found.command)
        assert CONFIGURATION.read_text().count("store: postgresql") == 1
        assert findings() == []


def test_database_server_that_has_joined_has_not_forgotten_it(healthy: LoginHost) -> None:
    CONFIGURATION.write_text("store: system\n")
    with no_cluster():
        shell("mkdir /etc/postgresql/15 /etc/postgresql/15/pam_totp")
        assert findings() == []


@contextmanager
def no_cluster() -> Iterator[None]:
    """As on a machine that runs no store, for what looks into the folder."""
    shell("mount -t tmpfs none /etc/postgresql")
    try:
        yield
    finally:
        shell("umount /etc/postgresql")


@pytest.mark.parametrize("store", ["postgresql", "user"])
def test_who_has_not_enrolled_needs_an_invitation_in_a_fleet_alone(
    healthy: LoginHost, store: str
) -> None:
    CONFIGURATION.write_text(f"store: {store}\n")
    (found,) = _of_not_enrolled(["zoe"], Host())
    assert found.command == "pam-totp enroll --user zoe"
    assert ("`pam-totp invite USER` on a database server" in found.consequence) == (
        store == "postgresql"
    )


def test_host_that_has_not_joined_is_asked_nothing(login_host: LoginHost) -> None:
    CONFIGURATION.write_text("store: system\n")
    shell(f"rm {PATH}")
    with no_cluster():
        assert findings() == []
    login_host.configure()


def test_doctor_needs_no_library_of_the_database_where_there_is_no_store() -> None:
    program = (
        "import sys; sys.path[:0] = ['/usr/lib/pam-totp', '/usr/lib/python3/dist-packages']\n"
        "from pam_totp.review.doctor.examine import examine\n"
        "from pam_totp.review.doctor.host import Host\n"
        "examine(Host())\n"
        "assert 'psycopg' not in sys.modules\n"
    )
    done = subprocess.run(["/usr/bin/python3", "-BIS", "-c", program], capture_output=True)
    assert done.returncode == 0, done.stderr
