# SPDX-License-Identifier: MIT
"""`enable --also u2f` with pam_u2f and libfido2 themselves, and a security key in software in the
place of the device (authenticator.c): a virtual one needs a kernel with uhid."""

import base64
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import SERVICES, PamServices
from tests.host.system_log import SystemLog
from tests.stack import libpam
from tests.stack.libpam import Outcome

ALL = ("--yes", "--force")
CODE = "Verification code: "
SOURCE = Path(__file__).resolve().parents[1] / "host" / "authenticator.c"


class Key:
    """One that is plugged in: what pam_u2f has to know of it, and what it was asked so far."""

    def __init__(self, folder: Path) -> None:
        library, self.pem, self.log = folder / "key.so", folder / "key.pem", folder / "log"
        options = ["-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", str(library)]
        libraries = ["-l:libfido2.so.1", "-l:libcrypto.so.3"]
        subprocess.run(["gcc", *options, str(SOURCE), *libraries], check=True)
        made = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]
        subprocess.run([*made, str(self.pem)], check=True)
        self.through = ["env", f"LD_PRELOAD={library}", f"AUTHENTICATOR_LOG={self.log}"]
        self.through += [f"AUTHENTICATOR_KEY={self.pem}", "AUTHENTICATOR_HANDLE=handle-of-this-key"]

    def line(self, user: User, handle: str = "handle-of-this-key") -> str:
        """Of the file of keys, as pamu2fcfg writes it."""
        show = ["openssl", "ec", "-in", str(self.pem), "-pubout", "-outform", "DER"]
        point = subprocess.run(show, check=True, capture_output=True).stdout[-64:]
        words = [base64.b64encode(each).decode() for each in (handle.encode(), point)]
        return f"{user.name}:{','.join(words)},es256,+presence"  # it ends with no newline

    @property
    def asked(self) -> list[str]:
        asked = self.log.read_text().split() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return asked


@pytest.fixture
def key(tmp_path: Path, pam_services: PamServices) -> Key:
    """And sudo, which asks for it."""
    pam_services.write("sudo", (SERVICES / "sudo").read_text(encoding="utf-8"))
    pam_services.write("sudo-i", (SERVICES / "sudo-i").read_text(encoding="utf-8"))
    assert pam_totp("enable", "sudo", "--also", "u2f", *ALL).code == 0
    return Key(tmp_path)


@pytest.fixture
def log_in(key: Key) -> Callable[..., Outcome]:
    """`log_in(user, answer, ...)`: at sudo, with the key plugged in."""

    def to_it(user: User, *answers: str) -> Outcome:
        return libpam.authenticate_apart(SERVICES, "sudo", user.name, answers, through=key.through)

    return to_it


def keys_of(user: User) -> Path:
    return user.home / ".config" / "Yubico" / "u2f_keys"


def test_key_of_the_user_stands_for_the_code_after_the_password(
    user: User,
    credential: Credential,
    key: Key,
    log_in: Callable[..., Outcome],
    syslog: SystemLog,
) -> None:
    user.give(keys_of(user), key.line(user))
    syslog.clear()
    done = log_in(user, user.password)
    assert (done.authenticate, done.setcred, len(done.prompts)) == (0, 0, 1), done
    assert any("touch" in message for message in done.messages) and "sign" in key.asked
    (decision,) = syslog.decisions()
    assert (decision["verdict"], decision["reason"]) == ("accept", "security-key")
    assert (decision["user"], decision["service"]) == (user.name, "sudo")
    wrong = log_in(user, "wrong")
    assert (wrong.authenticate != 0, len(wrong.prompts), key.asked) == (True, 1, [])
    done = log_in(user, user.password, credential.fresh_code())
    assert (done.authenticate, len(done.prompts)) == (0, 1)


def test_key_of_nobody_or_of_another_user_is_none(
    user: User,
    make_user: Callable[..., User],
    credential: Credential,
    key: Key,
    log_in: Callable[..., Outcome],
) -> None:
    other = make_user()
    for line in ("", key.line(other), key.line(user, handle="of-another-key")):
        user.give(keys_of(user), line)
        done = log_in(user, user.password)
        assert (done.authenticate != 0, done.prompts[1:]) == (True, [CODE]), line
        done = log_in(user, user.password, credential.fresh_code())
        assert (done.authenticate, done.prompts[1:]) == (0, [CODE]), line
        assert "sign" not in key.asked
    # A file that another user has put there.
    user.give(keys_of(user), key.line(user))
    os.chown(keys_of(user), other.uid, other.gid)
    assert log_in(user, user.password).prompts[1:] == [CODE]
    assert "sign" not in key.asked


def test_root_s_file_alone_counts_where_secrets_are_roots(
    user: User, make_user: Callable[..., User], key: Key, log_in: Callable[..., Outcome]
) -> None:
    mappings = Path("/etc/u2f_mappings")
    user.give(keys_of(user), key.line(user))
    with configured("store: system\nenrollment: required\n"):
        said = pam_totp("enable", "sudo", *ALL)
        assert said.code == 0
        (add,) = set(re.findall(r"\(pamu2fcfg -u USER && echo\) >>/etc/u2f_mappings", said.output))
        assert log_in(user, user.password).prompts[1:] == [CODE]
        assert "sign" not in key.asked
        try:
            for each in (make_user(), user, make_user()):  # of several users, as the command says
                line = f"printf %s '{key.line(each)}'"
                command = add.replace("pamu2fcfg -u USER", line)
                subprocess.run(["/bin/sh", "-c", command], check=True)
            done = log_in(user, user.password)
        finally:
            mappings.unlink()
        assert (done.authenticate, len(done.prompts)) == (0, 1)
