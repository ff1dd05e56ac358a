# SPDX-License-Identifier: MIT
"""`pam-totp enable --also`, with real su and libpam: with stand-ins for the two modules, which
return what a test wants, and with the real ones, on a machine without a key and a reader."""

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pexpect
import pytest

from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import SERVICES, forget_what_asked
from tests.host.programs import CONFIGURATION, STATE
from tests.host.ssh_server import SSHD, SshServer, accepts
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation, converse
from tests.stack import libpam

PASSWORD, CODE = "Password: ", "Verification code: "
ALL = ("--yes", "--force")
BOTH = ("--also", "u2f", "--also", "fingerprint")
STAND_IN = Path("/run/stand-in")
MODULES = {"u2f": "pam_u2f.so", "fingerprint": "pam_fprintd.so"}
REASONS = {"u2f": "security-key", "fingerprint": "fingerprint"}
SUCCESS, AUTH_ERR, NONE, MAXTRIES = 0, 7, 9, 11  # NONE: no key, no reader, over ssh


@pytest.fixture(autouse=True)
def untouched() -> Iterator[dict[str, bytes]]:
    """Every service as it was; all is put back after the test."""
    before = contents()
    yield before
    for name, content in before.items():
        (SERVICES / name).write_bytes(content)
    forget_what_asked()


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in SERVICES.iterdir() if path.is_file()}


def module(kind: str) -> Path:
    (found,) = Path("/usr/lib").glob(f"*/security/{MODULES[kind]}")
    return found


@pytest.fixture
def found() -> Iterator[Callable[..., None]]:
    """`found(u2f=0, fingerprint=7)`: what the stand-ins return from now on, instead of "none"."""
    STAND_IN.mkdir(mode=0o755)
    real = {kind: module(kind) for kind in MODULES}
    source = str(Path(__file__).resolve().parents[1] / "host" / "stand_in.c")
    for kind, path in real.items():
        path.rename(path.with_suffix(".aside"))
        command = ["gcc", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f'-DNAME="{kind}"']
        subprocess.run([*command, "-o", str(path), source], check=True)

    def say(**codes: int) -> None:
        for kind in MODULES:
            (STAND_IN / kind).unlink(missing_ok=True)
        for kind, code in codes.items():
            (STAND_IN / kind).write_text(str(code), encoding="ascii")

    yield say
    for path in real.values():
        path.with_suffix(".aside").rename(path)
    shutil.rmtree(STAND_IN)


@pytest.fixture
def alice(make_user: Callable[..., User]) -> User:
    """Who calls su, to become `user`."""
    return make_user()


def su(alice: User, user: User, *answers: str, password: str = "") -> Conversation:
    dialogue = [(PASSWORD, password or user.password), *((CODE, each) for each in answers)]
    return converse(["su", user.name, "-c", "id -un"], dialogue, user=alice)


def reasons(log: SystemLog) -> list[tuple[str, str]]:
    return [(each["verdict"], each["reason"]) for each in log.decisions()]


def test_su_accepts_the_password_with_a_key_or_a_finger_or_a_code_and_nothing_else(
    user: User,
    alice: User,
    credential: Credential,
    found: Callable[..., None],
    syslog: SystemLog,
) -> None:
    assert pam_totp("enable", "su", *BOTH, *ALL).code == 0
    for u2f, finger in itertools.product((SUCCESS, AUTH_ERR, NONE), (SUCCESS, MAXTRIES, NONE)):
        found(u2f=u2f, fingerprint=finger)
        kind = next((k for k, v in (("u2f", u2f), ("fingerprint", finger)) if v == SUCCESS), "")
        syslog.clear()
        if kind:
            became = su(alice, user)
            assert (became.status, became.prompts) == (0, [PASSWORD]), became.transcript
            assert reasons(syslog) == [("accept", REASONS[kind])]
            refused = su(alice, user, password="wrong")
            assert (refused.status, refused.prompts) == (1, [PASSWORD])
            assert reasons(syslog) == [("accept", REASONS[kind])]
            continue
        became = su(alice, user, credential.fresh_code())
        assert (became.status, became.prompts) == (0, [PASSWORD, CODE]), became.transcript
        assert reasons(syslog) == [("accept", "totp")]
        wrong = [credential.incorrect_code(number) for number in range(3)]
        refused = su(alice, user, *wrong)
        assert (refused.status, refused.prompts) == (1, [PASSWORD, CODE, CODE, CODE])
        assert reasons(syslog)[1:] == [("refuse", "wrong-code")] * 3
        assert pam_totp("unlock", user.name).code == 0


