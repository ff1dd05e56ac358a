# SPDX-License-Identifier: MIT
"""PAM's services as libpam reads them, and which of them ask for a code. Changes nothing."""

import functools
import os
import re
from collections.abc import Iterator

from pam_totp.stack.files import file_of
from pam_totp.stack.libpam import Libpam, Unknown, installed

PAM_DIR = "/etc/pam.d"
# Where libpam looks for what /etc/pam.d does not have; and the service whose auth lines apply to
# a service that has none.
VENDOR, FALLBACK = "/usr/lib/pam.d", "other"
TYPES = ("auth", "account", "session", "password")
CONTROLS = ("required", "requisite", "sufficient", "optional", "binding", "include", "substack")
# How pam.conf(5) splits a line: brackets hold spaces. A carriage return is no space there.
_WORD = re.compile(r"\[(?:[^\]\\]|\\.)*\]|[^ \t\n]+")
_BRACKETS = re.compile(r"\[\s*(?:\w+\s*=\s*(?:ignore|ok|done|bad|die|reset|\d+)\s*)+\]")
_VERIFY = re.compile(r"/pam-totp/verify$")
# Files that other services include, and what dpkg and editors leave: not services themselves.
_SHARED = re.compile(r"^common-|^pam-totp$|\.(dpkg|ucf)-|~$|\.bak$")


class Line:
    """One auth line. described: control and module, for people; module: without its folder;
    inner: the lines of a substack; fault: why libpam refuses every login that reaches it."""

    __slots__ = (
        "control",
        "described",
        "fault",
        "inner",
        "module",
        "module_path",
        "number",
        "words",
    )

    def __init__(self, text: str, number: int, fault: str = "") -> None:
        self.number = number
        _, control, module, *words = [*_WORD.findall(text), "", "", ""]
        self.control = control.lower()
        self.described = f"{control} {module}"
        self.module, self.module_path = os.path.basename(module), module
        self.words = [word for word in words if word]
        self.inner: list[Line] = []
        self.fault = fault

    def has(self, option: str) -> bool:
        """Whether it is a line of the module with an option, `combined=8` counting as combined."""
        is_there = any(word.partition("=")[0] == option for word in self.words)
        return self.module == "pam_totp.so" and is_there

    @property
    def asks(self) -> bool:
        """Whether it asks for a code, or verifies one that was entered before."""
        if self.module == "pam_totp.so":
            return not self.has("publickey_passed") and not self.has("combined")
        return any(_VERIFY.search(word) for word in self.words)


def that_ask(folder: str = PAM_DIR) -> list[str]:
    """The names of the services whose auth stack has a pam_totp.so line, even if included."""
    return [name for name in names(folder) if not _SHARED.search(name) and asks(name, folder)]


def names(folder: str = PAM_DIR) -> list[str]:
    """Every file of a service."""
    folders = [each for each in _folders(folder) if os.path.isdir(each)]
    return sorted({name for each in folders for name in os.listdir(each)})


def asks(name: str, folder: str = PAM_DIR) -> bool:
    """Whether the service's auth stack has a line that asks for a code."""
    return any(line.asks for line in all_lines(stack_of(name, folder)[1]))


def all_lines(lines: list[Line]) -> Iterator[Line]:
    """These lines, and those of their substacks."""
    for line in lines:
        yield line
        yield from all_lines(line.inner)


def stack_of(name: str, folder: str = PAM_DIR) -> tuple[str, list[Line]]:
    """The file that libpam uses for a service, empty for none, and its auth lines: includes are
    expanded, substacks are lines with inner lines."""
    path = path_of(name, folder)
    lines = _read(path, folder, (path,)) if path else []
    if lines or name == FALLBACK:
        return path, lines
    return stack_of(FALLBACK, folder)


def path_of(name: str, folder: str = PAM_DIR) -> str:
    """The file of a service or an include; empty if there is none."""
    paths = [os.path.join(each, name) for each in _folders(folder)]  # an absolute name stays
    return next((path for path in paths if os.path.isfile(path)), "")


def _folders(folder: str) -> tuple[str, ...]:
    return (PAM_DIR, VENDOR) if folder == PAM_DIR else (folder,)


def _read(path: str, folder: str, within: tuple[str, ...]) -> list[Line]:
    try:
        with open(path, "rb") as stream:
            file = file_of(path, stream.read(), _libpam())
    except OSError:
        return []  # not readable, so nothing is known of it
    except Unknown as failure:
        return [Line("", 0, f"of {failure}")]
    lines = [(line.number, line.text) for line in file.lines]
    if file.cut_off:
        lines.append((file.cut_off, "\\"))  # libpam refuses a file that ends so
    found: list[Line] = []
    for number, line in lines:
        words = _WORD.findall(line)
        if not words:
            continue
        kind = words[0].removeprefix("-").lower()
        is_include = words[0] == "@include"
        if "\r" in line:
            found.append(Line(line, number, "ends with CR LF"))
        elif not is_include and kind not in TYPES:
            found.append(Line(line, number, f"begins with {words[0]!a}, which PAM does not know"))
        elif is_include or kind == "auth":
            found += _of_auth(line, number, words, folder, within)
    return found


def _of_auth(
    text: str, number: int, words: list[str], folder: str, within: tuple[str, ...]
) -> list[Line]:
    line = Line(text, number)
    control = "include" if words[0] == "@include" else line.control
    if control in ("include", "substack"):
        target = words[1] if words[0] == "@include" and len(words) > 1 else "".join(words[2:3])
        path = path_of(target, folder) if target else ""
        if not path or path in within:
            line.fault = f"includes {target}, which {'includes it' if path else 'does not exist'}"
            return [line]
        inner = _read(path, folder, (*within, path))
        if control == "include":
            return inner
        line.inner = inner
    elif control not in CONTROLS and not _BRACKETS.fullmatch(control):
        line.fault = f"has the control {control!a}, which PAM does not know"
    elif not line.module:
        line.fault = "names no module"
    return [line]


@functools.cache
def _libpam() -> Libpam:
    try:
        return installed()
    except Unknown:
        return Libpam(since_1_6=False, is_debian=True)
