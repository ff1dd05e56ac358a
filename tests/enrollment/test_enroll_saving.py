# SPDX-License-Identifier: MIT
"""Saving the secret: the old one or the new one, whole, whatever happens on the way."""

import fcntl
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.enrollment.person import (
    CTRL_C,
    PASSWORD_PROMPT,
    Person,
    Start,
    enroll,
    secret_file,
    without_time,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.encrypted_disk import EncryptedDisk
from tests.host.programs import ACCEPTED, COMMAND
from tests.host.saved_files import FOLDER, TRIED, OnFile, calls_on_files, made_in
from tests.login.programs import verify

NEW = "otpauth://totp/new?secret=NEWNEWNEWNEWNEWNEWNEWNEWNEWNEWNE phone\n" * 20
OLD = "otpauth://totp/old?secret=OLDOLDOLDOLDOLDOLDOLDOLDOLDOLDOL phone\n" * 15
# Does it, and tells by its exit code what a person would be told.
PROGRAM = """
import os, pwd, sys
sys.path[:0] = ["/usr/lib/pam-totp"]
from pam_totp.enrollment import save
from pam_totp.errors import Error
from pam_totp.records.storage.secret_dir import SecretDir
account = SecretDir(pwd.getpwuid(os.getuid()))
print("ready", flush=True)
sys.stdin.readline()
try:
    {does}
except Error as fault:
    sys.exit(3 if "nothing was changed" in fault.message else 4)
"""
SAVE = f'save.save(account, "secret", {NEW.encode()!r})'
TRY = 'save.try_out(account, "recovery", "secret")'
# In which order it reaches the disk: each file before it takes its name, and then the folder.
DURABLE = {
    SAVE: [
        *("fsync secret.new", "rename secret.new", f"fsync {FOLDER}"),
        *("fsync .gitignore.new", "rename .gitignore.new", f"fsync {FOLDER}"),
    ],
    TRY: [
        *("fsync secret.new-tried0.new", "fsync secret.new-tried1.new"),
        *("rename secret.new-tried0.new", "rename secret.new-tried1.new", f"fsync {FOLDER}"),
    ],
}
SAVED, NOTHING_CHANGED, CHANGED_BUT = 0, 3, 4
KILLS = 40
MEANWHILE = "pam-totp: error: the secret was changed meanwhile; nothing was changed"
LEFT = (["secret"], [".gitignore", "secret"], [".gitignore", "recovery", "secret"])
"""What lies in the folder: no temporary file, whatever happened."""
ON_FILES = re.compile(
    r"open(at)?|mkdir(at)?|newfstatat|statx|read|write|fsync|flock|rename(at2?)?|close|getdents64"
    r"|unlink(at)?|rmdir"
)


@pytest.fixture(params=["first", "again"])
def before(request: pytest.FixtureRequest, user: User) -> str | None:
    """What the user's secret file holds before: nothing yet, or an old secret."""
    if request.param == "again":
        user.give(secret_file(user), OLD)
        return OLD
    return None


def content(user: User) -> str | None:
    try:
        return secret_file(user).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def saving(user: User, *through: str, does: str = SAVE) -> "subprocess.Popen[bytes]":
    program = PROGRAM.format(does=does)
    command = user.command([*through, "/usr/bin/python3", "-BIS", "-c", program])
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=user.home)


def status_of(user: User, *through: str, does: str = SAVE) -> int:
    """How it ends when it is told to begin at once."""
    process = saving(user, *through, does=does)
    process.communicate(b"go\n")
    return process.returncode


def status_with(user: User, call: OnFile, what: str, does: str = SAVE) -> int:
    """The same where this happens at a call."""
    inject = f"inject={call.name}:{what}:when={call.number}"
    return status_of(user, "strace", "-o", "/dev/null", "-e", inject, does=does)


