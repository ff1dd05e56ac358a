"""`pam-totp unlock`: ends a user's wait after incorrect codes."""

import argparse

from pam_totp.enrollment.identity import caller, find
from pam_totp.errors import Error
from pam_totp.records.host import audit
from pam_totp.records.storage import state_dir
from pam_totp.records.user import attempts, remembered
from pam_totp.rules.reasons import Failure
from pam_totp.rules.throttle import Failures
from pam_totp.signals import finish_undisturbed

HELP = "root: end a user's wait after wrong codes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp unlock`."""
    parser.add_argument("name", metavar="USER")


def run(options: argparse.Namespace) -> int:
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
        folder = f"{state_dir.RUN.path}/{remembered.KIND}"
        raise Error(f"{folder}: {failure.strerror}", f"ls -l {folder}") from None
    except Failure as refused:
        raise Error(refused.detail, f"rm {state_dir.RUN.path}/{account.pw_uid}") from None
    audit.write_action("unlock", account.pw_name, caller())
    print(f"{account.pw_name} can try again now.")
    return 0
