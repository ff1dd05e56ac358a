# SPDX-License-Identifier: MIT
"""sshd's settings, judged by the real sshd before a byte of them is written."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.errors import Error
from pam_totp.setup import plan_sshd, sshd_settings
from pam_totp.setup.first_factor import usual_first_factor
from pam_totp.setup.proof import KEY_ONLY, KEY_OR_PASSWORD, PASSWORD_ONLY
from pam_totp.setup.sshd_settings import PATH as DROP_IN
from pam_totp.setup.sshd_settings import ROOT_CODE, ROOT_KEY, ROOT_NO, Choices
from pam_totp.stack.sshd_config import PATH
from pam_totp.stack.sshd_match import Login
from pam_totp.stack.sshd_running import servers
from tests.commands.commands import configured, read_only
from tests.host.accounts import User
from tests.host.programs import CONFIGURATION
from tests.host.ssh_server import SSHD, SshServer, accepts, free_port, shipped_settings
from tests.trial.change_host import wait_until

MAIN, FOLDER = Path(PATH), Path(DROP_IN).parent
USUAL = "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\n"
ALL = (KEY_OR_PASSWORD, PASSWORD_ONLY, KEY_ONLY)


@pytest.fixture(autouse=True)
def untouched(host_key: None) -> Iterator[None]:
    text = MAIN.read_bytes()
    FOLDER.mkdir(exist_ok=True)
    before = set(FOLDER.iterdir())
    yield
    MAIN.write_bytes(text)
    for path in set(FOLDER.iterdir()) - before:
        path.unlink()


@pytest.fixture
def planned() -> Callable[..., plan_sshd.SshdPlan]:
    """`planned("sshd's settings", …)`: what would be, and that nothing was written."""

    def plan(text: str = USUAL, *choices: object, who: object = (), **more: str) -> object:
        MAIN.write_text(f"HostKey /etc/ssh/throwaway_host_key\n{text}")
        for name, content in more.items():
            (FOLDER / f"{name}.conf").write_text(content)
        before = {path: path.read_bytes() for path in (MAIN, *FOLDER.iterdir())}
        copies = os.listdir("/run")
        try:
            return plan_sshd.plan(Choices(*choices), [who] if who else [])  # type: ignore[arg-type,list-item]
        finally:
            assert {path: path.read_bytes() for path in (MAIN, *FOLDER.iterdir())} == before
            assert sorted(os.listdir("/run")) == sorted(copies)

    return plan  # type: ignore[return-value]


Planned = Callable[..., plan_sshd.SshdPlan]


@pytest.mark.parametrize("first_factor", ALL)
def test_the_settings_go_into_a_file_of_their_own(planned: Planned, first_factor: str) -> None:
    (change,) = planned(USUAL, first_factor).changes()
    assert (change.path, change.before) == (DROP_IN, None)
    assert b"AuthenticationMethods" in (change.after or b"")
    assert b"PermitRootLogin" not in (change.after or b"")


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("UsePAM yes\n", {}),  # no Include
        ("PasswordAuthentication yes\nInclude sshd_config.d/*.conf\n", {}),
        ("ChallengeResponseAuthentication no\nInclude sshd_config.d/*.conf\n", {}),
        ("Include /etc/ssh/sshd_config.d/*.conf\n", {"00-first": "PasswordAuthentication yes\n"}),
    ],
)
def test_where_they_would_not_apply_an_include_line_comes_first(
    planned: Planned, text: str, more: dict[str, str]
) -> None:
    changes = planned(text, **more).changes()
    assert [change.path for change in changes] == [PATH, DROP_IN]
    assert (changes[0].after or b"").startswith(b"# begin of pam-totp's lines: sshd's settings\n")


def test_an_old_name_after_the_include_changes_nothing(planned: Planned) -> None:
    changes = planned(
        "Include sshd_config.d/*.conf\nChallengeResponseAuthentication no\n"
    ).changes()
    assert [change.path for change in changes] == [DROP_IN]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (
            "Match User sshd\n  KbdInteractiveAuthentication no\n",
            "with a key would be refused",
        ),
        ("Match User sshd\n  AuthenticationMethods publickey,password\n", "would be refused"),
        (
            "Match Address 192.0.2.0/24\n  PubkeyAuthentication no\n"
            "  AuthenticationMethods password\n",
            "Match address 192.0.2.0/24 .*refused",
        ),
    ],
)
def test_a_block_that_shuts_its_users_out_is_found_before(
    planned: Planned, block: str, said: str
) -> None:
    with pytest.raises(Error, match=said) as failure:
        planned(USUAL + block)
    assert "sshd_config, line" in failure.value.message and "/run/" not in failure.value.message
    assert failure.value.hint == f"correct or remove that Match block in {PATH}"
    with pytest.raises(Error, match=said) as failure:
        planned(USUAL, block=block)
    assert failure.value.hint == f"correct or remove that Match block in {FOLDER}/block.conf"


@pytest.mark.parametrize("name", ["10 ours", "10[1]ours", "10#ours", "10*ours", "10'ours", '10"'])
def test_a_block_of_a_file_with_any_name_is_judged(planned: Planned, name: str) -> None:
    block = "Match User sshd\n"
    with pytest.raises(Error, match="would be refused") as failure:
        planned(**{name: f"{block}KbdInteractiveAuthentication no\n"})
    assert f"{FOLDER}/{name}.conf, line 1" in failure.value.message
    with pytest.raises(Error, match="without a code") as failure:
        planned(**{name: f"{block}AuthenticationMethods publickey\n"})
    assert f"{FOLDER}/{name}.conf, line 1" in failure.value.message


def test_an_include_of_another_folder_does_not_read_the_settings(planned: Planned) -> None:
    """`*` of an Include is no `/`: the settings would not apply."""
    plan = planned("Include /etc/ssh/*.conf\nUsePAM yes\n")
    assert b"Include /etc/ssh/sshd_config.d/00-pam-totp.conf" in (plan.replaced[PATH] or b"")


KEY_ALONE = "  AuthenticationMethods publickey\n"
RULE = f"if that is intended, add this rule to {CONFIGURATION}: "


@pytest.mark.parametrize(
    ("match", "hint"),
    [
        ("User sshd", "pam-totp enable sshd --exempt-key sshd"),
        (
            f"User sshd,man\n{KEY_ALONE}Match User nobody",
            "pam-totp enable sshd --exempt-key man --exempt-key sshd --exempt-key nobody",
        ),
        (f"User root\n{KEY_ALONE}Match User man", "--root key --exempt-key man"),
        ("Group daemon", f"{RULE}{{group: daemon, service: sshd, publickey: true, code: never}}"),
        (
            "Address 192.0.2.0/24",
            f'{RULE}{{from: "192.0.2.0/24", service: sshd, publickey: true, code: never}}',
        ),
        (
            "Group of-a-directory",
            f"{RULE}{{group: of-a-directory, service: sshd, publickey: true, code: never}}",
        ),
        (
            "User of-a-directory Address 192.0.2.1,2001:db8::1",
            f'{RULE}{{user: of-a-directory, from: ["192.0.2.1", "2001:db8::1"], service: sshd, '
            "publickey: true, code: never}",
        ),
        ("User *,!root", f"correct or remove that Match block in {PATH}"),
        ("LocalPort 2222", f"correct or remove that Match block in {PATH}"),
    ],
)
def test_a_block_that_lets_a_key_alone_in_is_refused_with_how_to_mean_it(
    planned: Planned, match: str, hint: str
) -> None:
    """A way in without a code that was there before is one afterwards, too."""
    with pytest.raises(Error, match="publickey would be enough, without a code") as failure:
        planned(f"{USUAL}Match {match}\n{KEY_ALONE}")
    assert (failure.value.hint or "").endswith(hint), failure.value.hint
    assert "Match " in failure.value.message and f"{PATH}, line " in failure.value.message
    if hint.startswith(RULE):
        with configured(f"rules:\n- {hint.removeprefix(RULE)}\n"):
            assert planned(f"{USUAL}Match {match}\n{KEY_ALONE}").replaced


@pytest.mark.parametrize(
    ("match", "rule"),
    [
        ("User sshd", "user: sshd"),
        ("Group daemon", "group: daemon"),
        ("Group of-a-directory", "group: of-a-directory"),
        ("Address 192.0.2.0/24", "from: 192.0.0.0/16"),
        ("User sshd Address 192.0.2.0/24", "user: sshd, from: 192.0.2.0/24"),
    ],
)
def test_a_rule_of_the_policy_exempts_such_a_block(planned: Planned, match: str, rule: str) -> None:
    block = f"{USUAL}Match {match}\n{KEY_ALONE}"
    with configured(f"rules:\n- {{{rule}, publickey: true, code: never}}\n"):
        notes = planned(block).notes
    assert any(note.endswith("the key alone, without a code (rule of line 2).") for note in notes)
    other = rule.replace("sshd", "man").replace("daemon", "man").replace("directory", "another")
    other = other.replace("192.0.", "198.51.").replace("/24", "/32").replace("/16", "/32")
    for text in (f"{{{other}, code: never}}", f"{{{rule}, publickey: false, code: never}}"):
        with configured(f"rules:\n- {text}\n"), pytest.raises(Error, match="without a code"):
            planned(block)


def test_an_option_exempts_the_users_of_such_a_block(planned: Planned) -> None:
    block = f"{USUAL}Match User sshd,man\n{KEY_ALONE}Match User root\n{KEY_ALONE}"
    notes = planned(block, KEY_OR_PASSWORD, ROOT_KEY, ("sshd", "man")).notes
    assert sum(note.endswith("the key alone, without a code.") for note in notes) >= 2
    with pytest.raises(Error, match="without a code") as failure:
        planned(block, KEY_ONLY, ROOT_KEY, ("sshd",), True)
    assert failure.value.hint == (
        "pam-totp enable sshd --first-factor key --root key --exempt-key sshd --exempt-key man"
    )


@pytest.mark.parametrize(
    ("text", "first_factor", "said"),
    [
        ("PasswordAuthentication no\n", KEY_OR_PASSWORD, "everybody else: a password"),
        ("PasswordAuthentication no\n", PASSWORD_ONLY, "everybody else: a password"),
        ("PubkeyAuthentication no\n", KEY_OR_PASSWORD, "everybody else: a key"),
        ("PubkeyAuthentication no\n", KEY_ONLY, "everybody else: a key"),
        (
            "PasswordAuthentication no\nMatch Address 192.0.2.0/24\n  PasswordAuthentication yes\n",
            KEY_OR_PASSWORD,
            "everybody else: a password",
        ),
        (
            "Match Address 192.0.2.0/24\n  PasswordAuthentication no\n",
            KEY_OR_PASSWORD,
            "Match address 192.0.2.0/24 .*: a password",
        ),
        (
            "AuthenticationMethods publickey,password\n",
            KEY_OR_PASSWORD,
            "everybody else: a password",
        ),
    ],
)
def test_what_sshd_refuses_today_is_accepted_only_if_it_is_chosen(
    planned: Planned, text: str, first_factor: str, said: str
) -> None:
    before, _, block = text.partition("Match ")
    settings = f"{before}{USUAL}{'Match ' * bool(block)}{block}"
    with pytest.raises(
        Error, match=f"{said} would become enough to log in, and is not today"
    ) as failure:
        planned(settings, first_factor)
    assert "--first-factor" in (failure.value.hint or "")
    if "Match" not in said:  # a password there has no PAM that could ask
        notes = planned(settings, first_factor, "", (), True).notes
        assert any("is accepted from now on, and was not before" in note for note in notes)


def test_a_key_for_one_command_does_not_become_one_for_all(planned: Planned) -> None:
    text = f"{USUAL}PermitRootLogin forced-commands-only\n"
    with pytest.raises(Error, match="root: a key runs one command only") as failure:
        planned(text, KEY_OR_PASSWORD, ROOT_CODE, (), True)
    assert "--root key" in (failure.value.hint or "")
    assert planned(text, KEY_OR_PASSWORD, ROOT_KEY).replaced


def test_an_account_that_sshd_refuses_without_pam_stays_refused(
    planned: Planned, user: User
) -> None:
    text = "Include sshd_config.d/*.conf\nUsePAM no\n"
    assert any("UsePAM becomes yes" in note for note in planned(text).notes)
    user.new_ssh_key()
    assert planned(text).replaced
    subprocess.run(["passwd", "-q", "-l", user.name], check=True)
    with pytest.raises(Error, match=f"accept the key of {user.name}, .* locked by passwd -l"):
        planned(text)
    assert planned(USUAL).replaced


@pytest.mark.parametrize(
    ("text", "first_factor"),
    [
        ("", KEY_OR_PASSWORD),
        ("PasswordAuthentication no\n", KEY_ONLY),
        ("PubkeyAuthentication no\n", PASSWORD_ONLY),
        (
            "PasswordAuthentication no\nMatch Address 192.0.2.0/24\n  PasswordAuthentication yes\n",
            KEY_OR_PASSWORD,
        ),
    ],
)
def test_where_nobody_chose_it_comes_before_the_code_what_sshd_accepts_today(
    text: str, first_factor: str
) -> None:
    before, _, block = text.partition("Match ")
    MAIN.write_text(
        f"HostKey /etc/ssh/throwaway_host_key\n{before}{USUAL}{'Match ' * bool(block)}{block}"
    )
    assert usual_first_factor() == first_factor


def test_an_sshd_of_another_configuration_is_judged_too(
    planned: Planned, start_sshd: Callable[..., SshServer]
) -> None:
    server = start_sshd(shipped_settings("key-or-password-then-code"))
    words = f"the sshd with -f /etc/ssh/sshd_config-{server.port}"
    notes = planned(USUAL, KEY_OR_PASSWORD, "", (), True).notes
    assert f"enable does not reload {words}: do so yourself." in notes
    server = start_sshd("AuthenticationMethods publickey")
    words = f"the sshd with -f /etc/ssh/sshd_config-{server.port}"
    said = f"at {words}: everybody else: publickey would be enough, without a code"
    with pytest.raises(Error, match=said) as failure:
        planned(USUAL, KEY_OR_PASSWORD, "", (), True)
    assert failure.value.hint == f"stop {words}, or correct its settings"


def test_an_sshd_that_asks_another_service_is_found_before(
    planned: Planned, start_sshd: Callable[..., SshServer], tmp_path: Path
) -> None:
    """The name of the program is that of the service only before OpenSSH 9.8."""
    settings = shipped_settings("password-then-code")
    (tmp_path / "sshd-other").symlink_to(SSHD)
    start_sshd(settings, str(tmp_path / "sshd-other"))
    if accepts("PAMServiceName sshd-other"):
        assert planned(USUAL).replaced
        start_sshd(f"PAMServiceName sshd-other\n{settings}")
    with pytest.raises(Error, match="uses the PAM service sshd-other, so no code"):
        planned(USUAL)


def test_a_service_that_a_setting_names_is_found_before(planned: Planned) -> None:
    """OpenSSH knows the setting from 9.8 on."""
    said = "service ssh-corp" if accepts("PAMServiceName x") else "PAMServiceName"
    with pytest.raises(Error, match=said):
        planned(f"{USUAL}Match User sshd\n  PAMServiceName ssh-corp\n")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("AuthenticationMethods=publickey", "publickey would be enough, without a code"),
        ("KbdInteractiveAuthentication=no", "Disabled method"),
        ("UsePAM=no", "would not use PAM"),
    ],
)
def test_an_sshd_with_options_is_judged_with_them(planned: Planned, option: str, said: str) -> None:
    MAIN.write_text(f"HostKey /etc/ssh/throwaway_host_key\n{USUAL}")
    command = [SSHD, "-D", "-p", str(free_port()), "-o", option, "-o", "PidFile=none"]
    with subprocess.Popen(command) as server:
        try:
            wait_until(lambda: len(servers()) > 1)
            with pytest.raises(Error, match=f"at the sshd with .* -o{option} .*{said}"):
                planned(USUAL)
        finally:
            server.terminate()


@pytest.mark.parametrize("pattern", ["ldap-*", "not-yet-there", "a?,ldap-*"])
def test_a_block_for_users_whom_only_a_directory_has_is_judged(
    planned: Planned, pattern: str
) -> None:
    with pytest.raises(Error, match=r"Match user .* a key would be refused"):
        planned(f"{USUAL}Match User {pattern}\n  AuthenticationMethods publickey,password\n")


def test_a_block_that_fits_nobody_is_judged_by_its_lines_and_said_not_to_be_proved(
    planned: Planned,
) -> None:
    block = "Match Group of-a-directory\n  MaxAuthTries 5\n"
    where = "Match group of-a-directory (/etc/ssh/sshd_config, line 5)"
    said = f"{where} is for no user or address known here, so sshd could not be asked about it."
    assert said in planned(USUAL + block).notes
    block = "Match Group of-a-directory\n  AuthenticationMethods publickey,password\n"
    with pytest.raises(Error, match=r"Match group of-a-directory .* a key would be refused"):
        planned(USUAL + block)
    block = "Match Group of-a-directory\n  ForceCommand internal-sftp\n"
    assert planned(USUAL + block).notes == []


def test_the_faults_that_sshd_finds_are_told_apart(planned: Planned) -> None:
    with pytest.raises(Error, match=r"option: Foo; /etc/ssh/sshd_config: line 3: Bad .*: Bar; "):
        planned(f"Foo yes\nBar yes\n{USUAL}")


def test_any_for_everybody_is_in_the_way_or_overruled(planned: Planned) -> None:
    """OpenSSH 9.2 takes it together with our list, which it refuses."""
    try:
        found = planned("AuthenticationMethods any\nInclude /etc/ssh/sshd_config.d/*.conf\n")
    except Error as failure:
        assert "/etc/ssh/sshd_config line 2: " in failure.message
    else:
        assert [change.path for change in found.changes()] == [PATH, DROP_IN]


def test_a_block_with_any_is_an_exemption_or_a_fault_as_sshd_has_it(planned: Planned) -> None:
    """OpenSSH 9.2 does not start with it."""
    block = "Match User sshd\n  AuthenticationMethods any\n"
    try:
        notes = planned(USUAL + block).notes
    except Error as failure:
        assert "any" in failure.message or "without a code" in failure.message
    else:
        assert any("without a code" in note for note in notes)


def test_who_comes_by_another_method_alone_is_not_shut_out_without_a_word(
    planned: Planned,
) -> None:
    with pytest.raises(Error, match="users who log in with hostbased alone would be refused"):
        planned(f"{USUAL}HostbasedAuthentication yes\n")


def test_a_person_of_an_exempted_block_gets_in_as_before(planned: Planned, user: User) -> None:
    block = f"Match User {user.name}\n  AuthenticationMethods publickey\n"
    login = Login(user.name, address="192.0.2.9", host="192.0.2.9")
    chosen = (KEY_OR_PASSWORD, ROOT_NO, (user.name,))
    assert planned(USUAL + block, *chosen, who=(login, "key")).replaced
    with configured(f"rules: [{{user: {user.name}, publickey: true, code: never}}]\n"):
        assert planned(USUAL + block, *chosen[:2], who=(login, "key")).replaced


def test_what_sshd_does_not_accept_is_refused_with_its_words(planned: Planned) -> None:
    with pytest.raises(Error, match="NoSuchKeyword") as failure:
        planned(f"{USUAL}NoSuchKeyword yes\n")
    assert "/etc/ssh/sshd_config" in failure.value.message


@pytest.mark.parametrize(
    ("root", "lines", "said"),
    [
        (ROOT_CODE, ["PermitRootLogin yes", "Match User root"], "a password alone is not enough"),
        (ROOT_KEY, ["Match User root", "AuthenticationMethods publickey\n"], "the key alone"),
        (ROOT_NO, ["PermitRootLogin no"], "no login over ssh"),
    ],
)
def test_what_becomes_of_root_is_written_and_said(
    planned: Planned, root_key: None, root: str, lines: list[str], said: str
) -> None:
    found = planned(f"{USUAL}PermitRootLogin yes\n", KEY_OR_PASSWORD, root)
    text = (found.replaced[DROP_IN] or b"").decode()
    assert all(line in text for line in lines)
    assert any(note.startswith("root") and said in note for note in found.notes)


@pytest.fixture
def root_key() -> Iterator[None]:
    keys = Path("/root/.ssh/authorized_keys")
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    keys.write_text("ssh-ed25519 AAAA root\n")
    yield
    keys.unlink()


def test_root_who_has_a_key_is_not_shut_out_without_a_word(
    planned: Planned, root_key: None
) -> None:
    with pytest.raises(Error, match="root could not log in any more"):
        planned(f"{USUAL}PermitRootLogin prohibit-password\n")


@pytest.mark.parametrize(
    ("text", "is_shut"),
    [
        ("PermitRootLogin prohibit-password\n", True),
        ("PermitRootLogin yes\n", False),
        ("PermitRootLogin no\n", False),
        ("PubkeyAuthentication no\n", False),
        ("Match User root\n  AuthenticationMethods publickey\n", False),
        ("Match Address 192.0.2.0/24\n  AuthenticationMethods publickey\n", True),
    ],
)
def test_root_is_asked_about_only_where_root_would_be_shut_out(
    root_key: None, text: str, is_shut: bool
) -> None:
    MAIN.write_text(f"HostKey /etc/ssh/throwaway_host_key\n{USUAL}{text}")
    assert plan_sshd.shuts_root_out(Choices()) == is_shut
    Path("/root/.ssh/authorized_keys").write_text("")
    assert not plan_sshd.shuts_root_out(Choices())


def test_root_is_not_shut_out_by_passwords_alone_without_a_word(
    planned: Planned, root_key: None
) -> None:
    text = f"{USUAL}PermitRootLogin prohibit-password\n"
    MAIN.write_text(f"HostKey /etc/ssh/throwaway_host_key\n{text}")
    assert plan_sshd.shuts_root_out(Choices(PASSWORD_ONLY))
    with pytest.raises(Error, match="root could not log in any more"):
        planned(text, PASSWORD_ONLY)
    assert planned(text, PASSWORD_ONLY, ROOT_KEY).replaced
    MAIN.write_text(f"HostKey /etc/ssh/throwaway_host_key\n{USUAL}PermitRootLogin yes\n")
    assert not plan_sshd.shuts_root_out(Choices(PASSWORD_ONLY))


def test_an_exempted_account_logs_in_with_its_key_alone(planned: Planned, user: User) -> None:
    found = planned(USUAL, KEY_OR_PASSWORD, ROOT_NO, (user.name,))
    assert f"Match User {user.name}\n" in (found.replaced[DROP_IN] or b"").decode()
    assert any(user.name in note and "the key alone" in note for note in found.notes)


def test_the_person_who_is_sitting_there_gets_in_again(planned: Planned, user: User) -> None:
    """The class may be fine, and this one person not."""
    login = Login(user.name, address="192.0.2.9", host="192.0.2.9")
    assert planned(USUAL, KEY_OR_PASSWORD, ROOT_NO, who=(login, "key")).replaced
    assert planned(USUAL, KEY_OR_PASSWORD, ROOT_NO, who=(login, "password")).replaced
    for first_factor, method in ((KEY_ONLY, "password"), (PASSWORD_ONLY, "key")):
        with pytest.raises(
            Error, match=f"you .{user.name} from 192.0.2.9. logged in with a {method}"
        ):
            planned(USUAL, first_factor, ROOT_NO, who=(login, method))


def test_where_it_is_not_known_how_somebody_came_no_way_is_ended(
    planned: Planned, user: User
) -> None:
    login = Login(user.name, address="192.0.2.9", host="192.0.2.9")
    assert planned(USUAL, KEY_OR_PASSWORD, ROOT_NO, who=(login, "")).replaced
    with pytest.raises(Error, match="may have logged in with a password"):
        planned(USUAL, KEY_ONLY, ROOT_NO, who=(login, ""))
    assert planned(USUAL, PASSWORD_ONLY, ROOT_NO, who=(login, "")).replaced  # has no key
    user.new_ssh_key()
    with pytest.raises(Error, match="may have logged in with a key"):
        planned(USUAL, PASSWORD_ONLY, ROOT_NO, who=(login, ""))


@pytest.mark.parametrize("first_factor", ALL)
@pytest.mark.parametrize("root", ["", ROOT_CODE, ROOT_KEY, ROOT_NO])
@pytest.mark.parametrize("exempt", [(), ("borg",), ("borg", "a.b-c_d")])
def test_the_choices_are_told_from_what_they_wrote(
    first_factor: str, root: str, exempt: tuple[str, ...]
) -> None:
    choices = Choices(first_factor, root, exempt)
    written = sshd_settings.text(choices).encode()
    assert sshd_settings.choices_of(written) == choices
    assert sshd_settings.choices_of(written + b"# more\n") is None
    assert sshd_settings.choices_of(None) is None


def test_without_a_writable_run_nothing_is_planned(user: User) -> None:
    with read_only("/run"), pytest.raises(Error, match=r"Read-only file system; nothing was"):
        plan_sshd.plan(Choices())


def test_a_second_plan_finds_nothing_to_change(planned: Planned) -> None:
    for change in planned("UsePAM yes\n", KEY_OR_PASSWORD, ROOT_NO).changes():
        Path(change.path).write_bytes(change.after or b"")
    assert plan_sshd.plan(Choices(KEY_OR_PASSWORD, ROOT_NO)).changes() == ()
    assert plan_sshd.plan(Choices(KEY_ONLY, ROOT_NO)).changes() != ()
