# SPDX-License-Identifier: MIT
"""The script `mfa`: what articles about codes call -l, -c and -a, on pam-totp's own records."""

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.commands.commands import (
    RECOVERY_CODE,
    Answer,
    assert_refused,
    failures_of,
    let_pass,
    mounted,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    secret_of,
    verify,
)
from tests.enrollment.person import CODE_PROMPT, CTRL_C, Person, Phone, Start
from tests.host.accounts import User
from tests.host.credentials import FAR_STEPS, Credential, new_secrets
from tests.host.oath import OathCredential
from tests.host.pictures import logo_of, read_qr_code, unreadable_logo
from tests.host.programs import ACCEPTED, LOGIN, MFA, RECORDS, REFUSED, VERIFY
from tests.host.system_log import SystemLog
from tests.host.tokens import Token
from tests.login.marks import log_in, mark_of

DEVICE = "my phone"
AT_ONCE = 10
FREE_TRIES = 5


@pytest.fixture
def credential(user: User, enrolled: Callable[..., Credential]) -> Credential:
    return enrolled(user, device=DEVICE)


@pytest.fixture
def run_folder(user: User) -> Path:
    """Which systemd makes at a login."""
    folder = Path("/run/user") / str(user.uid)
    folder.mkdir(mode=0o700)
    os.chown(folder, user.uid, user.gid)
    return folder


def mfa(*arguments: str, user: User | None = None, typed: str = "", **options: list[str]) -> Answer:
    """By root or by a user, without a terminal."""
    return pam_totp(*arguments, user=user, typed=typed, program=MFA, **options)


def verified(user: User, code: str, device: str = DEVICE) -> Answer:
    """By root, of a device of the user."""
    return mfa("--user", user.name, "-a", device, "-o", code)


def created(start: Start, user: User, *options: str) -> tuple[Person, Phone]:
    """The command at its prompt for a code, and the phone that has read the picture."""
    person = start(user, "-c", "-n", DEVICE, "-i", "Example", *options, program=MFA)
    person.read_until(CODE_PROMPT)
    return person, Phone(read_qr_code(user.home / f"{DEVICE}.png"))


@pytest.mark.parametrize("logo", [False, True])
def test_created_device_is_saved_after_its_code_and_nothing_secret_is_printed(
    user: User, start: Start, logo: bool
) -> None:
    options = []
    if logo:
        options = ["--logo", str(logo_of(user, Image.new("RGB", (300, 120), "red")))]
    person, phone = created(start, user, *options)
    picture = user.home / f"{DEVICE}.png"
    assert (picture.stat().st_mode & 0o7777, picture.stat().st_uid) == (0o600, user.uid)
    assert phone.account == f"Example:{DEVICE}"
    assert phone.parameters["issuer"] == "Example"
    app = OathCredential(user, phone.secret)
    person.type_line(app.incorrect_code())
    person.read_until(CODE_PROMPT)
    assert not secret_of(user).exists(), "no code has proved it"
    person.type_line(app.code())
    finished = person.finish()
    assert finished.status == 0, finished.output
    assert phone.secret in secret_of(user).read_text(encoding="ascii")
    assert phone.secret not in finished.output.replace(" ", "")
    assert RECOVERY_CODE.findall(finished.output) == []
    listed = mfa("-l", user=user)
    assert (listed.code, listed.errors) == (0, "")
    assert listed.output.splitlines()[1].startswith(DEVICE)
    assert phone.secret not in listed.output
    assert verified(user, app.fresh_code()).code == 0


def test_device_that_no_code_proved_leaves_nothing(user: User, start: Start) -> None:
    person, _ = created(start, user)
    person.press(CTRL_C)
    assert person.finish().status == 1
    assert not (user.home / f"{DEVICE}.png").exists()
    assert not secret_of(user).exists()


def test_root_creates_a_device_of_a_user_by_what_a_program_types(
    user: User, start: Start, make_user: Callable[..., User]
) -> None:
    root = User("root", "", 0, 0, make_user().home)
    person = start(root, "-c", "-n", "a/b", "-i", "Example", "--user", user.name, program=MFA)
    person.read_until(CODE_PROMPT)
    phone = Phone(read_qr_code(root.home / "a_b.png"))
    person.type_line(phone.code())
    assert person.finish().status == 0
    assert phone.secret in secret_of(user).read_text(encoding="ascii")
    assert secret_of(user).stat().st_uid == user.uid


def test_logo_that_makes_the_code_unreadable_creates_nothing(user: User) -> None:
    logo = unreadable_logo(user)
    picture = user.home / "x.png"
    answer = mfa("-c", "-n", "x", "--png", str(picture), "--logo", str(logo), user=user)
    assert_refused(answer, "the QR code cannot be read")
    assert not picture.exists()
    assert not secret_of(user).exists()


