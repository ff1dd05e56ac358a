# SPDX-License-Identifier: MIT
"""Rules 6, 7 and 8: what surrounds a login has no say in it, and keeps nothing of it."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.programs import run, traced
from tests.commands.commands import new_recovery_codes
from tests.host.accounts import User
from tests.host.credentials import Credential, enroll
from tests.host.pam_services import PamServices, shipped_lines
from tests.host.programs import GATE, RECORDS, STATE, VERIFY
from tests.host.terminal import Conversation
from tests.stack import libpam

NEVER = "abcd-efgh-ijkl-mnop"  # a recovery code that nobody was given
STACK = "auth required pam_permit.so\nauth required pam_totp.so\n"


@pytest.fixture
def trap(tmp_path: Path, user: User) -> Iterator[Path]:
    """A folder that would accept everyone: modules, a preloaded library, a secret that is known."""
    spring = "import os\nopen('/tmp/sprung', 'w')\nos._exit(0)\n"
    for name in ("json", "posix", "pwd", "time", "sitecustomize", "usercustomize"):
        (tmp_path / f"{name}.py").write_text(spring, encoding="ascii")
    (tmp_path / "pam_totp").mkdir()
    (tmp_path / "pam_totp" / "__init__.py").write_text(spring, encoding="ascii")
    source = "#include <unistd.h>\n__attribute__((constructor)) void go(void) { _exit(0); }\n"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(tmp_path / "trap.so")],
        input=source.encode(),
        check=True,
    )
    (tmp_path / "openssl.cnf").write_text(
        "openssl_conf = init\n[init]\nproviders = all\n[all]\ntrap = trap\n"
        f"[trap]\nmodule = {tmp_path}/trap.so\nactivate = 1\n",
        encoding="utf-8",
    )
    os.mkfifo(tmp_path / "fifo")
    tmp_path.chmod(0o755)
    yield tmp_path
    Path("/tmp/sprung").unlink(missing_ok=True)


VARIABLES = {
    "python path": ["PYTHONPATH=TRAP", "PYTHONSTARTUP=TRAP/json.py", "PYTHONUSERBASE=TRAP"],
    "python home": ["PYTHONHOME=TRAP"],
    "python, odd": ["PYTHONINSPECT=1", "PYTHONMALLOC=junk", "PYTHONPLATLIBDIR=TRAP"],
    "library path": ["LD_LIBRARY_PATH=TRAP", "LD_BIND_NOW=1", "LD_DEBUG=all"],
    "preloaded library": ["LD_PRELOAD=TRAP/trap.so"],
    "audit library": ["LD_AUDIT=TRAP/trap.so"],
    "loader that only lists": ["LD_TRACE_LOADED_OBJECTS=1"],
    "a second user": ["PAM_USER=root", "PAM_SERVICE=pam-totp", "PAM_RHOST=192.0.2.9"],
    "time zone that hangs": ["TZ=:TRAP/fifo", "TZDIR=TRAP"],
    "a locale that spells names otherwise": ["LC_ALL=de_DE.ISO-8859-1", "LANGUAGE=de"],
    "loader that only checks": ["LD_VERIFY=1", "LD_TRACE_LOADED_OBJECTS=2", "LD_WARN=1"],
    "loader's tunables": ["GLIBC_TUNABLES=glibc.malloc.check=3", "MALLOC_PERTURB_=255"],
    "OpenSSL": ["OPENSSL_CONF=TRAP/openssl.cnf", "OPENSSL_MODULES=TRAP", "OPENSSL_ENGINES=TRAP"],
    "languages": ["LANG=../../TRAP", "LC_ALL=\x1b[2J", "LOCPATH=TRAP", "NLSPATH=TRAP/%N"],
    "homes": ["HOME=TRAP", "XDG_CONFIG_HOME=TRAP", "XDG_RUNTIME_DIR=TRAP", "XDG_STATE_HOME=TRAP"],
    "people": ["USER=root", "LOGNAME=root", "SUDO_USER=root", "SUDO_UID=0", "UID=0"],
    "proxies": ["http_proxy=http://192.0.2.1", "HTTPS_PROXY=http://192.0.2.1", "PATH=TRAP"],
}


@pytest.mark.parametrize("variables", VARIABLES.values(), ids=VARIABLES.keys())
def test_hostile_variables_and_folder_change_no_answer(
    credential: Credential,
    trap: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    variables: list[str],
) -> None:
    """Rules 6 and 7, pam-u2f 1.0.4 ($HOME, XDG_*), DUO-PSA-2017-002 (a proxy), facelock."""
    user = credential.user
    planted = enroll(User(user.name, "", user.uid, user.gid, trap))
    (trap / "pam-totp").symlink_to(trap / ".config" / "pam-totp")
    os.chown(trap, user.uid, user.gid)
    monkeypatch.chdir(trap)
    folder = libpam.write_services(tmp_path_factory.mktemp("pam") / "pam", {"console": STACK})
    given = [variable.replace("TRAP", str(trap)) for variable in variables]
    new_recovery_codes(user)
    answers = [credential.incorrect_code(), planted.fresh_code(), NEVER]
    refused = libpam.authenticate(folder, "console", user.name, answers, variables=given)
    assert (refused.authenticate, len(refused.prompts)) == (libpam.PAM_AUTH_ERR, 3)
    assert sorted(refused.environment) == sorted(given), "the application has them back"
    assert not Path("/tmp/sprung").exists()
    right = [credential.fresh_code()]
    accepted = libpam.authenticate(folder, "console", user.name, right, variables=given)
    assert accepted.authenticate == libpam.PAM_SUCCESS


@pytest.mark.parametrize("variables", VARIABLES.values(), ids=VARIABLES.keys())
def test_hostile_variables_of_a_module_before_it_change_no_answer_of_a_plain_line(
    credential: Credential,
    trap: Path,
    tmp_path_factory: pytest.TempPathFactory,
    variables: list[str],
) -> None:
    """Rule 7: nothing takes them away before pam_exec starts what is linked statically."""
    lines = "\n".join(shipped_lines("key-then-code-without-module"))
    folder = libpam.write_services(tmp_path_factory.mktemp("pam") / "pam", {"console": lines})
    given = [variable.replace("TRAP", str(trap)) for variable in variables]

    user = credential.user.name
    wrong, right = ([code] for code in (credential.incorrect_code(), credential.fresh_code()))
    refused = libpam.authenticate(folder, "console", user, wrong, variables=given)
    assert refused.authenticate == libpam.PAM_SYSTEM_ERR  # pam_exec's word for any exit but 0
    accepted = libpam.authenticate(folder, "console", user, right, variables=given)
    assert accepted.authenticate == libpam.PAM_SUCCESS
    assert not Path("/tmp/sprung").exists()


def test_no_descriptor_of_ours_is_left_in_the_application(
    credential: Credential, tmp_path: Path
) -> None:
    """Rule 8, CVE-2019-12210 (pam-u2f leaked the debug file's descriptor into the session)."""
    folder = libpam.write_services(tmp_path / "pam", {"console": STACK})
    answers = ["wrong", credential.fresh_code()]
    before = os.listdir("/proc/self/fd")
    assert libpam.authenticate(folder, "console", credential.user.name, answers).setcred == 0
    assert os.listdir("/proc/self/fd") == before


def test_session_has_the_descriptors_it_would_have_without_us(
    credential: Credential,
    make_user: Callable[..., User],
    pam_services: PamServices,
    on_terminal: Callable[..., Conversation],
) -> None:
    """Rule 8, CVE-2019-12210: su closes nothing, what is open stays open."""
    user, caller = credential.user, make_user()
    su = ["su", user.name, "-c", "echo open:; ls /proc/self/fd"]
    dialogue = [("Password:", user.password)]
    without = on_terminal(su, dialogue, user=caller)
    pam_services.add("su")
    dialogue += [("Verification code:", credential.fresh_code())]
    with_us = on_terminal(su, dialogue, user=caller)
    assert (with_us.status, without.status) == (0, 0)
    with_us_open = with_us.transcript.partition("open:")[2].split()
    assert with_us_open == without.transcript.partition("open:")[2].split() != []


def test_login_writes_root_s_files_alone(credential: Credential, tmp_path: Path) -> None:
    """Rule 8, CVE-2018-9275 (yubico-pam), CVE-2019-12209 (pam-u2f): root wrote what users named."""
    user, trace = credential.user, tmp_path / "trace"
    code = new_recovery_codes(user)[0].encode()
    opened = []
    for program, typed in ((GATE, b""), (VERIFY, credential.fresh_code().encode()), (VERIFY, code)):
        run(program, user.name, typed, through=traced(trace, "-y", "-e", "trace=openat,open"))
        text = trace.read_text(encoding="utf-8", errors="replace")
        opened += [line for line in text.splitlines() if "O_" in line and " = -1 " not in line]
    assert len(opened) > 15
    writing = [line for line in opened if re.search("O_WRONLY|O_RDWR|O_CREAT", line)]
    assert writing
    elsewhere = [line for line in writing if not re.search(rf"= \d+<({RECORDS}|{STATE})/", line)]
    assert elsewhere == []
