# SPDX-License-Identifier: MIT
"""Twenty people who log in through libpam again and again, until told to stop.

    /usr/bin/python3 -m tests.logins_at_once FOLDER       (in a throw-away host with the package)

Each login must succeed: with a code, or without one for every fourth, whom a rule exempts. After
the first login a file with the user's name is put into FOLDER. The file `end` there ends it; then
the numbers are printed, and what the log says of anything but success.
"""

import sys
from itertools import chain
from multiprocessing import Pool
from pathlib import Path

from tests.host.accounts import add_user
from tests.host.credentials import Credential, enroll
from tests.host.programs import CONFIGURATION, RECORDS
from tests.host.system_log import SystemLog
from tests.stack.libpam import PAM_SUCCESS, authenticate, write_services

PEOPLE = 20
STACK = "auth required pam_totp.so tries=1\nauth required pam_permit.so\n"


def log_in_until_the_end(folder: Path, person: Credential, is_exempt: bool) -> list[bool]:
    """Whether each login succeeded."""
    user, logins = person.user, []
    while not (folder / "end").exists():
        # As if it were the first one: the code was not used yet, and gate decides in Python.
        (RECORDS / str(user.uid)).unlink(missing_ok=True)
        (RECORDS / "certain" / user.name).unlink(missing_ok=True)
        answers = [] if is_exempt else [person.code()]
        outcome = authenticate(folder / "pam.d", "console", user.name, answers)
        logins.append(outcome.authenticate == PAM_SUCCESS)
        (folder / user.name).touch()
    return logins


def main(folder: Path) -> None:
    log = SystemLog()
    write_services(folder / "pam.d", {"console": STACK})
    people = [enroll(add_user()) for _ in range(PEOPLE)]
    exempt = people[::4]
    names = ", ".join(each.user.name for each in exempt)
    CONFIGURATION.write_text(f"rules:\n  - {{user: [{names}], code: never}}\n", encoding="utf-8")
    log.clear()
    with Pool(PEOPLE) as pool:
        each = [(folder, person, person in exempt) for person in people]
        logins = [*chain.from_iterable(pool.starmap(log_in_until_the_end, each, chunksize=1))]
    print(f"{len(logins)} logins, {logins.count(False)} refused")
    for line in log.lines():
        if line.fields.get("verdict") not in ("accept", "skip"):
            print(line.as_written)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
