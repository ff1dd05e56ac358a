# SPDX-License-Identifier: MIT
"""`enrollment: at-login`, by the programs alone: who sees a secret, and what is kept of it."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any, TypeVar

import pyotp
import pytest

from tests.commands.commands import (
    FAILURES,
    Answer,
    clock,
    configured,
    failures_of,
    gate,
    let_pass,
    mounted,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    secret_of,
    tree,
    verify,
)
from tests.enrollment.rasterise import DARK_THEME, LIGHT_THEME
from tests.faults.injection import KILL, Error, calls_of, run_with
from tests.host.accounts import User, add_user, remove_user, run
from tests.host.credentials import Credential, enroll
from tests.host.pam_services import PamServices
from tests.host.phone import (
    AT_LOGIN,
    MESSAGE,
    NOT_ENROLLED,
    kept_uri,
    keys_on,
    recovery_codes_on,
    scan,
    shows_qr_code,
)
from tests.host.programs import (
    ACCEPTED,
    ASK,
    GATE,
    LOGIN,
    NO_CODE_NEEDED,
    RECORDS,
    REFUSED,
    STATE,
    VERIFY,
)
from tests.host.system_log import SystemLog
from tests.trial.change_host import wait_until

KEY = {"SSH_AUTH_INFO_0": "publickey ssh-ed25519 AAAA"}
KEPT_SECONDS = 600
Kind = TypeVar("Kind")


@pytest.fixture(scope="module", autouse=True)
def hanging() -> Iterator["subprocess.Popen[bytes]"]:
    """What shows an enrollment to a user whose directory does not answer, from before the first
    test on: the last one sees how it ended."""
    user, services = add_user(), PamServices()
    services.write("pam-totp", "auth required pam_exec.so quiet /bin/sleep 300\n")
    given = LOGIN | {"PAM_USER": user.name}
    with configured(AT_LOGIN):
        process = subprocess.Popen([GATE], env=given, stdin=PIPE, stdout=PIPE, stderr=STDOUT)
        assert process.stdin is not None
        process.stdin.write(user.password.encode())
        process.stdin.close()
        wait_until(lambda: is_asleep(process))
        services.restore()
    yield process
    process.kill()
    process.wait()
    remove_user(user)


def is_asleep(process: "subprocess.Popen[bytes]") -> bool:
    """Whether it waits for a sleep(1) of its own."""
    assert process.poll() is None
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return any(name_of(child) == "sleep" for child in children)


def name_of(process: str) -> str:
    """Of the program; empty if it has ended: between two looks it may."""
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture(autouse=True)
def at_login() -> Iterator[Path]:
    with configured(AT_LOGIN, settled=True) as path:
        yield path


def offered(user: User, **variables: str) -> Credential:
    """What the gate shows to the user after the right password."""
    answer = gate(user, typed=user.password, variables=variables)
    assert answer.code == ASK
    (secret,) = keys_on(answer.output)
    return Credential(user, secret)


def pending_of(user: User) -> Path:
    return RECORDS / "pending" / str(user.uid)


def age(user: User, seconds: int) -> None:
    """Makes the pending secrets this much older."""
    lines = [line.rpartition(" ") for line in pending_of(user).read_text("ascii").splitlines()]
    older = "".join(f"{shown} {int(moment) - seconds}\n" for shown, _, moment in lines)
    pending_of(user).write_text(older, encoding="ascii")


def secrets_in(path: Path) -> list[str]:
    """The secrets that a file of pending ones holds, oldest first."""
    return re.findall(r"secret=([A-Z2-7]{32})", path.read_text(encoding="ascii"))


def assert_nothing_shown(user: User, answer: Answer) -> None:
    assert answer.code == ASK
    assert keys_on(answer.output) == []
    assert not shows_qr_code(answer.output)
    assert not pending_of(user).exists()


def assert_not_enrolled(user: User) -> None:
    assert tree(user.home / ".config") == {}
    assert not (STATE / "secrets" / user.name).exists()
    assert not (STATE / "enforced" / str(user.uid)).exists()


def test_right_password_shows_message_key_and_qr_code_in_23_rows(
    user: User, syslog: SystemLog
) -> None:
    answer = gate(user, typed=user.password)
    lines = answer.output.splitlines()
    assert (answer.code, lines[0]) == (ASK, MESSAGE)
    assert lines[-1].startswith("Key: ")
    assert shows_qr_code(answer.output)
    assert len(lines) <= 23
    assert max(map(len, lines)) <= 80
    (decision,) = syslog.decisions()
    assert (decision["verdict"], decision["reason"]) == ("ask", "not-enrolled")
    assert decision["detail"] == "a new secret is shown for enrolling at this login"
    assert not any(keys_on(answer.output)[0] in line.message for line in syslog.lines())


@pytest.mark.parametrize("password", ["", "wrong", "\0", "x" * 600, "\udcff", "{password}\0x"])
def test_wrong_password_shows_nothing(user: User, syslog: SystemLog, password: str) -> None:
    typed = password.format(password=user.password)
    answer = gate_with_bytes(user, typed.encode("utf-8", "surrogateescape"))
    assert_nothing_shown(user, answer)
    assert answer.output == f"{NOT_ENROLLED}\n"
    (decision,) = syslog.decisions()
    assert decision["detail"] == "no first factor is proven, so no QR code is shown"


def gate_with_bytes(user: User, typed: bytes) -> Answer:
    variables = {"PAM_USER": user.name, "PAM_SERVICE": "sshd", "PAM_TTY": "ssh"}
    done = subprocess.run([GATE], input=typed, env=variables, capture_output=True, timeout=60)
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_password_of_somebody_else_shows_nothing(make_user: Callable[..., User]) -> None:
    user, other = make_user(), make_user()
    assert_nothing_shown(user, gate(user, typed=other.password))


def test_trailing_nul_of_older_pam_exec_and_any_bytes_are_a_password(user: User) -> None:
    assert keys_on(gate(user, typed=f"{user.password}\0").output)
    subprocess.run(["chpasswd"], input=f"{user.name}:caf\xe9\n".encode("latin-1"), check=True)
    pending_of(user).unlink()
    assert keys_on(gate_with_bytes(user, b"caf\xe9").output)


def test_right_password_that_has_to_be_changed_is_right(user: User) -> None:
    """As administrators hand out accounts: the first login asks for a new password."""
    run("chage", "-d", "0", user.name)
    assert keys_on(gate(user, typed=user.password).output)
    pending_of(user).unlink()
    assert_nothing_shown(user, gate(user, typed="wrong"))


def test_expired_account_is_shown_nothing(user: User) -> None:
    run("chage", "-E", "1", user.name)
    assert_nothing_shown(user, gate(user, typed=user.password))


def test_public_key_that_sshd_reports_is_a_first_factor_and_elsewhere_a_forgery(user: User) -> None:
    for service in ("sudo", "login", "su", "sshd2", ""):
        answer = gate(user, variables=KEY | {"PAM_SERVICE": service})
        assert_nothing_shown(user, answer)
    forged = {"SSH_AUTH_INFO_0": "password\nxpublickey ssh-ed25519 AAAA"}
    assert_nothing_shown(user, gate(user, variables=forged))
    assert keys_on(gate(user, variables=KEY).output)


def test_correct_code_enrolls_and_is_accepted(user: User, syslog: SystemLog) -> None:
    phone = offered(user)
    answer = verify(user, phone.fresh_code())
    assert answer.code == ACCEPTED
    assert phone.secret in kept_uri(secret_of(user))
    (device,) = json.loads(pam_totp("devices", "--json", user=user).output)["devices"]
    assert abs(device["since"] - time.time()) < 120, "as of every device that is enrolled"
    assert len(recovery_codes_on(answer.output)) == 10
    for path in (secret_of(user), recovery_of(user)):
        assert (path.stat().st_uid, path.stat().st_mode & 0o7777) == (user.uid, 0o600)
        assert path.parent.stat().st_mode & 0o7777 == 0o700
    assert (STATE / "enforced" / str(user.uid)).exists()
    assert not pending_of(user).exists()
    decision = syslog.decisions()[-1]
    assert (decision["verdict"], decision["reason"]) == ("accept", "totp")
    assert (decision["device"], decision["detail"]) == ("phone", "enrolled at this login")
    again = gate(user, typed=user.password)
    assert (again.code, again.output) == (ASK, "")
    assert verify(user, phone.fresh_code()).output == ""


def test_login_that_lacks_memory_for_recovery_codes_enrolls_and_says_how_to_make_them(
    user: User,
) -> None:
    """OpenSSL is too large for it; less, and it refuses."""
    credential = offered(user)
    for mebibytes in range(10, 60):
        answer = verify(user, credential.code(), through=["prlimit", f"--as={mebibytes << 20}"])
        if secret_of(user).exists():
            break
    assert answer.code == ACCEPTED
    assert "recovery codes could not be saved.\nRun: pam-totp recovery-codes" in answer.output
    assert len(new_recovery_codes(user)) == 10


def test_each_recovery_code_is_accepted_once(user: User) -> None:
    codes = recovery_codes_on(verify(user, offered(user).fresh_code()).output)
    for code in codes:
        assert verify(user, code).code == ACCEPTED
        assert verify(user, code).code == REFUSED


@pytest.mark.parametrize("umask", [0, 0o777])
def test_files_are_the_owners_alone_whatever_the_applications_umask(user: User, umask: int) -> None:
    phone = offered(user)
    through = ["/bin/sh", "-c", f'umask {umask:o}; exec "$0"']
    assert verify(user, phone.fresh_code(), through=through).code == ACCEPTED
    for path in (secret_of(user), recovery_of(user)):
        assert path.stat().st_mode & 0o7777 == 0o600
        assert path.parent.stat().st_mode & 0o7777 == 0o700
    assert verify(user, phone.fresh_code()).code == ACCEPTED


def test_incorrect_code_is_refused_counts_and_writes_nothing(user: User, syslog: SystemLog) -> None:
    phone = offered(user)
    for typed in (phone.incorrect_code(), "", "abc", "aaaa-bbbb-cccc-dddd"):
        assert verify(user, typed).code == REFUSED
    assert_not_enrolled(user)
    assert failures_of(user)[0] == 1
    reasons = [decision["reason"] for decision in syslog.decisions()]
    assert reasons == ["not-enrolled", "wrong-code", "bad-input", "bad-input", "bad-input"]
    assert verify(user, phone.fresh_code()).code == ACCEPTED


def test_after_five_incorrect_codes_no_secret_is_shown_and_the_correct_code_waits(
    user: User,
) -> None:
    phone = offered(user)
    for index in range(5):
        assert verify(user, phone.incorrect_code(index)).code == REFUSED
    assert verify(user, phone.code()).code == REFUSED
    answer = gate(user, typed=user.password)
    assert keys_on(answer.output) == []
    assert answer.output.startswith("Too many incorrect codes. Try again in ")
    assert_not_enrolled(user)
    let_pass(user, 31)
    assert verify(user, phone.fresh_code()).code == ACCEPTED


def test_code_of_a_secret_that_was_never_shown_is_refused(user: User, syslog: SystemLog) -> None:
    assert verify(user, Credential(user, "A" * 32).fresh_code()).code == REFUSED
    assert syslog.decisions()[-1]["reason"] == "not-enrolled"
    assert_not_enrolled(user)


def test_every_login_is_shown_a_secret_of_its_own(user: User, syslog: SystemLog) -> None:
    outputs = [gate(user, typed=user.password).output for _ in range(3)]
    secrets = [keys_on(output)[0] for output in outputs]
    assert len(set(secrets)) == 3
    assert secrets_in(pending_of(user)) == secrets
    assert all(output.startswith(MESSAGE) for output in outputs)
    said = {decision["detail"] for decision in syslog.decisions()}
    assert said == {"a new secret is shown for enrolling at this login"}


def test_secret_counts_for_ten_minutes_whatever_the_clock_says(
    user: User, syslog: SystemLog
) -> None:
    phone = offered(user)
    keys_on(gate(user, clock("+1d"), typed=user.password).output)
    age(user, KEPT_SECONDS - 5)
    assert verify(user, phone.incorrect_code()).code == REFUSED
    assert "secrets shown in the last 10 minutes: 2" in syslog.decisions()[-1]["detail"]
    age(user, 6)
    assert verify(user, phone.fresh_code()).code == REFUSED
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "not-enrolled"
    assert "no secret was shown to this user in the last 10 minutes" in decision["detail"]
    second = offered(user)
    assert secrets_in(pending_of(user)) == [second.secret]
    age(user, -60)  # from the future: of another boot
    assert verify(user, second.fresh_code()).code == REFUSED


ELSEWHERE = [
    {},
    {"PAM_RHOST": "203.0.113.66"},
    {"PAM_SERVICE": "login"},
    {"PAM_TTY": "/dev/pts/99"},
    {"PAM_RUSER": "mallory"},
    {"SSH_AUTH_INFO_0": "publickey x"},
]


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_look_of_somebody_else_changes_nothing_for_the_owner_who_enrolls_what_only_they_have_seen(
    user: User, elsewhere: dict[str, str]
) -> None:
    before = offered(user, **elsewhere)
    phone = offered(user)
    after = offered(user, **elsewhere)
    assert len({before.secret, phone.secret, after.secret}) == 3
    assert verify(user, phone.fresh_code()).code == ACCEPTED
    assert phone.secret in kept_uri(secret_of(user))
    assert not pending_of(user).exists()
    for other in (before, after):
        assert verify(user, other.code()).code == REFUSED


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
def test_correct_code_of_a_secret_shown_before_a_reconnect_is_correct_after_it(
    user: User, elsewhere: dict[str, str]
) -> None:
    phone = offered(user)
    offered(user, **elsewhere)
    assert verify(user, phone.fresh_code(), variables=elsewhere).code == ACCEPTED
    assert phone.secret in kept_uri(secret_of(user))


def test_of_nine_secrets_the_oldest_is_gone_and_the_log_says_how_many_were_looked_at(
    user: User, syslog: SystemLog
) -> None:
    phones = [offered(user) for _ in range(9)]
    assert verify(user, phones[0].fresh_code()).code == REFUSED
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "wrong-code"
    assert decision["detail"] == "secrets shown in the last 10 minutes: 8"
    assert verify(user, phones[1].fresh_code()).code == ACCEPTED
    assert phones[1].secret in kept_uri(secret_of(user))


def test_code_that_may_be_of_several_secrets_costs_as_many_guesses(user: User) -> None:
    phone = offered(user)
    verify(user, phone.incorrect_code())
    of_one, now = failures_of(user)[2], failures_of(user)[1]
    for _ in range(7):
        phone = offered(user)
    verify(user, phone.incorrect_code())
    assert failures_of(user)[0] == 2
    assert abs(failures_of(user)[2] - of_one - 8 * 900) <= failures_of(user)[1] - now


def test_owner_is_not_kept_waiting_when_guesses_are_used_up_but_the_newest_secret_alone_counts(
    user: User, syslog: SystemLog
) -> None:
    early, phone = offered(user), offered(user)
    verify(user, phone.incorrect_code())
    record = RECORDS / str(user.uid)
    _, last, _ = failures_of(user)
    text = FAILURES.sub(f"failures 1 {last} {last + 300 * 900}", record.read_text("ascii"))
    record.write_text(text[:4096].ljust(4096), encoding="ascii")
    let_pass(user, 1)
    assert verify(user, early.fresh_code()).code == REFUSED
    decision = syslog.decisions()[-1]
    assert decision["detail"] == (
        "too many guesses, so 1 of 2 comparisons were made; secrets shown in the last 10 minutes: 2"
    )
    let_pass(user, 900)
    assert verify(user, phone.fresh_code()).code == ACCEPTED


@pytest.mark.parametrize(
    ("code", "shown_by_the_app", "used"),
    [
        ("{digits: 8}", {}, "digits (6 for 8)"),
        ("{period: 60}", {}, "period (30 for 60)"),
        ("{algorithm: SHA256}", {}, "algorithm (SHA1 for SHA256)"),
        ("{digits: 8, algorithm: SHA512}", {"digest": hashlib.sha512}, "digits (6 for 8)"),
        ("{digits: 8, period: 15}", {"digits": 8}, "period (30 for 15)"),
    ],
)
def test_log_names_the_parameters_that_an_app_ignores(
    user: User,
    at_login: Path,
    syslog: SystemLog,
    code: str,
    shown_by_the_app: dict[str, Any],
    used: str,
) -> None:
    at_login.write_text(f"{AT_LOGIN}code: {code}\n")
    (secret,) = keys_on(gate(user, typed=user.password).output)
    typed = pyotp.TOTP(secret, **shown_by_the_app).now()
    assert verify(user, typed).code == REFUSED
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "wrong-code"
    assert decision["detail"].endswith(f"the app ignores {used}")
    assert typed not in decision["detail"] and secret not in decision["detail"]


def test_secret_that_cannot_be_kept_is_not_shown(user: User, syslog: SystemLog) -> None:
    offered(user)
    assert secrets_in(pending_of(user))
    with mounted(RECORDS / "pending", "size=4k,nr_inodes=1,mode=700"):
        answer = gate(user, typed=user.password)
    assert (answer.code, answer.output) == (ASK, f"{NOT_ENROLLED}\n")
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "state-unavailable"
    assert decision["detail"].startswith("cannot enroll at this login: ")


def test_next_user_with_the_same_id_is_shown_another_secret(user: User) -> None:
    phone = offered(user)
    run("usermod", "--login", f"{user.name}x", user.name)
    try:
        renamed = User(f"{user.name}x", user.password, user.uid, user.gid, user.home)
        assert verify(renamed, phone.fresh_code()).code == REFUSED
        assert offered(renamed).secret != phone.secret
        assert verify(renamed, phone.code()).code == REFUSED
    finally:
        run("usermod", "--login", user.name, f"{user.name}x")


@pytest.mark.parametrize("change", ["owner", "mode", "link", "text", "empty"])
def test_pending_secret_that_is_not_roots_alone_is_not_taken(user: User, change: str) -> None:
    phone = offered(user)
    path = pending_of(user)
    assert (path.stat().st_uid, path.stat().st_mode & 0o7777) == (0, 0o600)
    assert path.parent.stat().st_mode & 0o7777 == 0o700
    if change == "owner":
        os.chown(path, user.uid, -1)
    elif change == "mode":
        path.chmod(0o666)
    elif change == "link":
        path.rename(path.with_name("elsewhere"))
        path.symlink_to("elsewhere")
    else:
        path.write_text("" if change == "empty" else "x\n")
    try:
        assert verify(user, phone.fresh_code()).code == REFUSED
        assert_not_enrolled(user)
    finally:
        path.with_name("elsewhere").unlink(missing_ok=True)


def test_damaged_pending_record_is_passed_over_and_never_quoted_in_the_log(
    user: User, syslog: SystemLog
) -> None:
    phone = offered(user)
    path = pending_of(user)
    lines = path.read_text(encoding="ascii").splitlines()
    path.write_text("".join(f"{line.rpartition(' ')[0]}\n" for line in lines), encoding="ascii")
    assert verify(user, phone.fresh_code()).code == REFUSED
    decision = syslog.decisions()[-1]
    assert decision["reason"] == "not-enrolled"
    assert not any(phone.secret in line.message for line in syslog.lines())
    path.unlink()


@pytest.mark.parametrize("disk", ["full", "read-only"])
def test_home_that_cannot_be_written_refuses_and_says_so_in_the_log(
    user: User, syslog: SystemLog, disk: str
) -> None:
    phone = offered(user)
    code = phone.fresh_code()
    if disk == "full":
        options = f"size=4k,nr_inodes=2,uid={user.uid},gid={user.gid},mode=700"
        with mounted(user.home, options):
            refused = verify(user, code)
            assert tree(user.home) == {}
    else:
        with read_only(user.home):
            refused = verify(user, code)
    assert (refused.code, refused.output) == (REFUSED, "")
    assert_not_enrolled(user)
    decision = syslog.decisions()[-1]
    assert (decision["verdict"], decision["reason"]) == ("refuse", "state-unavailable")
    error = {"full": "No space left on device", "read-only": "Read-only file system"}[disk]
    assert error in decision["detail"]
    assert verify(user, phone.fresh_code()).code == ACCEPTED


def test_what_a_kill_leaves_is_gone_once_recovery_codes_are_made(user: User) -> None:
    """In place of each call that would have taken a temporary file away, or given it its name.
    That each file is whole, in place of every call: tests/faults/test_system_calls.py."""
    variables = LOGIN | {"PAM_USER": user.name}
    phone = offered(user)
    calls = calls_of(VERIFY, variables, phone.fresh_code().encode())
    chosen = [call for call in calls if call.name.startswith(("rename", "unlink"))]
    assert len([call for call in chosen if ".new-" in call.line]) >= 2
    for call in chosen:
        forget(user)
        phone = offered(user)
        ended = run_with(Error(call, KILL), VERIFY, variables, phone.code().encode())
        assert ended.injected, call
        if secret_of(user).exists():
            assert phone.secret in kept_uri(secret_of(user)), call
        assert verify(user, phone.code(1)).code == ACCEPTED, call
        assert phone.secret in kept_uri(secret_of(user))
        assert len(new_recovery_codes(user)) == 10
        assert tree(secret_of(user).parent).keys() == {
            ".gitignore",
            "secret",
            "recovery",
        }, call


def forget(user: User) -> None:
    done = pam_totp("reset", "--yes", user.name)
    assert done.code == 0, done.errors


def test_logins_at_once_keep_every_secret_and_make_one_set_of_recovery_codes(user: User) -> None:
    shown = in_parallel(8, lambda _: gate(user, typed=user.password).output)
    secrets = [key for output in shown for key in keys_on(output)]
    assert len(set(secrets)) == 8
    assert sorted(secrets_in(pending_of(user))) == sorted(secrets)
    codes = [Credential(user, secret).code() for secret in secrets]
    answers = in_parallel(8, lambda number: verify(user, codes[number]))
    accepted = [answer for answer in answers if answer.code == ACCEPTED]
    assert len(accepted) == 1
    sets = [recovery_codes_on(answer.output) for answer in accepted]
    (made,) = [codes for codes in sets if codes]
    assert len(made) == 10
    assert verify(user, made[0]).code == ACCEPTED
    assert tree(secret_of(user).parent).keys() == {"secret", "recovery", ".gitignore"}


@contextlib.contextmanager
def locked(user: User) -> Iterator[None]:
    """The user's record is another login's while the block runs."""
    with (RECORDS / str(user.uid)).open("a+b") as record:
        fcntl.lockf(record, fcntl.LOCK_EX)
        yield


def test_no_secret_is_made_while_another_login_makes_one(user: User) -> None:
    with locked(user):
        waiting = threading.Thread(target=gate, args=(user,), kwargs={"typed": user.password})
        waiting.start()
        waiting.join(timeout=2)
        assert waiting.is_alive() and not pending_of(user).exists()
    waiting.join()
    assert pending_of(user).exists()


def test_second_login_takes_what_the_first_has_saved_meanwhile(user: User) -> None:
    phone = offered(user)
    answers: list[Answer] = []
    with locked(user):
        code = phone.fresh_code()
        waiting = threading.Thread(target=lambda: answers.append(verify(user, code)))
        waiting.start()
        waiting.join(timeout=2)
        assert waiting.is_alive()
        pending_of(user).unlink()
        enroll(user, phone.secret)
    waiting.join()
    assert (answers[0].code, answers[0].output) == (ACCEPTED, "")
    assert not recovery_of(user).exists()


def in_parallel(times: int, act: Callable[[int], Kind]) -> list[Kind]:
    """What `act(number)` answers, each in a thread of its own."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(act, range(times)))


