# SPDX-License-Identifier: MIT
"""The active settings: one snapshot for all logins, and no fault in the file loosens anything."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import (
    LAST_GOOD,
    configured,
    gate,
    mounted,
    read_only,
    run,
    tree,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, NO_CODE_NEEDED, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog

YAML_LIBRARY = "/usr/lib/python3/dist-packages/yaml"
STRICT = "throttle:\n  free_tries: 2\n  first_wait: 600\n  longest_wait: 900\n"
WAITS = "Too many incorrect codes"
INVALID = {
    "an unknown key": "throtle: {free_tries: 3}\n",
    "no YAML": "throttle: [\n",
    "binary junk": "\0\x01\x02" * 100,
    "a value out of range": "throttle: {free_tries: 0}\n",
    "a list": "- store\n",
    "a key given twice": "store: user\nstore: system\n",
    "tabs": "throttle:\n\tfree_tries: 3\n",
    "a file that is too long": "#" + "x" * (1 << 20) + "\n",
}
JUNK = {
    "nothing": b"",
    "a word": b"junk",
    "no ASCII": b"\xff" * 100,
    "a format to come": b"pam-totp settings 3 0 0 0 0 0\nstore system\n",
    "70,000 zeros": b"\0" * 70000,
}


def is_strict(credential: Credential) -> bool:
    """Whether STRICT is active, seen by its throttle: two incorrect codes make the third wait."""
    record = RECORDS / str(credential.user.uid)
    record.unlink(missing_ok=True)
    for index in range(2):
        assert verify(credential.user, credential.incorrect_code(index)).code == REFUSED
    waits = WAITS in gate(credential.user).output
    record.unlink(missing_ok=True)
    return waits


def files_opened(user: User, trace: Path) -> str:
    gate(user, through=["strace", "-f", "-e", "trace=openat,open", "-o", str(trace)])
    return trace.read_text(encoding="utf-8", errors="replace")


def test_shipped_file_leaves_the_defaults_active(user: User, credential: Credential) -> None:
    assert gate(user).code == ASK
    assert not is_strict(credential)


def test_snapshot_is_made_at_the_first_login_and_no_yaml_is_read_at_the_second(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    with configured(STRICT, settled=True):
        first = files_opened(user, tmp_path / "first")
        assert "yaml" in first
        assert LAST_GOOD.exists()
        second = files_opened(user, tmp_path / "second")
        assert "last-good" in second
        assert "yaml" not in second
        assert "dist-packages" not in second
        assert is_strict(credential)


def test_snapshot_is_roots_alone(user: User) -> None:
    with configured(STRICT):
        gate(user)
        assert stat.S_IMODE(LAST_GOOD.stat().st_mode) == 0o600
        assert LAST_GOOD.stat().st_uid == 0


def test_changed_file_applies_at_the_next_login(user: User, credential: Credential) -> None:
    with configured("") as path:
        assert not is_strict(credential)
        path.write_text(STRICT, encoding="utf-8")
        assert is_strict(credential)
        path.write_text("# defaults\n", encoding="utf-8")
        assert not is_strict(credential)


def test_file_replaced_by_one_of_the_same_size_and_time_is_noticed(
    user: User, credential: Credential
) -> None:
    lax = STRICT.replace("free_tries: 2", "free_tries: 9")
    with configured(lax) as path:
        assert not is_strict(credential)
        before = path.stat()
        new = path.with_name("new")
        new.write_text(STRICT, encoding="utf-8")
        os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
        new.rename(path)
        assert path.stat().st_size == before.st_size
        assert is_strict(credential)


@pytest.mark.parametrize("content", INVALID)
def test_invalid_file_keeps_the_last_good_settings_active_and_every_decision_says_so(
    user: User, credential: Credential, syslog: SystemLog, content: str
) -> None:
    with configured(STRICT) as path:
        gate(user)
        kept = LAST_GOOD.read_bytes()
        path.write_text(INVALID[content], encoding="utf-8")
        syslog.clear()
        assert is_strict(credential)
        assert verify(user, credential.fresh_code()).code == ACCEPTED
        decisions = syslog.decisions()
        assert len(decisions) == 3
        assert all("/etc/pam-totp/config.yaml: " in each["detail"] for each in decisions)
        assert LAST_GOOD.read_bytes() == kept
        path.write_text("# defaults\n", encoding="utf-8")
        assert not is_strict(credential)


def test_skipped_login_says_that_the_file_is_invalid_too(user: User, syslog: SystemLog) -> None:
    with configured("throtle: 1\n"):
        assert gate(user).code == NO_CODE_NEEDED
    (decision,) = syslog.decisions()
    assert decision["reason"] == "not-enrolled"
    assert "unknown key 'throtle'" in decision["detail"]


def test_detail_names_the_fault_and_its_place(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    with configured("store: user\nthrottle:\n  free_tires: 3\n"):
        verify(user, credential.fresh_code())
    detail = syslog.decisions()[0]["detail"]
    assert "line 3, column 3: unknown key 'free_tires'" in detail
    assert "did you mean" not in detail  # that is for `config check`


@pytest.mark.parametrize("content", INVALID)
def test_where_there_never_was_a_valid_file_the_defaults_are_active(
    user: User, credential: Credential, make_user: Callable[..., User], content: str
) -> None:
    with configured(INVALID[content]):
        assert gate(user).code == ASK
        assert not is_strict(credential)
        assert verify(user, credential.fresh_code()).code == ACCEPTED
        assert gate(make_user()).code == NO_CODE_NEEDED
        assert not LAST_GOOD.exists()


@pytest.mark.parametrize("spoil", ["of somebody else", "writable by a group", "writable by all"])
def test_file_that_others_could_write_is_not_used(
    user: User, credential: Credential, syslog: SystemLog, spoil: str
) -> None:
    with configured(STRICT) as path:
        assert is_strict(credential)
        path.write_text("", encoding="utf-8")
        if spoil == "of somebody else":
            os.chown(path, user.uid, user.gid)
        else:
            path.chmod(0o664 if "group" in spoil else 0o646)
        syslog.clear()
        assert is_strict(credential)
        which = "must be owned by root" if "somebody" in spoil else "must not be writable by group"
        assert which in syslog.decisions()[0]["detail"]


def test_file_made_writable_after_it_was_read_keeps_the_last_good(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    with configured(STRICT) as path:
        assert is_strict(credential)
        path.chmod(0o666)
        syslog.clear()
        assert is_strict(credential)
        assert (
            "must not be writable by group or others (mode 0666)" in syslog.decisions()[0]["detail"]
        )


@pytest.mark.parametrize("disk", ["full", "read-only"])
def test_new_settings_are_active_although_the_snapshot_cannot_be_kept(
    user: User, credential: Credential, disk: str
) -> None:
    full = mounted(STATE, "size=4k,nr_inodes=1,mode=700")
    with configured(STRICT), full if disk == "full" else read_only(STATE):
        assert is_strict(credential)
        assert not LAST_GOOD.exists()
        assert is_strict(credential)


def test_half_written_file_keeps_the_last_good(user: User, credential: Credential) -> None:
    """Cut in the middle of a word, or before the colon, as a full disk or an editor would."""
    with configured(STRICT) as path:
        assert is_strict(credential)
        for end in ("throttle:\n  free_tries", "throttle:\n  free", "throttle:\n", "thrott"):
            path.write_text(end, encoding="utf-8")
            assert is_strict(credential)


def test_emptied_file_keeps_the_last_good(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    """What a power cut or a full disk leaves of a file that was being written: no byte at all."""
    with configured(STRICT) as path:
        assert is_strict(credential)
        path.write_bytes(b"")
        assert is_strict(credential)


def test_removed_file_keeps_the_last_good(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    """Rule 11: a file that is gone says no more about what is wanted than one that is broken."""
    with configured(STRICT) as path:
        assert is_strict(credential)
        path.unlink()
        assert is_strict(credential)


def test_unreadable_folder_keeps_the_last_good(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    with configured(STRICT) as path:
        assert is_strict(credential)
        moved = path.parent.rename(path.parent.with_name("pam-totp-moved"))
        try:
            path.parent.symlink_to("pam-totp")  # a loop: ELOOP
            syslog.clear()
            assert is_strict(credential)
            assert "Too many levels of symbolic links" in syslog.decisions()[0]["detail"]
        finally:
            path.parent.unlink()
            moved.rename(path.parent)


@pytest.mark.parametrize("content", JUNK)
def test_junk_in_place_of_the_snapshot_is_made_anew(
    user: User, credential: Credential, content: str
) -> None:
    with configured(STRICT, settled=True):
        gate(user)
        good = LAST_GOOD.read_bytes()
        LAST_GOOD.write_bytes(JUNK[content])
        assert is_strict(credential)
        assert LAST_GOOD.read_bytes() == good


def test_snapshot_with_senseless_values_is_not_used(user: User, credential: Credential) -> None:
    with configured(STRICT) as path:
        gate(user)
        good = LAST_GOOD.read_text(encoding="ascii")
        LAST_GOOD.write_text(good.replace("free_tries 2", "free_tries many"), encoding="ascii")
        path.write_text("junk: 1\n", encoding="utf-8")
        assert not is_strict(credential)  # the defaults


def test_unprivileged_caller_reads_the_settings_and_keeps_nothing(
    user: User, credential: Credential
) -> None:
    with configured("store: system\n"):
        before = tree(STATE)
        command = ["/usr/bin/env", "-i", f"PAM_USER={user.name}", "/usr/libexec/pam-totp/gate"]
        assert run(user.command(command)).code == ASK
        assert tree(STATE) == before


def test_missing_yaml_library_is_a_fault_like_any_other(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    """A login still gets an answer with a line in the log: the last good settings hold."""
    with configured(STRICT) as path:
        assert is_strict(credential)
        path.write_text(STRICT + "\n", encoding="utf-8")
        syslog.clear()
        with mounted(YAML_LIBRARY, "size=4k"):
            assert is_strict(credential)
            assert verify(user, credential.fresh_code()).code == ACCEPTED
        assert "/etc/pam-totp/config.yaml" in syslog.decisions()[0]["detail"]


def test_where_the_file_was_never_read_a_missing_library_exempts_nobody(user: User) -> None:
    with configured("enrollment: required\n"), mounted(YAML_LIBRARY, "size=4k"):
        LAST_GOOD.unlink(missing_ok=True)
        assert gate(user).code == ASK


def test_where_the_file_cannot_be_read_and_never_was_nobody_is_exempt(
    user: User, syslog: SystemLog
) -> None:
    with configured("{}\n") as path:
        LAST_GOOD.unlink(missing_ok=True)
        path.unlink()
        path.mkdir()
        try:
            assert gate(user).code == ASK
            assert verify(user, "123456").code == REFUSED
        finally:
            path.rmdir()
    assert "Is a directory" in syslog.decisions()[0]["detail"]
