# SPDX-License-Identifier: MIT
"""Files that an earlier release wrote go on working; every format stands in DESIGN.md.

What is written here was written by that release, byte for byte. A format that changes gets its old
form added here, and none is ever taken away.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.programs import gate, verify
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, NO_CODE_NEEDED, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog

REPOSITORY = Path(__file__).resolve().parents[1]
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
PAGE = 4096
# ~/.config/pam-totp/secret as 0.1.0 wrote it with a second device, and as it let people edit it.
SECRETS = {
    "one device": (
        "# pam-totp: one credential a line, an otpauth URI and then the device's name.\n"
        f"otpauth://totp/server:alice%40server?secret={SECRET}&issuer=server phone\n"
    ),
    "with the time when it was added": (
        f"otpauth://totp/server:alice%40server?secret={SECRET}&issuer=server"
        "&added=20261129T1711Z phone\n"
    ),
    "edited by hand": (
        "\n  # mine\n"
        "otpauth://totp/a?secret=KRSXG5CTMVRXEZLUKN2XAZLSKNSWG4TF&digits=8&algorithm=SHA256 old\n"
        f"\totpauth://totp/server:alice@server?secret={SECRET.lower()}&issuer=server&period=30\r\n"
    ),
    "no line end": f"otpauth://totp/server:alice@server?secret={SECRET}",
}


@pytest.fixture(params=list(SECRETS.values()), ids=list(SECRETS))
def credential(user: User, request: pytest.FixtureRequest) -> Iterator[Credential]:
    user.give(user.home / ".config" / "pam-totp" / "secret", request.param)
    yield Credential(user, SECRET)


def write_attempts(user: User, content: str) -> Path:
    RECORDS.mkdir(mode=0o700, exist_ok=True)
    path = RECORDS / str(user.uid)
    path.write_bytes(content.encode("ascii"))
    path.chmod(0o600)
    return path


def test_secret_file_of_the_first_release_works(credential: Credential) -> None:
    """Rule 22, pam-u2f 1.3.1 refused files that it had written itself."""
    assert gate(credential.user.name) == ASK
    code = credential.fresh_code()
    assert verify(credential.user.name, code) == ACCEPTED
    assert verify(credential.user.name, code) == REFUSED


@pytest.mark.parametrize("content", ["", " " * PAGE, "pam-totp attempts 1\n".ljust(PAGE)])
def test_empty_record_of_the_first_release_is_an_empty_record(user: User, content: str) -> None:
    """Rule 22: a login that was cut off left one, and a refused one always did."""
    user.give(user.home / ".config" / "pam-totp" / "secret", SECRETS["one device"])
    write_attempts(user, content)
    assert verify(user.name, Credential(user, SECRET).fresh_code()) == ACCEPTED


def test_enforced_record_of_the_first_release_still_refuses_without_a_secret(
    user: User, syslog: SystemLog
) -> None:
    """Rule 22, and 4: the mark was, and is, an empty file of root's."""
    assert gate(user.name) == NO_CODE_NEEDED
    marks = STATE / "enforced"
    marks.mkdir(mode=0o700, exist_ok=True)
    os.close(os.open(marks / str(user.uid), os.O_CREAT | os.O_EXCL, 0o600))
    syslog.clear()
    assert gate(user.name) == ASK
    assert verify(user.name, "123456") == REFUSED
    assert [each["reason"] for each in syslog.decisions()] == ["secret-missing"]


def test_machine_of_the_first_release_has_no_configuration_and_no_other_folders(
    user: User, enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    """Rule 22: /etc/pam-totp, grants, spent and settings came later."""
    away = [(path, path.with_name(path.name + "-away")) for path in (Path("/etc/pam-totp"), STATE)]
    credential = enrolled(user)
    for path, other in away:
        path.rename(other)
    (STATE / "enforced").mkdir(mode=0o700, parents=True)
    STATE.chmod(0o700)
    try:
        assert gate(user.name) == ASK
        assert verify(user.name, credential.fresh_code()) == ACCEPTED
        assert [each["detail"] for each in syslog.decisions() if "detail" in each] == []
    finally:
        (STATE / "enforced" / str(user.uid)).unlink(missing_ok=True)
        (STATE / "enforced").rmdir()
        STATE.rmdir()
        for path, other in away:
            other.rename(path)


# `pam-totp` with nothing but the interpreter's own library.
WITHOUT_LIBRARIES = """
import sys
sys.path[:0] = ["/usr/lib/pam-totp"]
from pam_totp.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "verb",
    [
        *("status", "users", "unlock NAME", "grant NAME", "explain NAME"),
        *("disable --all --yes", "confirm", "migrate NAME", "reset NAME --yes", "config check"),
    ],
)
def test_what_gets_an_administrator_in_works_while_pythons_libraries_do_not(
    user: User, verb: str
) -> None:
    """Between two releases of Debian: with Python 3.13, qrcode of Debian 12 cannot be imported."""
    user.give(user.home / ".config" / "pam-totp" / "secret", SECRETS["one device"])
    words = [user.name if word == "NAME" else word for word in verb.split()]
    command = ["/usr/bin/python3", "-BIS", "-c", WITHOUT_LIBRARIES, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert "unexpected failure" not in done.stderr
    assert done.returncode == (1 if verb == "confirm" else 0), done.stderr


# Every first line that a record begins with, by the source; and every file of the contract.
FIRST_LINE = re.compile(r'"(pam-totp [a-z]+ [0-9]+)')
FILES = [
    *("~/.config/pam-totp/secret", "~/.config/pam-totp/recovery", "/run/pam-totp/UID"),
    *(
        f"/var/lib/pam-totp/{kind}/"
        for kind in ("enforced", "used", "grants", "settings", "secrets", "services")
    ),
]


def test_every_format_that_is_read_stands_in_the_design() -> None:
    """Rule 22: who changes a format finds there what must still be read."""
    design = (REPOSITORY / "DESIGN.md").read_text(encoding="utf-8")
    sources = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "pam_totp").rglob("*.py")]
    formats = {found for source in sources for found in FIRST_LINE.findall(source)}
    assert {f"pam-totp {kind} 1" for kind in ("attempts", "recovery", "settings")} <= formats
    formats.remove("pam-totp credential 1")  # is hashed with a secret, and never in a file
    assert [found for found in formats if found not in design] == []
    assert [name for name in FILES if name not in design] == []
