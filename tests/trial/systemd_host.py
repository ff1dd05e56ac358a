# SPDX-License-Identifier: MIT
"""A real systemd as process 1, in namespaces of its own over the files of the throw-away host."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trial.change_host import wait_until

SYSTEMD = "/usr/lib/systemd/systemd"
SCRIPT = Path("/var/tmp/boot")
BOOT_ID = Path("/var/tmp/boot-id")
GROUPS = Path("/var/tmp/cgroups")
# With the number of this host: those of other workers have one each.
OURS = GROUPS / f"pam-totp-systemd-{os.stat('/proc/self/ns/pid').st_ino}"
# What is started in a group of its own has that group for the root of its namespace.
IN_A_GROUP = f'echo $$ >{OURS}/cgroup.procs && exec "$@"'
# It must not reach the kernel's settings and modules, which have no namespace.
BOOT = f"""\
set -eu
mount -t tmpfs run /run
# It empties /tmp when it boots (tmpfiles.d of Debian 12).
mount -t tmpfs tmp /tmp
mkdir -p /run/systemd/system /run/sshd
for unit in systemd-sysctl systemd-modules-load systemd-udevd systemd-random-seed; do
    ln -s /dev/null /run/systemd/system/$unit.service
done
mount --bind /proc/sys /proc/sys
mount --bind {BOOT_ID} /proc/sys/kernel/random/boot_id
mount -o remount,bind,ro /proc/sys
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
export container=throwaway
exec {SYSTEMD} --system --log-target=journal --unit=$1 </dev/null >/dev/null 2>&1
"""


class SystemdHost:
    """Its /etc and /var are those of the test, its /run, /tmp and /dev/log are its own."""

    def __init__(self, boot_id: str, target: str) -> None:
        SCRIPT.write_text(BOOT, encoding="ascii")
        BOOT_ID.write_text(f"{boot_id}\n", encoding="ascii")
        group = ["sh", "-c", IN_A_GROUP, "sh", "unshare"]
        namespaces = ["--mount", "--pid", "--cgroup", "--fork", "--kill-child", "--mount-proc"]
        self._outside = subprocess.Popen([*group, *namespaces, "sh", str(SCRIPT), target])

    def wait(self) -> None:
        """Until it has booted. That a unit of the machine's own failed is of no interest."""
        states = ("running\n", "degraded\n")
        wait_until(lambda: self._process_one() != 0)
        wait_until(lambda: self.run("systemctl", "is-system-running").stdout in states, 60)
        journal = self.run("mount", "--bind", "/run/systemd/journal/dev-log", "/dev/log")
        assert journal.returncode == 0, journal.stderr

    def _process_one(self) -> int:
        path = Path(f"/proc/{self._outside.pid}/task/{self._outside.pid}/children")
        children = path.read_text().split()
        assert self._outside.poll() is None, "systemd does not start here"
        if (
            not children
            or SYSTEMD.encode() not in Path(f"/proc/{children[0]}/cmdline").read_bytes()
        ):
            return 0
        return int(children[0])

    def command(self, *command: str) -> list[str]:
        """The command, to run in there."""
        target = ["--target", str(self._process_one())]
        return ["nsenter", *target, "--all", "--root", "--wd", "--", *command]

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(self.command(*command), capture_output=True, text=True)

    def power_off(self) -> None:
        """Without a word to anybody in there."""
        if self._outside.poll() is None:
            process = self._process_one()
            if process:
                os.kill(process, signal.SIGKILL)
                wait_until(lambda: not Path(f"/proc/{process}").exists())
            self._outside.kill()
            self._outside.wait()


class Machine:
    """Boots again and again, each time with another boot id."""

    def __init__(self) -> None:
        self._boots: list[SystemdHost] = []

    def boot(self, target: str = "basic.target") -> SystemdHost:
        number = len(self._boots)
        self._boots.append(SystemdHost(f"8c4b9b56-0000-4000-8000-{number:012}", target))
        self._boots[-1].wait()
        return self._boots[-1]

    def power_off(self) -> None:
        for boot in self._boots:
            boot.power_off()


@pytest.fixture
def machine() -> Iterator[Machine]:
    GROUPS.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "cgroup2", "cgroup2", GROUPS], check=True)
    OURS.mkdir()
    made = Machine()
    try:
        yield made
    finally:
        made.power_off()
        folders = [path for path in OURS.rglob("*") if path.is_dir()]
        for folder in sorted([OURS, *folders], reverse=True):
            folder.rmdir()
        subprocess.run(["umount", GROUPS], check=True)
