# SPDX-License-Identifier: MIT
"""Whatever is proved of a service holds of it in libpam itself: random stacks, modules that return
what their lines say, and a line that asks for a code somewhere in them."""

import dataclasses
import random
import subprocess
from pathlib import Path

import pytest

from pam_totp.setup.proof import prove
from pam_totp.stack.credentials import credential_meanings
from pam_totp.stack.factors import meanings
from pam_totp.stack.libpam import AUTH_ERR, IGNORE, INCOMPLETE, SUCCESS, Libpam, installed
from pam_totp.stack.lines import Line
from pam_totp.stack.service import read_service
from tests.faults.sizes import choose

STACK_TESTS = Path(__file__).resolve().parents[1] / "stack"
MODULES = (
    *("unix", "unix", "unix", "sss", "permit", "deny", "env", "faillock", "u2f", "mystery"),
    "google_authenticator",
)
CONTROLS = (
    *("required", "requisite", "sufficient", "optional") * 2,
    *("[success=1 default=ignore]", "[success=2 default=ignore]", "[success=1 default=die]"),
    *("[success=ok default=bad]", "[default=die]", "[success=done default=die]", "[success=ok]"),
)
OF_CODE = ("required", "required", "required", "requisite", "sufficient", "[success=ok]")
BESIDE = "[success=1 ignore=ignore default=die]"
STACKS, LOGINS = 600, 6


