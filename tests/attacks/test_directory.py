# SPDX-License-Identifier: MIT
"""Rule 12, duo_unix 2026: a directory that errs, hangs, or answers to other spellings never skips
the code."""

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.commands.commands import configured, gate, pam_totp, verify
from tests.host.accounts import User, add_user, remove_user
from tests.host.credentials import Credential, enroll
from tests.host.programs import ACCEPTED, ASK, GATE, LOGIN, NO_CODE_NEEDED
from tests.host.system_log import SystemLog
from tests.sending.application import login
from tests.sending.outbox import NUMBER, forget_limits, gateway, give_contact, sending
from tests.stack import libpam
from tests.trial.change_host import wait_until

SOURCE = Path(__file__).with_name("directory.c")
LIBRARIES = Path("/usr/lib")
SWITCH = Path("/etc/nsswitch.conf")
FOLDER = Path("/run/directory")
MEMBERS_ALONE = "rules:\n- {group: colleagues, code: required}\n- {code: never}\n"
MEMBERS_EXEMPT = "rules:\n- {group: colleagues, code: never}\n- {code: required}\n"
PATTERN_ALONE = "rules:\n- {group: 'colleag*', code: required}\n- {code: never}\n"
PATTERN_EXEMPT = "rules:\n- {group: 'colleag*', code: never}\n- {code: required}\n"
POLICIES = (MEMBERS_ALONE, MEMBERS_EXEMPT, PATTERN_ALONE, PATTERN_EXEMPT)
MAX_SECONDS = 15


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("directory") / "libnss_directory.so.2"
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
    subprocess.run(["gcc", *flags, "-o", str(built), str(SOURCE)], check=True)
    return built


@pytest.fixture
def directory(library: Path) -> Iterator[Callable[..., None]]:
    """`directory(state="errs", member=user)`: the C library asks it for groups, after the files."""
    with asked_by_the_c_library(library) as answer:
        yield answer


@contextlib.contextmanager
def asked_by_the_c_library(library: Path) -> Iterator[Callable[..., None]]:
    before = SWITCH.read_text(encoding="ascii")
    multiarch = subprocess.run(
        ["dpkg-architecture", "-qDEB_HOST_MULTIARCH"], capture_output=True, text=True, check=True
    ).stdout.strip()
    installed = LIBRARIES / multiarch / library.name
    installed.write_bytes(library.read_bytes())
    lines = [line for line in before.splitlines() if not line.startswith(("group:", "passwd:"))]
    lines += ["group: files directory", "passwd: files directory", ""]
    SWITCH.write_text("\n".join(lines), encoding="ascii")
    FOLDER.mkdir()

    def answer(
        state: str = "works", member: User | None = None, alias: tuple[str, User] | None = None
    ) -> None:
        if alias:
            name, user = alias
            line = f"{name} {user.uid} {user.gid} {user.home}"
            (FOLDER / "alias").write_text(line, encoding="ascii")
        (FOLDER / "state").write_text(state, encoding="ascii")
        if member:
            (FOLDER / "member").write_text(member.name, encoding="ascii")

    yield answer
    SWITCH.write_text(before, encoding="ascii")
    installed.unlink()
    shutil.rmtree(FOLDER)


HeldUp = dict[str, tuple["subprocess.Popen[bytes]", Credential]]


@pytest.fixture(scope="module", autouse=True)
def held_up(library: Path) -> Iterator[HeldUp]:
    """A gate of a member that hangs under each policy, from before the first test on: the last one
    sees how they ended."""
    gates: HeldUp = {}
    with asked_by_the_c_library(library) as directory:
        for policy in POLICIES:
            credential = enroll(add_user())
            directory("hangs", member=credential.user)
            variables = LOGIN | {"PAM_USER": credential.user.name}
            with configured(policy):
                asked = subprocess.Popen([GATE], env=variables, stdin=subprocess.DEVNULL)
                gates[policy] = asked, credential
                wait_until(partial(is_asleep, asked))
    yield gates
    for asked, credential in gates.values():
        asked.kill()
        asked.wait()
        remove_user(credential.user)


def is_asleep(process: "subprocess.Popen[bytes]") -> bool:
    """In the directory, which sleeps where it hangs."""
    assert process.poll() is None
    return "nanosleep" in Path(f"/proc/{process.pid}/wchan").read_text()


def test_members_of_a_directory_s_group_are_known(
    user: User, credential: Credential, directory: Callable[..., None]
) -> None:
    directory(member=user)
    with configured(MEMBERS_ALONE):
        assert gate(user).code == ASK
    with configured(MEMBERS_EXEMPT):
        assert gate(user).code == NO_CODE_NEEDED
    with configured(PATTERN_EXEMPT):
        assert gate(user).code == NO_CODE_NEEDED
    with configured(PATTERN_ALONE):
        assert gate(user).code == ASK


