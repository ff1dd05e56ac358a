# SPDX-License-Identifier: MIT
"""The model of a stack against libpam itself: random services, whose modules return what their
lines say. Any difference is a fault of the model."""

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.stack import dispatch
from pam_totp.stack.libpam import INCOMPLETE, Libpam, Unknown, installed
from pam_totp.stack.lines import Line
from pam_totp.stack.service import Service, read_service
from tests.faults.sizes import choose
from tests.stack.random_stacks import RandomStacks

HERE = Path(__file__).parent
SYSTEM_ERR, ABORT, NOT_CALLED = 4, 26, 999
STACKS = 2500
OTHER = """\
auth required {0} other 0 0
auth optional {0} other2 7 7
account required {0} other 0 0
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module and the application."""
    folder = tmp_path_factory.mktemp("model")
    module, program = str(folder / "pam_scripted.so"), str(folder / "run_stacks")
    of_module = ["-fPIC", "-shared", "-o", module, str(HERE / "scripted_module.c")]
    of_program = ["-rdynamic", "-o", program, str(HERE / "run_stacks.c"), "-lpam"]
    for arguments in (of_module, of_program):
        subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", "-Werror", *arguments], check=True)
    return folder


def argument(line: Line, which: int) -> int:
    """As C's atoi reads it."""
    if len(line.arguments) <= which:
        return SYSTEM_ERR
    number = re.match(r"\s*[-+]?\d+", line.arguments[which])
    return int(number.group()) if number else 0


def shown(lines: tuple[Line, ...], outcome: dispatch.Outcome) -> str:
    """As run_stacks.c prints a call."""
    called = [lines[at] for at in outcome.reached if lines[at].always is None]
    names = "".join(f"{line.arguments[0] if line.arguments else '-'}," for line in called)
    names = re.sub(r"[ \t\n\v\f\r]", "_", names)
    return f" {outcome.value} {names or '-'}"


def said_by_the_model(service: Service, libpam: Libpam) -> tuple[str, str]:
    """The lines that run_stacks.c prints with `login` and with `fresh`."""
    if service.refused:
        return (f"{service.name} {ABORT}",) * 2
    auth, account = service.stacks["auth"], service.stacks["account"]
    first = dispatch.authenticate(auth, lambda line: argument(line, 1), libpam)
    second = dispatch.setcred(auth, lambda line: argument(line, 2), libpam, first)
    fresh = dispatch.setcred(auth, lambda line: argument(line, 2), libpam)
    checked = dispatch.authenticate(account, lambda line: argument(line, 1), libpam)
    if fresh.value == INCOMPLETE:
        checked = dispatch.Outcome(NOT_CALLED)
    return (
        f"{service.name} 0{shown(auth, first)}{shown(auth, second)}",
        f"{service.name} 0{shown(auth, fresh)}{shown(account, checked)}",
    )


def said_by_libpam(programs: Path, folder: Path, names: list[str], how: str) -> list[str]:
    told = subprocess.run(
        [programs / "run_stacks", folder, how],
        input="".join(f"{name}\n" for name in names),
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in told.stdout.split("\n") if line]


def differences(programs: Path, folder: Path, names: list[str]) -> tuple[list[str], int]:
    """Where libpam and the model say something else, and how often the model does not know."""
    libpam = dataclasses.replace(installed(), folders=(str(folder),))
    (folder / "other").write_text(OTHER.format(programs / "pam_scripted.so"))
    logins = said_by_libpam(programs, folder, names, "login")
    fresh = said_by_libpam(programs, folder, names, "fresh")
    found, unknown = [], 0
    assert len(logins) == len(fresh) == len(names)
    for name, *really in zip(names, logins, fresh, strict=True):
        try:
            modelled = said_by_the_model(read_service(name, libpam), libpam)
        except Unknown:
            unknown += 1
            continue
        if modelled != tuple(really):
            text = (folder / name).read_bytes().decode(errors="replace")
            found.append(f"libpam: {really}\nmodel:  {modelled}\n{text}")
    return found, unknown


@pytest.mark.parametrize("seed", range(choose(8, 400)))
def test_a_random_stack_returns_what_the_model_says(
    programs: Path, tmp_path: Path, seed: int
) -> None:
    stacks = RandomStacks(seed, tmp_path, programs / "pam_scripted.so")
    names = [f"s{number}" for number in range(STACKS)]
    for name in names:
        stacks.write(name)
    found, unknown = differences(programs, tmp_path, names)
    assert not found, f"seed {seed}, {len(found)} differences, the first:\n{found[0]}"
    assert unknown < STACKS / 20
    shutil.rmtree(tmp_path)


@pytest.fixture
def places(tmp_path: Path) -> Iterator[list[Path]]:
    """Where a service may be. Those that a test makes there are no services of this host after it:
    other files look at all of them."""
    folders = [Path("/etc/pam.d"), Path("/usr/lib/pam.d"), tmp_path]
    found = [folder / f"model{number}" for number, folder in enumerate(folders)]
    yield found
    for path in found:
        path.unlink(missing_ok=True)


def test_an_include_without_a_folder_is_looked_for_where_the_model_says(
    programs: Path, tmp_path: Path, places: list[Path]
) -> None:
    line = f"auth required {programs}/pam_scripted.so"
    for number, path in enumerate(places):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{line} in{number} 0 0\n")
        (tmp_path / f"include{number}").write_text(f"auth include model{number}\n{line} x 0 0\n")
        (tmp_path / f"at{number}").write_text(f"@include model{number}\n{line} x 0 0\n")
    names = [f"{how}{number}" for how in ("include", "at") for number in range(3)]
    assert differences(programs, tmp_path, names) == ([], 0)


@pytest.mark.parametrize("text", ["auth include\n", "@include\n", "auth substack\n"])
def test_an_include_of_nothing_ends_the_application(
    programs: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "x").write_text(text)
    assert said_by_libpam(programs, tmp_path, ["x"], "login") == ["x"]
    with pytest.raises(Unknown, match="libpam crashes"):
        read_service("x", dataclasses.replace(installed(), folders=(str(tmp_path),)))