def test_secret_and_recovery_codes_are_printed_for_those_who_ask(user: User, start: Start) -> None:
    person = start(user, "-c", "-n", DEVICE, "-i", "Example", "--show-secret", program=MFA)
    phone = person.scan()
    person.type_line(phone.code())
    finished = person.finish()
    assert finished.status == 0
    assert phone.secret in finished.output.replace(" ", "")
    assert len(RECOVERY_CODE.findall(finished.output)) == 10
    assert list(user.home.glob("*.png")) == []


def test_code_is_accepted_once(user: User, credential: Credential, syslog: SystemLog) -> None:
    code = OathCredential(user, credential.secret).fresh_code()
    accepted = verified(user, code)
    assert (accepted.code, accepted.errors) == (0, "")
    assert accepted.output == f"Accepted: a code of {DEVICE!r}. It is used now.\n"
    assert_refused(verified(user, code), "refused (reused-code)")
    logged = [(each["verdict"], each["reason"]) for each in syslog.decisions()]
    assert logged == [("accept", "totp"), ("refuse", "reused-code")]
    fields = syslog.decisions()[0]
    assert (fields["user"], fields["service"], fields["device"]) == (user.name, "mfa", DEVICE)
    assert all(code not in line.message for line in syslog.lines())


def test_code_of_a_login_is_refused_here_and_one_of_here_at_a_login(
    user: User, credential: Credential
) -> None:
    first, second = credential.fresh_code(), credential.fresh_code()
    assert verify(user, first).code == ACCEPTED
    assert_refused(verified(user, first), "refused (reused-code)")
    assert verified(user, second).code == 0
    assert verify(user, second).code == REFUSED


