# SPDX-License-Identifier: MIT
"""What the throw-away host promises. The tests run in one, so each host here is a host in a host,
and "the machine" is the outer one."""

import os
import pty
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.host.accounts import User
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, Conversation

ENTER = str(Path(__file__).with_name("enter"))
REPOSITORY = Path(ENTER).parents[2]


def enter(*command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    defaults: dict[str, Any] = {"capture_output": True, "text": True, "cwd": "/"}
    return subprocess.run([ENTER, *command], **(defaults | options))


def shell_in_host(script: str, **options: Any) -> str:
    """What a script prints in a host; it must succeed."""
    done = enter("sh", "-ec", script, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def processes_with(argument: str) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if argument.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def machines_own(folder: str) -> Path:
    """Where the host keeps the machine's folder, not the overlay over it: its lowest layer."""
    below: list[str] = []
    while True:
        status = os.stat(folder)
        layers = Path(f"/run/throwaway-host/{status.st_dev}-{status.st_ino}")
        if layers.is_dir():
            return max(layers.iterdir()).joinpath(*below)
        folder, name = os.path.split(folder)
        below.insert(0, name)


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -9 $$", 137)]
)
def test_the_exit_code_is_the_commands_own(script: str, code: int) -> None:
    assert enter("sh", "-c", script).returncode == code


def test_a_command_that_cannot_run_is_an_error_in_two_lines() -> None:
    missing, folder = enter("no-such-command"), enter("/etc")
    assert (missing.returncode, folder.returncode) == (127, 126)
    assert missing.stderr.startswith("enter: error: cannot run no-such-command: No such file")
    assert missing.stderr.splitlines()[1].startswith("hint: ")


def test_no_command_is_wrong_usage() -> None:
    done = enter()
    assert done.returncode == 2
    assert done.stderr.startswith("enter: error: no command given\nhint: tests/host/enter COMMAND")


def test_only_root_is_accepted_and_told_what_to_do(user: User) -> None:
    tmp_copy = Path("/tmp/enter-for-everybody")
    tmp_copy.write_bytes(Path(ENTER).read_bytes())
    tmp_copy.chmod(0o755)
    done = user.run_as(str(tmp_copy), "true")
    tmp_copy.unlink()
    assert done.returncode == 125
    assert done.stderr == (
        "enter: error: only root can make a throw-away host\nhint: run it with sudo\n"
    )


def test_a_machine_that_allows_no_namespaces_is_told_so() -> None:
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-sys_admin", ENTER, "true"], capture_output=True, text=True
    )
    assert done.returncode == 125
    assert done.stderr == (
        "enter: error: cannot make namespaces: Operation not permitted\n"
        "hint: a container needs to be privileged for this\n"
    )


def test_every_write_outside_the_repository_is_forgotten() -> None:
    files = ["/etc/passwd", "/etc/pam.d/sshd", "/etc/hosts", "/usr/bin/env", "/var/log/lastlog"]
    before = {name: Path(name).read_bytes() for name in files}
    folders = ["/", "/etc", "/home", "/root", "/run", "/srv", "/tmp", "/usr", "/var", "/opt"]
    names = {folder: sorted(os.listdir(folder)) for folder in folders}
    shell_in_host(
        f"useradd --create-home somebody; for f in {' '.join(files)}; do echo x >> $f; done;"
        f"for d in {' '.join(folders)}; do mkdir $d/made-in-host; done; rm -rf /etc/pam.d"
    )
    assert {name: Path(name).read_bytes() for name in files} == before
    assert {folder: sorted(os.listdir(folder)) for folder in folders} == names


def test_the_repository_is_written_through() -> None:
    file = REPOSITORY / "build" / "written-in-host"
    try:
        shell_in_host(f"echo kept > {file}")
        assert file.read_text(encoding="ascii") == "kept\n"
    finally:
        file.unlink()


def test_no_mount_is_seen_outside_while_the_host_runs_or_afterwards() -> None:
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    try:
        before = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
        with subprocess.Popen(
            [ENTER, "sh", "-c", "echo up; read line"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as host:
            assert host.stdout is not None
            assert host.stdout.readline() == b"up\n"
            during = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
            host.communicate(b"\n")
        assert during == before
        assert Path("/proc/self/mountinfo").read_text(encoding="utf-8") == before
    finally:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)


def test_a_file_system_of_its_own_under_home_is_overlaid_too() -> None:
    point = Path("/home/with a: space, and more")
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "own", str(point)], check=True)
    try:
        (point / "file").write_text("before", encoding="ascii")
        seen = shell_in_host(f"cat '{point}/file'; echo after > '{point}/file'; cat '{point}/file'")
        assert seen == "beforeafter"
        assert (point / "file").read_text(encoding="ascii") == "before"
    finally:
        subprocess.run(["umount", str(point)], check=True)
        point.rmdir()


