# SPDX-License-Identifier: MIT
"""What enable writes where another module asks for codes, and what every login comes to by it."""

import itertools
from pathlib import Path

import pytest

from pam_totp.errors import Error
from pam_totp.setup import plan_pam
from pam_totp.setup.beside import BESIDE, INSTEAD, Choice
from pam_totp.setup.block import take_out
from pam_totp.setup.host import PamHost
from pam_totp.setup.proof import KEY_ONLY, KEY_OR_PASSWORD, PASSWORD_ONLY, prove
from pam_totp.stack import dispatch
from pam_totp.stack.dispatch import Outcome
from pam_totp.stack.libpam import AUTH_ERR, IGNORE, SUCCESS, USER_UNKNOWN
from pam_totp.stack.lines import Line
from pam_totp.stack.other_codes import asked_twice, asking_instead, program_of
from pam_totp.stack.service import Service
from tests.host.pam_services import shipped_lines
from tests.setup.test_plan_pam import FILES, INCLUDE, REST
from tests.stack.written import SINCE_1_6, read, write

PAIR_LINE, CODE_LINE = shipped_lines("with-google-authenticator")[0], "auth required pam_totp.so"
GOOGLE = "auth required pam_google_authenticator.so"
OATH = "auth {} pam_oath.so usersfile=/etc/users.oath window=3"
LAYOUTS = {
    "behind the password": f"# x\n{INCLUDE}# theirs\n{GOOGLE} nullok\n{REST}",
    "without nullok": f"{INCLUDE}{GOOGLE}\n{REST}",
    "at the end": f"{INCLUDE}{REST}{GOOGLE} nullok\nauth required pam_permit.so\n",
    "before the password": f"{GOOGLE} nullok\n{INCLUDE}{REST}",
    "alone, behind a key": f"# {INCLUDE}{REST}{GOOGLE} nullok\nauth required pam_permit.so",
    "of pam_oath": f"{INCLUDE}{OATH.format('required')}\n{REST}",
    "for some": f"{INCLUDE}{OATH.format('[success=ok user_unknown=ignore default=die]')}\n{REST}",
    "twice": f"{INCLUDE}{GOOGLE} nullok\n{GOOGLE} nullok secret=/etc/keys/${{USER}}\n{REST}",
    "behind lines of its own": "auth required pam_unix.so\nauth optional pam_group.so\n"
    f"auth requisite pam_google_authenticator.so\n{REST}",
}
OF_SSHD = (PASSWORD_ONLY, KEY_OR_PASSWORD, KEY_ONLY)
Planned = tuple[Service, Service, PamHost]


def planned(root: Path, text: str, told: Choice, first_factor: str = PASSWORD_ONLY) -> Planned:
    """The service before and after, and the host."""
    write(root, FILES | {"sshd": text})
    host = PamHost(SINCE_1_6, str(root))
    plan_pam.plan(host, ["sshd"], first_factor, told)
    return host.before("sshd"), host.after("sshd"), host


def chosen(how: str, text: str) -> Choice:
    return Choice(how, "oath" if "pam_oath" in text else "google-authenticator")


def lines_of(host: PamHost) -> list[str]:
    """Of the file as it would be, without the comments."""
    text = (host.would_be["/etc/pam.d/sshd"] or b"").decode()
    return [line for line in text.splitlines() if line[:1] not in ("#", "")]


def outcome(service: Service, password: int, key: int, ours: int, theirs: int) -> Outcome:
    def result(line: Line) -> int:
        if program_of(line):
            return theirs
        if "publickey_passed" in line.arguments:
            return key
        given = {"pam_unix.so": password, "pam_totp.so": ours, "pam_deny.so": AUTH_ERR}
        return given.get(line.module_name, SUCCESS)

    return dispatch.authenticate(service.stacks["auth"], result, SINCE_1_6)


def asked(service: Service, done: Outcome) -> set[str]:
    """Which modules asked for a code: `ours`, `theirs`."""
    lines = [service.stacks["auth"][at] for at in done.reached]
    found = {"theirs" for line in lines if program_of(line)}
    return found | {
        "ours"
        for line in lines
        if line.module_name == "pam_totp.so" and "publickey_passed" not in line.arguments
    }


