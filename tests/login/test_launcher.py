# SPDX-License-Identifier: MIT
"""The launcher (pam/launch.c): gate and verify run as no caller prepared it, or say no.

What it starts is seen in /proc, with a program in the interpreter's place that waits for its
standard input.
"""

import contextlib
import fcntl
import itertools
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import (
    ACCEPTED,
    ASK,
    GATE,
    LOGIN,
    RECORDS,
    REFUSED,
    VERIFY,
    run_as_pam_exec,
)
from tests.host.system_log import SystemLog

MAX_SECONDS = 60  # far more than either takes
REPOSITORY = Path(__file__).resolve().parents[2]
INTERPRETER = Path("/usr/bin/python3")
WAITS = b"#!/bin/sh\nread line\n"
UNLIMITED = ("unlimited", "unlimited")
INFINITY = float("inf")
WANTED = {
    "Max file size": INFINITY,
    "Max data size": INFINITY,
    "Max stack size": 8 << 20,
    "Max core file size": 1,
    "Max processes": INFINITY,
    "Max open files": 1024,
    "Max address space": INFINITY,
    "Max realtime timeout": INFINITY,
}
OF_ITS_NICENESS = ("none: prio 0\n", "none: prio 4\n", "best-effort: prio 4\n")
SECONDS = {GATE: 10, VERIFY: 30}
NEEDED = {
    "PAM_USER": "nobody",
    "PAM_SERVICE": "su",
    "PAM_RHOST": "",
    "PAM_RUSER": "mallory",
    "PAM_TTY": "pts/3",
    "SSH_AUTH_INFO_0": "publickey ssh-ed25519 AAAA\n",
}
# What a shell does and then runs the program with.
CALLERS = {
    "core files": "ulimit -c unlimited; exec",
    "little address space": "ulimit -v 20000; exec",
    "little data": "ulimit -d 2000; exec",
    "little stack": "ulimit -s 128; exec",
    "much stack": "ulimit -s unlimited; exec",
    "no file may grow": "ulimit -f 0; exec",
    "a second of processor": "ulimit -t 1; exec",
    "few files": "ulimit -n 16; exec",
    "many files": "ulimit -n $(ulimit -H -n); exec",
    "an open umask": "umask 0; exec",
    "a folder that is gone": "mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone;",
    "signals ignored": "exec env --ignore-signal",
    "signals blocked": "exec env --block-signal",
    "idle": "exec chrt --idle 0",
    "batch": "exec chrt --batch 0",
    "real time": "exec chrt --rr 1",
    "nice": "exec nice -n 19",
    "one processor": "exec taskset --cpu-list 0",
    "the disk when idle": "exec ionice -c 3",
    "the disk first": "exec ionice -c 1 -n 0",
    "32 bits": "exec setarch --32bit --3gb --addr-no-randomize",
}