@pytest.mark.parametrize("kind", MODULES)
def test_only_success_of_a_module_stands_for_the_code(
    user: User, credential: Credential, found: Callable[..., None], kind: str
) -> None:
    """Rules 2 and 14: each of the 32 codes, in the real stack of the host. 31 means "call me
    again": libpam hands it to the application, which has nobody to call."""
    assert pam_totp("enable", "sudo", *BOTH, *ALL).code == 0
    for code in range(32):
        for others in (AUTH_ERR, NONE):
            found(**dict.fromkeys(MODULES, others) | {kind: code})
            asked = [] if code in (SUCCESS, 31) else [CODE]
            done = libpam.authenticate(SERVICES, "sudo", user.name, [user.password])
            assert (done.authenticate == SUCCESS) == (code == SUCCESS), code
            assert done.prompts[1:] == asked, code
            wrong = libpam.authenticate(SERVICES, "sudo", user.name, ["wrong"])
            assert (wrong.authenticate == SUCCESS, len(wrong.prompts)) == (False, 1), code
    found()
    right = [user.password, credential.fresh_code()]
    done = libpam.authenticate(SERVICES, "sudo", user.name, right)
    assert (done.authenticate, done.setcred) == (SUCCESS, SUCCESS)


def test_modules_themselves_find_no_key_and_no_reader_and_the_code_is_asked_for(
    user: User, alice: User, credential: Credential, syslog: SystemLog
) -> None:
    """Not tried: a device. The user has a file of keys, too, as pamu2fcfg writes it."""
    assert pam_totp("enable", "su", *BOTH, *ALL).code == 0
    line = f"{user.name}:{'A' * 88},{'B' * 88},es256,+presence\n"
    for has_file in (False, True):
        if has_file:
            user.give(user.home / ".config" / "Yubico" / "u2f_keys", line)
        syslog.clear()
        became = su(alice, user, credential.fresh_code())
        assert (became.status, became.prompts) == (0, [PASSWORD, CODE]), became.transcript
        assert reasons(syslog) == [("accept", "totp")]
        refused = su(alice, user, *(credential.incorrect_code(number) for number in range(3)))
        assert refused.status == 1
        assert pam_totp("unlock", user.name).code == 0


def test_environment_names_no_other_file_of_keys(user: User, tmp_path: Path) -> None:
    """Rule 6: where its line names none, pam_u2f looks below XDG_CONFIG_HOME."""
    assert pam_totp("enable", "sudo", "--also", "u2f", *ALL).code == 0
    line, log = (SERVICES / "sudo").read_text(encoding="utf-8"), tmp_path / "log"
    debugged = line.replace("userpresence=1", f"userpresence=1 debug debug_file={log}")
    for text, folder in (
        (debugged, user.home / ".config"),
        (debugged.replace("authfile=.config/Yubico/u2f_keys ", ""), Path("/nowhere")),
    ):
        (SERVICES / "sudo").write_text(text, encoding="utf-8")
        log.write_text("", encoding="utf-8")
        given, through = [user.password], ["env", "XDG_CONFIG_HOME=/nowhere"]
        libpam.authenticate_apart(SERVICES, "sudo", user.name, given, through=through)
        opened = [
            each for each in log.read_text().splitlines() if "sing authentication file" in each
        ]
        assert opened and all(f" {folder}/" in each for each in opened), opened


def test_module_that_is_removed_meanwhile_is_passed_over(
    user: User, alice: User, credential: Credential
) -> None:
    assert pam_totp("enable", "su", *BOTH, *ALL).code == 0
    aside = [path.rename(path.with_suffix(".aside")) for path in map(module, MODULES)]
    try:
        became = su(alice, user, credential.fresh_code())
        again = pam_totp("enable", "su", *ALL)
        assert (
            pam_totp("enable", "su", "--no-also", "u2f", "--no-also", "fingerprint", *ALL).code == 0
        )
    finally:
        for path in aside:
            path.rename(path.with_suffix(".so"))
    assert (became.status, became.prompts) == (0, [PASSWORD, CODE])
    assert again.code == 1 and "pam_u2f.so is not installed" in again.errors
    assert again.errors.splitlines()[1] == "hint: apt-get install libpam-u2f"