UNIX, SKIPPING = "auth required pam_unix.so", "auth [success={} default=ignore] pam_access.so"
DEPENDING = {
    f"{GOOGLE} forward_pass\n{UNIX} use_first_pass\n{REST}": "line 1 takes the password, too",
    f"{UNIX}\n{GOOGLE} forward_pass nullok\n{REST}": "line 2 takes the password, too",
    f"{OATH.format('required')}\n{UNIX} use_first_pass\n{REST}": "line 2 asks for no password its",
    f"{SKIPPING.format(1)}\n{GOOGLE} nullok\n{UNIX}\n{REST}": "line 1 jumps over a line",
    f"{SKIPPING.format(2)}\nauth substack common-auth\n{GOOGLE}\n{REST}": "line 1 jumps over a ",
    f"{UNIX}\n{SKIPPING.format(2)}\n{UNIX}\n{GOOGLE}\n{UNIX}\n": "line 2 jumps over a line",
}


@pytest.mark.parametrize("how", [BESIDE, INSTEAD])
@pytest.mark.parametrize("text", DEPENDING)
def test_line_that_others_depend_on_is_neither_moved_nor_taken_out(
    tmp_path: Path, text: str, how: str
) -> None:
    """Else nobody's password is asked for, or a jump lands behind the line that lets keys pass."""
    for first_factor in OF_SSHD:
        with pytest.raises(Error, match=DEPENDING[text]):
            planned(tmp_path, text, chosen(how, text), first_factor)


def test_jump_that_ends_before_the_line_is_no_fault(tmp_path: Path) -> None:
    text = f"{SKIPPING.format(1)}\nauth required pam_warn.so\n{UNIX}\n{GOOGLE} nullok\n{REST}"
    assert planned(tmp_path, text, chosen(INSTEAD, text))
    after_first = f"{UNIX}\nauth required pam_sss.so use_first_pass\n{GOOGLE} nullok\n{REST}"
    assert planned(tmp_path, after_first, chosen(BESIDE, after_first))


@pytest.mark.parametrize("how", [BESIDE, INSTEAD])
@pytest.mark.parametrize("first_factor", OF_SSHD)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_login_is_asked_once_and_by_the_right_module(
    tmp_path: Path, layout: str, first_factor: str, how: str
) -> None:
    text = LAYOUTS[layout]
    if layout.startswith("alone") and first_factor != KEY_ONLY:
        with pytest.raises(Error, match="before a first factor was proved"):
            planned(tmp_path, text, chosen(how, text), first_factor)
        return
    before, after, host = planned(tmp_path, text, chosen(how, text), first_factor)
    for password, key, ours, theirs in itertools.product(
        (SUCCESS, AUTH_ERR),
        (SUCCESS, AUTH_ERR),
        (SUCCESS, IGNORE, AUTH_ERR),
        (SUCCESS, IGNORE, AUTH_ERR, USER_UNKNOWN),
    ):
        case = (password, key, ours, theirs)
        done = outcome(after, *case)
        is_right = (password == SUCCESS and first_factor != KEY_ONLY) or (
            key == SUCCESS and first_factor != PASSWORD_ONLY
        )
        if not is_right:
            assert (done.value == SUCCESS, asked(after, done)) == (False, set()), case
            continue
        is_theirs = how == BESIDE and ours == IGNORE
        assert asked(after, done) == {"ours", *(["theirs"] if is_theirs else [])}, case
        was = outcome(before, SUCCESS, AUTH_ERR, AUTH_ERR, theirs if is_theirs else SUCCESS)
        assert (done.value == SUCCESS) == (ours != AUTH_ERR and was.value == SUCCESS), case
    assert PAIR_LINE.replace("=1", "=2" if layout == "twice" else "=1") in lines_of(host) or (
        how == INSTEAD and CODE_LINE in lines_of(host)
    )


@pytest.mark.parametrize("first_factor", OF_SSHD)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_taken_out_to_the_byte_and_the_second_time_there_is_nothing_to_do(
    tmp_path: Path, layout: str, first_factor: str
) -> None:
    text = LAYOUTS[layout]
    if layout.startswith("alone") and first_factor != KEY_ONLY:
        return
    write(tmp_path, FILES | {"sshd": text})
    for how in (BESIDE, INSTEAD, BESIDE):  # also from one to the other
        for told in (chosen(how, text), Choice()):  # what was chosen is kept
            host = PamHost(SINCE_1_6, str(tmp_path))
            plan_pam.plan(host, ["sshd"], first_factor, told)
            assert bool(host.changes()) == bool(told)
            for change in host.changes():
                assert change.after is not None and take_out(change.after) == text.encode()
                (tmp_path / change.path[1:]).write_bytes(change.after)


