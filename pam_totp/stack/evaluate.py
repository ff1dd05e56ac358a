# SPDX-License-Identifier: MIT
"""Whether a PAM stack asks for a code and refuses an incorrect one: said only where it is certain.

- What is not certain MUST be reported: in a stack that can skip the pam_totp.so line, or accept an
  incorrect code, there is no second factor.
"""

import re

from pam_totp.stack.disk import of_this_system
from pam_totp.stack.services import PAM_DIR, Line, all_lines, stack_of

# What the module takes (pam_totp/pam/pam_totp.c).
_OPTION = re.compile(r"tries=[1-9]|combined(=[678])?|prompt=.*|publickey_passed|debug", re.DOTALL)
# If one of these refuses and does not end the stack, a wrong password reaches pam_totp.so too.
_PASSWORDS = tuple(f"pam_{name}.so" for name in ("unix", "sss", "ldap", "krb5", "winbind", "deny"))

ACTIONS = {
    "required": {"success": "ok", "ignore": "ignore", "default": "bad"},
    "requisite": {"success": "ok", "ignore": "ignore", "default": "die"},
    "sufficient": {"success": "done", "default": "ignore"},
    "optional": {"success": "ok", "default": "ignore"},
    "binding": {"success": "done", "ignore": "ignore", "default": "bad"},
}
REFUSES = ("bad", "die")
INCLUDE_IT = "replace 'auth substack' by '@include'"
# The first line of su: root needs no code to become another user. A program that always runs as
# root, such as a daemon, would accept everybody by it.
FOR_ROOT = "pam_rootok.so"
RUN_BY_USERS = ("su", "su-l", "chsh", "chfn")


def actions_of(line: Line) -> dict[str, str]:
    """The action for each return value of the module; empty for a substack or invalid control."""
    if not line.control.startswith("["):
        return ACTIONS.get(line.control, {})
    return dict(re.findall(r"(\w+)\s*=\s*(\w+)", line.control))


def broken(lines: list[Line]) -> list[str]:
    """A sentence for each line that libpam cannot use."""
    found, disk = [], of_this_system()
    for line in all_lines(lines):
        if line.fault:
            found.append(f"line {line.number} {line.fault}, so every login is refused")
        elif _refuses_without_module(line) and not disk.has_module(line.module_path):
            what = f"names {line.module_path}, which does not exist"
            found.append(f"line {line.number} {what}, so every login that reaches it is refused")
    return found


def _refuses_without_module(line: Line) -> bool:
    """Whether PAM_MODULE_UNKNOWN, which libpam takes for the answer of a module that it cannot
    load, refuses. A bracket without it and without a default does."""
    if line.control == "substack":
        return False
    actions = actions_of(line)
    return actions.get("module_unknown", actions.get("default", "bad")) in REFUSES


def faults(name: str, folder: str = PAM_DIR) -> list[str]:
    """A sentence for each reason why a service's pam_totp.so lines do not work."""
    lines = stack_of(name, folder)[1]
    found = [
        f"a wrong password still reaches the pam_totp.so line, after '{goes_on}'; "
        + (INCLUDE_IT if goes_on.lower().startswith("substack") else "use requisite")
        for goes_on in _reached_by_wrong_passwords(lines)
    ]
    found += _left_by_incorrect_codes(lines) + _passwords_that_refuse_nobody(lines)
    for line in all_lines(lines):
        if not line.asks:
            continue
        if line.control in ("optional", "sufficient"):
            found.append(
                f"pam_totp.so is {line.control!r} there, so an incorrect code does not refuse the "
                "login"
            )
        if line.module == "pam_totp.so":
            wrong = [each for each in line.words if not _OPTION.fullmatch(each.strip("[]"))]
            found += [
                f"the pam_totp.so line has an invalid option, {each}, so every login is refused"
                for each in wrong
            ]
    return found


def _reached_by_wrong_passwords(lines: list[Line]) -> list[str]:
    """For each line that asks: what comes before it and does not end the stack after a wrong
    password, if anything."""
    found: list[str] = []

    def look(lines: list[Line], goes_on: str) -> str:
        for line in lines:
            if line.asks and goes_on:
                found.append(goes_on)
            goes_on = look(line.inner, goes_on)
            is_refused = actions_of(line).get("default") == "bad" and line.module in _PASSWORDS
            if is_refused or line.control == "substack":
                goes_on = line.described
        return goes_on

    look(lines, "")
    return found


