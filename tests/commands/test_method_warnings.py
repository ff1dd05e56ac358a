# SPDX-License-Identifier: MIT
"""What `config check` warns about where a rule accepts codes that are sent."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.review.settings_faults import check
from pam_totp.review.settings_warnings import warnings_of
from tests.commands.commands import configured, pam_totp
from tests.host.accounts import User
from tests.sending.outbox import NUMBER, give_contact

SMS_WHY = "NIST SP 800-63B-4 restricts codes by telephone (sections 3.1.3.3 and 3.2.9)"
MAIL_WHY = "mail is no out-of-band authenticator (NIST SP 800-63B-4, section 3.1.3.1)"
SENDS = "code: required, methods: [totp, sms]"
LINE = re.compile(r"- \{[^}]*\}")


@pytest.fixture
def admin(make_user: Callable[..., User]) -> Iterator[User]:
    """A user who may do everything by the group sudo."""
    user = make_user()
    subprocess.run(["usermod", "-aG", "sudo", user.name], check=True)
    yield user


@pytest.fixture
def reached(make_user: Callable[..., User]) -> User:
    """Somebody with both contacts, so that nothing is said of that."""
    user = make_user()
    give_contact(user, ("sms", NUMBER), ("mail", "a@example.org"))
    return user


def warnings(rules: str, settings: str = "") -> list[str]:
    found = check(f"{settings}rules:\n{rules}".encode())
    assert found.faults == []
    others = ("locked out", "does not exist", "never asks for a code", "asks for a code (no pam")
    return [each for each in warnings_of(found) if not any(text in each for text in others)]


def test_administrators_are_warned_of_with_the_lines_that_take_them_out(
    admin: User, reached: User
) -> None:
    rule = f"- {{{SENDS}}}\n"
    (said,) = warnings(rule)
    assert said.startswith("line 2: root and members of ")
    assert f"may log in with codes by sms, though {SMS_WHY}; above this rule, add: - {{" in said
    lines = LINE.findall(said)
    assert lines[0] == "- {user: root, code: required, methods: [totp]}"
    assert "sudo" in lines[1]
    assert lines[1].endswith(", code: required, methods: [totp]}")
    assert warnings("".join(f"{line}\n" for line in lines) + rule) == []


def test_mail_is_worse_and_said_to_be(admin: User, reached: User) -> None:
    (said,) = warnings("- {code: required, methods: [totp, sms, mail]}\n")
    assert f"codes by sms or mail, though {SMS_WHY} and {MAIL_WHY}; above" in said
    (said,) = warnings("- {code: required, methods: [mail, totp]}\n")
    assert f"codes by mail, though {MAIL_WHY}; above" in said


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        ("service: [sshd, 'log*']", 'service: [sshd, "log*"]'),
        ("from: [192.0.2.0/24, '2001:db8::/32', local]", "from: "),
        ("publickey: no", "publickey: no"),
    ],
)
def test_lines_have_the_conditions_of_the_rule(
    admin: User, reached: User, conditions: str, kept: str
) -> None:
    rule = f"- {{{conditions}, {SENDS}}}\n"
    found = [each for each in warnings(rule) if "above this rule" in each]
    (said,) = found
    lines = LINE.findall(said)
    assert all(kept in line for line in lines)
    added = "".join(f"{line}\n" for line in lines)
    assert not [each for each in warnings(added + rule) if "above this rule" in each]


def test_rule_for_users_by_name_names_the_administrators_among_them(
    admin: User, reached: User
) -> None:
    rule = f"- {{user: [{admin.name}, {reached.name}], {SENDS}}}\n"
    (said,) = warnings(rule)
    assert said.startswith(f"line 2: {admin.name} may log in with codes by sms")
    assert said.endswith(f"add: - {{user: {admin.name}, code: required, methods: [totp]}}")


def test_rule_for_administrators_alone_is_to_be_changed_itself(admin: User) -> None:
    give_contact(admin, ("sms", NUMBER))
    (said,) = warnings(f"- {{user: {admin.name}, {SENDS}}}\n")
    assert said.endswith("; write methods: [totp]")


@pytest.mark.parametrize(
    "rules",
    [
        "- {{user: {0}, " + SENDS + "}}\n",
        "- {{group: {0}, " + SENDS + "}}\n",
        "- {{user: root, code: never}}\n- {{group: sudo, code: required}}\n"
        "- {{user: [root, {0}], " + SENDS + "}}\n",
        "- {{code: required, methods: [totp]}}\n",
    ],
)
def test_nothing_is_said_of_rules_for_others(admin: User, reached: User, rules: str) -> None:
    assert warnings(rules.format(reached.name)) == []


def test_rule_for_sudo_is_for_administrators_whoever_they_are(reached: User) -> None:
    (said,) = warnings(f"- {{user: {reached.name}, service: sudo, {SENDS}}}\n")
    assert said.startswith("line 2: users of sudo may log in with codes by sms")


def test_methods_of_a_rule_that_never_asks_have_no_effect() -> None:
    assert warnings("- {user: nobody, code: never, methods: [totp, sms]}\n") == [
        "line 2: methods has no effect with `code: never`"
    ]


@pytest.mark.parametrize(("of_user", "of_host"), [(100, 100), (100, 50), (10, 10)])
def test_limits_under_which_one_user_takes_all_are_warned_of(
    reached: User, of_user: int, of_host: int
) -> None:
    rules = f"- {{user: {reached.name}, {SENDS}}}\n"
    limits = f"send: {{user_limit: {of_user}, host_limit: {of_host}}}\n"
    (said,) = warnings(rules, limits)
    assert said.endswith(
        f"with send.user_limit {of_user} and send.host_limit {of_host}, one user can use up what "
        "this host sends in an hour"
    )
    assert warnings(rules, "send: {user_limit: 9, host_limit: 10}\n") == []
    assert warnings(rules.replace(", sms", ""), limits) == []


def test_chance_of_a_guesser_is_with_the_codes_that_are_sent(reached: User) -> None:
    """A try of eight digits may be any of them: what is below 1 % without them may be above."""
    settings = "code: {digits: 8, window: 5}\nthrottle: {longest_wait: 30}\n"
    rules = f"- {{user: {reached.name}, {SENDS}}}\n"
    (said,) = warnings(rules, settings)
    assert "a guesser who knows the password has a 1% chance to log in" in said
    with configured(f"{settings}rules:\n{rules}"):
        text = pam_totp("config", "check").output
    assert "however many devices the user has and however many codes are sent.\n" in text
    assert warnings(rules.replace(", sms", ""), settings) == []


def test_rule_under_which_no_code_can_be_sent_to_anybody_counts_them(
    make_user: Callable[..., User],
) -> None:
    users = [make_user() for _ in range(3)]
    rule = f"- {{user: [{', '.join(user.name for user in users)}], {SENDS}}}\n"
    give_contact(users[0], ("mail", "a@example.org"))  # which the rule does not accept
    assert warnings(rule) == [
        "line 2: none of the users whom this rule is for (3) has a contact for sms; to record one, "
        "run: pam-totp contact USER"
    ]
    give_contact(users[2], ("sms", NUMBER))
    assert warnings(rule) == []


def test_users_contacts_are_not_told_to_users(user: User) -> None:
    path = user.home / "new.yaml"
    user.give(path, f"rules:\n- {{user: {user.name}, {SENDS}}}\n")
    assert "has a contact" not in pam_totp("config", "check", str(path), user=user).errors
    assert "has a contact" in pam_totp("config", "check", str(path)).errors


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("send: {sms: /nowhere/send}", "line 1, column 8: no code can be sent by sms: /nowhere/s"),
        ("send: {sms: /tmp/unsafe}", "line 1, column 8: no code can be sent by sms: /tmp"),
        ("send: {mail: /nowhere}", ""),  # no rule needs it
    ],
)
def test_program_that_cannot_be_run_is_named_if_a_rule_needs_it(
    reached: User, setting: str, fault: str
) -> None:
    found = warnings(f"- {{user: {reached.name}, {SENDS}}}\n", f"{setting}\n")
    assert [each.startswith(fault) for each in found] == ([True] if fault else [])


def test_missing_program_of_the_default_is_told_at_the_rule_with_its_package(reached: User) -> None:
    program = Path("/usr/bin/gammu-smsd-inject")
    moved = program.with_name("moved")
    shutil.move(program, moved)
    try:
        found = warnings(f"- {{user: {reached.name}, {SENDS}}}\n")
    finally:
        shutil.move(moved, program)
    assert found == [
        f"line 2: no code can be sent by sms: {program}: No such file or directory; install "
        "gammu-smsd"
    ]
