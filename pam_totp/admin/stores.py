"""`pam-totp import`: takes a user's secret over from the store that is not in force any more."""

import argparse

from pam_totp.admin.exceptions import caller, find
from pam_totp.fault import Fault
from pam_totp.records import audit, recovery, saving, secret, settings
from pam_totp.records.place import STORES, Place
from pam_totp.rules.refusal import Refused


def take_over(options: argparse.Namespace) -> int:
    """Moves secret and recovery codes into the configured store: first there, then not here."""
    account = find(options.name)
    configured = settings.load()
    target = Place(account, configured.store)
    source = Place(account, next(store for store in STORES if store != configured.store))
    moved = 0
    try:
        for name in (secret.NAME, recovery.NAME):
            content = source.read(name)
            if content is None:
                continue
            present = target.read(name)
            if present is not None and present != content:
                message = f"{target.path}/{name} is there already and differs"
                raise Fault(f"{message}: nothing was changed", f"pam-totp reset {options.name}")
            saving.save(target, name, content)
            saving.remove(source, name)
            print(f"moved {source.path}/{name} to {target.path}/{name}")
            moved += 1
    except Refused as refused:
        raise Fault(f"cannot take over: {refused.detail}", f"ls -la {source.path}") from None
    except OSError as failure:
        raise Fault(f"cannot take over: {failure.strerror}", f"df -h {target.path}") from None
    if moved:
        audit.write_action(f"import-to-{configured.store}", account.pw_name, caller())
    else:
        raise Fault(f"nothing to take over in {source.path}", "pam-totp users")
    return 0
