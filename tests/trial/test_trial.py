# SPDX-License-Identifier: MIT
"""A trial: kept by a yes after a login with a code, and taken back by everything else."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.commands.commands import assert_refused, clock, keys_not_in_manual, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.ssh_client import client_options
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, converse
from tests.trial.change_host import (
    CHANGES,
    CURRENT,
    ROLL_BACK,
    SETTINGS,
    STACK,
    ChangeHost,
    is_over,
    state,
    wait_until,
    watchers,
)

LONG, SHORT = "600", "8"
CRON = Path("/etc/cron.d/pam-totp-trial")
READY = "Attempts, from /var/log/auth.log:"
QUESTION = r"Keep it\? \[y/N\] "


class Trial:
    """The command on a terminal of its own."""

    def __init__(self, host: ChangeHost, seconds: str = LONG):
        command = host.command(seconds)
        self.child = pexpect.spawn(
            command[0], command[1:], encoding="utf-8", timeout=30, dimensions=(24, 200)
        )
        self.child.expect_exact(READY)
        assert state() == host.new

    def expect(self, what: str) -> str:
        self.child.expect(what)
        return str(self.child.before)

    def type(self, text: str) -> None:
        self.child.send(text)

    def end(self) -> tuple[int, str]:
        """Exit code, 128 and more after a signal, and what was said at last."""
        self.child.expect(pexpect.EOF)
        said = str(self.child.before).replace("\r\n", "\n")
        self.child.close()
        by_signal = self.child.signalstatus
        return 128 + by_signal if by_signal else self.child.exitstatus or 0, said

    def kill(self) -> None:
        assert self.child.pid is not None
        os.kill(self.child.pid, signal.SIGKILL)
        self.child.wait()


@pytest.fixture
def start(change_host: ChangeHost) -> "object":
    trials: list[Trial] = []

    def begin(seconds: str = LONG) -> Trial:
        trials.append(Trial(change_host, seconds))
        return trials[-1]

    yield begin
    for trial in trials:
        trial.child.close(force=True)


Start = Callable[..., Trial]


def log_in(host: ChangeHost, user: User, code: str) -> int:
    options = client_options(host)  # type: ignore[arg-type]
    argv = ["/usr/bin/ssh", *options, "-l", user.name, "127.0.0.1", "id -un"]
    return converse(argv, [("Password: ", user.password), ("Verification code: ", code)]).status


def assert_taken_back(host: ChangeHost) -> None:
    wait_until(is_over)
    assert state() == host.old
    assert not list(STACK.parent.glob(".pam-totp*"))
    assert not list(SETTINGS.parent.glob(".pam-totp*"))
    assert not host.asks_for_a_key_and_more
    wait_until(lambda: not watchers())


def test_yes_after_a_login_with_a_code_keeps_it(
    change_host: ChangeHost, start: Start, user: User, credential: Credential
) -> None:
    trial = start()
    assert log_in(change_host, user, credential.fresh_code()) == 0
    shown = trial.expect(QUESTION)
    assert f"sshd: {user.name} from 127.0.0.1: accepted (totp, phone)" in shown
    assert f"sshd: Accepted keyboard-interactive/pam for {user.name} from 127.0.0.1" in shown
    assert f"{user.name} has logged in with a code." in shown
    trial.type("y\r")
    code, said = trial.end()
    assert code == 0 and "Kept." in said
    assert state() == change_host.new and is_over()
    assert (CHANGES / "1/kept").exists()
    wait_until(lambda: not watchers())
    assert change_host.asks_for_a_key_and_more


def test_every_attempt_is_shown_with_its_reason(
    change_host: ChangeHost, start: Start, user: User, credential: Credential
) -> None:
    trial = start()
    options = client_options(change_host)  # type: ignore[arg-type]
    argv = ["/usr/bin/ssh", *options, "-l", user.name, "127.0.0.1", "id -un"]
    wrong = [("Verification code: ", credential.incorrect_code(number)) for number in range(3)]
    converse(argv, [("Password: ", user.password), *wrong])
    trial.expect(rf"sshd: {user.name} from 127.0.0.1: refused \(wrong-code")
    converse(argv, [("Password: ", user.password), ("Verification code: ", user.password)])
    trial.expect(r"refused:\s+the\s+password\s+was\s+typed\s+at\s+the\s+code\s+prompt")
    options = client_options(change_host, user.new_ssh_key())  # type: ignore[arg-type]
    after_a_key = ["/usr/bin/ssh", *options, *argv[-4:]]  # and the module knows no password
    converse(after_a_key, 3 * [("Verification code: ", user.password)])
    trial.expect(r"refused:\s+not\s+a\s+code,\s+perhaps\s+the\s+password\s+\(bad-input")
    converse(argv, [("Password: ", "not the password")])
    trial.expect(r"\(before\s+the\s+code:\s+incorrect\s+password")
    trial.expect(rf"sshd: Failed keyboard-interactive/pam for {user.name} from 127.0.0.1")


def test_login_that_a_user_writes_into_the_log_is_none(
    change_host: ChangeHost, start: Start, user: User
) -> None:
    trial = start()
    forged = {
        "pam-totp": f"verdict=accept reason=totp user={user.name} service=sshd rhost=192.0.2.7",
        "sshd": f"Accepted keyboard-interactive/pam for {user.name} from 192.0.2.7 port 4711 ssh2",
    }
    for program, line in forged.items():
        assert user.run_as("logger", "-p", "auth.info", "-t", f"{program}[1]", line).returncode == 0
    trial.expect(f"sshd: Accepted keyboard-interactive/pam for {user.name}")
    trial.type("y\r")
    trial.expect("Nobody has logged in with a code yet")
    assert CURRENT.exists()


@pytest.mark.parametrize("answer", ["n", "", "no", "what?"])
def test_any_other_answer_takes_it_back(
    change_host: ChangeHost, start: Start, user: User, credential: Credential, answer: str
) -> None:
    trial = start()
    assert log_in(change_host, user, credential.fresh_code()) == 0
    trial.expect(QUESTION)
    trial.type(f"{answer}\r")
    code, said = trial.end()
    assert code == 1
    assert "pam-totp: error: the answer was no; everything was taken back\nhint: " in said
    assert_taken_back(change_host)
    assert (CHANGES / "1/taken-back").exists()


def test_yes_before_anybody_has_logged_in_keeps_nothing(
    change_host: ChangeHost, start: Start
) -> None:
    trial = start()
    trial.type("y\r")
    trial.expect("Nobody has logged in with a code yet")
    assert CURRENT.exists()
    trial.type(CTRL_C)
    trial.end()
    assert_taken_back(change_host)


def test_no_answer_within_the_time_takes_it_back(change_host: ChangeHost, start: Start) -> None:
    code, said = start(SHORT).end()
    assert code == 1
    assert f"nobody logged in with a code within {SHORT} s; everything was taken back" in said
    assert_taken_back(change_host)


def test_ctrl_c_takes_it_back(change_host: ChangeHost, start: Start) -> None:
    trial = start()
    trial.type(CTRL_C)
    code, said = trial.end()
    assert code == 1 and "it was interrupted; everything was taken back" in said
    assert_taken_back(change_host)


def test_closed_window_takes_it_back(change_host: ChangeHost, start: Start) -> None:
    trial = start()
    trial.child.close()
    assert_taken_back(change_host)


def test_kill_9_of_the_command_takes_it_back_at_once(change_host: ChangeHost, start: Start) -> None:
    start().kill()
    assert_taken_back(change_host)


def test_kill_9_of_the_watcher_leaves_it_to_the_command(
    change_host: ChangeHost, start: Start
) -> None:
    trial = start(SHORT)
    (watcher,) = watchers()
    os.kill(watcher, signal.SIGKILL)
    assert f"nobody logged in with a code within {SHORT} s" in trial.end()[1]
    assert_taken_back(change_host)


def test_stopped_command_does_not_stop_the_time(change_host: ChangeHost, start: Start) -> None:
    trial = start(SHORT)
    assert trial.child.pid is not None
    os.kill(trial.child.pid, signal.SIGSTOP)
    assert_taken_back_but_for_the_command(change_host)
    os.kill(trial.child.pid, signal.SIGCONT)
    assert (
        f"nobody logged in with a code within {SHORT} s; everything was taken back"
        in trial.end()[1]
    )


def assert_taken_back_but_for_the_command(host: ChangeHost) -> None:
    wait_until(is_over)
    assert state() == host.old
    assert not host.asks_for_a_key_and_more


def kill_everything(trial: Trial) -> None:
    (watcher,) = watchers()
    os.kill(watcher, signal.SIGKILL)
    trial.kill()
    wait_until(lambda: not watchers())


def test_after_kill_9_of_everything_the_boot_unit_s_program_takes_it_back(
    change_host: ChangeHost, start: Start
) -> None:
    kill_everything(start())
    assert state() == change_host.new
    done = subprocess.run([ROLL_BACK], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"{STACK} is as it was before." in done.stdout
    assert_taken_back(change_host)
    again = subprocess.run([ROLL_BACK], capture_output=True, text=True)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_after_kill_9_of_everything_the_next_command_of_roots_takes_it_back(
    change_host: ChangeHost, start: Start, user: User
) -> None:
    kill_everything(start())
    pam_totp("status", user=user)
    assert state() == change_host.new
    said = pam_totp("users")
    assert said.code == 0
    assert "warning: a change that nobody had kept was taken back" in said.errors
    assert len(said.errors.splitlines()) == 2
    assert_taken_back(change_host)
    assert pam_totp("users").errors == ""


def test_without_systemd_cron_takes_back_what_nobody_cares_for(
    change_host: ChangeHost, start: Start
) -> None:
    CRON.parent.mkdir(exist_ok=True)
    trial = start()
    assert CRON.stat().st_mode & 0o777 == 0o644 and "." not in CRON.name
    *_, line = CRON.read_text(encoding="ascii").splitlines()
    every_minute, user, command = line[:9], *line[10:].split(maxsplit=1)
    assert (every_minute, user) == ("* * * * *", "root")
    as_cron = ["env", "-i", "PATH=/usr/bin:/bin", "sh", "-c", command]
    assert subprocess.run(as_cron).returncode == 0
    assert state() == change_host.new and CURRENT.exists()
    kill_everything(trial)
    assert subprocess.run(as_cron).returncode == 0
    assert_taken_back(change_host)
    assert not CRON.exists()


@pytest.mark.parametrize("ends", ["kept", "taken back"])
def test_line_for_cron_goes_with_the_trial(
    change_host: ChangeHost, start: Start, ends: str
) -> None:
    CRON.parent.mkdir(exist_ok=True)
    trial = start()
    assert CRON.exists()
    pam_totp("confirm") if ends == "kept" else trial.type(CTRL_C)
    trial.end()
    assert not CRON.exists()


def test_sshd_that_somebody_else_broke_is_reloaded_as_soon_as_it_can_be(
    change_host: ChangeHost, start: Start
) -> None:
    trial = start()
    broken = SETTINGS.parent / "95-broken.conf"
    broken.write_text("NoSuchKeyword yes\n")
    try:
        trial.type(CTRL_C)
        code, said = trial.end()
        assert code == 1
        assert "it was interrupted; sshd was not reloaded: sshd -t: " in said
        assert state() == change_host.old
        assert not is_over() and change_host.asks_for_a_key_and_more
    finally:
        broken.unlink()
    assert_taken_back(change_host)  # by the watcher, which tries again


def test_restart_of_the_machine_takes_it_back(change_host: ChangeHost, start: Start) -> None:
    kill_everything(start())
    other = Path("/tmp/boot-id")
    other.write_text("8c4b9b56-0000-4000-8000-000000000000\n")
    boot = "/proc/sys/kernel/random/boot_id"
    subprocess.run(["mount", "--bind", other, boot], check=True)
    try:
        # Something else may hold the lock of the command or the watcher that was.
        held = subprocess.Popen(["flock", CHANGES / "1/command", "sleep", "60"])
        try:
            assert subprocess.run([ROLL_BACK]).returncode == 0
        finally:
            held.kill()
            held.wait()
    finally:
        subprocess.run(["umount", boot], check=True)
    assert_taken_back(change_host)


def test_running_trial_is_left_alone_by_other_commands(
    change_host: ChangeHost, start: Start
) -> None:
    start()
    assert pam_totp("users").errors == ""
    assert subprocess.run([ROLL_BACK]).returncode == 0
    assert subprocess.run([ROLL_BACK, "1"]).returncode == 0  # as the timer of an earlier one
    assert state() == change_host.new and CURRENT.exists()


def test_package_that_is_removed_takes_it_back(change_host: ChangeHost, start: Start) -> None:
    trial = start()
    assert subprocess.run([ROLL_BACK, "--now"]).returncode == 0
    assert_taken_back(change_host)
    assert trial.end()[0] == 1


def watch_with_a_clock_of(shift: str) -> None:
    """In place of the trial's own watcher; returns when it watches."""
    (watcher,) = watchers()
    os.kill(watcher, signal.SIGKILL)
    wait_until(lambda: not watchers())
    subprocess.Popen([*clock(shift), ROLL_BACK, "--watch", "1"])
    held = ["flock", "--nonblock", "--shared", str(CHANGES / "1/watcher"), "true"]
    wait_until(lambda: subprocess.run(held).returncode != 0)


