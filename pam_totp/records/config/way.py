# SPDX-License-Identifier: MIT
"""The way to the settings file: every folder and link on it must be root's alone to change.

Whoever can write one of them can put another file of root's in the place of the settings, such as a
link to the example, which asks only users who have enrolled.
"""

import os
import pwd

from pam_totp.records.storage.walk import Walk
from pam_totp.rules.reasons import Failure


def fault_of_the_way(path: str) -> str:
    """Why others than root can put another file in the place of this one, which need not be there;
    empty if they cannot. Raises OSError."""
    # Not looked up: whoever cannot read /etc/passwd can still read the settings.
    walk = Walk(user=pwd.struct_passwd(("root", "x", 0, 0, "", "/root", "")), is_checked=True)
    try:
        for _ in range(40):  # as many links as the kernel follows
            walk.go(os.path.dirname(path), follow=True)
            name = f"/proc/self/fd/{walk.folder}/{os.path.basename(path)}"
            if not os.path.islink(name):
                return ""
            path = os.readlink(name)
        return f"{path} is a link in a loop; replace it"
    except FileNotFoundError:
        return ""  # whatever is not there, only root can make
    except Failure as failure:
        return failure.detail
    finally:
        if walk.folder >= 0:
            os.close(walk.folder)
