# SPDX-License-Identifier: MIT
"""A maker's list of tokens: reading it, with the key or the password that it is encrypted with, and
showing what is in it.

- Neither MUST come by an argument, which every user can see.
- A file that is not encrypted MUST NOT pass where a key or password was given for it.
"""

import argparse
import json
import re
import time
from typing import Any

from pam_totp.enrollment import given_file, import_report, token_key
from pam_totp.enrollment.import_options import SEEDS
from pam_totp.enrollment.import_row import fault, told
from pam_totp.errors import Error, printable
from pam_totp.imports import pskc, seeds
from pam_totp.imports.found import Entry
from pam_totp.listing import fit

HELP = "pam-totp import pskc --help"
_NOTHING = "; nothing was changed"
_CORRECT = "correct the file, and run the command again"
_PROMPTS = {
    pskc.KEY: "Key of the file (hex): ",
    pskc.PASSWORD: "Password of the file: ",
}


def read(options: argparse.Namespace) -> tuple[list[Entry], list[str]]:
    """The tokens of the file, and what of it is not kept. Raises Error or Unusable."""
    content = given_file.read(options.file, has_secrets=True)
    if options.source == SEEDS:
        names = ("type", "digits", "period", "algorithm")
        return seeds.read(content, {name: getattr(options, name) for name in names})
    try:
        container = pskc.Container(content)
    except ImportError:
        message = "reading PSKC needs Python's pskc library, which is not installed"
        raise Error(message, "apt-get install python3-pskc") from None
    _refuse_other(container, options)
    if container.needs == pskc.KEY:
        container.decrypt(_key_of(_secret(pskc.KEY, options.key_file)))
    elif container.needs:
        password = _secret(pskc.PASSWORD, options.password_file)
        container.decrypt(password.encode("utf-8", "surrogateescape"))
    return container.tokens(time.time(), is_expiry_ignored=options.ignore_expiry)


def faults(entries: list[Entry]) -> list[dict[str, Any]]:
    """A row, as of a user, for each token that cannot be imported."""
    faulty = [entry for entry in entries if entry.found is None]
    return [
        fault(seeds.called(each), each.fault, import_report.whole_hint(each.hint) or _CORRECT)
        for each in faulty
    ]


def show(entries: list[Entry], notes: list[str], *, as_json: bool) -> None:
    """Prints the tokens, where nobody gets one yet. Raises Error if some cannot be imported."""
    found = [(entry.name, told(entry.found)) for entry in entries if entry.found is not None]
    faulty = faults(entries)
    if as_json:
        tokens = [{"serial": name, **said, "fault": ""} for name, said in found]
        tokens += [{"serial": row["user"], "fault": row["fault"]} for row in faulty]
        print(json.dumps({"changed": False, "applied": False, "tokens": tokens}, indent=2))
    else:
        lines = [f"{name}: {import_report.kind_of(said)}" for name, said in found]
        lines += [f"{row['user']}: cannot be imported: {row['fault']}" for row in faulty]
        lines += [f"Not kept: {note}." for note in notes]
        print(fit("\n".join(printable(line) for line in lines)))
        print(fit(f"Tokens: {len(found)} can be imported, {len(faulty)} cannot."))
        print(fit("Nothing was changed. To say who gets which, add one of these to the command:"))
        print("  --assign FILE\n  --user USER --entry SERIAL")
    if faulty:
        raise import_report.error_of(faulty, set(), is_applied=False)


def _refuse_other(container: pskc.Container, options: argparse.Namespace) -> None:
    """Raises Error where a secret was given that is not the one which the file needs."""
    given = {pskc.KEY: options.key_file, pskc.PASSWORD: options.password_file}
    for what, path in given.items():
        if path is None or what == container.needs:
            continue
        if container.needs:
            message = f"the file is encrypted with a {container.needs}, and with no {what}"
            raise Error(f"{message}{_NOTHING}", f"leave out --{what}-file")
        message = f"the file is not encrypted, so it is not the one that this {what} is for"
        raise Error(f"{message}{_NOTHING}", "ask the sender for the encrypted file")


def _secret(what: str, path: str | None) -> str:
    return token_key.read(path, _PROMPTS[what], what, HELP)


def _key_of(text: str) -> bytes:
    try:
        key = bytes.fromhex(re.sub(r"[\s:-]", "", text))
    except ValueError:
        key = b""
    if len(key) not in pskc.KEY_BYTES:
        raise Error(f"the key must be 16, 24 or 32 bytes in hex{_NOTHING}", HELP)
    return key
