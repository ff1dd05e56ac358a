# SPDX-License-Identifier: MIT
"""The command that sets a key of the settings, whatever their file says today. Changes nothing.

- The command MUST be tried on the file's content first: a duplicate key, or a line that YAML reads
  otherwise, would be a fault, and no change of the settings would apply any more. Where no command
  is right, the file is opened in an editor.
"""

import os
import re
import shlex

from pam_totp.records.config.settings import PATH
from pam_totp.review.doctor.repairs import EDIT, look_at
from pam_totp.rules.encoding import encode

DEFAULTS = "# the defaults"  # a file of settings that sets none


def command_to_write(text: str, path: str = PATH) -> str:
    """For a file that does not exist: makes it, with this one line."""
    folder = os.path.dirname(path)
    make_folder = "" if os.path.isdir(folder) else f"mkdir -p {shlex.quote(folder)} && "
    return f"{make_folder}echo {shlex.quote(text)} >{shlex.quote(path)}"


def command_to_set(key: str, value: str, path: str = PATH) -> str:
    """Gives a key of the first level this value, and changes nothing else."""
    # PyYAML, which may be missing: then what asks for this cannot be determined.
    from pam_totp.review.settings_faults import check

    line = f"{key}: {value}"
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return command_to_write(line, path)
    now = check(content)
    place = re.match(r"line (\d+),", now.positions.get(key, ""))
    lines = content.removesuffix(b"\n").split(b"\n")
    if place:
        number = int(place[1])
        script = f"{number}s/.*/{line}/"
        lines[number - 1 : number] = [line.encode()]
    else:
        number = len(lines)
        script = f"$a {line}"
        lines.append(line.encode())
    then = check(b"\n".join(lines) + b"\n")
    is_right = then.values == now.values | {key: value} and encode(then.rules) == encode(now.rules)
    if now.faults or then.faults or not is_right:
        return look_at(path, number)
    return f"{EDIT} {shlex.quote(script)} {shlex.quote(path)}"
