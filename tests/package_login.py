# SPDX-License-Identifier: MIT
"""What a person does with the installed package in a whole system, and what a purge leaves.

Runs in a throw-away host (tests/package_roots): mounts and processes end with it.
"""

import os
import re
import signal
from pathlib import Path

import pexpect

from tests.whole_system import PASSWORD, SECONDS, Phone, System, enroll, watched_files, with_alice

SECRET_OF_THE_TEST = "root/secret"


def log_in_and_purge(root: Path) -> None:
    """All that must hold in a system with the package installed; AssertionError otherwise."""
    system = with_alice(root)
    before = watched_files(root)
    check_installed(root)
    server = system.start_sshd()
    try:
        phone = enroll(system)
        check_that_trials_end(system, phone, before)
        enable(system, phone, "y")
        check_logins(system, phone)
        check_removal(system, before)
        assert system.log_in()[0], "after the purge the password alone is enough again"
    finally:
        server.terminate()
        server.wait(timeout=SECONDS)


def check_installed(root: Path) -> None:
    """What only the package's own scripts can do: compile for this Python, make the state."""
    library = root / "usr/lib/pam-totp"
    for source in library.rglob("*.py"):
        (compiled,) = (source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc")
        assert compiled.stat().st_uid == 0
    for folder in ("run/pam-totp", "var/lib/pam-totp"):
        assert (root / folder).stat().st_mode & 0o7777 == 0o700, folder


def begin_trial(system: System, code: str, *options: str) -> "pexpect.spawn[str]":
    """The third command of the README, in an ssh session of alice's, up to where it waits."""
    here = system.ssh("alice", "-tt", "sudo", "pam-totp", "enable", "sshd", *options)
    for question, answer in (
        ("'s password: ", PASSWORD),
        (r"\[sudo\] password for alice: ", PASSWORD),
        ("Verification code: ", code),
        (r"Change these files\? \[y/N\] ", "y"),
    ):
        here.expect(question)
        here.sendline(answer)
    here.expect("Attempts, from")
    return here


def enable(system: System, phone: Phone, answer: str) -> None:
    """With a login from a second terminal, and the answer to "Keep it?"."""
    code = phone.fresh_code()  # asked for twice, and used up by the login alone
    here = begin_trial(system, code)
    accepted, shown = system.log_in(code)
    assert accepted, f"the correct code was refused: {shown}"
    here.expect(r"Keep it\? \[y/N\] ")
    here.sendline(answer)
    here.expect(pexpect.EOF)
    here.close()
    assert here.exitstatus == (0 if answer == "y" else 1), here.before


def kill_all_of(*programs: str) -> None:
    """With -9, every process of a program that Python runs, on this throw-away host."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_text(errors="replace").split("\0")
        except OSError:
            continue
        if set(words[:3]) & set(programs):
            os.kill(int(folder.name), signal.SIGKILL)


def check_that_trials_end(system: System, phone: Phone, before: dict[str, str]) -> None:
    """Everything goes back without an answer, after a no, and after kill -9 of all that cares."""
    here = begin_trial(system, phone.fresh_code(), "--trial", "5s")
    assert watched_files(system.root) != before
    here.expect(pexpect.EOF)
    assert watched_files(system.root) == before, "a trial did not go back after its time"
    enable(system, phone, "n")
    assert watched_files(system.root) == before, "a trial did not go back after a no"
    here = begin_trial(system, phone.fresh_code())
    kill_all_of("/usr/bin/pam-totp", "/usr/libexec/pam-totp/roll-back")
    here.close(force=True)
    assert watched_files(system.root) != before
    system.must_run("/usr/libexec/pam-totp/roll-back")  # as the unit of the boot does
    assert watched_files(system.root) == before, "a trial did not go back at the boot"
    assert system.log_in()[0], "after the trials the password alone lets in"


def check_logins(system: System, phone: Phone) -> None:
    """Who is not enrolled is not asked; the correct code is accepted once, and nothing else."""
    assert system.log_in(name="bob")[0], "not enrolled, and the password was not enough"
    code = phone.fresh_code()
    accepted, shown = system.log_in(code)
    assert accepted, f"the correct code was refused: {shown}"
    wrong = phone.code_of_none()
    assert not system.log_in(wrong, wrong, wrong)[0], "an incorrect code was taken"
    assert not system.log_in(code, code, code)[0], "a used code was taken again"
    # Again, with the password asked for: python-pam and all it needs are there.
    enroll(system, "--device", "tablet")


def check_removal(system: System, before: dict[str, str]) -> None:
    """sshd is as it was, with no file edited; and nothing is left but the user's secret."""
    files = system.must_run("dpkg", "-L", "pam-totp").split("\n")
    system.must_run("apt-get", "-qq", "purge", "-y", "pam-totp")
    assert watched_files(system.root) == before
    left = [name for name in files if "totp" in name and (system.root / name[1:]).exists()]
    assert left == []
    search = ("find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/dev", ")", "-prune")
    names = system.must_run(*search, "-o", "-name", "*pam[-_]totp*", "-print").split()
    names = [name for name in names if not re.fullmatch(r"/pam-totp_.*\.deb", name)]
    assert names == ["/home/alice/.config/pam-totp"]


def turn_on_before_an_upgrade(root: Path) -> None:
    """alice has enrolled and logged in with a code; AssertionError otherwise."""
    system = with_alice(root)
    server = system.start_sshd()
    try:
        phone = enroll(system)
        enable(system, phone, "y")
        (root / SECRET_OF_THE_TEST).write_text(f"{phone.secret} {phone.last}")
    finally:
        server.terminate()
        server.wait(timeout=SECONDS)


def log_in_after_an_upgrade(root: Path) -> None:
    """The same code as before, once; and what logins load is this Python's. AssertionError."""
    system = System(root)
    tag = system.must_run(
        "/usr/bin/python3", "-c", "import sys; print(sys.implementation.cache_tag)"
    )
    for program in ("gate", "verify"):
        compiled = (
            root / "usr/lib/pam-totp/pam_totp/__pycache__" / f"{program}.{tag.strip()}.bundle"
        )
        assert compiled.exists(), f"{compiled} is missing"
    server = system.start_sshd()
    try:
        check_login_after_an_upgrade(system)
        assert system.run("pam-totp", "explain", "alice").returncode == 0
    finally:
        server.terminate()
        server.wait(timeout=SECONDS)


def check_login_after_an_upgrade(system: System) -> None:
    file = system.root / SECRET_OF_THE_TEST
    secret, last = file.read_text().split()
    phone = Phone(secret, int(last))
    code = phone.fresh_code()
    accepted, shown = system.log_in(code)
    assert accepted, f"the correct code was refused: {shown}"
    assert not system.log_in(code, code, code)[0], "a used code was taken again"
    system.must_run("pam-totp", "unlock", "alice")
    file.write_text(f"{phone.secret} {phone.last}")
