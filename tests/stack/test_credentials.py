# SPDX-License-Identifier: MIT
"""What modules return to pam_setcred in a fresh handle, by the real ones that are installed."""

import glob
from pathlib import Path

import pytest

from pam_totp.stack import credentials
from pam_totp.stack.lines import Line
from tests.stack.libpam import authenticate_apart, write_services

TABLES = credentials._SUCCEED | credentials._IGNORE | credentials._SUCCEED_OR_IGNORE
TABLES |= credentials._ASK_SSSD | {"deny"}
INSTALLED = {Path(path).stem.removeprefix("pam_") for path in glob.glob("/usr/lib/*/security/*.so")}
OPTIONS = {"listfile": "item=user sense=allow file=/etc/passwd", "succeed_if": "uid >= 0"}
# What these do goes beyond a return value: they run programs or wait for one.
NOT_RUN = {"exec"}


@pytest.mark.parametrize("module", sorted(TABLES & INSTALLED - NOT_RUN))
def test_a_real_module_returns_what_the_table_says(tmp_path: Path, module: str) -> None:
    options = OPTIONS.get(module, "")
    line = f"auth [default=ok] pam_{module}.so {options}\n"
    folder = write_services(tmp_path / "pam", {"console": line})
    outcome = authenticate_apart(folder, "console", "root", [], only_setcred=True)
    arguments = tuple(options.split())
    said = credentials.credential_meanings(
        Line("/etc/pam.d/x", 1, 0, module=f"pam_{module}.so", arguments=arguments)
    )
    assert outcome.setcred in said


def test_enough_real_modules_are_installed() -> None:
    assert len(TABLES & INSTALLED) >= 20


def test_a_key_that_sshd_reports_decides_as_it_did_before(tmp_path: Path) -> None:
    line = "auth [default=ok] pam_totp.so publickey_passed\n"
    folder = write_services(tmp_path / "pam", {"sshd": line})
    key = ["SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA"]
    found = [
        authenticate_apart(folder, "sshd", "root", [], only_setcred=True, variables=each).setcred
        for each in (key, [])
    ]
    assert found == [0, 7]
    key_line = Line("/x", 1, 0, module="pam_totp.so", arguments=("publickey_passed",))
    assert set(found) == set(credentials.credential_meanings(key_line))


def test_an_unknown_module_may_return_anything() -> None:
    assert len(credentials.credential_meanings(Line("/x", 1, 0, module="pam_x.so"))) == 32
