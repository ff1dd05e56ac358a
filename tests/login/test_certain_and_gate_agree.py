# SPDX-License-Identifier: MIT
"""Where a mark says that a user is certain to be asked, the gate asks, and says nothing before it.

Both are run in this process, on the host's own files, through random histories: a login leaves its
mark, everything that the gate goes by changes behind its back, and no command takes it away.
"""

import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pam_totp.access.decision import ASK, decide
from pam_totp.access.facts import gather_facts
from pam_totp.login import verify
from pam_totp.records.config.settings import UNSETTLED_SECONDS, load
from pam_totp.records.storage.state_dir import VAR
from pam_totp.records.user import grant, granting
from pam_totp.rules.request import Request
from tests.host.accounts import User, add_user, remove_user, run
from tests.host.credentials import Credential, enroll
from tests.host.programs import CONFIGURATION, RECORDS, STATE
from tests.login import marks

PASSWD = Path("/etc/passwd")
SERVICES = ("sshd", "su", "login", "pam-totp")
FROM = ("", "192.0.2.7", "10.1.2.3", "client.example")
FILES = 60  # of settings
KEY = "publickey ssh-ed25519 AAAA"
INVALID = ("rules: [{code: nevr}]\n", "remember: on\n", "- x\n", "")
# What may happen, as often as it is named here.
HAPPENS = (
    *(*("log in",) * 8, "guess", *("settings",) * 4, "no settings"),
    *("settings before", "settings before", "no settings"),
    *("edit", "grant", "old grant", "broken grant", "no grant", "never logged in"),
    *("other order", "no room", "room", "open to others", "for root", "no secret", "secret"),
    "somebody logs in",
)
# The exempting settings that cannot be kept on the disk: their snapshot in memory applies where the
# file is removed again.
KEPT_IN_MEMORY = ["log in", "no room", "settings", "somebody logs in", "no settings"]