def _passwords_that_refuse_nobody(lines: list[Line]) -> list[str]:
    """Where no line asks for a password but such that go on after a wrong one as after a right one,
    the code alone is enough."""
    asking = [line for line in all_lines(lines) if line.module in _PASSWORDS]
    for line in asking:
        actions = actions_of(line)
        if actions.get("default") != "ignore" or actions.get("success") not in ("ok", "ignore"):
            return []
    return [f"a wrong password at '{line.described}' does not refuse the login" for line in asking]


def _left_by_incorrect_codes(lines: list[Line]) -> list[str]:
    """A line that ends the stack (`die`) ends only the substack that it is in."""
    found = []
    for at, line in enumerate(lines):
        ends = [
            each
            for each in all_lines(line.inner)
            if each.asks and "die" in actions_of(each).values()
        ]
        after = [each for each in lines[at + 1 :] if each.control != "optional"]
        if ends and after:
            what = f"'{after[0].described}' still runs after an incorrect code"
            found.append(f"{what} in '{line.described}'; {INCLUDE_IT}")
        found += _left_by_incorrect_codes(line.inner)
    return found


def doubts(service: str, lines: list[Line]) -> list[str]:
    """A sentence for each reason why it is not certain that a service asks for a code and refuses
    an incorrect one. `lines` have a line that asks."""
    found = _on_the_way(service, lines)
    flat = list(all_lines(lines))
    last = max((at for at, line in enumerate(flat) if line.asks), default=-1)
    if any(line.has("combined") for line in flat[last + 1 :]):
        found.append("a line with 'combined' has no pam_totp.so line after it, which would verify")
    return found


def _on_the_way(service: str, lines: list[Line]) -> list[str]:
    asking = [at for at, line in enumerate(lines) if any(each.asks for each in all_lines([line]))]
    if not asking:
        return []
    at, found = asking[0], []
    for before, line in enumerate(lines[:at]):
        if line.inner or (line.module == FOR_ROOT and service in RUN_BY_USERS):
            continue  # `done` in a substack ends that alone
        for action in actions_of(line).values():
            if action.isdigit() and before + int(action) >= at:
                found.append(f"{_named(line)} can jump over the pam_totp.so line")
            elif action.isdigit() and line.has("publickey_passed"):
                target = lines[before + int(action) + 1]
                if not target.asks and target.module != "pam_permit.so":
                    found.append(f"{_named(line)} jumps to {_named(target)}: run set-up-sshd again")
            elif action == "done":
                found.append(f"{_named(line)} can accept a login before the pam_totp.so line")
    ours = lines[at]
    found += _on_the_way(service, ours.inner) if ours.inner else _of_control(ours)
    # In a substack, `reset` discards only what that substack found.
    if any("reset" in actions_of(line).values() for line in lines[at + 1 :]):
        found.append("a line after pam_totp.so can discard its result (reset)")
    return list(dict.fromkeys(found))


def _of_control(line: Line) -> list[str]:
    if not line.control.startswith("["):
        return []  # `faults` reports the plain words
    actions = actions_of(line)
    others = {"new_authtok_reqd": "bad", "default": "", **actions}
    for answer in ("success", "ignore"):
        others.pop(answer, None)
    if others["new_authtok_reqd"] == "ok":  # which pam_totp.so never returns
        others.pop("new_authtok_reqd")
    if not all(action in REFUSES for action in others.values()):
        return [f"the control of pam_totp.so, {line.control}, does not refuse every incorrect code"]
    if actions.get("success") not in ("ok", "done"):
        return [f"the control of pam_totp.so, {line.control}, does not accept a correct code"]
    if line.module == "pam_totp.so" and actions.get("ignore") != "ignore":
        return [f"the control of pam_totp.so, {line.control}, refuses users who need no code"]
    return []


def _named(line: Line) -> str:
    return f"{line.module} ({line.control}, line {line.number})"


def wants_key(lines: list[Line]) -> bool:
    """Whether it refuses users who have not passed a public key at sshd."""
    gates = [line for line in all_lines(lines) if line.has("publickey_passed")]
    return any(actions_of(line).get("default") in REFUSES for line in gates)


def is_combined(lines: list[Line]) -> bool:
    """Whether it reads the code from the same answer as the password."""
    return any(line.has("combined") for line in all_lines(lines))
