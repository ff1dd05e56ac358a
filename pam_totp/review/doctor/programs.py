# SPDX-License-Identifier: MIT
"""What is installed: the module, the programs that it runs, the interpreter and its libraries.

A damaged installation refuses every login that needs a code, because whatever fails says no.
"""

import os
import re
import shlex
import struct
from collections.abc import Iterator

from pam_totp import VERSION
from pam_totp.review.doctor.findings import AT_RISK, REFUSED, Finding
from pam_totp.review.doctor.host import Host
from pam_totp.review.doctor.imports import LIBRARY, failures_of
from pam_totp.stack.totp_lines import MODULE

# What each is for, where it is not that every login which needs a code runs it.
PROGRAMS = {
    "gate": "",
    "verify": "",
    "show-enrollment": "Nobody can enroll at a login.",
    "send-code": "No code can be sent by text message or mail.",
    "roll-back": "A trial of a change is not taken back by itself.",
}
MODULES = {name: f"pam_totp.login.{name.replace('-', '_')}" for name in PROGRAMS} | {
    "roll-back": "pam_totp.setup.roll_back"
}
# The package, if that is what was installed.
PACKAGE = "/var/lib/dpkg/info/pam-totp.list"
REINSTALL = (
    "apt-get install --reinstall ./pam-totp_*.deb" if os.path.exists(PACKAGE) else "make install"
)
# What is imported, and of what kind a failure is: the name, the repair, what follows.
IMPORTS = {
    **{
        f"import {module}": ("program-damaged", name, REINSTALL, PROGRAMS[name])
        for name, module in MODULES.items()
    },
    "from pam_totp import verbs; verbs.parser()": (
        "program-damaged",
        "pam-totp",
        REINSTALL,
        "Some of its commands fail.",
    ),
    **{
        f"import {name}; {name}.{used}": (
            "library-missing",
            name,
            f"apt-get install --reinstall {package}",
            consequence,
        )
        for name, used, package, consequence in (
            ("yaml", "SafeLoader", "python3-yaml", "A change of the settings is not used."),
            ("pyotp", "TOTP", "python3-pyotp", "Nobody can enroll."),
            ("qrcode", "QRCode", "python3-qrcode", "Nobody can enroll."),
            ("pam", "pam", "python3-pampy", "Nobody can replace a secret."),
        )
    },
}
MIN_BYTES = 8192  # a module that was cut off says nothing of its version
PASSWORD_SERVICE = "pam-totp"
MAX_BYTES = 10_000_000
_VERSION = re.compile(rb'\{"name":"pam-totp","version":"([^"]*)"')
_ELF = b"\x7fELF"
_MACHINE = slice(18, 20)  # elf(5)
_PAGE = 4096
_PROGRAM = re.compile(rb"\0(/[!-~]*)/gate(?=\0)")


def find(host: Host) -> Iterator[Finding]:
    """See the module."""
    folders = host.libpam.module_folders or ("/lib/security",)
    path = next((f"{each}/{MODULE}" for each in folders if _is_file(f"{each}/{MODULE}")), "")
    programs = "/usr/libexec/pam-totp"
    if not path:
        what = f"there is no {MODULE} in {' or '.join(folders)}"
        yield _damaged("module-missing", what)
    else:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES)
        yield from of_module(path, content)
        found = _PROGRAM.search(content)
        programs = found[1].decode() if found else programs
        if not _is_file(f"{os.path.dirname(path)}/pam_exec.so"):
            what = f"there is no pam_exec.so beside {path}, which runs the programs"
            yield _damaged("pam-exec-missing", what, "apt-get install --reinstall libpam-modules")
    for name in PROGRAMS:
        yield from _of_program(f"{programs}/{name}")
    yield from of_imports(failures_of([_load(path), *IMPORTS] if path else [*IMPORTS]), path)
    if os.path.isdir(f"/usr/local{LIBRARY.removeprefix('/usr')}"):
        yield Finding(
            severity=AT_RISK,
            kind="two-installations",
            what=f"/usr/local/lib/pam-totp is a second installation, beside {LIBRARY}",
            consequence="It is unknown which of the two a command or a login uses.",
            command="make uninstall PREFIX=/usr/local",
        )
    if not any(_is_file(f"{folder}/{PASSWORD_SERVICE}") for folder in host.libpam.folders):
        yield Finding(
            severity=AT_RISK,
            kind="password-service-missing",
            what=f"there is no PAM service {PASSWORD_SERVICE}, which checks passwords again",
            consequence="Nobody can replace a secret, or make recovery codes.",
            command=REINSTALL,
        )


