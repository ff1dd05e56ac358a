# SPDX-License-Identifier: MIT
"""The chance of a guesser who knows a user's password (SECURITY.md, "How long guessing takes").

With several devices it is no larger: a code that is compared with several secrets counts as that
many guesses (pam_totp.rules.throttle).
"""

from pam_totp.rules.throttle import BUDGET_TRIES
from pam_totp.rules.tokens import CODES_A_GUESS

# RFC 4226, section 7.3.
GUESSING_SECONDS = 30 * 86400
MAX_CHANCE = 0.01


def chance_of_a_guesser(window_steps: int, digits: int, longest_wait: int) -> float:
    """At most how likely it is to guess a code of a user in 30 days, as SECURITY.md calculates it.
    `digits`: of the shortest codes that the user's devices make."""
    tries = BUDGET_TRIES + GUESSING_SECONDS / longest_wait
    return float(min(1.0, tries * (2 * window_steps + 1) / 10**digits))


def chance_with(values: dict[str, str], digits: int = 0) -> float:
    """The same by settings; `digits`: other than `code.digits`, which is for new devices."""
    return chance_of_a_guesser(
        int(values["code.window"]),
        digits or int(values["code.digits"]),
        int(values["throttle.longest_wait"]),
    )


def percent(chance: float) -> str:
    """As it is told to people."""
    return f"{100 * chance:.2g}%"


def told(values: dict[str, str]) -> str:
    """What the settings come to, in a sentence."""
    keys = ("code.digits", "code.window", "throttle.longest_wait")
    named = ", ".join(f"{key} {values[key]}" for key in keys)
    chance = percent(chance_with(values))
    text = (
        f"Somebody who knows a password and guesses codes for 30 days logs in with a chance of at "
        f"most {chance} ({named}), however many devices the user has."
    )
    if int(values["code.window"]) == 0:  # of a token a guess is as many codes as with a window of 1
        text += f" With a token that counts it is {CODES_A_GUESS} times as much."
    return text