@pytest.mark.parametrize(
    ("rule", "reason"),
    [("code: never", "exempt"), ("code: if-enrolled", "not-enrolled")],
)
def test_rule_that_asks_for_no_code_wins(
    user: User, at_login: Path, syslog: SystemLog, rule: str, reason: str
) -> None:
    at_login.write_text(f"{AT_LOGIN}rules:\n  - {{user: {user.name}, {rule}}}\n")
    answer = gate(user, typed=user.password)
    assert (answer.code, answer.output) == (NO_CODE_NEEDED, "")
    assert [decision["reason"] for decision in syslog.decisions()] == [reason]


def test_grant_wins(user: User, syslog: SystemLog) -> None:
    assert pam_totp("grant", user.name, "--for", "5m").code == 0
    answer = gate(user, typed=user.password)
    assert (answer.code, answer.output) == (NO_CODE_NEEDED, "")
    assert syslog.decisions()[-1]["reason"] == "granted"


def test_user_who_has_logged_in_with_a_code_is_shown_nothing_when_the_secret_is_gone(
    user: User, syslog: SystemLog
) -> None:
    phone = offered(user)
    assert verify(user, phone.fresh_code()).code == ACCEPTED
    secret_of(user).unlink()
    assert_nothing_shown(user, gate(user, typed=user.password))
    assert verify(user, phone.fresh_code()).code == REFUSED
    assert syslog.decisions()[-1]["reason"] == "secret-missing"


