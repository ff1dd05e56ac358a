# SPDX-License-Identifier: MIT
"""Makes the bundles that logins load: run at installation, and when Debian's Python changes.

/usr/bin/python3 -BIS /usr/lib/pam-totp/pam_totp/bundle.py

A bundle holds all that its program may import of ours, so a login that has read it runs one
release, whatever becomes of the other files meanwhile. `scripts/login.py` reads it.
"""

import ast
import importlib
import marshal
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType, ModuleType

PROGRAMS = ("gate", "verify")
# What many logins import later, and others never: all that they need is loaded at once with them.
LATER_AT_ONCE = ("pam_totp.login.check_here", "pam_totp.login.check_in_fleet")
LIBRARY = Path(__file__).resolve().parents[1]
LOADER = "pam_totp.loader"


def main() -> None:
    """Writes the bundles into __pycache__ beside this file, and then removes all others."""
    compiled = LIBRARY / "pam_totp" / "__pycache__"
    compiled.mkdir(exist_ok=True)
    sys.path[:] = [str(LIBRARY), *sys.path[1:]]
    made = {compiled / f"{name}.{sys.implementation.cache_tag}.bundle": name for name in PROGRAMS}
    for path, program in made.items():
        new = path.with_suffix(".new")
        new.write_bytes(bundle_of(program))
        new.chmod(0o644)
        new.rename(path)
    for other in compiled.glob("*.bundle"):  # of another interpreter, perhaps
        if other not in made:
            other.unlink()


def bundle_of(program: str) -> bytes:
    """What loads the rest; the sources, their states, and their code: of the modules that the
    program imports at its start, in this order, and of those that it may import later."""
    states, codes = {}, {}
    for path in sources_of_logins():
        status = path.stat()  # before it is read: a later change shows
        source = str(path.relative_to(LIBRARY))
        states[source] = (status.st_mtime_ns, status.st_size)
        name = source.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        codes[name] = compiled_bare(path.read_bytes(), source)
    loader = codes.pop(LOADER)
    at_start = modules_of(f"pam_totp.login.{program}")
    first = [(name, codes.pop(name)) for name in at_start]
    later = {}
    for name in codes:
        needed = modules_of(name) if name in LATER_AT_ONCE else [name]
        at_once = [(each, codes[each]) for each in needed if each not in at_start]
        later[name] = marshal.dumps(at_once)
    return marshal.dumps((MAGIC_NUMBER, loader, [*states], [*states.values()], first, later))


def sources_of_logins() -> Iterator[Path]:
    """Every module of ours that a login may load, at its start or later. No other, because each
    login looks whether one of them has changed."""
    waiting, known = [LOADER, *(f"pam_totp.login.{name}" for name in PROGRAMS)], set[str]()
    while waiting:
        name = waiting.pop()
        path = LIBRARY / name.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in known or not path.is_file():
            continue  # what is imported from a module is no module, mostly
        known.add(name)
        yield path
        waiting += [name.rpartition(".")[0]] if "." in name else []
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "pam_totp":
                waiting += [f"{node.module}.{each.name}" for each in node.names]
                waiting.append(str(node.module))


class _Bare(ast.NodeTransformer):
    """Takes out the annotations, each of which is a value that Python would make at every login."""

    def visit_FunctionDef(self, function: ast.FunctionDef) -> ast.AST:
        every, function.returns = function.args, None
        for each in [*every.posonlyargs, *every.args, *every.kwonlyargs, every.vararg, every.kwarg]:
            if each is not None:
                each.annotation = None
        return self.generic_visit(function)

    def visit_AnnAssign(self, field: ast.AnnAssign) -> ast.AST:
        if field.value is None:
            return ast.copy_location(ast.Pass(), field)
        bare = ast.Assign(targets=[field.target], value=field.value)
        return ast.fix_missing_locations(ast.copy_location(bare, field))


def compiled_bare(source: bytes, name: str) -> CodeType:
    """The code of a module, without annotations, docstrings and the numbers of its lines."""
    tree = _Bare().visit(ast.parse(source))
    return without_lines(compile(tree, name, "exec", dont_inherit=True, optimize=2))


def without_lines(code: CodeType) -> CodeType:
    """The same code: no login shows where in a file it failed."""
    inner = (without_lines(each) if isinstance(each, CodeType) else each for each in code.co_consts)
    return code.replace(co_linetable=b"", co_consts=tuple(inner))


def modules_of(start: str) -> list[str]:
    """The modules that are imported with one, which is the last of them, each after those that it
    needs."""
    modules: list[str] = []
    exec_module = SourceFileLoader.exec_module

    def remember(loader: SourceFileLoader, module: ModuleType) -> None:
        exec_module(loader, module)
        if loader.name.split(".")[0] == "pam_totp":
            modules.append(loader.name)

    for name in [name for name in sys.modules if name.split(".")[0] == "pam_totp"]:
        del sys.modules[name]  # as in a new process
    SourceFileLoader.exec_module = remember  # type: ignore[method-assign, assignment]
    try:
        importlib.import_module(start)
    finally:
        SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign]
    return modules


if __name__ == "__main__":
    main()
