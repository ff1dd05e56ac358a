# SPDX-License-Identifier: MIT
"""Codes that came from another program and were used: there before the import, or here after it.

- A code that was used there MUST be refused here.
- A recovery code, or a counter, that was used here MUST stay used while the file there still has
  it: another import of it would bring it back, also after a reset.
"""

import os
import pwd
import time
from contextlib import closing, suppress

from pam_totp.enrollment.given_file import Home
from pam_totp.imports import google_authenticator
from pam_totp.imports.found import Found, Import, Unusable, read_line, uri_of
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.storage.state_dir import VAR
from pam_totp.records.user import counters, recovery
from pam_totp.records.user.attempts import Attempts
from pam_totp.rules.reasons import Failure

_ANY_WINDOW = google_authenticator.MAX_SKEW_STEPS


def recovery_file(secret_dir: SecretDir, given: Import) -> bytes | None:
    """The file of recovery codes that belongs to the new secret; None if none is needed. An old
    one is always replaced. Raises Failure."""
    old = recovery.read(secret_dir)
    if old is None and not given.codes:
        return None
    salt = _salt_of(given)
    salts = [salt] if old is None else [salt, old[0]]
    used = set(recovery.used(secret_dir.account.pw_uid))
    hashes = {code: {recovery.hash_code(code, each) for each in salts} for code in given.codes}
    return recovery.new_file([code for code in hashes if used.isdisjoint(hashes[code])], salt)


def record(uid: int, given: Import) -> None:
    """Has codes refused that were used there. Raises Failure."""
    latest = dict[str, int]()
    for found in given.credentials:  # several may have one secret, and so one record
        name = _identity(found)
        if found.used_step > latest.get(name, -1):
            latest[name] = found.used_step
    if not latest:
        return
    with closing(Attempts(uid)) as attempts:
        steps = {name: max(step, attempts.steps.get(name, -1)) for name, step in latest.items()}
        attempts.record(attempts.steps | steps, attempts.failures)


def forget(account: pwd.struct_passwd) -> tuple[list[str], list[str]]:
    """Removes root's records of used recovery codes and counters, but for those of
    ~/.google_authenticator; where that cannot be read, none. What was removed, and what was kept.
    Raises OSError or Failure."""
    uid = account.pw_uid
    paths = {kind: f"{VAR.path}/{kind}/{uid}" for kind in (recovery.KIND, counters.KIND)}
    try:
        content = Home(account, google_authenticator.NAME).read(google_authenticator.NAME)
    except Failure:
        return [], [path for path in paths.values() if os.path.lexists(path)]
    hashes, tokens = _used_of(uid, content or b"")
    if hashes:
        VAR.write(recovery.KIND, uid, "\n".join([*hashes, ""]).encode("ascii"))
    for identity, counter in tokens.items():
        counters.use_up(uid, identity, counter, {})
    left = {recovery.KIND: hashes, counters.KIND: tokens}
    removed = [kind for kind in paths if not left[kind] and VAR.remove(kind, uid)]
    return [paths[kind] for kind in removed], [paths[kind] for kind in paths if left[kind]]


def _used_of(uid: int, content: bytes) -> tuple[list[str], dict[str, int]]:
    """Of what ~/.google_authenticator has: the hashes of used scratch codes, and the last counter
    of the token by its identity. A record that no login would read has none."""
    try:
        given = google_authenticator.read(content, time.time(), _ANY_WINDOW)
        identity = _identity(given.credentials[0])
    except Unusable:
        return [], {}  # nothing is imported from it
    hashes, tokens = list[str](), dict[str, int]()
    known = {recovery.hash_code(code, _salt_of(given)) for code in given.codes}
    with suppress(Failure):
        hashes = [each for each in recovery.used(uid) if each in known]
    with suppress(Failure):
        tokens = {name: last for name, last in counters.read(uid).items() if name == identity}
    return hashes, tokens


def _salt_of(given: Import) -> bytes:
    """Of one secret the same in each import, whatever codes its user has had between: so a code
    that is recorded as used has the very hash again."""
    return bytes.fromhex(_identity(given.credentials[0]))


def _identity(found: Found) -> str:
    return read_line(uri_of(found, "user", "host")).identity
