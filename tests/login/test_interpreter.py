# SPDX-License-Identifier: MIT
"""What a login loads: our private folder and a bare interpreter, and silence where they break."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.records.config.settings import UNSETTLED_SECONDS
from tests.commands import commands
from tests.commands.commands import configured
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.phone import AT_LOGIN
from tests.host.programs import (
    ACCEPTED,
    ASK,
    GATE,
    LOGIN,
    NO_CODE_NEEDED,
    REFUSED,
    VERIFY,
)
from tests.host.system_log import SystemLog
from tests.login.programs import gate, verify

LIBRARY = Path("/usr/lib/pam-totp")
STANDARD_LIBRARY = Path(f"/usr/lib/python3.{sys.version_info.minor}")
OPENED = re.compile(r'openat\([^"]*"([^"]+)".* = \d')
PACKAGES_OF_A_BARE_INTERPRETER = (
    f"python3.{sys.version_info.minor}-minimal",
    f"libpython3.{sys.version_info.minor}-minimal",
)


def opened_by(trace: Path) -> set[str]:
    """The files that a traced program opened."""
    return set(OPENED.findall(trace.read_text(encoding="utf-8")))


def traced(trace: Path) -> list[str]:
    return ["strace", "-f", "-e", "trace=openat", "-o", str(trace)]


@pytest.fixture
def damaged() -> Iterator[Path]:
    """The installed package, to be broken: whole again afterwards."""
    whole = Path("/root/whole")
    shutil.copytree(LIBRARY, whole, symlinks=True)
    yield LIBRARY / "pam_totp"
    shutil.rmtree(LIBRARY)
    whole.rename(LIBRARY)


def test_login_opens_no_python_file_but_ours_and_those_of_a_bare_interpreter(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    subprocess.run(
        [*traced(tmp_path / "bare"), "/usr/bin/python3", "-BIS", "-c", "pass"], check=True, env={}
    )
    time.sleep(UNSETTLED_SECONDS)  # since the installation
    assert gate(user.name) == ASK  # the first login after it reads the settings
    assert gate(user.name, through=traced(tmp_path / "gate")) == ASK
    assert (
        verify(user.name, credential.fresh_code(), through=traced(tmp_path / "verify")) == ACCEPTED
    )
    bare = opened_by(tmp_path / "bare")
    for program in (VERIFY, GATE):
        more = opened_by(tmp_path / Path(program).name) - bare
        bundle = f"{LIBRARY}/pam_totp/__pycache__/{Path(program).name}."
        assert any(each.startswith(bundle) for each in more)
        foreign = {each for each in more if re.search(r"python|\.pyc?$|\.pth$", each)}
        assert {each for each in foreign if not each.startswith(f"{LIBRARY}/")} == set()


def test_login_runs_compiled_code_and_compiles_nothing(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    verify(user.name, credential.fresh_code(), through=traced(tmp_path / "trace"))
    ours = {each for each in opened_by(tmp_path / "trace") if each.startswith(f"{LIBRARY}/")}
    assert {Path(each).suffix for each in ours if Path(each).is_file()} == {".bundle"}


def test_login_needs_no_more_than_a_minimal_interpreter(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    """On a standard library cut down to what python3-minimal brings."""
    listed = subprocess.run(
        ["dpkg", "-L", *PACKAGES_OF_A_BARE_INTERPRETER], capture_output=True, text=True, check=True
    ).stdout
    for name in listed.splitlines():
        path = Path(name)
        if path.is_relative_to(STANDARD_LIBRARY) and path.is_file():
            copy = tmp_path / path.relative_to(STANDARD_LIBRARY)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    script = f'mount --bind {tmp_path} {STANDARD_LIBRARY} && exec "$0" "$@"'
    minimal = ["unshare", "--mount", "sh", "-c", script]
    probe = [*minimal, "/usr/bin/python3", "-IS", "-c"]
    assert subprocess.run([*probe, "import asyncio"], capture_output=True).returncode != 0
    assert subprocess.run([*probe, "import re"], capture_output=True).returncode == 0
    code = credential.fresh_code()
    assert gate(user.name, through=minimal) == ASK
    assert verify(user.name, code, through=minimal) == ACCEPTED
    assert verify(user.name, code, through=minimal) == REFUSED


def cut_short(file: Path) -> None:
    """Cut a source, or what it was compiled to, in the middle of an expression."""
    content = file.read_bytes()
    file.write_bytes(content[: content.rindex(b"(") + 1])


def replace(file: Path, damage: str) -> None:
    """Damage a module's source, and take away what it was compiled to."""
    shutil.rmtree(file.parent / "__pycache__")
    contents = {
        "empty": b"",
        "binary": b"\0\xff" * 999,
        "out of memory": b"raise MemoryError",
        "interrupted": b"raise KeyboardInterrupt",
    }
    if damage in contents:
        file.write_bytes(contents[damage])
    elif damage == "cut short":
        cut_short(file)
    else:
        file.unlink()
        if damage == "a folder":
            file.mkdir()


