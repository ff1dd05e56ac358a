# SPDX-License-Identifier: MIT
"""`pam-totp sheet`: a page for each user, of the secret that is there, in a new file of root's."""

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pam_totp.enrollment.symbol import rows_of
from pam_totp.sheets.page import qr_code
from tests.commands.commands import (
    assert_refused,
    configured,
    mounted,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    secret_of,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential, new_secrets
from tests.host.programs import ACCEPTED, COMMAND, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import Session

CODE = re.compile(r"<code>((?:[a-z2-7]{4}-){3}[a-z2-7]{4})</code>")
ARTICLE = "<article "


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "sheet.html"


def key_of(document: str) -> str:
    found = re.search(r"<code(?: class=\"long\")?>([A-Z2-7 ]+)</code>", document)
    assert found
    return found[1].replace(" ", "")


def test_key_on_the_sheet_is_the_enrolled_one_and_its_code_is_accepted(
    user: User, credential: Credential, out: Path
) -> None:
    assert pam_totp("sheet", user.name, "--html", str(out)).code == 0
    assert key_of(out.read_text()) == credential.secret
    assert verify(user, Credential(user, key_of(out.read_text())).fresh_code()).code == ACCEPTED


def test_sheet_is_root_s_alone_from_its_first_byte_on(
    user: User, credential: Credential, out: Path
) -> None:
    trace = out.with_name("trace")
    traced = f'umask 0; exec strace -o {trace} -e trace=openat,chmod,fchmod "$@"'
    through = ["sh", "-c", traced, "-"]
    assert pam_totp("sheet", user.name, "--html", str(out), through=through).code == 0
    made = [line for line in trace.read_text().splitlines() if "sheet.html" in line]
    assert len(made) == 1 and "O_EXCL" in made[0] and made[0].rpartition(" = ")[0].endswith("0600)")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert "chmod" not in trace.read_text()


def test_several_users_have_a_page_each(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], out: Path
) -> None:
    users = [make_user() for _ in range(3)]
    credentials = [enrolled(user) for user in users]
    names = [user.name for user in users]
    assert pam_totp("sheet", *names, names[0], "--html", str(out)).code == 0
    pages = out.read_text().split(ARTICLE)[1:]
    assert [key_of(page) for page in pages] == [each.secret for each in credentials]


def test_showing_a_secret_is_logged_before_it_is_shown(
    user: User, credential: Credential, tmp_path: Path, syslog: SystemLog
) -> None:
    with mounted(tmp_path, "size=8k"):  # which takes the beginning, and not the page
        out = str(tmp_path / "sheet.html")
        assert_refused(pam_totp("sheet", user.name, "--html", out), "No space left on device")
    assert [line.fields["action"] for line in syslog.lines("action=")] == ["show-secret"]
    assert syslog.lines("action=")[0].fields["user"] == user.name
    assert credential.secret not in str([line.fields for line in syslog.lines("")])


def test_sheet_without_new_recovery_codes_says_that_earlier_ones_stay_valid(
    user: User, credential: Credential, out: Path
) -> None:
    codes = new_recovery_codes(user)
    assert pam_totp("sheet", user.name, "--html", str(out)).code == 0
    assert "received earlier are still valid" in out.read_text()
    assert not CODE.findall(out.read_text())
    assert verify(user, codes[0]).code == ACCEPTED


def test_user_without_recovery_codes_is_told_so(
    user: User, credential: Credential, out: Path
) -> None:
    assert pam_totp("sheet", user.name, "--html", str(out)).code == 0
    assert "There are no recovery codes" in out.read_text()


def test_new_recovery_codes_are_accepted_and_the_old_ones_refused(
    user: User, credential: Credential, out: Path, syslog: SystemLog
) -> None:
    old = new_recovery_codes(user)
    syslog.clear()
    assert pam_totp("sheet", user.name, "--new-recovery-codes", "--html", str(out)).code == 0
    new = CODE.findall(out.read_text())
    assert len(set(new)) == 10
    assert verify(user, old[0]).code == REFUSED
    assert verify(user, new[9]).code == ACCEPTED
    actions = [line.fields["action"] for line in syslog.lines("action=")]
    assert actions == ["show-secret", "recovery-codes"]


