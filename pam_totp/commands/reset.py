"""Root on behalf of one user who cannot get in: `reset`."""

import argparse
import os
import pwd
import sys

from pam_totp.enrollment.identity import caller, find
from pam_totp.errors import Error
from pam_totp.records.config import settings
from pam_totp.records.host import audit
from pam_totp.records.storage import secret_writer, state_dir
from pam_totp.records.storage.secret_dir import SecretDir, stores_of
from pam_totp.records.user import enforced, grant, pending, recovery, remembered, secret
from pam_totp.rules.enrollment import BY
from pam_totp.rules.policy import REQUIRED
from pam_totp.rules.reasons import Failure
from pam_totp.signals import finish_undisturbed

HELP = "root: make a user not enrolled again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp reset`."""
    parser.add_argument("name", metavar="USER")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    """Makes the user "not enrolled" again: secret, recovery codes, mark, grant and all state."""
    account = find(options.name)
    print(f"This removes the second factor of {account.pw_name}: the secret and the recovery codes")
    print("in every store, the mark of earlier logins with a code, grants, and recent attempts.")
    if not options.yes:
        if not sys.stdin.isatty():
            raise Error(
                "nobody to ask: nothing was changed", f"pam-totp reset --yes {options.name}"
            )
        if not _is_confirmed():
            raise Error("not confirmed: nothing was changed", "answer y, or use --yes")
    finish_undisturbed()
    removed: list[str] = []
    fault = ""
    try:
        _remove_everything(account, removed)
    except Failure as refused:
        fault = refused.detail
    except OSError as failure:
        fault = failure.strerror or str(failure)
    audit.write_action("reset-in-part" if fault else "reset", account.pw_name, caller())
    print("".join(f"removed {path}\n" for path in removed), end="")
    if fault:
        raise Error(f"not all was removed: {fault}", f"ls -lR {state_dir.VAR.path}")
    print(f"{account.pw_name} is not enrolled now.")
    if settings.load().enrollment.mode in (REQUIRED, BY):
        print("A login that has to give a code is refused until then; to let them in to enroll:")
        print(f"pam-totp grant {account.pw_name} --for 30m --once")
    return 0


def _is_confirmed() -> bool:
    try:
        return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False


def _remove_everything(account: pwd.struct_passwd, removed: list[str]) -> None:
    # The mark goes last: until then a login is refused, and never let in half reset.
    for store in stores_of(account):
        for name in (secret.NAME, recovery.NAME):
            if _remove_secret_file(SecretDir(account, store), name):
                removed.append(f"{SecretDir(account, store).path}/{name}")
        # An empty folder that others may write would still be no proof of "not enrolled".
        secret_writer.remove_empty_folder(SecretDir(account, store))
    grant.revoke(account.pw_uid)
    for kind, remove in (
        (pending.KIND, pending.remove),
        (remembered.KIND, remembered.forget),
        (recovery.WRONG_KIND, recovery.forget_wrong),
    ):
        if remove(account.pw_uid):
            print(f"removed {state_dir.RUN.path}/{kind}/{account.pw_uid}")
    for kind in (recovery.KIND, enforced.KIND):
        if state_dir.VAR.remove(kind, account.pw_uid):
            removed.append(f"{state_dir.VAR.path}/{kind}/{account.pw_uid}")
    state = f"{state_dir.RUN.path}/{account.pw_uid}"
    if os.path.lexists(state):
        os.unlink(state)
        removed.append(state)


def _remove_secret_file(place: SecretDir, name: str) -> bool:
    try:
        return secret_writer.remove(place, name)
    except IsADirectoryError:
        raise Error(
            f"not all was removed: {place.path}/{name} is a folder", f"rm -r {place.path}/{name}"
        ) from None
    except Failure:
        if os.path.lexists(os.path.dirname(os.path.dirname(place.path))):
            raise
        return False  # no home, or no store: no secret in it