def test_clock_that_is_set_on_does_not_end_it(change_host: ChangeHost, start: Start) -> None:
    start()
    watch_with_a_clock_of("+2h")
    assert subprocess.run([*clock("+2h"), ROLL_BACK, "1"]).returncode == 0  # systemd's timer
    assert state() == change_host.new and CURRENT.exists()


def test_clock_that_is_set_back_does_not_prolong_it(change_host: ChangeHost, start: Start) -> None:
    trial = start(SHORT)
    assert trial.child.pid is not None
    os.kill(trial.child.pid, signal.SIGSTOP)
    watch_with_a_clock_of("-2h")
    wait_until(lambda: state() == change_host.old)


def test_second_enable_during_a_trial_changes_nothing(
    change_host: ChangeHost, start: Start
) -> None:
    start()
    done = change_host.put_in()
    assert done.returncode == 1
    assert done.stderr == (
        "pam-totp: error: a trial of sshd is running; nothing was changed\nhint: pam-totp confirm\n"
    )
    assert state() == change_host.new


@pytest.mark.parametrize(("verb", "ends"), [("enable", ""), ("disable", " --take-back")])
def test_a_running_trial_is_named_before_anything_is_asked(
    change_host: ChangeHost, start: Start, verb: str, ends: str
) -> None:
    """So no code is used up for what cannot be done."""
    start()
    done = pam_totp(verb, "su", typed="000000\ny\n")
    assert (done.code, done.output) == (1, "")
    message = "pam-totp: error: a trial of sshd is running; nothing was changed"
    assert done.errors == f"{message}\nhint: pam-totp confirm{ends}\n"