def test_full_disk_for_the_sheet_leaves_the_recovery_codes(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    old = new_recovery_codes(user)
    with mounted(tmp_path, "size=8k"):
        out = tmp_path / "sheet.html"
        answer = pam_totp("sheet", user.name, "--new-recovery-codes", "--html", str(out))
        assert_refused(answer, f"cannot write {out}: No space left on device")
        assert not out.exists()
    assert verify(user, old[0]).code == ACCEPTED


def test_page_of_codes_that_could_not_be_saved_is_not_in_the_file(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], out: Path
) -> None:
    first, second = make_user(), make_user()
    secrets = [enrolled(user).secret for user in (first, second)]
    old = new_recovery_codes(second)
    command = ["sheet", first.name, second.name, "--new-recovery-codes", "--html", str(out)]
    # After the trial of both places, and the first user's codes and .gitignore.
    inject = ["strace", "-o", "/dev/null", "-e", "trace=rename,renameat,renameat2"]
    through = [*inject, "-e", "inject=rename,renameat,renameat2:error=EIO:when=5"]
    answer = pam_totp(*command, through=through)
    assert_refused(answer, f"there is no page of {second.name}")
    pages = out.read_text().split(ARTICLE)[1:]
    assert [key_of(page) for page in pages] == secrets[:1]
    assert verify(first, CODE.findall(pages[0])[0]).code == ACCEPTED
    assert verify(second, old[0]).code == ACCEPTED


def test_names_that_no_qr_code_holds_are_found_before_anybody_gets_new_codes(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], out: Path
) -> None:
    """The names are the user's own, who is not to spoil the sheets of others."""
    first, hostile = make_user(), make_user()
    enrolled(first)
    codes = new_recovery_codes(first)
    secret = new_secrets()[0]
    hostile.give(secret_of(hostile), f"otpauth://totp/{'x' * 3000}?secret={secret} phone\n")
    arguments = [first.name, hostile.name, "--html", str(out), "--new-recovery-codes"]
    answer = pam_totp("sheet", *arguments)
    assert_refused(answer, f"the names in the secret file of {hostile.name} are too long")
    assert secret not in answer.errors and not out.exists()
    assert verify(first, codes[0]).code == ACCEPTED


def test_user_who_is_not_enrolled_is_an_error_that_names_the_command(user: User, out: Path) -> None:
    answer = pam_totp("sheet", user.name, "--html", str(out))
    assert_refused(answer, f"{user.name} is not enrolled")
    assert answer.errors.endswith("hint: pam-totp enroll --users FILE --sheets DIR\n")
    assert not out.exists()


def test_one_of_several_devices_has_to_be_named(user: User, out: Path) -> None:
    secrets = new_secrets(2)
    lines = [
        f"otpauth://totp/server:{name}?secret={secret}&issuer=server {name}\n"
        for name, secret in zip(["phone", "tablet"], secrets, strict=True)
    ]
    user.give(secret_of(user), "".join(lines))
    answer = pam_totp("sheet", user.name, "--html", str(out))
    assert_refused(answer, f"{user.name} has several devices: phone, tablet")
    answer = pam_totp("sheet", user.name, "--html", str(out), "--device", "tab")
    assert_refused(answer, "no device 'tab'; did you mean tablet?")
    assert pam_totp("sheet", user.name, "--html", str(out), "--device", "tablet").code == 0
    assert key_of(out.read_text()) == secrets[1]


def test_sheet_of_a_device_by_its_id_has_the_code_that_devices_show_has(
    user: User, out: Path
) -> None:
    secret = new_secrets(1)[0]
    parameters = f"image=x&notsecret=AAAA&secret={secret}&added=20261129T1711Z"
    user.give(secret_of(user), f"otpauth://totp/s:a?{parameters} phone\n")
    (device,) = json.loads(pam_totp("devices", "--user", user.name, "--json").output)["devices"]
    shown = pam_totp("devices", "show", "phone", "--user", user.name, "--uri").output.strip()
    answer = pam_totp("sheet", user.name, "--device", device["id"], "--html", str(out))
    assert answer.code == 0
    assert key_of(out.read_text()) == secret
    drawn = re.findall(r' d="[^"]*"', qr_code(rows_of(shown), "", 1))
    assert drawn and re.findall(r' d="[^"]*"', out.read_text()) == drawn


def test_token_that_counts_has_no_sheet(user: User, credential: Credential, out: Path) -> None:
    """What a sheet says of the app and of the clock is not true of it."""
    text = secret_of(user).read_text().replace("totp/", "hotp/").replace("?", "?counter=0&")
    secret_of(user).write_text(text)
    answer = pam_totp("sheet", user.name, "--html", str(out))
    assert_refused(answer, "go by a counter")
    assert "pam-totp devices show" in answer.errors
    assert not out.exists()


def test_user_without_a_device_is_an_error_that_names_the_command(user: User, out: Path) -> None:
    user.give(secret_of(user), "# nothing\n")
    answer = pam_totp("sheet", user.name, "--html", str(out))
    assert_refused(answer, "no credential in the file")
    assert answer.errors.endswith(f"hint: pam-totp enroll --user {user.name}\n")


