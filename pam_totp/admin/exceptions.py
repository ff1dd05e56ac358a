"""Root on behalf of one user who cannot get in: `reset`, `unlock`, `grant`."""

import argparse
import os
import pwd
import re
import sys
import time

from pam_totp.fault import Fault
from pam_totp.records import (
    attempts,
    audit,
    durable,
    grant,
    mark,
    pending,
    recovery,
    remembered,
    saving,
    secret,
    settings,
)
from pam_totp.records.place import Place, stores_of
from pam_totp.rules.decision import BY
from pam_totp.rules.policy import REQUIRED
from pam_totp.rules.refusal import Refused
from pam_totp.rules.throttle import Failures
from pam_totp.undisturbed import finish_undisturbed

UNITS = {"m": 60, "h": 3600, "d": 86400}
MOST_SECONDS = 30 * 86400


def reset(options: argparse.Namespace) -> int:
    """Makes the user "not enrolled" again: secret, recovery codes, mark, grant and all state."""
    account = find(options.name)
    print(f"This removes the second factor of {account.pw_name}: the secret and the recovery codes")
    print("in every store, the mark of earlier logins with a code, grants, and recent attempts.")
    if not options.yes:
        if not sys.stdin.isatty():
            raise Fault(
                "nobody to ask: nothing was changed", f"pam-totp reset --yes {options.name}"
            )
        if not _is_confirmed():
            raise Fault("not confirmed: nothing was changed", "answer y, or use --yes")
    finish_undisturbed()
    removed: list[str] = []
    fault = ""
    try:
        _remove_everything(account, removed)
    except Refused as refused:
        fault = refused.detail
    except OSError as failure:
        fault = failure.strerror or str(failure)
    audit.write_action("reset-in-part" if fault else "reset", account.pw_name, caller())
    print("".join(f"removed {path}\n" for path in removed), end="")
    if fault:
        raise Fault(f"not all was removed: {fault}", f"ls -lR {durable.FOLDER}")
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
            if _remove_secret_file(Place(account, store), name):
                removed.append(f"{Place(account, store).path}/{name}")
        # An empty folder that others may write would still be no proof of "not enrolled".
        saving.remove_empty_folder(Place(account, store))
    grant.revoke(account.pw_uid)
    for kind, remove in ((pending.KIND, pending.remove), (remembered.KIND, remembered.forget)):
        if remove(account.pw_uid):
            print(f"removed {attempts.FOLDER}/{kind}/{account.pw_uid}")
    for kind in (recovery.KIND, mark.KIND):
        if _remove_record(kind, account.pw_uid):
            removed.append(f"{durable.FOLDER}/{kind}/{account.pw_uid}")
    state = f"{attempts.FOLDER}/{account.pw_uid}"
    if os.path.lexists(state):
        os.unlink(state)
        removed.append(state)


def unlock(options: argparse.Namespace) -> int:
    """Ends the wait after wrong codes; used codes stay used."""
    account = find(options.name)
    try:
        record = attempts.Attempts(account.pw_uid)
        finish_undisturbed()
        try:
            record.record_failures(Failures())
        finally:
            record.close()
        remembered.forget(account.pw_uid)  # whoever guessed may sit where a code was given
    except OSError as failure:
        folder = f"{attempts.FOLDER}/{remembered.KIND}"
        raise Fault(f"{folder}: {failure.strerror}", f"ls -l {folder}") from None
    except Refused as refused:
        raise Fault(refused.detail, f"rm {attempts.FOLDER}/{account.pw_uid}") from None
    audit.write_action("unlock", account.pw_name, caller())
    print(f"{account.pw_name} can try again now.")
    return 0


def give_grant(options: argparse.Namespace) -> int:
    """Lets a user in without a code, for a while or once."""
    account = find(options.name)
    if options.end:
        return _end_grant(account)
    now = int(time.time())
    until = now + options.seconds
    finish_undisturbed()
    try:
        grant.give(account.pw_uid, grant.Grant(now, until, options.once))
    except Refused as refused:
        raise Fault(refused.detail, f"ls -ld {durable.FOLDER}") from None
    except durable.Unsynced as failure:
        audit.write_action("grant", account.pw_name, caller())
        message = f"the grant is in force, but a power cut may undo it: {failure.strerror}"
        raise Fault(message, f"pam-totp grant {account.pw_name} --end") from None
    except OSError as failure:
        message = f"cannot record the grant: {failure.strerror}; nothing was changed"
        raise Fault(message, f"df -h {durable.FOLDER}") from None
    audit.write_action("grant", account.pw_name, caller())
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(until))
    what = "once, until" if options.once else "without a code until"
    print(f"{account.pw_name} is let in {what} {when}.")
    print(f"To end it: pam-totp grant {account.pw_name} --end")
    return 0


def _end_grant(account: pwd.struct_passwd) -> int:
    finish_undisturbed()
    try:
        ended = grant.revoke(account.pw_uid)
    except durable.Unsynced as failure:
        audit.write_action("grant-ended", account.pw_name, caller())
        message = f"the grant is ended, but a power cut may undo that: {failure.strerror}"
        raise Fault(message, "sync; pam-totp users") from None
    except Refused as refused:
        raise Fault(refused.detail, f"ls -ld {durable.FOLDER}") from None
    except OSError as failure:
        message = f"cannot end the grant: {failure.strerror}; nothing was changed"
        raise Fault(message, f"ls -ld {durable.FOLDER}") from None
    if not ended:
        raise Fault(f"{account.pw_name} has no grant", "pam-totp users")
    audit.write_action("grant-ended", account.pw_name, caller())
    print(f"{account.pw_name} needs a code again.")
    return 0


def find(name: str) -> pwd.struct_passwd:
    """The account root named. Raises Fault, also for whoever is not root."""
    if os.geteuid() != 0:
        raise Fault("this is for root", "sudo pam-totp …")
    try:
        return pwd.getpwnam(name)
    except (KeyError, ValueError):
        raise Fault(f"there is no user {name!a}", "pam-totp users") from None


def caller() -> str:
    """Who became root, for the log."""
    return os.environ.get("SUDO_USER", "root")


def seconds(text: str) -> int:
    """A length of time such as 30m, 2h or 1d, in seconds; argparse's type."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text, re.ASCII)
    if not match or int(match[1]) * UNITS[match[2]] > MOST_SECONDS:
        raise argparse.ArgumentTypeError("like 30m, 2h or 1d, at most 30d")
    return int(match[1]) * UNITS[match[2]]


def _remove_secret_file(place: Place, name: str) -> bool:
    try:
        return saving.remove(place, name)
    except Refused:
        if os.path.lexists(os.path.dirname(os.path.dirname(place.path))):
            raise
        return False  # no home, or no store: no secret in it


def _remove_record(kind: str, uid: int) -> bool:
    folder = durable.open_folder(kind)
    if folder is None:
        return False
    try:
        return durable.remove(folder, str(uid))
    finally:
        os.close(folder)
