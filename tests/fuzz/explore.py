# SPDX-License-Identifier: MIT
"""One parser under atheris: `explore.py PARSER [libFuzzer options and folders]`.

Run by the interpreter of build/fuzz, which has atheris, as root in a throw-away host.
"""

import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

sys.path[:0] = [str(Path(__file__).resolve().parents[2])]
with atheris.instrument_imports(include=["pam_totp"]):
    from tests.fuzz.parsers import PARSERS, surroundings


def main() -> None:
    parser = PARSERS[sys.argv.pop(1)]
    # Not atheris.instrument_func: the promise itself is not what is explored.
    atheris.Setup(sys.argv, parser)
    with surroundings():
        atheris.Fuzz()


if __name__ == "__main__":
    main()