def test_the_only_network_is_a_loopback_that_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as outside:
        port = outside.getsockname()[1]
        script = (
            "import socket\n"
            "print([name for _, name in socket.if_nameindex()])\n"
            "inside = socket.create_server(('127.0.0.1', 0))\n"
            "socket.create_connection(inside.getsockname())\n"
            f"print(socket.socket().connect_ex(('127.0.0.1', {port})) != 0)\n"
            "print(socket.socket().connect_ex(('192.0.2.1', 80)) != 0)\n"
        )
        assert enter("/usr/bin/python3", "-c", script).stdout == "['lo']\nTrue\nTrue\n"


def test_the_host_is_called_server_and_finds_itself() -> None:
    assert shell_in_host("hostname; cat /etc/hostname; getent hosts server") == (
        "server\nserver\n127.0.1.1       server"
    )


def test_the_machines_log_is_out_of_reach_and_the_host_has_its_own(syslog: SystemLog) -> None:
    script = (
        "import os, socket, syslog\n"
        "assert not os.path.exists('/dev/log')\n"
        "syslog.syslog('said with no log there')\n"
        "log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "log.bind('/dev/log')\n"
        "syslog.closelog()\n"
        "syslog.syslog('said in the host')\n"
        "assert b'said in the host' in log.recv(999)\n"
    )
    done = enter("/usr/bin/python3", "-c", script)
    assert done.returncode == 0, done.stderr
    assert syslog.lines("said") == []


def test_run_and_tmp_are_new() -> None:
    marks = [Path("/run/of-the-machine"), Path("/tmp/of-the-machine")]
    try:
        for mark in marks:
            mark.touch()
        assert shell_in_host("ls /run") == "lock\nsshd\nthrowaway-host\nuser"
        assert "of-the-machine" not in shell_in_host("ls /tmp")
    finally:
        for mark in marks:
            mark.unlink()


def test_terminals_are_its_own_and_belong_to_group_tty() -> None:
    script = (
        "import os, pty, stat\n"
        "name = os.ttyname(pty.openpty()[1])\n"
        "status = os.stat(name)\n"
        "print(name, status.st_gid, oct(stat.S_IMODE(status.st_mode)))\n"
    )
    master, slave = pty.openpty()
    assert enter("/usr/bin/python3", "-c", script).stdout == "/dev/pts/0 5 0o620\n"
    os.close(master)
    os.close(slave)


def test_the_kernels_clock_modules_and_settings_cannot_be_changed() -> None:
    script = (
        "import time\n"
        "try: time.clock_settime(time.CLOCK_REALTIME, time.time())\n"
        "except PermissionError: print('clock')\n"
        "try: open('/proc/sys/kernel/panic', 'w')\n"
        "except OSError: print('settings')\n"
        "status = open('/proc/self/status').read()\n"
        "bounds = int(status.split('CapBnd:')[1].split()[0], 16)\n"
        "print(bounds >> 16 & 1, bounds >> 25 & 1)\n"
    )
    assert enter("/usr/bin/python3", "-c", script).stdout == "clock\nsettings\n0 0\n"


def test_the_environment_is_clean_but_for_the_terminal_and_ci() -> None:
    given = {"TERM": "xterm", "CI": "yes", "PYTHONPATH": "/tmp", "SECRET": "x", "PATH": "/nowhere"}
    lines = enter("env", env=given).stdout.splitlines()
    assert sorted(line.split("=")[0] for line in lines) == [
        *("CI", "HOME", "LANG", "LOGNAME", "PAM_TOTP_THROWAWAY_HOST", "PATH", "SHELL"),
        *("TERM", "USER"),
    ]
    assert "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" in lines


def test_the_working_folder_is_kept_or_else_the_repository() -> None:
    assert shell_in_host("pwd", cwd="/usr/bin") == "/usr/bin"
    only_here = Path("/tmp/only-here")
    only_here.mkdir()
    try:
        assert shell_in_host("pwd", cwd=only_here) == str(REPOSITORY)
    finally:
        only_here.rmdir()


