"""`pam-totp migrate`: takes a user's secret over from the store that is not in force any more."""

import argparse

from pam_totp.enrollment.identity import caller, find
from pam_totp.errors import Error
from pam_totp.records.config import settings
from pam_totp.records.host import audit
from pam_totp.records.storage import secret_writer, state_dir
from pam_totp.records.storage.secret_dir import STORES, SecretDir
from pam_totp.records.user import recovery, secret
from pam_totp.rules.reasons import Failure
from pam_totp.signals import finish_undisturbed

HELP = "root: move a user's secret into the store in force"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pam-totp migrate`."""
    parser.add_argument("name", metavar="USER")


def run(options: argparse.Namespace) -> int:
    """Moves secret and recovery codes into the configured store: first there, then not here."""
    account = find(options.name)
    configured = settings.load()
    target = SecretDir(account, configured.store)
    source = SecretDir(account, next(store for store in STORES if store != configured.store))
    copied: list[str] = []
    moved: list[str] = []
    try:
        found = _what_to_move(source, target)
        finish_undisturbed()
        for name, content in found.items():
            _save(target, name, content, copied)
            secret_writer.remove(source, name)
            moved.append(f"moved {source.path}/{name} to {target.path}/{name}\n")
    except Failure as refused:
        raise Error(f"cannot take over: {refused.detail}", f"ls -la {source.path}") from None
    except OSError as failure:
        raise Error(f"cannot take over: {failure.strerror}", f"df -h {target.path}") from None
    finally:  # what is there is in force, whatever failed after it
        if copied:
            audit.write_action(f"import-to-{configured.store}", account.pw_name, caller())
    if not moved:
        raise Error(f"nothing to take over in {source.path}", "pam-totp users")
    print("".join(moved), end="")
    return 0


def _what_to_move(source: SecretDir, target: SecretDir) -> dict[str, bytes]:
    """Every file of the source, by name. Raises Error if the target has another one, or Failure."""
    found = {}
    for name in (secret.NAME, recovery.NAME):
        content = source.read(name)
        if content is None:
            continue
        present = target.read(name)
        if present is not None and present != content:
            message = f"{target.path}/{name} is there already and differs: nothing was changed"
            raise Error(message, f"pam-totp reset {source.account.pw_name}")
        found[name] = content
    return found


def _save(target: SecretDir, name: str, content: bytes, copied: list[str]) -> None:
    try:
        secret_writer.save(target, name, content)
    except state_dir.Unsynced:
        copied.append(name)
        raise
    copied.append(name)
