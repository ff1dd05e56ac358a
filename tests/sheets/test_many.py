# SPDX-License-Identifier: MIT
"""`pam-totp enroll --users` and `--group`: everybody gets a secret and a sheet, or a reason."""

import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests.commands.commands import (
    Answer,
    assert_refused,
    configured,
    keys_not_in_manual,
    mounted,
    new_recovery_codes,
    pam_totp,
    read_only,
    recovery_of,
    secret_of,
    tree,
    verify,
)
from tests.host.accounts import User, run
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, COMMAND, REFUSED, STATE
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation
from tests.sheets.crowd import (
    assert_whole,
    enroll,
    picture_of,
    printed_key,
    row_of,
    rows_of_users,
    saved_key,
    sheet_of,
)

PASSWD, GROUP = Path("/etc/passwd"), Path("/etc/group")
CODE = re.compile(r"<code>((?:[a-z2-7]{4}-){3}[a-z2-7]{4})</code>")
MANY = 5_000


@pytest.fixture
def sheets(tmp_path: Path) -> Path:
    return tmp_path / "sheets"


def skipped(output: str) -> dict[str, str]:
    return dict(re.findall(r"^skipped (\S+): (.*)$", output, re.MULTILINE))


def test_key_on_a_sheet_lets_its_user_log_in_and_that_confirms_the_enrollment(
    make_user: Callable[..., User], sheets: Path, log_in: Callable[..., Conversation]
) -> None:
    users = [make_user() for _ in range(2)]
    assert enroll(users, sheets).code == 0
    assert_whole(users, sheets)
    rows = rows_of_users()
    assert [rows[user.name]["unconfirmed"] for user in users] == [True, True]
    assert f"\n{users[0].name}  unconfirmed  " in pam_totp("users").output
    user = users[0]
    code = Credential(user, printed_key(sheet_of(user, sheets))).fresh_code()
    asked = [("Password: ", user.password), ("Verification code: ", code)]
    assert log_in(user, asked).status == 0
    rows = rows_of_users()
    assert [rows[each.name]["unconfirmed"] for each in users] == [False, True]
    assert [rows[each.name]["enrolled"] for each in users] == [True, True]
    assert f"\n{user.name}  yes  " in pam_totp("users").output


def test_qr_code_and_table_do_not_have_the_mark(user: User, sheets: Path) -> None:
    assert enroll([user], sheets).code == 0
    assert "unconfirmed" not in sheet_of(user, sheets).read_text()
    assert "&unconfirmed=2" in secret_of(user).read_text()


def test_recovery_codes_on_a_sheet_are_accepted_once(user: User, sheets: Path) -> None:
    names = sheets.with_name("names")
    names.write_text(f"{user.name}\n")
    assert pam_totp("enroll", "--users", str(names), "--sheets", str(sheets)).code == 0
    codes = CODE.findall(sheet_of(user, sheets).read_text())
    assert len(set(codes)) == 10
    assert row_of(sheet_of(user, sheets))["codes"] == codes
    assert [verify(user, codes[3]).code for _ in range(2)] == [ACCEPTED, REFUSED]


def test_sheets_and_their_folder_are_root_s_alone(user: User, sheets: Path) -> None:
    trace = sheets.with_name("trace")
    traced = f'umask 0; exec strace -f -o {trace} -e trace=openat,mkdirat,chmod,fchmod "$@"'
    command = ["enroll", "--users", "-", "--sheets", str(sheets), "--pictures"]
    through = ["sh", "-c", traced, "-"]
    assert pam_totp(*command, typed=user.name, through=through).code == 0
    assert stat.S_IMODE(sheets.stat().st_mode) == 0o700
    assert stat.S_IMODE(sheet_of(user, sheets).stat().st_mode) == 0o600
    text = trace.read_text()
    made = [line for line in text.splitlines() if "O_CREAT" in line]
    assert made and all(line.rpartition(" = ")[0].endswith("0600)") for line in made)
    assert "chmod" not in text


def test_those_who_are_done_are_skipped_and_nothing_of_theirs_changes(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(2)]
    assert enroll(users[:1], sheets).code == 0
    before = tree(users[0].home), sheet_of(users[0], sheets).read_bytes()
    for options in ([], ["--replace"]):
        answer = enroll(users, sheets, *options)
        assert (answer.code, answer.errors) == (0, "")
        assert "enrolled before, with the sheet" in skipped(answer.output)[users[0].name]
        assert (tree(users[0].home), sheet_of(users[0], sheets).read_bytes()) == before
    assert_whole(users, sheets)


