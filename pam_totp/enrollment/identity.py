# SPDX-License-Identifier: MIT
"""Whose secret it is, where it lies, and the proof that the caller may change it."""

import os
import pwd

from pam_totp.enrollment import password
from pam_totp.errors import Error, NoUser, again, for_root
from pam_totp.records.config import settings
from pam_totp.records.host import action_log
from pam_totp.records.host.account import find as find_account
from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.rules.reasons import Failure
from pam_totp.spelling import did_you_mean


def own_account() -> pwd.struct_passwd:
    """The account of the user that runs the command. Raises Error."""
    try:
        return pwd.getpwuid(os.getuid())
    except KeyError:
        message = f"user id {os.getuid()} is not in the password database"
        raise Error(message, f"getent passwd {os.getuid()}") from None


def account_of(name: str | None) -> pwd.struct_passwd:
    """The account that root named with --user, or one's own. Raises Error."""
    if name is None:
        return own_account()
    if os.geteuid() != 0:
        raise for_root("with --user, this command must be run as root")
    try:
        return find_account(name)
    except Failure:
        raise no_user(name) from None


def no_user(name: str, *, is_compared: bool = True) -> Error:
    """The error that names the user who may be meant. To compare a name with all takes long where
    there are many."""
    known = (each.pw_name for each in pwd.getpwall()) if is_compared else ()
    near = did_you_mean(name, known)
    return NoUser(f"there is no user {name!a}{near}", "getent passwd")


def secret_dir_of(account: pwd.struct_passwd, by_root: str = "") -> SecretDir:
    """Where the account's secret lies by the administrator's settings. Raises Error, with the
    command that root would run instead: the one that was typed, if not another."""
    store = settings.load().store
    if store == "postgresql":
        message = "this host keeps no secrets: they are in the store of the fleet"
        raise Error(f"{message} (store: postgresql)", "pam-totp status")
    if store == "system" and os.geteuid() != 0:
        raise Error(
            "this machine keeps secrets where only root can read them (store: system)",
            f"ask root to run: {by_root or again('--user', account.pw_name)}",
        )
    return NamingSecretDir(account, store)


def log_for_another(action: str, account: pwd.struct_passwd) -> None:
    """Logs that root changed somebody else's second factor; a change of one's own is not logged."""
    if os.geteuid() == 0 and (account.pw_uid != 0 or os.environ.get("SUDO_USER")):
        action_log.write(action, user=account.pw_name, by=caller())


def log_shown(account: pwd.struct_passwd, device: str) -> None:
    """Logs that somebody gets to see a secret that is in use, one's own too."""
    by = caller() if os.geteuid() == 0 else account.pw_name
    action_log.write("show-secret", user=account.pw_name, by=by, device=device)


def confirm(account: pwd.struct_passwd, by_root: str) -> None:
    """Asks for the account's password, unless root acts for somebody else. Raises Error, with the
    command by which root helps a user who has no password."""
    if os.getuid() == account.pw_uid or os.geteuid() != 0:
        password.confirm(account, by_root)


def find(name: str) -> pwd.struct_passwd:
    """The account root named. Raises Error, also if the caller is not root."""
    if os.geteuid() != 0:
        raise for_root("this command must be run as root")
    try:
        return find_account(name)
    except Failure:
        raise no_user(name) from None


def caller() -> str:
    """Who became root, for the log."""
    return os.environ.get("SUDO_USER", "root")
