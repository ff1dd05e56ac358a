# SPDX-License-Identifier: MIT
"""`pam-totp contact`: where codes are sent to a user, shown, set, proved and removed."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.commands import (
    Answer,
    assert_refused,
    configured,
    keys_not_in_manual,
    mounted,
    pam_totp,
    read_only,
    run,
    tree,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.programs import COMMAND, RECORDS, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, CTRL_D, Conversation
from tests.login.marks import is_certain, log_in, mark_of
from tests.sending.outbox import (
    CODE,
    NUMBER,
    SENDS,
    SHOWN_NUMBER,
    TextMessage,
    give_contact,
    new_text_messages,
    wait_for,
)

Converse = Callable[..., Conversation]
Messages = Callable[[], list[TextMessage]]
CONTACTS = STATE / "contacts"
MAILBOXES = Path("/var/mail")
SECONDS = 10.0
SENDS_IF_ENROLLED = "rules:\n  - {code: if-enrolled, methods: [totp, sms]}\n"


@pytest.fixture
def messages() -> Iterator[Messages]:
    with new_text_messages() as look:
        yield look


@pytest.fixture(autouse=True)
def limits() -> Iterator[None]:
    """So that tests do not count against each other."""
    yield
    shutil.rmtree(RECORDS / "sendings", ignore_errors=True)


def lines_of(user: User) -> list[str]:
    """Root's record, without its first line."""
    path = CONTACTS / str(user.uid)
    return path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []


def asked(user: User, address: str = NUMBER) -> str:
    return rf"Enter the code that {user.name} received at {address.replace('+', '[+]')}:"


def newest_code(messages: Messages, count: int = 1) -> Callable[[str], str]:
    return lambda _screen: wait_for(messages, count).code


def code_of_mail(user: User) -> str:
    """Of the one in the user's mailbox, once it is there."""
    mailbox = MAILBOXES / user.name
    until = time.monotonic() + SECONDS
    while not (mailbox.exists() and CODE.search(mailbox.read_text())):
        assert time.monotonic() < until, "no mail came"
        time.sleep(0.05)
    (code,) = CODE.findall(mailbox.read_text().partition("\n\n")[2])
    return str(code)


def set_number(user: User, number: str = NUMBER) -> Answer:
    return pam_totp("contact", user.name, "--sms", number, "--unconfirmed")


def test_number_counts_once_the_code_that_was_sent_there_is_entered(
    user: User, on_terminal: Converse, messages: Messages
) -> None:
    command = [COMMAND, "contact", user.name, "--sms", "+49 170 1234567"]
    done = on_terminal(command, [(asked(user), newest_code(messages))])
    assert done.status == 0
    (line,) = lines_of(user)
    kind, address, confirmed = line.split()
    assert (kind, address) == ("sms", NUMBER)
    assert abs(int(confirmed) - time.time()) < 30
    (message,) = messages()
    assert message.number == NUMBER
    assert message.code not in done.transcript.replace(done.prompts[-1] + message.code, "")


