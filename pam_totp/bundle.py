# SPDX-License-Identifier: MIT
"""Makes the bundles that `pam_totp` loads: run at installation, and when Debian's Python changes.

/usr/bin/python3 -BIS /usr/lib/pam-totp/pam_totp/bundle.py
"""

import ast
import importlib
import marshal
import os
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import MAGIC_NUMBER
from types import CodeType, ModuleType

PROGRAMS = ("gate", "verify")


def main() -> None:
    """Writes the bundles into __pycache__ beside this file."""
    folder = os.path.dirname(os.path.abspath(__file__))
    compiled = os.path.join(folder, "__pycache__")
    os.makedirs(compiled, exist_ok=True)
    for name in os.listdir(compiled):
        if name.endswith(".bundle"):  # of another interpreter, perhaps
            os.unlink(os.path.join(compiled, name))
    sys.path[:] = [os.path.dirname(folder), *sys.path[1:]]
    package = importlib.import_module("pam_totp")
    for program in PROGRAMS:
        entries = []
        for module in modules_of(program):
            name, path = module.__name__, module.__file__
            if name.startswith("pam_totp.") and path is not None:
                source = os.path.relpath(path, folder)
                of_now = package.identity(source)  # before it is read: a later change shows
                with open(path, "rb") as file:
                    code = compiled_bare(file.read(), f"pam_totp/{source}")
                entries.append((name, source, of_now, code))
        path = package.bundle_path(program)
        with open(f"{path}.new", "wb") as bundle:
            bundle.write(marshal.dumps((MAGIC_NUMBER, entries)))
        os.chmod(f"{path}.new", 0o644)
        os.rename(f"{path}.new", path)


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
    """The code of a module, without annotations and docstrings."""
    tree = _Bare().visit(ast.parse(source))
    return compile(tree, name, "exec", dont_inherit=True, optimize=2)


def modules_of(program: str) -> list[ModuleType]:
    """The modules that a program imports at its start, each after those that it needs."""
    modules: list[ModuleType] = []
    exec_module = SourceFileLoader.exec_module

    def remember(loader: SourceFileLoader, module: ModuleType) -> None:
        exec_module(loader, module)
        modules.append(module)

    for name in [name for name in sys.modules if name.startswith("pam_totp.")]:
        del sys.modules[name]  # as in a new process
    SourceFileLoader.exec_module = remember  # type: ignore[method-assign, assignment]
    try:
        importlib.import_module(f"pam_totp.login.{program}")
    finally:
        SourceFileLoader.exec_module = exec_module  # type: ignore[method-assign]
    return modules


if __name__ == "__main__":
    main()
