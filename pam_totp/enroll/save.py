"""Saving for a person at a terminal: what failed, and where to look."""

import os
import signal

from pam_totp.fault import Fault
from pam_totp.records import recovery, saving, secret
from pam_totp.records.durable import Unsynced
from pam_totp.records.place import MOST_BYTES, Place
from pam_totp.records.saving import Changed
from pam_totp.rules.refusal import Refused

_CALLED = {secret.NAME: "the secret", recovery.NAME: "the recovery codes"}


def save(
    place: Place, name: str, content: bytes, *, over: tuple[str, bytes | None] | None = None
) -> None:
    """Replaces one file of the place. Raises Fault: what it says of the old one is true. `over`: a
    name and what it held when the person was asked.

    From here on Ctrl-C is ignored: what is left takes a moment, and is all or nothing.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    called, hint = _CALLED[name], where_to_look(place)
    if len(content) > MOST_BYTES:
        message = f"cannot save {called}: over {MOST_BYTES} bytes; nothing was changed"
        raise Fault(message, f"remove devices: edit {place.path}/{name}")
    try:
        saving.save(place, name, content, over=over)
        return
    except Changed:
        message = f"{called} was changed meanwhile: nothing was changed"
        raise Fault(message, "pam-totp enroll") from None
    except Unsynced as failure:
        message = f"{called} is in force, but a power cut may undo it: {failure.strerror}"
        raise Fault(message, f"sync; {hint}") from None
    except OSError as failure:
        detail = failure.strerror or str(failure)
    except Refused as refused:
        detail = refused.detail
    raise Fault(f"cannot save {called}: {detail}; nothing was changed", hint)


def where_to_look(place: Place) -> str:
    """A command that shows why a file of the place cannot be used."""
    folders = [place.path]
    while len(folders) < 3:
        folders.append(os.path.dirname(folders[-1]))
    shown = " ".join(reversed(folders))
    if place.owner == os.getuid():
        shown = shown.replace(place.account.pw_dir, "~")
    return f"df -h {shown.partition(' ')[0]}; ls -ld {shown}"
