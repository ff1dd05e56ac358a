# SPDX-License-Identifier: MIT
"""`pam-totp config check`: all faults of a file, with their places; it changes nothing."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands.commands import (
    LAST_GOOD,
    Answer,
    assert_refused,
    configured,
    gate,
    mounted,
    pam_totp,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, CONFIGURATION
from tests.host.system_log import SystemLog

BY_DEFAULT = (
    "Somebody who knows a password and guesses codes for 30 days logs in with a chance of at most "
    "0.95% (code.digits 6, code.window 1, throttle.longest_wait 900), however many devices the "
    "user has.\n"
)


def test_without_a_file_the_defaults_apply_and_nothing_is_wrong(user: User) -> None:
    """None is installed: a packaged file of comments stops upgrades where it was edited."""
    assert list(CONFIGURATION.parent.iterdir()) == []
    answer = pam_totp("config", "check")
    said = f"{CONFIGURATION}: No such file; the defaults are active\n{BY_DEFAULT}"
    assert answer == Answer(0, said, "")
    by_a_user = pam_totp("config", "check", user=user)
    assert (by_a_user.code, by_a_user.errors) == (0, "")
    assert "only root can see" in by_a_user.output


def test_without_a_file_a_login_reports_no_fault(
    user: User, enrolled: Callable[..., Credential], syslog: SystemLog
) -> None:
    credential = enrolled(user)
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    (decision,) = syslog.decisions()
    assert (decision["reason"], decision.get("detail", "")) == ("totp", "")


def test_file_that_was_removed_is_a_fault_since_its_settings_still_apply(user: User) -> None:
    with configured("store: system\n") as path:
        gate(user)
        assert LAST_GOOD.exists()
        path.unlink()
        assert_refused(pam_totp("config", "check"), "the last good settings are active")
        path.write_text("# the defaults\n", encoding="ascii")  # as the hint says
        gate(user)
        assert pam_totp("config", "check").code == 0


def test_example_file_is_valid() -> None:
    example = "/usr/share/doc/pam-totp/examples/config.yaml"
    answer = pam_totp("config", "check", example)
    assert answer == Answer(0, f"{example}: valid\n{BY_DEFAULT}", "")


def test_faults_are_named_one_a_line_on_standard_error(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text("stor: user\nthrottle:\n  free_tries: 0\n  first_wiat: 3\n", encoding="utf-8")
    answer = pam_totp("config", "check", str(path))
    assert (answer.code, answer.output) == (1, "")
    assert answer.errors.splitlines() == [
        f"{path}: line 1, column 1: unknown key 'stor'; did you mean store?",
        f"{path}: line 3, column 15: throttle.free_tries must be a number from 1 to 20 (got '0')",
        f"{path}: line 4, column 3: unknown key 'first_wiat'; did you mean throttle.first_wait?",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "store: sytem",
            "store must be user, system or postgresql (got 'sytem'); did you mean system?",
        ),
        ("remember: 2d", "remember must be off, or a time like 10m or 2h, at most 24h (got '2d')"),
        ("enrolment: required", "unknown key 'enrolment'; did you mean enrollment?"),
    ],
)
def test_fault_that_logins_see_too_is_named_once(line: str, said: str) -> None:
    """In the file that is active; a login says less about it, and at the same place."""
    with configured(f"{line}\n"):
        (fault,) = pam_totp("config", "check").errors.splitlines()
    assert fault.endswith(f": {said}")


def test_it_keeps_no_snapshot(tmp_path: Path) -> None:
    with configured("store: system\n"):
        assert pam_totp("config", "check").code == 0
        assert not LAST_GOOD.exists()


@pytest.mark.parametrize("spoil", ["of somebody else", "writable by a group"])
def test_active_file_that_others_could_write_is_a_fault(spoil: str) -> None:
    with configured("store: user\n") as path:
        if spoil == "of somebody else":
            os.chown(path, 1234, 0)
        else:
            path.chmod(0o664)
        answer = pam_totp("config", "check")
        assert answer.code == 1
        which = "must be owned by root (owned by uid 1234)" if "of" in spoil else "(mode 0664)"
        assert which in answer.errors
        command = answer.errors.partition("; run: ")[2]
        assert subprocess.run(command.split()).returncode == 0
        assert pam_totp("config", "check").code == 0


@pytest.mark.parametrize("spoil", ["owned by a user", "writable by others"])
@pytest.mark.parametrize("has_file", [True, False])
def test_folder_that_others_could_write_is_a_fault(spoil: str, has_file: bool) -> None:
    """With a file and without: in both cases its writer decides which file the next login reads."""
    folder = CONFIGURATION.parent
    with configured("store: user\n", settled=True):
        gate("nobody")
        if not has_file:
            CONFIGURATION.unlink()
            LAST_GOOD.unlink()
        if spoil == "owned by a user":
            os.chown(folder, 1234, 0)
        else:
            folder.chmod(0o757)
        answer = pam_totp("config", "check")
        users = pam_totp("users")
        command = "chown -h root" if "owned" in spoil else "chmod o-w"
        assert subprocess.run([*command.split(), folder]).returncode == 0
        assert (answer.code, users.code) == (1, 1)
        assert f"{command} {folder}" in answer.errors
        assert f"{command} {folder}" in users.errors
        assert pam_totp("config", "check").code == 0


def test_file_that_others_could_write_has_its_other_faults_told_too() -> None:
    with configured("stor: user\n") as path:
        path.chmod(0o666)
        assert pam_totp("config", "check").errors.splitlines() == [
            f"{path}: must not be writable by group or others (mode 0666); run: chmod go-w {path}",
            f"{path}: line 1, column 1: unknown key 'stor'; did you mean store?",
        ]
        path.chmod(0o644)
        assert len(pam_totp("config", "check").errors.splitlines()) == 1


def test_fault_of_the_active_file_is_told_once_and_explained() -> None:
    with configured(
        "throttle: {free_tries: 0}\nrules:\n  - {from: 10.0.0.1/8, code: never}\n"
    ) as path:
        assert pam_totp("config", "check").errors.splitlines() == [
            f"{path}: line 1, column 24: throttle.free_tries must be a number from 1 to 20 "
            "(got '0')",
            f"{path}: line 3, column 12: rules.from has host bits set (got '10.0.0.1/8'); "
            "did you mean 10.0.0.0/8?",
        ]


def test_another_file_may_be_anybodys(user: User) -> None:
    user.give(user.home / "new.yaml", "store: system\n")
    answer = pam_totp("config", "check", str(user.home / "new.yaml"), user=user)
    assert (answer.code, answer.errors) == (0, "")


def test_anybody_can_check_the_active_file(user: User) -> None:
    assert pam_totp("config", "check", user=user).code == 0


def test_file_that_cannot_be_read_is_an_error_in_two_lines(user: User, tmp_path: Path) -> None:
    assert_refused(pam_totp("config", "check", str(tmp_path / "none")), "No such file")
    assert_refused(pam_totp("config", "check", str(tmp_path)), "Is a directory")
    with configured("") as path:
        path.chmod(0o600)
        assert_refused(pam_totp("config", "check", user=user), "Permission denied")


def test_binary_file_is_a_fault_and_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "junk"
    path.write_bytes(bytes(range(256)) * 10)
    answer = pam_totp("config", "check", str(path))
    assert answer.code == 1
    assert "Traceback" not in answer.errors


def check(path: Path, text: str) -> list[str]:
    """What is said of a file with faults, without its name."""
    path.write_text(text, encoding="utf-8")
    answer = pam_totp("config", "check", str(path))
    assert (answer.code, answer.output) == (1, "")
    return [line.removeprefix(f"{path}: ") for line in answer.errors.splitlines()]


def test_warnings_come_with_exit_code_0_and_the_file_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text("rules:\n- code: never\n- {user: zzz, code: required}\n", encoding="utf-8")
    answer = pam_totp("config", "check", str(path))
    assert (answer.code, answer.output) == (0, f"{path}: valid, warnings: 3\n{BY_DEFAULT}")
    assert answer.errors.splitlines() == [
        f"{path}: warning: line 2: no user is ever asked for a code, because no earlier rule asks",
        f"{path}: warning: line 3: this rule is shadowed by line 2 and can never match",
        f"{path}: warning: line 3: user zzz does not exist",
    ]


def test_active_file_is_warned_about_too() -> None:
    with configured("code:\n  window: 3\n") as path:
        answer = pam_totp("config", "check")
        assert answer.code == 0
        assert answer.errors.startswith(f"{path}: warning: line 2, column 3: with code.window 3, ")


def test_no_warnings_stand_beside_faults(tmp_path: Path) -> None:
    lines = check(tmp_path / "new.yaml", "stor: user\nrules: [{code: never}]\n")
    assert lines == ["line 1, column 1: unknown key 'stor'; did you mean store?"]


def test_only_root_sees_whom_a_policy_locks_out(user: User) -> None:
    """Who is enrolled is not a user's to read: nothing is said, and nothing fails."""
    path = user.home / "new.yaml"
    user.give(path, "enrollment: required\n")
    answer = pam_totp("config", "check", str(path), user=user)
    assert (answer.code, answer.errors) == (0, "")
    assert "root would be locked out" in pam_totp("config", "check", str(path)).errors


