# SPDX-License-Identifier: MIT
"""The chance of a guesser who knows a user's password (SECURITY.md, "How long guessing takes").

With several devices it is no larger: a code that is compared with several secrets counts as that
many guesses (pam_totp.rules.throttle). A code that was sent is another one that a try of eight
digits may be.
"""

from pam_totp.records.config.settings import FLEET
from pam_totp.rules.throttle import BUDGET_TRIES
from pam_totp.rules.tokens import CODES_A_GUESS

# RFC 4226, section 7.3.
GUESSING_SECONDS = 30 * 86400
MAX_CHANCE = 0.01
OF_EIGHT_DIGITS = 10**-8


def chance_of_a_guesser(
    window_steps: int, digits: int, longest_wait: int, *, is_sent: bool = False
) -> float:
    """At most how likely it is to guess a code of a user in 30 days, as SECURITY.md calculates it.
    `digits`: of the shortest codes that the user's devices make; is_sent: whether codes may be sent
    to the user."""
    tries = BUDGET_TRIES + GUESSING_SECONDS / longest_wait
    of_a_try = (2 * window_steps + 1) / 10**digits
    if is_sent:  # a try is one text: of six digits, or of eight
        of_a_try = max(of_a_try, OF_EIGHT_DIGITS + (of_a_try if digits == 8 else 0.0))
    return float(min(1.0, tries * of_a_try))


def chance_with(values: dict[str, str], *, is_sent: bool, digits: int = 0) -> float | None:
    """The same by settings; `digits`: other than `code.digits`, which is for new devices. None on a
    host of a fleet: its own settings of codes and tries have no effect."""
    if values["store"] == FLEET:
        return None
    return chance_of_a_guesser(
        int(values["code.window"]),
        digits or int(values["code.digits"]),
        int(values["throttle.longest_wait"]),
        is_sent=is_sent,
    )


def percent(chance: float) -> str:
    """As it is told to people."""
    return f"{100 * chance:.2g}%"


def told(values: dict[str, str], *, is_sent: bool) -> str:
    """What the settings come to, in a sentence."""
    keys = ("code.digits", "code.window", "throttle.longest_wait")
    named = ", ".join(f"{key} {values[key]}" for key in keys)
    chance = chance_with(values, is_sent=is_sent)
    if chance is None:
        return (
            "How likely it is that somebody guesses a code is decided by the settings code and "
            "throttle that the store of the fleet took when it was made."
        )
    text = (
        f"Somebody who knows a password and guesses codes for 30 days logs in with a chance of at "
        f"most {percent(chance)} ({named}), however many devices the user has"
        f"{' and however many codes are sent' if is_sent else ''}."
    )
    if int(values["code.window"]) == 0:  # of a token a guess is as many codes as with a window of 1
        text += f" With a token that counts it is {CODES_A_GUESS} times as much."
    return text
