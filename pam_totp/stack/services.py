"""Which PAM services ask for a code: read from /etc/pam.d, changed by nobody here."""

import os
import re

PAM_DIR = "/etc/pam.d"
_ASKS = re.compile(
    r"^\s*-?auth\s.*(pam_totp\.so(?!.*publickey_passed)|/pam-totp/verify\b)", re.IGNORECASE
)
# What the module takes (pam_totp/pam/pam_totp.c), and how pam.conf(5) splits a line: brackets
# hold spaces.
_OPTION = re.compile(r"tries=[1-9]|combined(=[678])?|prompt=.*|publickey_passed|debug", re.DOTALL)
_WORD = re.compile(r"\[(?:[^\]\\]|\\.)*\]|\S+")
# After a refusal in these a stack goes on: to our line too, with a wrong password.
_GOES_ON = re.compile(
    r"^\s*-?auth\s+(substack\s+\S+|required\s+(?:\S*/)?pam_(?:unix|sss|ldap|krb5|winbind)\.so)",
    re.IGNORECASE,
)
_INCLUDES = re.compile(r"^\s*(?:@include\s+|-?auth\s+(?:include|substack)\s+)(\S+)", re.IGNORECASE)
# A backslash at the end continues a line, and a # begins a comment (pam.conf(5)).
_CONTINUED = re.compile(r"\\\n")
_COMMENT = re.compile(r"#.*")
# Files that other services include, and what dpkg and editors leave: no service that anyone logs in
# to is called so.
_SHARED = re.compile(r"^common-|^pam-totp$|\.(dpkg|ucf)-|~$|\.bak$")


def that_ask(folder: str = PAM_DIR) -> list[str]:
    """The names of the services whose auth stack has a line of ours, by way of includes too."""
    return [name for name, lines in _lines_of_ours(folder).items() if lines]


def faults(name: str, folder: str = PAM_DIR) -> list[str]:
    """Why the lines of ours that a service has do not do what they are for."""
    found = []
    for line, goes_on in _lines_of_ours(folder).get(name, ()):
        _, control, *rest = _WORD.findall(line)
        if goes_on:
            is_substack = goes_on.lower().startswith("substack")
            instead = "replace 'auth substack' by '@include'" if is_substack else "use requisite"
            what = f"a wrong password still reaches the pam_totp.so line, after '{goes_on}'"
            found.append(f"{what}: {instead}")
        if control.lower() in ("optional", "sufficient"):
            found.append(f"its line is {control.lower()}: a wrong code is passed over")
        if rest and rest[0].endswith("pam_totp.so"):
            wrong = [each for each in rest[1:] if not _OPTION.fullmatch(each.strip("[]"))]
            found += [f"its line has an invalid option, {each}: all are refused" for each in wrong]
    return found


def _lines_of_ours(folder: str) -> dict[str, list[tuple[str, str]]]:
    """For each service the `pam_totp.so` lines in its auth stack, by way of includes too, each with
    what stands before it that lets a wrong password pass; empty if nothing does."""
    lines: dict[str, list[str]] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        try:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                text = _COMMENT.sub("", _CONTINUED.sub(" ", file.read()))
            lines[name] = text.splitlines()
        except OSError:
            continue  # not ours to read: nothing can be said of it

    def ours(name: str, seen: frozenset[str], before: str) -> tuple[list[tuple[str, str]], str]:
        found = []
        for line in lines.get(name, ()):
            included, goes_on = _INCLUDES.match(line), _GOES_ON.match(line)
            after = before
            if _ASKS.match(line):
                found.append((line, before))
            elif included and included[1] not in seen:
                inside, after = ours(included[1], seen | {included[1]}, before)
                found += inside
            before = " ".join(goes_on[1].split()) if goes_on else after
        return found, before

    return {
        name: ours(name, frozenset({name}), "")[0] for name in lines if not _SHARED.search(name)
    }
