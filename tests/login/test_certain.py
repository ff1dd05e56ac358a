# SPDX-License-Identifier: MIT
"""The mark of a user who is certain to be asked: when the gate goes by it, and so starts no
interpreter, and when it is as if it were not there."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import configured, mounted, new_recovery_codes, read_only
from tests.host.accounts import User, run
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.programs import (
    ACCEPTED,
    ASK,
    GATE,
    NO_CODE_NEEDED,
    RECORDS,
    REFUSED,
    STATE,
    VERIFY,
    run_as_pam_exec,
)
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation
from tests.login.marks import MARKS, decides, is_certain, log_in, mark_of
from tests.login.programs import gate, verify

Converse = Callable[..., Conversation]
INTERPRETER = Path("/usr/bin/python3")
BOOT = Path("/proc/sys/kernel/random/boot_id")
PASSWD = Path("/etc/passwd")
WAIT = "Too many incorrect codes"


@pytest.fixture
def marked(user: User, credential: Credential) -> User:
    """Who has logged in with a code, so that the next gate starts no interpreter."""
    log_in(credential)
    assert is_certain(user)
    return user


@contextlib.contextmanager
def bound(source: Path, target: Path) -> Iterator[None]:
    """Another file or folder in the place of this one."""
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


@pytest.fixture
def interpreted(tmp_path: Path) -> Iterator[Callable[[], list[str]]]:
    """`interpreted()`: the programs for which an interpreter was started since the last time."""
    started, real = tmp_path / "started", INTERPRETER.resolve()
    tmp_path.chmod(0o755)
    counter = tmp_path / "counter"
    counter.write_text(f'#!/bin/sh\necho "$4" >>{started}\nexec {real} "$@"\n', encoding="ascii")
    counter.chmod(0o755)
    started.touch()
    link = os.readlink(INTERPRETER)

    def since() -> list[str]:
        names = started.read_text(encoding="ascii").split()
        started.write_text("")
        return names

    INTERPRETER.unlink()
    INTERPRETER.symlink_to(counter)
    yield since
    INTERPRETER.unlink()
    INTERPRETER.symlink_to(link)


def test_marked_user_is_asked_through_pam_without_an_interpreter_until_a_code_is_refused(
    user: User,
    credential: Credential,
    make_user: Callable[..., User],
    pam_services: PamServices,
    on_terminal: Converse,
    interpreted: Callable[[], list[str]],
) -> None:
    pam_services.add("su", shipped_lines("password-then-code"))
    alice = make_user()

    def become(*codes: str) -> Conversation:
        asked = [("Password: ", user.password), *(("Verification code: ", each) for each in codes)]
        return on_terminal(["su", user.name, "-c", "echo a session"], asked, user=alice)

    assert "a session" in become(credential.fresh_code()).transcript
    assert interpreted() == ["gate", "verify"]
    assert "a session" in become(credential.fresh_code()).transcript
    assert interpreted() == ["verify"]
    become(*map(credential.incorrect_code, range(3)))
    assert interpreted() == ["verify"] * 3
    become(*map(credential.incorrect_code, range(3, 6)))
    assert interpreted() == ["gate", *["verify"] * 3]
    waiting = become(*map(credential.incorrect_code, range(6, 9))).transcript
    assert waiting.index(WAIT) < waiting.index("Verification code: ")


def test_first_login_of_a_boot_is_decided(user: User, credential: Credential) -> None:
    log_in(credential)
    mark_of(user).unlink()
    assert decides(user) == ASK


def test_mark_is_one_line_of_root_that_says_what_it_holds_for(marked: User) -> None:
    status = mark_of(marked).stat()
    assert (status.st_uid, status.st_mode & 0o777) == (0, 0o600)
    words = mark_of(marked).read_text(encoding="ascii").split(" ")
    boot = BOOT.read_text(encoding="ascii").strip()
    assert words[:6] == ["pam-totp", "certain", "1", "ask", str(marked.uid), boot]
    assert words[6:16] == ["0"] * 10, "no settings, and no snapshot"
    passwd = PASSWD.stat()
    times = [passwd.st_mtime_ns, passwd.st_ctime_ns]
    assert words[21:] == list(map(str, [passwd.st_dev, passwd.st_ino, passwd.st_size, *times]))
    assert len(words) == 26


def test_mark_is_written_once(marked: User, credential: Credential) -> None:
    before = mark_of(marked).stat()
    log_in(credential)
    after = mark_of(marked).stat()
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


@pytest.mark.parametrize("service", ["sshd", "su", "login", "sudo", "pam-totp-x"])
def test_mark_holds_for_each_service(marked: User, service: str) -> None:
    assert is_certain(marked, PAM_SERVICE=service)


def test_service_that_checks_a_password_again_never_goes_by_a_mark(marked: User) -> None:
    assert decides(marked, PAM_SERVICE="pam-totp") == NO_CODE_NEEDED


def test_gate_look_goes_by_it_too(marked: User) -> None:
    assert gate(marked.name, arguments=["look"]) == ASK


def test_caller_that_is_not_root_does_not_go_by_it(marked: User) -> None:
    calls = ["/usr/bin/strace", "-f", "-qq", "-e", "trace=execve", "-e", "signal=none"]
    done = run_as_pam_exec(GATE, marked.name, through=marked.command(calls))
    assert done.stderr.count(b"execve(") == 2


# Refusals.


def waits(user: User) -> bool:
    """Whether the gate says so before the prompt."""
    return WAIT.encode() in run_as_pam_exec(GATE, user.name).stdout


def guess(credential: Credential, times: int) -> None:
    for index in range(times):
        assert verify(credential.user.name, credential.incorrect_code(index)) == REFUSED


def test_incorrect_code_takes_the_mark_away(marked: User, credential: Credential) -> None:
    guess(credential, 1)
    assert not mark_of(marked).exists()
    assert decides(marked) == ASK


def test_wait_is_said_before_the_prompt(marked: User, credential: Credential) -> None:
    guess(credential, 6)
    assert waits(marked)
    assert verify(marked.name, credential.code()) == REFUSED, "it is throttled"
    assert waits(marked)


def test_refusal_that_finds_a_mark_takes_it_away_whatever_it_is_for(
    marked: User, credential: Credential
) -> None:
    """Reused, throttled, not a code, no secret: a login at the same moment may have left one."""
    content, code = mark_of(marked).read_bytes(), credential.code()
    (RECORDS / str(marked.uid)).unlink()
    assert verify(marked.name, code) == ACCEPTED

    def refuse(typed: str) -> None:
        mark_of(marked).write_bytes(content)
        mark_of(marked).chmod(0o600)
        assert is_certain(marked)
        assert verify(marked.name, typed) == REFUSED
        assert decides(marked) == ASK

    refuse(code)
    refuse("nonsense")
    refuse("")
    guess(credential, 6)
    mark_of(marked).write_bytes(content)
    mark_of(marked).chmod(0o600)
    assert verify(marked.name, credential.code()) == REFUSED
    assert waits(marked)
    (RECORDS / str(marked.uid)).write_text("junk", encoding="ascii")
    refuse(code)
    (RECORDS / str(marked.uid)).unlink()
    (marked.home / ".config" / "pam-totp" / "secret").unlink()
    refuse(code)


def test_refusal_under_another_name_of_the_same_user_takes_it_away(
    marked: User, credential: Credential, other_name: str
) -> None:
    log_in(credential)
    assert is_certain(marked)
    assert verify(other_name, credential.incorrect_code()) == REFUSED
    assert decides(marked) == ASK


def test_recovery_code_leaves_no_mark_as_the_wait_behind_it_may_go_on(
    user: User, credential: Credential
) -> None:
    codes = new_recovery_codes(user)
    seconds = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    used_up = f"pam-totp attempts 1\nfailures 9 {seconds} {seconds + 301 * 900}\n"
    (RECORDS / str(user.uid)).write_bytes(used_up.encode().ljust(4096))
    assert run_as_pam_exec(VERIFY, user.name, codes[0]).returncode == ACCEPTED
    assert waits(user)


def test_mark_that_cannot_be_taken_away_is_in_the_log(
    marked: User, credential: Credential, syslog: SystemLog
) -> None:
    with read_only(MARKS):
        assert verify(marked.name, credential.incorrect_code()) == REFUSED
    (decision,) = syslog.decisions()
    assert decision["reason"] == "wrong-code"
    assert "cannot take away the mark" in decision["detail"]
    assert "Read-only file system" in decision["detail"]


# Accounts.


@pytest.fixture
def other_name(user: User) -> Iterator[str]:
    """A second name with the user's id, which is not what the id is called."""
    name = f"{user.name}-too"
    home = ["--no-create-home", "--home-dir", str(user.home)]
    run("useradd", "--non-unique", "--uid", str(user.uid), *home, name)
    yield name
    run("userdel", "--force", name)


