# SPDX-License-Identifier: MIT
"""What is to be done for each of many users, before anything is changed."""

import pwd
from collections.abc import Iterator
from dataclasses import dataclass

from pam_totp.records.config.settings import Settings
from pam_totp.records.host.groups import Groups
from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.secret_dir import SecretDir, stores_of
from pam_totp.records.user import secret
from pam_totp.review.in_time import NO_ANSWER, each_in_time
from pam_totp.review.looking import silent_home
from pam_totp.review.user_row import fault_of_home, told
from pam_totp.rules import policy
from pam_totp.rules.credential import parse_file
from pam_totp.rules.reasons import Failure
from pam_totp.sheets.folder import SheetFolder, fault_of_name

ENROLL, FINISH, DONE = "enroll", "finish", "done"
BEFORE, EXEMPT, FAULT = "enrolled before", "exempt", "fault"


@dataclass(frozen=True)
class State:
    """what: ENROLL; FINISH: the secret was saved, and the sheet has not got its name; DONE: both
    are there; BEFORE: the user has another secret; EXEMPT or FAULT. why: in words. existing: the
    secret file of now."""

    account: pwd.struct_passwd
    what: str
    why: str = ""
    existing: bytes | None = None


def states(
    accounts: list[pwd.struct_passwd], active: Settings, folder: SheetFolder, *, replaces: bool
) -> Iterator[State]:
    """That of each account, whatever its home does. Raises LookFailed."""

    def look(account: pwd.struct_passwd) -> tuple[str, bytes | None]:
        try:
            return _look(account, active)
        except Failure as failure:
            return fault_of_home(account) or told(failure.detail, account), None

    for account, answer in each_in_time(accounts, look):
        fault, existing = answer
        if answer is NO_ANSWER:
            fault, existing = silent_home(account), None
        yield _state(account, fault, existing, active, folder, replaces)


def _look(account: pwd.struct_passwd, active: Settings) -> tuple[str, bytes | None]:
    """Why nothing can be done, and the secret file. Raises Failure."""
    content = NamingSecretDir(account, active.store).read(secret.NAME)
    if content is None:
        others = [store for store in stores_of(account) if store != active.store]
        if any(SecretDir(account, store).read(secret.NAME) is not None for store in others):
            run = f"run: pam-totp migrate {account.pw_name}"
            return f"the secret is in the other store; {run}", None
    return fault_of_name(account.pw_name), content


def _state(
    account: pwd.struct_passwd,
    fault: str,
    existing: bytes | None,
    active: Settings,
    folder: SheetFolder,
    replaces: bool,
) -> State:
    name = account.pw_name
    if fault:
        return State(account, FAULT, fault)
    identities = [each.identity for each in parse_file(existing or b"")[0]]
    unfinished, found = folder.find_unfinished(name), folder.find(name)
    if found and found.identity() in identities:
        return State(account, DONE, "enrolled before, with the sheet that is there")
    taken = ""
    if folder.taken(name):
        run = f"run: {folder.removal(name)}"
        taken = f"there is another sheet, which is never overwritten; {run}"
    if unfinished and unfinished.identity() in identities:
        return State(account, FAULT if taken else FINISH, taken)
    if existing is not None and not replaces:
        return State(account, BEFORE, "already enrolled")
    if is_exempt(account, active):
        return State(account, EXEMPT, "the settings never ask for a code (code: never)")
    if taken:
        return State(account, FAULT, taken)
    return State(account, ENROLL, existing=existing)


def is_exempt(account: pwd.struct_passwd, active: Settings) -> bool:
    """Whether a rule exempts the user at every service and from everywhere, and none before it asks
    for a code. What cannot be determined is no."""
    groups = Groups(account.pw_name, account.pw_gid)
    anywhere = policy.Subject(
        user=account.pw_name, service="", address=b"", publickey=("no",), is_in=groups.has
    )
    for text in policy.rules_about(active.rules, account.pw_name):
        rule = policy.decode(text)
        of_user = policy.Rule(code=rule.code, users=rule.users, groups=rule.groups)
        if policy.match(of_user, anywhere) is False:
            continue
        if rule.code != policy.NEVER:
            return False
        is_conditional = rule.services or rule.sources or rule.publickey
        if not is_conditional and policy.match(of_user, anywhere):
            return True
    return False
