# SPDX-License-Identifier: MIT
"""What is said of one user by an import, and what each import does around its own change."""

import pwd
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pam_totp import repair
from pam_totp.enrollment.closed_home import warning_of
from pam_totp.enrollment.identity import caller
from pam_totp.errors import Error, command
from pam_totp.imports.found import HOTP, Found, Import, Unusable
from pam_totp.records.host import action_log
from pam_totp.records.storage.secret_dir import SecretDir, stores_of
from pam_totp.records.user import secret
from pam_totp.records.user.devices import Device
from pam_totp.rules.reasons import Failure
from pam_totp.rules.record import Record
from pam_totp.rules.repair_for_root import repair_for_root

PLANNED, IMPORTED, UNCHANGED, FAULT = "would be imported", "imported", "unchanged", "fault"
OTHERWISE = "enrolled with another secret"


class Task(Record):
    """source: the program; device: what the credentials are named; store: the active one;
    is_applied: whether to change anything; is_replacing: whether an existing secret may be
    replaced; is_of_many: whether nobody was named."""

    source: str
    device: str
    store: str
    is_applied: bool
    is_replacing: bool
    is_of_many: bool = False


def fault(user: str, message: str, hint: str = "") -> dict[str, Any]:
    """The row of a user of whom nothing was changed; `hint`: one command or sentence, if known."""
    row: dict[str, Any] = {"user": user, "outcome": FAULT, "credentials": []}
    return row | {"recovery_codes": 0, "options": [], "fault": message, "hint": hint}


def row_of(account: pwd.struct_passwd, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The row that `make` returns, or that of what it raises. Raises nothing of ours."""
    user = account.pw_name
    try:
        return make()
    except Unusable as unusable:
        return fault(user, unusable.message, unusable.hint)
    except Error as error:
        return fault(user, error.message, error.hint)
    except Failure as refused:
        return refusal(account, refused.detail)
    except OSError as failure:
        return refusal(account, failure.strerror or str(failure))


def refusal(account: pwd.struct_passwd, detail: str) -> dict[str, Any]:
    """The row of a user whose files cannot be read or written."""
    message, hint = repair.split(repair_for_root(detail, account), account.pw_dir)
    return fault(account.pw_name, message, hint)


def planned(user: str, given: Import) -> dict[str, Any]:
    """The row of a user who would get this."""
    return fault(user, "") | {
        "outcome": PLANNED,
        "credentials": [told(each) for each in given.credentials],
        "recovery_codes": len(given.codes),
        "options": [{"option": name, "becomes": fate} for name, fate in given.options],
    }


def carry_out(
    row: dict[str, Any], secret_dir: SecretDir, task: Task, apply: Callable[[], str]
) -> dict[str, Any]:
    """The row after the change, where it is to be made. apply: makes it, and returns what is not
    well then. Raises what that raises."""
    warning = warning_of(secret_dir).partition("\n")[0]
    if warning:
        row["options"].append({"option": "home", "becomes": warning})
    if not task.is_applied:
        return row
    message = apply()
    action_log.write(f"import-{task.source}", user=row["user"], by=caller())
    return row | {"outcome": IMPORTED, "fault": message}


def told(found: Found) -> dict[str, Any]:
    """A credential without its secret."""
    said: dict[str, Any] = {"type": found.kind, "algorithm": found.algorithm}
    said["digits"] = found.digits
    is_hotp = found.kind == HOTP
    return said | ({"counter": found.counter} if is_hotp else {"period": found.period})


def codes_of(device: Device) -> tuple[str, str, str, int, int]:
    """What makes its codes; first the identity of its secret."""
    of = device.credential
    return of.identity, device.kind, of.algorithm, of.digits, of.period


def refuse_other_store(account: pwd.struct_passwd, task: Task) -> None:
    """Raises Error where the user, who has no secret in the active store, has one in another."""
    others = [store for store in stores_of(account) if store != task.store]
    with suppress(Failure):  # a home that cannot be read holds no secret that anything reads
        if any(SecretDir(account, each).read(secret.NAME) is not None for each in others):
            raise Error("the secret is in the other store", command("migrate", account.pw_name))