def test_confirm_in_another_session_keeps_it(change_host: ChangeHost, start: Start) -> None:
    trial = start()
    said = pam_totp("confirm")
    assert said.code == 0 and said.errors == ""
    assert said.output == (
        f"Kept: enable sshd.\n  {STACK}\n  {SETTINGS}\n"
        f"The files as they were before are in {CHANGES}/1/before.\n"
    )
    code, shown = trial.end()
    assert code == 0 and "It was kept by another session." in shown
    assert state() == change_host.new
    again = pam_totp("confirm")
    assert again.code == 0 and "Already kept" in again.output


UNTRIED = r"Keep it all the same\? \[y/N\] $"


@pytest.mark.parametrize("answer", ["", "n", "y"])
def test_confirm_at_a_terminal_asks_before_it_keeps_what_nobody_has_tried(
    change_host: ChangeHost, start: Start, answer: str
) -> None:
    """The second administrator types the hint that another command ended with."""
    trial = start()
    said = converse(["/usr/bin/pam-totp", "confirm"], [(UNTRIED, answer)])
    assert "Nobody has logged in with a code since it began" in said.transcript
    assert "On trial: enable sshd. It is taken back by itself in 9 min" in said.transcript
    if answer == "y":
        assert said.status == 0 and "Kept: enable sshd." in said.transcript
        return
    assert said.status == 1 and "not confirmed; the trial goes on" in said.transcript
    assert not is_over() and state() == change_host.new
    trial.type(CTRL_C)
    assert trial.end()[0] == 1
    assert_taken_back(change_host)


