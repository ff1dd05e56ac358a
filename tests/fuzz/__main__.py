# SPDX-License-Identifier: MIT
"""`make fuzz`: coverage-guided fuzzing of the C (libFuzzer) and of every parser (atheris).

FUZZ_SECONDS is the time for all together (60). What breaks a promise is kept in build/fuzz/found,
and the exit code is 1 then; what was reached, in build/fuzz/corpus, so a later run looks further.
"""

import os
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY)]

from tests.fuzz.parsers import SEEDS  # noqa: E402 - the path to it is set above

BUILD = REPOSITORY / "build" / "fuzz"
FOUND = BUILD / "found"
IN_C = ("module", "launcher")
SECONDS_IN_ALL = 60
MAX_SECONDS_AN_INPUT = 5
SANITIZE = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"]
LANGUAGE = ["-std=gnu11", "-D_GNU_SOURCE=", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]


def build_fuzzer(name: str) -> Path:
    target = BUILD / name
    source = Path(__file__).with_name(f"{name}.c")
    made = f"-I{REPOSITORY / 'build'}"  # what the launcher embeds
    subprocess.run(["clang", *LANGUAGE, *SANITIZE, made, "-o", target, source], check=True)
    return target


def corpus_of(name: str) -> Path:
    corpus = BUILD / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS.get(name, [])):
        (corpus / f"seed-{number}").write_bytes(seed)
    return corpus


def explore(name: str, command: list[str | Path], seconds: int) -> bool:
    """Run one fuzzer; whether every promise held. Prints one line, or all that it said."""
    done = subprocess.run(
        [
            *command,
            f"-max_total_time={seconds}",
            f"-timeout={MAX_SECONDS_AN_INPUT}",
            f"-artifact_prefix={FOUND}/{name}-",
            "-print_final_stats=1",
            corpus_of(name),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="backslashreplace",
    )
    runs = [line.split()[-1] for line in done.stdout.splitlines() if "executed_units" in line]
    answer = "promises kept" if done.returncode == 0 else "BROKEN"
    print(f"{name:22} {runs[-1] if runs else '?':>10} inputs  {answer}", flush=True)
    if done.returncode != 0:
        said = [line for line in done.stdout.splitlines() if not line.startswith("INFO:")]
        print("\n".join(said[-40:]))
    return done.returncode == 0


def main() -> int:
    FOUND.mkdir(parents=True, exist_ok=True)
    names = [*IN_C, *SEEDS]
    seconds = max(1, int(os.environ.get("FUZZ_SECONDS", SECONDS_IN_ALL)) // len(names))
    explorer = Path(__file__).with_name("explore.py")
    held = [explore(name, [build_fuzzer(name)], seconds) for name in IN_C]
    held += [explore(name, [BUILD / "bin" / "python", explorer, name], seconds) for name in SEEDS]
    print(f"{sum(held)} of {len(held)} kept their promises; {FOUND} has what breaks one")
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
