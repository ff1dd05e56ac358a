#!/usr/bin/python3 -BIS
# SPDX-License-Identifier: MIT
"""What gate and verify run (pam/launch.c, of which it is a part), and show-enrollment, which gate
runs in its own place: argument 1 says which of them."""

import atexit
import posix
import sys
from marshal import loads

# Only main() may end with 0, and that of show-enrollment never does.
atexit.register(posix._exit, 1)
del sys.argv[0]


def report(kind: type[BaseException], failure: BaseException, _trace: object) -> None:
    """Logs a damaged installation, which strangers at the prompt must not see."""
    import syslog

    def field(name: bytes) -> str:
        text = posix.environ.get(name, b"").decode("ascii", "replace")
        return "".join(c if c.isalnum() or c in "@.:_%-" else "?" for c in text[:99])

    verdict, what = "refuse" if sys.argv[0] == "verify" else "ask", ascii(failure).replace('"', "'")
    line = f"verdict={verdict} reason=internal-error user={field(b'PAM_USER')}"
    line += f' service={field(b"PAM_SERVICE")} rhost={field(b"PAM_RHOST")} device= detail="{what}"'
    syslog.openlog("pam-totp", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_CRIT, line)


sys.excepthook = report
sys.path[:0] = ["/usr/lib/pam-totp"]


class Seldom:
    """Imports from the bundle what few logins need: the files may be of another release by then."""

    codes: dict[str, bytes]
    create_module = staticmethod(lambda _spec: None)  # as usual

    def find_spec(self, name: str, *_: object) -> object:
        spec = type(sys.__spec__)(name, self, is_package=True)  # type: ignore[arg-type]
        return spec if name in self.codes else None

    def exec_module(self, module: object) -> None:
        exec(loads(self.codes[vars(module)["__name__"]]), vars(module))  # noqa: S102 - as below


def load_bundle() -> None:
    """Loads one release from one file (pam_totp/bundle.py), if all sources are as they were then.

    While dpkg puts a new release in place, one name after the other, only the bundle is whole. The
    launcher gets its name after the modules: until then the old release runs, and then the new one.
    """
    program, tag = sys.argv[0], sys.implementation.cache_tag
    try:
        with open(f"{sys.path[0]}/pam_totp/__pycache__/{program}.{tag}.bundle", "rb") as file:
            magic, sources, of_then, modules, Seldom.codes = loads(file.read())
        of_now = [posix.stat(f"{sys.path[0]}/{source}") for source in sources]
        if [(each.st_mtime_ns, each.st_size) for each in of_now] != of_then:
            posix.stat(f"/usr/libexec/pam-totp/{program}.dpkg-new")
    except (OSError, ValueError, EOFError, TypeError):
        return
    if magic != sys.modules["_frozen_importlib_external"].MAGIC_NUMBER:
        return
    sys.meta_path[:0] = [Seldom()]  # type: ignore[list-item]
    for name, code in modules:
        module = sys.modules[name] = type(sys)(name)
        module.__path__ = []  # as of a package: nothing of ours is looked for in a folder
        exec(code, vars(module))  # noqa: S102 - what an import does with a .pyc file


load_bundle()
__import__(f"pam_totp.login.{sys.argv[0]}", fromlist=["main"]).main()
