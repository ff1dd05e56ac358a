# SPDX-License-Identifier: MIT
"""What enable changes in /etc/pam.d, by the files of a host below a folder."""

import dataclasses
from pathlib import Path

import pytest

from pam_totp.errors import Error
from pam_totp.setup import plan_pam
from pam_totp.setup.block import take_out
from pam_totp.setup.host import PamHost
from pam_totp.setup.kinds import together
from pam_totp.setup.proof import KEY_ONLY, KEY_OR_PASSWORD, PASSWORD_ONLY, is_asking
from tests.stack.written import SINCE_1_6, write

COMMON = """\
auth\t[success=1 default=ignore]\tpam_unix.so nullok
auth\trequisite\t\t\tpam_deny.so
auth\trequired\t\t\tpam_permit.so
auth\toptional\t\t\tpam_cap.so
"""
KEYRING = """\
auth [success=3 default=ignore] pam_unix.so nullok
auth [success=2 default=ignore] pam_sss.so use_first_pass
auth [success=1 default=ignore] pam_ldap.so use_first_pass
auth requisite pam_deny.so
auth required pam_permit.so
auth optional pam_ecryptfs.so unwrap
auth optional pam_gnome_keyring.so
"""
FAILLOCK = """\
auth required pam_faillock.so preauth
auth [success=1 default=ignore] pam_unix.so nullok
auth [default=die] pam_faillock.so authfail
auth {} pam_faillock.so authsucc
auth required pam_permit.so
"""
INCLUDE = "@include common-auth\n"
REST = "@include common-account\n@include common-session\n"
SSHD = f"# PAM for sshd\n\n# Standard\n{INCLUDE}\n# more\naccount required pam_nologin.so\n{REST}"
LOGIN = f"""\
auth optional pam_faildelay.so delay=3000000
auth requisite pam_nologin.so
session required pam_loginuid.so
{INCLUDE}auth optional pam_group.so
{REST}"""
SU = f"auth sufficient pam_rootok.so\n# auth required pam_wheel.so\n{INCLUDE}{REST}"
FILES = {
    "common-auth": COMMON,
    "common-account": "account required pam_unix.so\n",
    "common-session": "session required pam_unix.so\n",
    "other": f"{INCLUDE}{REST}",
    "sshd": SSHD,
    "login": LOGIN,
    "su": SU,
    "su-l": "auth include su\naccount include su\n",
    "sudo": INCLUDE + REST,
    "sudo-i": INCLUDE + REST,
    "i3lock": "#\nauth include login\n",
    "slock": f"auth sufficient pam_unix.so\n{REST}",
    "greetd": "auth include login\naccount include login\n",
    "cockpit": f"auth required pam_sepermit.so\nauth substack common-auth\n{REST}",
    "/usr/lib/pam.d/polkit-1": f"{INCLUDE}{REST}",
    "own": "auth required pam_env.so\nauth required pam_unix.so\naccount required pam_unix.so\n",
    "classic": "auth sufficient pam_unix.so\nauth required pam_deny.so\n",
    "tokens": "auth sufficient pam_u2f.so\nauth sufficient pam_fprintd.so\n"
    "auth required pam_unix.so\n",
    "bare": "account required pam_unix.so\n",
    "trusting": f"auth sufficient pam_succeed_if.so user = x\n{INCLUDE}",
    "open-end": "@include common-auth",
    "dos": "auth required pam_unix.so\r\n",
}


def host_of(root: Path, **more: str) -> PamHost:
    write(root, FILES | more)
    return PamHost(SINCE_1_6, str(root))


def planned(root: Path, *names: str, first_factor: str = PASSWORD_ONLY, **more: str) -> PamHost:
    host = host_of(root, **more)
    plan_pam.plan(host, together([*names]), first_factor)
    return host


def added(host: PamHost, name: str) -> list[str]:
    """The lines of a file as it would be that are not comments, and are not in what it was."""
    after = host.would_be[f"/etc/pam.d/{name}"]
    assert after is not None
    before = (host.plain[f"/etc/pam.d/{name}"] or b"").splitlines()
    lines = [line for line in after.splitlines() if line not in before and line[:1] != b"#"]
    return [line.decode() for line in lines]