def test_faults_of_rules_are_named_like_all_others(tmp_path: Path) -> None:
    text = "rules:\n- {user: '', form: 10.0.0.0/8}\n- {code: nevr, from: 10.1.0.0/8}\nremember: 1\n"
    assert check(tmp_path / "new.yaml", text) == [
        "line 2, column 3: missing key code (never, if-enrolled, required)",
        "line 2, column 10: rules.user must be a name or a pattern (got '')",
        "line 2, column 14: unknown key 'form'; did you mean from?",
        "line 3, column 10: rules.code must be never, if-enrolled or "
        "required (got 'nevr'); did you mean never?",
        "line 3, column 22: rules.from has host bits set (got '10.1.0.0/8'); did you "
        "mean "
        "10.0.0.0/8?",
        "line 4, column 11: remember must be off, or a time like 10m or 2h, at most 24h (got '1')",
    ]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("methods: [sms]", "rules.methods must have totp too; write [totp, sms]"),
        ("methods: mail", "rules.methods must have totp too; write [totp, mail]"),
        ("methods: []", "rules.methods must have totp too; write [totp]"),
        ("methods: [totp, sms, SMS]", "rules.methods has sms twice"),
        (
            "methods: [totp, email]",
            "rules.methods must be totp, sms or mail, or a list of them with totp (got 'email'); "
            "did you mean mail?",
        ),
        ("method: [totp]", "unknown key 'method'; did you mean methods?"),
    ],
)
def test_fault_of_methods_says_what_to_write(tmp_path: Path, rule: str, said: str) -> None:
    (fault,) = check(tmp_path / "new.yaml", f"rules: [{{code: required, {rule}}}]\n")
    assert fault.endswith(f": {said}")


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            "send: {sms: gamu}",
            "send.sms must be gammu, or the absolute path of a program (got 'gamu'); "
            "did you mean gammu?",
        ),
        (
            "send: {mail: bin/mail}",
            "send.mail must be sendmail, or the absolute path of a program (got 'bin/mail'); "
            "did you mean sendmail?",
        ),
        ("sms: gammu", "unknown key 'sms'; did you mean send: {sms: …}?"),
        ("send: {limit: 3}", "unknown key 'limit'; did you mean send.user_limit?"),
    ],
)
def test_fault_of_what_sends_says_what_may_have_been_meant(
    tmp_path: Path, setting: str, said: str
) -> None:
    (fault,) = check(tmp_path / "new.yaml", f"{setting}\n")
    assert fault.endswith(f": {said}")


