# SPDX-License-Identifier: MIT
"""A PAM application in ctypes: drives a real stack from a folder of services of its own.

`pam_start_confdir` (Linux-PAM 1.4) reads the services from that folder instead of /etc/pam.d.
Run as a program it reads one request as JSON and prints the outcome, for tests that need another
user, clock or environment, or that a crash must not take down.
"""

import ctypes
import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

# security/_pam_types.h
PAM_SUCCESS, PAM_PERM_DENIED, PAM_AUTH_ERR, PAM_CONV_ERR, PAM_IGNORE = 0, 6, 7, 19, 25
PAM_SYSTEM_ERR, PAM_AUTHINFO_UNAVAIL = 4, 9
PAM_SILENT, PAM_ESTABLISH_CRED = 0x8000, 2
ERROR_MSG, TEXT_INFO = 3, 4
ITEMS = {"service": 1, "user": 2, "tty": 3, "rhost": 4, "ruser": 8, "user_prompt": 9}

HANG_UP = None
"""The answer of somebody who pressed Ctrl-C: the conversation fails."""
NO_ANSWER = "\0"
"""A conversation that succeeds and yet returns a NULL answer."""


@dataclasses.dataclass
class Outcome:
    """Return codes of the calls (`setcred` is -1 if never made), and all that was shown.

    `prompts` and `messages` are the texts in order; `items` what PAM says afterwards, by name.
    """

    authenticate: int
    setcred: int = -1
    prompts: list[str] = dataclasses.field(default_factory=list)
    messages: list[str] = dataclasses.field(default_factory=list)
    items: dict[str, str | None] = dataclasses.field(default_factory=dict)
    environment: list[str] = dataclasses.field(default_factory=list)


class Message(ctypes.Structure):
    _fields_ = (("style", ctypes.c_int), ("text", ctypes.c_char_p))


class Response(ctypes.Structure):
    _fields_ = (("text", ctypes.c_void_p), ("code", ctypes.c_int))


CONVERSE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_int,
    ctypes.POINTER(ctypes.POINTER(Message)),
    ctypes.POINTER(ctypes.c_void_p),
    ctypes.c_void_p,
)


class Conversation(ctypes.Structure):
    _fields_ = (("function", CONVERSE), ("data", ctypes.c_void_p))


libpam = ctypes.CDLL("libpam.so.0")
libc = ctypes.CDLL(None)
libc.calloc.restype = ctypes.c_void_p
libc.calloc.argtypes = (ctypes.c_size_t, ctypes.c_size_t)
libc.strdup.restype = ctypes.c_void_p
libpam.pam_getenvlist.restype = ctypes.POINTER(ctypes.c_char_p)


def write_services(folder: Path, services: Mapping[str, str]) -> Path:
    """Write one file per service, and `other`, which denies; returns the folder."""
    folder.mkdir(exist_ok=True)
    for name, text in ({"other": "auth required pam_deny.so\n"} | dict(services)).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def authenticate(
    folder: Path | str,
    service: str,
    user: str | None,
    answers: Iterable[str | None],
    items: Mapping[str, str] | None = None,
    variables: Sequence[str] = (),
    flags: int = 0,
    only_setcred: bool = False,
    attempts: int = 1,
) -> Outcome:
    """pam_start_confdir, pam_authenticate, pam_setcred if that succeeded, pam_end.

    `only_setcred` leaves pam_authenticate out, as sshd does: it calls it in another process.
    `attempts`: how often to call pam_authenticate until it succeeds, as sudo and sshd do.

    Every prompt takes the next answer, and fails as Ctrl-C does when there are none left.
    `items` are set first (PAM_RHOST as `rhost`, …), `variables` as `NAME=value` with pam_putenv.
    """
    outcome = Outcome(-1)
    left = iter(answers)

    def converse(count, messages, responses, _data):  # type: ignore[no-untyped-def]
        filled = libc.calloc(count, ctypes.sizeof(Response))
        table = ctypes.cast(filled, ctypes.POINTER(Response))
        for number in range(count):
            message = messages[number].contents
            text = (message.text or b"").decode("utf-8", "backslashreplace")
            if message.style in (ERROR_MSG, TEXT_INFO):
                outcome.messages.append(text)
                continue
            outcome.prompts.append(text)
            answer = next(left, HANG_UP)
            if answer is HANG_UP:
                return PAM_CONV_ERR
            if answer != NO_ANSWER:
                table[number].text = libc.strdup(answer.encode("utf-8", "surrogateescape"))
        responses[0] = filled
        return PAM_SUCCESS

    conversation = Conversation(CONVERSE(converse), None)
    handle = ctypes.c_void_p()
    status = libpam.pam_start_confdir(
        service.encode(),
        user.encode() if user is not None else None,
        ctypes.byref(conversation),
        str(folder).encode(),
        ctypes.byref(handle),
    )
    if status != PAM_SUCCESS:
        raise OSError(f"pam_start_confdir returned {status} for {service} in {folder}")
    for name, value in (items or {}).items():
        libpam.pam_set_item(handle, ITEMS[name], value.encode())
    for variable in variables:
        libpam.pam_putenv(handle, variable.encode())
    for _ in range(0 if only_setcred else attempts):
        outcome.authenticate = status = libpam.pam_authenticate(handle, flags)
        if status == PAM_SUCCESS:
            break
    if status == PAM_SUCCESS:
        outcome.setcred = status = libpam.pam_setcred(handle, PAM_ESTABLISH_CRED)
    for name, number in ITEMS.items():
        item = ctypes.c_char_p()
        libpam.pam_get_item(handle, number, ctypes.byref(item))
        outcome.items[name] = item.value.decode() if item.value is not None else None
    listed = libpam.pam_getenvlist(handle)
    while listed[len(outcome.environment)]:
        outcome.environment.append(listed[len(outcome.environment)].decode())
    libpam.pam_end(handle, status)
    return outcome


def authenticate_apart(
    folder: Path | str,
    service: str,
    user: str | None,
    answers: Iterable[str | None],
    *,
    through: Sequence[str] = (),
    **arguments: object,
) -> Outcome:
    """`authenticate` in a process of its own, started `through` a command such as faketime."""
    request = {"folder": str(folder), "service": service, "user": user, "answers": list(answers)}
    done = subprocess.run(
        [*through, "/usr/bin/python3", __file__],
        input=json.dumps(request | arguments),
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise OSError(f"the stack ended with {done.returncode}: {done.stderr}")
    return Outcome(**json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(dataclasses.asdict(authenticate(**json.load(sys.stdin)))))