def test_user_who_is_no_member_is_known_too(
    user: User, credential: Credential, directory: Callable[..., None]
) -> None:
    directory()
    with configured(MEMBERS_ALONE):
        assert gate(user).code == NO_CODE_NEEDED
    with configured(MEMBERS_EXEMPT):
        assert gate(user).code == ASK


@pytest.mark.parametrize("policy", POLICIES)
def test_directory_that_errs_never_skips_the_code(
    user: User, credential: Credential, directory: Callable[..., None], policy: str
) -> None:
    directory("errs", member=user)
    with configured(policy):
        assert gate(user).code == ASK
        assert verify(user, credential.fresh_code()).code == ACCEPTED


@pytest.mark.parametrize("spelling", ["{}@corp", "CORP\\{}", "Other-{}"])
def test_rule_for_a_user_also_holds_for_other_spellings_that_a_directory_answers_to(
    user: User, directory: Callable[..., None], spelling: str
) -> None:
    alias = spelling.format(user.name)
    directory(alias=(alias, user))
    with configured(f"rules:\n- {{user: {user.name}, code: required}}\n- {{code: never}}\n"):
        assert gate(alias).code == ASK


def test_rule_that_exempts_another_spelling_exempts_nobody(
    user: User, credential: Credential, directory: Callable[..., None]
) -> None:
    directory(alias=(f"Other-{user.name}", user))
    with configured(f"rules:\n- {{user: 'Other-{user.name}', code: never}}\n"):
        assert gate(f"Other-{user.name}").code == ASK


def test_rule_that_asks_another_spelling_is_obeyed(
    user: User, directory: Callable[..., None]
) -> None:
    directory(alias=(f"Other-{user.name}", user))
    rules = f"rules:\n- {{user: 'Other-{user.name}', code: required}}\n- {{code: never}}\n"
    with configured(rules):
        assert gate(f"Other-{user.name}").code == ASK
        assert gate(user).code == NO_CODE_NEEDED


def test_other_spelling_is_asked_for_the_code_of_the_one_secret_in_the_systems_store(
    user: User, credential: Credential, directory: Callable[..., None]
) -> None:
    alias = f"Other-{user.name}"
    directory(alias=(alias, user))
    with configured("store: system\n"):
        moved = pam_totp("migrate", alias)
        assert moved.code == 0, moved.errors
        assert gate(alias).code == ASK
        assert verify(alias, credential.fresh_code()).code == ACCEPTED
        assert pam_totp("reset", "--yes", alias).code == 0


def test_config_check_names_the_name_that_a_spelling_stands_for(
    user: User, directory: Callable[..., None]
) -> None:
    directory(alias=(f"Other-{user.name}", user))
    with configured(f"rules:\n- {{user: 'Other-{user.name}', code: never}}\n"):
        errors = pam_totp("config", "check").errors
    assert f"Other-{user.name} is another name of user {user.name}" in errors


def test_domain_before_a_name_is_logged_as_it_is(
    user: User, directory: Callable[..., None], syslog: SystemLog
) -> None:
    alias = f"CORP\\{user.name}"
    directory(alias=(alias, user))
    assert gate(alias).code == NO_CODE_NEEDED
    assert f'user="CORP\\{user.name}" ' in syslog.lines(ident="pam-totp")[-1].message


def test_program_that_a_directory_held_up_is_named_in_the_log(
    user: User, credential: Credential, directory: Callable[..., None], syslog: SystemLog
) -> None:
    """It was ended by a signal, so the module says it."""
    services = libpam.write_services(FOLDER / "pam", {"console": "auth required pam_totp.so\n"})
    directory("hangs", member=user)
    with configured(MEMBERS_EXEMPT):
        code = credential.fresh_code()
        answer = libpam.authenticate(services, "console", user.name, [code, libpam.HANG_UP])
    assert answer.prompts == ["Verification code: "]  # as users whom the rule does not exempt
    line = syslog.wait_for("does a directory or a disk hang?")
    assert line.severity == "warning"
    assert "/usr/libexec/pam-totp/gate took too long" in line.message


def test_what_sends_a_code_is_ended_where_a_directory_holds_it_up(
    user: User, directory: Callable[..., None]
) -> None:
    """It asks for the groups of the account that sends. The login has gone on."""
    forget_limits()
    give_contact(user, ("sms", NUMBER))
    with gateway("exit 0"):
        directory("hangs")
        with login(user, SSH_AUTH_INFO_0="publickey ssh-ed25519 AAAA") as application:
            assert application.seconds < MAX_SECONDS
            wait_until(sending)
            wait_until(lambda: not sending(), 45)  # of the 60 that the directory takes


@pytest.mark.parametrize("policy", POLICIES)
def test_directory_that_hangs_is_not_waited_for_and_never_skips_the_code(
    held_up: HeldUp, directory: Callable[..., None], policy: str
) -> None:
    asked, credential = held_up[policy]
    assert asked.wait(timeout=MAX_SECONDS) == -signal.SIGALRM, "the gate ended by itself"
    directory("works", member=credential.user)
    with configured(policy):
        assert verify(credential.user, credential.fresh_code()).code == ACCEPTED