class World:
    """Two users, of whom the first has a second name; and the settings that there may be."""

    def __init__(self, users: list[User], credentials: list[Credential], folder: Path) -> None:
        self.users, self.credentials = users, credentials
        self.names = [users[0].name, f"{users[0].name}-too", users[1].name]
        self.files = [folder / f"{number:02}.yaml" for number in range(FILES)]
        dice = random.Random(1)
        for file in self.files:
            file.write_text(self.some_settings(dice), encoding="ascii")
        self.files[0].write_text("rules: [{code: never}]\n", encoding="ascii")
        self.seen: Counter[str] = Counter()
        self.has_room = True
        self.begin()

    def some_settings(self, dice: random.Random) -> str:
        if dice.random() < 0.1:
            return dice.choice(INVALID)
        lines = [f"enrollment: {dice.choice(['optional', 'required', 'at-login'])}"]
        if dice.random() < 0.2:
            lines.append("remember: 10m")
        if dice.random() < 0.1:
            lines.append("store: system")
        rules = [self.some_rule(dice) for _ in range(dice.choice((0, 0, 1, 1, 2, 3)))]
        return "\n".join([*lines, "rules:" if rules else "", *rules, ""])

    def some_rule(self, dice: random.Random) -> str:
        names = [*self.names, "'alice*'", "'*-too'", "'?????'", "bob", "'b*'", "'*'"]
        groups = [self.users[0].name, "'alice*'", "'no*'", "no-such-group"]
        conditions = {
            "user": f"[{', '.join(dice.sample(names, dice.choice((1, 1, 2))))}]",
            "group": dice.choice(groups),
            "service": dice.choice(["sshd", "[su, login]", "'s*'"]),
            "from": dice.choice(["local", "10.0.0.0/8", "[192.0.2.0/24, local]"]),
            "publickey": dice.choice(["yes", "no"]),
        }
        chosen = [key for key in conditions if dice.random() < 0.35]
        code = dice.choice(["never", "never", "if-enrolled", "required"])
        words = [f"code: {code}", *(f"{key}: {conditions[key]}" for key in chosen)]
        return f"- {{{', '.join(words)}}}"

    def begin(self) -> None:
        """As after a boot, without settings, and nobody has ever logged in."""
        if not self.has_room:
            self.happen("room", 0)
        for folder in (marks.MARKS, RECORDS / "settings", STATE / "settings"):
            shutil.rmtree(folder, ignore_errors=True)
        CONFIGURATION.unlink(missing_ok=True)
        self.active, self.before = self.files[:2]
        for user in self.users:
            for kind in ("enforced", "grants"):
                (STATE / kind / str(user.uid)).unlink(missing_ok=True)
            (RECORDS / str(user.uid)).unlink(missing_ok=True)
            (RECORDS / "remembered" / str(user.uid)).unlink(missing_ok=True)
        for each in self.credentials:
            enroll(each.user, each.secret)

    def happen(self, what: str, number: int) -> None:
        which = number % 2
        user, credential = self.users[which], self.credentials[which]
        name, now = self.names[number % 3], int(time.time())
        if what == "log in":
            which = 1 if name == self.names[2] else 0
            (RECORDS / str(self.users[which].uid)).unlink(missing_ok=True)
            self.verify(name, self.credentials[which].code())
        elif what == "guess":
            for index in range(1 + number % 7):
                self.verify(name, f"{index:06}")
        elif what == "settings":
            self.before, self.active = self.active, self.files[number % FILES]
            self.choose()
        elif what == "settings before":
            self.before, self.active = self.active, self.before
            self.choose()
        elif what == "somebody logs in":
            load()
        elif what == "no settings":
            CONFIGURATION.unlink(missing_ok=True)
        elif what == "edit":
            CONFIGURATION.unlink(missing_ok=True)
            shutil.copyfile(self.files[number % FILES], CONFIGURATION)
        elif what == "grant":
            until = now + 600
            granting.give(user.uid, grant.Grant(since=now - 9, until=until, once=bool(number % 3)))
        elif what == "old grant":
            granting.give(user.uid, grant.Grant(since=now - 9, until=now - 3, once=False))
        elif what == "broken grant":
            VAR.write(grant.KIND, user.uid, b"no grant\n")
        elif what == "no grant":
            (STATE / "grants" / str(user.uid)).unlink(missing_ok=True)
        elif what == "never logged in":
            (STATE / "enforced" / str(user.uid)).unlink(missing_ok=True)
        elif what == "other order":
            self.reverse_names()
        elif what in ("open to others", "for root") and self.has_room:
            (STATE / "settings").mkdir(mode=0o700, exist_ok=True)
            (STATE / "settings").chmod(0o777 if what == "open to others" else 0o700)
        elif what in ("no room", "room"):  # for a new snapshot
            (STATE / "settings").mkdir(mode=0o700, exist_ok=True)
            run("chattr", "+i" if what == "no room" else "-i", str(STATE / "settings"))
            self.has_room = what == "room"
        elif what in ("no secret", "secret"):
            secret = user.home / ".config" / "pam-totp" / "secret"
            secret.unlink(missing_ok=True)
            if what == "secret":
                enroll(user, credential.secret)

    def choose(self) -> None:
        place = CONFIGURATION.with_name("new")
        place.symlink_to(self.active)
        place.rename(CONFIGURATION)

    def verify(self, name: str, typed: str) -> None:
        file = os.memfd_create("typed")
        os.pwrite(file, typed.encode(), 0)
        before = os.dup(0)
        os.dup2(file, 0)
        try:
            request = Request(user=name, service="sshd", rhost="192.0.2.7", key=KEY)
            verdict, _ = verify.reach_verdict(request, time.time())
        finally:
            os.dup2(before, 0)
            os.close(before)
            os.close(file)
        self.seen["accepted" if verdict.accepted else verdict.reason] += 1

    def reverse_names(self) -> None:
        """The other of two names is the first with its id."""
        *others, first, second = PASSWD.read_text().splitlines()
        new = PASSWD.with_name("passwd.new")
        new.write_text("\n".join([*others, second, first, ""]))
        new.chmod(0o644)
        new.rename(PASSWD)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    users = [add_user(), add_user()][::-1]  # the first of them is the last of /etc/passwd
    second = ["--non-unique", "--no-create-home", "--home-dir", str(users[0].home)]
    run("useradd", *second, "--uid", str(users[0].uid), f"{users[0].name}-too")
    folder = Path("/etc/pam-totp/some")
    folder.mkdir(mode=0o755)
    world = World(users, [enroll(user) for user in users], folder)
    time.sleep(UNSETTLED_SECONDS + 0.05)
    yield world
    world.begin()
    shutil.rmtree(folder)
    run("userdel", "--force", f"{users[0].name}-too")
    for user in users:
        remove_user(user)


@pytest.fixture(scope="module")
def is_certain(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], bool]:
    return marks.compiled(tmp_path_factory.mktemp("compiled"))


def check_gate(world: World, name: str, service: str, number: int) -> None:
    """It asks wherever and however this user logs in to the service, and has nothing to say."""
    for rhost in (FROM[number % 4], FROM[(number + 1) % 4]):
        for key in ("", KEY) if service == "sshd" else ("",):
            request = Request(user=name, service=service, rhost=rhost, key=key)
            active, now = load(), time.time()
            facts = gather_facts(request, active, now)
            assert decide(facts, active.enrollment, service, now).action == ASK, request
            assert facts.wait == 0, request
            assert facts.grant_fault == "", request


def test_gate_asks_wherever_a_mark_says_so_after_any_history(
    world: World, is_certain: Callable[[str, str], bool]
) -> None:
    steps = st.tuples(st.sampled_from(HAPPENS), st.integers(0, FILES * 7 - 1))

    @settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
    @example([(what, 0) for what in KEPT_IN_MEMORY])
    @given(st.lists(steps, min_size=6, max_size=24))
    def try_history(history: list[tuple[str, int]]) -> None:
        world.begin()
        for what, number in history:
            world.happen(what, number)
            for name in world.names:
                for service in SERVICES:
                    if is_certain(name, service):
                        world.seen[f"certain after {what}"] += 1
                        check_gate(world, name, service, number)

    try_history()
    assert world.seen["accepted"] > 300
    assert world.seen["certain after log in"] > 300
    others = (world.seen[f"certain after {what}"] for what in {*HAPPENS} - {"log in"})
    assert sum(others) > 50