def test_code_that_was_sent_by_mail_confirms_the_address(user: User) -> None:
    address = f"{user.name}@localhost"
    with subprocess.Popen(
        [COMMAND, "contact", user.name, "--mail", address, "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as command:
        code = code_of_mail(user)
        output, errors = command.communicate(f"{code[:4]} {code[4:]}\n")
    assert command.returncode == 0, errors
    found = json.loads(output)
    assert found["changed"] is True
    assert [(each["kind"], each["address"]) for each in found["contacts"]] == [("mail", address)]
    assert found["contacts"][0]["confirmed"] > 0
    assert keys_not_in_manual("contact", output) == set()
    assert "may stay on this host, which the code is to protect" in errors


def test_number_and_address_are_set_at_once(
    user: User, on_terminal: Converse, messages: Messages
) -> None:
    address = f"{user.name}@localhost"
    command = [COMMAND, "contact", user.name, "--sms", NUMBER, "--mail", address]
    of_number = (asked(user), newest_code(messages))
    done = on_terminal(command, [of_number, (asked(user, address), lambda _: code_of_mail(user))])
    assert done.status == 0
    assert [line.split()[:2] for line in lines_of(user)] == [["sms", NUMBER], ["mail", address]]
    assert not any(line.endswith(" 0") for line in lines_of(user))


def test_if_one_of_two_is_not_confirmed_neither_is_recorded(
    user: User, on_terminal: Converse, messages: Messages
) -> None:
    address = f"{user.name}@localhost"
    command = [COMMAND, "contact", user.name, "--sms", NUMBER, "--mail", address]
    incorrect = [(asked(user, address), lambda _: "00000000")] * 3
    done = on_terminal(command, [(asked(user), newest_code(messages)), *incorrect])
    assert done.status == 1
    assert "incorrect code; nothing was changed" in done.transcript
    assert lines_of(user) == []


def test_two_that_are_unconfirmed_are_recorded_at_once_and_a_bad_one_records_none(
    user: User,
) -> None:
    both = ("contact", user.name, "--unconfirmed", "--sms", NUMBER, "--mail")
    assert pam_totp(*both, "alice").code != 0
    assert lines_of(user) == []
    assert pam_totp(*both, "a@example.org").code == 0
    assert lines_of(user) == [f"sms {NUMBER} 0", "mail a@example.org 0"]


def test_third_try_is_good_and_a_fourth_is_not_asked_for(
    user: User, on_terminal: Converse, messages: Messages
) -> None:
    command = [COMMAND, "contact", user.name, "--sms", NUMBER]
    twice = [(asked(user), "12345678"), (asked(user), "")]
    done = on_terminal(command, [*twice, (asked(user), newest_code(messages))])
    assert done.status == 0
    assert done.transcript.count("Incorrect code. Try again, or press Ctrl-C to cancel.") == 2
    pam_totp("contact", user.name, "--remove")
    done = on_terminal(command, [*twice, (asked(user), "1")])
    assert done.status == 1
    assert "error: incorrect code; nothing was changed" in done.transcript
    assert lines_of(user) == []


@pytest.mark.parametrize("typed", [CTRL_C, CTRL_D, "12345678\n"], ids=["Ctrl-C", "Ctrl-D", "wrong"])
def test_contact_stays_as_it_was_unless_its_successor_is_proved(
    user: User, on_terminal: Converse, messages: Messages, typed: str
) -> None:
    give_contact(user, ("sms", "+491709999999"))
    before = tree(CONTACTS)
    answers = [(asked(user), typed)] if typed in (CTRL_C, CTRL_D) else [(asked(user), "1")] * 3
    done = on_terminal([COMMAND, "contact", user.name, "--sms", NUMBER], answers)
    assert done.status == 1
    assert "nothing was changed" in done.transcript
    assert tree(CONTACTS) == before
    assert len(messages()) == 1


@pytest.mark.parametrize("end", ["</dev/null", "<&-", "</etc/empty", "< <(:)"])
@pytest.mark.parametrize("more", ["", "--json"])
def test_nothing_is_sent_where_nobody_can_enter_the_code(
    user: User, messages: Messages, end: str, more: str
) -> None:
    empty = Path("/etc/empty")
    empty.touch()
    command = f"sleep 0.2; {COMMAND} contact {user.name} --sms {NUMBER} {more} {end}"
    try:
        answer = run(["/bin/bash", "-c", command])
    finally:
        empty.unlink()
    assert_refused(answer, "no answer; nothing was changed")
    assert messages() == []
    assert not (RECORDS / "sendings").exists()


@pytest.mark.parametrize("typed", ["\n", "12345678\n", "\0\xff\n"])
def test_program_that_answers_has_one_try(user: User, messages: Messages, typed: str) -> None:
    answer = pam_totp("contact", user.name, "--sms", NUMBER, typed=typed)
    assert_refused(answer, "nothing was changed")
    assert answer.output == ""
    assert lines_of(user) == []


def test_code_of_a_contact_is_good_at_no_login(user: User, messages: Messages) -> None:
    pam_totp("contact", user.name, "--sms", NUMBER, typed="1\n")
    assert wait_for(messages).code
    assert not (RECORDS / "sent" / str(user.uid)).exists()


def test_unconfirmed_contact_is_recorded_and_nothing_is_sent(
    user: User, messages: Messages
) -> None:
    done = set_number(user)
    assert (done.code, done.errors) == (0, "")
    assert done.output.startswith(
        f"{user.name}: codes can be sent to\n  sms: {NUMBER} (unconfirmed: used"
    )
    assert lines_of(user) == [f"sms {NUMBER} 0"]
    assert messages() == []


def test_confirmed_contact_stays_confirmed_if_it_is_recorded_again(user: User) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=77)
    done = pam_totp("contact", user.name, "--sms", NUMBER, "--unconfirmed", "--json")
    assert json.loads(done.output)["changed"] is False
    assert lines_of(user) == [f"sms {NUMBER} 77"]
    set_number(user, "+491709999999")
    assert lines_of(user) == ["sms +491709999999 0"]


def test_kinds_are_independent_of_each_other(user: User) -> None:
    give_contact(user, ("mail", "a@example.org"), confirmed=77)
    set_number(user)
    assert lines_of(user) == [f"sms {NUMBER} 0", "mail a@example.org 77"]
    assert pam_totp("contact", user.name, "--remove", "mail").code == 0
    assert lines_of(user) == [f"sms {NUMBER} 0"]
    assert pam_totp("contact", user.name, "--remove").code == 0
    assert not (CONTACTS / str(user.uid)).exists()


def test_contacts_are_shown_whole_to_root(user: User) -> None:
    give_contact(user, ("sms", NUMBER), ("mail", "a@example.org"), confirmed=1000000000)
    done = pam_totp("contact", user.name)
    assert (done.code, done.output) == (
        0,
        f"{user.name}: codes can be sent to\n"
        f"  sms: {NUMBER} (confirmed 2001-09-09 01:46 UTC)\n"
        "  mail: a@example.org (confirmed 2001-09-09 01:46 UTC)\n",
    )
    found = json.loads(pam_totp("contact", user.name, "--json").output)
    assert found == {
        "user": user.name,
        "contacts": [
            {"kind": "sms", "address": NUMBER, "confirmed": 1000000000},
            {"kind": "mail", "address": "a@example.org", "confirmed": 1000000000},
        ],
    }


def test_nobody_has_contacts_at_first(user: User) -> None:
    assert pam_totp("contact", user.name).output == f"{user.name}: no contacts\n"
    removed = pam_totp("contact", user.name, "--remove", "sms", "--json")
    assert (removed.code, json.loads(removed.output)["changed"]) == (0, False)


def test_contacts_of_an_earlier_account_of_the_same_id_are_nobodys(user: User) -> None:
    give_contact(user, ("sms", "+491709999999"))
    path = CONTACTS / str(user.uid)
    path.write_text(path.read_text().replace(user.name, "somebody-else"))
    assert "no contacts" in pam_totp("contact", user.name).output
    set_number(user)
    assert path.read_text() == f"pam-totp contacts 1 {user.name}\nsms {NUMBER} 0\n"


@pytest.mark.parametrize(
    ("options", "other", "address"),
    [
        (("--sms", "+49 170 1234567"), ("sms", NUMBER), NUMBER),
        (("--mail", "ALICE@Example.org"), ("mail", "alice@example.org"), "ALICE@example.org"),
    ],
)
@pytest.mark.parametrize("more", [(), ("--unconfirmed",)])
def test_address_of_another_user_is_refused_and_nothing_is_sent(
    make_user: Callable[[], User],
    messages: Messages,
    options: tuple[str, ...],
    other: tuple[str, str],
    address: str,
    more: tuple[str, ...],
) -> None:
    holder, user = make_user(), make_user()
    give_contact(holder, other, confirmed=0)
    answer = pam_totp("contact", user.name, *options, *more)
    assert_refused(answer, f"{address} is a contact of {holder.name} already; nothing was changed")
    assert answer.errors.endswith(f"hint: pam-totp contact {holder.name}\n")
    assert messages() == []
    assert lines_of(user) == []


def test_address_that_only_a_removed_account_had_is_free(user: User) -> None:
    CONTACTS.mkdir(mode=0o700, exist_ok=True)
    left = CONTACTS / "40404"
    left.write_text(f"pam-totp contacts 1 gone\nsms {NUMBER} 1\n")
    left.chmod(0o600)
    try:
        assert set_number(user).code == 0
    finally:
        left.unlink()


@pytest.mark.parametrize(
    ("options", "fault", "hint"),
    [
        (["--sms", "0170 1234567"], "must begin with + and the code of its country", "write the"),
        (["--sms", "00491701234567"], "must begin with +", "pam-totp contact {} --sms +49170"),
        (["--mail", "alice"], "must have one @", "write the address like"),
        (["--mail=-oX@example.org"], "not the name of a mailbox", "write the address like"),
    ],
)
def test_what_is_no_address_is_refused_with_what_helps(
    user: User, options: list[str], fault: str, hint: str
) -> None:
    answer = pam_totp("contact", user.name, *options)
    assert_refused(answer, fault)
    assert "nothing was changed" in answer.errors
    assert f"\nhint: {hint.format(user.name)}" in answer.errors


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--sms", NUMBER],
        ["root", "--sms", NUMBER, "--sms", NUMBER],
        ["root", "--sms", NUMBER, "--remove"],
        ["root", "--sms", NUMBER, "--mail", "a@example.org", "--remove"],
        ["--sms", NUMBER, "--mail", "a@example.org", "--from", "/dev/null"],
        ["root", "--remove", "letter"],
        ["root", "--unconfirmed"],
        ["root", "--remove", "--unconfirmed"],
        ["root", "--from", "/dev/null"],
        ["--from", "/dev/null", "--from", "/dev/null"],
        ["--from", "/dev/null", "--unconfirmed"],
        ["root", "bin"],
    ],
    ids=" ".join,
)
def test_options_that_exclude_each_other_are_wrong_usage(options: list[str]) -> None:
    before = tree(STATE)
    assert_refused(pam_totp("contact", *options), "", code=2)
    assert tree(STATE) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["root", NUMBER], f"did you mean --sms {NUMBER}?"),
        (["root", "01701234567"], "did you mean --sms 01701234567?"),
        (["root", "a@example.org"], "did you mean --mail a@example.org?"),
        (["root", "--phone", NUMBER], "did you mean --sms?"),
        (["root", f"--mobile={NUMBER}"], "did you mean --sms?"),
        (["root", "--email", "a@example.org"], "did you mean --mail?"),
        (["root", "--delete"], "unrecognized arguments: --delete"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_typed_in_place_of_an_option_is_answered_with_that_option(
    arguments: list[str], words: str
) -> None:
    answer = pam_totp("contact", *arguments)
    assert_refused(answer, words, code=2)
    assert "--json" not in answer.errors


@pytest.mark.parametrize("arguments", [[], ["all"], ["all", "--remove"]], ids=" ".join)
def test_who_asks_for_all_is_told_of_the_verb_that_lists_users(arguments: list[str]) -> None:
    answer = pam_totp("contact", *arguments)
    assert_refused(answer, "for one user at a time", code=1 if arguments else 2)
    assert answer.errors.endswith("\nhint: pam-totp users\n")


@pytest.mark.parametrize("verb", ["contact", "grant", "unlock", "reset"])
def test_list_of_what_users_shows_is_answered_with_that_verb(verb: str) -> None:
    answer = pam_totp(verb, "root", "--list")
    assert_refused(answer, "unrecognized arguments: --list", code=2)
    assert answer.errors.endswith("\nhint: pam-totp users\n")


@pytest.mark.parametrize("verb", ["devices", "recovery-codes", "check"])
def test_root_is_told_the_contact_of_a_user_who_has_no_device(user: User, verb: str) -> None:
    command = f"{COMMAND} {verb}" + (f" --user {user.name}" if verb != "check" else "")
    if verb == "check":  # it is about the user who runs it
        command = f"python3 -c 'import os; os.setresuid({user.uid}, 0, 0); os.execv"
        command += f'("{COMMAND}", ["pam-totp", "check"])\''
    before = run(["/bin/sh", "-c", command])
    assert "not enrolled" in before.output + before.errors
    assert "contact" not in before.output + before.errors
    give_contact(user, ("sms", NUMBER), ("mail", "a@example.org"), confirmed=0)
    after = run(["/bin/sh", "-c", command])
    shown = f"a contact: sms {NUMBER} (unconfirmed), mail a@example.org (unconfirmed)"
    assert f"not enrolled with a device, but has {shown}" in after.output + after.errors
    own = pam_totp(verb, user=user)
    assert "not enrolled" in own.output + own.errors
    assert "contact" not in own.output + own.errors


def test_it_is_for_root_and_for_users_that_exist(user: User) -> None:
    answer = pam_totp("contact", user.name, user=user)
    assert_refused(answer, "this command must be run as root")
    assert answer.errors.endswith(f"hint: sudo pam-totp contact {user.name}\n")
    assert_refused(pam_totp("contact", f"{user.name}x"), f"did you mean {user.name}?")


def test_what_is_changed_is_logged_without_the_whole_address(
    user: User, on_terminal: Converse, messages: Messages, syslog: SystemLog
) -> None:
    set_number(user)
    command = [COMMAND, "contact", user.name, "--sms", NUMBER]
    on_terminal(command, [(asked(user), newest_code(messages))])
    pam_totp("contact", user.name, "--remove", "sms")
    logged = [line.fields for line in syslog.lines("action=")]
    assert [(each["action"], each["user"], each["kind"]) for each in logged] == [
        (action, user.name, "sms")
        for action in ("set-contact", "send-contact-code", "set-contact", "remove-contact")
    ]
    assert [each.get("confirmed") for each in logged] == ["no", None, "yes", None]
    assert {each["address"] for each in logged} == {SHOWN_NUMBER}


def test_code_that_cannot_be_sent_is_an_error_and_nothing_is_changed(user: User) -> None:
    with configured("send: {sms: /nowhere/send}\n"):
        answer = pam_totp("contact", user.name, "--sms", NUMBER, typed="1\n")
    assert_refused(answer, "no code could be sent: /nowhere/send: No such file")
    assert lines_of(user) == []


def test_program_that_fails_is_waited_for_and_quoted(user: User, tmp_path: Path) -> None:
    program = Path("/usr/local/bin/send-it")
    program.write_text("#!/bin/sh\nsleep 1\necho no credit left >&2\nexit 3\n")
    program.chmod(0o755)
    try:
        with configured(f"send: {{sms: {program}}}\n"):
            answer = pam_totp("contact", user.name, "--sms", NUMBER, typed="1\n")
    finally:
        program.unlink()
    assert_refused(answer, "send-it failed: exit code 3 (no credit left); nothing was changed")


def test_codes_of_contacts_count_against_the_limit(user: User, messages: Messages) -> None:
    with configured("send: {user_limit: 2}\n"):
        for _ in range(2):
            assert (
                "incorrect code"
                in pam_totp("contact", user.name, "--sms", NUMBER, typed="1\n").errors
            )
        answer = pam_totp("contact", user.name, "--sms", NUMBER, typed="1\n")
    assert_refused(
        answer, "the limit of codes to this user in an hour is reached (2); nothing was changed"
    )
    assert answer.errors.endswith(f"pam-totp contact {user.name} --sms {NUMBER} --unconfirmed\n")
    assert len(messages()) == 2


def test_disk_that_takes_nothing_leaves_what_was_there(user: User) -> None:
    give_contact(user, ("sms", "+491709999999"))
    with read_only(STATE):
        assert_refused(set_number(user), "Read-only file system; nothing was changed")
        assert_refused(pam_totp("contact", user.name, "--remove"), "Read-only file system")
    assert lines_of(user) == ["sms +491709999999 1"]
    with mounted(STATE, "size=4k,nr_inodes=1,mode=700"):
        assert_refused(set_number(user), "No space left on device; nothing was changed")


def test_malformed_record_is_removed_by_the_command_that_the_hint_names(user: User) -> None:
    give_contact(user)
    path = CONTACTS / str(user.uid)
    path.write_text("junk\n")
    for options in ([], ["--remove", "sms"], ["--sms", NUMBER, "--unconfirmed"]):
        answer = pam_totp("contact", user.name, *options)
        assert_refused(answer, f"{path} is malformed")
        assert answer.errors.endswith(f"hint: pam-totp contact {user.name} --remove\n")
    assert pam_totp("contact", user.name, "--remove").code == 0
    assert not path.exists()


@pytest.mark.parametrize("call", ["renameat", "unlinkat", "fsync", "write"])
def test_killed_command_leaves_the_old_contact_or_the_new_one(user: User, call: str) -> None:
    for number in range(1, 6):
        give_contact(user, ("sms", "+491709999999"))
        inject = f"inject={call}:signal=SIGKILL:when={number}"
        through = ["strace", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
        command = ["contact", user.name, "--sms", NUMBER, "--unconfirmed"]
        killed = pam_totp(*command, through=through)
        assert lines_of(user) in (["sms +491709999999 1"], [f"sms {NUMBER} 0"]), killed
        assert set_number(user).code == 0
        for left in CONTACTS.glob("*.new-*"):
            left.unlink()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_command_that_is_interrupted_while_it_writes_finishes(
    user: User, number: signal.Signals
) -> None:
    inject = f"inject=renameat:signal={number.name}:when=1"
    through = ["strace", "-o", "/dev/null", "-e", "trace=renameat", "-e", inject]
    done = pam_totp("contact", user.name, "--sms", NUMBER, "--unconfirmed", through=through)
    assert (done.code, done.errors) == (0, "")
    assert lines_of(user) == [f"sms {NUMBER} 0"]


def test_of_commands_at_once_for_one_number_one_user_gets_it(
    make_user: Callable[[], User],
) -> None:
    users = [make_user() for _ in range(6)]
    options = ["--sms", NUMBER, "--unconfirmed"]
    started = [
        subprocess.Popen(
            [COMMAND, "contact", user.name, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for user in users
    ]
    assert sorted(each.wait(60) for each in started) == [0, 1, 1, 1, 1, 1]
    assert sum(bool(lines_of(user)) for user in users) == 1


def test_change_takes_the_users_mark_away(user: User, credential: Credential) -> None:
    log_in(credential)
    assert is_certain(user)
    set_number(user)
    assert not mark_of(user).exists()


@pytest.mark.parametrize(
    ("settings", "has_logged_in", "words"),
    [
        (SENDS_IF_ENROLLED, False, "no second factor left, and logs in without a code"),
        ("enrollment: required\n", False, "where a code is required, logins are refused until"),
        (SENDS, False, "where a code is required, logins are refused until"),
        (SENDS, True, "has logged in with a code before: logins that may need a code are refused"),
    ],
)
def test_it_says_what_follows_if_the_last_factor_is_removed(
    user: User, settings: str, has_logged_in: bool, words: str
) -> None:
    give_contact(user, ("sms", NUMBER))
    if has_logged_in:
        run(["install", "-D", "-m", "600", "/dev/null", f"{STATE}/enforced/{user.uid}"])
    with configured(settings):
        answer = pam_totp("contact", user.name, "--remove")
    assert words in answer.output
    assert (f"pam-totp reset {user.name}\n" in answer.output) == has_logged_in


@pytest.mark.parametrize(
    ("settings", "confirmed", "words"),
    [
        ("", 1, ""),
        (SENDS_IF_ENROLLED, 0, ""),
        (SENDS, 0, "no second factor: where a code is required, logins are refused until"),
    ],
)
def test_removed_contact_that_was_no_factor_is_not_called_one(
    user: User, settings: str, confirmed: int, words: str
) -> None:
    give_contact(user, ("sms", NUMBER), confirmed=confirmed)
    with configured(settings):
        answer = pam_totp("contact", user.name, "--remove", "sms")
    said = answer.output.removeprefix(f"{user.name}: no contacts\n")
    assert said.startswith(f"{user.name} has {words}") if words else said == ""


def test_of_a_factor_that_is_not_the_last_nothing_follows(
    user: User, credential: Credential
) -> None:
    give_contact(user, ("sms", NUMBER))
    with configured(SENDS):
        answer = pam_totp("contact", user.name, "--remove")
    assert answer.output == f"{user.name}: no contacts\n"


def test_contact_that_no_rule_uses_is_said_to_be_of_no_use(user: User) -> None:
    assert "No rule accepts codes by sms" in set_number(user).output
    with configured(SENDS):
        assert "No rule accepts" not in set_number(user).output


def test_login_host_of_a_fleet_has_contacts_of_its_own(user: User) -> None:
    with configured(f"store: postgresql\n{SENDS}"):
        assert set_number(user).code == 0
        answer = pam_totp("contact", user.name)
    assert answer.code == 0
    assert NUMBER in answer.output.replace(" ", "")