CODE = "auth required pam_totp.so"
EITHER = ["auth [success=4 default=ignore] pam_totp.so publickey_passed",
          "auth required pam_permit.so", CODE]  # fmt: skip
KEY = ["auth [success=ok default=die] pam_totp.so publickey_passed", CODE]


@pytest.mark.parametrize(
    ("name", "first_factor", "common", "lines"),
    [
        ("sshd", PASSWORD_ONLY, COMMON, [CODE]),
        ("sshd", KEY_OR_PASSWORD, COMMON, EITHER),
        ("sshd", KEY_OR_PASSWORD, KEYRING, [EITHER[0].replace("4", "7"), *EITHER[1:]]),
        ("sshd", KEY_ONLY, COMMON, KEY),
        ("login", PASSWORD_ONLY, KEYRING, [CODE]),
        ("su", PASSWORD_ONLY, FAILLOCK.format("required"), [CODE]),
        ("sudo", PASSWORD_ONLY, COMMON, [CODE]),
        ("cockpit", PASSWORD_ONLY, COMMON, ["auth include common-auth", *EITHER[1:]]),
        ("own", PASSWORD_ONLY, COMMON, ["auth requisite pam_unix.so", *EITHER[1:]]),
        (
            "classic",
            PASSWORD_ONLY,
            COMMON,
            ["auth [success=1 new_authtok_reqd=die default=ignore] pam_unix.so",
             "auth requisite pam_deny.so",
             *EITHER[1:]],
        ),
        (
            "tokens",
            PASSWORD_ONLY,
            COMMON,
            ["auth [success=2 new_authtok_reqd=die default=ignore] pam_u2f.so",
             "auth [success=1 new_authtok_reqd=die default=ignore] pam_fprintd.so",
             "auth requisite pam_unix.so", *EITHER[1:]],
        ),
        ("bare", PASSWORD_ONLY, COMMON, ["auth include other", CODE]),
        ("open-end", PASSWORD_ONLY, COMMON, [CODE]),
        ("polkit-1", PASSWORD_ONLY, COMMON, [CODE]),
        ("slock", PASSWORD_ONLY, COMMON, []),
    ],
)  # fmt: skip
def test_a_layout_gets_these_lines_and_loses_none(
    tmp_path: Path, name: str, first_factor: str, common: str, lines: list[str]
) -> None:
    more = {"common-auth": common}
    if name == "slock":
        more["slock"] = INCLUDE
        lines = ["auth required pam_totp.so combined", CODE]
    host = planned(tmp_path, name, first_factor=first_factor, **more)
    assert added(host, name) == lines
    path = f"/etc/pam.d/{name}"
    after = host.would_be[path]
    assert after is not None and take_out(after) == host.plain[path]
    # Again: with the change in place there is nothing left to do.
    for each in host.changes():
        (tmp_path / each.path[1:]).write_bytes(each.after or b"")
    again = PamHost(SINCE_1_6, str(tmp_path))
    plan_pam.plan(again, together([name]), first_factor)
    assert again.changes() == ()


def test_services_that_belong_together_are_changed_together(tmp_path: Path) -> None:
    assert set(planned(tmp_path, "sudo-i").would_be) == {"/etc/pam.d/sudo", "/etc/pam.d/sudo-i"}
    assert set(planned(tmp_path, "su-l").would_be) == {"/etc/pam.d/su"}