def test_standard_output_that_is_full_is_an_error_without_a_path(
    user: User, credential: Credential
) -> None:
    full = ["sh", "-c", 'exec "$@" >/dev/full', "-"]
    answer = pam_totp("sheet", user.name, "--html", "-", through=full)
    assert_refused(answer, "cannot write standard output: No space left on device")
    assert answer.errors.endswith("hint: ls -l /dev/stdout\n")


def link(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))


def link_to_a_file(path: Path) -> None:
    path.with_name("elsewhere").write_text("kept")
    path.symlink_to(path.with_name("elsewhere"))


def file(path: Path) -> None:
    path.write_text("kept")


@pytest.mark.parametrize("make", [link, link_to_a_file, file, os.mkfifo, Path.mkdir])
def test_name_that_is_taken_stays_as_it_is(
    user: User, credential: Credential, out: Path, make: Callable[[Path], None]
) -> None:
    make(out)
    before = out.lstat()
    answer = pam_totp("sheet", user.name, "--new-recovery-codes", "--html", str(out))
    assert_refused(answer, f"{out} already exists, and is never overwritten; nothing was changed")
    assert answer.errors.endswith("hint: choose another name\n")
    assert (out.lstat().st_ino, out.lstat().st_size) == (before.st_ino, before.st_size)
    assert not recovery_of(user).exists()
    elsewhere = out.with_name("elsewhere")
    assert not elsewhere.exists() or elsewhere.read_text() == "kept"


def test_folder_that_is_not_there_or_read_only_is_an_error(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing" / "sheet.html")
    assert_refused(pam_totp("sheet", user.name, "--html", missing), "No such file or directory")
    with read_only(tmp_path):
        answer = pam_totp("sheet", user.name, "--html", str(tmp_path / "x"))
        assert_refused(answer, "Read-only file system")


def test_standard_output_takes_a_sheet_unless_it_is_a_terminal(
    user: User, credential: Credential
) -> None:
    answer = pam_totp("sheet", user.name, "--html", "-")
    assert (answer.code, answer.errors) == (0, "")
    assert answer.output.startswith("<!DOCTYPE html>") and answer.output.endswith("</html>\n")
    terminal = Session([COMMAND, "sheet", user.name, "--html", "-"], None, {})
    try:
        done = terminal.finish()
    finally:
        terminal.close()
    assert done.status == 1
    shown = done.transcript
    assert "standard output is a terminal" in shown
    assert credential.secret not in shown.replace(" ", "")


def test_only_root_makes_sheets(user: User, credential: Credential, out: Path) -> None:
    answer = pam_totp("sheet", user.name, "--html", str(user.home / "x"), user=user)
    assert_refused(answer, "this command must be run as root")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nosuchuser"], "there is no user 'nosuchuser'"),
        (["root", "--language", "fr"], "unknown language 'fr'; choose de or en"),
        (["root", "--contact", "a\nb"], "must be 1 to 100 printable characters"),
        (["root", "--contact", "x" * 101], "must be 1 to 100 printable characters"),
        ([], "required: USER"),
    ],
)
def test_wrong_usage_is_two_lines_and_no_file(
    out: Path, arguments: list[str], message: str
) -> None:
    answer = pam_totp("sheet", *arguments, "--html", str(out))
    assert_refused(answer, message, code=1 if "no user" in message else 2)
    assert not out.exists()


def test_sheet_is_in_the_language_and_with_the_contact_that_were_asked_for(
    user: User, credential: Credential, out: Path
) -> None:
    contact = "Frau <Müller> & Söhne"
    options = ["--language", "de", "--contact", contact, "--html", str(out)]
    assert pam_totp("sheet", user.name, *options).code == 0
    assert '<html lang="de">' in out.read_text()
    assert "Wenden Sie sich an: <bdi>Frau &lt;Müller&gt; &amp; Söhne</bdi>" in out.read_text()


def test_secret_of_the_system_s_store_is_shown_too(
    user: User, credential: Credential, out: Path
) -> None:
    with configured("store: system\n"):
        assert pam_totp("migrate", user.name).code == 0
        assert (STATE / "secrets" / user.name / "secret").exists()
        assert pam_totp("sheet", user.name, "--html", str(out)).code == 0
        assert key_of(out.read_text()) == credential.secret


@pytest.mark.parametrize("content", ["nonsense\n", ""])
def test_damaged_secret_is_an_error(user: User, out: Path, content: str) -> None:
    user.give(secret_of(user), content)
    answer = pam_totp("sheet", user.name, "--html", str(out))
    assert_refused(answer, f"the secret of {user.name} cannot be used")
    assert not out.exists()
