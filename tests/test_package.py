# SPDX-License-Identifier: MIT
"""The Debian package and `make install`: what they put where, and nothing else.

What an installed package does in whole Debian 12 and 13 systems: tests/package_roots.
"""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from pam_totp import VERSION
from tests.host.debian_package import ROOT, copy_of_the_tree, files_below, run

pytestmark = pytest.mark.timeout(600)  # the first test builds the package
PROGRAMS = {
    "usr/bin/pam-totp",
    "usr/libexec/pam-totp/agent",
    "usr/libexec/pam-totp/gate",
    "usr/libexec/pam-totp/send-code",
    "usr/libexec/pam-totp/show-enrollment",
    "usr/libexec/pam-totp/roll-back",
    "usr/libexec/pam-totp/verify",
    "usr/share/doc/pam-totp/examples/mfa",
    "usr/share/python3/runtime.d/pam-totp.rtupdate",
    "usr/share/python3/runtime.d/pam-totp-bundle.rtupdate",
}
UNIT = "pam-totp-roll-back.service"
UNITS = {
    UNIT,
    "pam-totp-agent.service",
    "pam-totp-agent.socket",
    "pam-totp-enroll.service",
    "pam-totp-enroll.socket",
}
LINKS = {"usr/lib/systemd/system/sysinit.target.wants/pam-totp-roll-back.service"}