def test_of_many_logins_and_scripts_at_once_with_one_code_exactly_one_is_accepted(
    user: User, credential: Credential
) -> None:
    """Rule 20. Each is delayed before it records, to be overtaken."""
    code = credential.fresh_code()
    slow = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]
    slow += ["-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=10000"]
    script = [MFA, "--user", user.name, "-a", DEVICE]
    running = [
        subprocess.Popen(
            [*slow, *command],
            env=LOGIN | {"PAM_USER": user.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for command in [script, [VERIFY]] * AT_ONCE
    ]
    for each in running:  # all are there, and read it now
        assert each.stdin is not None
        each.stdin.write(code.encode())
    for each in running:
        assert each.stdin is not None
        each.stdin.close()
    assert sorted(each.wait() for each in running) == [0] + [1] * (2 * AT_ONCE - 1)


@pytest.mark.parametrize("option", [[], ["-o", "-"]])
@pytest.mark.parametrize("end", ["\n", ""])
def test_code_may_come_from_standard_input(
    user: User, credential: Credential, option: list[str], end: str
) -> None:
    typed = f"{credential.fresh_code()}{end}"
    assert mfa("--user", user.name, "-a", DEVICE, *option, typed=typed).code == 0


def test_incorrect_codes_are_counted_together_with_those_of_logins(
    user: User, credential: Credential
) -> None:
    for index in range(FREE_TRIES):
        incorrect = credential.incorrect_code(index)
        if index % 2:
            assert verify(user, incorrect).code == REFUSED
        else:
            assert_refused(verified(user, incorrect), "refused (wrong-code)")
    assert failures_of(user)[0] == FREE_TRIES
    code = credential.fresh_code()
    waiting = verified(user, code)
    assert_refused(waiting, "refused (throttled): incorrect codes: 5, ")
    assert waiting.errors.endswith(f"hint: wait, or run: pam-totp unlock {user.name}\n")
    assert verify(user, code).code == REFUSED
    let_pass(user, 60)
    assert verified(user, code).code == 0
    assert failures_of(user)[0] == 0


@pytest.mark.parametrize("steps", [3, -5, FAR_STEPS])
def test_guesser_does_not_learn_which_code_is_one_of_another_time(
    user: User, credential: Credential, syslog: SystemLog, steps: int
) -> None:
    if steps == FAR_STEPS:
        near = {credential.code(offset) for offset in range(-25, 26)}
        steps = next(each for each in range(steps, 500) if credential.code(each) not in near)
    code = credential.code(steps)
    said = {verified(user, each).errors for each in (code, credential.incorrect_code())}
    assert len(said) == 1
    reason = "wrong-code" if steps >= FAR_STEPS else "clock-skew"
    assert [each["reason"] for each in syslog.decisions()] == [reason, "wrong-code"]


@pytest.mark.parametrize(
    "code",
    ["", " ", "12345", "123456789", "abcdef", "１２３４５６", "-1", "+12345"],  # noqa: RUF001
)
def test_what_is_no_code_is_refused_and_not_counted(
    user: User, credential: Credential, code: str
) -> None:
    answer = mfa("--user", user.name, "-a", DEVICE, f"--otp={code}")
    assert_refused(answer, "refused (bad-input)")
    assert failures_of(user)[0] == 0


def test_recovery_code_is_of_no_device_and_stays_good(user: User, credential: Credential) -> None:
    code = new_recovery_codes(user)[0]
    assert_refused(verified(user, code), "refused (bad-input)")
    assert verify(user, code).code == ACCEPTED


def test_code_of_another_device_is_refused_and_used(user: User, syslog: SystemLog) -> None:
    uri = f"otpauth://totp/server:{user.name}?issuer=server&secret="
    phone, tablet = (Credential(user, secret) for secret in new_secrets(2))
    user.give(secret_of(user), f"{uri}{phone.secret} phone\n{uri}{tablet.secret} tablet\n")
    code = tablet.fresh_code()
    assert_refused(verified(user, code, "phone"), "refused (wrong-code)")
    (decision,) = syslog.decisions()
    assert (decision["verdict"], decision["device"]) == ("refuse", "tablet")
    assert "another device" in decision["detail"]
    assert_refused(verified(user, code, "tablet"), "refused (reused-code)")
    assert verified(user, tablet.fresh_code(), "TABLET").code == 0
    assert verified(user, phone.fresh_code(), "phone").code == 0


def test_codes_of_other_devices_stay_used(user: User) -> None:
    uri = f"otpauth://totp/server:{user.name}?issuer=server&secret="
    phone, tablet = (Credential(user, secret) for secret in new_secrets(2))
    user.give(secret_of(user), f"{uri}{phone.secret} phone\n{uri}{tablet.secret} tablet\n")
    code = tablet.fresh_code()
    assert verify(user, code).code == ACCEPTED
    assert verified(user, phone.fresh_code(), "phone").code == 0
    assert verify(user, code).code == REFUSED


def test_code_of_a_token_that_counts_is_accepted_once(user: User, token: Token) -> None:
    assert verified(user, token.code(0), "token").code == 0
    assert_refused(verified(user, token.code(0), "token"), "refused (reused-code)")
    assert verify(user, token.code(0)).code == REFUSED
    assert verified(user, token.code(1), "token").code == 0


def test_code_that_cannot_be_recorded_as_used_is_refused(
    user: User, credential: Credential
) -> None:
    RECORDS.mkdir(mode=0o700, exist_ok=True)
    code = credential.fresh_code()
    with read_only(RECORDS):
        assert_refused(verified(user, code), "refused (state-unavailable)")
    assert verified(user, code).code == 0


def test_user_whose_code_was_accepted_is_refused_when_the_secret_is_gone(
    user: User, credential: Credential, syslog: SystemLog
) -> None:
    assert verified(user, credential.fresh_code()).code == 0
    secret_of(user).unlink()
    assert_refused(verified(user, credential.fresh_code()), f"there is no device {DEVICE!r}")
    assert verify(user, credential.fresh_code()).code == REFUSED
    assert syslog.decisions()[-1]["reason"] == "secret-missing"


def test_secret_that_others_can_read_is_not_used(user: User, credential: Credential) -> None:
    secret_of(user).chmod(0o644)
    assert_refused(verified(user, credential.fresh_code()), "the secret cannot be used")


def test_mark_by_which_the_gate_says_nothing_is_taken_away(
    user: User, credential: Credential
) -> None:
    log_in(credential)
    assert mark_of(user).exists()
    assert verified(user, credential.incorrect_code()).code == 1
    assert not mark_of(user).exists()


def test_user_verifies_a_code_once_and_is_told_what_only_root_can_see(
    user: User, credential: Credential, run_folder: Path
) -> None:
    code = credential.fresh_code()
    accepted = mfa("-a", DEVICE, "-o", code, user=user)
    assert accepted.code == 0
    assert "Only root can see whether a login has used it.\n" in accepted.output
    assert_refused(mfa("-a", DEVICE, "-o", code, user=user), "refused (reused-code)")
    for index in range(FREE_TRIES):
        incorrect = credential.incorrect_code(index)
        assert mfa("-a", DEVICE, "-o", incorrect, user=user).code == 1
    code = credential.fresh_code()
    assert pam_totp("unlock", user.name).code == 0
    waiting = mfa("-a", DEVICE, "-o", code, user=user)
    assert_refused(waiting, "refused (throttled)")
    assert "hint: wait, because root's `pam-totp unlock` is for logins alone" in waiting.errors
    assert verify(user, code).code == ACCEPTED, "root's record is another one"


def test_user_without_a_folder_for_the_record_is_refused(
    user: User, credential: Credential
) -> None:
    answer = mfa("-a", DEVICE, "-o", credential.fresh_code(), user=user)
    assert_refused(answer, "refused (state-unavailable)")
    hint = f"hint: ask root to run: mfa --user {user.name} -a {shlex.quote(DEVICE)}\n"
    assert answer.errors.endswith(hint)


def test_nobody_but_root_names_a_user(
    user: User, credential: Credential, make_user: Callable[..., User]
) -> None:
    other = make_user()
    for words in (["-l"], ["-a", DEVICE, "-o", credential.fresh_code()], ["-c", "-n", "x"]):
        answer = mfa(*words, "--user", user.name, user=other)
        assert_refused(answer, "with --user, this command must be run as root")
        assert answer.output == ""


@pytest.mark.parametrize("words", [["-c", "-n"], ["-o", "123456", "-a"]])
def test_root_who_names_a_user_in_place_of_a_device_is_told(user: User, words: list[str]) -> None:
    answer = mfa(*words, user.name)
    assert_refused(answer, f"{user.name!r} is a user")
    assert answer.errors.splitlines()[1].startswith(f"hint: mfa --user {user.name} ")
    assert not Path("/root/.config/pam-totp").exists()


def test_device_that_is_not_there_is_named_with_the_one_that_may_be_meant(
    user: User, credential: Credential
) -> None:
    answer = verified(user, credential.fresh_code(), "my fone")
    assert_refused(answer, "there is no device 'my fone'; did you mean my phone?")
    assert answer.errors.endswith(f"hint: pam-totp devices --user {user.name}\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one of the arguments"),
        (["-l", "-c"], "not allowed with argument"),
        (["-c"], "-c needs -n NAME"),
        (["-c", "-n", ""], "-c needs -n NAME"),
        (["-l", "-n", "x"], "are for -c"),
        (["-a", "x", "-i", "y"], "are for -c"),
        (["-a", "x", "--show-secret"], "are for -c"),
        (["-l", "-o", "123456"], "-o is for -a"),
        (["-c", "-n", "x", "-o", "123456"], "-o is for -a"),
        (["-c", "-n", "x", "--png", "y", "--show-secret"], "makes no picture"),
        (["-a"], "expected one argument"),
        (["-a", "x", "123456"], "unrecognized arguments"),
        (["--frobnicate"], "one of the arguments"),
    ],
)
def test_wrong_usage_is_two_lines_and_nothing_is_done(
    user: User, words: list[str], said: str
) -> None:
    assert_refused(mfa(*words, user=user), said, code=2)
    assert not recovery_of(user).parent.exists()


