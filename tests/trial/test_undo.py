# SPDX-License-Identifier: MIT
"""What somebody else edited during a trial stays, if it is apart from the change's own lines."""

import itertools
import subprocess
from collections.abc import Callable

import pytest

from pam_totp.setup.change import FileChange
from pam_totp.setup.undo import FORCED, LEFT, MERGED, NOTHING, PUT_BACK, undo
from tests.faults.disk import FULL, disks
from tests.trial.change_host import CHANGES, ROLL_BACK, SETTINGS, STACK, ChangeHost, is_over

BEFORE = b"one\ntwo\nthree\nfour\nfive\n"
AFTER = b"one\ntwo\n# begin\nTHREE\n# end\nfour\nfive\n"
CHANGED = FileChange("/etc/pam.d/x", BEFORE, AFTER)
MADE = FileChange("/etc/ssh/sshd_config.d/x.conf", None, b"a\nb\n")
REMOVED = MADE.inverse


@pytest.mark.parametrize(
    ("found", "content", "how"),
    [
        (BEFORE, BEFORE, NOTHING),
        (AFTER, BEFORE, PUT_BACK),
        (b"zero\n" + AFTER, b"zero\n" + BEFORE, MERGED),
        (AFTER + b"six\n", BEFORE + b"six\n", MERGED),
        (AFTER.replace(b"one", b"1"), BEFORE.replace(b"one", b"1"), MERGED),
        (AFTER.replace(b"five\n", b""), BEFORE.replace(b"five\n", b""), MERGED),
        # Within the lines of the change, or where they begin or end.
        (AFTER.replace(b"THREE", b"3"), BEFORE, FORCED),
        (AFTER.replace(b"two", b"2"), BEFORE, FORCED),
        (AFTER.replace(b"# end\n", b"# end\nmore\n"), BEFORE, FORCED),
        # Somebody has taken them out already, or a package has replaced the file.
        (BEFORE + b"six\n", BEFORE + b"six\n", LEFT),
        (b"all new\n", b"all new\n", LEFT),
        (None, None, LEFT),
    ],
)
def test_file_that_was_edited_since(found: bytes | None, content: bytes | None, how: str) -> None:
    assert (undo(CHANGED, found).content, undo(CHANGED, found).how) == (content, how)


@pytest.mark.parametrize(
    ("change", "found", "content", "how"),
    [
        (MADE, b"a\nb\n", None, PUT_BACK),
        (MADE, None, None, NOTHING),
        (MADE, b"a\nb\nc\n", None, FORCED),
        (MADE, b"c\n", b"c\n", LEFT),
        (REMOVED, None, b"a\nb\n", PUT_BACK),
        (REMOVED, b"a\nb\n", b"a\nb\n", NOTHING),
        (REMOVED, b"c\n", b"c\n", LEFT),
    ],
)
def test_file_that_the_change_made_or_removed(
    change: FileChange, found: bytes | None, content: bytes | None, how: str
) -> None:
    assert (undo(change, found).content, undo(change, found).how) == (content, how)


def test_edits_apart_from_a_change_stay_whatever_both_are() -> None:
    lines = [b"a\n", b"b\n", b"c\n", b"d\n", b"e\n", b"f\n", b"g\n"]
    for begin, end in itertools.combinations(range(len(lines)), 2):
        after = [*lines[:begin], b"# begin\n", b"new\n", b"# end\n", *lines[end:]]
        change = FileChange("/etc/pam.d/x", b"".join(lines), b"".join(after))
        for place in range(len(lines)):
            if begin - 1 <= place <= end:
                continue
            edited = [line.upper() if line == lines[place] else line for line in after]
            expected = [line.upper() if line == lines[place] else line for line in lines]
            undone = undo(change, b"".join(edited))
            assert (undone.how, undone.content) == (MERGED, b"".join(expected))


@pytest.fixture
def left_trial(change_host: ChangeHost) -> Callable[[], str]:
    """A trial whose command and watcher are gone; what taking it back says."""
    subprocess.run(change_host.command("left", "no"), check=True)

    def take_back() -> str:
        done = subprocess.run([ROLL_BACK], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert is_over()
        return done.stdout

    return take_back


def test_later_edit_of_the_stack_by_somebody_else_stays(
    change_host: ChangeHost, left_trial: Callable[[], str]
) -> None:
    STACK.write_bytes(STACK.read_bytes() + b"session optional pam_permit.so\n")
    said = left_trial()
    assert STACK.read_bytes() == change_host.old[0] + b"session optional pam_permit.so\n"
    assert f"{STACK} is without the change; what somebody else edited since was kept." in said


def test_edit_of_the_change_s_own_lines_is_kept_aside(
    change_host: ChangeHost, left_trial: Callable[[], str]
) -> None:
    edited = SETTINGS.read_bytes() + b"LogLevel DEBUG\n"
    SETTINGS.write_bytes(edited)
    said = left_trial()
    assert not SETTINGS.exists()
    kept = CHANGES / f"1/edited{SETTINGS}"
    assert kept.read_bytes() == edited
    assert f"What somebody else edited since is in {kept}." in said


def test_file_that_a_package_has_replaced_is_left_as_it_is(
    change_host: ChangeHost, left_trial: Callable[[], str]
) -> None:
    STACK.write_bytes(b"@include common-auth\n# of the new package\n")
    assert f"{STACK} was changed by somebody else, and was left as it is." in left_trial()
    assert STACK.read_bytes() == b"@include common-auth\n# of the new package\n"


def test_what_cannot_be_taken_back_is_said_and_tried_again(
    change_host: ChangeHost, left_trial: Callable[[], str]
) -> None:
    subprocess.run(["chattr", "+i", STACK], check=True)
    try:
        done = subprocess.run([ROLL_BACK], capture_output=True, text=True)
        assert done.returncode == 1
        error, hint = done.stderr.splitlines()
        assert f"cannot take back {STACK}: Operation not permitted" in error
        assert hint.startswith("hint: lsattr")
        assert not SETTINGS.exists()  # what one file refuses keeps no other
        assert not is_over()
    finally:
        subprocess.run(["chattr", "-i", STACK], check=True)
    left_trial()
    assert STACK.read_bytes() == change_host.old[0]


def test_full_disk_does_not_keep_it_from_being_taken_back(change_host: ChangeHost) -> None:
    with disks([STACK.parent, SETTINGS.parent, CHANGES.parent]) as made:
        subprocess.run(change_host.command("left", "no"), check=True)
        for disk in made:
            disk.become(FULL)
        done = subprocess.run([ROLL_BACK], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert STACK.read_bytes() == change_host.old[0] and not SETTINGS.exists()
        assert is_over()
