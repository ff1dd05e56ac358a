# SPDX-License-Identifier: MIT
"""`pam-totp devices show`: a secret that is in use, once more, for its owner alone."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.commands.commands import (
    assert_refused,
    mounted,
    pam_totp,
    run,
    secret_of,
    tree,
)
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.fuse import fuse_device
from tests.host.pictures import logo_of, read_qr_code, unreadable_logo
from tests.host.programs import COMMAND
from tests.host.system_log import SystemLog
from tests.host.terminal import CTRL_C, Conversation, Session

Converse = Callable[..., Conversation]
QUESTION = r"Code from the app \(or press Enter to use the system password\):"
PASSWORD = "System password of .*:"
LIBRARY = Path("/usr/lib/python3/dist-packages/PIL")
ZBARIMG = Path("/usr/bin/zbarimg")
KEY = re.compile(r"Key:  ([A-Z2-7 ]+)")


@pytest.fixture
def uri(user: User, credential: Credential) -> str:
    """What an app of the user was shown; the file has a time besides."""
    path = secret_of(user)
    text = path.read_text(encoding="ascii").removesuffix(" phone\n")
    user.give(path, f"{text}&added=20261129T1200Z phone\n")
    return text


def show(user: User, credential: Credential, *options: str, word: str = "phone") -> Conversation:
    """By the user, with a code of the app."""
    session = Session([COMMAND, "devices", "show", word, *options], user, {})
    try:
        session.answer(QUESTION, credential.code())
        return session.finish()
    finally:
        session.close()


def shown_actions(syslog: SystemLog) -> list[dict[str, str]]:
    return [line.fields for line in syslog.lines("action=")]


@contextmanager
def hidden(path: Path, by: Path) -> Iterator[None]:
    """As if a package were not installed."""
    subprocess.run(["mount", "--bind", str(by), str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize("by", ["code", "password"])
def test_owner_sees_key_and_qr_code_as_at_the_enrollment(
    user: User, credential: Credential, uri: str, on_terminal: Converse, by: str
) -> None:
    answers = [(QUESTION, credential.code())]
    if by == "password":
        answers = [(QUESTION, ""), (PASSWORD, user.password)]
    command = ["env", "LANG=C.UTF-8", COMMAND, "devices", "show", "PHONE"]
    shown = on_terminal(command, answers, user=user)
    assert shown.status == 0
    assert f"URI:  {uri}\n" in shown.transcript
    keys = [key.replace(" ", "") for key in KEY.findall(shown.transcript)]
    assert keys == [credential.secret] * 2
    assert "▀" in shown.transcript
    assert secret_of(user).read_text(encoding="ascii").startswith(uri), "nothing was changed"


@pytest.mark.parametrize("typed", ["000000\n", "\n", "\nwrong\nwrong\nwrong\n", "", "x\n"])
def test_nobody_else_sees_anything(
    user: User, credential: Credential, typed: str, syslog: SystemLog
) -> None:
    for options in ([], ["--uri"], ["--png", "x.png"], ["--svg", "x.svg"], ["--no-qr"]):
        answer = pam_totp("devices", "show", "phone", *options, user=user, typed=typed)
        assert answer.code == 1
        assert len(answer.errors.replace(": \n", ": ").splitlines()) <= 3
        assert credential.secret not in answer.output + answer.errors
    assert shown_actions(syslog) == []
    assert sorted(path.name for path in user.home.glob("x*")) == []


def test_recovery_code_does_not_show_it(user: User, credential: Credential) -> None:
    answer = pam_totp("devices", "show", "phone", user=user, typed="abcd-efgh-ijkl-mnop\n")
    assert_refused(answer, "incorrect code")


def test_uri_alone_is_what_a_program_gets(user: User, credential: Credential, uri: str) -> None:
    answer = pam_totp("devices", "show", "phone", "--uri", user=user, typed=credential.code())
    assert (answer.code, answer.output) == (0, f"{uri}\n")


def test_every_look_is_in_the_log_before_it_is_shown_and_the_secret_is_not(
    user: User, credential: Credential, uri: str, syslog: SystemLog
) -> None:
    user.give(secret_of(user), f'{uri} my "phone" \n')
    assert show(user, credential, "--uri", word='my "phone"').status == 0
    assert pam_totp("devices", "show", 'my "phone"', "--user", user.name).code == 0
    through = ["env", "SUDO_USER=carol"]
    done = pam_totp("devices", "show", 'my "phone"', "--user", user.name, through=through)
    assert done.code == 0
    line = {"action": "show-secret", "user": user.name, "device": "my ?phone?"}
    assert shown_actions(syslog) == [line | {"by": by} for by in (user.name, "root", "carol")]
    assert all(credential.secret not in each.message for each in syslog.lines())
    # Where the output breaks the look is in the log all the same: not all of it fits a buffer.
    user.give(secret_of(user), f"{uri}&x={'y' * 20000} phone\n")
    shell = f"{COMMAND} devices show phone --uri --user {user.name} >/dev/full"
    assert run(["/bin/sh", "-c", shell]).code == 1
    assert len(shown_actions(syslog)) == 4


def test_without_a_terminal_the_key_is_shown_and_why_no_qr_code_is(
    user: User, credential: Credential, uri: str
) -> None:
    answer = pam_totp("devices", "show", "phone", "--user", user.name)
    assert (answer.code, answer.errors) == (0, "")
    assert f"URI:  {uri}\n" in answer.output
    assert "not a terminal" in answer.output


def test_window_that_is_too_small_names_the_command(
    user: User, credential: Credential, uri: str, on_terminal: Converse
) -> None:
    command = ["env", "LANG=C", COMMAND, "devices", "show", "phone"]
    shown = on_terminal(command, [(QUESTION, credential.code())], user=user)
    assert "LANG=C.UTF-8 pam-totp devices show phone" in shown.transcript


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_picture_holds_the_uri_and_is_its_owners_alone(
    user: User, credential: Credential, uri: str, kind: str
) -> None:
    picture = user.home / f"code.{kind}"
    loose = ["/bin/sh", "-c", 'umask 0; exec "$@"', "sh"]
    answer = run(
        user.command([*loose, COMMAND, "devices", "show", "phone", f"--{kind}", str(picture)]),
        f"{credential.code()}\n",
        start_new_session=True,
    )
    assert answer.code == 0, answer.errors
    assert f"Saved: {picture} shows the secret of 'phone'." in answer.output
    assert credential.secret not in answer.output
    status = picture.stat()
    assert (status.st_mode & 0o7777, status.st_uid) == (0o600, user.uid)
    if kind == "svg":
        picture = rasterised(picture)
    assert read_qr_code(picture) == uri


def rasterised(picture: Path) -> Path:
    """The squares of the path, on white, ten pixels each."""
    text = picture.read_text(encoding="utf-8")
    assert 'fill="white"' in text
    squares = re.findall(r"M(\d+),(\d+)H(\d+)V(\d+)H\1z", text)
    assert squares
    image = Image.new("L", (700, 700), 255)
    for left, top, right, bottom in (tuple(map(int, each)) for each in squares):
        box = (left * 10, top * 10, right * 10 - 1, bottom * 10 - 1)
        ImageDraw.Draw(image).rectangle(box, fill=0)
    image.save(path := picture.with_suffix(".of-svg.png"))
    return path


def test_picture_is_0600_from_its_first_byte(user: User, credential: Credential) -> None:
    trace = f"/tmp/trace-{user.uid}"
    through = ["/bin/sh", "-c", 'umask 0; exec "$@"', "sh", "strace", "-f", "-o", trace]
    picture = f"/root/{user.name}.png"
    try:
        answer = pam_totp(
            *("devices", "show", "phone", "--user", user.name, "--png", picture), through=through
        )
        assert answer.code == 0
        calls = Path(trace).read_text(encoding="utf-8", errors="replace").splitlines()
        calls = [line for line in calls if f'{user.name}.png"' in line]  # relative to its folder
        (made,) = [line for line in calls if "O_CREAT" in line]
        assert "O_EXCL|O_NOFOLLOW" in made
        assert ", 0600)" in made
        assert not [line for line in calls if "chmod" in line]
    finally:
        Path(picture).unlink(missing_ok=True)
        Path(trace).unlink(missing_ok=True)


@pytest.mark.parametrize("what", ["file", "link", "dangling", "folder"])
def test_picture_takes_the_place_of_nothing(
    user: User, credential: Credential, what: str, syslog: SystemLog
) -> None:
    user.give(user.home / "kept", "mine")
    path = user.home / "code.png"
    if what == "file":
        user.give(path, "mine")
    if what == "folder":
        path.mkdir()
    if what in ("link", "dangling"):
        path.symlink_to("kept" if what == "link" else "not-there")
    before = tree(user.home)
    answer = pam_totp("devices", "show", "phone", "--png", str(path), user=user)
    assert_refused(answer, f"{path} already exists")
    answer = pam_totp("devices", "show", "phone", "--user", user.name, "--png", str(path))
    assert_refused(answer, f"{path} already exists")
    assert tree(user.home) == before
    assert not (user.home / "not-there").exists()
    assert shown_actions(syslog) == []


def test_file_that_appears_at_the_last_moment_is_kept(user: User, credential: Credential) -> None:
    path = user.home / "code.png"
    session = Session([COMMAND, "devices", "show", "phone", "--png", str(path)], user, {})

    def code(_: str) -> str:
        user.give(path, "mine")
        return credential.code()

    session.answer(QUESTION, code)
    done = session.finish()
    session.close()
    assert done.status == 1
    assert "already exists" in done.transcript
    assert path.read_text(encoding="ascii") == "mine"


@pytest.mark.parametrize("name", ["/not/there/x.png", "a\0b"])
def test_name_that_no_file_can_have_is_two_lines_of_error(
    user: User, credential: Credential, name: str
) -> None:
    if "\0" in name:
        return  # the kernel passes no such argument on
    answer = pam_totp("devices", "show", "phone", "--user", user.name, "--png", name)
    assert_refused(answer, f"cannot write {name}: No such file or directory")


def test_full_disk_leaves_no_part_of_a_picture(user: User, credential: Credential) -> None:
    with mounted("/mnt", "size=4k"):
        Path("/mnt/full").write_bytes(bytes(4096))
        answer = pam_totp("devices", "show", "phone", "--user", user.name, "--png", "/mnt/x.png")
        assert_refused(answer, "No space left on device")
        assert os.listdir("/mnt") == ["full"]


def test_file_system_that_shows_the_picture_to_others_gets_none(
    user: User, credential: Credential
) -> None:
    fuse_device()
    real, point = user.home / "real", user.home / "point"
    real.mkdir()
    point.mkdir()
    subprocess.run(["bindfs", "-p", "0644,ud+X", str(real), str(point)], check=True)
    try:
        path = f"{point}/x.png"
        answer = pam_totp("devices", "show", "phone", "--user", user.name, "--png", path)
        assert_refused(answer, "others could read it on that file system")
        assert list(real.iterdir()) == []
    finally:
        subprocess.run(["umount", str(point)], check=True)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_picture_with_a_logo_is_read(
    user: User, credential: Credential, uri: str, kind: str
) -> None:
    logo = logo_of(user, Image.new("RGB", (300, 120), "red"), kind)
    picture = user.home / "code.png"
    done = show(user, credential, "--png", str(picture), "--logo", str(logo))
    assert done.status == 0, done.transcript
    assert read_qr_code(picture) == uri
    with Image.open(picture) as image:
        red, green, _ = image.convert("RGB").getpixel((image.width // 2, image.height // 2))
        assert (red > 240, green < 15) == (True, True), "the logo is in the middle"


def test_logo_that_makes_the_code_unreadable_is_refused_and_nothing_is_written(
    user: User, credential: Credential, uri: str, syslog: SystemLog
) -> None:
    logo = unreadable_logo(user)
    picture = user.home / "code.png"
    done = show(user, credential, "--png", str(picture), "--logo", str(logo))
    assert done.status == 1
    said = " ".join(done.transcript.split())
    assert f"with {logo} the QR code cannot be read; nothing was written hint: " in said
    assert not picture.exists()
    assert shown_actions(syslog) == [], "nobody saw it"


@pytest.mark.parametrize(
    "what", ["junk", "torn", "fifo", "folder", "nothing", "other", "huge", "wide"]
)
def test_logo_that_is_no_picture_is_two_lines_of_error(
    user: User, credential: Credential, what: str
) -> None:
    logo = user.home / "logo"
    if what == "junk":
        user.give(logo, "junk")
    if what == "torn":
        whole = logo_of(user, Image.effect_noise((200, 200), 90)).read_bytes()
        logo.write_bytes(whole[: len(whole) // 2])
    if what == "fifo":
        os.mkfifo(logo)
    if what == "folder":
        logo.mkdir()
    if what == "other":
        user.give(logo, "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    if what == "huge":
        logo.write_bytes(bytes(16 * 1024 * 1024 + 1))
    if what == "wide":
        Image.new("1", (5000, 5000)).save(logo, "PNG")  # 3 KB, and 100 MB of memory
    options = ["--png", str(user.home / "x.png"), "--logo", str(logo)]
    answer = pam_totp("devices", "show", "phone", "--user", user.name, *options)
    assert_refused(answer, str(logo))
    assert not (user.home / "x.png").exists()


def test_package_that_is_missing_is_named_before_anything_is_asked(
    user: User, credential: Credential, tmp_path: Path
) -> None:
    with hidden(LIBRARY, by=tmp_path):
        answer = pam_totp("devices", "show", "phone", "--png", "x.png", user=user)
        assert_refused(answer, "which is not installed")
        assert answer.errors.endswith("hint: apt-get install python3-pil\n")
        svg = pam_totp("devices", "show", "phone", "--svg", "/root/x.svg", "--user", user.name)
        assert svg.code == 0
        Path("/root/x.svg").unlink()
    with hidden(ZBARIMG, by=Path(os.devnull)):
        options = ["--png", "x.png", "--logo", "x"]
        answer = pam_totp("devices", "show", "phone", *options, user=user)
        assert_refused(answer, "which is not installed")
        assert answer.errors.endswith("hint: apt-get install zbar-tools\n")


def test_secret_is_in_no_argument_of_the_reader_and_in_no_file_of_its_own(
    user: User, credential: Credential
) -> None:
    """Nor does zbarimg tell it to the message bus."""
    logo = logo_of(user, Image.new("RGB", (100, 100), "red"))
    trace = f"/tmp/trace-{user.uid}"
    through = ["strace", "-f", "-s", "4096", "-e", "trace=execve,openat,connect", "-o", trace]
    options = ["--png", f"/root/{user.name}.png", "--logo", str(logo)]
    try:
        answer = pam_totp(
            "devices", "show", "phone", "--user", user.name, *options, through=through
        )
        assert answer.code == 0, answer.errors
        text = Path(trace).read_text(encoding="utf-8", errors="replace")
        assert "zbarimg" in text
        assert credential.secret not in text
        assert "dbus" not in re.sub(r"lib\S*dbus\S*|--nodbus", "", text)
        assert "/tmp/magick" not in text
    finally:
        Path(trace).unlink(missing_ok=True)
        Path(options[1]).unlink(missing_ok=True)
    assert list(Path("/dev/shm").glob("tmp*")) == []


@pytest.mark.parametrize("asked", [QUESTION, PASSWORD])
def test_ctrl_c_shows_nothing(
    user: User, credential: Credential, asked: str, on_terminal: Converse
) -> None:
    answers = [(QUESTION, CTRL_C)] if asked == QUESTION else [(QUESTION, ""), (PASSWORD, CTRL_C)]
    shown = on_terminal([COMMAND, "devices", "show", "phone"], answers, user=user)
    assert shown.status == 1
    assert "pam-totp: error: interrupted" in shown.transcript
    assert credential.secret not in shown.transcript


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--logo", "x"], "--logo needs --png"),
        (["--svg", "x", "--logo", "x"], "--logo needs --png"),
        (["--uri", "--png", "x"], "not allowed with argument"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(
    user: User, credential: Credential, options: list[str], said: str
) -> None:
    assert_refused(pam_totp("devices", "show", "phone", *options, user=user), said, code=2)
    answer = pam_totp("devices", "--json", "show", "phone", user=user)
    assert_refused(answer, "the secret is not shown as JSON", code=2)


def test_uri_that_is_too_long_for_a_qr_code_is_said(user: User, credential: Credential) -> None:
    path = secret_of(user)
    text = path.read_text(encoding="ascii")
    user.give(path, text.replace("issuer=server", f"issuer=server&x={'y' * 4000}"))
    answer = pam_totp("devices", "show", "phone", "--user", user.name, "--png", "/root/x.png")
    assert_refused(answer, "the URI is too long for a QR code")
    session = Session([COMMAND, "devices", "show", "phone", "--user", user.name], None, {})
    done = session.finish()
    session.close()
    assert done.status == 0
    assert "The URI is too long for a QR code." in done.transcript