def test_help_says_what_a_name_is_and_that_arguments_are_seen(user: User) -> None:
    answer = mfa("--help", user=user)
    assert (answer.code, answer.errors) == (0, "")
    assert "NAME is a device of the user who runs this, as -l lists it." in answer.output
    assert "Other users can see a code that is given with -o CODE." in answer.output


def test_variables_and_folder_of_the_caller_name_no_other_code(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    (tmp_path / "pam_totp").mkdir()
    (tmp_path / "pam_totp" / "__init__.py").write_text("raise SystemExit(0)\n")
    variables = [f"PYTHONPATH={tmp_path}", f"HOME={tmp_path}"]
    through = ["/usr/bin/env", "-C", str(tmp_path), *variables]
    words = ["--user", user.name, "-a", DEVICE, "-o", credential.incorrect_code()]
    assert_refused(mfa(*words, through=through), "refused (wrong-code)")


def test_script_that_outlives_the_package_accepts_nothing_and_says_so(
    user: User, credential: Credential
) -> None:
    with mounted("/usr/lib/pam-totp", "size=4k"):
        answer = verified(user, credential.fresh_code())
    assert_refused(answer, "pam-totp is missing or damaged: ModuleNotFoundError: ")


def test_words_that_a_shell_splits_off_a_code_neither_end_with_a_yes_nor_name_another(
    user: User,
    credential: Credential,
    make_user: Callable[..., User],
    enrolled: Callable[..., Credential],
) -> None:
    """As of `mfa -a "my phone" --user $USER -o $CODE`, where $CODE is what somebody typed."""
    other = make_user()
    theirs = enrolled(other, device=DEVICE)
    incorrect, code = credential.incorrect_code(), theirs.fresh_code()
    for words in (
        ["--help"],
        ["-h"],
        ["--user", other.name],
        [f"--user={other.name}"],
        ["-o", code],
        ["-l"],
        ["-a", DEVICE],
    ):
        answer = mfa("--user", user.name, "-a", DEVICE, "-o", incorrect, *words)
        assert (answer.code, answer.output) == (2, ""), words
    assert failures_of(user)[0] == 0
    assert verified(other, code).code == 0, "not used up"
