# SPDX-License-Identifier: MIT
"""~/.google_authenticator: what the real command writes, and what else may stand in one."""

import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pam_totp.imports import google_authenticator
from pam_totp.imports.found import HOTP, TOTP, Import, Unusable, uri_of
from pam_totp.rules.otp import hotp

NOW = 1_800_000_000.0
STEP = int(NOW // 30)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
WINDOW = 1


def read(*lines: str, now: float = NOW) -> Import:
    return google_authenticator.read("\n".join([SECRET, *lines, ""]).encode(), now, WINDOW)


def refusal(*lines: str) -> str:
    with pytest.raises(Unusable) as caught:
        read(*lines)
    assert SECRET not in caught.value.message
    return caught.value.message


def all_flags() -> Iterator[list[str]]:
    """Every combination of the command's flags that changes the file. (Those that it prints by:
    -q, -Q, -l, -i; that it asks by: -f, -C; and where the file is: -s.)"""
    kinds = [["-t", "-d"], ["-t", "-D"], ["-c"]]
    rates = [["-u"], ["-r", "3", "-R", "30"], ["-r", "10", "-R", "600"]]
    windows = [["-W"], ["-w", "3"], ["-w", "17"], ["-w", "21"]]
    steps = [[], ["-S", "10"], ["-S", "60"]]
    codes = [["-e", "0"], ["-e", "5"], ["-e", "10"]]
    for chosen in itertools.product(kinds, rates, windows, steps, codes):
        if chosen[0] != ["-c"] or not chosen[3]:  # a step is of codes by time alone
            yield list(itertools.chain(*chosen))


def made(folder: Path, flags: list[str]) -> bytes:
    """The file that the real command makes."""
    path = folder / "made"
    path.unlink(missing_ok=True)
    command = ["google-authenticator", *flags, "-f", "-q", "-C", "-Q", "NONE", "-s", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "USER": "x"})
    assert done.returncode == 0, done.stderr
    return path.read_bytes()


def value_of(flags: list[str], flag: str, default: str) -> str:
    return flags[flags.index(flag) + 1] if flag in flags else default


