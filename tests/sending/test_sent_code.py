# SPDX-License-Identifier: MIT
"""What a code that was sent is good for: one login, once, five minutes, as one guess of many."""

import fcntl
import json
import os
import re
import threading
from collections.abc import Callable

import pyotp
import pytest

from pam_totp.records.config.table import SETTINGS
from pam_totp.records.user import sent
from tests.commands.commands import (
    configured,
    failures_of,
    gate,
    mounted,
    pam_totp,
    read_only,
    verify,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.phone import Phone
from tests.host.programs import ACCEPTED, ASK, NO_CODE_NEEDED, RECORDS, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.sending.application import Application, login
from tests.sending.outbox import (
    NUMBER,
    SENDS,
    SHOWN_NUMBER,
    TextMessage,
    give_contact,
    logged,
    wait_for,
)
from tests.trial.change_host import wait_until

Messages = Callable[[], list[TextMessage]]
KEY = {"SSH_AUTH_INFO_0": "publickey ssh-ed25519 AAAA\n"}


@pytest.fixture
def contact(user: User) -> None:
    give_contact(user, ("sms", NUMBER))


def reasons(syslog: SystemLog, user: User) -> list[str]:
    return [each["reason"] for each in logged(syslog, user)]


@pytest.mark.usefixtures("contact")
def test_a_code_is_accepted_once(user: User, messages: Messages, syslog: SystemLog) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        assert application.verify(code).code == ACCEPTED
        assert application.verify(code).code == REFUSED
    assert reasons(syslog, user) == ["sent-code", "sent-code", "wrong-code"]


@pytest.mark.usefixtures("contact")
def test_of_many_at_once_with_one_code_one_is_accepted(user: User, messages: Messages) -> None:
    """In one login: its process has many children."""
    with login(user) as application:
        code = wait_for(messages).code
        answers = application.verify_at_once(code, 24)
    assert sorted(each.code for each in answers) == [ACCEPTED] + [REFUSED] * 23


@pytest.mark.usefixtures("contact")
def test_a_code_is_refused_at_another_login_of_the_same_user(
    user: User, messages: Messages
) -> None:
    with login(user) as first, login(user) as second:
        of_first, of_second = (each.code for each in messages())
        assert second.verify(of_first).code == REFUSED
        assert first.verify(of_second).code == REFUSED
        assert second.verify(of_second).code == ACCEPTED
        assert first.verify(of_first).code == ACCEPTED


@pytest.mark.parametrize("confirmed", [0, 1])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_logins_of_a_user_at_once_are_accepted_in_either_order(
    user: User, messages: Messages, confirmed: int, order: tuple[int, int]
) -> None:
    """Also where the first of them confirms the contact."""
    give_contact(user, ("sms", NUMBER), confirmed=confirmed)
    with login(user) as first, login(user) as second:
        logins = list(zip((first, second), (each.code for each in messages()), strict=True))
        for each, code in (logins[number] for number in order):
            assert each.verify(code).code == ACCEPTED


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize(
    "other",
    [
        {"PAM_SERVICE": "sudo"},
        {"PAM_RHOST": "192.0.2.8"},
        {"PAM_TTY": "tty1"},
        {"PAM_RUSER": "mallory"},
        KEY,
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_code_is_refused_where_anything_about_the_login_differs(
    user: User, messages: Messages, other: dict[str, str]
) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        assert application.verify(code, **other).code == REFUSED
        assert application.verify(code).code == ACCEPTED


@pytest.mark.usefixtures("contact")
def test_logins_that_begin_later_push_out_no_code_that_was_sent(
    user: User, messages: Messages
) -> None:
    """Whoever has the password can begin as many as they like. The settings bound the codes."""
    with login(user) as application:
        code = wait_for(messages).code
        for number in range(sent.MAX_LOGINS + 20):
            sent.keep(user.uid, f"{number:064x}")
        for number in range(int(SETTINGS["send.user_limit"][-1]) - 1):
            sent.keep(user.uid, f"c{number:063x}", "sms", f"{number:08}")
        assert len(sent.read(user.uid)) == 2 * sent.MAX_LOGINS  # and no more
        assert application.verify(code).code == ACCEPTED


@pytest.mark.usefixtures("contact")
def test_a_code_of_another_user_is_refused(
    user: User, make_user: Callable[..., User], messages: Messages
) -> None:
    other = make_user()
    give_contact(other, ("sms", "+491701234568"))
    with login(user) as application:
        code = wait_for(messages).code
        application.gate(other.password, PAM_USER=other.name)
        assert application.verify(code, PAM_USER=other.name).code == REFUSED
        assert application.verify(code).code == ACCEPTED


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize("seconds", [-1, 0, 400, 10**9])
def test_a_code_counts_for_five_minutes_of_this_boot(
    user: User, messages: Messages, seconds: int
) -> None:
    """`seconds` until it ends: a record of an earlier boot may lie far in the future."""
    with login(user) as application:
        code = wait_for(messages).code
        change_end(user, seconds)
        assert application.verify(code).code == REFUSED


@pytest.mark.usefixtures("contact")
def test_a_code_counts_to_the_end_of_the_five_minutes(user: User, messages: Messages) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        change_end(user, 3)
        assert application.verify(code).code == ACCEPTED


@pytest.mark.usefixtures("contact")
def test_after_the_contact_is_removed_the_log_says_that_codes_may_have_been_sent(
    user: User, messages: Messages, syslog: SystemLog
) -> None:
    with login(user) as application:
        assert application.verify(wait_for(messages).code).code == ACCEPTED
    pam_totp("contact", user.name, "--remove")
    assert verify(user, "12345678").code == REFUSED
    last = syslog.decisions()[-1]
    assert last["reason"] == "secret-missing"
    assert "logged in with a code before, perhaps one that was sent, but no" in last["detail"]


@pytest.mark.usefixtures("contact")
def test_after_a_reboot_the_log_says_that_no_code_was_sent(
    user: User, messages: Messages, syslog: SystemLog
) -> None:
    """And not to reset the user, which would take the contact away."""
    with login(user) as application:
        assert application.verify(wait_for(messages).code).code == ACCEPTED
    with login(user) as application:
        code = wait_for(messages, 2).code
        (RECORDS / "sent" / str(user.uid)).unlink()  # as /run is emptied
        assert application.verify(code).code == REFUSED
    last = logged(syslog, user)[-1]
    assert last["detail"] == "no code was sent for this login, and there is no secret file"


def change_end(user: User, seconds: int) -> None:
    path = RECORDS / "sent" / str(user.uid)
    with open("/proc/uptime") as file:
        now = int(float(file.read().split()[0]))
    path.write_text(re.sub(r"^(\S+) \d+", rf"\g<1> {now + seconds}", path.read_text()))


@pytest.mark.usefixtures("contact")
def test_a_new_code_takes_the_place_of_the_one_before(user: User, messages: Messages) -> None:
    with login(user) as application:
        application.verify("sms")
        first, second = (each.code for each in messages())
        assert application.verify(first).code == REFUSED
        assert application.verify(second).code == ACCEPTED


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize("typed", ["{0} {1}", " {0}{1}", "{0}{1}\0"])
def test_a_code_may_be_typed_in_groups(user: User, messages: Messages, typed: str) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        assert application.verify(typed.format(code[:4], code[4:])).code == ACCEPTED


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize("password", ["", "wrong", "\0", "x" * 600], ids=ascii)
def test_nothing_is_sent_before_a_first_factor_is_proved(
    user: User, messages: Messages, syslog: SystemLog, password: str
) -> None:
    with Application(user) as application:
        assert application.gate(password).code == ASK
        assert application.verify("sms").code == REFUSED
    assert messages() == []
    assert reasons(syslog, user)[0] == "not-enrolled"
    assert "no first factor is proven" in logged(syslog, user)[0]["detail"]


@pytest.mark.usefixtures("contact")
def test_what_one_login_has_proved_sends_nothing_for_another(
    user: User, credential: Credential, messages: Messages
) -> None:
    with login(user), Application(user) as stranger:
        stranger.gate("wrong")
        assert stranger.verify("sms").code == REFUSED
        assert messages() == []


@pytest.mark.usefixtures("contact")
def test_what_a_login_has_proved_sends_nothing_for_the_next_one_in_the_same_process(
    user: User, credential: Credential, messages: Messages
) -> None:
    """As `login` at a console, which asks again: somebody else may be there now."""
    with login(user) as application:
        application.gate("wrong")
        assert application.verify("sms").code == REFUSED
        assert messages() == []
        application.gate()
        assert "on its way" in application.verify("sms").output


@pytest.mark.usefixtures("contact")
def test_nor_does_it_for_the_next_one_that_has_to_wait_first(
    user: User, messages: Messages
) -> None:
    """Then the gate sends nothing, and looks at no password."""
    with login(user) as application:
        code = wait_for(messages).code
        for number in range(5):
            application.verify(f"{(int(code) + 1 + number) % 10**8:08}")
        assert "Try again in" in application.gate("wrong").output
        assert pam_totp("unlock", user.name).code == 0
        assert application.verify("sms").code == REFUSED
    assert len(messages()) == 1


@pytest.mark.usefixtures("contact")
def test_a_public_key_that_sshd_reports_is_proof(user: User, messages: Messages) -> None:
    with Application(user, **KEY) as application:
        application.gate("")
        assert application.verify(wait_for(messages).code).code == ACCEPTED


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize("service", ["su", "login", "cockpit"])
def test_a_key_is_no_proof_at_other_services(user: User, messages: Messages, service: str) -> None:
    with Application(user, PAM_SERVICE=service, **KEY) as application:
        application.gate("")
    assert messages() == []


@pytest.mark.usefixtures("contact")
def test_an_incorrect_code_is_counted_with_those_of_the_app(
    user: User, credential: Credential, messages: Messages
) -> None:
    with login(user) as application:
        application.verify("sms")
        incorrect = f"{(int(wait_for(messages).code) + 1) % 10**8:08}"
        assert application.verify(incorrect).code == REFUSED
        assert failures_of(user)[0] >= 1
        assert application.verify(credential.incorrect_code()).code == REFUSED
        assert failures_of(user)[0] >= 2


@pytest.mark.usefixtures("contact")
def test_an_incorrect_code_is_one_try_however_many_methods_there_are(
    user: User, credential: Credential, messages: Messages
) -> None:
    with login(user) as application:
        application.verify("sms")
        code = int(messages()[0].code)
        for tries in range(1, 5):
            assert application.verify(f"{(code + tries) % 10**8:08}").code == REFUSED
            assert failures_of(user)[0] == tries
        assert application.verify(f"{code:08}").code == ACCEPTED
        assert failures_of(user)[0] == 0


@pytest.mark.usefixtures("contact")
def test_a_code_of_an_app_with_eight_digits_is_as_good_where_one_was_sent(
    user: User, credential: Credential, messages: Messages
) -> None:
    path = user.home / ".config" / "pam-totp" / "secret"
    user.give(path, path.read_text().replace("?secret=", "?digits=8&secret="))
    app = pyotp.TOTP(credential.secret, digits=8)
    with login(user) as application:
        application.verify("sms")
        for number in range(4):
            application.verify(f"{(int(messages()[0].code) + 1 + number) % 10**8:08}")
        used = failures_of(user)[2]
        assert application.verify(app.now()).code == ACCEPTED
        assert failures_of(user) == (0, 0, used)


@pytest.mark.usefixtures("contact")
def test_a_user_who_has_to_wait_is_sent_nothing_and_no_code_is_compared(
    user: User, messages: Messages, syslog: SystemLog
) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        for number in range(5):
            application.verify(f"{(int(code) + 1 + number) % 10**8:08}")
        assert application.verify(code).code == REFUSED
        assert reasons(syslog, user)[-1] == "throttled"
        assert "Try again in" in application.verify("sms").output
        assert reasons(syslog, user)[-1] == "throttled"
        assert "Try again in" in application.gate().output
    assert len(messages()) == 1


@pytest.mark.usefixtures("contact")
def test_to_ask_for_a_code_is_no_try(
    user: User, credential: Credential, messages: Messages
) -> None:
    with login(user) as application:
        for typed in ("sms", "SMS", " sms ", "mail"):
            assert application.verify(typed).code == REFUSED
    assert len(messages()) == 3
    assert failures_of(user) is None or failures_of(user)[0] == 0


def test_a_user_who_asks_for_a_kind_without_a_contact_is_told_what_can_be_sent(
    user: User, credential: Credential, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))
    with login(user) as application:
        answer = application.verify("mail")
    assert answer.code == REFUSED
    assert answer.output == f"To have a code sent to {SHOWN_NUMBER}, enter sms.\n"
    assert messages() == []


@pytest.mark.usefixtures("contact")
def test_a_correct_code_ends_the_row_of_incorrect_ones(user: User, messages: Messages) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        application.verify(f"{(int(code) + 1) % 10**8:08}")
        assert application.verify(code).code == ACCEPTED
    assert failures_of(user)[0] == 0


def test_without_a_rule_nothing_is_sent(user: User, messages: Messages) -> None:
    give_contact(user, ("sms", NUMBER))
    for rules in ("enrollment: required\n", "rules: [{code: required}]\n"):
        with configured(rules), login(user) as application:
            assert application.verify("sms").code == REFUSED
    assert messages() == []


@pytest.mark.usefixtures("contact")
def test_the_rule_that_matches_says_which_codes_are_accepted(
    user: User, credential: Credential, messages: Messages
) -> None:
    rules = f"rules:\n  - {{user: {user.name}, code: required, methods: [totp]}}\n"
    rules += "  - {code: required, methods: [totp, sms]}\n"
    with configured(rules), login(user) as application:
        assert application.verify("sms").code == REFUSED
    assert messages() == []


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize("methods", ["totp", "totp, mail"])
def test_a_code_is_refused_once_the_rule_does_not_accept_it(
    user: User, messages: Messages, methods: str
) -> None:
    with login(user) as application:
        code = messages()[0].code
        with configured(f"rules: [{{code: required, methods: [{methods}]}}]\n"):
            assert application.verify(code).code == REFUSED
        with configured(SENDS):
            assert application.verify(code).code == ACCEPTED


@pytest.mark.usefixtures("contact")
def test_where_a_match_is_unknown_what_both_rules_accept_is_accepted(
    user: User, credential: Credential, messages: Messages
) -> None:
    """A group that is not found may be one whose directory does not answer."""
    rules = "rules:\n  - {group: nowhere, code: required, methods: [totp]}\n"
    rules += "  - {code: required, methods: [sms, totp]}\n"
    with configured(rules), login(user) as application:
        assert application.verify("sms").code == REFUSED
    assert messages() == []


@pytest.mark.usefixtures("contact")
def test_the_preferred_method_comes_first(
    user: User, credential: Credential, messages: Messages
) -> None:
    with (
        configured("rules: [{code: required, methods: [sms, totp]}]\n"),
        login(user) as application,
    ):
        assert len(messages()) == 1
        assert application.verify(credential.fresh_code()).code == ACCEPTED


@pytest.mark.usefixtures("contact")
def test_never_sends_nothing(user: User, messages: Messages) -> None:
    with configured("rules: [{code: never, methods: [sms, totp]}]\n"), Application(user) as login_:
        assert login_.gate().code == NO_CODE_NEEDED
    assert messages() == []


def test_a_contact_that_is_not_confirmed_makes_nobody_enrolled(
    user: User, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=0)
    if_enrolled = "rules: [{code: if-enrolled, methods: [totp, sms]}]\n"
    with configured(if_enrolled), Application(user) as application:
        assert application.gate().code == NO_CODE_NEEDED
    assert messages() == []
    with configured(SENDS), login(user) as application:  # where a code is required
        assert application.verify(wait_for(messages).code).code == ACCEPTED
    with configured(if_enrolled), Application(user) as application:
        assert application.gate().code == ASK  # now it is confirmed


def test_a_confirmed_contact_makes_a_user_enrolled(user: User, messages: Messages) -> None:
    give_contact(user, ("sms", NUMBER))
    rules = "rules: [{code: if-enrolled, methods: [totp, sms]}]\n"
    with configured(rules), login(user) as application:
        assert application.verify(wait_for(messages).code).code == ACCEPTED


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "pam-totp contacts 2 {0}\nsms +49 1\n",
        "pam-totp contacts 1 {0}\nsms +49\n",
        "pam-totp contacts 1 {0}\nfax +49 1\n",
        "pam-totp contacts 1 {0}\nsms +49 x\n",
        "pam-totp contacts 1 {0}\nsms +491 1",
        "\xff\xfe\0",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("code", ["required", "if-enrolled"])
def test_a_malformed_record_lets_nobody_in_without_a_code(
    user: User, messages: Messages, syslog: SystemLog, content: str, code: str
) -> None:
    give_contact(user, ("sms", NUMBER))
    path = STATE / "contacts" / str(user.uid)
    path.write_bytes(content.format(user.name).encode("latin-1"))
    rules = f"rules: [{{code: {code}, methods: [totp, sms]}}]\n"
    with configured(rules), Application(user) as application:
        answer = application.gate()
        assert (answer.code, answer.output) == (ASK, "No code could be sent. Try again later.\n")
        assert application.verify("12345678").code == REFUSED
    assert messages() == []
    told = logged(syslog, user)[0]
    assert (told["verdict"], told["reason"]) == ("ask", "state-unavailable")
    assert told["detail"].startswith(f"{path} is malformed; run: pam-totp contact ")


def test_a_contact_does_not_count_for_the_next_user_of_that_id(
    user: User, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))
    path = STATE / "contacts" / str(user.uid)
    path.write_text(path.read_text().replace(user.name, "somebody"))
    with login(user):
        assert messages() == []


@pytest.mark.usefixtures("contact")
def test_where_the_code_cannot_be_kept_nothing_is_sent(
    user: User, messages: Messages, syslog: SystemLog
) -> None:
    (RECORDS / "sent").mkdir(mode=0o700, exist_ok=True)
    with mounted(RECORDS / "sent", "ro"), Application(user) as application:
        assert "No code could be sent" in application.gate().output
        assert application.verify("12345678").code == REFUSED
    assert messages() == []
    assert reasons(syslog, user)[0] == "state-unavailable"


@pytest.mark.usefixtures("contact")
def test_a_code_that_cannot_be_used_up_is_refused(
    user: User, messages: Messages, syslog: SystemLog
) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        for folder in (RECORDS / "sent", RECORDS):
            with read_only(folder):
                assert application.verify(code).code == REFUSED
                assert reasons(syslog, user)[-1] == "state-unavailable"
        assert application.verify(code).code == ACCEPTED


def test_a_contact_that_cannot_be_confirmed_refuses_no_correct_code(
    user: User, messages: Messages, syslog: SystemLog
) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=0)
    with login(user) as application, read_only(STATE / "contacts"):
        assert application.verify(wait_for(messages).code).code == ACCEPTED
    assert "cannot record that the contact is confirmed" in logged(syslog, user)[-1]["detail"]


