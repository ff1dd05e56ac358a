# SPDX-License-Identifier: MIT
"""config/pam/with-google-authenticator: whatever either line returns, users are asked once."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from pam_totp.stack import dispatch, ways_in
from pam_totp.stack.credentials import credential_meanings
from pam_totp.stack.libpam import IGNORE, RETURN_VALUES, SUCCESS, Libpam, installed
from pam_totp.stack.lines import Line
from pam_totp.stack.other_codes import refuses_strangers
from pam_totp.stack.service import Service, read_service
from tests.host.pam_services import shipped_lines

EXAMPLE = "with-google-authenticator"
OURS, THEIRS = "pam_totp.so", "pam_google_authenticator.so"
PASSED = ["auth [success=1 default=ignore] pam_unix.so", "auth requisite pam_deny.so"]
COMMON_AUTH = [*PASSED, "auth required pam_permit.so"]


@pytest.fixture(params=["nullok", ""])
def service(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Service, Libpam]:
    """The shipped lines behind those of Debian's common-auth; theirs with and without nullok."""
    lines = [line.replace("nullok", request.param) for line in shipped_lines(EXAMPLE)]
    (tmp_path / "sshd").write_text("\n".join([*COMMON_AUTH, *lines, ""]))
    libpam = dataclasses.replace(installed(), folders=(str(tmp_path),))
    return read_service("sshd", libpam), libpam


def outcome(given: tuple[Service, Libpam], **results: int) -> tuple[int, list[str]]:
    """What the stack returns after a correct password, and which of the two lines were reached."""
    found, libpam = given
    lines = found.stacks["auth"]
    others = {"pam_unix.so": SUCCESS, "pam_permit.so": SUCCESS}
    names = {OURS: results["ours"], THEIRS: results["theirs"]} | others
    done = dispatch.authenticate(lines, lambda line: names[line.module_name], libpam)
    return done.value, [
        lines[at].module_name for at in done.reached if lines[at].module_name in (OURS, THEIRS)
    ]


def test_of_every_pair_of_results_nobody_is_asked_twice_and_no_refusal_is_passed_over(
    service: tuple[Service, Libpam],
) -> None:
    for ours, theirs in itertools.product(range(len(RETURN_VALUES)), repeat=2):
        value, reached = outcome(service, ours=ours, theirs=theirs)
        is_asked_by_theirs = ours == IGNORE  # a user who is not enrolled here
        assert reached == [OURS, THEIRS][: 1 + is_asked_by_theirs], (ours, theirs)
        is_accepted = ours == SUCCESS or (is_asked_by_theirs and theirs in (SUCCESS, IGNORE))
        assert (value == SUCCESS) == is_accepted, (ours, theirs)


def test_sshds_other_process_sets_credentials_of_all_whom_the_lines_accept(
    service: tuple[Service, Libpam],
) -> None:
    """It calls pam_setcred in a handle of its own, where each line acts on its own result."""
    found, libpam = service
    lines = found.stacks["auth"]

    def results(line: Line) -> list[int]:
        return sorted(credential_meanings(line))

    for values in itertools.product(*(results(line) for line in lines)):
        by_line = dict(zip(lines, values, strict=True))
        assert dispatch.setcred(lines, by_line.__getitem__, libpam).value == SUCCESS


def test_explain_sees_a_code_on_every_way_that_asks(service: tuple[Service, Libpam]) -> None:
    words = {way.words for way in ways_in.ways_in(service[0])}
    assert "password, then code" in words
    assert not any(way.startswith(("nothing", "code")) for way in words)


def test_users_without_a_secret_there_pass_their_line_only_with_nullok(
    service: tuple[Service, Libpam],
) -> None:
    theirs = service[0].stacks["auth"][-1]
    words = {way.words for way in ways_in.ways_in(service[0])}
    is_lenient = "nullok" in theirs.arguments
    assert ("password, then no code needed" in words) == is_lenient
    assert refuses_strangers(theirs) == (not is_lenient)


def test_a_wrong_password_leads_to_neither_line(service: tuple[Service, Libpam]) -> None:
    found, libpam = service
    lines = found.stacks["auth"]
    done = dispatch.authenticate(lines, lambda line: 7, libpam)  # PAM_AUTH_ERR
    assert done.value != SUCCESS
    assert {lines[at].module_name for at in done.reached} == {"pam_unix.so", "pam_deny.so"}
