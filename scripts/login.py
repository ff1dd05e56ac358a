#!/usr/bin/python3 -BIS
# SPDX-License-Identifier: MIT
"""What gate and verify run (pam/launch.c, of which it is a part), and what they run in their own
place, show-enrollment and send-code: argument 1 says which of them."""

import atexit
import gc
import posix
import sys
from marshal import loads

# Only main() may end with 0, and those of show-enrollment and send-code never do.
atexit.register(posix._exit, 1)
gc.disable()  # to search for garbage takes longer than to leave it
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


def load_bundle() -> None:
    """Loads one release from one file, if this interpreter can (pam_totp/bundle.py)."""
    program, tag = sys.argv[0], sys.implementation.cache_tag
    try:
        with open(f"{sys.path[0]}/pam_totp/__pycache__/{program}.{tag}.bundle", "rb") as file:
            magic, loader, *release = loads(file.read())
    except (OSError, ValueError, EOFError, TypeError):
        return
    if magic == sys.modules["_frozen_importlib_external"].MAGIC_NUMBER:
        names = {}  # type: ignore[var-annotated]
        exec(loader, names)  # noqa: S102 - as an import does with a .pyc file
        names["load"](*release)


load_bundle()
__import__(f"pam_totp.login.{sys.argv[0]}", fromlist=["main"]).main()