@pytest.fixture(scope="session")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One scripted module under the name of each real one; and the application."""
    folder = tmp_path_factory.mktemp("modules")
    module, program = str(folder / "pam_totp.so"), str(folder / "run_stacks")
    of_module = ["-fPIC", "-shared", "-o", module, str(STACK_TESTS / "scripted_module.c")]
    of_program = ["-rdynamic", "-o", program, str(STACK_TESTS / "run_stacks.c"), "-lpam"]
    for arguments in (of_module, of_program):
        subprocess.run(["gcc", "-O2", *arguments], check=True)
    for name in set(MODULES):
        (folder / f"pam_{name}.so").write_bytes(Path(module).read_bytes())
    return folder


class Chance:
    """Random services, before and after a line is added."""

    def __init__(self, seed: int, folder: Path, modules: Path) -> None:
        self.random, self.folder, self.modules = random.Random(seed), folder, modules
        self.count = 0

    def stack(self) -> list[str]:
        return [self._line() for _ in range(self.random.randint(1, 5))]

    def _line(self) -> str:
        self.count += 1
        if self.random.random() < 0.15:
            inner = self.folder / f"inner{self.count}"
            inner.write_text("".join(f"{self._line()}\n" for _ in range(2)))
            return f"auth {self.random.choice(('include', 'substack'))} {inner}"
        name = self.random.choice(MODULES)
        control = self.random.choice(CONTROLS)
        return f"auth {control} {self.modules}/pam_{name}.so n{self.count}"

    def with_code(self, lines: list[str]) -> list[str]:
        """The same with a line that asks, and perhaps another control for one before it."""
        at = self.random.randint(1, len(lines))
        after = list(lines)
        if self.random.random() < 0.4:
            changed = self.random.randrange(at)
            for word, other in (("required", "requisite"), ("substack", "include")):
                after[changed] = after[changed].replace(f"auth {word} ", f"auth {other} ")
        control = self.random.choice(OF_CODE)
        theirs = [n for n, line in enumerate(after) if "pam_google" in line and n > 0]
        if theirs and self.random.random() < 0.8:
            at, control = theirs[0], BESIDE
        return [*after[:at], f"auth {control} {self.modules}/pam_totp.so code", *after[at:]]

    def results(self, lines: list[Line], code: int) -> dict[str, tuple[int, int]]:
        """What each module returns, by name: to pam_authenticate and to pam_setcred."""
        found = {"code": (code, SUCCESS)}
        for line in lines:
            if line.arguments and line.arguments[0] != "code":
                found[line.arguments[0]] = (
                    self._one_of([*meanings(line)]),
                    self._one_of([*credential_meanings(line)]),
                )
        return found

    def _one_of(self, values: list[int]) -> int:
        likely = [value for value in (SUCCESS, AUTH_ERR, IGNORE) if value in values]
        others = [value for value in values if value != INCOMPLETE]
        return self.random.choice(likely if likely and self.random.random() < 0.9 else others)


def write(folder: Path, name: str, lines: list[str], results: dict[str, tuple[int, int]]) -> None:
    """A service, with what it includes, whose modules return this."""
    texts = []
    for line in lines:
        words = line.split()
        if words[1] in ("include", "substack"):
            inner = Path(words[2])
            inside = folder / f"{name}-{inner.name}"
            write(folder, inside.name, inner.read_text().splitlines(), results)
            texts.append(f"auth {words[1]} {inside}")
        else:
            texts.append(f"{line} {results[words[-1]][0]} {results[words[-1]][1]}")
    (folder / name).write_text("".join(f"{each}\n" for each in texts))


def run(modules: Path, folder: Path, names: list[str], how: str) -> dict[str, list[str]]:
    told = subprocess.run(
        [modules / "run_stacks", folder, how],
        input="".join(f"{name}\n" for name in names),
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.split()[0]: line.split()[1:] for line in told.stdout.splitlines() if line}


def is_proved(
    before: list[str], after: list[str], folder: Path, libpam: Libpam
) -> tuple[bool, list[Line]]:
    services = []
    for lines in (before, after):
        (folder / "x").write_text("".join(f"{line}\n" for line in lines))
        services.append(read_service("x", libpam))
    return not prove(services[0], services[1], libpam), list(services[1].stacks["auth"])


@pytest.mark.parametrize("seed", range(choose(2, 200)))
def test_what_is_proved_holds_in_libpam(tmp_path: Path, modules: Path, seed: int) -> None:
    chance = Chance(seed, tmp_path, modules)
    libpam = dataclasses.replace(installed(), folders=(str(tmp_path),))
    (tmp_path / "other").write_text("auth required pam_deny.so\n")
    logins = tmp_path / "logins"
    logins.mkdir()
    proved: dict[str, dict[str, tuple[int, int]]] = {}
    for stack in range(STACKS):
        before = chance.stack()
        after = chance.with_code(before)
        is_right, lines = is_proved(before, after, tmp_path, libpam)
        for number in range(LOGINS * is_right):
            results = chance.results(lines, SUCCESS)
            name = f"s{stack}-{number}"
            proved[name] = results
            write(logins, f"{name}-before", before, results)
            for how, code in (("right", SUCCESS), ("exempt", IGNORE), ("wrong", AUTH_ERR)):
                write(logins, f"{name}-{how}", after, results | {"code": (code, SUCCESS)})
    assert len(proved) > STACKS / 60 * LOGINS
    names = [f"{n}-{how}" for n in proved for how in ("before", "right", "exempt", "wrong")]
    login = run(modules, logins, names, "login")
    fresh = run(modules, logins, names, "fresh")
    for name, results in proved.items():
        text = (logins / f"{name}-right").read_text()
        was_in = login[f"{name}-before"][1] == "0"
        for how in ("right", "exempt"):
            if was_in:
                assert login[f"{name}-{how}"][1] == "0", text
                # In the same handle, too: as login and su do it.
                assert login[f"{name}-before"][3] != "0" or login[f"{name}-{how}"][3] == "0", text
        assert login[f"{name}-wrong"][1] != "0", text
        assert fresh[f"{name}-before"][1] != "0" or fresh[f"{name}-right"][1] == "0", text
        reached = login[f"{name}-wrong"][2].split(",")
        if "code" in reached:
            first = reached[: reached.index("code")]
            assert any(results[each][0] in (SUCCESS, 12) for each in first), text
