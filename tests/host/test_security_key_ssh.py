# SPDX-License-Identifier: MIT
"""A rule with `publickey: sk`, over real ssh, with a security key in software (security_key.c)."""

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.ssh_client import asked
from tests.host.ssh_server import SshServer, shipped_settings
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation

Converse = Callable[..., Conversation]
CODE = "Verification code: "
NO_CODE = "rules:\n- {publickey: sk, code: never}\n"
VERIFIED = "PubkeyAuthOptions verify-required\n"
TOUCHED_TOO = "PubkeyAuthOptions touch-required verify-required\n"


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ssh and ssh-keygen take for the driver of a security key."""
    source = str(Path(__file__).with_name("security_key.c"))
    library = tmp_path_factory.mktemp("security-key") / "provider.so"
    options = ["-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", str(library)]
    subprocess.run(["gcc", *options, source, "-l:libcrypto.so.3"], check=True)
    return library


def keygen(*arguments: object) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, arguments)], check=True)


@pytest.fixture
def security_key(provider: Path, tmp_path: Path) -> Callable[[User], Path]:
    """`security_key(user)`: one that may log in as the user, besides the keys that may already."""

    def make(user: User) -> Path:
        key = tmp_path / "security-key"
        keygen("-t", "ed25519-sk", "-w", provider, "-N", "", "-f", key)
        allow(user, key.with_suffix(".pub").read_text(encoding="ascii"))
        return key

    return make


def allow(user: User, line: str) -> None:
    path = user.home / ".ssh" / "authorized_keys"
    before = path.read_text(encoding="ascii") if path.exists() else ""
    user.give(path, before + line)


@pytest.fixture
def log_in(
    pam_services: PamServices,
    start_sshd: Callable[..., SshServer],
    ssh: Converse,
    provider: Path,
) -> Callable[[str], Converse]:
    """`log_in(settings)`: to an sshd that asks for a code after a key, and has these settings."""
    pam_services.replace_password("sshd", shipped_lines("key-then-code"))
    options = [f"-oSecurityKeyProvider={provider}"]

    def to(settings: str = "") -> Converse:
        server = start_sshd(settings + shipped_settings("key-then-code"))
        return partial(ssh, server=server, options=options)

    return to


def test_rule_about_security_keys_spares_them_the_code_and_no_other_key(
    user: User,
    enrolled: Callable[..., Credential],
    security_key: Callable[[User], Path],
    log_in: Callable[[], Converse],
    syslog: SystemLog,
) -> None:
    credential, plain, to_it = enrolled(user), user.new_ssh_key(), log_in()
    key = security_key(user)
    before = to_it(user, [(CODE, credential.fresh_code())], key=key)
    assert (before.status, before.prompts) == (0, asked(user, CODE))
    with configured(NO_CODE):
        syslog.clear()
        login = to_it(user, key=key)
        assert (login.status, login.prompts) == (0, []), login.transcript
        assert [(each["verdict"], each["reason"]) for each in syslog.decisions()] == [
            ("skip", "exempt")
        ]
        with_code = to_it(user, [(CODE, credential.fresh_code())], key=plain)
        assert (with_code.status, with_code.prompts) == (0, asked(user, CODE))
        wrong = [(CODE, credential.incorrect_code(number)) for number in range(3)]
        assert to_it(user, wrong, key=plain).status == 255


def test_certificate_for_a_security_key_is_one(
    user: User,
    enrolled: Callable[..., Credential],
    security_key: Callable[[User], Path],
    log_in: Callable[[], Converse],
    tmp_path: Path,
) -> None:
    enrolled(user)
    key, authority, to_it = security_key(user), tmp_path / "authority", log_in()
    keygen("-t", "ed25519", "-N", "", "-f", authority)
    keygen("-s", authority, "-I", "x", "-n", user.name, key.with_suffix(".pub"))
    public = authority.with_suffix(".pub").read_text(encoding="ascii")
    user.give(user.home / ".ssh" / "authorized_keys", f"cert-authority {public}")
    with configured(NO_CODE):
        login = to_it(user, key=key)
        assert (login.status, login.prompts) == (0, []), login.transcript


def test_sshd_that_requires_it_refuses_a_security_key_without_its_pin(
    user: User,
    enrolled: Callable[..., Credential],
    security_key: Callable[[User], Path],
    log_in: Callable[[str], Converse],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A stolen key is one factor. This is what `pam-totp doctor` asks for beside such a rule."""
    enrolled(user)
    key, to_it = security_key(user), log_in(VERIFIED)
    with configured(NO_CODE):
        assert to_it(user, key=key).status == 255
        monkeypatch.setenv("SECURITY_KEY_PIN", "1")
        login = to_it(user, key=key)
        assert (login.status, login.prompts) == (0, []), login.transcript


def test_sshd_that_requires_it_refuses_a_security_key_that_nobody_touched(
    user: User,
    enrolled: Callable[..., Credential],
    security_key: Callable[[User], Path],
    log_in: Callable[[str], Converse],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The user's own file may spare a key the touch, unless sshd itself requires it."""
    enrolled(user)
    key = security_key(user)
    public = key.with_suffix(".pub").read_text(encoding="ascii")
    user.give(user.home / ".ssh" / "authorized_keys", f"no-touch-required {public}")
    monkeypatch.setenv("SECURITY_KEY_PIN", "1")
    monkeypatch.setenv("SECURITY_KEY_UNTOUCHED", "1")
    with configured(NO_CODE):
        assert log_in(VERIFIED)(user, key=key).status == 0
        to_it = log_in(TOUCHED_TOO)
        assert to_it(user, key=key).status == 255
        monkeypatch.delenv("SECURITY_KEY_UNTOUCHED")
        assert to_it(user, key=key).status == 0


def test_explain_tells_a_security_key_from_another(user: User) -> None:
    with configured(NO_CODE + "- {code: required}\n"):
        for option, said in (("--sk", "no code is asked for"), ("--publickey", "refused")):
            found = pam_totp("explain", user.name, "--from", "192.0.2.1", option)
            assert said in found.output.splitlines()[0], found.output
    wrong = pam_totp("explain", user.name, "--service", "su", "--sk")
    assert (wrong.code, wrong.errors.splitlines()[1]) == (2, "hint: leave out --sk")