def damage_compiled(file: Path, _damage: str) -> None:
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        cut_short(compiled)
    # Whole, and made from this source.
    for bundle in (LIBRARY / "pam_totp" / "__pycache__").glob("*.bundle"):
        bundle.unlink()


DAMAGES: dict[str, Callable[[Path, str], None]] = {
    "missing": replace,
    "a folder": replace,
    "cut short": replace,
    "empty": replace,
    "binary": replace,
    "out of memory": replace,
    "interrupted": replace,
    "compiled cut short": damage_compiled,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "name",
    ["login/gate.py", "login/verify.py", "rules/otp.py", "records/storage/secret_dir.py"],
)
def test_damaged_installation_exempts_nobody_and_says_so_in_the_log_alone(
    user: User,
    credential: Credential,
    damaged: Path,
    syslog: SystemLog,
    name: str,
    damage: str,
) -> None:
    DAMAGES[damage](damaged / name, damage)
    code = credential.fresh_code()
    assert gate(user.name) != NO_CODE_NEEDED
    assert (verify(user.name, code) == ACCEPTED) == (name == "login/gate.py")
    failures = [each for each in syslog.decisions() if each["reason"] == "internal-error"]
    assert failures
    assert {each["verdict"] for each in failures} <= {"ask", "refuse"}
    assert {each["user"] for each in failures} == {user.name}
    for line in syslog.lines("reason=internal-error", ident="pam-totp"):
        assert line.severity in ("crit", "warning")
        assert line.message.isprintable()
        assert credential.secret not in line.message
        assert code not in line.message


@pytest.mark.parametrize("damage", ["missing", "cut short", "out of memory"])
@pytest.mark.parametrize("name", ["login/show_enrollment.py", "enrollment/qr.py"])
def test_damaged_program_that_draws_the_qr_code_says_so_in_the_log_alone(
    user: User, damaged: Path, syslog: SystemLog, name: str, damage: str
) -> None:
    DAMAGES[damage](damaged / name, damage)
    with configured(AT_LOGIN, settled=True):
        answer = commands.gate(user, typed=user.password)
    assert (answer.code, answer.output, answer.errors) == (ASK, "", "")
    (failure,) = syslog.decisions()
    assert (failure["verdict"], failure["reason"]) == ("ask", "internal-error")
    assert failure["user"] == user.name


@pytest.mark.parametrize("program", [GATE, VERIFY])
def test_damaged_installation_logs_no_name_as_anything_but_a_name(
    damaged: Path, syslog: SystemLog, program: str
) -> None:
    shutil.rmtree(damaged / "records")
    name = 'eve rhost=198.51.100.1 verdict=accept "x'
    ended = subprocess.run([program], env=LOGIN | {"PAM_USER": name}, input=b"", check=False)
    assert ended.returncode != 0
    (failure,) = syslog.decisions()
    assert (failure["verdict"] == "accept", failure["reason"]) == (False, "internal-error")
    assert failure["user"] == "eve?rhost?198.51.100.1?verdict?accept??x"
    assert {"service", "rhost", "device", "detail"} <= failure.keys()
    assert failure["rhost"] != "198.51.100.1"


def test_installation_that_is_gone_exempts_nobody(user: User, damaged: Path) -> None:
    shutil.rmtree(damaged)
    assert gate(user.name) != 0
    assert verify(user.name, "123456") != 0