def test_secret_of_somebody_who_enrolled_is_replaced_only_if_that_is_asked_for(
    user: User, credential: Credential, sheets: Path
) -> None:
    old_codes = new_recovery_codes(user)
    answer = enroll([user], sheets)
    assert (answer.code, answer.errors) == (0, "")
    assert skipped(answer.output) == {user.name: "already enrolled"}
    assert saved_key(user) == credential.secret
    assert not list(sheets.iterdir())
    assert enroll([user], sheets, "--replace").code == 0
    assert_whole([user], sheets)
    assert saved_key(user) != credential.secret
    assert verify(user, credential.fresh_code()).code == REFUSED
    assert verify(user, old_codes[0]).code == REFUSED
    assert verify(user, Credential(user, saved_key(user)).fresh_code()).code == ACCEPTED


def test_replaced_secret_is_unconfirmed_though_its_user_has_logged_in_before(
    user: User, credential: Credential, sheets: Path
) -> None:
    assert verify(user, credential.fresh_code()).code == ACCEPTED
    mark = STATE / "enforced" / str(user.uid)
    os.utime(mark, (mark.stat().st_mtime - 100,) * 2)
    assert rows_of_users()[user.name]["unconfirmed"] is False
    assert enroll([user], sheets, "--replace").code == 0
    assert rows_of_users()[user.name]["unconfirmed"] is True


def test_app_is_given_another_label_than_that_of_the_secret_that_is_replaced(
    user: User, credential: Credential, sheets: Path
) -> None:
    assert enroll([user], sheets, "--replace").code == 0
    # Apps split issuer and label at a colon, so the time has none.
    uri = str(row_of(sheet_of(user, sheets))["uri"])
    assert re.search(r"%40\w+%2020\d\d-\d\d-\d\dT\d{4}\?", uri)


def test_every_user_who_is_skipped_is_named_with_the_reason(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], sheets: Path
) -> None:
    never, homeless, open_to_all, moved, done, fine = users = [make_user() for _ in range(6)]
    homeless.home.rename("/home/away")
    open_to_all.home.chmod(0o777)
    enrolled(done)
    enrolled(moved)
    try:
        with configured("store: system\n"):
            assert pam_totp("migrate", moved.name).code == 0
        with configured(f"rules:\n- {{user: {never.name}, code: never}}\n"):
            answer = enroll(users, sheets)
    finally:
        Path("/home/away").rename(homeless.home)
    why = skipped(answer.output)
    assert_refused(answer, "users that could not be enrolled: 3")
    assert "the settings never ask for a code" in why[never.name]
    assert "does not exist, so it cannot hold a secret" in why[homeless.name]
    assert "is writable by others" in why[open_to_all.name]
    assert f"run: pam-totp migrate {moved.name}" in why[moved.name]
    assert why[done.name] == "already enrolled"
    assert fine.name not in why
    assert_whole([fine], sheets)
    assert f"Enrolled 1 of 6 users (enrolled before: 1), sheets in {sheets}.\n" in answer.output


@pytest.mark.parametrize(
    ("rules", "is_skipped"),
    [
        ("- {user: NAME, service: su, code: never}", False),
        ("- {user: NAME, from: 10.0.0.0/8, code: never}", False),
        ("- {user: NAME, service: su, code: required}\n- {user: NAME, code: never}", False),
        ("- {user: NAME, service: su, code: never}\n- {code: never}", True),
        ("- {group: NAME, code: never}", True),
        ("- {group: no-such-group, code: never}", False),
        ("- {user: other, code: required}\n- {user: NA*, code: never}", True),
    ],
)
def test_only_a_rule_that_exempts_everywhere_skips_a_user(
    user: User, sheets: Path, rules: str, is_skipped: bool
) -> None:
    text = rules.replace("NAME", user.name).replace("NA*", f"{user.name[:3]}*")
    with configured(f"rules:\n{text}\n"):
        answer = enroll([user], sheets)
    assert answer.code == 0
    assert (user.name in skipped(answer.output)) is is_skipped
    assert secret_of(user).exists() is not is_skipped


