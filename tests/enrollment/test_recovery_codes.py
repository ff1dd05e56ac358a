# SPDX-License-Identifier: MIT
"""`pam-totp recovery-codes` and the end of `enroll`: ten codes, shown once, kept as hashes."""

import os
import re
from collections.abc import Callable

import pyotp
import pytest

from tests.commands.commands import (
    RECOVERY_CODE,
    assert_refused,
    mounted,
    new_recovery_codes,
    pam_totp,
    recovery_of,
    run,
    secret_of,
    tree,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices
from tests.host.programs import ACCEPTED, COMMAND, REFUSED
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, Conversation, Session

Converse = Callable[..., Conversation]
QUESTION = r"Code from the app \(or press Enter to use the system password\):"
RENEW = f"{COMMAND} recovery-codes"
PASSWORD = "System password of .*:"


def enroll_on_terminal(user: User, *options: str, password: bool = False) -> tuple[str, Credential]:
    """`pam-totp enroll` by the user, to its end: what was shown, and the new phone."""
    session = Session([COMMAND, "enroll", *options], user, {})
    try:
        if password:
            session.answer(PASSWORD, user.password)
        session.answer("Code from the app:", "")
        secret = re.search(r"secret=([A-Z2-7]+)", session.screen)
        assert secret
        code = str(pyotp.TOTP(secret[1]).generate_otp(Credential.step()))
        session.answer("Code from the app:", code)
        done = session.finish()
    finally:
        session.close()
    assert done.status == 0
    return done.transcript, Credential(user, secret[1])


def test_enrollment_ends_with_ten_codes_that_are_accepted(user: User) -> None:
    shown, _ = enroll_on_terminal(user)
    codes = RECOVERY_CODE.findall(shown)
    assert len(set(codes)) == 10
    assert shown.index("Saved: ") < shown.index(codes[0])
    assert "not shown again" in shown
    assert verify(user, codes[9]).code == ACCEPTED


def test_enrolling_anew_makes_the_old_recovery_codes_void(user: User) -> None:
    old = RECOVERY_CODE.findall(enroll_on_terminal(user)[0])
    new = RECOVERY_CODE.findall(enroll_on_terminal(user, password=True)[0])
    assert {verify(user, code).code for code in old} == {REFUSED}
    assert verify(user, new[0]).code == ACCEPTED


def test_adding_a_device_keeps_the_recovery_codes(user: User) -> None:
    codes = RECOVERY_CODE.findall(enroll_on_terminal(user)[0])
    shown, _ = enroll_on_terminal(user, "--device", "tablet", password=True)
    assert RECOVERY_CODE.findall(shown) == []
    assert verify(user, codes[0]).code == ACCEPTED


def test_correct_code_renews_them_and_keeps_the_secret_byte_for_byte(
    user: User, credential: Credential, on_terminal: Converse
) -> None:
    old = new_recovery_codes(user)
    before = secret_of(user).read_bytes(), secret_of(user).stat().st_mtime_ns
    dialogue = [(QUESTION, credential.fresh_code())]
    shown = on_terminal([COMMAND, "recovery-codes"], dialogue, user=user)
    assert shown.status == 0
    assert "New recovery codes replace the existing ones." in shown.transcript
    assert (secret_of(user).read_bytes(), secret_of(user).stat().st_mtime_ns) == before
    new = RECOVERY_CODE.findall(shown.transcript)
    assert len(set(new) - set(old)) == 10
    assert {verify(user, code).code for code in old} == {REFUSED}
    assert verify(user, new[0]).code == ACCEPTED


def test_password_renews_them_too(
    user: User, credential: Credential, on_terminal: Converse
) -> None:
    before = secret_of(user).read_bytes()
    dialogue = [(QUESTION, ""), (PASSWORD, user.password)]
    shown = on_terminal([COMMAND, "recovery-codes"], dialogue, user=user)
    assert shown.status == 0
    assert "replace the existing ones" not in shown.transcript
    assert len(RECOVERY_CODE.findall(shown.transcript)) == 10
    assert secret_of(user).read_bytes() == before


@pytest.mark.parametrize("typed", ["000000", "hunter2", "12345678901234567890"])
def test_incorrect_code_renews_nothing(user: User, credential: Credential, typed: str) -> None:
    old = new_recovery_codes(user)
    before = tree(user.home)
    answer = pam_totp("recovery-codes", user=user, typed=f"{typed}\n")
    assert_refused(answer, "incorrect code; nothing was changed")
    assert tree(user.home) == before
    assert verify(user, old[0]).code == ACCEPTED


def test_recovery_code_itself_renews_nothing(user: User, credential: Credential) -> None:
    old = new_recovery_codes(user)
    answer = pam_totp("recovery-codes", user=user, typed=f"{old[0]}\n")
    assert_refused(answer, "incorrect code")
    assert "press Enter, then enter the system password" in answer.errors


def test_wrong_passwords_renew_nothing(
    user: User, credential: Credential, on_terminal: Converse, pam_services: PamServices
) -> None:
    pam_services.write("pam-totp", "auth required pam_unix.so nodelay\n")  # for the test's sake
    new_recovery_codes(user)
    before = tree(user.home)
    dialogue = [(QUESTION, ""), *[(PASSWORD, "wrong")] * 3]
    shown = on_terminal([COMMAND, "recovery-codes"], dialogue, user=user)
    assert shown.status == 1
    assert "the password was not accepted; nothing was changed" in shown.transcript
    assert f"ask root to run: pam-totp recovery-codes --user {user.name}" in shown.transcript
    assert tree(user.home) == before


@pytest.mark.parametrize("typed", [CTRL_C, ""])
def test_giving_up_renews_nothing(
    user: User, credential: Credential, on_terminal: Converse, typed: str
) -> None:
    before = tree(user.home)
    dialogue = [(QUESTION, typed)] if typed else [(QUESTION, ""), (PASSWORD, CTRL_C)]
    shown = on_terminal([COMMAND, "recovery-codes"], dialogue, user=user)
    assert shown.status == 1
    assert "pam-totp: error: interrupted; nothing was changed" in shown.transcript
    assert tree(user.home) == before


def test_nobody_to_answer_renews_nothing(user: User, credential: Credential) -> None:
    assert_refused(pam_totp("recovery-codes", user=user), "no answer; nothing was changed")


def test_who_is_not_enrolled_gets_none(user: User) -> None:
    assert_refused(pam_totp("recovery-codes", user=user), f"{user.name} is not enrolled")
    assert_refused(pam_totp("recovery-codes", "--user", user.name), f"{user.name} is not enrolled")
    assert not recovery_of(user).exists()


def test_malformed_secret_is_said_and_kept(user: User, credential: Credential) -> None:
    user.give(secret_of(user), "junk\n")
    assert_refused(pam_totp("recovery-codes", user=user), "the secret cannot be used")


def test_root_makes_them_for_a_user_without_a_question(user: User, credential: Credential) -> None:
    codes = new_recovery_codes(user)
    assert recovery_of(user).stat().st_uid == user.uid
    assert verify(user, codes[0]).code == ACCEPTED


def test_user_option_is_roots(make_user: Callable[..., User], credential: Credential) -> None:
    other = make_user()
    answer = pam_totp("recovery-codes", "--user", credential.user.name, user=other)
    assert_refused(answer, "with --user, this command must be run as root")
    assert f"hint: sudo pam-totp recovery-codes --user {credential.user.name}\n" in answer.errors
    assert_refused(pam_totp("recovery-codes", "--user", "nobody-at-all"), "there is no user")


def test_only_salted_slow_hashes_are_kept(user: User, credential: Credential) -> None:
    files = []
    for _ in range(2):
        codes = new_recovery_codes(user)
        files.append(recovery_of(user).read_text(encoding="ascii").splitlines())
        kept = recovery_of(user).read_text(encoding="ascii").lower()
        for code in codes:
            plain = code.replace("-", "")
            for part in (code, plain, plain[:8], plain[8:], code[:9], code[10:]):
                assert part not in kept
                assert part.encode().hex() not in kept
    for header, *hashes in files:
        assert re.fullmatch(r"pam-totp recovery 1 [0-9a-f]{32}", header)
        assert len(set(hashes)) == 10
        assert all(re.fullmatch("[0-9a-f]{64}", each) for each in hashes)
    assert files[0][0] != files[1][0], "every set has a salt of its own"


def test_file_is_the_users_alone_from_its_first_byte_whatever_the_umask(
    user: User, credential: Credential, tmp_path: object
) -> None:
    trace = f"/tmp/trace-{user.uid}"
    watched = ["strace", "-f", "-e", "trace=openat,chmod,fchmod,fchmodat,rename,renameat",
               "-o", trace]  # fmt: skip
    loose = ["/bin/sh", "-c", 'umask 0; exec "$@"', "sh"]
    done = pam_totp("recovery-codes", "--user", user.name, through=[*loose, *watched])
    assert done.code == 0
    with open(trace, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    os.unlink(trace)
    made = [line for line in lines if "recovery.new-" in line and "O_CREAT" in line]
    assert len(made) == 1
    assert "O_EXCL" in made[0] and ", 0600)" in made[0]
    assert not any("chmod" in line and "recovery" in line for line in lines)
    assert recovery_of(user).stat().st_mode & 0o777 == 0o600


def test_full_disk_keeps_the_old_ones(user: User, credential: Credential) -> None:
    secret = secret_of(user).read_text(encoding="ascii")
    with mounted(user.home, f"size=16k,mode=700,uid={user.uid},gid={user.gid}"):
        user.give(secret_of(user), secret)
        codes = new_recovery_codes(user)
        before = recovery_of(user).read_bytes()
        with open(user.home / "fill", "wb") as fill, pytest.raises(OSError, match="No space left"):
            fill.write(b"x" * 65536)
        answer = pam_totp("recovery-codes", user=user, typed=f"{credential.code()}\n")
        assert_refused(answer, "No space left on device; nothing was changed")
        assert RECOVERY_CODE.findall(answer.output) == [], "codes that do not hold were shown"
        assert recovery_of(user).read_bytes() == before
        assert verify(user, codes[0]).code == ACCEPTED


def test_closed_standard_output_renews_nothing(user: User, credential: Credential) -> None:
    old = new_recovery_codes(user)
    done = run(["/bin/sh", "-c", f"{RENEW} --user {user.name} >&-"])
    assert_refused(done, "standard output is closed; nothing was done")
    assert verify(user, old[0]).code == ACCEPTED


@pytest.mark.parametrize("redirection", [">/dev/full", "| true"])
def test_codes_that_nobody_saw_are_said_to_be_in_force(
    user: User, credential: Credential, syslog: SystemLog, redirection: str
) -> None:
    old = new_recovery_codes(user)
    before = recovery_of(user).read_bytes()
    syslog.clear()
    # A reader that has gone when it is written to: `true` ends while the codes are hashed.
    done = run(["/bin/bash", "-c", f"set -o pipefail; {RENEW} --user {user.name} {redirection}"])
    assert_refused(done, "the old recovery codes are void, and the new ones were not shown")
    assert "hint: pam-totp recovery-codes" in done.errors
    assert recovery_of(user).read_bytes() != before
    assert verify(user, old[0]).code == REFUSED
    assert [line.fields["action"] for line in syslog.lines("action=")] == ["recovery-codes"]


def test_enrollment_whose_recovery_codes_cannot_be_saved_does_not_say_that_nothing_changed(
    user: User,
) -> None:
    """The secret is saved by then, and the old phone is refused."""
    (user.home / ".config" / "pam-totp" / "recovery").mkdir(parents=True)
    for folder in (user.home / ".config", user.home / ".config" / "pam-totp", recovery_of(user)):
        folder.chmod(0o700)
        os.chown(folder, user.uid, user.gid)
    session = Session([COMMAND, "enroll"], user, {})
    try:
        session.answer("Code from the app:", "")
        secret = re.search(r"secret=([A-Z2-7]+)", session.screen)
        assert secret
        phone = Credential(user, secret[1])
        session.answer("Code from the app:", phone.code())
        done = session.finish()
    finally:
        session.close()
    assert done.status == 1
    assert secret_of(user).exists()
    assert verify(user, phone.code(1)).code == ACCEPTED
    assert "nothing was changed" not in done.transcript


def test_status_says_how_many_were_made(user: User, credential: Credential) -> None:
    assert "no recovery codes" in pam_totp("status", user=user).output
    new_recovery_codes(user)
    assert "10 recovery codes created" in pam_totp("status", user=user).output
