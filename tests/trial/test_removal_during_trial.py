# SPDX-License-Identifier: MIT
"""The package goes while a trial runs: the host is as it was before, and logs in."""

import json
from pathlib import Path

import pytest

from tests.host.debian_package import ROOT, in_a_host_of_its_own
from tests.host.pam_services import PASSWORD_LINE, shipped_lines
from tests.trial.change_host import BEGIN, END

pytestmark = pytest.mark.timeout(600)  # the package may have to be built first
STACK, SETTINGS = Path("/etc/pam.d/sshd"), "/etc/ssh/sshd_config.d/00-pam-totp.conf"


@pytest.mark.parametrize("how", ["--remove", "--purge"])
def test_package_that_is_removed_in_the_middle_of_a_trial_leaves_the_old_files(
    package: Path, how: str
) -> None:
    before = STACK.read_text(encoding="utf-8")
    lines = "\n".join([BEGIN, *shipped_lines("key-or-password-then-code"), END])
    files = [
        {"path": str(STACK), "before": before, "after": before.replace(PASSWORD_LINE, lines)},
        {"path": SETTINGS, "before": None, "after": "KbdInteractiveAuthentication yes\n"},
    ]
    change = {"kind": "enable", "services": ["sshd"], "reloads_sshd": False, "files": files}
    Path("/var/tmp/change.json").write_text(json.dumps(change), encoding="utf-8")
    done = in_a_host_of_its_own(
        package,
        f"""
        cp {STACK} /root/before
        dpkg --force-depends -i "$deb" >/dev/null
        {ROOT}/tests/trial/put_in /var/tmp/change.json 600 yes </dev/null >/root/trial 2>&1 &
        until grep -q '^Attempts, ' /root/trial; do sleep 0.1; done
        grep -q pam_totp.so {STACK} && test -e {SETTINGS}
        dpkg {how} pam-totp
        cmp {STACK} /root/before
        test ! -e {SETTINGS}
        test ! -e /etc/pam.d/.pam-totp-change
        wait $! && exit 3
        echo as it was
        """,
    )
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("as it was\n")