def test_unknown_names_are_told_with_their_lines_before_anything_is_changed(
    user: User, sheets: Path
) -> None:
    names = f"\ufeff# all of them\r\n{user.name}\r\n\r\nnosuch # left\r\n  \r\n../etc\r\n"
    command = ["enroll", "--users", "-", "--sheets", str(sheets)]
    answer = pam_totp(*command, typed=names)
    assert_refused(answer, "unknown users (line 4: 'nosuch', line 6: '../etc'); nothing was chang")
    assert not secret_of(user).exists() and not sheets.exists()


@pytest.mark.parametrize("content", ["", "# nobody\n\n", "\n" * 100])
def test_file_that_names_nobody_is_an_error(sheets: Path, content: str) -> None:
    command = ["enroll", "--users", "-", "--sheets", str(sheets)]
    assert_refused(pam_totp(*command, typed=content), "standard input names no user")


@pytest.mark.parametrize("path", ["/nonexistent/names", "/tmp", "/dev/zero"])
def test_file_that_cannot_be_read_is_an_error_in_time(sheets: Path, path: str) -> None:
    answer = pam_totp("enroll", "--users", path, "--sheets", str(sheets))
    assert_refused(answer, path)


def test_pipe_that_nobody_writes_to_is_not_waited_for(sheets: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "names")
    answer = pam_totp("enroll", "--users", str(tmp_path / "names"), "--sheets", str(sheets))
    assert_refused(answer, f"{tmp_path}/names names no user")


def test_names_come_from_a_pipe_however_late(user: User, sheets: Path) -> None:
    """As of a command in the shell: --users <(getent group staff | …)."""
    typed = f'exec "$@" --users <(sleep 1; echo {user.name})'
    command = ["enroll", "--sheets", str(sheets)]
    assert pam_totp(*command, through=["bash", "-c", typed, "-"]).code == 0
    assert sheet_of(user, sheets).exists()


def test_members_of_a_group_are_enrolled_and_names_that_no_user_has_are_told(
    make_user: Callable[..., User], sheets: Path
) -> None:
    first, second = make_user(), make_user()
    before = GROUP.read_text()
    command = ["--sheets", str(sheets)]
    try:
        GROUP.write_text(f"{before}crowd:x:29999:{first.name},gone,{second.name},{first.name}\n")
        answer = pam_totp("enroll", "--group", "crowd", *command)
        assert_refused(answer, "users that could not be enrolled: 1")
        assert skipped(answer.output) == {"gone": "there is no such user"}
        assert_whole([first, second], sheets)
        GROUP.write_text(f"{before}crowd:x:29999:\n")
        assert_refused(pam_totp("enroll", "--group", "crowd", *command), "'crowd' has no members")
    finally:
        GROUP.write_text(before)
    answer = pam_totp("enroll", "--group", "crowd", *command)
    assert_refused(answer, "there is no group 'crowd'")


def test_group_of_a_user_has_the_user_as_its_member(user: User, sheets: Path) -> None:
    command = ["--sheets", str(sheets)]
    assert pam_totp("enroll", "--group", user.name, *command).code == 0
    assert_whole([user], sheets)


def test_five_thousand_names_are_answered_one_by_one(user: User, sheets: Path) -> None:
    before = PASSWD.read_text()
    others = [f"many{number}" for number in range(MANY)]
    lines = [
        f"{name}:x:{3_000_000 + number}:{3_000_000 + number}::/nonexistent/{name}:/bin/bash\n"
        for number, name in enumerate(others)
    ]
    try:
        PASSWD.write_text(before + "".join(lines))
        names = "\n".join([*others, user.name, *others])
        command = ["enroll", "--users", "-", "--sheets", str(sheets)]
        answer = pam_totp(*command, typed=names)
    finally:
        PASSWD.write_text(before)
    assert_refused(answer, "users that could not be enrolled: 5,000")
    assert skipped(answer.output).keys() == set(others)
    assert_whole([user], sheets)


def test_secrets_go_into_the_store_that_is_active(user: User, sheets: Path) -> None:
    with configured("store: system\n"):
        assert enroll([user], sheets).code == 0
        secret = STATE / "secrets" / user.name / "secret"
        key = printed_key(sheet_of(user, sheets))
        assert f"secret={key}&" in secret.read_text()
        assert not secret_of(user).exists()
        assert verify(user, Credential(user, key).fresh_code()).code == ACCEPTED
        assert enroll([user], sheets).code == 0
        assert f"secret={key}&" in secret.read_text()


