# SPDX-License-Identifier: MIT
"""What `explain` says of a stack against libpam itself: substacks, jumps and modules that do not
exist. Included files have absolute names, as libpam 1.5 looks for others in /etc/pam.d alone."""

import dataclasses
import itertools
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.stack.libpam import installed
from pam_totp.stack.service import Service, read_service
from pam_totp.stack.stack_faults import broken, doubts, faults
from tests.stack.libpam import PAM_SUCCESS, authenticate

CONTROLS = (
    *("required", "requisite", "sufficient", "optional"),
    "[success=1 default=ignore]",
    "[success=2 default=die]",
    "[success=ok default=bad]",
    "[success=done default=die]",
    "[success=reset default=ignore]",
)
OURS = (
    *("required", "requisite", "sufficient", "optional"),
    "[success=ok default=die]",
    "[success=done ignore=ignore default=bad]",
)
STACKS = 250


def read(folder: Path) -> Service:
    """The service as the installed libpam reads it from a folder of services."""
    return read_service("svc", dataclasses.replace(installed(), folders=(str(folder),)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pam.d"
    made.mkdir()
    (made / "other").write_text("auth required pam_deny.so\n", encoding="ascii")
    return made


@pytest.fixture
def verify(tmp_path: Path) -> Path:
    """What takes the place of the verifier: it accepts if a file is there."""
    program = tmp_path / "pam-totp" / "verify"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\ntest -e {tmp_path}/right\n", encoding="ascii")
    program.chmod(0o755)
    return program


def others(number: int) -> str:
    """A module whose answer the test chooses later."""
    return f"pam_debug.so auth={{{number}}}"


def stacks(verify: Path, chance: random.Random) -> Iterator[tuple[str, str]]:
    """A service and its substack, with one line of ours in either, and four other modules."""
    for _ in range(STACKS):
        lines = [f"auth {chance.choice(CONTROLS)} {others(number)}" for number in range(4)]
        at = chance.randrange(5)
        lines.insert(at, f"auth {chance.choice(OURS)} pam_exec.so quiet {verify}")
        first = chance.randrange(5)
        last = chance.randrange(first + 1, 6)
        inner = lines[first:last]
        if chance.random() < 0.8:
            lines[first:last] = ["auth substack {inner}"]
        yield "\n".join([*lines, ""]), "\n".join([*inner, ""])


def is_accepted(folder: Path, outer: str, inner: str, answers: tuple[str, ...]) -> bool:
    (folder / "inner").write_text(inner.format(*answers), encoding="ascii")
    text = outer.format(*answers, inner=folder / "inner")
    (folder / "svc").write_text(text, encoding="ascii")
    return authenticate(folder, "svc", "root", []).authenticate == PAM_SUCCESS


def read_as_other_modules(folder: Path, outer: str, inner: str) -> Service:
    """The service as if each pam_debug.so, whose option tells what it returns, could return all."""
    any_answer = re.compile(r"pam_debug\.so auth=\{\d\}")
    (folder / "inner").write_text(any_answer.sub("pam_group.so", inner), encoding="ascii")
    text = any_answer.sub("pam_group.so", outer).format(inner=folder / "inner")
    (folder / "svc").write_text(text, encoding="ascii")
    return read(folder)


def test_stack_without_a_doubt_accepts_no_incorrect_code_whatever_its_other_modules_answer(
    folder: Path, verify: Path
) -> None:
    certain = in_substacks = 0
    for outer, inner in stacks(verify, random.Random(7)):
        service = read_as_other_modules(folder, outer, inner)
        if broken(service) or doubts(service) or faults(service):
            continue
        certain += 1
        in_substacks += "substack" in outer and "verify" in inner
        for answers in itertools.product(("success", "auth_err"), repeat=4):
            accepted = is_accepted(folder, outer, inner, answers)
            assert not accepted, f"{answers}:\n{outer}\n{inner}"
    assert certain > 30
    assert in_substacks > 10


@pytest.mark.parametrize("is_inner", [False, True])
@pytest.mark.parametrize(
    "line",
    [
        "auth required pam_gone.so",
        "-auth required pam_gone.so",
        "auth requisite /nowhere/pam_gone.so",
        "auth optional pam_gone.so",
        "auth sufficient pam_gone.so",
        "auth [success=ok] pam_gone.so",
        "auth [success=ok default=bad] pam_gone.so",
        "auth [success=1 default=ignore] pam_gone.so",
        "auth [success=ok module_unknown=ignore default=die] pam_gone.so",
        "auth [success=ok module_unknown=die default=ignore] pam_gone.so",
        "auth required pam_permit.so",
    ],
)
def test_module_that_does_not_exist_is_told_where_libpam_refuses_everybody_for_it(
    folder: Path, line: str, is_inner: bool
) -> None:
    (folder / "inner").write_text(f"{line}\n", encoding="ascii")
    last = f"auth substack {folder}/inner" if is_inner else line
    (folder / "svc").write_text(f"auth required pam_permit.so\n{last}\n", encoding="ascii")
    told = broken(read(folder))
    accepted = authenticate(folder, "svc", "root", []).authenticate == PAM_SUCCESS
    assert bool(told) != accepted
    assert all(re.search("pam_gone.so'?, which is no module", each) for each in told)
    assert all(each.endswith("so every login is refused") for each in told)


@pytest.mark.parametrize("is_inner", [False, True])
def test_reset_in_a_later_substack_does_not_discard_a_refusal(
    folder: Path, verify: Path, is_inner: bool
) -> None:
    reset = "auth [success=reset default=ignore] pam_permit.so"
    (folder / "inner").write_text(f"{reset}\n", encoding="ascii")
    (folder / "svc").write_text(
        f"auth required pam_exec.so quiet {verify}\n"
        f"{f'auth substack {folder}/inner' if is_inner else reset}\n"
        "auth required pam_permit.so\n",
        encoding="ascii",
    )
    told = doubts(read(folder))
    accepted = authenticate(folder, "svc", "root", []).authenticate == PAM_SUCCESS
    assert accepted is not is_inner
    assert bool(told) is accepted


@pytest.mark.parametrize(
    ("control", "how", "goes_on"),
    [
        ("requisite", "auth substack", True),
        ("[success=ok default=die]", "auth substack", True),
        ("requisite", "@include", False),
    ],
)
def test_lines_that_still_run_after_an_incorrect_code_in_a_substack_are_told(
    folder: Path, verify: Path, control: str, how: str, goes_on: bool
) -> None:
    inner = f"auth {control} pam_exec.so quiet {verify}\n"
    ran = folder / "ran"
    (folder / "inner").write_text(inner, encoding="ascii")
    after = f"auth required pam_exec.so quiet /usr/bin/touch {ran}"
    (folder / "svc").write_text(f"{how} {folder}/inner\n{after}\n", encoding="ascii")
    assert authenticate(folder, "svc", "root", []).authenticate != PAM_SUCCESS
    assert ran.exists() is goes_on
    assert (
        faults(read(folder))
        == [
            f"'required pam_exec.so' still runs after an incorrect code in "
            f"'substack {folder}/inner'; replace 'auth substack' by '@include'"
        ]
        * goes_on
    )


@pytest.mark.parametrize(
    "refusing",
    ["auth required pam_deny.so", "auth [success=ok default=bad] pam_unix.so"],
)
def test_refusal_that_does_not_end_the_stack_before_the_code_is_told(
    folder: Path, refusing: str
) -> None:
    (folder / "svc").write_text(f"{refusing}\nauth requisite pam_totp.so\n", encoding="ascii")
    control_and_module = refusing.removeprefix("auth ")
    assert faults(read(folder)) == [
        "a wrong password still reaches the pam_totp.so line, "
        f"after '{control_and_module}'; use requisite"
    ]