def test_mark_is_left_for_the_name_that_the_id_has_and_no_other(
    user: User, credential: Credential, other_name: str
) -> None:
    log_in(credential, other_name)
    assert not MARKS.exists() or {user.name, other_name}.isdisjoint(os.listdir(MARKS))
    log_in(credential)
    assert is_certain(user)
    assert decides(other_name) == ASK


def test_mark_of_one_of_two_names_counts_for_no_other_where_it_is_exempt(
    user: User, credential: Credential, other_name: str
) -> None:
    for exempt, is_exempt in ((other_name, False), (user.name, True)):
        with configured(f"rules: [{{user: {exempt}, code: never}}]\n", settled=True):
            log_in(credential)
            log_in(credential)
            assert is_certain(user) is not is_exempt
            assert gate(user.name) == (NO_CODE_NEEDED if is_exempt else ASK)
            assert decides(other_name) == ASK, "the stricter of two names"


@pytest.mark.parametrize("has_same_id", [True, False])
def test_mark_is_not_that_of_the_next_user_of_its_name(
    marked: User, make_user: Callable[..., User], has_same_id: bool
) -> None:
    uid = marked.uid if has_same_id else make_user().uid + 20000
    assert marked.name in os.listdir(MARKS)
    run("userdel", "--force", marked.name)
    home = Path(f"{marked.home}-new")
    run("useradd", "--uid", str(uid), "--user-group", "--create-home", "-d", str(home), marked.name)
    try:
        # The record of the earlier user's logins is that of an id (`pam-totp reset`).
        assert decides(marked) == (ASK if has_same_id else NO_CODE_NEEDED)
    finally:
        run("usermod", "--uid", str(marked.uid), marked.name)
        shutil.rmtree(home)


