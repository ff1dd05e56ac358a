# SPDX-License-Identifier: MIT
"""A secret that is there is replaced only by somebody who knows the system password."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.enrollment.person import PASSWORD_PROMPT, Start, run, secret_file
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, REFUSED
from tests.login.programs import verify


def test_password_replaces_the_secret(user: User, credential: Credential, start: Start) -> None:
    person = start(user, "enroll")
    person.read_until("is already enrolled. This will replace the existing secret.")
    person.answer(PASSWORD_PROMPT, user.password)
    phone = person.scan()
    person.type_line(phone.code())
    finished = person.finish()
    assert finished.status == 0
    assert user.password not in finished.output
    assert credential.secret not in secret_file(user).read_text(encoding="utf-8")
    assert verify(user.name, credential.fresh_code()) == REFUSED
    assert verify(user.name, phone.code()) == ACCEPTED


def test_secret_is_shown_to_nobody_before_the_password(
    user: User, credential: Credential, start: Start
) -> None:
    person = start(user, "enroll")
    person.answer(PASSWORD_PROMPT, "wrong")
    person.answer(PASSWORD_PROMPT, user.password)
    phone = person.scan()
    before = person.shown.partition(b"URI: ")[0]
    assert b"Not accepted" in before
    assert phone.secret.encode() not in before
    assert b"otpauth" not in before


def test_three_wrong_passwords_keep_the_old_secret_byte_for_byte(
    user: User, credential: Credential, start: Start
) -> None:
    before = secret_file(user).read_bytes(), secret_file(user).stat().st_ino
    person = start(user, "enroll")
    for typed in ("wrong", "", f"{user.password} "):
        person.answer(PASSWORD_PROMPT, typed)
    finished = person.finish()
    assert finished.status == 1
    assert finished.output.count("Not accepted") == 3
    assert (
        "pam-totp: error: the password was not accepted; nothing was changed\nhint: "
        f"without a password, ask root to run: pam-totp reset {user.name}\n"
    ) in finished.output
    assert "otpauth" not in finished.output
    assert (secret_file(user).read_bytes(), secret_file(user).stat().st_ino) == before
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


def test_password_may_come_from_a_pipe(user: User, credential: Credential) -> None:
    finished = run(user, "enroll", typed=f"{user.password}\n")
    assert finished.error == "no answer; nothing was changed"
    assert "otpauth" in finished.output
    assert user.password not in finished.output + finished.errors
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


def test_password_of_root_is_of_no_use(
    make_user: Callable[..., User], credential: Credential
) -> None:
    other = make_user()
    finished = run(credential.user, "enroll", typed=f"{other.password}\n")
    assert finished.status == 1
    assert "otpauth" not in finished.output


def test_missing_service_changes_nothing_and_names_the_file(
    user: User, credential: Credential
) -> None:
    service = Path("/usr/lib/pam.d/pam-totp")
    content = service.read_bytes()
    service.unlink()
    try:
        finished = run(user, "enroll", typed=f"{user.password}\n")
    finally:
        service.write_bytes(content)
    assert finished.status == 1
    assert finished.error == "/usr/lib/pam.d/pam-totp is missing"
    assert verify(user.name, credential.fresh_code()) == ACCEPTED


@pytest.mark.parametrize("content", ["", "nonsense\n", "# only a comment\n"])
def test_file_without_a_credential_still_wants_the_password(
    user: User, start: Start, content: str
) -> None:
    user.give(secret_file(user), content)
    person = start(user, "enroll")
    person.answer(PASSWORD_PROMPT, user.password)
    phone = person.scan()
    person.type_line(phone.code())
    assert person.finish().status == 0
    assert verify(user.name, phone.code()) == ACCEPTED


def unsafe_mode(path: Path) -> None:
    path.chmod(0o644)


def of_root(path: Path) -> None:
    os.chown(path, 0, 0)


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def link_of_the_folder(path: Path) -> None:
    path.parent.rename(path.parents[1] / "elsewhere")
    path.parent.symlink_to("elsewhere")


def link_to_nowhere(path: Path) -> None:
    subprocess.run(["rm", "-r", str(path.parents[1])], check=True)
    path.parents[1].symlink_to("nowhere")


def folder_open_to_all(path: Path) -> None:
    path.parent.chmod(0o777)


@pytest.mark.parametrize("option", [[], ["--device", "laptop"]], ids=["replace", "add"])
@pytest.mark.parametrize(
    ("break_it", "repair"),
    [
        (unsafe_mode, "chmod 600 {folder}/secret"),
        (of_root, "sudo chown {user} {folder}/secret"),
        (link, "replace it with the file itself"),
        (link_of_the_folder, "replace it with a folder"),
        (link_to_nowhere, "remove it"),
        (folder_open_to_all, "chmod o-w {folder}"),
    ],
    ids=lambda each: each.__name__ if callable(each) else "",
)
def test_secret_that_a_login_would_not_read_is_not_built_upon(
    user: User,
    credential: Credential,
    break_it: Callable[[Path], None],
    repair: str,
    option: list[str],
) -> None:
    """The hint is the repair of that very fault."""
    break_it(secret_file(user))
    finished = run(user, "enroll", *option, typed=f"{user.password}\n")
    assert finished.status == 1
    assert finished.error.startswith("the secret cannot be used: ")
    assert finished.error.endswith("; nothing was changed")
    hint = repair.format(user=user.name, folder=secret_file(user).parent)
    assert finished.errors.endswith(f"\nhint: {hint}\n")
    assert finished.output == ""


def test_more_devices_than_a_login_tries_are_not_added(user: User, credential: Credential) -> None:
    line = secret_file(user).read_text(encoding="utf-8")
    user.give(secret_file(user), line * 32)
    finished = run(user, "enroll", "--device", "laptop", typed=f"{user.password}\n")
    assert finished.status == 1
    assert finished.error == "32 devices are enrolled"
    assert secret_file(user).read_text(encoding="utf-8") == line * 32


def test_what_is_saved_is_never_more_than_a_login_reads(user: User, credential: Credential) -> None:
    """A file full of comments leaves no room for one more device."""
    path = secret_file(user)
    content = path.read_text(encoding="utf-8") + "# " + "x" * 100
    user.give(path, content.ljust(65_500, "x") + "\n")
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
    finished = run(user, "enroll", "--device", "laptop", typed="")
    assert finished.error == "the secret file has no room for one more device"
    assert verify(user.name, credential.fresh_code()) == ACCEPTED
