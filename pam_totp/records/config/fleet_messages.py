# SPDX-License-Identifier: MIT
"""What users of a fleet are told in place of the messages that an administrator has not changed:
they enroll by an invitation. Imported only with `store: postgresql`."""

from pam_totp.records.config.table import DEFAULTS

INSTEAD = {
    DEFAULTS["messages.not_enrolled"]: (
        "A code is required, but you have not enrolled. Ask your administrator for an invitation."
    ),
    DEFAULTS["messages.deadline"]: (
        "A code will be required from {date} ({days} days left). Ask your administrator for an "
        "invitation, then run: pam-totp enroll"
    ),
}
