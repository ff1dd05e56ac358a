# SPDX-License-Identifier: MIT
"""The figures as text."""

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence

from tests.bench import programs
from tests.bench.rounds import Measured

HEAD = ("n", "ms", "±", "ratio", "CPU ms", "ratio", "peak MiB", "ratio")
WIDTHS = (5, 10, 7, 7, 9, 7, 10, 7)
NAME_WIDTH = 42


def render(measured: Sequence[Measured], memory: Mapping[str, float]) -> str:
    """One row a candidate under the name of its section, with ratios to its base."""
    lines = [
        "Medians of n rounds; each round runs every line once, in random order. ± is half of the",
        "median's 95 % interval. CPU is user and system time, children included; for ssh, only the",
        "server's.",
        "A ratio is the median of the ratios within a round, to the line of the block with 1.00.",
    ]
    named = {(each.candidate.section, each.candidate.name): each for each in measured}
    section = ""
    for each in measured:
        candidate = each.candidate
        base = named[candidate.section, candidate.base]
        cells = [
            str(len(each.samples)),
            f"{each.wall:.2f}",
            f"{each.spread:.1%}",
            f"{each.wall_ratio(base):.2f}",
        ]
        if each.cpu:
            cells += [f"{each.cpu:.2f}", f"{each.cpu_ratio(base):.2f}"]
        if memory and candidate.section == programs.SECTION:
            peak = memory[candidate.name]
            cells += [f"{peak:.2f}", f"{peak / memory[candidate.base]:.2f}"]
        if candidate.section != section:
            section = candidate.section
            lines += ["", row(section, HEAD[: len(cells)])]
        lines.append(row(f"  {candidate.name}", cells))
    return "\n".join(lines)


def row(name: str, cells: Sequence[str]) -> str:
    columns = zip(cells, WIDTHS, strict=False)  # a section may have fewer
    return name.ljust(NAME_WIDTH) + "".join(cell.rjust(width) for cell, width in columns)


def conditions() -> str:
    """The versions, and how busy the machine is with other things."""
    packages = ("python3", "libpam0g", "openssh-server", "libpam-google-authenticator")
    command = ["dpkg-query", "-W", "-f", "${Package} ${Version}  ", *packages]
    versions = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return (
        f"{versions}\n{platform.system()} {platform.release()}, {os.cpu_count()} processors, "
        f"load {os.getloadavg()[0]:.1f}"
    )
