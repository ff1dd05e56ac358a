# SPDX-License-Identifier: MIT
"""The recovery file: salted hashes, an oracle's numbers, and no harm from a hostile one."""

import hashlib
import os
import re
import struct
import subprocess
import time
from pathlib import Path

import pytest

from pam_totp.records.storage import state_dir
from pam_totp.records.user import recovery
from pam_totp.records.user.attempts import Attempts, look
from pam_totp.rules.reasons import BAD_INPUT, Failure
from pam_totp.rules.typed_code import read_code
from tests.commands.commands import mounted, recovery_file, recovery_of, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, LOGIN, REFUSED, VERIFY
from tests.host.system_log import SystemLog

UID = 4711
CODE = "abcdefghijklm234"
SALT = "00" * 16
HASH = "11" * 32
# The interpreter with OpenSSL has half of that.
MAX_SECONDS, MAX_KILOBYTES = 2, 28_000
# Runs a command, whose output goes to standard error, and prints its exit code, seconds of work and
# most kilobytes. A process counts what its parent held at the fork: this one holds little.
SMALL_PARENT = [
    "/usr/bin/python3",
    "-ISc",
    """
import os, sys
child = os.fork()
if child == 0:
    os.dup2(2, 1)
    os.execv("/usr/bin/timeout", ["timeout", "--signal=KILL", "10", *sys.argv[1:]])
_, status, usage = os.wait4(child, 0)
seconds = usage.ru_utime + usage.ru_stime
print(os.waitstatus_to_exitcode(status), seconds, usage.ru_maxrss)
""",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /var/lib/pam-totp."""
    path = tmp_path / "pam-totp"
    path.mkdir(mode=0o700)
    monkeypatch.setattr(state_dir.VAR, "path", str(path))
    return path


def salsa20_8(block: list[int]) -> list[int]:
    """RFC 7914, section 3: 16 words of 32 bits."""
    words = block.copy()
    columns = [(0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11)]
    rows = [(0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14)]
    for a, b, c, d in (columns + rows) * 4:
        steps = ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18))
        for target, one, other, shift in steps:
            added = (words[one] + words[other]) % 2**32
            words[target] ^= (added << shift | added >> 32 - shift) % 2**32
    return [(one + other) % 2**32 for one, other in zip(block, words, strict=True)]


def mixed(words: list[int]) -> list[int]:
    """Section 4: scryptBlockMix."""
    last, mixed_blocks = words[-16:], list[list[int]]()
    for at in range(0, len(words), 16):
        block = [one ^ other for one, other in zip(last, words[at : at + 16], strict=True)]
        last = salsa20_8(block)
        mixed_blocks.append(last)
    return [word for block in mixed_blocks[::2] + mixed_blocks[1::2] for word in block]


def scrypt_of_the_rfc(password: bytes, salt: bytes, n: int, r: int, length: int) -> str:
    """Sections 5 and 6, with p = 1, in hex."""
    first = hashlib.pbkdf2_hmac("sha256", password, salt, 1, 128 * r)
    words = list(struct.unpack(f"<{32 * r}I", first))
    kept = list[list[int]]()
    for _ in range(n):
        kept.append(words)
        words = mixed(words)
    for _ in range(n):
        chosen = kept[words[-16] % n]
        words = mixed([one ^ other for one, other in zip(words, chosen, strict=True)])
    last = struct.pack(f"<{32 * r}I", *words)
    return hashlib.pbkdf2_hmac("sha256", password, last, 1, length).hex()


def test_oracle_of_hashes_has_the_numbers_of_rfc_7914() -> None:
    """Section 12."""
    assert scrypt_of_the_rfc(b"", b"", 16, 1, 64).startswith("77d6576238657b203b19ca42c18a0497")


@pytest.mark.parametrize("code", [CODE, "12345678"], ids=["ours", "a scratch code"])
def test_hash_of_every_code_is_scrypt_of_rfc_7914_at_one_cost(code: str) -> None:
    digest = scrypt_of_the_rfc(code.encode(), b"salt", 16, 8, 32)
    assert recovery.hash_code(code, b"salt") == digest


def test_hash_depends_on_the_salt() -> None:
    assert recovery.hash_code(CODE, b"a") != recovery.hash_code(CODE, b"b")


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        (b"abcd-efgh-ijkl-m234", CODE),
        (b"ABCDEFGHIJKLM234", CODE),
        (b" a b c d e f g h i j k l m 2 3 4 ", CODE),
        (b"abcd-efgh-ijkl-m234\0", CODE),
        (b"01800180018001800"[:16], "olboolboolboolbo"),
        (b"", None),
        (b"492039", "492039"),
        (b"abcdefghijklm23", None),
        (b"abcdefghijklm2345", None),
        (b"abcdefghijklm239", None),  # no 9 in the alphabet
        (b"abcdefghijklm23\xc2\xb2", None),  # a superscript two
        (b"abcd\nefghijklm234", None),
        (b"abcd\0efghijklm234", None),
        (b"-" * 60 + b"abcde", None),
    ],
)
def test_typed_text_is_read_as_a_recovery_code_or_not_at_all(
    typed: bytes, code: str | None
) -> None:
    if code is not None:
        assert read_code(typed, allow_recovery=True) == code
        return
    with pytest.raises(Failure) as refused:
        read_code(typed, allow_recovery=True)
    assert refused.value.reason == BAD_INPUT


def test_used_codes_are_remembered_for_each_user(folder: Path) -> None:
    assert recovery.used(UID) == []
    recovery.use_up(UID, "aa", [])
    recovery.use_up(UID, "bb", recovery.used(UID))
    assert recovery.used(UID) == ["aa", "bb"]
    assert recovery.used(UID + 1) == []


def test_record_of_used_codes_can_be_read_back_at_its_longest(folder: Path) -> None:
    digests = [f"{number:064x}" for number in range(1500)]
    recovery.use_up(UID, "ff" * 32, digests)
    kept = recovery.used(UID)
    assert kept[-1] == "ff" * 32
    assert kept[:-1] == digests[-1000:]


def test_code_that_cannot_be_recorded_as_used_is_refused(folder: Path) -> None:
    with mounted(folder, "size=4k,mode=700"):
        (folder / "used").mkdir(mode=0o700)
        (folder / "fill").write_bytes(b"x" * 4096)
        with pytest.raises(OSError, match="No space left"):
            recovery.use_up(UID, HASH, [])


def test_unreadable_record_of_used_codes_is_a_refusal(folder: Path) -> None:
    (folder / "used").mkdir(mode=0o700)
    (folder / "used" / str(UID)).symlink_to("/etc/hostname")
    with pytest.raises(Failure):
        recovery.used(UID)


def timed_verify(user: User, typed: str) -> tuple[int, float, int]:
    """Exit code, seconds of work and most kilobytes of memory of a verifier of its own.

    A verifier that waits for what never comes is ended after a while.
    """
    done = subprocess.run(
        [*SMALL_PARENT, VERIFY],
        input=typed.encode(),
        capture_output=True,
        env=LOGIN | {"PAM_USER": user.name},
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b"", "what it prints reaches a stranger"
    code, seconds, kilobytes = done.stdout.split()
    return int(code), float(seconds), int(kilobytes)


HOSTILE = {
    "a cost of its own": f"pam-totp recovery 1 2 8 1 {SALT}\n{HASH}\n",
    "a cost after the salt": f"pam-totp recovery 1 {SALT} 1048576 8 1\n{HASH}\n",
    "a salt that is not hex": f"pam-totp recovery 1 xyz\n{HASH}\n",
    "no salt": f"pam-totp recovery 1 \n{HASH}\n",
    "a salt of 60 KB": f"pam-totp recovery 1 {'00' * 30000}\n{HASH}\n",
    "a short salt": f"pam-totp recovery 1 {SALT[:-2]}\n{HASH}\n",
    "a short hash": f"pam-totp recovery 1 {SALT}\n{HASH[:-2]}\n",
    "a hash that is not hex": f"pam-totp recovery 1 {SALT}\n{'x' * 64}\n",
    "a torn line": f"pam-totp recovery 1 {SALT}\n{HASH}\n{HASH[:-2]}",
    "an empty line": f"pam-totp recovery 1 {SALT}\n\n{HASH}\n",
    "a version to come": f"pam-totp recovery 2 {SALT}\n{HASH}\n",
    "no header": f"{HASH}\n",
    "nothing": "",
    "junk": "x" * 65000,
    "lines of junk": "\n" * 65000,
    "hundreds of hashes": f"pam-totp recovery 1 {SALT}\n" + f"{HASH}\n" * 900,
    "too much": "x" * 200_000,
}


@pytest.mark.parametrize("content", HOSTILE)
def test_hostile_recovery_file_refuses_quickly_and_spares_the_memory(
    user: User, credential: Credential, syslog: SystemLog, content: str
) -> None:
    user.give(recovery_of(user), HOSTILE[content])
    code, seconds, kilobytes = timed_verify(user, CODE)
    assert code == REFUSED
    assert seconds < MAX_SECONDS
    assert kilobytes < MAX_KILOBYTES
    assert len(syslog.decisions()) == 1
    assert verify(user, credential.fresh_code()).code == ACCEPTED


@pytest.mark.parametrize(
    "content",
    [name for name in HOSTILE if "hundreds" not in name],
)
def test_malformed_recovery_file_is_named_in_the_log(
    user: User, credential: Credential, syslog: SystemLog, content: str
) -> None:
    user.give(recovery_of(user), HOSTILE[content])
    verify(user, CODE)
    assert syslog.decisions()[0]["reason"] == "secret-malformed"


@pytest.mark.parametrize("what", ["a FIFO", "a link", "a folder", "readable by all", "root's"])
def test_what_is_no_file_of_the_users_own_refuses_quickly(
    user: User, credential: Credential, syslog: SystemLog, what: str
) -> None:
    path = recovery_of(user)
    user.give(path, recovery_file([CODE]))
    if what == "readable by all":
        path.chmod(0o644)
    elif what == "root's":
        os.chown(path, 0, 0)
    else:
        path.rename(path.with_name("elsewhere"))
        if what == "a FIFO":
            os.mkfifo(path, 0o600)
            os.chown(path, user.uid, user.gid)
        elif what == "a link":
            path.symlink_to("elsewhere")
        else:
            path.mkdir(mode=0o700)
    code, seconds, _ = timed_verify(user, CODE)
    assert (code, syslog.decisions()[0]["reason"]) == (REFUSED, "secret-unsafe")
    assert seconds < MAX_SECONDS
    assert verify(user, credential.fresh_code()).code == ACCEPTED


def test_verifier_that_runs_out_of_memory_refuses_and_uses_up_nothing(
    user: User, credential: Credential
) -> None:
    """From too little for the interpreter, over too little for OpenSSL, to enough: the first yes is
    the only one."""
    user.give(recovery_of(user), recovery_file([CODE]))
    limits = [["prlimit", f"--as={mebibytes << 20}"] for mebibytes in range(10, 40)]
    codes = [verify(user, CODE, through=limit).code for limit in limits]
    assert codes[0] != ACCEPTED
    assert codes.count(ACCEPTED) == 1


def counted(user: User) -> int:
    """How many incorrect recovery codes in a row the record has."""
    return look(user.uid)[0].get(recovery.INCORRECT, 0)


def set_counted(user: User, number: int) -> None:
    record = Attempts(user.uid)
    record.record({recovery.INCORRECT: number}, record.failures)
    record.close()


def test_incorrect_recovery_codes_are_counted_and_never_keep_the_owner_out(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    user.give(recovery_of(user), recovery_file([CODE]))
    wrong = [CODE[::-1], CODE[1:] + "a", CODE[2:] + "aa"]
    for each in wrong:
        assert verify(user, each).code == REFUSED
    assert counted(user) == 3
    details = [line["detail"] for line in syslog.decisions()]
    assert details == [f"unknown recovery code: {number} in a row" for number in (1, 2, 3)]
    set_counted(user, 99999)
    assert (
        verify(user, CODE, through=["strace", "-qqe", "inject=clock_nanosleep:signal=KILL"]).code
        == ACCEPTED
    )
    assert counted(user) == 0, "a correct one ends the row"


def test_code_of_the_app_ends_a_row_of_incorrect_recovery_codes(
    user: User, credential: Credential
) -> None:
    user.give(recovery_of(user), recovery_file([CODE]))
    verify(user, CODE[::-1])
    assert counted(user) == 1
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    assert counted(user) == 0


@pytest.mark.parametrize(("number", "seconds"), [(5, []), (6, [1]), (8, [3]), (10**9, [8])])
def test_incorrect_recovery_code_is_answered_later_after_some_in_a_row_within_bounds(
    user: User, credential: Credential, tmp_path: Path, number: int, seconds: list[int]
) -> None:
    user.give(recovery_of(user), recovery_file([CODE]))
    set_counted(user, number - 1)
    trace = tmp_path / "trace"
    through = ["strace", "-o", str(trace), "-e", "inject=clock_nanosleep:retval=0"]
    began = time.monotonic()
    assert verify(user, CODE[::-1], through=through).code == REFUSED
    ended = time.monotonic()
    calls = re.findall(
        r"clock_nanosleep\(CLOCK_MONOTONIC, TIMER_ABSTIME, \{tv_sec=(\d+), tv_nsec=(\d+)\}",
        trace.read_text(encoding="ascii"),
    )
    assert len(calls) == len(seconds)
    for (whole, billionths), wait in zip(calls, seconds, strict=True):
        assert began + wait < int(whole) + int(billionths) / 1e9 < ended + wait