def test_codes_are_as_the_settings_and_options_have_them(user: User, sheets: Path) -> None:
    options = ["--algorithm", "SHA256", "--issuer", "Our <site>", "--device", "my phone"]
    with configured("code: {digits: 8, period: 60}\n"):
        assert enroll([user], sheets, *options, "--language", "de").code == 0
    line = secret_of(user).read_text().splitlines()[-1]
    for part in ("algorithm=SHA256", "digits=8", "period=60", "issuer=Our%20%3Csite%3E"):
        assert part in line
    assert line.endswith(" my phone")
    text = sheet_of(user, sheets).read_text()
    assert "einen <bdi>8</bdi>-stelligen Code" in text
    assert "<site>" not in text.partition("</head>")[2]


def test_names_are_data_whatever_they_look_like(sheets: Path) -> None:
    names = ["-x", "$(id)", "a'b\"c", "<b>&amp;", "..", "a/b", "b\u202ec", "n" * 245, "n" * 246]
    before = PASSWD.read_text()
    homes = Path("/home/odd")
    homes.mkdir()
    try:
        lines = []
        for number, name in enumerate(names, 3_100_000):
            (homes / str(number)).mkdir(mode=0o700)
            os.chown(homes / str(number), number, number)
            lines.append(f"{name}:x:{number}:{number}::{homes}/{number}:/bin/bash\n")
        PASSWD.write_text(before + "".join(lines))
        command = ["enroll", "--users", "-", "--sheets", str(sheets)]
        answer = pam_totp(*command, typed="\n".join(names))
        assert_refused(answer, "users that could not be enrolled: 2")
        assert answer.output.count("the user name cannot be used as a file name") == 2
        made = {path.name.removesuffix(".html") for path in sheets.iterdir()}
        assert made == set(names) - {"a/b", "n" * 246}
        for name in made:
            row = row_of(sheets / f"{name}.html")
            assert row["user"] == name
            number = names.index(name) + 3_100_000
            assert f"secret={str(row['key']).replace(' ', '')}&" in (
                homes / f"{number}/.config/pam-totp/secret"
            ).read_text("utf-8")
        assert sorted(path.name for path in sheets.parent.iterdir()) == ["sheets"]
    finally:
        PASSWD.write_text(before)
        run("rm", "-r", str(homes))


def test_each_enrollment_is_logged_without_its_secret(
    make_user: Callable[..., User], sheets: Path, syslog: SystemLog
) -> None:
    users = [make_user() for _ in range(2)]
    assert enroll(users, sheets).code == 0
    lines = syslog.lines("action=enroll")
    assert [line.fields["user"] for line in lines] == [user.name for user in users]
    assert saved_key(users[0]) not in str([line.fields for line in lines])


def test_secrets_are_in_no_argument_and_no_output(user: User, sheets: Path) -> None:
    trace = sheets.with_name("trace")
    through = ["strace", "-f", "-o", str(trace), "-e", "trace=execve", "-s", "999", "-v"]
    command = ["enroll", "--users", "-", "--sheets", str(sheets)]
    table = str(sheets.with_name("table.csv"))
    answer = pam_totp(*command, "--table", table, typed=user.name, through=through)
    assert answer.code == 0
    said = trace.read_text() + answer.output + answer.errors
    assert saved_key(user) not in said.replace(" ", "")


def folder_of_somebody(path: Path) -> str:
    path.mkdir()
    os.chown(path, 12345, 0)
    return "is owned by user id 12345"


def open_folder(path: Path) -> str:
    path.mkdir()
    path.chmod(0o777)
    return "writable by others"


def sticky_folder(path: Path) -> str:
    path.mkdir()
    path.chmod(0o1777)
    return "writable by others"


def link(path: Path) -> str:
    path.with_name("elsewhere").mkdir(mode=0o700)
    path.symlink_to(path.with_name("elsewhere"))
    return "is a symbolic link"


def file(path: Path) -> str:
    path.write_text("")
    return "is not a folder"