def test_mark_does_not_outlive_a_change_of_the_accounts(
    marked: User, credential: Credential, make_user: Callable[..., User]
) -> None:
    make_user()
    assert decides(marked) == ASK
    log_in(credential)
    assert is_certain(marked)
    run("usermod", "--comment", "Alice", marked.name)
    assert decides(marked) == ASK


def test_mark_without_the_record_of_a_login_with_a_code_is_none(marked: User) -> None:
    (STATE / "enforced" / str(marked.uid)).unlink()
    (marked.home / ".config" / "pam-totp" / "secret").unlink()
    assert decides(marked) == NO_CODE_NEEDED


@pytest.mark.parametrize(
    "name",
    [
        *(".", "..", "/", "a/b", "../20001", "../certain/{}", "./{}", "{}/", "{}\n", " {}", "{} "),
        *("x" * 255, "x" * 300, "x" * 5000, "a b", "é" * 20, "\udcff", "$(id)", "%s%n", ""),
    ],
)
def test_name_that_is_no_users_finds_no_mark(marked: User, name: str) -> None:
    assert decides(name.format(marked.name)) == ASK


@pytest.mark.parametrize("name", ["a b", "ä.ö", "x" * 32, "$x", "ALICE", "a\\b", "%s", "..x"])
def test_user_of_any_name_is_certain_to_be_asked(
    user: User, credential: Credential, name: str
) -> None:
    """Names such as those that a directory may have."""
    with renamed(user, name):
        log_in(credential, name)
        assert is_certain(name)
        assert verify(name, credential.incorrect_code()) == REFUSED
        assert decides(name) == ASK


@pytest.mark.parametrize("name", [".", "..", "a/b", "../20001", "x" * 250, "x" * 300])
def test_name_that_no_file_can_have_leaves_no_mark_and_is_asked(
    user: User, credential: Credential, name: str
) -> None:
    with renamed(user, name):
        before = sorted(RECORDS.rglob("*"))
        log_in(credential, name)
        assert set(RECORDS.rglob("*")) <= {*before, RECORDS / str(user.uid), MARKS}
        assert decides(name) == ASK
        assert verify(name, credential.incorrect_code()) == REFUSED
        assert (RECORDS / str(user.uid)).exists()


@contextlib.contextmanager
def renamed(user: User, name: str) -> Iterator[None]:
    """In /etc/passwd alone, where useradd would refuse it."""
    before = PASSWD.read_bytes()
    after = before.replace(f"\n{user.name}:".encode(), f"\n{name}:".encode())
    assert after != before
    PASSWD.write_bytes(after)
    try:
        yield
    finally:
        PASSWD.write_bytes(before)
        with contextlib.suppress(OSError):
            mark_of(name).unlink()


# The file itself.


def boot_of_another(folder: Path) -> Path:
    other = folder / "boot_id"
    other.write_text("00000000-0000-4000-8000-000000000000\n", encoding="ascii")
    return other


def test_mark_is_of_this_boot_alone(marked: User, credential: Credential, tmp_path: Path) -> None:
    with bound(boot_of_another(tmp_path), BOOT):
        assert decides(marked) == ASK
        log_in(credential)
        assert is_certain(marked)
    assert decides(marked) == ASK


