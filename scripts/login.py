#!/usr/bin/python3 -BIS
# SPDX-License-Identifier: MIT
"""What gate and verify run (pam/launch.c, of which it is a part): argument 1 says which of them."""

import atexit
import posix
import sys

# Only main() may end with 0.
atexit.register(posix._exit, 1)
del sys.argv[0]


def report(kind: type[BaseException], failure: BaseException, _trace: object) -> None:
    """Logs a damaged installation, which strangers at the prompt must not see."""
    import syslog

    def field(name: bytes) -> str:
        text = posix.environ.get(name, b"").decode("ascii", "replace")
        return "".join(c if c.isalnum() or c in "@.:_%-" else "?" for c in text[:99])

    verdict, what = "ask" if sys.argv[0] == "gate" else "refuse", ascii(failure).replace('"', "'")
    line = f"verdict={verdict} reason=internal-error user={field(b'PAM_USER')}"
    line += f' service={field(b"PAM_SERVICE")} rhost={field(b"PAM_RHOST")} device= detail="{what}"'
    syslog.openlog("pam-totp", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(syslog.LOG_CRIT, line)


sys.excepthook = report
sys.path[:0] = ["/usr/lib/pam-totp"]

__import__(f"pam_totp.login.{sys.argv[0]}", fromlist=["main"]).main()
