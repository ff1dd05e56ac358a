# SPDX-License-Identifier: MIT
"""A host on which nothing is wrong, as often as a test wants one, each to be broken.

It is built once: codes at sshd, login, su and sudo, every other service exempted by a rule, two
enrolled users. Each test then gets it in a mount namespace of its own, in which the folders that
it may break are copies. Whatever it does there ends with it.
"""

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyotp

from tests.commands.commands import recovery_file
from tests.host.pam_services import shipped_lines
from tests.host.ssh_server import shipped_settings

HERE = Path(__file__).resolve().parent
WORK = Path("/var/tmp/doctor")  # on the disk of the host: a copy in /tmp would be in memory
MODULES = next(Path("/usr/lib").glob("*/security"))
VOLATILE = "/run/pam-totp"  # in memory, as /run is
COPIED = (
    *("/etc", "/home", "/root", "/var/lib/pam-totp", VOLATILE),
    *("/usr/lib/pam-totp", "/usr/libexec/pam-totp", "/usr/lib/pam.d", str(MODULES)),
    *("/usr/local/lib", "/usr/bin/pam-totp"),
)
# What the machine has there is nobody's business here, and may be large.
EMPTY = ("/home", "/root", "/usr/local/lib", "/var/lib/pam-totp", VOLATILE)
# All but the programs, which no command changes.
WATCHED = ("/etc", "/home", "/root", "/var/lib/pam-totp", VOLATILE)
ASKING = ("login", "su", "su-l", "sudo", "sudo-i")
LOCKERS = ("i3lock", "swaylock")
USERS = {"alice": 31001, "bob": 31002}


