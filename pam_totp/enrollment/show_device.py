# SPDX-License-Identifier: MIT
"""Showing the secret of a device again: in the terminal, as a URI, or as a picture.

- It MUST be in the log before anybody sees it.
"""

import argparse
import os

from pam_totp.enrollment import devices, display, picture, picture_file
from pam_totp.enrollment.change_devices import Opened
from pam_totp.enrollment.identity import log_shown
from pam_totp.enrollment.owner import confirm_with_code
from pam_totp.enrollment.terminal import tell
from pam_totp.errors import Error, UsageError, again, quoted

COMMAND = "pam-totp devices show"


def show(options: argparse.Namespace) -> int:
    """Shows one device's secret, after a code or the password. Raises Error."""
    if options.json:
        raise UsageError("the secret is not shown as JSON", f"{COMMAND} --help")
    picture_file.refuse_misuse(options, COMMAND)
    opened = Opened(options)
    found = devices.find(opened.devices, options.name)
    if not found:
        opened.refuse_unless_absent(options.name)
        raise devices.absent(opened.devices, options.name, opened.listing)
    device, path = found[0], picture_file.path_of(options)
    picture_file.refuse_unless_possible(options)
    if not opened.is_by_root:
        credentials = [each.credential for each in opened.devices]
        confirm_with_code(opened.account, credentials, opened.by_root)
    os.umask(0o077)
    # A picture that cannot be made is no secret that was shown.
    drawn = picture_file.draw(device.uri, options) if path else b""
    log_shown(opened.account, device.name or device.id)
    if options.uri:
        print(device.uri)
    elif not path:
        display.show(device.uri, device.credential, options.qr, again())
    else:
        picture.write_new(path, drawn)
        unseen = Error(f"{path} was written, but the output cannot be", f"rm {quoted(path)}")
        tell(f"Saved: {picture_file.advice(path, devices.called(device))}", unseen)
    return 0