def test_what_else_login_reaches_is_named_and_lockers_get_their_own_lines_first(
    tmp_path: Path,
) -> None:
    host = host_of(tmp_path)
    found = plan_pam.plan(host, ["login"])
    assert found.reached == ["greetd", "i3lock"]
    assert list(host.would_be) == ["/etc/pam.d/i3lock", "/etc/pam.d/login"]
    assert added(host, "i3lock") == [
        "auth required pam_totp.so combined",
        "auth optional pam_faildelay.so delay=3000000",
        "auth requisite pam_nologin.so",
        "auth include common-auth",
        "auth optional pam_group.so",
        CODE,
    ]
    assert "combined, for login" in str(host.would_be["/etc/pam.d/i3lock"])


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("trusting", {}, "nothing would be enough, without a code; .*trusting, line 1"),
        (
            "sshd",
            {"common-auth": FAILLOCK.format("sufficient")},
            "password would be enough.*common-auth, line 4 .*authsucc|sufficient pam_faillock",
        ),
        ("sshd", {"common-auth": "auth required pam_unix.so\n"}, "even after a wrong password"),
        ("dos", {}, "nothing was changed"),
        ("nobody", {}, "there is no service 'nobody'"),
        ("vsftpd", {}, "one prompt only"),
        ("cron", {}, "no login that somebody could answer"),
        ("common-auth", {}, "included by other services"),
        ("pam-totp", {}, "checks passwords"),
        ("../sudo", {}, "not the name of a service"),
        ("sshd", {"sshd": f"{INCLUDE}@include nowhere\n"}, "nowhere"),
        ("sshd", {"sshd": f"auth optional pam_totp.so\n{INCLUDE}"}, "added by hand"),
        ("sshd", {"sshd": f"{INCLUDE}# begin of pam-totp's lines: x\n"}, "is missing"),
        ("su", {"su": f"auth sufficient pam_wheel.so trust\n{INCLUDE}"}, "pam_wheel.so"),
        (
            "login",
            {
                "vlock": "auth [success=6 default=ignore] pam_localuser.so\nauth include login\n"
                "auth requisite pam_unix.so\n"
            },
            "vlock includes a file.*before a first factor",
        ),
    ],
)
def test_what_is_not_proved_is_left_alone(
    tmp_path: Path, name: str, more: dict[str, str], said: str
) -> None:
    with pytest.raises(Error, match=said) as failure:
        planned(tmp_path, name, **more)
    assert "\n" not in failure.value.message + failure.value.hint and failure.value.hint


def test_a_way_without_a_code_at_what_is_only_reached_is_said(tmp_path: Path) -> None:
    host = host_of(tmp_path, vlock="auth sufficient pam_unix.so\nauth include login\n")
    found = plan_pam.plan(host, ["login"])
    assert "vlock" in found.reached
    assert any("At vlock, password would be enough, without a code" in each for each in found.notes)


def test_a_right_line_that_was_added_by_hand_stays(tmp_path: Path) -> None:
    host = host_of(tmp_path, sshd=f"{INCLUDE}{CODE}\n")
    found = plan_pam.plan(host, ["sshd"])
    assert host.changes() == () and "added by hand" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "first_factor", "said"),
    [
        ("\n".join(KEY), KEY_OR_PASSWORD, "a password and the code would not be enough"),
        (f"{INCLUDE}{CODE}", KEY_OR_PASSWORD, "a key and code would not be enough"),
        (f"{INCLUDE}{CODE}", KEY_ONLY, "a key and code would not be enough"),
    ],
)
def test_lines_by_hand_for_another_first_factor_are_not_built_upon(
    tmp_path: Path, text: str, first_factor: str, said: str
) -> None:
    with pytest.raises(Error, match=said):
        planned(tmp_path, "sshd", first_factor=first_factor, sshd=f"{text}\n{REST}")


def test_a_module_that_may_be_missing_is_in_nobody_s_way(tmp_path: Path) -> None:
    libpam = dataclasses.replace(SINCE_1_6, module_folders=("/modules",))
    (tmp_path / "modules").mkdir()
    for name in ("unix", "deny", "permit", "totp", "nologin"):
        (tmp_path / f"modules/pam_{name}.so").touch()
    missing = "session optional pam_missing.so\n"
    for text, is_fine in ((missing, True), ("session required pam_missing.so\n", False)):
        write(tmp_path, FILES | {"common-auth": COMMON.replace("auth\toptional", "-auth\toptional"),
                                 "sshd": INCLUDE + text})  # fmt: skip
        host = PamHost(libpam, str(tmp_path))
        if is_fine:
            plan_pam.plan(host, ["sshd"])
            assert host.would_be
        else:
            with pytest.raises(Error, match="pam_missing"):
                plan_pam.plan(host, ["sshd"])


