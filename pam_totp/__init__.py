"""pam-totp: a verification code after the system password.

Looking for fifteen files would cost a login as much as all that it decides. So `pam_totp.bundle`
puts the code of the modules that gate runs into one file at installation, and that of verify's into
another, and it is loaded here at once. It is named after the program, the release and the
interpreter: where it is missing or of another one, the modules are imported as usual, and nothing
else is different.
"""

import sys
from marshal import loads

VERSION = "0.1.0"


def bundle_path(program: str) -> str:
    """Where the bundle of a program of this release for this interpreter lies."""
    return f"{__path__[0]}/{program}-{VERSION}.{sys.implementation.cache_tag}.bundle"


def _load_bundle() -> None:
    try:
        with open(bundle_path(sys.argv[0].rpartition("/")[2]), "rb") as file:
            magic, modules = loads(file.read())
    except (OSError, ValueError, EOFError, TypeError):
        return
    if magic != sys.modules["_frozen_importlib_external"].MAGIC_NUMBER:
        return
    for name, is_package, code in modules:
        module = sys.modules[name] = type(sys)(name)
        if is_package:  # what is not in the bundle is looked for there
            module.__path__ = [__path__[0] + name.removeprefix(__name__).replace(".", "/")]
        exec(code, module.__dict__)  # noqa: S102 - what an import does with a .pyc file
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, module)


_load_bundle()