@pytest.mark.parametrize("setting", ["throttle: {longest_wait: 60}", "code: {window: 5}"])
def test_no_chance_is_stated_of_settings_that_have_no_effect_in_a_fleet(
    tmp_path: Path, setting: str
) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(f"store: postgresql\n{setting}\n")
    answer = pam_totp("config", "check", str(path))
    (warning,) = answer.errors.splitlines()
    assert warning.endswith("has no effect with `store: postgresql`")
    assert "a chance of" not in answer.output and "the store of the fleet took" in answer.output


def test_rule_that_sends_codes_in_a_fleet_has_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text("store: postgresql\nrules:\n- {methods: [totp, sms], code: required}\n")
    assert pam_totp("config", "check", str(path)).code == 0


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("rules: [{user: *-admin, code: never}]\n",
         'write the value out, or quote a pattern that contains *: "*-admin"'),
        ("rules: [{user: *, code: never}]\n", 'quote a pattern that contains *: "*-admin"'),
        ("rules:\n- user: [a-z]*\n  code: never\n", 'quote a pattern that contains *: "*-admin"'),
        ("rules:\n- user: [a-z]*x\n  code: never\n", 'quote a pattern that contains *: "*-admin"'),
        ("rules:\n- &a {code: never}\n- *a\n",
         'write the value out, or quote a pattern that contains *: "*-admin"'),
        ("rules: [{user: !admins, code: never}]\n", "quote a text that begins with !"),
        ("messages: \n  wait: Too many: later\n",
         "quote a text that contains a colon, or write {by: 2027-03-01}"),
        ("enrollment: by: 2027-03-01\n",
         "quote a text that contains a colon, or write {by: 2027-03-01}"),
        ("messages: {wait: Too many: later}\n",
         "quote a text that contains a colon, or write {by: 2027-03-01}"),
        ("rules: [{from: ::1, code: never}]\n",
         'quote an address that begins with ::: "::1"'),
        ("rules:\n- {from: [10.0.0.0/8, ::1], code: never}\n",
         'quote an address that begins with ::: "::1"'),
        ("throttle:\n\tfree_tries: 3\n", "indent lines with spaces"),
        ("store: user\n---\nstore: user\n",
         "the file must contain only one document, without a second ---"),
    ],
)  # fmt: skip
def test_fault_of_the_yaml_itself_says_what_it_comes_from(
    tmp_path: Path, text: str, hint: str
) -> None:
    (fault,) = check(tmp_path / "new.yaml", text)
    assert fault.startswith("line ")
    assert fault.endswith(f"; {hint}")


