# SPDX-License-Identifier: MIT
"""The command that root is told to run for what is wrong with the files of another user. Pure.

- What lies in a home MUST be changed as its user: chmod(1) follows the links that the user may put
  there meanwhile.
- What a link of the user's leads to MUST be left alone: it may be a service's.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pwd import struct_passwd

_OF_ROOT = "/var/lib/pam-totp/"


def repair_for_root(fault: str, account: "struct_passwd") -> str:
    """A fault of an account's files that may end with `; run: COMMAND`, with a command that root
    may run."""
    user, home = account.pw_name, account.pw_dir
    what, _, command = fault.partition("; run: ")
    program, _, rest = command.partition(" ")
    path = rest.rpartition(" ")[2]
    if program not in ("chmod", "chown") or path.startswith(_OF_ROOT):
        return fault
    is_inside = f"{path}/".startswith(f"{home.rstrip('/')}/")
    if not (is_inside or f"{home}/".startswith(f"{path.rstrip('/')}/")):
        return f"{what}; a link leads there"
    if not is_inside or program == "chown" or user == "root":
        return fault
    is_one_word = all(each.isalnum() or each in "._-" for each in user)
    return f"{what}; run: runuser -u {user} -- {command}" if is_one_word else what
