# SPDX-License-Identifier: MIT
"""pam-totp: a verification code after the system password.

Looking for fifteen files would cost a login as much as all that it decides. So `pam_totp.bundle`
puts the compiled modules that gate runs into one file of `__pycache__`, those of verify into
another, and they are loaded here at once. As with a .pyc file, each module's source must still have
the size and time that it had then; otherwise, and where there is no bundle of this interpreter, the
modules are imported as usual, and nothing else is different.
"""

import sys
from marshal import loads
from posix import stat

VERSION = "0.1.0"


def bundle_path(program: str) -> str:
    """Where the bundle of a program for this interpreter lies."""
    return f"{__path__[0]}/__pycache__/{program}.{sys.implementation.cache_tag}.bundle"


def identity(source: str) -> tuple[int, int]:
    """What changes when a source file, named below this folder, is changed. Raises OSError."""
    status = stat(f"{__path__[0]}/{source}")
    return status.st_mtime_ns, status.st_size


def _load_bundle() -> None:
    try:
        with open(bundle_path(sys.argv[0].rpartition("/")[2]), "rb") as file:
            magic, modules = loads(file.read())
        if magic != sys.modules["_frozen_importlib_external"].MAGIC_NUMBER or any(
            identity(source) != of_then for _, source, of_then, _ in modules
        ):
            return
    except (OSError, ValueError, EOFError, TypeError):
        return
    for name, source, _, code in modules:
        module = sys.modules[name] = type(sys)(name)
        folder, is_package, _ = source.rpartition("/__init__.py")
        if is_package:  # what is not in the bundle is looked for there
            module.__path__ = [f"{__path__[0]}/{folder}"]
        exec(code, module.__dict__)  # noqa: S102 - what an import does with a .pyc file
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)


_load_bundle()