def test_nothing_that_a_file_holds_reaches_the_terminal_raw(tmp_path: Path) -> None:
    for text in ('"\\e[31m": 1\n', 'store: "\\e[31m"\n', "store: !%1b[31m x\n",
                 'rules: [{"\\e": 1, user: "\\e", code: "\\e", from: "\\e"}]\n'):  # fmt: skip
        assert all(line.isprintable() for line in check(tmp_path / "new.yaml", text))


@pytest.mark.parametrize("options", ["size=4k", "size=4k,mode=000"])
def test_broken_yaml_library_takes_no_other_verb_away(user: User, options: str) -> None:
    with mounted("/usr/lib/python3/dist-packages/yaml", options):
        assert pam_totp("unlock", user.name).code == 0
        assert pam_totp("explain", user.name).code == 0
        assert_refused(pam_totp("config", "check"), "unexpected failure")


@pytest.mark.parametrize("variable", ["SUDO_UID", "PKEXEC_UID", "DOAS_USER"])
def test_file_that_the_user_who_became_root_cannot_read_is_not_quoted(
    user: User, tmp_path: Path, variable: str
) -> None:
    hidden = tmp_path / "hidden"
    hidden.write_text("root:$6$the-hash-of-root:19000::::\n", encoding="ascii")
    hidden.chmod(0o600)
    through = ["env", f"{variable}={user.name if variable == 'DOAS_USER' else user.uid}"]
    for path in (str(hidden), f"{CONFIGURATION.parent}/../shadow"):
        answer = pam_totp("config", "check", path, through=through)
        assert_refused(answer, f"{path}: Permission denied")
        assert "$" not in answer.errors


def test_draft_of_the_user_who_became_root_is_checked(user: User) -> None:
    draft = user.home / "draft.yaml"
    user.give(draft, "store: cellar\n")
    answer = pam_totp("config", "check", str(draft), through=["env", f"SUDO_UID={user.uid}"])
    assert (answer.code, "cellar" in answer.errors) == (1, True)


def test_settings_themselves_are_checked_for_every_user_who_became_root(user: User) -> None:
    with configured("store: cellar\n") as path:
        path.chmod(0o600)
        answer = pam_totp("config", "check", through=["env", f"SUDO_UID={user.uid}"])
    assert (answer.code, "cellar" in answer.errors) == (1, True)