def test_line_of_theirs_in_what_others_include_is_left_alone(tmp_path: Path) -> None:
    common = f"{FILES['common-auth']}{GOOGLE} nullok\n"
    write(tmp_path, FILES | {"common-auth": common})
    host = PamHost(SINCE_1_6, str(tmp_path))
    with pytest.raises(Error, match=r"common-auth, line 5, which other services may include"):
        plan_pam.plan(host, ["sshd"], PASSWORD_ONLY, Choice(BESIDE, "google-authenticator"))
    assert host.changes() == ()


def test_service_that_includes_one_of_both_is_not_asked_for_two_codes(tmp_path: Path) -> None:
    greeter = f"auth include login\n{GOOGLE} nullok\naccount include login\n"
    write(tmp_path, FILES | {"greetd": greeter})
    host = PamHost(SINCE_1_6, str(tmp_path))
    with pytest.raises(Error, match=r"greetd includes .* users would be asked for two codes"):
        plan_pam.plan(host, ["login"])


@pytest.mark.parametrize(
    ("lines", "twice", "instead"),
    [
        ([CODE_LINE, f"{GOOGLE} nullok"], ["google"], []),
        ([f"{GOOGLE} nullok", CODE_LINE], ["ours"], []),
        (["auth sufficient pam_totp.so", f"{GOOGLE} nullok"], ["google"], []),
        ([PAIR_LINE.replace("=1", "=ok"), GOOGLE], ["google"], []),
        ([PAIR_LINE, GOOGLE], [], ["google"]),
        ([PAIR_LINE, GOOGLE, OATH.format("required")], ["oath"], ["google"]),
        ([PAIR_LINE.replace("=1", "=2"), GOOGLE, OATH.format("optional")], [], ["google", "oath"]),
        ([CODE_LINE], [], []),
        ([GOOGLE], [], []),
    ],
)
def test_model_tells_who_is_asked_twice_and_who_by_theirs_alone(
    tmp_path: Path, lines: list[str], twice: list[str], instead: list[str]
) -> None:
    auth = read(tmp_path, "\n".join(["auth requisite pam_unix.so", *lines, ""])).stacks["auth"]
    for found, wanted in ((asked_twice(auth), twice), (asking_instead(auth), instead)):
        assert [program_of(each).partition("-")[0] or "ours" for each in found] == wanted


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (CODE_LINE, "users would be asked for two codes"),
        # What ours does not ask for, nobody would.
        (
            PAIR_LINE.replace("ignore=ignore", "ignore=1"),
            "with no code needed, users who are refused today could log in",
        ),
        (
            PAIR_LINE.replace("ignore=ignore ", ""),
            "with no code needed, users who can log in today would be refused",
        ),
        (PAIR_LINE.replace("default=die", "default=ignore"), "password would be enough, without"),
    ],
)
def test_another_control_is_a_fault_of_the_proof(tmp_path: Path, line: str, what: str) -> None:
    files = {"common-auth": FILES["common-auth"]}
    before = read(tmp_path, files | {"x": f"{INCLUDE}{GOOGLE} nullok\n"})
    after = read(tmp_path, files | {"x": f"{INCLUDE}{line}\n{GOOGLE} nullok\n"})
    assert any(what in each.what for each in prove(before, after, SINCE_1_6))


def test_pair_that_was_put_there_by_hand_stays_and_is_not_taken_apart(tmp_path: Path) -> None:
    text = f"{INCLUDE}{PAIR_LINE}\n{GOOGLE} nullok\n{REST}"
    program = "google-authenticator"
    for told in (Choice(), Choice(BESIDE, program)):
        _, _, host = planned(tmp_path, text, told)
        assert host.changes() == ()
    with pytest.raises(Error, match=r"added by hand \(/etc/pam.d/sshd, line 2\)") as failure:
        planned(tmp_path, text, Choice(INSTEAD, program))
    assert failure.value.hint == "remove that line, and run the command again"