def test_input_and_output_are_passed_on_without_a_terminal() -> None:
    done = enter("sh", "-c", "tty; wc -c; echo aside >&2", input="12345")
    assert (done.stdout, done.stderr) == ("not a tty\n5\n", "aside\n")


def test_a_terminal_is_passed_on_with_its_job_control_and_keys(
    on_terminal: Callable[..., Conversation],
) -> None:
    script = "tty; tty < /dev/tty; printf 'name: '; read name; echo hello $name; stty size"
    seen = on_terminal([ENTER, "bash", "-c", script], [("name:", "alice")])
    assert seen.transcript.splitlines() == [
        *("/dev/console", "/dev/tty", "name: alice", "hello alice", "24 80"),
    ]
    script = "trap 'echo stopped; exit 3' INT; printf 'wait: '; read line"
    seen = on_terminal([ENTER, "bash", "-c", script], [("wait:", CTRL_C)])
    assert seen.status == 3
    assert seen.transcript.count("stopped") == 1


def test_the_terminal_comes_back_after_an_interactive_shell(
    on_terminal: Callable[..., Conversation],
) -> None:
    script = f"{ENTER} bash --norc; printf 'back: '; read line && echo $line"
    seen = on_terminal(["sh", "-c", script], [("# ?", "exit 0"), ("back:", "again")])
    assert seen.transcript.splitlines()[-1] == "again"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_command(number: signal.Signals) -> None:
    script = "trap 'echo told; exit 9' TERM INT HUP; echo up; while :; do sleep 0.05; done"
    with subprocess.Popen([ENTER, "bash", "-c", script], stdout=subprocess.PIPE, cwd="/") as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"up\n"
        host.send_signal(number)
        assert host.stdout.read() == b"told\n"
    assert host.returncode == 9


def test_killing_it_leaves_no_process_of_the_host() -> None:
    script = "setsid sleep 98765 & sleep 98765 & echo up; wait"
    with subprocess.Popen([ENTER, "sh", "-c", script], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        assert host.stdout.readline() == b"up\n"
        wait_until(lambda: len(processes_with("98765")) == 2)
        host.kill()
    wait_until(lambda: processes_with("98765") == [])


def test_daemons_end_with_the_command_and_orphans_are_reaped() -> None:
    script = (
        "(setsid sleep 98764 &); (sh -c 'echo $$ > /tmp/orphan' &); "
        "until test -s /tmp/orphan; do :; done; "
        "while test -e /proc/$(cat /tmp/orphan); do :; done; echo reaped"
    )
    assert enter("sh", "-c", script, timeout=10).stdout == "reaped\n"
    wait_until(lambda: processes_with("98764") == [])


def test_hosts_nest_deeper_than_the_kernel_nests_overlays() -> None:
    script = "echo written in the first > /etc/said; rm /etc/motd; exec $0 $0 sh -c $1"
    inner = "cat /etc/said; test -e /etc/motd || echo no motd; getent passwd root; ls /home"
    done = enter("sh", "-ec", script.replace("$1", f"'{inner}'"), ENTER)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("written in the first\nno motd\nroot:x:0:0:")


def test_it_works_in_a_chroot_whose_root_is_no_mount_point() -> None:
    room = Path("/srv/room")
    root = room / "root"
    room.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "room", str(room)], check=True)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    try:
        for folder in ("etc", "usr", "var", "proc", "dev", "run", "tmp", "home", "root", "opt"):
            (root / folder).mkdir(parents=True)
        for link in ("bin", "sbin", "lib", "lib64"):
            if Path("/", link).is_symlink():
                (root / link).symlink_to(os.readlink(Path("/", link)))
        (root / str(REPOSITORY)[1:]).mkdir(parents=True, exist_ok=True)
        for folder in ("/etc", "/usr", "/var"):
            source = machines_own(folder)
            subprocess.run(["mount", "--bind", source, f"{root}{folder}"], check=True)
        subprocess.run(["mount", "--bind", str(REPOSITORY), f"{root}{REPOSITORY}"], check=True)
        before = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
        script = "echo x >> /etc/passwd; mkdir /home/made-in-host; cat /proc/self/mountinfo; id -un"
        done = subprocess.run(
            ["chroot", str(root), ENTER, "sh", "-ec", script], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("\nroot\n")
        assert not Path("/etc/passwd").read_text(encoding="utf-8").endswith("x\n")
        assert os.listdir(root / "home") == []
        assert Path("/proc/self/mountinfo").read_text(encoding="utf-8") == before
    finally:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        subprocess.run(["umount", "--recursive", str(room)], check=True)
        room.rmdir()