def test_users_without_a_secret_and_those_who_have_to_wait_get_in_with_a_key(
    user: User, make_user: Callable[..., User], alice: User, found: Callable[..., None],
    credential: Credential, syslog: SystemLog,
) -> None:  # fmt: skip
    """A key cannot be guessed, so it waits for nothing. It is no enrollment, and ends no wait."""
    new = make_user()
    assert pam_totp("enable", "su", *BOTH, *ALL).code == 0
    with configured("enrollment: required\n"):
        found(u2f=SUCCESS)
        assert su(alice, new).status == 0
        assert not (STATE / "enforced" / str(new.uid)).exists()
        found()
        syslog.clear()
        assert su(alice, new, "123456", "234567", "345678").status == 1
        assert {reason for _, reason in reasons(syslog)} == {"not-enrolled"}
    found()
    wrong = [credential.incorrect_code(number) for number in range(6)]
    assert su(alice, user, *wrong[:3]).status == su(alice, user, *wrong[3:]).status == 1
    syslog.clear()
    assert su(alice, user, *[credential.fresh_code()] * 3).status == 1
    assert ("refuse", "throttled") in reasons(syslog)
    found(u2f=SUCCESS)
    assert su(alice, user).status == 0
    found()
    syslog.clear()
    assert su(alice, user, *[credential.fresh_code()] * 3).status == 1
    assert ("refuse", "throttled") in reasons(syslog)


def test_a_user_who_has_not_enrolled_needs_the_key_only_if_the_settings_require_a_code(
    user: User, alice: User, found: Callable[..., None]
) -> None:
    """The command says so: otherwise a key that is not there would lock people out over ssh."""
    done = pam_totp("enable", "su", *BOTH, *ALL)
    assert "A key or a finger is no enrollment: users who have not enrolled need no" in done.output
    found()
    became = su(alice, user)
    assert (became.status, became.prompts) == (0, [PASSWORD])


def test_keys_follow_the_store(untouched: Mapping[str, bytes]) -> None:
    with configured("store: system\n"):
        assert pam_totp("enable", "su", "--also", "u2f", *ALL).code == 0
        text = (SERVICES / "su").read_text(encoding="utf-8")
        assert "pam_u2f.so authfile=/etc/u2f_mappings cue userpresence=1\n" in text
    again = pam_totp("enable", "su", *ALL)
    assert again.code == 0 and "still apply: --also u2f." in again.output
    text = (SERVICES / "su").read_text(encoding="utf-8")
    assert "pam_u2f.so authfile=.config/Yubico/u2f_keys cue userpresence=1\n" in text
    assert pam_totp("disable", "su", "--yes").code == 0
    assert contents() == untouched


def test_trial_takes_it_back_with_the_rest(
    untouched: Mapping[str, bytes], user: User, alice: User, found: Callable[..., None]
) -> None:
    words = ["enable", "su", *BOTH, *ALL, "--trial", "5m"]
    for answer in ("\x03", "n\r"):
        child = pexpect.spawn("/usr/bin/pam-totp", words, encoding="utf-8", timeout=60)
        child.expect("Attempts, from")
        found(fingerprint=SUCCESS)
        assert su(alice, user).status == 0
        child.send(answer)
        child.expect(pexpect.EOF)
        child.close()
        assert child.exitstatus != 0 and contents() == untouched


