# SPDX-License-Identifier: MIT
"""`pam-totp enable` and `disable` at the console's services, and all that they refuse."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import Answer, assert_refused, configured, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import SERVICES, PamServices, forget_what_asked
from tests.host.programs import STATE
from tests.host.terminal import Conversation, converse

Converse = Callable[..., Conversation]
CHANGE = r"Change these files\? \[y/N\] "
PASSWORD, CODE = "Password: ", "Verification code: "
ALL = ("--yes", "--force")
TOGETHER = ("login", "su", "sudo", "sudo-i", "su-l", "i3lock", "swaylock")


@pytest.fixture(autouse=True)
def untouched() -> Iterator[dict[str, bytes]]:
    """Every service as it was; all is put back after the test."""
    before = contents()
    yield before
    for name in os.listdir(SERVICES):
        if name not in before and (SERVICES / name).is_file():
            (SERVICES / name).unlink()
    for name, content in before.items():
        (SERVICES / name).write_bytes(content)
    forget_what_asked()


def contents() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in SERVICES.iterdir() if path.is_file()}


def enable(*arguments: str, **options: object) -> Answer:
    return pam_totp("enable", *arguments, **options)  # type: ignore[arg-type]


def test_su_asks_for_the_code_and_root_needs_none(
    user: User, make_user: Callable[..., User], credential: Credential
) -> None:
    assert enable("su", *ALL).code == 0
    alice = make_user()
    dialogue = [(PASSWORD, user.password), (CODE, credential.fresh_code())]
    for arguments in (["su", user.name, "-c", "id -un"], ["su", "-", user.name, "-c", "id -un"]):
        assert converse(arguments, user=alice, dialogue=dialogue).status == 0
        dialogue[1] = (CODE, credential.fresh_code())
    wrong = [(PASSWORD, "wrong")]
    became = converse(["su", user.name, "-c", "id"], wrong, user=alice)
    assert (became.status, became.prompts) == (1, [PASSWORD])
    assert converse(["su", user.name, "-c", "id -un"]).prompts == []


def test_sudo_and_sudo_i_ask_together(user: User, credential: Credential) -> None:
    user.may_sudo()
    assert enable("sudo", *ALL).code == 0
    for options in ([], ["-i"]):
        dialogue = [
            (r"\[sudo\] password for \w+: ", user.password),
            (CODE, credential.fresh_code()),
        ]
        became = converse(["sudo", "-k", *options, "id", "-un"], dialogue, user=user)
        assert (became.status, became.transcript.splitlines()[-1]) == (0, "root")


def test_login_asks_and_the_lockers_that_include_it_take_both_in_one_answer(
    untouched: dict[str, bytes], user: User, credential: Credential
) -> None:
    done = enable("login", *ALL)
    assert done.code == 0 and "will ask, too: i3lock, swaylock." in done.output
    for name in ("i3lock", "swaylock"):
        text = (SERVICES / name).read_text(encoding="utf-8")
        assert "combined, for login" in text and "pam_totp.so combined" in text
    became = converse(
        ["login", user.name], [(PASSWORD, user.password), (CODE, credential.fresh_code()),
                               (r"\$", "exit")]
    )  # fmt: skip
    assert became.prompts[:2] == [PASSWORD, CODE]
    assert pam_totp("disable", "login", "--yes").code == 0
    assert contents() == untouched


def test_second_enable_calls_its_own_lines_nobody_elses(untouched: dict[str, bytes]) -> None:
    """i3lock includes login, where the line stands that it would ask by."""
    assert enable("i3lock", "login", *ALL).code == 0
    changed = contents()
    for services in (["i3lock", "login"], ["i3lock"]):
        again = enable(*services, *ALL)
        assert again.code == 0 and contents() == changed
        assert "i3lock already asks for a code: it has a pam_totp.so line" in again.output
        assert "that was added by enable (/etc/pam.d/login, line " in again.output
        assert "by hand" not in again.output


def test_disable_of_a_locker_names_the_service_that_it_would_ask_by(
    untouched: dict[str, bytes],
) -> None:
    """--force would keep the screens of enrolled users locked."""
    assert enable("login", *ALL).code == 0
    refused = pam_totp("disable", "i3lock", "--yes")
    assert_refused(refused, "would be refused (/etc/pam.d/i3lock")
    assert refused.errors.endswith("hint: pam-totp disable i3lock login --yes\n")
    forced = pam_totp("disable", "i3lock", "--force", "--dry-run")
    assert "i3lock still asks, by a line that enable added to login: " in forced.output
    assert pam_totp("disable", "i3lock", "login", "--yes").code == 0
    assert contents() == untouched


def test_from_enable_on_a_lost_line_is_reported(untouched: dict[str, bytes]) -> None:
    """Also if no other command was run in between: dpkg's trigger runs the next one."""
    assert enable("sudo", *ALL).code == 0
    for name in ("sudo", "sudo-i"):
        (SERVICES / name).write_bytes(untouched[name])
    assert "the pam_totp.so line is gone: sudo, sudo-i" in pam_totp("--version").errors


