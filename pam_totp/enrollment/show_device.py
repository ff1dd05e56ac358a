# SPDX-License-Identifier: MIT
"""Showing the secret of a device again: in the terminal, as a URI, or as a picture.

- It MUST be in the log before anybody sees it.
"""

import argparse
import os

from pam_totp.enrollment import devices, display, picture
from pam_totp.enrollment.change_devices import Opened
from pam_totp.enrollment.identity import log_shown
from pam_totp.enrollment.new_file import refuse_existing
from pam_totp.enrollment.owner import confirm_with_code
from pam_totp.enrollment.terminal import tell
from pam_totp.errors import Error, UsageError, again, quoted


def show(options: argparse.Namespace) -> int:
    """Shows one device's secret, after a code or the password. Raises Error."""
    if options.logo and not options.png:
        raise UsageError("--logo needs --png", "pam-totp devices show --help")
    if options.json:
        raise UsageError("the secret is not shown as JSON", "pam-totp devices show --help")
    opened = Opened(options)
    found = devices.find(opened.devices, options.name)
    if not found:
        opened.refuse_unless_absent(options.name)
        raise devices.absent(opened.devices, options.name, opened.listing)
    device, path = found[0], options.png or options.svg
    picture.refuse_without(png=bool(options.png), logo=bool(options.logo))
    if path:
        refuse_existing(path)
    if not opened.is_by_root:
        credentials = [each.credential for each in opened.devices]
        confirm_with_code(opened.account, credentials, opened.by_root)
    os.umask(0o077)
    # A picture that cannot be made is no secret that was shown.
    drawn = b""
    if path:
        drawn = picture.svg(device.uri) if options.svg else picture.png(device.uri, options.logo)
    log_shown(opened.account, device.name or device.id)
    if options.uri:
        print(device.uri)
    elif not path:
        display.show(device.uri, device.credential, options.qr, again())
    else:
        picture.write_new(path, drawn)
        text = (
            f"Saved: {path} shows the secret of {devices.called(device)}. Everyone who sees it\n"
            "can make its codes, so remove it once the phone has read it."
        )
        tell(text, Error(f"{path} was written, but the output cannot be", f"rm {quoted(path)}"))
    return 0
