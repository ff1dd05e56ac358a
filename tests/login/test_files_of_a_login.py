# SPDX-License-Identifier: MIT
"""DESIGN.md's picture of a login: which program opens which file, as whom. Seen with strace."""

import re
import time
from pathlib import Path

from tests.commands.commands import configured
from tests.host.credentials import Credential
from tests.host.programs import ACCEPTED, ASK, STATE
from tests.login.programs import gate, verify

DESIGN = (Path(__file__).resolve().parents[2] / "DESIGN.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(gate|verify)` \| (0|the user's) \| `([^`]+)` \| (read|written) \|$", re.M)
FOLDERS = ("/etc/pam-totp/", "/var/lib/pam-totp/", "/run/pam-totp/", "~/")
CALL = re.compile(
    r"setresuid\(-1, (?P<uid>\d+), -1\)"
    r"|openat\(\S+?(?:<(?P<folder>[^>]*)>)?, \"(?P<name>[^\"]*)\", (?P<flags>[A-Z_|]+)"
)

Opened = tuple[str, str, str, str]


def opened(program: str, trace: Path, credential: Credential) -> list[Opened]:
    """A row of the picture for each file that was opened, in order."""
    user, owner, found = credential.user, "0", list[Opened]()
    for call in CALL.finditer(trace.read_text(encoding="utf-8", errors="replace")):
        if call["uid"]:
            owner = "0" if call["uid"] == "0" else "the user's"
            continue
        path = str(Path(call["folder"] or "/", call["name"]))
        path = path.replace(str(user.home), "~").replace(str(user.uid), "UID")
        path = path.replace(user.name, "USER")
        if path.startswith(FOLDERS) and "O_DIRECTORY" not in call["flags"]:
            access = "read" if "O_RDONLY" in call["flags"] else "written"
            found.append((program, owner, path, access))
    return found


def test_login_opens_the_files_of_the_picture_in_its_order_and_no_others(
    credential: Credential, tmp_path: Path
) -> None:
    """Of a user who has logged in with a code before, and whose grant is over."""
    user, seen = credential.user, list[Opened]()
    over = int(time.time()) - 60
    with configured("remember: off\n", settled=True):
        assert gate(user.name) == ASK  # the first after the settings were changed
        assert verify(user.name, credential.fresh_code()) == ACCEPTED
        (STATE / "grants").mkdir(mode=0o700, exist_ok=True)
        grant = STATE / "grants" / str(user.uid)
        grant.write_text(f"pam-totp grant 1 {over - 60} {over} MANY {user.name}", encoding="ascii")
        grant.chmod(0o600)
        calls = "trace=open,openat,creat,setreuid,setresuid"
        for program in ("gate", "verify"):
            trace = tmp_path / program
            through = ["strace", "-f", "-y", "-e", calls, "-o", str(trace)]
            if program == "gate":
                assert gate(user.name, through=through) == ASK
            else:
                assert verify(user.name, credential.fresh_code(), through=through) == ACCEPTED
            seen += opened(program, trace, credential)
    assert seen == ROW.findall(DESIGN)