def test_reset_forgets_the_pending_secret(user: User) -> None:
    phone = offered(user)
    forget(user)
    assert not pending_of(user).exists()
    assert verify(user, phone.fresh_code()).code == REFUSED
    assert offered(user).secret != phone.secret


def test_program_named_in_the_users_path_is_not_run_by_what_draws(
    user: User, tmp_path: Path
) -> None:
    """ctypes looks for libpam with gcc and ld, wherever PATH has them, if ldconfig fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("gcc", "cc", "ld", "ldconfig", "sh"):
        (folder / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (folder / name).chmod(0o755)
    trace = tmp_path / "trace"
    through = ["/usr/bin/strace", "-f", "-qq", "-s", "999", "-v", "-e", "trace=execve"]
    through += ["-o", str(trace)]
    hostile = {"PATH": str(folder), "TMPDIR": "/hostile", "DISPLAY": ":7", "LC_ALL": "hostile"}
    assert keys_on(gate(user, through, variables=hostile, typed=user.password).output)
    assert not (tmp_path / "ran").exists()
    (offer,) = [
        line for line in trace.read_text().splitlines() if "pam-totp/show-enrollment" in line
    ][:1]
    assert not any(name in offer for name in hostile)
    assert f"PAM_USER={user.name}" in offer


def test_long_message_leaves_less_room_for_the_qr_code(user: User, at_login: Path) -> None:
    at_login.write_text(f"{AT_LOGIN}messages:\n  enroll: {'long ' * 60}\n")
    answer = gate(user, typed=user.password)
    assert keys_on(answer.output)
    assert not shows_qr_code(answer.output)


def test_system_store_keeps_the_secret_from_the_user(user: User, at_login: Path) -> None:
    at_login.write_text(f"{AT_LOGIN}store: system\n")
    phone = offered(user)
    answer = verify(user, phone.fresh_code())
    assert answer.code == ACCEPTED
    folder = STATE / "secrets" / user.name
    assert tree(folder).keys() == {"secret", "recovery"}
    for name in ("secret", "recovery"):
        status = (folder / name).stat()
        assert (status.st_uid, status.st_mode & 0o7777) == (0, 0o600)
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o7777) == (0, 0o700)
    assert not secret_of(user).exists()
    codes = recovery_codes_on(answer.output)
    assert verify(user, codes[3]).code == ACCEPTED
    assert gate(user, typed=user.password).output == ""


@pytest.mark.parametrize(
    ("chosen", "read_on"),
    [("both", ["dark", "light"]), ("dark", ["dark"]), ("light", ["light"]), ("off", [])],
)
def test_qr_code_reads_on_the_backgrounds_that_the_settings_choose(
    user: User, at_login: Path, tmp_path: Path, chosen: str, read_on: list[str]
) -> None:
    at_login.write_text(f"{AT_LOGIN}enrollment_qr: {chosen}\n")
    output = gate(user, typed=user.password).output
    (secret,) = keys_on(output)
    themes = {"dark": DARK_THEME, "light": LIGHT_THEME}
    read = {name: scan(output, tmp_path, theme) for name, theme in themes.items()}
    assert [name for name, uri in read.items() if secret in uri] == read_on
    assert [uri for name, uri in read.items() if name not in read_on] == [""] * (2 - len(read_on))
    assert shows_qr_code(output) == (chosen != "off")


def test_what_shows_an_enrollment_ends_wherever_it_hangs(
    hanging: "subprocess.Popen[bytes]",
) -> None:
    """A directory that does not answer, or a home: there it would hold the account's lock."""
    assert hanging.wait(timeout=60) == -signal.SIGALRM
    assert hanging.stdout is not None
    assert keys_on(hanging.stdout.read().decode()) == []