def test_a_copy_says_where_it_comes_from(tmp_path: Path) -> None:
    host = host_of(tmp_path)
    found = plan_pam.plan(host, ["polkit-1"])
    (change,) = host.changes()
    assert (change.path, change.before) == ("/etc/pam.d/polkit-1", None)
    assert "copied from /usr/lib/pam.d/polkit-1" in str(change.after)
    assert "made as a copy" in found.notes[0]


def link(root: Path, name: str, target: str) -> PamHost:
    """A host of which one service is a link to another."""
    host = host_of(root)
    (root / "etc/pam.d" / name).unlink()
    (root / "etc/pam.d" / name).symlink_to(target)
    return host


def test_of_a_file_and_a_link_to_it_there_is_one_change(tmp_path: Path) -> None:
    for names in (["sudo", "sudo-i"], ["sudo-i", "sudo"]):
        host = link(tmp_path, "sudo-i", "sudo")
        plan_pam.plan(host, names)
        (change,) = host.changes()
        assert change.path == "/etc/pam.d/sudo" and b"pam_totp.so" in (change.after or b"")
        for name in names:
            assert any(map(is_asking, host.after(name).stacks["auth"]))
            assert not any(map(is_asking, host.before(name).stacks["auth"]))


def test_a_link_to_what_asks_is_reached(tmp_path: Path) -> None:
    assert "greetd" in plan_pam.plan(link(tmp_path, "greetd", "login"), ["login"]).reached


@pytest.mark.parametrize("service", ["login", "i3lock"])
def test_a_locker_that_is_a_link_to_what_asks_is_refused(tmp_path: Path, service: str) -> None:
    with pytest.raises(Error, match=r"i3lock is a link to /etc/pam\.d/login") as failure:
        plan_pam.plan(link(tmp_path, "i3lock", "login"), [service])
    assert failure.value.hint == "cp --remove-destination /etc/pam.d/login /etc/pam.d/i3lock"


@pytest.mark.parametrize("spelled", ["../pam.d/login", "../../etc/./pam.d//login"])
def test_an_include_reaches_a_service_however_it_is_spelled(tmp_path: Path, spelled: str) -> None:
    more = {"slock": f"auth include {spelled}\n{REST}", "greetd": f"@include {spelled}\n"}
    host = host_of(tmp_path, **more)
    assert {"greetd", "slock"} <= {*plan_pam.plan(host, ["login"]).reached}
    assert b"combined, for login" in (host.would_be["/etc/pam.d/slock"] or b"")
    host = host_of(tmp_path, **more)
    plan_pam.plan(host, ["greetd"])
    assert "/etc/pam.d/login" in host.would_be and "/etc/pam.d/greetd" not in host.would_be


@pytest.mark.parametrize(
    ("name", "why"),
    [("proftpd", "its program has one prompt only"), ("atd", "no person is there to answer")],
)
def test_what_cannot_ask_is_not_reached(tmp_path: Path, name: str, why: str) -> None:
    with pytest.raises(Error) as failure:
        planned(tmp_path, "login", **{name: f"# own\n@include login\n{REST}"})
    where = f"/etc/pam.d/{name}, line 2 (@include login)"
    said = f"{name} would ask for a code, too, because of {where}, but {why}"
    assert failure.value.message == f"{said}; nothing was changed"
    host = host_of(tmp_path, **{name: REST})
    (tmp_path / f"etc/pam.d/{name}").unlink()
    (tmp_path / f"etc/pam.d/{name}").symlink_to("login")
    with pytest.raises(Error, match=f"{name}, a link to /etc/pam.d/login, but {why}") as link:
        plan_pam.plan(host, ["login"])
    paths = f"/etc/pam.d/login /etc/pam.d/{name}"
    assert link.value.hint == f"cp --remove-destination {paths}"


def test_a_program_that_is_reached_and_not_known_is_told(tmp_path: Path) -> None:
    host = host_of(tmp_path, hyprlock="auth include login\n", waylock="auth include login\n")
    notes = plan_pam.plan(host, ["login"]).notes
    assert any(note.startswith("It is not known whether hyprlock") for note in notes)
    assert any(note.startswith("waylock shows no question") for note in notes)
    assert not any(note.startswith("greetd is not known") for note in notes)