def of_module(path: str, content: bytes) -> Iterator[Finding]:
    """A module that is of another release than this program."""
    found = _VERSION.search(content)
    version = found[1].decode("ascii", "replace") if found else "unknown"
    if version != VERSION and len(content) > MIN_BYTES:
        what = f"{path} is of version {version}, and the programs are of version {VERSION}"
        yield Finding(
            severity=AT_RISK,
            kind="version-differs",
            what=what,
            consequence="Logins may be refused, because the two were not tested together.",
            command=REINSTALL,
        )


def _of_program(path: str) -> Iterator[Finding]:
    without_it = PROGRAMS[os.path.basename(path)]
    if not _is_file(path):
        yield _damaged("program-missing", f"there is no {path}", REINSTALL, without_it)
        return
    if not os.access(path, os.X_OK):
        what = f"{path} cannot be run (mode, or a file system that is mounted noexec)"
        command = f"chmod 755 {shlex.quote(path)}"
        yield _damaged("program-not-executable", what, command, without_it)
        return
    with open(path, "rb") as file:
        content = file.read(MAX_BYTES)
    if content.startswith(_ELF):
        yield from _of_launcher(path, content)
        return
    first = content[:1000].partition(b"\n")[0].decode("utf-8", "replace")
    interpreter = first.removeprefix("#!").split()[:1]
    if not (first.startswith("#!") and interpreter and os.access(interpreter[0], os.X_OK)):
        shown = interpreter[0] if interpreter else "nothing"
        what = f"{path} is run by {shown}, which does not exist or cannot be run"
        yield _damaged("interpreter-missing", what, REINSTALL, without_it)


def _of_launcher(path: str, content: bytes) -> Iterator[Finding]:
    with open("/proc/self/exe", "rb") as file:
        own = file.read(_MACHINE.stop)
    if not _is_whole(content):
        yield _damaged("program-damaged", f"{path} is cut off or overwritten")
    elif content[_MACHINE] != own[_MACHINE]:
        yield _damaged("program-damaged", f"{path} is for another kind of processor")
    else:
        yield from of_module(path, content)


def of_imports(failures: dict[str, str], path: str) -> Iterator[Finding]:
    """failures: statements that failed, with the reasons; path: of the module."""
    for statement, failure in failures.items():
        if statement == _load(path):
            yield _damaged("module-damaged", f"{path} cannot be loaded: {failure}")
            continue
        kind, name, command, consequence = IMPORTS[statement]
        if kind == "program-damaged":
            what = f"the program {name} does not start: {failure}"
            yield _damaged(kind, what, REINSTALL, consequence)
        else:
            what = f"the Python library {name} cannot be used: {failure}"
            yield Finding(AT_RISK, kind, what, consequence, command)


def _is_whole(content: bytes) -> bool:
    """Whether the table of sections, which comes last, is there (elf(5), of 64 bits or 32), and no
    page is empty, as a power cut leaves it."""
    offset, sizes = ("Q", (40, 58)) if content[4:5] == b"\2" else ("I", (32, 46))
    try:
        (begins,) = struct.unpack_from(f"={offset}", content, sizes[0])
        size, count = struct.unpack_from("=HH", content, sizes[1])
    except struct.error:
        return False
    pages = (content[at : at + _PAGE] for at in range(0, len(content), _PAGE))
    return bool(begins + size * count <= len(content)) and bytes(_PAGE) not in pages


def _load(path: str) -> str:
    return f"import ctypes; ctypes.CDLL({path!r})"


def _damaged(kind: str, what: str, command: str = REINSTALL, consequence: str = "") -> Finding:
    severity = AT_RISK if consequence else REFUSED
    consequence = consequence or "Every login that needs a code is refused."
    return Finding(severity, kind, what, consequence, command)


def _is_file(path: str) -> bool:
    return os.path.isfile(path)
