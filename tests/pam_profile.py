# SPDX-License-Identifier: MIT
"""What the package's profile for pam-auth-update makes of the services of a Debian system."""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pam_totp.stack import dispatch
from pam_totp.stack.factors import CODE, NO_CODE_NEEDED, Factor
from pam_totp.stack.libpam import RETURN_VALUES, SERVICE_FOLDERS, SUCCESS, Libpam
from pam_totp.stack.lines import Line
from pam_totp.stack.service import Service, read_service
from pam_totp.stack.ways_in import ways_in

PROFILE = Path(__file__).resolve().parents[1] / "debian" / "pam-configs" / "pam-totp"
PROFILES = "usr/share/pam-configs"
ALWAYS = ("unix", "capability", "systemd")
COMMON = ("auth", "account", "password", "session", "session-noninteractive")
CODES = {CODE, NO_CODE_NEEDED}
CRED_ERR = RETURN_VALUES.index("cred_err")

Proved = frozenset[Factor]


@dataclasses.dataclass(frozen=True)
class Judged:
    """A service with the profile off and on. new: the ways in without a code that were not there
    without the profile; lost: those that were there, and where the same and a code are not enough;
    without: those that ask for no code. reaches: whether the line is in its auth stack.
    same_credentials: whether pam_setcred returns the same."""

    name: str
    reaches: bool
    new: frozenset[Proved]
    lost: frozenset[Proved]
    without: frozenset[Proved]
    same_credentials: bool


def generate(system: Path, root: Path, profiles: Iterable[str]) -> str:
    """Makes `root` a copy of the services of `system` with these profiles on, by pam-auth-update;
    its common-auth."""
    shutil.rmtree(root, ignore_errors=True)
    for folder in ("etc/pam.d", PROFILES, "var/lib/pam"):
        (root / folder).mkdir(parents=True)
    for folder in SERVICE_FOLDERS:
        if (system / folder[1:]).is_dir():
            shutil.copytree(system / folder[1:], root / folder[1:], dirs_exist_ok=True)
    names = []
    for name in (*ALWAYS, *profiles):
        source = PROFILE if name == PROFILE.name else system / PROFILES / name
        if source.exists():
            shutil.copy(source, root / PROFILES / name)
            names.append(name)
    for kind in COMMON:
        shutil.copy(f"/usr/share/pam/common-{kind}", root / "etc/pam.d" / f"common-{kind}")
    update(root, "--force", "--enable", *names)
    return (root / "etc/pam.d/common-auth").read_text(encoding="utf-8")


def update(root: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["pam-auth-update", "--root", root, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def services_of(root: Path) -> list[str]:
    """By name; those of a folder of their own, and not what others include."""
    names = {
        path.name
        for folder in SERVICE_FOLDERS
        for path in (root / folder[1:]).glob("*")
        if path.is_file() and not path.name.startswith("common-") and "." not in path.name
    }
    return sorted(names)


def judge(name: str, off: Path, on: Path, libpam: Libpam) -> Judged:
    """`off`, `on`: the same system without and with the profile. Raises Unknown, TooManyWays."""
    before, after = (read_service(name, libpam, str(root)) for root in (off, on))
    old, new = (proofs(service) for service in (before, after))
    without = frozenset(each for each in new if not each & CODES)
    return Judged(
        name,
        any(line.module_name == "pam_totp.so" for line in after.stacks["auth"]),
        new=frozenset(without - old),
        lost=frozenset(each for each in old if not any(way - CODES <= each for way in new)),
        without=without,
        same_credentials=credentials(before, libpam) == credentials(after, libpam),
    )


def proofs(service: Service) -> frozenset[Proved]:
    return frozenset(frozenset(way.proved) for way in ways_in(service))


def credentials(service: Service, libpam: Libpam) -> int:
    """What pam_setcred returns to cron and to systemd, which never authenticate."""

    def result(line: Line) -> int:
        return CRED_ERR if line.module_name == "pam_deny.so" else SUCCESS

    return dispatch.setcred(service.stacks["auth"], result, libpam).value
