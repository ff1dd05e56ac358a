"""Whether a PAM stack asks for a code and refuses a wrong one: said only where it is certain.

- What is not certain MUST be reported: in a stack that can skip the pam_totp.so line, or accept a
  wrong code, there is no second factor.
"""

import re

from pam_totp.stack.services import Line, all_lines

ACTIONS = {
    "required": {"success": "ok", "ignore": "ignore", "default": "bad"},
    "requisite": {"success": "ok", "ignore": "ignore", "default": "die"},
    "sufficient": {"success": "done", "default": "ignore"},
    "optional": {"success": "ok", "default": "ignore"},
    "binding": {"success": "done", "ignore": "ignore", "default": "bad"},
}
REFUSES = ("bad", "die")
# The first line of su: root needs no code to become another user.
FOR_ROOT = "pam_rootok.so"


def actions_of(line: Line) -> dict[str, str]:
    """The action for each return value of the module; empty for a substack or invalid control."""
    if not line.control.startswith("["):
        return ACTIONS.get(line.control, {})
    return dict(re.findall(r"(\w+)\s*=\s*(\w+)", line.control))


def broken(lines: list[Line]) -> list[str]:
    """A sentence for each line that libpam cannot use."""
    return [
        f"line {line.number} {line.fault}, so every login is refused"
        for line in all_lines(lines)
        if line.fault
    ]


def doubts(lines: list[Line]) -> list[str]:
    """A sentence for each reason why it is not certain that a code is asked for and that a wrong
    one is refused. `lines` have a line that asks."""
    found = _on_the_way(lines)
    flat = list(all_lines(lines))
    last = max((at for at, line in enumerate(flat) if line.asks), default=-1)
    if any(line.has("combined") for line in flat[last + 1 :]):
        found.append("a line with 'combined' has no pam_totp.so line after it, which would verify")
    return found


def _on_the_way(lines: list[Line]) -> list[str]:
    asking = [at for at, line in enumerate(lines) if any(each.asks for each in all_lines([line]))]
    if not asking:
        return []
    at, found = asking[0], []
    for before, line in enumerate(lines[:at]):
        if line.module == FOR_ROOT or line.inner:
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
    found += _on_the_way(ours.inner) if ours.inner else _of_control(ours)
    if any("reset" in actions_of(line).values() for line in all_lines(lines[at + 1 :])):
        found.append("a line after pam_totp.so can discard its result (reset)")
    return list(dict.fromkeys(found))


def _of_control(line: Line) -> list[str]:
    if not line.control.startswith("["):
        return []  # services.faults reports the plain words
    actions = actions_of(line)
    others = {"new_authtok_reqd": "bad", "default": "", **actions}
    for answer in ("success", "ignore"):
        others.pop(answer, None)
    if others["new_authtok_reqd"] == "ok":  # which pam_totp.so never returns
        others.pop("new_authtok_reqd")
    if not all(action in REFUSES for action in others.values()):
        return [f"the control of pam_totp.so, {line.control}, does not refuse every wrong code"]
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
