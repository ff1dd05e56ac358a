# SPDX-License-Identifier: MIT
"""Loads the modules of one release from a bundle, which begins with this (pam_totp/bundle.py).

While dpkg puts a new release in place, one name after the other, only the bundle is whole. The
launcher gets its name after the modules: until then the old release runs, and then the new one.
"""

import posix
import sys
from marshal import loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


class Seldom:
    """Imports from the bundle what few logins need: the files may be of another release by then."""

    codes: dict[str, bytes]  # each after those of modules that it needs
    create_module = staticmethod(lambda _spec: None)  # as usual

    def find_spec(self, name: str, *_: object) -> object:
        spec = type(sys.__spec__)(name, self, is_package=True)  # type: ignore[arg-type]
        return spec if name in self.codes else None

    def exec_module(self, module: object) -> None:
        *needed, (_, code) = loads(self.codes[vars(module)["__name__"]])
        load_all([each for each in needed if each[0] not in sys.modules])
        exec(code, vars(module))  # noqa: S102 - as below


def load(
    sources: list[str],
    of_then: list[tuple[int, int]],
    modules: "list[tuple[str, CodeType]]",
    codes: dict[str, bytes],
) -> None:
    """Loads them, if all sources are as they were then: by time and size."""
    try:
        of_now = [posix.stat(f"{sys.path[0]}/{source}") for source in sources]
        if [(each.st_mtime_ns, each.st_size) for each in of_now] != of_then:
            posix.stat(f"/usr/libexec/pam-totp/{sys.argv[0]}.dpkg-new")
    except OSError:
        return
    Seldom.codes = codes
    sys.meta_path[:0] = [Seldom()]  # type: ignore[list-item]
    load_all(modules)


def load_all(modules: "list[tuple[str, CodeType]]") -> None:
    """Loads modules, each after those that it needs."""
    for name, code in modules:
        module = sys.modules[name] = type(sys)(name)
        module.__path__ = []  # as of a package: nothing of ours is looked for in a folder
        exec(code, vars(module))  # noqa: S102 - what an import does with a .pyc file
