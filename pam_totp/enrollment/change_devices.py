# SPDX-License-Identifier: MIT
"""Taking a device away, and giving it another name."""

import argparse
import json
import os
import pwd

from pam_totp.enrollment import devices, save
from pam_totp.enrollment.identity import account_of, confirm, log_for_another, secret_dir_of
from pam_totp.enrollment.terminal import tell
from pam_totp.errors import Error, again, command
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import secret
from pam_totp.records.user.devices import Device, devices_of, renamed, without
from pam_totp.rules.credential import parse_file


def remove(options: argparse.Namespace) -> int:
    """Removes a device; 0 also if it is not there. Raises Error: then nothing was changed."""
    opened = Opened(options)
    gone = devices.find_to_end(opened.devices, options.name)
    if not gone:
        opened.refuse_unless_absent(options.name)
        text = f"{opened.account.pw_name} has no device {options.name!r}; nothing was changed."
        return opened.tell(options.name, None, text, options.json)
    left = [each for each in opened.devices if each not in gone]
    if not left and not options.yes:
        message = (
            f"{devices.called(gone[0])} is the only device of {opened.account.pw_name}: without it "
            "every login that requires a code is refused, with a recovery code too, until the user "
            f"enrolls again or root runs: {command('reset', opened.account.pw_name)}"
        )
        raise Error(message, again("--yes"))
    text = (
        f"Removed: the codes of {devices.called(gone[0])} are no longer accepted.\n"
        f"Still enrolled: {devices.listed(left) or 'no device'}."
    )
    opened.change(without(opened.content, gone), "remove-device")
    return opened.tell(gone[0].name, gone[0], text, options.json)


def rename(options: argparse.Namespace) -> int:
    """Gives a device another name; 0 also if it has it. Raises Error: then nothing was changed."""
    opened = Opened(options)
    found = devices.find(opened.devices, options.name)
    named = [each for each in opened.devices if devices.is_same(each.name, options.new)]
    if {each.name for each in found or named} == {options.new}:
        text = f"The name is {options.new!r} already; nothing was changed."
        return opened.tell(options.new, None, text, options.json)
    if not found:
        raise devices.absent(opened.devices, options.name, opened.listing)
    if any(each not in found for each in named):
        raise Error(f"there is a device {named[0].name!r} already", opened.listing)
    content = renamed(opened.content, found, options.new)
    if content is None:
        message = f"{options.new!r} would be taken for a part of the secret; nothing was changed"
        raise Error(message, "choose another name")
    opened.change(content, "rename-device")
    text = f"Renamed: {devices.called(found[0])} is now {options.new!r}, with the same secret."
    return opened.tell(options.new, found[0], text, options.json)


class Opened:
    """The devices of the user that the options name. Raises Error.

    content: of the file, before anything was asked; by_root: what root types for this user,
    listing: what lists the devices."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.account: pwd.struct_passwd = account_of(options.user)
        self.is_by_root = options.user is not None
        self.by_root = again() if self.is_by_root else again("--user", self.account.pw_name)
        self.listing = command("devices", user=options.user)
        self.secret_dir: SecretDir = secret_dir_of(self.account)
        self.content = save.existing_content(self.secret_dir) or b""
        self.devices = devices_of(self.content)
        self.trouble: save.TookEffect | None = None  # after the change

    def refuse_unless_absent(self, word: str) -> None:
        """Raises Error where the word may be a misspelt name, or a faulty line hides the device."""
        faults = parse_file(self.content)[1]
        if faults:
            message = f"there is no device {word!r}, but a fault: {faults[0]}"
            raise Error(message, "pam-totp status")
        if devices.similar(self.devices, word):
            raise devices.absent(self.devices, word, self.listing)

    def change(self, content: bytes, action: str) -> None:
        """Saves the new content, once the password was typed. Raises Error."""
        self.permit()
        self.save(content, action)

    def permit(self) -> None:
        """Asks for the password, where the file can be changed. Raises Error."""
        os.umask(0o077)
        save.try_out(self.secret_dir, secret.NAME)
        if not self.is_by_root:
            confirm(self.account, self.by_root)

    def save(self, content: bytes, action: str) -> None:
        """Saves the new content over the one that was read. Raises Error."""
        over = (secret.NAME, self.content)
        try:
            save.save(self.secret_dir, secret.NAME, content, over)
        except save.TookEffect as trouble:
            self.trouble = trouble
        log_for_another(action, self.account)

    def tell(self, name: str, changed: Device | None, text: str, as_json: bool) -> int:
        """Says what became of a device, the one that was changed if one was. Raises Error."""
        found = {
            "changed": changed is not None,
            "user": self.account.pw_name,
            "device": name,
            "id": changed.id if changed else None,
        }
        said = json.dumps(found, indent=2) if as_json else text
        tell(said, Error("done, but the output cannot be written", self.listing))
        if self.trouble is not None:
            raise self.trouble
        return 0