@pytest.mark.parametrize("service", ["login", "su", "sudo", "i3lock"])
def test_disable_restores_every_byte(untouched: dict[str, bytes], service: str) -> None:
    assert enable(service, *ALL).code == 0
    changed = contents()
    assert changed != untouched
    again = enable(service, *ALL)
    assert again.code == 0 and "nothing was changed" in again.output and contents() == changed
    assert pam_totp("disable", "--all", "--yes").code == 0
    assert contents() == untouched
    again = pam_totp("disable", service, "--yes")
    assert again.code == 0 and "nothing was changed" in again.output


@pytest.mark.parametrize(("service", "reached"), [("su", "su-l"), ("login", "greetd")])
def test_disable_is_no_loss_of_what_it_reaches_by_an_include(
    untouched: dict[str, bytes], service: str, reached: str
) -> None:
    (SERVICES / "greetd").write_text("auth include login\naccount include login\n")
    assert enable(service, *ALL).code == 0
    pam_totp("users")
    assert (STATE / "services" / reached).exists()
    assert pam_totp("disable", service, "--yes").code == 0
    assert pam_totp("users").errors == ""


def test_disable_of_one_service_hides_no_loss_of_another(untouched: dict[str, bytes]) -> None:
    assert enable("su", "sudo", *ALL).code == 0
    pam_totp("users")
    (SERVICES / "sudo").write_bytes(untouched["sudo"])
    assert pam_totp("disable", "su", "--yes").code == 0
    (line, _) = pam_totp("users").errors.splitlines()
    assert line.endswith("because the pam_totp.so line is gone: sudo")


def test_services_may_be_named_on_both_sides_of_an_option(untouched: dict[str, bytes]) -> None:
    both = "these services ask for a code: su, su-l, sudo, sudo-i."
    assert both in enable("su", "--yes", "sudo", *ALL[1:]).output
    assert pam_totp("disable", "--yes", "su", "--force", "sudo").code == 0
    assert contents() == untouched


def test_a_partner_that_is_not_there_is_not_missed(untouched: dict[str, bytes]) -> None:
    (SERVICES / "sudo-i").unlink()
    done = enable("sudo", *ALL)
    assert done.code == 0 and "these services ask for a code: sudo." in done.output
    assert_refused(enable("sudo-i", *ALL), "there is no service 'sudo-i'")
    assert pam_totp("disable", "sudo", "--yes").code == 0
    assert contents() == {name: text for name, text in untouched.items() if name != "sudo-i"}


