# SPDX-License-Identifier: MIT
"""What an enrollment puts on the screen: the QR code, the key, and how far the clocks are apart."""

import io
import sys
import time

from pam_totp.enrollment import coloured_qr
from pam_totp.enrollment.screen import Terminal
from pam_totp.enrollment.terminal import describe_seconds
from pam_totp.enrollment.uri import key_of
from pam_totp.errors import draw
from pam_totp.rules.credential import Credential


def show(
    uri: str, credential: Credential, with_qr: bool = True, again: str = "pam-totp enroll"
) -> None:
    """The URI, the QR code where it fits or why not, and always last the key: whatever becomes of
    the drawing, what is right above the prompt is seen, and a screen reader reads it. `again`: the
    command that shows it."""
    terminal = Terminal()
    if terminal.utf8 and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # the locale may not be installed
    key_line = f"Key:  {key_of(uri)}"
    parameters = (
        f"      (time based, {credential.algorithm}, {credential.digits} digits, "
        f"{credential.period} s)"
    )
    print(f"URI:  {uri}")
    lines, reason = None, ""
    if with_qr and not terminal.columns:
        reason = "No QR code is shown because standard output is not a terminal.\n"
    elif with_qr:
        below = -(-len(key_line) // terminal.columns)
        lines = coloured_qr.draw(
            uri,
            columns=terminal.columns,
            rows=terminal.rows - below,
            half_blocks=terminal.half_blocks,
            colour=terminal.colour,
            full_cell=terminal.full_cell,
            background="both",
        )
        reason = "" if lines else _too_small(uri, terminal, below, again)
    if lines:
        print(f"{key_line}\n{parameters}\n")
        print("Scan this with an authenticator app on your phone, or type in the key below it:")
        # A console of 24 rows shows no more than the drawing, the key and the prompt.
        draw("\n".join(lines))
        print(key_line)
    else:
        print(f"\n{reason}Type this key into an authenticator app on your phone:")
        print(f"{parameters}\n{key_line}")


def _too_small(uri: str, terminal: Terminal, below: int, again: str) -> str:
    """Why no QR code is shown, and what a person can do about that."""
    half_blocks = terminal.half_blocks
    lines = coloured_qr.draw(uri, columns=9999, rows=9999, half_blocks=half_blocks, colour=False)
    if not lines:
        return "The URI is too long for a QR code.\n"
    needed = f"{len(lines[0])}x{len(lines) + 1 + below}"
    text = f"The QR code needs a window of {needed}, this one is {terminal.columns}x{terminal.rows}"
    if terminal.utf8 and not terminal.half_blocks:
        return f"{text}.\nThe font of this console has no half blocks, which take half of that.\n"
    if not terminal.utf8:
        return (
            f"{text}.\nMake it larger and start again, or run this, which needs half of that:\n"
            f"  {terminal.variable}=C.UTF-8 {again}\n\n"
        )
    return f"{text}.\nTo see it, make the window larger and start again.\n\n"


def describe_offset(seconds: int, now: float | None = None, whose: str = "this machine's") -> str:
    """How far the phone's clock is from the one that counts, for the person who has the phone; the
    last line says what to do. now: of that clock (Unix seconds), if it is not this machine's."""
    direction = "ahead of" if seconds > 0 else "behind"
    there = time.strftime("%H:%M:%S", time.gmtime(now))
    return (
        f"That code is correct for another time: the phone's clock is about\n"
        f"{describe_seconds(abs(seconds))} {direction} {whose}, where it is {there} UTC.\n"
        "Correct the clock that is off (a phone can set its own), and try again."
    )
