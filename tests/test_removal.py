# SPDX-License-Identifier: MIT
"""Removing the package strands nobody: what postrm makes of stacks that name what is gone."""

import subprocess
from pathlib import Path

import pytest

from pam_totp.setup.block import put_in
from pam_totp.setup.plan_sshd import INCLUDE
from pam_totp.setup.sshd_settings import Choices, text
from tests.host.accounts import User
from tests.host.pam_services import SERVICES, PamServices, shipped_lines
from tests.stack import libpam
from tests.stack.libpam import PAM_SUCCESS

REPOSITORY = Path(__file__).resolve().parents[1]
COMMON_AUTH = Path("/etc/pam.d/common-auth")
LINE = "auth required pam_totp.so"
PASSWORD = "@include common-auth"
PROMPT = "Password: "
WHOLE = shipped_lines("password-then-code")[0]
VERIFY = "auth required pam_exec.so quiet expose_authtok /usr/libexec/pam-totp/verify"
# Its number counts lines: without one for ours it would lead over the end, which refuses.
SKIP = "auth [success=1 default=ignore] pam_succeed_if.so quiet uid >= 0"
STACKS: dict[str, list[str]] = {
    "password-then-code": [PASSWORD, *shipped_lines("password-then-code")],
    "key-then-code": shipped_lines("key-then-code"),
    "key-or-password-then-code": shipped_lines("key-or-password-then-code"),
    "key-then-code-without-module": shipped_lines("key-then-code-without-module"),
    "one-prompt": shipped_lines("one-prompt"),
    "a skip over our line": [PASSWORD, SKIP, LINE],
    "a path": [PASSWORD, "auth required /lib/x86_64-linux-gnu/security/pam_totp.so tries=1"],
    "pam_exec": [PASSWORD, VERIFY],
    "pam_exec alone": [VERIFY],
    "brackets": [PASSWORD, "auth [success=ok ignore=ignore default=die] pam_totp.so"],
    "another case": [PASSWORD, "AUTH required pam_totp.so"],
    "a dash": [PASSWORD, "-auth required pam_totp.so"],
    "a substack": ["auth substack common-auth", LINE],
    "an include": ["auth include common-auth", LINE],
    "continued": [PASSWORD, "auth required \\", "    pam_totp.so \\", "    tries=1"],
    "continued after a comment": [PASSWORD, "auth \\ # why", " required pam_totp.so"],
    "last of all lines, and continued": [PASSWORD, "auth required pam_totp.so \\"],
    "nothing but our line": [LINE],
    "nothing but our line and permit": [LINE, "auth required pam_permit.so"],
    "nothing but ours, permit and a script": [
        LINE,
        "auth optional pam_exec.so /bin/true",
        "auth required pam_permit.so",
    ],
    "a jump over a refusal, and nothing but our line says yes": [
        "auth [success=1 default=ignore] pam_unix.so",
        "auth requisite pam_deny.so",
        LINE,
        "auth optional pam_group.so",
    ],
    "before the password": [LINE, PASSWORD],
    "another type": [PASSWORD, "account required pam_totp.so"],
}