@pytest.fixture(scope="module")
def unpacked(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    run("dpkg-deb", "-x", package, folder)
    return folder


@pytest.fixture(scope="module")
def installed_elsewhere(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`make install` twice into a folder, for /opt/totp, with a left-over between the two."""
    folder = tmp_path_factory.mktemp("elsewhere")
    command = ["make", "-s", "install", f"DESTDIR={folder}", "PREFIX=/opt/totp"]
    run(*command, folder=tree)
    (folder / "opt/totp/lib/pam-totp/pam_totp/hmac.py").write_text("raise SystemExit(0)\n")
    run(*command, folder=tree)
    return folder


def module_in(folder: Path) -> Path:
    (module,) = folder.glob("usr/lib/*/security/pam_totp.so")
    return module


def test_package_holds_what_the_contract_names(unpacked: Path) -> None:
    names = set(files_below(unpacked))
    module = str(module_in(unpacked).relative_to(unpacked))
    sources = {
        f"usr/lib/pam-totp/{path.relative_to(ROOT)}"
        for path in (ROOT / "pam_totp").rglob("*")
        if path.suffix in (".py", ".sql", ".yaml")
    }
    promised = (
        PROGRAMS
        | sources
        | {f"usr/lib/systemd/system/{unit}" for unit in UNITS}
        | {
            "usr/lib/pam.d/pam-totp",
            "usr/lib/tmpfiles.d/pam-totp.conf",
            f"usr/lib/systemd/system/sysinit.target.wants/{UNIT}",
            module,
        }
    )
    assert promised <= names
    others = {name for name in names - promised if not name.startswith("usr/share/")}
    assert others == set()


def test_package_ships_every_example_as_it_is(unpacked: Path) -> None:
    examples = unpacked / "usr/share/doc/pam-totp/examples"
    sources = {
        name: (ROOT / "config" / name).read_bytes()
        for name in files_below(ROOT / "config")
        if not name.startswith(("pam.d/", "tmpfiles.d/")) and Path(name).name not in UNITS
    }
    sources["mfa"] = (ROOT / "scripts" / "mfa").read_bytes()
    assert {name: (examples / name).read_bytes() for name in files_below(examples)} == sources


def test_package_is_root_owned_and_writable_by_root_alone(package: Path) -> None:
    for line in run("dpkg-deb", "-c", package).splitlines():
        mode, owner, *_, name = line.partition(" -> ")[0].split()
        name = name.removeprefix("./")
        if mode.startswith("l"):
            assert name in LINKS
            continue
        expected = "drwxr-xr-x" if name.endswith("/") or not name else "-rw-r--r--"
        assert mode == ("-rwxr-xr-x" if name in PROGRAMS else expected), name
        assert owner == "root/root", name


def test_package_has_no_conffile_that_could_stop_an_upgrade(package: Path, unpacked: Path) -> None:
    """An edited one, and a release that words a comment anew, leave the package unpacked."""
    assert [name for name in files_below(unpacked) if name.startswith("etc/")] == []
    assert "conffiles" not in run("dpkg-deb", "--info", package)


def test_package_names_the_source_of_the_library_that_it_holds_parts_of(package: Path) -> None:
    pattern = "${source:Package} (= ${source:Version})"
    source = run("dpkg-query", "-W", "-f", pattern, "libc6-dev")
    assert source.startswith("glibc (= ")
    assert run("dpkg-deb", "-f", package, "Built-Using").strip() == source


def test_private_service_never_asks_for_a_code(unpacked: Path) -> None:
    lines = (unpacked / "usr/lib/pam.d/pam-totp").read_text().splitlines()
    stack = [line for line in lines if not line.startswith("#")]
    assert stack == ["@include common-auth", "@include common-account"]


def test_package_depends_on_all_that_it_imports(package: Path) -> None:
    depends = run("dpkg-deb", "-f", package, "Depends")
    names = set(re.findall(r"(?:^|, )([a-z0-9.+-]+)", depends))
    libraries = {"python3-pyotp", "python3-qrcode", "python3-yaml", "python3-pampy", "python3-six"}
    assert libraries | {"python3", "libpam0g", "libpam-modules", "libc6"} <= names
    assert run("dpkg-deb", "-f", package, "Provides").strip() == "libpam-totp"


def test_package_is_the_same_wherever_and_whenever_it_is_built(
    package: Path, tmp_path: Path
) -> None:
    """Byte for byte, from another folder, at another time, by somebody with other habits."""
    tree = copy_of_the_tree(tmp_path / "a-much-longer-way-to-the-tree")
    for path in tree.rglob("*"):
        os.utime(path, (0, 0), follow_symlinks=False)
    habits = ["HOME=/nonexistent", "TZ=Pacific/Kiritimati", "LC_ALL=C", "USER=somebody"]
    later = ["faketime", "-f", "+400d"]
    command = ["sh", "-c", 'umask 027 && exec "$@"', "sh", *later, "make", "-s", "deb"]
    run("env", "DEB_BUILD_OPTIONS=nocheck", *habits, *command, folder=tree)
    for name in (package.name, "pam-totp_*.orig.tar.gz", "pam-totp_*.debian.tar.xz"):
        (first,) = (package.parent / "deb").glob(name)
        second = tree / "build" / "deb" / first.name
        assert first.read_bytes() == second.read_bytes(), first.name


def test_completion_is_where_each_shell_looks(
    unpacked: Path, installed_elsewhere: Path, tree: Path, tmp_path: Path
) -> None:
    """bash finds it below every XDG_DATA_DIRS, zsh of Debian in a folder of its own."""
    bash = "share/bash-completion/completions/pam-totp"
    for folder in (unpacked / "usr", installed_elsewhere / "opt/totp"):
        for name in (bash, "share/zsh/vendor-completions/_pam-totp"):
            assert "pam-totp" in (folder / name).read_text(encoding="utf-8")
    assert install_outside_debian(tree, tmp_path, *PLACES) == (0, [])
    for name in (bash, "share/zsh/site-functions/_pam-totp"):
        assert (tmp_path / "usr" / name).stat().st_mode & 0o7777 == 0o644


def test_module_exports_its_pam_functions_alone(unpacked: Path) -> None:
    symbols = run("nm", "-D", "--defined-only", module_in(unpacked)).split()[2::3]
    assert sorted(symbols) == ["pam_sm_authenticate", "pam_sm_setcred"]


def test_module_is_hardened(unpacked: Path) -> None:
    module = module_in(unpacked)
    headers = run("readelf", "-lWd", module)
    assert "BIND_NOW" in headers
    assert "GNU_RELRO" in headers
    (stack,) = re.findall(r"GNU_STACK.*", headers)
    assert "RWE" not in stack
    assert "__stack_chk_fail" in run("nm", "-D", "--undefined-only", module)


def test_install_names_its_prefix_everywhere(installed_elsewhere: Path) -> None:
    for name in files_below(installed_elsewhere):
        content = (installed_elsewhere / name).read_bytes()
        assert b"/usr/lib/pam-totp" not in content, name
        assert b"/usr/libexec/pam-totp" not in content, name
        assert str(installed_elsewhere).encode() not in content, name
    assert b"/opt/totp/libexec/pam-totp/gate" in module_in(installed_elsewhere).read_bytes()
    for name in ("gate", "verify"):
        program = installed_elsewhere / "opt/totp/libexec/pam-totp" / name
        assert b'"/opt/totp/lib/pam-totp"' in program.read_bytes()


PLACES = {
    "SECURITYDIR": "/usr/lib64/security",
    "PAMDIR": "/usr/lib64/pam.d",
    "PYTHONDIR": "/usr/lib/python3.12/site-packages",
    "STACK": "system-auth",
}


def install_outside_debian(tree: Path, target: Path, *names: str) -> tuple[int, list[str]]:
    """The exit code and what was said; `names`: of the PLACES that are given."""
    given = [f"{name}={PLACES[name]}" for name in names]
    command = ["make", "-s", "install", "DEBIAN=", f"DESTDIR={target}", *given]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("missing", [tuple(PLACES), *((name,) for name in PLACES)])
def test_install_outside_debian_refuses_unless_it_is_told_every_place(
    tree: Path, tmp_path: Path, missing: tuple[str, ...]
) -> None:
    """Only Debian's libpam reads @include, and only Debian has dist-packages."""
    code, said = install_outside_debian(tree, tmp_path, *(PLACES.keys() - {*missing}))
    assert code != 0
    assert said[0].startswith("make: error: this is not Debian, ")
    assert said[1].startswith("hint: make install ")
    assert all(f"{name}=" in said[1] for name in PLACES)
    assert list(tmp_path.iterdir()) == []


def test_install_outside_debian_names_nothing_of_debians(tree: Path, tmp_path: Path) -> None:
    assert install_outside_debian(tree, tmp_path, *PLACES) == (0, [])
    assert (tmp_path / "usr/lib64/security/pam_totp.so").exists()
    service = (tmp_path / "usr/lib64/pam.d/pam-totp").read_text().splitlines()
    stack = [line for line in service if not line.startswith("#")]
    assert stack == ["auth include system-auth", "account include system-auth"]
    for path in tmp_path.rglob("*"):
        content = path.read_bytes() if path.is_file() and "doc" not in path.parts else b""
        assert b"/usr/lib/python3/dist-packages" not in content, path
        assert b"/usr/lib/pam.d" not in content, path
        lines = content.decode(errors="replace").splitlines()
        assert not any(line.startswith("@include") for line in lines), path


@pytest.mark.parametrize("prefix", ["/usr", "/opt/totp"])
def test_uninstall_leaves_what_people_wrote_and_nothing_else(
    tree: Path, tmp_path: Path, prefix: str
) -> None:
    arguments = [f"DESTDIR={tmp_path}", f"PREFIX={prefix}"]
    run("make", "-s", "install", *arguments, folder=tree)
    assert len(list(files_below(tmp_path))) > 100
    mine = tmp_path / "etc/pam-totp/config.yaml"
    mine.write_text("store: system\n")
    for agent in ("pam-totp-agent", "pam-totp-enroll"):  # a host that has joined a store
        wanted = tmp_path / "etc/systemd/system/sockets.target.wants" / f"{agent}.socket"
        wanted.parent.mkdir(parents=True, exist_ok=True)
        wanted.symlink_to(f"/usr/lib/systemd/system/{agent}.socket")
        state = tmp_path / "var/lib/private" / agent
        state.mkdir(parents=True)
        (state / "seen").touch()
        (tmp_path / "var/lib" / agent).symlink_to(f"private/{agent}")
    said = run("make", "-s", "uninstall", *arguments, folder=tree)
    assert said == "kept, because people wrote files there: /etc/pam-totp\n"
    assert list(files_below(tmp_path)) == ["etc/pam-totp/config.yaml"]
    mine.unlink()
    assert run("make", "-s", "uninstall", *arguments, folder=tree) == ""
    assert [path for path in tmp_path.rglob("*totp*") if path.name != "totp"] == []


def test_uninstall_strands_nobody(tree: Path, tmp_path: Path) -> None:
    """A service that names a module which is gone would refuse everybody."""
    run("make", "-s", "install", f"DESTDIR={tmp_path}", folder=tree)
    (tmp_path / "etc/pam.d").mkdir()
    (tmp_path / "etc/pam.d/sshd").write_text("auth required pam_totp.so\n")
    before = set(files_below(tmp_path))
    command = ["make", "-s", "uninstall", f"DESTDIR={tmp_path}"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    said = done.stderr.splitlines()
    assert done.returncode != 0
    assert said[:1] == ["make uninstall: error: still in use in /etc/pam.d: sshd"]
    assert said[1].startswith("hint: pam-totp disable --all")
    assert set(files_below(tmp_path)) == before


def test_install_leaves_no_module_of_an_older_release(installed_elsewhere: Path) -> None:
    library = installed_elsewhere / "opt/totp/lib/pam-totp"
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "pam_totp").rglob("*.py")}
    assert {name for name in files_below(library) if name.endswith(".py")} == sources


def test_install_compiles_every_module(installed_elsewhere: Path) -> None:
    library = installed_elsewhere / "opt/totp/lib/pam-totp"
    sources = list(library.rglob("*.py"))
    compiled = {path.name.split(".")[0] for path in library.rglob("*.pyc")}
    assert {path.stem for path in sources} == compiled
    assert len(list(library.rglob("*.pyc"))) == len(sources)


def test_install_keeps_state_for_root_alone(installed_elsewhere: Path) -> None:
    for name in ("run/pam-totp", "var/lib/pam-totp", "var/lib/pam-totp/secrets"):
        assert (installed_elsewhere / name).stat().st_mode & 0o7777 == 0o700, name


def test_every_file_names_the_same_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    upstream, _, _ = run("dpkg-parsechangelog", "-S", "Version").strip().rpartition("-")
    assert upstream == project == VERSION


def test_manuals_with_tables_say_so_in_their_first_line() -> None:
    """man(1) runs tbl for those alone."""
    pages = list((ROOT / "build" / "man").iterdir())
    texts = [page.read_text(encoding="utf-8") for page in pages]
    assert len(texts) == 4
    assert any("\n.TS" in text for text in texts)
    assert all(text.startswith("'\\\" t\n") == ("\n.TS" in text) for text in texts)