@pytest.mark.parametrize("make", [folder_of_somebody, open_folder, sticky_folder, link, file])
def test_folder_that_others_can_change_gets_no_sheet(
    user: User, sheets: Path, make: Callable[[Path], str]
) -> None:
    message = make(sheets)
    assert_refused(enroll([user], sheets), message)
    assert not secret_of(user).exists()
    assert not sheets.is_dir() or not list(sheets.iterdir())


def test_way_to_the_folder_that_others_can_change_is_refused(user: User, tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.mkdir()
    above.chmod(0o777)
    assert_refused(enroll([user], above / "sheets"), "is writable by others")
    assert not secret_of(user).exists()


def test_sheet_never_takes_the_place_of_another_file(user: User, sheets: Path) -> None:
    sheets.mkdir(mode=0o700)
    for make in (Path.mkdir, Path.touch, os.mkfifo, lambda path: path.symlink_to("/etc/passwd")):
        path = sheet_of(user, sheets)
        make(path)
        answer = enroll([user], sheets)
        assert_refused(answer, "users that could not be enrolled: 1")
        assert f"run: rm {path}" in skipped(answer.output)[user.name]
        assert not secret_of(user).exists()
        run("rm", "-r", str(path))


def test_full_disk_for_the_sheets_stops_before_the_secret(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(4)]
    sheets.mkdir(mode=0o700)
    with mounted(sheets, "size=40k,mode=700"):
        answer = enroll(users, sheets)
        done = [user for user in users if secret_of(user).exists()]
        assert_refused(answer, f"No space left on device; enrolled {len(done)} of 4 users")
        assert done == users[: len(done)] != users
        assert_whole(done, sheets)


def test_full_disk_of_one_user_skips_that_user_alone(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(3)]
    home = users[1].home
    options = f"size=4k,nr_inodes=3,mode=700,uid={users[1].uid},gid={users[1].gid}"
    with mounted(home, options):
        answer = enroll(users, sheets)
        assert_refused(answer, "users that could not be enrolled: 1")
        assert "No space left on device; nothing was changed" in answer.output
        assert not secret_of(users[1]).exists()
    assert_whole([users[0], users[2]], sheets)
    assert enroll(users, sheets).code == 0
    assert_whole(users, sheets)


def test_read_only_home_skips_that_user_alone(make_user: Callable[..., User], sheets: Path) -> None:
    users = [make_user() for _ in range(2)]
    with read_only(users[0].home):
        answer = enroll(users, sheets)
        assert_refused(answer, "users that could not be enrolled: 1")
        assert "Read-only file system" in skipped(answer.output)[users[0].name]
    assert_whole(users[1:], sheets)


@pytest.mark.parametrize(
    "options",
    [
        ["--users", "x"],
        ["--group", "x"],
        ["--sheets", "x"],
        ["--users", "x", "--group", "x", "--sheets", "x"],
        ["--users", "x", "--sheets", "x", "--user", "root"],
        ["--users", "x", "--sheets", "x", "--label", "x"],
        ["--users", "x", "--sheets", "x", "--no-qr"],
        ["--users", "x", "--sheets", "x", "--age", "x"],
        ["--users", "x", "--sheets", "x", "--language", "xx"],
        ["--users", "x", "--sheets", "x", "--device", "1a2b3c4d"],
        ["--contact", "x"],
        ["--replace"],
        ["--pictures"],
        ["--json"],
    ],
)
def test_options_that_do_not_fit_together_are_wrong_usage(options: list[str]) -> None:
    answer = pam_totp("enroll", *options)
    assert answer.code == 2
    assert len(answer.errors.splitlines()) == 2


def test_only_root_enrolls_many(user: User) -> None:
    answer = pam_totp("enroll", "--users", "-", "--sheets", "x", user=user)
    assert_refused(answer, "this command must be run as root")


def test_line_of_progress_says_how_long_the_rest_takes(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(3)]
    names = sheets.with_name("names")
    names.write_text("".join(f"{user.name}\n" for user in users))
    # A slow disk: a user takes over a second.
    slow = "strace -f -o /dev/null -e trace=fsync -e inject=fsync:delay_enter=300ms"
    command = f"{COMMAND} enroll --users {names} --sheets {sheets}"
    shown = str(pexpect.run(f"{slow} {command}", encoding="utf-8", timeout=60))
    assert re.search(r"users: [12] of 3, \d+\.\d a second, \d+ s left", shown), shown
    assert "Enrolled 3 of 3 users" in shown


def test_second_command_does_not_write_into_the_same_folder(user: User, sheets: Path) -> None:
    sheets.mkdir(mode=0o700)
    run_locked = ["flock", str(sheets), COMMAND, "enroll", "--users", "-", "--sheets", str(sheets)]
    answer = pam_totp(*run_locked[3:], through=run_locked[:2], typed=user.name)
    assert_refused(answer, f"another command writes sheets into {sheets}")
    assert not secret_of(user).exists()


def outcomes(answer: Answer) -> dict[str, str]:
    found = json.loads(answer.output)
    assert keys_not_in_manual("enroll", answer.output) == set()
    assert found["changed"] is ("enrolled" in [each["outcome"] for each in found["users"]])
    return {each["user"]: each["outcome"] for each in found["users"]}


def test_json_tells_every_user_in_their_order_with_outcome_and_reason_and_no_secret(
    make_user: Callable[..., User], enrolled: Callable[..., Credential], sheets: Path
) -> None:
    fine, open_to_all, never, own = users = [make_user() for _ in range(4)]
    open_to_all.home.chmod(0o777)
    enrolled(own)
    with configured(f"rules:\n- {{user: {never.name}, code: never}}\n"):
        answer = enroll(users, sheets, "--json")
    assert_refused(answer, "users that could not be enrolled: 1")
    expected = ["enrolled", "fault", "exempt", "enrolled before"]
    assert list(outcomes(answer).items()) == [
        (user.name, outcome) for user, outcome in zip(users, expected, strict=True)
    ]
    reasons = [each["reason"] for each in json.loads(answer.output)["users"]]
    assert reasons[0] == "" and "is writable by others" in reasons[1]
    assert saved_key(fine) not in answer.output
    answer = enroll([fine], sheets, "--json")
    assert (answer.code, outcomes(answer)) == (0, {fine.name: "enrolled before"})


def test_json_tells_who_was_not_tried_when_the_disk_is_full(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(4)]
    sheets.mkdir(mode=0o700)
    with mounted(sheets, "size=40k,mode=700"):
        answer = enroll(users, sheets, "--json")
        done = [user for user in users if secret_of(user).exists()]
    expected = ["enrolled"] * len(done) + ["fault"] + ["not tried"] * (3 - len(done))
    assert list(outcomes(answer).values()) == expected


def test_run_that_finds_everybody_enrolled_says_so(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(2)]
    assert enroll(users, sheets).output == f"Enrolled 2 of 2 users, sheets in {sheets}.\n"
    last = enroll(users, sheets).output.splitlines()[-1]
    assert last == "2 of 2 users enrolled before."


def test_picture_is_root_s_alone_and_has_the_code_of_the_sheet(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(2)]
    assert enroll(users, sheets, "--pictures").code == 0
    assert_whole(users, sheets, has_pictures=True)
    assert stat.S_IMODE(picture_of(users[0], sheets).stat().st_mode) == 0o600


def test_picture_of_those_who_were_enrolled_before_is_drawn_of_their_sheet(
    make_user: Callable[..., User], sheets: Path
) -> None:
    users = [make_user() for _ in range(2)]
    assert enroll(users, sheets).code == 0
    keys = [saved_key(user) for user in users]
    for _ in range(2):
        assert enroll(users, sheets, "--pictures").code == 0
        assert_whole(users, sheets, has_pictures=True)
        assert [saved_key(user) for user in users] == keys


def test_picture_that_is_there_is_never_left_beside_a_new_sheet(user: User, sheets: Path) -> None:
    sheets.mkdir(mode=0o700)
    picture_of(user, sheets).write_bytes(b"another")
    for options in ([], ["--pictures"]):
        answer = enroll([user], sheets, *options)
        assert_refused(answer, "users that could not be enrolled: 1")
        assert f"run: rm {picture_of(user, sheets)}" in skipped(answer.output)[user.name]
        assert not secret_of(user).exists()
    assert picture_of(user, sheets).read_bytes() == b"another"


def test_nothing_but_the_two_files_is_left_in_a_home(user: User, sheets: Path) -> None:
    assert enroll([user], sheets).code == 0
    assert recovery_of(user).read_text().startswith("pam-totp recovery 1 ")
    owners = {path.owner() for path in (user.home / ".config").rglob("*")}
    assert owners == {user.name}
