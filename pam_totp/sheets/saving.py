# SPDX-License-Identifier: MIT
"""Saves what was made for each of many users, in their order, in a process that can be killed.

- A home that takes no write, as of a file system that a user's own program makes or of a server
  that hangs, MUST hold up no more than its user: nothing but SIGKILL ends a process that waits.
- For each user the sheet MUST come first, then the secret, then the sheet's name
  (pam_totp.sheets.folder). So a process that is killed has left what the next command finishes.
"""

import time
from collections.abc import Generator, Sequence

from pam_totp.enrollment import save
from pam_totp.enrollment.identity import caller
from pam_totp.errors import Error
from pam_totp.records.host import action_log
from pam_totp.records.storage import secret_writer
from pam_totp.records.storage.denial import NamingSecretDir
from pam_totp.records.storage.state_dir import Halfway, Unsynced
from pam_totp.records.user import recovery, secret
from pam_totp.records.user.devices import UNCONFIRMED, line_of
from pam_totp.review.looking import (
    AT_ONCE,
    MAX_CHANGE_SECONDS,
    NO_ANSWER,
    UNCHANGED_WORDS,
    LookFailed,
    Process,
    Stop,
)
from pam_totp.rules.reasons import Failure
from pam_totp.sheets.folder import SheetFolder
from pam_totp.sheets.made import Made, Plan
from pam_totp.sheets.preparing import prepared
from pam_totp.sheets.states import State
from pam_totp.signals import later

SAVED, UNSAVED, STOPPED, NOT_TRIED = "saved", "unsaved", "stopped", "not tried"

# One of these, a sentence, and what STOPPED has as the hint.
Answer = tuple[str, str, str]


def saved(
    todo: Sequence[State], plan: Plan, store: str, folder: SheetFolder, stop: Stop
) -> Generator[Answer, None, None]:
    """Of each in turn what became of it. The process ends with the iterator. Raises LookFailed."""
    moment = time.strftime("%Y-%m-%dT%H%M")  # without a colon, at which apps split a label
    jobs = [(each.account.pw_name, moment if each.existing is not None else "") for each in todo]
    making = list[Generator[Made | str, None, None]]()

    def look(at: int) -> Answer:
        if stop.is_told():
            return NOT_TRIED, "", ""
        try:
            if not making:  # in this process, and for those whom the one before has left
                making.append(prepared(jobs[at:], plan, folder.leave))
            made = next(making[0])
            if at + 1 == len(todo):
                making[0].close()
            if isinstance(made, str):
                return UNSAVED, made, ""
            return _save(todo[at], made, plan.device, store, folder)
        except Error as error:
            stop.tell()
            return STOPPED, error.message, error.hint
        except LookFailed as failure:
            stop.tell()
            return STOPPED, str(failure), "run the command again"

    process = Process(range(len(todo)), look, MAX_CHANGE_SECONDS, AT_ONCE)
    try:
        process.start()
        for state in todo:
            answer = process.next_answer()
            yield _silence(state) if answer is NO_ANSWER else answer
    finally:
        process.end()


def _silence(state: State) -> Answer:
    home = f"the home {state.account.pw_dir!a} gives {UNCHANGED_WORDS}"
    why = f"{home}, so it is not known whether the secret was saved; run the command again"
    return UNSAVED, why, ""


def _save(state: State, made: Made, device: str, store: str, folder: SheetFolder) -> Answer:
    """Raises Error where the sheet cannot be written, or cannot get its name."""
    name = state.account.pw_name
    uri, hashed, files = made
    folder.write(name, files)
    with later():
        fault, doubt = _save_secret(state, uri, hashed, device, store)
        if fault:
            folder.discard(name)
            return UNSAVED, fault, ""
        action_log.write("enroll", user=name, by=caller())
        folder.publish(name)
    return SAVED, doubt, ""


def _save_secret(state: State, uri: str, hashed: bytes, device: str, store: str) -> tuple[str, str]:
    """Why it is not saved, or what is not well though it is; empty if nothing."""
    secret_dir = NamingSecretDir(state.account, store)
    line = line_of(uri, device, time.time(), UNCONFIRMED)
    content = f"{secret.HEADER}{line}\n".encode()
    # The codes first, and always: old ones are never good beside a new secret.
    both = [(recovery.NAME, hashed), (secret.NAME, content)]
    try:
        secret_writer.save(secret_dir, both, (secret.NAME, state.existing))
    except Unsynced as failure:
        return "", f"saved, but a power failure may undo it: {failure.strerror}"
    except Halfway as failure:
        void = "the recovery codes are void, and the secret is as it was"
        return f"{failure.strerror}; {void}", ""
    except Failure as refused:
        return save.refusal("the secret", refused, secret_dir).message, ""
    except OSError as failure:
        return f"cannot save the secret: {failure.strerror}; nothing was changed", ""
    return "", ""