def test_confirm_asks_nothing_after_a_login_with_a_code(
    change_host: ChangeHost, start: Start, user: User, credential: Credential
) -> None:
    trial = start()
    assert log_in(change_host, user, credential.fresh_code()) == 0
    trial.expect(QUESTION)
    said = converse(["/usr/bin/pam-totp", "confirm"], [])
    assert said.status == 0 and said.transcript.startswith("Kept: enable sshd.")


def test_confirm_says_in_json_whether_it_changed_anything(
    change_host: ChangeHost, start: Start
) -> None:
    start()
    for is_changed in (True, False):
        output = pam_totp("confirm", "--json").output
        assert keys_not_in_manual("confirm", output) == set()
        found = json.loads(output)
        assert (found["changed"], found["result"]) == (is_changed, "kept")


def test_confirm_without_a_trial_is_refused(
    change_host: ChangeHost, start: Start, user: User
) -> None:
    assert_refused(pam_totp("confirm"), "no trial is running")
    trial = start()
    trial.type(CTRL_C)
    trial.end()
    assert_refused(pam_totp("confirm"), "no trial is running, and the last one was taken back")
    assert_refused(pam_totp("confirm", user=user), "must be run as root")


def test_confirm_of_a_change_that_was_never_on_trial_is_refused(change_host: ChangeHost) -> None:
    assert change_host.put_in().returncode == 0
    for arguments in ([], ["--take-back"]):
        assert_refused(pam_totp("confirm", *arguments), "no trial is running")
    assert state() == change_host.new