def test_a_copy_of_a_vendor_s_file_goes_again(untouched: dict[str, bytes]) -> None:
    vendors = Path("/usr/lib/pam.d/doas")
    vendors.parent.mkdir(exist_ok=True)
    vendors.write_text("@include common-auth\n@include common-account\n")
    try:
        done = enable("doas", *ALL)
        assert done.code == 0, done.errors
        assert "made as a copy of /usr/lib/pam.d/doas" in done.output
        assert "nothing was changed" in enable("doas", *ALL).output
        assert pam_totp("disable", "doas", "--yes").code == 0
        assert contents() == untouched
    finally:
        vendors.unlink()


def test_what_it_means_not_to_have_enrolled_is_one_sentence(
    untouched: dict[str, bytes], host_key: None
) -> None:
    root = "root has not enrolled, "
    said = enable("su", "--dry-run").output
    assert f"{root}so nothing would be changed without --force.\n" in said
    without = f"{root}and there is no trial, so it is not known whether a login with a code works."
    for arguments in (("su",), ("sshd", "--no-trial")):
        done = enable(*arguments, "--force", "--yes")
        assert done.code == 0 and " ".join(done.output.split()).count("root has not enrolled") == 1
        assert without in " ".join(done.output.split())
        assert pam_totp("disable", "--all", "--yes").code == 0
    assert root not in enable("su", "--force", "--yes", "--json").output


@pytest.mark.parametrize(
    ("arguments", "code", "said", "hint"),
    [
        ([], 2, "required", "--help"),
        (["nosuchservice"], 1, "there is no service 'nosuchservice'", "ls /etc/pam.d"),
        (["ssh"], 1, "no service 'ssh'; did you mean sshd?", "ls /etc/pam.d"),
        (["sodu"], 1, "no service 'sodu'; did you mean sudo?", "ls /etc/pam.d"),
        (["../su"], 2, "not the name of a service", "ls /etc/pam.d"),
        (["vsftpd"], 1, "one prompt only", "examples/pam/one-prompt"),
        (["cron"], 1, "no login that somebody could answer", "sshd"),
        (["common-auth"], 1, "included by other services", "name the services"),
        (["su", "--root", "key"], 2, "only to sshd", "enable sshd"),
        (["su", "--exempt-key", "borg"], 2, "only to sshd", "enable sshd"),
        (["sshd", "--exempt-key", "a b"], 1, "there is no user 'a b'", "getent"),
        (["sshd", "--exempt-key", "*"], 1, "there is no user '*'", "getent"),
        (["sshd", "--exempt-key", "nobdy"], 1, "no user 'nobdy'; did you mean nobody?", "getent"),
        (["sshd", "--exempt-key", "root"], 2, "--root is the option", "--root key"),
        (["sshd", "--no-exempt-key", "root"], 2, "--root is the option", "--root code"),
        (["sshd", "--no-exempt-key", "nobdy"], 1, "did you mean nobody?", "getent"),
        (["su", "--no-exempt-key", "nobody"], 2, "only to sshd", "enable sshd"),
        (
            ["sshd", "--exempt-key", "nobody", "--no-exempt-key", "nobody"],
            2,
            "cannot be given to both",
            "--exempt-key nobody",
        ),
        (["su", "--trial", "10x"], 2, "must be a time", "--help"),
        (["su", "--trial", "10m", "--no-trial"], 2, "not allowed with", "--help"),
        (["su", "--json"], 1, "not enrolled", "enroll --user root"),
        (["su", "--force"], 1, "no answer; nothing was changed", "enable su --force --yes"),
        (
            ["sshd", "--first-factor", "face"],
            2,
            "unknown first factor 'face'; choose either, password or key",
            "enable --help",
        ),
        (["su", "--json", "--force"], 2, "--json needs --yes", "--yes"),
        (["su", "--yes"], 1, "root is not enrolled", "pam-totp enroll --user root"),
        (["sshd", "--yes", "--force"], 2, "not a terminal", "--no-trial"),
        (
            ["sshd", "--yes"],
            1,
            "root is not enrolled, and there is no terminal here, where a trial could be kept",
            "pam-totp enroll --user root",
        ),
    ],
)
def test_what_is_wrong_is_said_in_two_lines_and_changes_nothing(
    untouched: dict[str, bytes],
    host_key: None,
    arguments: list[str],
    code: int,
    said: str,
    hint: str,
) -> None:
    done = enable(*arguments)
    assert done.code == code, done
    message, last = done.errors.splitlines()
    assert message.startswith("pam-totp: error: ") and said in message
    assert last.startswith("hint: ") and hint in last
    assert contents() == untouched