class Several(dict[str, str]):
    """Variables of which some have one name."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def items(self) -> list[tuple[str, str]]:  # type: ignore[override]
        return self._pairs


@contextlib.contextmanager
def in_place_of_the_interpreter(put: Callable[[Path], object]) -> Iterator[None]:
    """What `put` makes there; nothing, if that is nothing."""
    aside = INTERPRETER.with_name("python3.aside")
    INTERPRETER.rename(aside)
    try:
        put(INTERPRETER)
        yield
    finally:
        if INTERPRETER.is_dir():
            INTERPRETER.rmdir()
        aside.replace(INTERPRETER)


def executable_file(content: bytes) -> Callable[[Path], None]:
    def put(path: Path) -> None:
        path.write_bytes(content)
        path.chmod(0o755)

    return put


@contextlib.contextmanager
def started(program: str, *through: str, **options: object) -> Iterator["subprocess.Popen[bytes]"]:
    """The program, which waits for its standard input."""
    defaults: dict[str, object] = {"env": NEEDED | {"PATH": os.environ["PATH"]}}
    process = subprocess.Popen(  # type: ignore[call-overload]
        [*through, program], stdin=subprocess.PIPE, **(defaults | options)
    )
    try:
        wait_until_it_reads(process)
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until_it_reads(process: "subprocess.Popen[bytes]") -> None:
    """What it started, that is: the shell of a caller reads too."""
    deadline, place = time.monotonic() + MAX_SECONDS, Path(f"/proc/{process.pid}")
    while not (
        b"-BIS" in (place / "cmdline").read_bytes()
        and (place / "wchan").read_text().startswith(("pipe", "anon_pipe"))
    ):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def limits_in(text: str) -> dict[str, tuple[float, float]]:
    """The soft and the hard limit of each kind in a /proc/PID/limits."""
    lines = [(line[:26].strip(), line[26:].split()) for line in text.splitlines()[1:]]
    return {kind: (number(words[0]), number(words[1])) for kind, words in lines}


def number(word: str) -> float:
    return INFINITY if word == "unlimited" else int(word)


def may_raise_limits() -> bool:
    """Not even root may in many a container: CAP_SYS_RESOURCE."""
    return bool(int(status_of("self")["CapEff"], 16) >> 24 & 1)


def due(wanted: float, hard: float) -> tuple[float, float]:
    """What is wanted, or as much of it as a caller with this hard limit may have."""
    return (wanted, wanted) if wanted <= hard or may_raise_limits() else (hard, hard)


def status_of(process: int | str) -> dict[str, str]:
    text = Path(f"/proc/{process}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines())


def variables_of(process: int) -> list[str]:
    return Path(f"/proc/{process}/environ").read_text().split("\0")[:-1]


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS.keys())
@pytest.mark.parametrize("program", [GATE, VERIFY], ids=["gate", "verify"])
def test_what_runs_has_nothing_of_what_its_caller_prepared(program: str, caller: str) -> None:
    everywhere = os.sched_getaffinity(0)
    through = ["bash", "-c", f'{caller} "$@"', "bash"]
    shown = subprocess.run(
        [*through, "cat", "/proc/self/limits"], stdout=subprocess.PIPE, text=True
    )
    callers = limits_in(shown.stdout)
    with (
        in_place_of_the_interpreter(executable_file(WAITS)),
        started(program, *through) as process,
    ):
        limits, status = (
            limits_in(Path(f"/proc/{process.pid}/limits").read_text()),
            status_of(process.pid),
        )
        wanted = WANTED | {"Max cpu time": SECONDS[program]}
        assert {kind: limits[kind] for kind in wanted} == {
            kind: due(wanted[kind], callers[kind][1]) for kind in wanted
        }
        assert Path(f"/proc/{process.pid}/cwd").readlink() == Path("/")
        assert variables_of(process.pid) == [f"{name}={NEEDED[name]}" for name in NEEDED]
        assert status["Umask"] == "0077"
        assert {int(status[name], 16) for name in ("SigBlk", "SigIgn", "SigPnd")} == {0}
        assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 0
        assert os.sched_getaffinity(process.pid) == everywhere
        disk = subprocess.run(["ionice", "-p", str(process.pid)], capture_output=True, text=True)
        assert disk.stdout in OF_ITS_NICENESS


def test_of_variables_with_one_name_the_last_is_the_one_that_pam_exec_sets() -> None:
    """pam_exec passes on what modules before it have set, and its own behind that."""
    given = Several(
        [
            ("PAM_USER", "root"),
            ("PAM_USERS", "root"),
            ("XPAM_USER", "root"),
            ("LD_PRELOAD", "/tmp/trap.so"),
            ("PYTHONHOME", "/tmp"),
            ("PAM_SERVICE", "pam-totp"),
            ("PAM_AUTHTOK", "password"),
            ("PAM_TYPE", "auth"),
            *NEEDED.items(),
            ("PAM_", "root"),
        ]
    )
    with (
        in_place_of_the_interpreter(executable_file(WAITS)),
        started(VERIFY, env=given) as process,
    ):
        assert variables_of(process.pid) == [f"{name}={NEEDED[name]}" for name in NEEDED]


def test_as_a_user_it_leaves_the_limits_and_the_group_as_they_are(user: User) -> None:
    """A screen locker's: they are the user's own. All else is as for root."""
    with (
        in_place_of_the_interpreter(executable_file(WAITS)),
        started(
            VERIFY,
            *user.command(
                [
                    "prlimit",
                    "--core=0",
                    "--nofile=100",
                    "env",
                    "-i",
                    *(f"{name}={value}" for name, value in NEEDED.items()),
                ]
            ),
        ) as process,
    ):
        limits, status = (
            limits_in(Path(f"/proc/{process.pid}/limits").read_text()),
            status_of(process.pid),
        )
        assert limits["Max core file size"] == (0, 0)
        assert limits["Max open files"] == (100, 100)
        assert Path(f"/proc/{process.pid}/cwd").readlink() == Path("/")
        assert variables_of(process.pid) == [f"{name}={NEEDED[name]}" for name in NEEDED]
        assert status["Umask"] == "0077"


NO_INTERPRETER: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda path: path, "No such file or directory"),
    "a link to nothing": (lambda path: path.symlink_to("python9"), "No such file or directory"),
    "a folder": (lambda path: path.mkdir(), "Permission denied"),
    "not executable": (lambda path: path.write_text("hm"), "Permission denied"),
    "an empty file": (executable_file(b""), "Exec format error"),
    "a text": (executable_file(b"hm\n"), "Exec format error"),
    "the beginning of a program": (executable_file(b"\x7fELF"), "Exec format error"),
}


@pytest.mark.parametrize(("put", "why"), NO_INTERPRETER.values(), ids=NO_INTERPRETER.keys())
def test_without_an_interpreter_it_asks_and_refuses_and_the_log_says_why(
    syslog: SystemLog, put: Callable[[Path], object], why: str
) -> None:
    hostile = {"PAM_RHOST": 'a" verdict=accept', "PAM_SERVICE": "sshd"}
    with in_place_of_the_interpreter(put):
        asked = run_as_pam_exec(GATE, "nobody", variables=hostile)
        refused = run_as_pam_exec(VERIFY, "nobody", "123456", variables={"PAM_RHOST": "::1"})
    assert (asked.returncode, refused.returncode) == (ASK, REFUSED)
    assert asked.stdout + asked.stderr + refused.stdout + refused.stderr == b""
    reason = "reason=internal-error user=nobody service=sshd"
    detail = f'device= detail="cannot run {INTERPRETER}: {why}"'
    lines = syslog.lines(ident="pam-totp")
    assert [line.message for line in lines] == [
        f"verdict=ask {reason} rhost=? {detail}",
        f"verdict=refuse {reason} rhost=::1 {detail}",
    ]
    assert {(line.facility, line.severity) for line in lines} == {("authpriv", "crit")}


def closed(descriptors: tuple[int, ...]) -> list[str]:
    """The command to start a program through, so that these are closed."""
    closing = " ".join(f"{number}>&-" for number in descriptors)
    return ["bash", "-c", f'exec "$@" {closing}', "bash"]


CLOSED = [each for count in (1, 2, 3) for each in itertools.combinations(range(3), count)]


def test_whatever_is_closed_the_answer_is_strict_and_the_record_whole(
    user: User, credential: Credential
) -> None:
    """Both print to a user who has to wait."""
    record = RECORDS / str(user.uid)
    for number in range(6):
        run_as_pam_exec(VERIFY, user.name, credential.incorrect_code(number))
    assert b"incorrect codes" in run_as_pam_exec(GATE, user.name).stdout
    before = record.read_bytes()
    assert is_well_formed(before.decode())
    for program, descriptors in itertools.product((GATE, VERIFY), CLOSED):
        code = credential.incorrect_code()
        done = run_as_pam_exec(program, user.name, code, through=closed(descriptors))
        assert done.returncode == (ASK if program == GATE else REFUSED)
    assert record.read_bytes() == before


def test_record_never_becomes_a_standard_descriptor(user: User, credential: Credential) -> None:
    """What is opened first takes the lowest number that is free."""
    record = RECORDS / str(user.uid)
    run_as_pam_exec(VERIFY, user.name, credential.incorrect_code())
    with record.open("rb+") as held, contextlib.ExitStack() as all_of_them:
        fcntl.lockf(held, fcntl.LOCK_EX)
        variables = LOGIN | {"PAM_USER": user.name}
        running = [
            all_of_them.enter_context(started(VERIFY, *closed(each), env=variables))
            for each in CLOSED
            if 0 not in each
        ]
        for process in running:
            assert process.stdin is not None
            process.stdin.write(b"123456")
            process.stdin.close()
            assert descriptor_of(record, process) > 2


def descriptor_of(path: Path, process: "subprocess.Popen[bytes]") -> int:
    """The number by which the process has it open, as soon as it has."""
    deadline = time.monotonic() + MAX_SECONDS
    while time.monotonic() < deadline:
        for file in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if file.readlink() == path:
                    return int(file.name)
        time.sleep(0.01)
    raise AssertionError(f"{path} is never open")


def is_well_formed(text: str) -> bool:
    return bool(re.fullmatch("pam-totp attempts 1\n((step|failures) .*\n)* *", text))


@pytest.mark.parametrize("descriptors", [each for each in CLOSED if 0 not in each], ids=str)
def test_correct_code_is_accepted_whatever_else_is_closed(
    user: User, credential: Credential, descriptors: tuple[int, ...]
) -> None:
    code = credential.fresh_code()
    done = run_as_pam_exec(
        VERIFY, user.name, code, through=closed(descriptors), stdout=subprocess.DEVNULL
    )
    assert done.returncode == ACCEPTED
    record = RECORDS / str(user.uid)
    assert is_well_formed(record.read_text()) and record.stat().st_size == 4096
    assert run_as_pam_exec(VERIFY, user.name, code).returncode == REFUSED


def test_verifier_of_a_caller_without_a_share_of_the_processor_accepts(
    user: User, enrolled: Callable[..., Credential]
) -> None:
    """The real one, with all that a caller can do at once."""
    code = enrolled(user).fresh_code()
    through = ["chrt", "--idle", "0", "nice", "-n", "19", "taskset", "--cpu-list", "0"]
    limits = ["prlimit", "--as=20000000:", "--data=2000000:", "--cpu=1:", "--fsize=0:"]
    done = run_as_pam_exec(VERIFY, user.name, code, through=[*through, *limits, "--nofile=4:"])
    assert done.returncode == ACCEPTED


# The sanitizer itself needs more memory than these leave.
TOO_LITTLE = ("little address space", "little data")


def sanitized(name: str, folder: Path) -> Path:
    """The launcher of that name, linked with what looks for memory errors."""
    launcher = folder / name
    sources = (REPOSITORY / "pam_totp" / "pam").glob("[acl]*.c")
    language = ["-std=gnu11", "-D_GNU_SOURCE=", "-g", "-O1", f"-I{REPOSITORY / 'build'}"]
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    given = ["-DSECONDS=10", f'-DNAME="{name}"', "-o", str(launcher), *map(str, sources)]
    subprocess.run(["gcc", *language, *sanitize, *given], check=True)
    return launcher


@pytest.mark.parametrize("name", ["gate", "verify"])
def test_sanitizers_find_nothing_whatever_the_caller_prepared(
    name: str, tmp_path: Path, user: User, credential: Credential
) -> None:
    """Memory and undefined behaviour, in the same sources."""
    launcher = sanitized(name, tmp_path)
    assert run_as_pam_exec(VERIFY, user.name, credential.fresh_code()).returncode == ACCEPTED
    ends = {}
    with in_place_of_the_interpreter(executable_file(b"#!/bin/sh\nexit 7\n")):
        for caller in CALLERS.keys() - TOO_LITTLE:
            through = ["bash", "-c", f'{CALLERS[caller]} "$@"', "bash"]
            done = subprocess.run([*through, launcher], env=LOGIN | NEEDED, capture_output=True)
            ends[caller] = (done.returncode, done.stderr)
        marked = subprocess.run(
            [launcher], env=LOGIN | {"PAM_USER": user.name}, stderr=subprocess.PIPE
        )
    assert set(ends.values()) == {(7, b"")}, ends
    assert (marked.returncode, marked.stderr) == (ASK if name == "gate" else 7, b"")