def test_disable_takes_out_exactly_what_was_put_in(untouched: Mapping[str, bytes]) -> None:
    for kinds in (("--also", "u2f"), BOTH):
        assert pam_totp("enable", "login", "su", "sudo", *kinds, *ALL).code == 0
        assert contents() != untouched
        assert pam_totp("disable", "login", "su", "sudo", "--yes").code == 0
        assert contents() == untouched


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (("su", "--also", "retina"), "'retina'", "pam-totp enable --help"),
        (("su", "--also"), "--also", "pam-totp enable --help"),
        (("su", "--also", "u2f", "--no-also", "u2f"), "u2f cannot be given to both --also and",
         "pam-totp enable su --also u2f"),
        (("sshd", "--also", "fingerprint", "--no-trial"), "people log in to sshd from elsewhere",
         "write a rule with `publickey: sk` for security keys over ssh (man pam-totp.yaml)"),
        (("sshd", "login", "--also", "u2f", "--no-trial"), "people log in to sshd from elsewhere",
         "write a rule with `publickey: sk` for security keys over ssh (man pam-totp.yaml)"),
        (("i3lock", "--also", "u2f"), "i3lock shows no question", "pam-totp enable i3lock"),
        (("su", "--also", "u2f", "--replace", "oath"), "no line asks for codes of oath",
         "pam-totp enable su"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_an_error_and_changes_nothing(
    untouched: Mapping[str, bytes], arguments: tuple[str, ...], error: str, hint: str
) -> None:
    done = pam_totp("enable", *arguments, *ALL)
    assert (done.code, contents()) == (2, untouched)
    lines = done.errors.splitlines()
    assert error in lines[0] and lines[1].startswith(f"hint: {hint}"), done.errors


def test_service_of_an_sshd_that_runs_is_one_of_people_who_are_elsewhere(
    untouched: Mapping[str, bytes], start_sshd: Callable[..., SshServer], tmp_path: Path
) -> None:
    """Whatever it is called: they would be let in by the key that is touched here."""
    program, service, including = tmp_path / "bastion", SERVICES / "bastion", SERVICES / "bastion-2"
    program.symlink_to(SSHD)
    service.write_text("@include common-auth\n")
    setting = "PAMServiceName bastion\n"  # from OpenSSH 9.8 on; before, the program's name counts
    try:
        start_sshd(setting if accepts(setting.strip()) else "", program=str(program))
        done = pam_totp("enable", "bastion", "--also", "u2f", *ALL)
        assert (done.code, service.read_text()) == (2, "@include common-auth\n")
        assert "people log in to bastion from elsewhere" in done.errors
        service.write_text("@include bastion-2\n")
        including.write_text("@include common-auth\n")
        done = pam_totp("enable", "bastion-2", "--also", "u2f", *ALL)
        assert done.code == 1 and "bastion, at which people log in from elsewhere" in done.errors
    finally:
        service.unlink()
        including.unlink(missing_ok=True)
    assert contents() == untouched


def test_administrators_own_line_is_neither_changed_nor_doubled(
    untouched: Mapping[str, bytes],
) -> None:
    text = (SERVICES / "su").read_text(encoding="utf-8")
    own = text.replace("@include common-auth", "@include common-auth\nauth required pam_u2f.so cue")
    (SERVICES / "su").write_text(own, encoding="utf-8")
    done = pam_totp("enable", "su", "--also", "u2f", *ALL)
    assert (
        done.code == 1 and "su has a line of pam_u2f.so already (/etc/pam.d/su, line" in done.errors
    )
    assert (SERVICES / "su").read_text(encoding="utf-8") == own
    # Theirs asks for a key as well, and ours for the code.
    assert pam_totp("enable", "su", *ALL).code == 0
    assert not CONFIGURATION.exists() and os.path.exists("/etc/pam.d/su")


@pytest.fixture
def finger_profile(tmp_path: Path) -> Iterator[None]:
    """pam-auth-update's, in place of the password. `untouched` puts its files back."""
    kept = tmp_path / "kept"
    shutil.copytree("/var/lib/pam", kept)
    subprocess.run(["pam-auth-update", "--enable", "fprintd"], check=True)
    yield
    subprocess.run(["pam-auth-update", "--disable", "fprintd"], check=True)
    shutil.rmtree("/var/lib/pam")
    shutil.copytree(kept, "/var/lib/pam")


@pytest.mark.usefixtures("finger_profile")
def test_a_finger_is_never_both_the_password_and_the_code() -> None:
    with_profile = contents()
    done = pam_totp("enable", "su", "--also", "fingerprint", *ALL)
    assert done.code == 1 and "su has a line of pam_fprintd.so already" in done.errors
    assert done.errors.splitlines()[1] == "hint: pam-auth-update --disable fprintd"
    done = pam_totp("enable", "su", "--also", "u2f", *ALL)
    assert done.code == 1 and "fingerprint, then security key would be enough" in done.errors
    assert contents() == with_profile