@pytest.mark.parametrize("verb", ["enable", "disable"])
def test_only_root_may(user: User, verb: str) -> None:
    done = pam_totp(verb, "su", user=user)
    assert_refused(done, "must be run as root")
    assert f"hint: sudo pam-totp {verb} su\n" in done.errors


def test_a_hint_has_the_sudo_that_the_command_had(user: User) -> None:
    user.may_sudo()
    dialogue = [(r"\[sudo\] password for \w+: ", user.password)]
    done = converse(["sudo", "-k", "pam-totp", "disable"], dialogue, user=user)
    assert "hint: sudo pam-totp disable --all" in done.transcript
    done = converse(["sudo", "-k", "pam-totp", "enable", "su"], dialogue, user=user)
    assert "hint: pam-totp enroll" in done.transcript  # which is for the user


def test_disable_wants_services_or_all() -> None:
    for arguments, said in (
        ([], "name the services, or use --all"),
        (["su", "--all"], "name services or use --all, not both"),
    ):
        done = pam_totp("disable", *arguments)
        assert done.code == 2 and said in done.errors
    assert_refused(pam_totp("disable", "sodu"), "no service 'sodu'; did you mean sudo?")


def test_a_diff_is_not_wrapped_for_the_terminal(host_key: None) -> None:
    shown = converse(["pam-totp", "enable", "sshd", "--dry-run"]).transcript.splitlines()
    methods = "publickey,keyboard-interactive:pam keyboard-interactive:pam"
    assert f"+AuthenticationMethods {methods}" in shown


def test_the_person_proves_a_code_before_anything_is_changed(
    untouched: dict[str, bytes], user: User, credential: Credential
) -> None:
    user.may_sudo()

    def try_it(code: str, *more: tuple[str, str]) -> Conversation:
        dialogue = [(r"\[sudo\] password for \w+: ", user.password), (CODE, code), *more]
        return converse(["sudo", "-k", "pam-totp", "enable", "su"], dialogue, user=user)

    wrong = [credential.incorrect_code(number) for number in range(3)]
    refused = try_it(wrong[0], (CODE, wrong[1]), (CODE, wrong[2]))
    assert refused.status == 1 and "refused (wrong-code); nothing was changed" in refused.transcript
    mistyped = try_it("12", (CODE, credential.code()), (CHANGE, "n"))
    assert mistyped.status == 1 and "not confirmed" in mistyped.transcript
    no = try_it(credential.code(), (CHANGE, "n"))
    assert no.status == 1 and "not confirmed; nothing was changed" in no.transcript
    assert contents() == untouched
    yes = try_it(credential.code(), (CHANGE, "y"))
    assert yes.status == 0 and "these services ask for a code: su, su-l." in yes.transcript
    assert contents() != untouched


def test_everybody_who_would_be_refused_is_listed_before(
    untouched: dict[str, bytes], user: User, make_user: Callable[..., User], credential: Credential
) -> None:
    late = make_user()
    with configured("enrollment: required\nrules:\n- {user: root, code: never}\n"):
        done = enable("su", "--dry-run")
    assert f"  {late.name}: has not enrolled (su, su-l)" in done.output
    assert f"{user.name}:" not in done.output and "root:" not in done.output
    assert contents() == untouched