def test_every_file_that_the_real_command_makes_is_read_whole(tmp_path: Path) -> None:
    combinations = list(all_flags())
    assert len(combinations) == 216 + 36
    for flags in combinations:
        content = made(tmp_path, flags)
        given = google_authenticator.read(content, NOW, WINDOW)
        (found,) = given.credentials
        lines = content.decode("ascii").split("\n")
        code = subprocess.run(
            ["oathtool", "--hotp", "-b", "-c", str(STEP), lines[0]],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        assert hotp(found.secret, STEP, 6, "SHA1") == code
        assert (found.kind, found.digits) == (HOTP if "-c" in flags else TOTP, 6)
        assert found.period == int(value_of(flags, "-S", "30")), flags
        assert (found.counter, found.used_step) == ("-c" in flags, -1)
        assert list(given.codes) == [line for line in lines if re.fullmatch("[0-9]{8}", line)]
        assert len(given.codes) == int(value_of(flags, "-e", ""))
        options = {line.split()[1] for line in lines if line.startswith('"')}
        assert options <= {name for name, _ in given.options}
        assert not any("unknown" in fate for _, fate in given.options)
        assert uri_of(found, "alice@host", "host")


@pytest.mark.parametrize("step", [STEP - 4000, STEP - 1, STEP, STEP + 1, STEP + 50])
def test_the_last_step_of_which_a_code_was_used_is_kept(step: int) -> None:
    given = read('" TOTP_AUTH', f'" DISALLOW_REUSE {step - 3} {step} {step - 9}')
    assert given.credentials[0].used_step == step


def test_a_step_that_no_code_could_have_is_not_kept_and_locks_nobody_out() -> None:
    given = read('" TOTP_AUTH', f'" DISALLOW_REUSE {STEP - 2} {STEP + 101} 9999999999')
    assert given.credentials[0].used_step == STEP - 2
    assert read('" TOTP_AUTH', '" DISALLOW_REUSE').credentials[0].used_step == -1


def test_of_an_option_that_is_there_twice_the_first_counts_as_it_does_there() -> None:
    given = read('" HOTP_COUNTER 7', '" HOTP_COUNTER 9')
    assert (given.credentials[0].kind, given.credentials[0].counter) == (HOTP, 7)


def test_the_secret_is_read_with_the_letters_that_people_mistake() -> None:
    """As that program does; 0, 1 and 8 are no digits of base32."""
    plain, mistaken = "OLBA" * 8, "01b a-" * 8
    found = [
        google_authenticator.read(f'{secret}\n" TOTP_AUTH\n'.encode(), NOW, WINDOW).credentials[0]
        for secret in (plain, mistaken.replace("b", "8"))
    ]
    assert found[0].secret == found[1].secret


def test_scratch_codes_end_where_they_end_there() -> None:
    given = read('" TOTP_AUTH', "12345678", "", "87654321", "01234567", "99999999")
    assert given.codes == ("12345678", "87654321")
    assert given.options[-1][0] == "other lines: 2"


def test_each_option_is_told_with_what_becomes_of_it() -> None:
    lines = ['" TOTP_AUTH', '" RATE_LIMIT 3 30 1800000000', '" WINDOW_SIZE 17', '" TIME_SKEW -1']
    given = read(*lines, '" LAST0 192.0.2.1 1800000000', '" RESETTING_TIME_SKEW 1+2', '" NEW_ONE x')
    fates = dict(given.options)
    names = "secret TOTP_AUTH RATE_LIMIT WINDOW_SIZE TIME_SKEW LAST0 RESETTING_TIME_SKEW NEW_ONE"
    assert list(fates) == names.split()
    assert fates["RATE_LIMIT"] == "replaced by the setting throttle"
    assert fates["NEW_ONE"] == "not kept: an unknown option"
    assert "differs by -1 time steps" in fates["TIME_SKEW"]


@pytest.mark.parametrize(
    ("lines", "message"),
    ids=range(13),
    argvalues=[
        ([], "neither TOTP_AUTH nor HOTP_COUNTER"),
        (['" TOTP_AUTH', '" HOTP_COUNTER 1'], "both TOTP_AUTH and HOTP_COUNTER"),
        (['" TOTP_AUTH', '" STEP_SIZE 61'], "STEP_SIZE must be a number from 1 to 60"),
        (['" TOTP_AUTH', '" STEP_SIZE ' + "9" * 5000], "STEP_SIZE must be a number"),
        (['" HOTP_COUNTER 0'], "HOTP_COUNTER must be a number from 1"),
        (['" HOTP_COUNTER'], "HOTP_COUNTER must be a number from 1"),
        (['" HOTP_COUNTER 99999999999999999999'], "HOTP_COUNTER must be a number from 1"),
        (['" TOTP_AUTH', '" TIME_SKEW 7'], "210 s ahead (TIME_SKEW)"),
        (['" TOTP_AUTH', '" TIME_SKEW -2', '" STEP_SIZE 60'], "120 s behind (TIME_SKEW)"),
        (['" TOTP_AUTH', '" DISALLOW_REUSE 1 x'], "DISALLOW_REUSE must be a number"),
        (['" TOTP_AUTH', *["12345678"] * 101], "more than 100 scratch codes"),
        (['" TOTP_AUTH', "\0"], "not ASCII text"),
        (['" TOTP_AUTH', "é"], "not ASCII text"),
    ],
)
def test_what_a_login_here_could_not_keep_is_refused(lines: list[str], message: str) -> None:
    assert message in refusal(*lines)


@pytest.mark.parametrize("secret", ["", "!", "JBSWY3DP9HPK3PXP"])
def test_a_first_line_that_is_no_secret_is_refused(secret: str) -> None:
    with pytest.raises(Unusable, match=r"line 1 is not a secret|must have a secret"):
        given = google_authenticator.read(f'{secret}\n" TOTP_AUTH\n'.encode(), NOW, WINDOW)
        uri_of(given.credentials[0], "a", "b")


def test_a_secret_of_less_than_80_bits_is_refused() -> None:
    given = google_authenticator.read(b'JBSWY3DPEHPK3P\n" TOTP_AUTH\n', NOW, WINDOW)
    with pytest.raises(Unusable, match="must have a secret of 10 to 128 bytes"):
        uri_of(given.credentials[0], "a", "b")