def remove(folder: Path, action: str = "remove") -> str:
    """Runs postrm for a system whose /etc/pam.d is `folder`/etc/pam.d; what it says."""
    done = subprocess.run(
        ["sh", REPOSITORY / "debian" / "postrm", action],
        env={"DPKG_ROOT": str(folder), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    return done.stderr


@pytest.fixture
def services(tmp_path: Path) -> Path:
    """An /etc/pam.d of its own, with Debian's common-auth; `other` denies."""
    (tmp_path / "etc").mkdir()
    # Read only now: before the first test its password waits (tests/conftest.py).
    common = COMMON_AUTH.read_text(encoding="utf-8")
    return libpam.write_services(tmp_path / "etc" / "pam.d", {"common-auth": common})


def assert_password_alone(services: Path, service: str, user: User) -> None:
    """The password is accepted, also in the process of sshd that only sets credentials; and nothing
    else does."""
    right = libpam.authenticate_apart(services, service, user.name, [user.password])
    assert (right.authenticate, right.setcred, right.prompts) == (0, 0, [PROMPT])
    wrong = libpam.authenticate_apart(services, service, user.name, ["wrong"] * 3)
    assert wrong.authenticate != PAM_SUCCESS
    apart = libpam.authenticate_apart(services, service, "root", [], only_setcred=True)
    assert apart.setcred == -1 or apart.setcred == PAM_SUCCESS


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
def test_stack_that_needed_us_asks_for_the_password_alone(
    services: Path, user: User, stack: list[str]
) -> None:
    text = "\n".join(["# PAM for sshd", *stack, ""])
    (services / "sshd").write_text(text, encoding="utf-8")
    (services / "sshd").chmod(0o640)
    said = remove(services.parents[1])
    assert "/etc/pam.d/sshd used pam-totp, which was removed" in said
    assert_password_alone(services, "sshd", user)
    assert (services / "sshd.pam-totp.bak").read_text(encoding="utf-8") == text
    assert (services / "sshd").stat().st_mode & 0o7777 == 0o640
    assert sorted(path.name for path in services.iterdir()) == [
        "common-auth",
        "other",
        "sshd",
        "sshd.pam-totp.bak",
    ]
    assert remove(services.parents[1], "purge") == "", "the second time nothing is left to mend"


@pytest.mark.parametrize("by", ["@include", "auth include", "auth substack"])
@pytest.mark.parametrize(
    ("shared", "before"),
    [([LINE], [PASSWORD]), ([LINE], []), (shipped_lines("key-then-code"), [])],
    ids=["after the password", "alone", "key-then-code"],
)
def test_stack_that_needed_us_by_way_of_an_include_asks_for_the_password_once(
    services: Path,
    user: User,
    pam_services: PamServices,
    by: str,
    shared: list[str],
    before: list[str],
) -> None:
    """In the real /etc/pam.d: libpam looks for what is included there and nowhere else."""
    (services / "code").write_text("\n".join([*shared, ""]), encoding="utf-8")
    (services / "door").write_text("\n".join([*before, f"{by} code", ""]), encoding="utf-8")
    remove(services.parents[1])
    for name in ("code", "door"):
        pam_services.write(name, (services / name).read_text(encoding="utf-8"))
    assert_password_alone(SERVICES, "door", user)


def test_common_auth_that_names_us_still_asks_for_the_password(
    services: Path, user: User, pam_services: PamServices
) -> None:
    with (services / "common-auth").open("a", encoding="utf-8") as file:
        file.write(f"{LINE}\n")
    remove(services.parents[1])
    pam_services.write("common-auth", (services / "common-auth").read_text(encoding="utf-8"))
    pam_services.write("door", f"{PASSWORD}\n")
    assert_password_alone(SERVICES, "door", user)


def test_files_that_do_not_name_us_and_that_are_no_services_stay_as_they_are(
    services: Path,
) -> None:
    names = ["sshd.dpkg-old", "sshd.dpkg-dist", "sshd.ucf-dist", "sshd~", "sshd.bak", "su"]
    for name in names:
        text = f"# {LINE}\n{PASSWORD}\n" if name == "su" else f"{LINE}\n"
        (services / name).write_text(text, encoding="utf-8")
    before = {path: (path.read_bytes(), path.stat().st_ino) for path in services.iterdir()}
    assert remove(services.parents[1]) == ""
    after = {path: (path.read_bytes(), path.stat().st_ino) for path in services.iterdir()}
    assert after == before


def test_stack_stays_where_the_module_was_installed_by_other_means(services: Path) -> None:
    module = services.parents[1] / "usr/lib/x86_64-linux-gnu/security/pam_totp.so"
    program = services.parents[1] / "usr/lib/pam-totp/pam_totp/main.py"
    for path in (module, program):
        path.parent.mkdir(parents=True)
        path.touch()
    (services / "sshd").write_text(f"{PASSWORD}\n{LINE}\n", encoding="utf-8")
    assert remove(services.parents[1], "purge") == ""
    assert (services / "sshd").read_text(encoding="utf-8") == f"{PASSWORD}\n{LINE}\n"
    assert program.exists()


def test_link_in_the_place_of_a_service_stays_a_link(services: Path, user: User) -> None:
    real = services.parent / "our-sshd"
    real.write_text(f"{PASSWORD}\n{LINE}\n", encoding="utf-8")
    (services / "sshd").symlink_to(real)
    remove(services.parents[1])
    assert (services / "sshd").is_symlink()
    assert_password_alone(services, "sshd", user)


def test_file_of_several_services_is_mended_once_and_kept_as_it_was(
    services: Path, tmp_path: Path, user: User
) -> None:
    text = f"{PASSWORD}\n{LINE}\n"
    shared = tmp_path / "shared"
    shared.write_text(text, encoding="utf-8")
    for name in ("a-service", "sshd"):
        (services / name).symlink_to(shared)
    said = remove(services.parents[1])
    for name in ("a-service", "sshd"):
        assert f"/etc/pam.d/{name} used pam-totp, which was removed" in said
        assert_password_alone(services, name, user)
    kept = shared.with_name("shared.pam-totp.bak")
    assert kept.read_text(encoding="utf-8") == text
    assert shared.read_text(encoding="utf-8").count("# pam-totp was removed") == 1


def test_settings_of_sshd_that_stay_are_told(services: Path) -> None:
    drop_in = services.parent / "ssh" / "sshd_config.d" / "00-pam-totp.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("AuthenticationMethods keyboard-interactive:pam\n", encoding="utf-8")
    assert f"{drop_in} still makes sshd ask for the password" in remove(services.parents[1])
    assert drop_in.exists()


@pytest.fixture
def ssh(services: Path) -> Path:
    """An /etc/ssh of its own, as Debian has it."""
    folder = services.parent / "ssh"
    (folder / "sshd_config.d").mkdir(parents=True)
    (folder / "sshd_config").write_text(SSHD_CONFIG, encoding="utf-8")
    return folder


SSHD_CONFIG = "Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes"  # and no line end


def test_settings_of_sshd_that_enable_wrote_are_taken_away(services: Path, ssh: Path) -> None:
    drop_in, config = ssh / "sshd_config.d" / "00-pam-totp.conf", ssh / "sshd_config"
    written = text(Choices())
    drop_in.write_text(written, encoding="utf-8")
    content = put_in(SSHD_CONFIG.encode(), 0, 0, "sshd's settings", [INCLUDE])
    config.write_bytes(content)
    config.chmod(0o600)
    said = remove(services.parents[1])
    assert f"{drop_in} made sshd ask for codes, so it was renamed" in said
    assert config.read_text(encoding="utf-8").rstrip("\n") == SSHD_CONFIG
    assert config.stat().st_mode & 0o7777 == 0o600
    assert (ssh / "sshd_config.pam-totp.bak").read_bytes() == content
    (left,) = drop_in.parent.iterdir()
    assert left.read_text(encoding="utf-8") == written and left.suffix != ".conf"
    assert remove(services.parents[1], "purge") == "", "the second time nothing is left to mend"


def test_block_that_says_what_stood_there_is_that_again(services: Path, ssh: Path) -> None:
    config, first = ssh / "sshd_config", len(SSHD_CONFIG.splitlines(True)[0])
    config.write_bytes(put_in(f"{SSHD_CONFIG}\n".encode(), 0, first, "x", ["UsePAM no"]))
    remove(services.parents[1])
    assert config.read_text(encoding="utf-8") == f"{SSHD_CONFIG}\n"


@pytest.mark.parametrize("mark", ["# begin of pam-totp's lines: x", "# end of pam-totp's lines"])
def test_mark_without_its_other_half_is_told_and_left_alone(
    services: Path, ssh: Path, mark: str
) -> None:
    config = ssh / "sshd_config"
    config.write_text(f"{mark}\n{SSHD_CONFIG}\n", encoding="utf-8")
    said = remove(services.parents[1])
    assert f"{config} still has lines that pam-totp wrote" in said
    assert config.read_text(encoding="utf-8") == f"{mark}\n{SSHD_CONFIG}\n"


def test_what_cannot_be_mended_is_told_and_does_not_stop_the_removal(services: Path) -> None:
    text = f"{PASSWORD}\n{LINE}\n"
    (services / "sshd").write_text(text, encoding="utf-8")
    subprocess.run(["mount", "--bind", services, services], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", services], check=True)
    try:
        said = remove(services.parents[1])
    finally:
        subprocess.run(["umount", services], check=True)
    assert "/etc/pam.d/sshd uses pam-totp, which was removed: every login there is refused" in said
    assert (services / "sshd").read_text(encoding="utf-8") == text


def test_without_any_services_nothing_is_said(tmp_path: Path) -> None:
    assert remove(tmp_path) == remove(tmp_path, "purge") == ""