class World:
    """One copy of the healthy host. `run` runs commands in it, as root."""

    def __init__(self, folder: Path, preload: Path) -> None:
        self._folder, self._preload = folder, preload
        hold = ["unshare", "--mount", "--propagation", "private", "sleep", "infinity"]
        self._namespace = subprocess.Popen(hold, stdin=subprocess.DEVNULL, cwd="/")
        while self._command() == "":  # until it is in its own namespace
            pass

    def _command(self) -> str:
        comm = Path(f"/proc/{self._namespace.pid}/comm").read_text(encoding="ascii")
        return comm.strip() if comm.strip() == "sleep" else ""

    def run(self, script: str, *, check: bool = True) -> "subprocess.CompletedProcess[str]":
        """A shell script, which may not fail."""
        program, arguments = self.command(script)
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0 or not check, f"{script}\n{done.stdout}{done.stderr}"
        return done

    def command(self, script: str) -> tuple[str, list[str]]:
        """A program and its arguments that run a shell script there."""
        # Its root too: in a chroot that is another one than the namespace's.
        where = ["--mount", "--root", "--wd", "-t", str(self._namespace.pid)]
        # As the records of the product are made.
        return "/usr/bin/nsenter", [*where, "bash", "-eu", "-c", f"umask 077; {script}"]

    def doctor(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """`pam-totp doctor`, whatever it ends with."""
        command = f"LD_PRELOAD={self._preload} pam-totp doctor {' '.join(options)}"
        return self.run(command, check=False)

    def findings(self) -> list[dict[str, str]]:
        """What `pam-totp doctor --json` finds; its exit code says whether there is anything."""
        done = self.doctor("--json")
        assert done.stderr == "", done.stderr
        found: list[dict[str, str]] = json.loads(done.stdout)["findings"]
        assert done.returncode == int(bool(found))
        return found

    def tree(self) -> str:
        """Every file with its owner, mode, times and content, as text."""
        folders = " ".join(WATCHED)
        listed = f"find {folders} -xdev -printf '%p %y %U:%G %m %s %T@ %C@ %l\\n' | sort"
        return self.run(f"{listed}; find {folders} -xdev -type f -exec sha1sum {{}} +").stdout

    def close(self) -> None:
        self._namespace.kill()
        self._namespace.wait()
        shutil.rmtree(self._folder)


@contextlib.contextmanager
def world_of(source: str, name: str, preload: Path) -> Iterator[World]:
    """A world whose folders are copies of those below `source`."""
    folder = WORK / name
    folder.mkdir(parents=True)
    world = World(folder, preload)
    try:
        script = ""
        for number, path in enumerate(COPIED):
            copy = f"{folder}/{number}"
            script += (
                f"cp -a {source}{path} {copy}\n"
                if source or path not in EMPTY
                else (f"install -d -m 755 {copy}\n")
            )
            if path == VOLATILE:
                script += f"mkdir -p {path}; mount -t tmpfs -o mode=700 tmpfs {path}\n"
                script += f"cp -a {copy}/. {path}; chmod 700 {path}\n"
            else:
                script += f"mount --bind {copy} {path}\n"
        world.run(script)
        yield world
    finally:
        world.close()


def build(target: Path, preload: Path) -> None:
    """The healthy host, below `target`."""
    with world_of("", "build", preload) as world:
        world.run("install -d -m 700 /var/lib/pam-totp{,/secrets,/services,/enforced}")
        # Accounts of this machine's own may have any fault.
        people = "$3 < 1000 || $3 == 65534"
        world.run(f"awk -F: '{people}' /etc/passwd >/etc/new; cat /etc/new >/etc/passwd")
        world.run("rm -rf /etc/new /etc/pam-totp/* /etc/ssh/sshd_config.d/*")
        for name, uid in USERS.items():
            world.run(f"useradd --uid {uid} --user-group --create-home -s /bin/bash {name}")
            enroll(world, name)
        world.run("usermod -aG sudo alice")
        set_up_services(world)
        # The first login after the settings were written keeps them.
        world.run("PAM_USER=alice PAM_SERVICE=sshd /usr/libexec/pam-totp/gate look || true")
        world.run("test -s /var/lib/pam-totp/settings/last-good")
        for path in COPIED:
            world.run(f"mkdir -p {target}$(dirname {path}); cp -a {path} {target}{path}")


def enroll(world: World, name: str) -> None:
    """As `pam-totp enroll` leaves a user who has logged in with a code since."""
    secret = pyotp.random_base32()
    folder, mark = f"/home/{name}/.config/pam-totp", f"/var/lib/pam-totp/enforced/{USERS[name]}"
    line = f"otpauth://totp/server:{name}@server?secret={secret}&issuer=server phone"
    world.run(f"mkdir -p {folder}; echo '{line}' >{folder}/secret")
    codes = recovery_file([f"{number:04}-{number:04}-abcd-efgh" for number in range(10)])
    world.run(f"echo -n '{codes}' >{folder}/recovery; chmod 600 {folder}/*; chmod 700 {folder}")
    world.run(f"chmod 700 /home/{name}; chown -R {name}:{name} /home/{name}")
    world.run(f"touch {mark}; chmod 600 {mark}")


def set_up_services(world: World) -> None:
    """Codes at some, and a rule for the rest."""
    line = "auth required pam_totp.so"
    for service in ASKING:
        world.run(f"sed -i 's/^@include common-auth$/&\\n{line}/' /etc/pam.d/{service}")
    lines = "\\n".join(shipped_lines("key-or-password-then-code"))
    world.run(f"sed -i 's/^@include common-auth$/{lines}/' /etc/pam.d/sshd")
    settings = shipped_settings("key-or-password-then-code")
    world.run(f"cat >/etc/ssh/sshd_config.d/00-pam-totp.conf <<'END'\n{settings}END")
    for service in LOCKERS:
        locker = "/usr/share/doc/pam-totp/examples/pam/screen-locker"
        world.run(f"cp {locker} /etc/pam.d/{service}")
    rest = world.run("ls /etc/pam.d; ls /usr/lib/pam.d").stdout.split()
    done = {*ASKING, *LOCKERS, "sshd", "other", "pam-totp"}
    exempt = sorted(each for each in {*rest} - done if not each.startswith("common-"))
    rule = f"rules: [{{service: [{', '.join(exempt)}], code: never}}]"
    world.run(f"echo '{rule}' >/etc/pam-totp/config.yaml")