def test_boot_that_cannot_be_read_makes_no_mark(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    empty = tmp_path / "proc"
    empty.mkdir()
    with bound(empty, BOOT.parent):
        log_in(credential)
        assert not mark_of(user).exists()
        assert decides(user) == ASK


def give_away(path: Path) -> None:
    os.chown(path, 65534, 0)


def give_to_another_group(path: Path) -> None:
    os.chown(path, 0, 65534)
    path.chmod(0o660)


def open_to_all(path: Path) -> None:
    path.chmod(0o666)


def make_a_link(path: Path) -> None:
    path.rename(path.with_name("target"))
    path.symlink_to("target")


def make_a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def make_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def make_a_device(path: Path) -> None:
    path.unlink()
    os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))  # /dev/zero


def change(edit: Callable[[bytes], bytes], name: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        path.write_bytes(edit(path.read_bytes()))

    change.__name__ = name
    return change


DAMAGES = [
    *(give_away, give_to_another_group, open_to_all, make_a_link, make_a_fifo, make_a_folder),
    make_a_device,
    change(lambda text: b"", "empty"),
    change(lambda text: text[:-1], "cut"),
    change(lambda text: text[: len(text) // 2], "cut in the middle"),
    change(lambda text: text + b"\0", "with a NUL"),
    change(lambda text: text + b"\0" + text, "with a NUL and more"),
    change(lambda text: b"\0" + text, "with a NUL before"),
    change(lambda text: text + b"\n", "with an end of line"),
    change(lambda text: text + b" ", "with a space"),
    change(lambda text: b" " + text, "with a space before"),
    change(lambda text: text.ljust(10_000_000), "10 MB"),
    change(lambda text: text.ljust(10_000_000, b"\0"), "10 MB of NUL"),
    change(lambda text: text.replace(b" ask ", b" decide "), "decide"),
    change(lambda text: text.replace(b" ask ", b" ASK "), "ASK"),
    change(lambda text: text.replace(b" ask ", b"  ask "), "two spaces"),
    change(lambda text: text.replace(b" 1 ", b" 2 "), "version 2"),
    change(lambda text: text.replace(b" ask ", b" ask -"), "negative"),
    change(lambda text: text.replace(b" ask ", b" ask 4294967296"), "too large"),
    change(lambda text: text.replace(b" ask ", b" ask 0"), "octal"),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.replace(" ", "-"))
def test_mark_that_is_damaged_or_that_others_can_write_is_as_if_it_were_not_there(
    marked: User, credential: Credential, damage: Callable[[Path], None]
) -> None:
    try:
        damage(mark_of(marked))
        assert decides(marked) == ASK
        log_in(credential)  # with a file that cannot be read or replaced it is no worse
        assert gate(marked.name) == ASK
    finally:
        if mark_of(marked).is_dir():
            mark_of(marked).rmdir()
        (MARKS / "target").unlink(missing_ok=True)


@pytest.mark.parametrize("folder", [MARKS, RECORDS], ids=["certain", "pam-totp"])
@pytest.mark.parametrize("fault", [give_away, open_to_all, give_to_another_group])
def test_mark_in_a_folder_of_somebody_else_is_as_if_it_were_not_there(
    marked: User, folder: Path, fault: Callable[[Path], None]
) -> None:
    before = folder.stat()
    fault(folder)
    try:
        assert decides(marked) == ASK
    finally:
        os.chown(folder, before.st_uid, before.st_gid)
        folder.chmod(before.st_mode & 0o777)
    assert is_certain(marked)


@pytest.mark.parametrize("folder", [MARKS, RECORDS], ids=["certain", "pam-totp"])
def test_mark_behind_a_link_to_a_folder_is_as_if_it_were_not_there(
    marked: User, folder: Path
) -> None:
    moved = folder.with_name("moved")
    folder.rename(moved)
    folder.symlink_to(moved)
    try:
        assert decides(marked) == ASK
    finally:
        folder.unlink()
        moved.rename(folder)
    assert is_certain(marked)


def test_memory_that_is_full_leaves_no_mark_and_refuses_nobody(
    user: User, credential: Credential
) -> None:
    with mounted(RECORDS, "size=8k,nr_inodes=3,mode=700"):  # for the record, and the folder
        for _ in range(2):
            log_in(credential)
            assert decides(user) == ASK
        assert not mark_of(user).exists()
    with mounted(RECORDS, "size=4k,mode=700"):  # full with the record
        log_in(credential)
        assert gate(user.name) == ASK


def test_marks_that_cannot_be_written_refuse_nobody(user: User, credential: Credential) -> None:
    MARKS.mkdir(mode=0o700, exist_ok=True)
    with read_only(MARKS):
        log_in(credential)
        assert decides(user) == ASK
