"""What an enrollment puts on the screen: the QR code, the key, and how far the clocks are apart."""

import time

from pam_totp.enrollment import qr
from pam_totp.enrollment.terminal import Terminal, describe_seconds
from pam_totp.errors import draw
from pam_totp.rules.credential import Credential


def show(uri: str, credential: Credential) -> None:
    """Always the key and the URI, then the QR code where it fits."""
    terminal = Terminal()
    lines = None
    if terminal.columns:
        lines = qr.draw(
            uri,
            columns=terminal.columns,
            rows=terminal.rows,
            utf8=terminal.utf8,
            colour=terminal.colour,
            background="both",
        )
    key = uri.partition("secret=")[2].partition("&")[0]
    groups = " ".join(key[start : start + 4] for start in range(0, len(key), 4))
    print(f"Key:  {groups}")
    print(
        f"      (time based, {credential.algorithm}, {credential.digits} digits, "
        f"{credential.period} s)"
    )
    print(f"URI:  {uri}\n")
    if lines:
        # Last, and the prompt right below: a console of 24 rows shows no more.
        print("Scan this with an authenticator app on your phone:")
        draw("\n".join(lines))
    elif terminal.columns:
        print(_too_small(uri, terminal))


def _too_small(uri: str, terminal: Terminal) -> str:
    """What a person can do about a window that does not hold the QR code."""
    lines = qr.draw(uri, columns=9999, rows=9999, utf8=terminal.utf8, colour=False) or [""]
    needed = f"{len(lines[0])}x{len(lines) + 1}"
    text = f"The QR code needs a window of {needed}, this one is {terminal.columns}x{terminal.rows}"
    if not terminal.utf8:
        text += " (half of that with UTF-8: LANG=C.UTF-8 pam-totp enroll)"
    return text + ".\nMake it larger and start again, or type the key into the app."


def describe_offset(seconds: int) -> str:
    """How far the phone's clock is from this machine's, for the person who has both."""
    direction = "ahead of" if seconds > 0 else "behind"
    here = time.strftime("%H:%M:%S", time.gmtime())
    return (
        f"That code is right for another moment: the phone's clock is about "
        f"{describe_seconds(abs(seconds))} {direction} this machine's, where it is {here} UTC.\n"
        "Set the clock that is wrong (on phones: time and time zone automatic) and try again."
    )