def put_back(user: User, before: str | None) -> None:
    """Nothing else stays: a .gitignore that is there already makes fewer calls."""
    subprocess.run(["rm", "-rf", str(user.home / ".config")], check=True)
    if before is not None:
        user.give(secret_file(user), before)


def assert_safe(user: User, allowed: set[str | None]) -> None:
    """One of the allowed contents, in files and folders that are the user's alone."""
    assert content(user) in allowed
    for path in (user.home / ".config").rglob("*"):
        assert path.lstat().st_uid == user.uid
        assert path.lstat().st_mode & 0o077 == 0


def names(user: User) -> set[Path]:
    return set((user.home / ".config").rglob("*"))


def traced_calls(user: User, before: str | None, does: str = SAVE) -> list[OnFile]:
    """The calls on files after it was told to begin."""
    trace = user.home / "trace"
    assert status_of(user, "strace", "-y", "-o", str(trace), does=does) == SAVED
    calls = list(calls_on_files(trace))
    begun = next(number for number, call in enumerate(calls) if '"go\\n"' in call.line)
    calls = [call for call in calls[begun + 1 :] if ON_FILES.fullmatch(call.name)]
    durable = [call for call in calls if call.name.startswith(("fsync", "rename"))]
    made = [f"{re.sub('at2?$', '', call.name)} {call.file}" for call in durable]
    assert made == DURABLE[does]
    trace.unlink()
    put_back(user, before)
    return calls


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_failing_call_leaves_what_the_person_is_told(
    user: User, before: str | None, error: str
) -> None:
    wrong = []
    for call in traced_calls(user, before):
        status = status_with(user, call, f"error={error}")
        told = {SAVED: NEW, CHANGED_BUT: NEW, NOTHING_CHANGED: before}.get(status, "a traceback")
        if content(user) != told:
            wrong.append((call, status, content(user) == NEW))
        put_back(user, before)
    assert wrong == []


@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_failing_call_of_the_trial_changes_nothing(
    user: User, before: str | None, error: str
) -> None:
    """A file that cannot be removed then is removed by the next trial."""
    was, calls = names(user), traced_calls(user, before, TRY)
    tried = max(number for number, call in enumerate(calls) if call.name == "fsync")
    for number, call in enumerate(calls):
        assert status_with(user, call, f"error={error}", TRY) in (SAVED, NOTHING_CHANGED), call
        assert content(user) == before
        assert number > tried or names(user) == was, f"left by {call}"
        assert status_of(user, does=TRY) == SAVED
        assert not any(path.name.startswith(TRIED) for path in names(user)), f"left by {call}"
        put_back(user, before)


def test_kill_at_any_call_leaves_old_or_new_whole(user: User, before: str | None) -> None:
    for call in traced_calls(user, before):
        status = status_with(user, call, "signal=SIGKILL")
        assert status == -signal.SIGKILL, f"not killed at {call}"
        assert_safe(user, {before, NEW})
        put_back(user, before)


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT], ids=lambda by: by.name)
@pytest.mark.parametrize("following", [TRY, SAVE], ids=["trial", "saving"])
def test_kill_at_any_call_of_the_trial_changes_nothing_and_the_next_clears_it_away(
    user: User, before: str | None, by: signal.Signals, following: str
) -> None:
    """Whichever is the next: the trial of another command, or what is saved."""
    left = {".gitignore", "secret"} if following == SAVE else {"secret"} if before else set()
    for call in traced_calls(user, before, TRY):
        status = status_with(user, call, f"signal={by.name}", TRY)
        assert status != SAVED, f"not killed at {call}"
        assert_safe(user, {before})
        assert status_of(user, does=following) == SAVED
        assert {path.name for path in names(user) if path.is_file()} == left, f"left by {call}"
        put_back(user, before)


