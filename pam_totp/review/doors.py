# SPDX-License-Identifier: MIT
"""Every way into one service, whoever logs in, as `pam-totp explain` prints it."""

import time
from typing import Any

from pam_totp.records.config import settings
from pam_totp.review.open_to import note_of_enrollment
from pam_totp.review.other_modules import asked_instead
from pam_totp.review.ways import ServiceWays, ways_of_service
from pam_totp.stack.libpam import Unknown, installed
from pam_totp.stack.service import read_service


def doors_of(service: str) -> dict[str, Any]:
    """As JSON; by the lines of `other` where the service has none. Raises Failure."""
    active = settings.load()
    instead = list[str]()
    try:
        instead = asked_instead([read_service(service, installed())])
        found = ways_of_service(service, by_other=True) or ServiceWays(service)
    except Unknown as unknown:
        found = ServiceWays(service, unknown=str(unknown))
    without = [
        {"who": way.who or "everybody", "proved": way.words, "lines": list(way.lines)}
        for way in found.findings
    ]
    asks = any(way.has_code for way in found.ways)
    note = note_of_enrollment(active, time.time()) if asks else ""
    return {
        "every_way_in": found.by_people or [found.text],
        "without_a_code": without,
        "enrollment_note": note,
        "other_module_note": " ".join(instead),
    }