def test_confirm_in_another_session_may_take_it_back(change_host: ChangeHost, start: Start) -> None:
    trial = start()
    said = pam_totp("confirm", "--take-back")
    assert said.code == 0 and f"{STACK} is as it was before." in said.output
    assert_taken_back(change_host)
    code, shown = trial.end()
    assert code == 1 and "another session ended it; everything was taken back" in shown
    assert "Already taken back: enable sshd." in pam_totp("confirm", "--take-back").output
    assert_refused(pam_totp("confirm"), "the last one was taken back")


def test_command_that_hangs_after_its_time_does_not_keep_the_next_from_taking_it_back(
    change_host: ChangeHost, start: Start
) -> None:
    trial = start()
    assert trial.child.pid is not None
    os.kill(trial.child.pid, signal.SIGSTOP)
    (watcher,) = watchers()
    os.kill(watcher, signal.SIGKILL)
    assert subprocess.run([ROLL_BACK]).returncode == 0
    assert state() == change_host.new
    record = json.loads(CURRENT.read_text())
    CURRENT.write_text(json.dumps(record | {"deadline": record["deadline"] - 1000}))
    assert subprocess.run([ROLL_BACK]).returncode == 0
    assert_taken_back(change_host)


def test_taken_back_service_is_not_warned_of(change_host: ChangeHost, start: Start) -> None:
    trial = start()
    pam_totp("users")
    trial.type(CTRL_C)
    trial.end()
    assert pam_totp("users").errors == ""


def test_what_became_of_it_is_logged(
    change_host: ChangeHost, start: Start, syslog: SystemLog
) -> None:
    start(SHORT).end()
    tried, taken_back = (line.fields for line in syslog.lines("action=", ident="pam-totp"))
    assert (tried["action"], tried["services"]) == ("enable-tried", "sshd")
    assert taken_back["action"] == "enable-taken-back"
    assert re.match("nobody (logged in with a code|kept it) within ", taken_back["detail"])