@pytest.mark.usefixtures("contact")
def test_neither_code_nor_number_is_kept_or_logged(
    user: User, messages: Messages, syslog: SystemLog
) -> None:
    with login(user) as application:
        code = wait_for(messages).code
        kept = [path.read_text() for path in RECORDS.rglob("*") if path.is_file()]
        application.verify(code)
    texts = [*kept, *(json.dumps(each) for each in logged(syslog, user))]
    assert not [text for text in texts if code in text or NUMBER in text]


@pytest.mark.usefixtures("contact")
def test_a_login_with_a_code_that_was_sent_is_recorded(user: User, messages: Messages) -> None:
    """So the loss of root's record of contacts switches nothing off."""
    if_enrolled = "rules: [{code: if-enrolled, methods: [totp, sms]}]\n"
    with configured(if_enrolled), login(user) as application:
        assert application.verify(wait_for(messages).code).code == ACCEPTED
        (STATE / "contacts" / str(user.uid)).unlink()
        assert gate(user).code == ASK
        assert verify(user, "12345678").code == REFUSED


@pytest.mark.usefixtures("contact")
def test_no_user_whose_codes_may_be_sent_is_certain_to_be_asked(
    user: User, credential: Credential, messages: Messages
) -> None:
    """The launcher of the gate would answer without the line that says how to ask for a code."""
    with login(user) as application:
        assert application.verify(credential.fresh_code()).code == ACCEPTED
        assert "enter sms" in application.gate().output


