# SPDX-License-Identifier: MIT
"""The PAM files of other distributions, from tests/setup/layouts, as a root folder has them."""

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path

from pam_totp.stack.libpam import SERVICE_FOLDERS, Libpam

LAYOUTS = Path(__file__).parent / "layouts"
_AUTHSELECT = ("system-auth", "password-auth", "postlogin", "fingerprint-auth", "smartcard-auth")
_PAM_CONFIG = tuple(
    f"{when}-{kind}"
    for when in ("common", "postlogin")
    for kind in ("auth", "account", "password", "session")
)


@dataclasses.dataclass(frozen=True)
class Distribution:
    """libpam: how its release reads those files. links: by path, with what they lead to, as the
    distribution's own tool makes them."""

    libpam: Libpam
    links: Mapping[str, str] = dataclasses.field(default_factory=dict)


_BY_AUTHSELECT = {f"/etc/pam.d/{name}": f"/etc/authselect/{name}" for name in _AUTHSELECT}
_BY_PAM_CONFIG = {f"/etc/pam.d/{name}": f"{name}-pc" for name in _PAM_CONFIG}
DISTRIBUTIONS = {
    "fedora": Distribution(Libpam(since_1_6=True, is_debian=False), _BY_AUTHSELECT),
    "rhel9": Distribution(Libpam(since_1_6=False, is_debian=False), _BY_AUTHSELECT),
    "arch": Distribution(Libpam(since_1_6=True, is_debian=False)),
    "opensuse": Distribution(
        Libpam(since_1_6=True, is_debian=False, folders=(*SERVICE_FOLDERS, "/usr/etc/pam.d")),
        _BY_PAM_CONFIG | {"/etc/pam.d/common-session-nonlogin": "common-session-nonlogin-pc"},
    ),
}


def put(name: str, root: Path) -> Libpam:
    """Makes `root` the root folder of that distribution; its libpam."""
    shutil.copytree(LAYOUTS / name, root, dirs_exist_ok=True)
    for path, target in DISTRIBUTIONS[name].links.items():
        (root / path.lstrip("/")).symlink_to(target)
    return DISTRIBUTIONS[name].libpam