def test_kill_at_any_moment_leaves_old_or_new_whole(user: User, before: str | None) -> None:
    source = random.Random(19)
    for _ in range(KILLS // 2):
        process = saving(user)
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b"go\n")
        process.stdin.flush()
        until = time.perf_counter() + source.uniform(0, 0.002)
        while time.perf_counter() < until:
            pass
        process.kill()
        process.communicate()
        assert_safe(user, {before, NEW})
        put_back(user, before)


def test_what_a_killed_enrollment_left_is_cleared_by_the_next(user: User, start: Start) -> None:
    left = secret_file(user).with_name("secret.new-0123456789abcdef")
    user.give(left, NEW)
    phone = enroll(start, user)
    assert sorted(path.name for path in left.parent.iterdir()) == LEFT[-1]
    assert verify(user.name, phone.code()) == ACCEPTED


@pytest.fixture
def home_on_a_disk(user: User) -> Iterator[Callable[[str], None]]:
    """`home_on_a_disk(options)` puts the user's home on a disk of its own, still empty."""
    mounted = []

    def mount(options: str) -> None:
        given = f"mode=700,uid={user.uid},gid={user.gid},{options}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", given, "home", str(user.home)], check=True)
        mounted.append(user.home)

    yield mount
    for path in mounted:
        subprocess.run(["umount", str(path)], check=True)