@pytest.mark.usefixtures("contact")
@pytest.mark.parametrize("has_logged_in", [True, False])
def test_a_home_that_cannot_be_read_keeps_no_code_from_being_sent(
    user: User, messages: Messages, has_logged_in: bool
) -> None:
    """As one that is encrypted and locked: the gate and `explain` agree, whatever they look at."""
    if has_logged_in:
        with login(user) as application:
            assert application.verify(messages()[0].code).code == ACCEPTED
    before = len(messages())
    user.home.chmod(0o777)
    try:
        found = json.loads(pam_totp("explain", user.name, "--json").output)
        assert [each["kind"] for each in found["codes_sent"]] == ["sms"]
        assert "refused" not in found["outcome"]
        with login(user) as application:
            assert len(messages()) == before + 1
            assert application.verify(messages()[-1].code).code == ACCEPTED
    finally:
        user.home.chmod(0o700)


def test_a_code_that_was_sent_keeps_nobody_from_enrolling_at_another_service(
    user: User, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=0)
    rules = "enrollment: at-login\nrules:\n"
    rules += "  - {service: cockpit, code: required, methods: [totp, sms]}\n"
    with (
        configured(rules),
        login(user, PAM_SERVICE="cockpit") as first,
        Application(user) as second,
    ):
        shown = second.gate().output
        assert second.verify(Phone(user).type_code(shown)).code == ACCEPTED
        assert first.verify(messages()[0].code).code == ACCEPTED