def test_json_tells_ansible_whether_anything_changed(untouched: dict[str, bytes]) -> None:
    for expected in (True, False):
        done = enable("su", "--json", *ALL)
        shown = json.loads(done.output)
        assert (done.code, shown["changed"], done.errors) == (0, expected, "")
        assert [file["path"] for file in shown["files"]] == ["/etc/pam.d/su"] * expected
    dry = json.loads(pam_totp("disable", "su", "--json", "--dry-run").output)
    assert dry["changed"] and dry["dry_run"] and contents() != untouched
    shown = json.loads(pam_totp("disable", "su", "--json", "--yes").output)
    assert shown["changed"] and contents() == untouched
    assert not json.loads(pam_totp("disable", "su", "--json", "--yes").output)["changed"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("auth sufficient pam_succeed_if.so uid >= 0\n@include common-auth\n", "without a code"),
        ("@include common-auth\r\n", "nothing was changed"),
        ("\ufeff@include common-auth\n", "nothing was changed"),
        ("garbage\n@include common-auth\n", "which is no type"),
        ("@include nowhere\n", "does not exist"),
        ("@include common-auth \\", "ends in a backslash"),
        ("auth required pam_unix.so\nauth required pam_missing.so\n", "no module here"),
        ("", "nothing was changed"),
    ],
)
def test_a_file_that_is_not_understood_is_left_alone(
    pam_services: PamServices, text: str, said: str
) -> None:
    pam_services.write("su", text)
    before = contents()
    done = enable("su", *ALL)
    if text == "":  # all of it comes from `other` then
        assert done.code == 0
        return
    assert done.code == 1 and said in done.errors and len(done.errors.splitlines()) == 2
    assert contents() == before


def test_a_read_only_etc_changes_nothing(untouched: dict[str, bytes]) -> None:
    script = (
        "mount --bind /etc /etc && mount -o remount,bind,ro /etc && "
        "exec pam-totp enable su --yes --force"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True
    )
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 2, done.stderr
    assert "nothing was changed" in done.stderr and contents() == untouched


def test_broken_settings_stop_neither(untouched: dict[str, bytes]) -> None:
    with configured("enrollment: sometimes\n"):
        assert enable("su", *ALL).code == 0
        assert pam_totp("disable", "su", "--yes").code == 0
    assert contents() == untouched


def test_lines_added_by_hand_are_named_and_stay(pam_services: PamServices) -> None:
    pam_services.add("su")
    before = contents()
    done = enable("su", *ALL)
    assert done.code == 0 and "added by hand" in done.output and contents() == before
    done = pam_totp("disable", "su", "--yes")
    assert "su still asks, by a line that enable did not add" in done.output


def test_lines_of_pam_auth_update_are_turned_off_by_pam_auth_update(
    pam_services: PamServices, host_key: None
) -> None:
    """Its profile serves passwords only, so it does not go with keys."""
    common = (SERVICES / "common-auth").read_text(encoding="utf-8")
    profiles = Path("/var/lib/pam/auth")
    before = profiles.read_bytes() if profiles.exists() else None
    profiles.parent.mkdir(exist_ok=True)
    profiles.write_text("Module: pam_unix.so\nModule: pam_totp.so\n")
    try:
        pam_services.write("common-auth", f"{common}auth required pam_totp.so\n")
        said = "that pam-auth-update added (/etc/pam.d/common-auth, line "
        done = enable("sshd", "--first-factor", "either", *ALL, "--no-trial")
        assert done.code == 1 and said in done.errors, done
        hint = "run pam-auth-update --disable pam-totp, and enable each service, or add "
        assert f"hint: {hint}--first-factor password\n" in done.errors
        more = ("--first-factor", "password", "--dry-run")
        assert pam_totp("enable", "sshd", *more).code == 0
        assert said in enable("su", *ALL).output
    finally:
        profiles.write_bytes(before) if before is not None else profiles.unlink()


NO_PASSWORD = "auth sufficient pam_succeed_if.so user ingroup nopasswdlogin\n@include common-auth\n"


