# SPDX-License-Identifier: MIT
"""A random file of a service is changed, and restored to the byte, or an error says why not."""

import random
from pathlib import Path

import pytest

from pam_totp.errors import Error
from pam_totp.setup import plan_pam
from pam_totp.setup.also import KINDS, Also
from pam_totp.setup.block import take_out
from pam_totp.setup.host import PamHost
from pam_totp.setup.proof import KEY_ONLY, KEY_OR_PASSWORD, PASSWORD_ONLY
from tests.faults.sizes import choose
from tests.stack.written import BEFORE_1_6, SINCE_1_6, UPSTREAM, write

COMMON = (
    "auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n"
    "auth required pam_permit.so\n"
)
PIECES = (
    *("@include common-auth", "auth include common-auth", "auth substack common-auth") * 2,
    *("auth required pam_unix.so", "auth sufficient pam_unix.so", "auth requisite pam_unix.so"),
    *("auth required pam_deny.so", "auth requisite pam_deny.so", "auth required pam_permit.so"),
    *("auth sufficient pam_rootok.so", "auth requisite pam_nologin.so", "-auth optional pam_x.so"),
    *("auth [success=1 default=ignore] pam_sss.so", "auth optional pam_gnome_keyring.so"),
    *("account required pam_unix.so", "@include common-session", "session optional pam_mail.so"),
    *("# a comment", "", "auth \\\n required \\\n pam_env.so", "\tAUTH\toptional\tpam_cap.so # c"),
    *("garbage", "auth required", "auth include nowhere", "auth required pam_totp.so"),
)
COUNT = 150


@pytest.mark.parametrize("seed", range(choose(4, 100)))
def test_a_random_file_is_changed_or_named(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    changed = 0
    for number in range(COUNT):
        lines = [chance.choice(PIECES) for _ in range(chance.randint(0, 7))]
        text = "\n".join(lines) + "\n" * (chance.random() < 0.8)
        root = tmp_path / str(number)
        write(root, {"sshd": text, "su": text, "common-auth": COMMON,
                     "other": "auth required pam_deny.so\n",
                     "common-session": "session required pam_unix.so\n"})  # fmt: skip
        libpam = chance.choice((BEFORE_1_6, SINCE_1_6, UPSTREAM))
        host = PamHost(libpam, str(root))
        first_factor = chance.choice((PASSWORD_ONLY, KEY_OR_PASSWORD, KEY_ONLY))
        name, also = "sshd", Also()
        if chance.random() < 0.4:
            name, also = "su", Also(chance.choice((("u2f",), ("fingerprint",), tuple(KINDS))))
        try:
            plan_pam.plan(host, [name], first_factor, also=also)
        except Error as refused:
            assert refused.message and refused.hint, text
            assert "\n" not in refused.message + refused.hint, text
            continue
        for change in host.changes():
            changed += 1
            assert change.after is not None and take_out(change.after) == change.before, text
            (root / change.path[1:]).write_bytes(change.after)
        again = PamHost(libpam, str(root))
        plan_pam.plan(again, [name], first_factor)
        assert again.changes() == (), text
    assert changed > COUNT / 20