@pytest.mark.usefixtures("contact")
def test_who_has_the_password_of_a_user_with_a_contact_enrolls_nowhere(
    user: User, syslog: SystemLog
) -> None:
    """A rule that does not accept codes which are sent is stricter, and not a way around them."""
    rules = "enrollment: at-login\nrules:\n"
    rules += "  - {service: cockpit, code: required, methods: [totp, sms]}\n"
    with configured(rules), login(user) as application:
        assert application.verify("123456").code == REFUSED
    assert not (RECORDS / "pending" / str(user.uid)).exists()
    assert "codes are sent to this user" in logged(syslog, user)[0]["detail"]


def test_a_contact_that_is_changed_while_a_login_begins_gets_the_code(
    user: User, messages: Messages
) -> None:
    """So a number that was lost gets no code that counts."""
    give_contact(user, ("sms", NUMBER))
    new = "+491701234599"
    sendings = RECORDS / "sendings"
    sendings.mkdir(mode=0o700, exist_ok=True)
    with Application(user) as application:
        held = os.open(sendings, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)  # what the login waits for before it sends
        begun = threading.Thread(target=application.gate)
        begun.start()
        wait_until((RECORDS / "sent" / str(user.uid)).exists)
        assert pam_totp("contact", user.name, "--sms", new, "--unconfirmed").code == 0
        os.close(held)
        begun.join()
        assert [each.number for each in messages()] == [new]
        assert application.verify(messages()[0].code).code == ACCEPTED


def test_a_new_contact_ends_what_was_remembered_of_the_old_one(
    user: User, messages: Messages
) -> None:
    give_contact(user, ("sms", NUMBER))
    with configured(f"remember: 10m\n{SENDS}"), login(user, **KEY) as application:
        assert application.verify(messages()[0].code).code == ACCEPTED
        assert application.gate().code == NO_CODE_NEEDED
        new = ("--sms", "+491701234599", "--unconfirmed")
        assert pam_totp("contact", user.name, *new).code == 0
        assert application.gate().code == ASK


@pytest.mark.usefixtures("contact")
def test_a_caller_that_is_not_root_sends_nothing_and_says_nothing_of_it(
    user: User, messages: Messages, syslog: SystemLog
) -> None:
    """As a screen locker, where it is not known whether the user has enrolled either."""
    user.home.chmod(0o777)
    try:
        who = ["setpriv", "--reuid", str(user.uid), "--regid", str(user.gid), "--init-groups", "--"]
        answer = gate(user, who, typed=user.password)
    finally:
        user.home.chmod(0o700)
    assert (answer.code, answer.output, messages()) == (ASK, "", [])
    assert logged(syslog, user) == []