def fill(user: User) -> None:
    with (user.home / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


def enroll_in_vain(start: Start, user: User, hint: str, called: str = "the secret") -> str:
    """Begin to enroll where nothing can be saved. What was said, before anything was asked."""
    finished = start(user, "enroll").finish()
    assert finished.status == 1
    assert finished.output.startswith(f"pam-totp: error: cannot save {called}: ")
    assert f"nothing was changed\nhint: {hint}\n" in finished.output
    return finished.output


def test_full_disk_is_said_before_anything_is_shown_or_asked(
    user: User, start: Start, home_on_a_disk: Callable[[str], None]
) -> None:
    home_on_a_disk("size=64k")
    fill(user)
    assert "No space left on device" in enroll_in_vain(start, user, "df -h ~")


@pytest.mark.parametrize("what", ["blocks", "files"])
def test_room_for_the_secret_without_the_recovery_codes_is_said_before_anything_is_asked(
    user: User,
    start: Start,
    enrolled: Callable[..., Credential],
    home_on_a_disk: Callable[[str], None],
    what: str,
) -> None:
    home_on_a_disk("size=64k,nr_inodes=50")
    credential = enrolled(user)
    if what == "blocks":
        fill(user)
        with (user.home / "filling").open("r+b") as file:
            file.truncate(file.seek(0, os.SEEK_END) - 4096)
    else:
        used = 1 + len(list(user.home.rglob("*")))
        limit = f"remount,nr_inodes={used + 1}"
        subprocess.run(["mount", "-o", limit, str(user.home)], check=True)
    assert "No space left on device" in enroll_in_vain(start, user, "df -h ~/.config/pam-totp")
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


def test_dotfiles_stay_without_the_secret_though_the_disk_was_full_once(
    user: User, start: Start, home_on_a_disk: Callable[[str], None]
) -> None:
    home_on_a_disk("size=64k")
    fill(user)
    with (user.home / "filling").open("r+b") as file:
        file.truncate(file.seek(0, os.SEEK_END) - 2 * 4096)
    phone = enroll(start, user)
    (user.home / "filling").unlink()
    person = start(user, "recovery-codes")
    person.answer("Code from the app", phone.code())
    assert person.finish().status == 0
    assert secret_file(user).with_name(".gitignore").read_text(encoding="utf-8") == "*\n"


@pytest.mark.parametrize("owner", ["root", "user"])
@pytest.mark.parametrize("name", ["", ".config", ".config/pam-totp"])
def test_folder_that_takes_no_file_is_said_before_anything_is_shown_or_asked(
    user: User, start: Start, name: str, owner: str
) -> None:
    """As `.config` of root's, and the home that sshd's ChrootDirectory wants."""
    user.give(secret_file(user).with_name("other"), "other")
    folder = user.home / name
    folder.chmod(0o555)
    os.chown(folder, 0 if owner == "root" else user.uid, -1)
    if name != ".config/pam-totp":
        subprocess.run(["rm", "-rf", str(folder / ".config"), str(folder / "pam-totp")], check=True)
    finished = start(user, "enroll").finish()
    fault = f"{folder} is owned by user id 0" if owner == "root" else "Permission denied"
    hint = "namei -l ~/.config/pam-totp\n"
    if owner == "root":  # an empty home may not be mounted; a folder in it is there
        hint = f"sudo chown -h {user.name} {folder}\n" if name else "is the home mounted?\n"
    assert finished.output.startswith("pam-totp: error: ")
    assert fault in finished.output
    assert f"; nothing was changed\nhint: {hint}" in finished.output
    assert content(user) is None


@pytest.mark.parametrize("name", ["secret", "recovery"])
def test_file_that_cannot_be_replaced_is_said_before_anything_is_shown_or_asked(
    user: User,
    start: Start,
    enrolled: Callable[..., Credential],
    encrypted_disk: EncryptedDisk,
    name: str,
) -> None:
    """The attribute `i`, on a file system that has it."""
    home = encrypted_disk.path / user.name
    enrolled(user)
    user.give(secret_file(user).with_name("recovery"), "")
    subprocess.run(["cp", "-a", str(user.home), str(home)], check=True)
    subprocess.run(["usermod", "--home", str(home), user.name], check=True)
    kept = home / ".config" / "pam-totp" / name
    subprocess.run(["chattr", "+i", str(kept)], check=True)
    called = {"secret": "the secret", "recovery": "the recovery codes"}[name]
    try:
        said = enroll_in_vain(start, user, "lsattr -a ~/.config/pam-totp", called)
        assert "Operation not permitted" in said
        assert sorted(path.name for path in kept.parent.iterdir()) == ["recovery", "secret"]
    finally:
        subprocess.run(["chattr", "-i", str(kept)], check=True)


def test_trial_of_the_place_leaves_nothing(user: User, start: Start) -> None:
    person = start(user, "enroll")
    person.scan()
    assert not (user.home / ".config").exists()
    person.press(CTRL_C)
    assert person.finish().status == 1
    assert not (user.home / ".config").exists()


@pytest.mark.parametrize("enrolled_before", [False, True])
def test_full_disk_leaves_the_old_secret_or_none(
    user: User,
    start: Start,
    enrolled: Callable[..., Credential],
    home_on_a_disk: Callable[[str], None],
    enrolled_before: bool,
) -> None:
    home_on_a_disk("size=64k")
    credential = enrolled(user) if enrolled_before else None
    before = content(user)
    fill(user)
    folder = "~/.config/pam-totp" if enrolled_before else "~"
    assert "No space left on device" in enroll_in_vain(start, user, f"df -h {folder}")
    assert content(user) == before
    if credential is not None:
        assert verify(user.name, credential.fresh_code()) == ACCEPTED
        assert sorted(path.name for path in secret_file(user).parent.iterdir()) in LEFT


def test_read_only_home_leaves_the_old_secret(
    user: User,
    start: Start,
    enrolled: Callable[..., Credential],
    home_on_a_disk: Callable[[str], None],
) -> None:
    home_on_a_disk("size=64k")
    credential = enrolled(user)
    subprocess.run(["mount", "-o", "remount,ro", str(user.home)], check=True)
    assert "Read-only file system" in enroll_in_vain(start, user, "findmnt -T ~/.config/pam-totp")
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


def test_folder_that_the_user_cannot_write_leaves_the_old_secret(
    user: User, start: Start, enrolled: Callable[..., Credential]
) -> None:
    credential = enrolled(user)
    secret_file(user).parent.chmod(0o500)
    assert "Permission denied" in enroll_in_vain(start, user, "namei -l ~/.config/pam-totp")
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


def test_size_limit_leaves_the_old_secret(user: User, enrolled: Callable[..., Credential]) -> None:
    """As a quota does, and with a signal on top."""
    credential = enrolled(user)
    before = content(user)
    for limit in ("-f 0", "-S -f 0"):
        process = saving(user, "/bin/sh", "-c", f'ulimit {limit}; exec "$0" "$@"')
        process.communicate(b"go\n")
        assert process.returncode != SAVED
        assert content(user) == before
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


def test_nothing_is_open_to_others_from_its_first_byte_on(user: User, start: Start) -> None:
    """Whatever umask the command inherits: what is made is made closed, not closed later."""
    trace = user.home / "trace"
    calls = "trace=mkdir,mkdirat,openat,open,creat,chmod,fchmod,fchmodat,umask"
    script = f'umask 000; exec strace -f -o {trace} -e {calls} "$0" "$@"'
    person = start(user, "enroll", through=["/bin/sh", "-c", script])
    person.type_line(person.scan().code())
    assert person.finish().status == 0
    lines = trace.read_text(encoding="utf-8").splitlines()
    folders = [line for line in lines if re.search(r"mkdir(at)?\(", line) and line.endswith("= 0")]
    files = [line for line in lines if "O_CREAT" in line]
    assert made_in(files) == [".gitignore.new", "recovery.new", "secret.new"]
    assert any(TRIED in line for line in files)
    assert {each for line in folders for each in re.findall(r", (\d+)\)", line)} == {"0700"}
    assert {tuple(re.findall(r", (\d+)\)", line)) for line in files} == {("0600",)}
    assert all("O_EXCL" in line and "O_NOFOLLOW" in line for line in files)
    assert not any("chmod" in line for line in lines)


@pytest.mark.parametrize("target", ["/etc/passwd", "elsewhere", "nowhere"])
def test_planted_links_are_neither_followed_nor_written_through(
    user: User, start: Start, target: str
) -> None:
    folder = secret_file(user).parent
    user.give(folder / "elsewhere", "precious")
    for name in ("secret.new", "secret.tmp", "secret~", "secret.new-0123456789abcdef"):
        (folder / name).symlink_to(target)
    passwords = Path("/etc/passwd").read_bytes()
    phone = enroll(start, user)
    assert (folder / "elsewhere").read_text(encoding="utf-8") == "precious"
    assert Path("/etc/passwd").read_bytes() == passwords
    assert not (folder / "nowhere").exists()
    assert not secret_file(user).is_symlink()
    assert verify(user.name, phone.code()) == ACCEPTED


def test_secret_that_appears_meanwhile_is_not_torn(
    user: User, start: Start, enrolled: Callable[..., Credential]
) -> None:
    """Two windows, one user: one of them wins, whole."""
    first, second = start(user, "enroll"), start(user, "enroll")
    phones = first.scan(), second.scan()
    first.type_line(phones[0].code())
    assert first.finish().status == 0
    second.type_line(phones[1].code())
    assert MEANWHILE in second.finish().output
    lines = (content(user) or "").splitlines()
    assert len(lines) == 2
    assert without_time(lines[1]) in {f"{phone.uri} phone" for phone in phones}


def enroll_meanwhile(start: Start, user: User) -> None:
    assert enroll_again(start, user).finish().status == 0


def enroll_again(start: Start, user: User, *arguments: str) -> Person:
    """An enrollment of somebody who is enrolled, with the correct code typed."""
    person = start(user, "enroll", *arguments)
    person.answer(PASSWORD_PROMPT, user.password)
    person.type_line(person.scan().code())
    return person


def add_meanwhile(start: Start, user: User) -> None:
    assert enroll_again(start, user, "--device", "tablet").finish().status == 0


def reset_meanwhile(start: Start, user: User) -> None:
    assert subprocess.run([COMMAND, "reset", "--yes", user.name]).returncode == 0


@pytest.mark.parametrize("meanwhile", [enroll_meanwhile, add_meanwhile, reset_meanwhile])
@pytest.mark.parametrize("option", [[], ["--device", "laptop"]], ids=["replace", "add"])
def test_secret_that_was_changed_meanwhile_is_not_saved_over(
    user: User,
    start: Start,
    enrolled: Callable[..., Credential],
    meanwhile: Callable[[Start, User], None],
    option: list[str],
) -> None:
    """A prompt can stand open for hours: what it would save is what was there before it."""
    stolen = enrolled(user)
    waiting = start(user, "enroll", *option)
    waiting.answer(PASSWORD_PROMPT, user.password)
    phone = waiting.scan()
    meanwhile(start, user)
    before = content(user)
    waiting.type_line(phone.code())
    finished = waiting.finish()
    assert finished.status == 1
    assert f"{MEANWHILE}\nhint: pam-totp enroll" in finished.output
    assert content(user) == before
    assert "Delete the entry" in finished.output
    assert "The old one still works" not in finished.output
    if meanwhile is not add_meanwhile:
        assert verify(user.name, stolen.fresh_code()) != ACCEPTED


def test_command_that_saves_at_the_same_moment_is_waited_for_by_nobody(
    user: User, start: Start, enrolled: Callable[..., Credential]
) -> None:
    """What was read is compared and replaced under a lock; who does not get it changes nothing."""
    enrolled(user)
    before = content(user)
    person = start(user, "enroll")
    person.answer(PASSWORD_PROMPT, user.password)
    phone = person.scan()
    folder = os.open(secret_file(user).parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    person.type_line(phone.code())
    said = "another command is saving there; nothing was changed"
    assert said in person.finish().output
    assert said in enroll_in_vain(start, user, "try again")
    os.close(folder)
    assert content(user) == before
    enroll_meanwhile(start, user)


def test_config_folder_that_is_a_link_of_the_user_s_is_kept(user: User, start: Start) -> None:
    real = user.home / "dotfiles"
    real.mkdir(mode=0o700)
    os.chown(real, user.uid, user.gid)
    (user.home / ".config").symlink_to("dotfiles")
    phone = enroll(start, user)
    assert (user.home / ".config").is_symlink()
    assert (real / "pam-totp" / "secret").exists()
    assert verify(user.name, phone.code()) == ACCEPTED


def test_interrupt_during_saving_leaves_old_or_new_whole(user: User, before: str | None) -> None:
    for call in traced_calls(user, before):
        status_with(user, call, "signal=SIGINT")
        assert_safe(user, {before, NEW})
        put_back(user, before)


@pytest.mark.parametrize(
    ("name", "file"),
    [
        *(("fsync", "recovery.new"), ("fsync", "secret.new")),
        *(("renameat", "recovery.new"), ("renameat", "secret.new"), ("fsync", FOLDER)),
    ],
)
def test_ctrl_c_while_saving_is_told_the_truth(
    user: User, start: Start, tmp_path: Path, name: str, file: str
) -> None:
    trace = user.home / "trace"
    through = ["strace", "-f", "-y", "-o", str(trace), "-e", f"trace={name}"]
    person = start(user, "enroll", through=through)
    person.type_line(person.scan().code())
    assert person.finish().status == 0
    calls = list(calls_on_files(trace))
    saved = next(each for each, call in enumerate(calls) if call.file == "recovery.new")
    number = next(call.number for call in calls[saved:] if call.file == file)
    put_back(user, None)

    person = start(
        user, "enroll", through=[*through, "-e", f"inject={name}:signal=SIGINT:when={number}"]
    )
    person.type_line(person.scan().code())
    finished = person.finish()
    assert "--- SIGINT" in trace.read_text(encoding="utf-8")
    assert ("nothing was changed" in finished.output) == (content(user) is None)
