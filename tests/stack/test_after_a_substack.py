# SPDX-License-Identifier: MIT
"""Where a stack goes on after a wrong password: `explain` names the line, the snippet mends it."""

import json
from collections.abc import Callable

import pytest

from tests.commands.commands import failures_of, pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import ONE_LINE, PASSWORD_LINE, SERVICES, PamServices
from tests.stack.libpam import PAM_AUTH_ERR, PAM_SUCCESS, Outcome, authenticate_apart

# Debian's own of cockpit-ws, without what depends on cockpit and SELinux.
COCKPIT = """#%PAM-1.0
auth       substack     common-auth
auth       optional     pam_ssh_add.so
account    required     pam_nologin.so
@include   common-account
"""
PASSWORD, CODE = "Password: ", "Verification code: "


@pytest.fixture
def log_in(pam_services: PamServices) -> Callable[..., Outcome]:
    """`log_in(text, user, answers)`: one login to cockpit, whose PAM file has that text."""

    def at_cockpit(text: str, user: User, answers: list[str]) -> Outcome:
        pam_services.write("cockpit", text)
        return authenticate_apart(SERVICES, "cockpit", user.name, answers)

    return at_cockpit


def with_our_line(after: str) -> str:
    """The file with our line right after one that takes the place of the substack."""
    substack = "auth       substack     common-auth\n"
    return COCKPIT.replace(substack, f"{after}\n{ONE_LINE}\n")


def but(user: User) -> list[str]:
    found = pam_totp("explain", user.name, "--service", "cockpit", "--json")
    said: list[str] = json.loads(found.output)["warnings"]
    return said


def test_explain_names_the_line_that_a_wrong_password_reaches(
    user: User, enrolled: Callable[..., Credential], log_in: Callable[..., Outcome]
) -> None:
    wrong = enrolled(user).incorrect_code()
    stranger = log_in(with_our_line("auth substack common-auth"), user, ["wrong", wrong])
    assert stranger.prompts[:2] == [PASSWORD, CODE]  # why explain must say so
    (said,) = but(user)
    assert said == (
        "/etc/pam.d/cockpit: a wrong password still reaches the pam_totp.so line, after 'substack "
        "common-auth'; replace 'auth substack' by '@include'"
    )


def test_stack_as_the_snippet_says_asks_no_stranger_for_a_code_and_counts_nothing(
    user: User, enrolled: Callable[..., Credential], log_in: Callable[..., Outcome]
) -> None:
    credential = enrolled(user)
    text = with_our_line(PASSWORD_LINE)
    stranger = log_in(text, user, ["wrong", credential.incorrect_code()])
    assert (stranger.authenticate, stranger.prompts) == (PAM_AUTH_ERR, [PASSWORD])
    assert failures_of(user) == (0, 0, 0)
    assert but(user) == []
    owner = log_in(text, user, [user.password, credential.fresh_code()])
    assert (owner.authenticate, owner.prompts) == (PAM_SUCCESS, [PASSWORD, CODE])