def test_a_group_that_needs_no_password_is_in_the_way_only_where_it_has_members(
    pam_services: PamServices, user: User
) -> None:
    """The files of lightdm and of gdm have such a line."""
    pam_services.write("lightdm", NO_PASSWORD)
    for group_exists in (False, True):
        if group_exists:
            subprocess.run(["groupadd", "nopasswdlogin"], check=True)
        done = enable("lightdm", *ALL)
        assert done.code == 0 and "members of nopasswdlogin (none today)" in done.output
        assert pam_totp("disable", "lightdm", "--yes").code == 0
    subprocess.run(["usermod", "-aG", "nopasswdlogin", user.name], check=True)
    try:
        assert_refused(enable("lightdm", *ALL), "nothing would be enough, without a code")
    finally:
        subprocess.run(["groupdel", "nopasswdlogin"], check=True)


def test_two_at_once_leave_the_change_whole(untouched: dict[str, bytes]) -> None:
    command = ["pam-totp", "enable", "su", "sudo", *ALL]
    both = [subprocess.Popen(command, stdout=-1, stderr=-1, text=True) for _ in range(2)]
    said = [each.communicate() for each in both]
    codes = [each.returncode for each in both]
    assert 0 in codes and set(codes) <= {0, 1}, said
    for code, (_, errors) in zip(codes, said, strict=True):
        assert code == 0 or "nothing was changed" in errors, errors
    assert "nothing was changed" in enable("su", "sudo", *ALL).output
    assert pam_totp("disable", "--all", "--yes").code == 0
    assert contents() == untouched


def test_a_service_that_is_not_known_is_turned_on_with_a_word(
    pam_services: PamServices,
) -> None:
    pam_services.write("someservice", "@include common-auth\n")
    done = enable("someservice", *ALL)
    assert done.code == 0 and "not known whether someservice can show" in done.output


def test_no_file_of_another_kind_is_taken_for_a_service(untouched: dict[str, bytes]) -> None:
    folder = Path("/etc/pam.d/afolder")
    folder.mkdir()
    try:
        assert enable("afolder", *ALL).code == 1
        assert enable("su", *ALL).code == 0
    finally:
        folder.rmdir()


def test_all_is_taken_out_where_one_file_is_a_link_to_another(user: User) -> None:
    before, link = contents(), SERVICES / "sudo-i"
    own = link.read_bytes()
    link.unlink()
    link.symlink_to("sudo")
    try:
        assert enable("sudo", *ALL).code == 0
        assert link.is_symlink() and link.read_bytes().count(b"pam_totp.so") == 1
        again = enable("sudo", *ALL)
        assert again.code == 0 and "nothing was changed" in again.output
        done = pam_totp("disable", "--all", "--yes")
        assert (done.code, done.errors) == (0, "")
        assert link.is_symlink() and (SERVICES / "sudo").read_bytes() == before["sudo"]
    finally:
        link.unlink()
        link.write_bytes(own)


def test_an_edit_of_its_lines_is_not_lost_without_a_word(untouched: dict[str, bytes]) -> None:
    path = Path("/etc/pam.d/su")
    assert enable("su", *ALL).code == 0
    written = path.read_bytes()
    path.write_bytes(written.replace(b"pam_totp.so\n", b"pam_totp.so tries=5\n"))
    done = enable("su", *ALL)
    assert (
        "WARNING: 'auth required pam_totp.so tries=5' in /etc/pam.d/su was edited." in done.output
    )
    assert path.read_bytes() == written
    assert "WARNING" not in enable("su", *ALL).output
    lines = path.read_text().replace("pam_totp.so\n", "pam_totp.so tries=5\n").splitlines()
    by_hand = "".join(f"{line}\n" for line in lines if "of pam-totp's lines" not in line)
    path.write_text(by_hand)
    assert "already asks for a code" in enable("su", *ALL).output
    assert path.read_text() == by_hand
