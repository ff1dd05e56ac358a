# SPDX-License-Identifier: MIT
"""Whether a first factor is proved at a login that goes on.

That the stack reached this line proves nothing, since `required` lines before it go on after a
wrong password. Proofs are sshd's report of a public key, and the password, tried again at the
service that never asks for a code.
"""

import pwd
import sys

from pam_totp.enrollment import pam_password
from pam_totp.rules.request import Request

# A login starts without dist-packages; what checks passwords, and what draws, is there.
sys.path.append("/usr/lib/python3/dist-packages")

MAX_PASSWORD_BYTES = 512  # what pam_exec passes on at most


def is_proved(request: Request, user: pwd.struct_passwd) -> bool:
    """Whether sshd says that a public key passed, or the password on standard input is right."""
    typed = sys.stdin.buffer.read(MAX_PASSWORD_BYTES + 1).removesuffix(b"\0")
    return bool(request.key or (typed and not pam_password.what_is_wrong(user, typed)))
