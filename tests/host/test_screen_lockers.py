# SPDX-License-Identifier: MIT
"""config/pam/screen-locker with the real i3lock and the real swaylock.

Both run as the user, show no question, and answer each with the password.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import failures_of, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.system_log import SystemLog

DISPLAY = ":7"
SECONDS_TO_START = 20
SECONDS_TO_JUDGE = 20
SECONDS_A_FAILURE = 4  # pam_unix waits two of them
Enroll = Callable[..., Credential]
STACK = "\n".join([*shipped_lines("screen-locker"), ""])


def wait_until(true: Callable[[], object], seconds: int, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Locker:
    """A locker on a screen of its own, run by its user. `type` is what a person does there."""

    def __init__(self, user: User, program: str) -> None:
        self.user = user
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder = Path("/run/user") / str(user.uid)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(self._folder, user.uid, user.gid)
        self._variables: dict[str, str] = {}
        if program == "swaylock":
            self._start_wayland()
        else:
            self._start_x()
        self._lock(program)

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        words = [f"{name}={value}" for name, value in self._variables.items()]
        process = subprocess.Popen(
            self.user.command(["/usr/bin/env", *words, *command]),
            cwd=self.user.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def _start_x(self) -> None:
        Path("/tmp/.X11-unix").mkdir(mode=0o1777, exist_ok=True)
        Path("/tmp/.X11-unix").chmod(0o1777)
        self._variables = {"DISPLAY": DISPLAY}
        self._start("Xvfb", DISPLAY, "-ac", "-nolisten", "tcp", "-screen", "0", "640x480x24")
        socket = Path(f"/tmp/.X11-unix/X{DISPLAY[1:]}")
        wait_until(socket.exists, SECONDS_TO_START, "Xvfb does not start")

    def _start_wayland(self) -> None:
        self._variables = {
            "XDG_RUNTIME_DIR": str(self._folder),
            "WLR_BACKENDS": "headless",
            "WLR_LIBINPUT_NO_DEVICES": "1",
            "WLR_RENDERER": "pixman",
            "WAYLAND_DISPLAY": "wayland-1",
        }
        self.user.give(self.user.home / "sway", "xwayland disable\nseat * fallback true\n")
        self._start("env", "-u", "WAYLAND_DISPLAY", "sway", "-c", str(self.user.home / "sway"))
        wait_until((self._folder / "wayland-1").exists, SECONDS_TO_START, "sway does not start")

    def _lock(self, program: str) -> None:
        """Returns once the locker has the keyboard, which each tells in its way."""
        command = {
            "i3lock": ["i3lock"],  # the parent ends then
            "swaylock": ["swaylock", "-f"],
        }[program]
        started = self._start(*command)
        assert started.wait(timeout=SECONDS_TO_START) == 0, f"{program} does not lock"
        self._program = program
        assert not self.is_open()

    def type(self, text: str) -> None:
        """Types into the locker and presses Return."""
        if "DISPLAY" in self._variables:
            self._run("xdotool", "type", "--delay", "30", "--", text)
            self._run("xdotool", "key", "Return")
        else:
            # Each wtype is a keyboard of its own: the compositor needs a moment to know its keys.
            # The text comes by its standard input: a password may begin like an option.
            self._run(
                *("wtype", "-s", "300", "-d", "30", "-", "-s", "100", "-k", "Return", "-s", "100"),
                typed=text,
            )

    def _run(self, *command: str, typed: str = "") -> None:
        words = [f"{name}={value}" for name, value in self._variables.items()]
        whole = self.user.command(["/usr/bin/env", *words, *command])
        subprocess.run(whole, input=typed.encode(), check=True)

    def is_open(self) -> bool:
        return not any(self._pids())

    def _pids(self) -> Iterator[int]:
        for status in Path("/proc").glob("[0-9]*/status"):
            try:
                text = status.read_text(encoding="ascii", errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended by itself
            is_gone = "State:\tZ" in text
            if text.startswith(f"Name:\t{self._program}\n") and not is_gone:
                yield int(status.parent.name)

    def opens(self) -> bool:
        wait_until(self.is_open, SECONDS_TO_JUDGE, "the screen stays locked")
        return True

    def stop(self) -> None:
        for pid in self._pids():
            os.kill(pid, signal.SIGKILL)
        for process in reversed(self._processes):
            process.terminate()
            process.wait(timeout=10)


@pytest.fixture(params=["i3lock", "swaylock", "i3lock by enable"])
def program(request: pytest.FixtureRequest, pam_services: PamServices) -> Iterator[str]:
    """With the lines of the example, or with those that `pam-totp enable login` gives it."""
    name, _, is_enabled = request.param.partition(" by ")
    if not is_enabled:
        pam_services.write(name, STACK)
        yield name
        return
    done = pam_totp("enable", "login", "--yes", "--force")
    assert done.code == 0 and name in done.output
    yield name
    assert pam_totp("disable", "--all", "--yes").code == 0


@pytest.fixture
def lock(program: str, syslog: SystemLog) -> Iterator[Callable[[User], Locker]]:
    lockers: list[Locker] = []

    def start(user: User) -> Locker:
        lockers.append(Locker(user, program))
        # Its first keys may come before its screen has the keyboard.
        while not any("authentication failure" in line.message for line in syslog.lines()):
            lockers[-1].type("wrong")
            time.sleep(SECONDS_A_FAILURE)
        syslog.clear()
        return lockers[-1]

    yield start
    for locker in lockers:
        locker.stop()


Lock = Callable[[User], Locker]


def reasons(syslog: SystemLog) -> list[str]:
    return [decision["reason"] for decision in syslog.decisions()]


def test_password_and_code_in_the_one_field_open_the_screen_and_nothing_less_does(
    user: User, enrolled: Enroll, lock: Lock, syslog: SystemLog
) -> None:
    credential = enrolled(user)
    locker = lock(user)
    for typed, reason in (
        (user.password, "bad-input"),
        (user.password + credential.incorrect_code(), "wrong-code"),
    ):
        syslog.clear()
        locker.type(typed)
        wait_until(syslog.decisions, SECONDS_TO_JUDGE, "no decision")
        assert reasons(syslog) == [reason]
        time.sleep(SECONDS_A_FAILURE)  # keys do not count while it judges
        assert not locker.is_open()
    syslog.clear()
    locker.type(user.password + credential.fresh_code())
    assert locker.opens()
    assert reasons(syslog) == ["totp"]
    assert failures_of(user) == (0, 0, 0)  # root's: what a locker does locks no login


def test_user_who_has_not_enrolled_types_the_password_alone(user: User, lock: Lock) -> None:
    locker = lock(user)
    locker.type(user.password)
    assert locker.opens()
