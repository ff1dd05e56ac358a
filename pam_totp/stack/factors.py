# SPDX-License-Identifier: MIT
"""What a module proves of a user, by what it returns in an auth stack."""

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping

from pam_totp.stack import totp_lines
from pam_totp.stack.libpam import AUTH_ERR, IGNORE, NEW_AUTHTOK_REQD, RETURN_VALUES, SUCCESS
from pam_totp.stack.lines import Line


@dataclasses.dataclass(frozen=True)
class Factor:
    """Something that was proved, in words; by: the module, where the words leave it open."""

    words: str
    by: str = ""


# What a line can return, each value with what it proves: Meanings of search.py.
Meanings = Callable[[Line], Mapping[int, Factor | None]]

ROOT = Factor("root")
PASSWORD, KEY, CODE = Factor("password"), Factor("key"), Factor("code")
# After a password, each of them is a second factor as good as a code.
SECURITY_KEY, FINGERPRINT = Factor("security key"), Factor("fingerprint")
BESIDE_A_CODE = {"u2f": SECURITY_KEY, "fprintd": FINGERPRINT}
# Not a proof, but what stands in its place: the rules ask this user for no code.
NO_CODE_NEEDED = Factor("no code needed")
# A module that is not in the tables below may prove anything or nothing.
NOT_KNOWN = Factor("unknown module")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Modules by their names between pam_ and .so.
PASSWORDS = _names(
    "ccreds krb5 ldap mysql pgsql pwdfile radius_auth sss systemd_home tacplus tcb unix unix2"
    " userdb winbind"
)
OTHERS = _names(
    "duo fprintd google_authenticator howdy oath p11 pkcs11 poldi ssh_agent_auth u2f usb yubico"
)
# They check where, when or who, or do something else: no secret and no thing is shown to them.
NOTHING = _names(
    "access cap canonicalize_user debug deny echo ecryptfs encfs env faildelay faillock fscrypt"
    " ftp gdm geoip gnome_keyring group issue keyinit kwallet kwallet5 kwallet6 lastlog limits"
    " listfile localuser loginuid mail mkhomedir motd mount namespace nologin permit rhosts"
    " securetty selinux sepermit shells shield succeed_if systemd tally tally2 time timestamp"
    " tty_audit umask usertype warn wheel xauth"
)
# Modules that return PAM_IGNORE to pam_authenticate with one of these options and never without, so
# that their `required` line cannot be ignored: by the sources of Linux-PAM 1.7, fprintd 1.94,
# pam-krb5 4.11, pam-u2f 1.4, sssd 2.10, libpam-pwdfile 2.0, pam-ssh-agent-auth 0.10, oath-toolkit
# 2.6 and google-authenticator 20191231.
IGNORES_WITH: dict[str, frozenset[str]] = {
    **dict.fromkeys(_names("fprintd krb5 oath permit pwdfile ssh_agent_auth"), frozenset()),
    **dict.fromkeys(_names("unix userdb"), frozenset()),
    "google_authenticator": _names("nullok"),
    "sss": _names("ignore_unknown_user ignore_authinfo_unavail"),
    "u2f": _names("nouserok"),
}
# With these a user who has no such thing succeeds, or everybody.
NOT_ASKED = _names("nouserok nullok alwaysok")
_NAME = re.compile(r"pam_(\w+)\.so")


def meanings(line: Line) -> Mapping[int, Factor | None]:
    """What an auth line can return, each with what it proves: Meanings of search.py."""
    name = _NAME.fullmatch(line.module_name)
    module = name[1] if name else ""
    if module == "deny":
        return {AUTH_ERR: None}
    if module == "debug":
        return _of_debug(line)
    found: dict[int, Factor | None] = dict.fromkeys(range(len(RETURN_VALUES)))
    if module == "totp":
        return _of_totp(line, found)
    if totp_lines.is_note(line):
        return found
    if totp_lines.is_verifier(line):
        if not any(word.startswith("type=") for word in line.arguments):
            del found[IGNORE]  # which pam_exec returns for another type alone
        return found | {SUCCESS: CODE}
    options = frozenset(line.arguments)
    if module in IGNORES_WITH and not options & IGNORES_WITH[module]:
        del found[IGNORE]
    factor = _factor_of(module)
    if factor is PASSWORD:
        found[NEW_AUTHTOK_REQD] = factor  # right, and expired
    if factor is NOT_KNOWN:
        found[IGNORE] = factor  # which may mean anything, as it does from pam_totp.so
    if module in OTHERS and options & NOT_ASKED:
        factor = None
    return found | {SUCCESS: factor}


def _of_debug(line: Line) -> Mapping[int, Factor | None]:
    """It returns what it is told: `auth=authinfo_unavail`, as authselect writes for what is off."""
    named = {word.removeprefix("auth=") for word in line.arguments if word.startswith("auth=")}
    values = [RETURN_VALUES.index(each) for each in named if each in RETURN_VALUES]
    return dict.fromkeys(values or [SUCCESS])


def _of_totp(line: Line, found: dict[int, Factor | None]) -> Mapping[int, Factor | None]:
    """By the way it works (pam_totp/pam/pam_totp.c), which its options tell."""
    if totp_lines.wants_key(line):
        del found[IGNORE]
        return found | {SUCCESS: KEY}
    if totp_lines.is_combined(line):  # it never succeeds: it keeps the code for a line that follows
        del found[SUCCESS]
        return found
    return found | {SUCCESS: CODE, IGNORE: NO_CODE_NEEDED}


def _factor_of(module: str) -> Factor | None:
    if module == "rootok":
        return ROOT
    if module in PASSWORDS:
        return PASSWORD
    if module in OTHERS:
        return BESIDE_A_CODE.get(module, Factor("another factor", f"pam_{module}"))
    return None if module in NOTHING else NOT_KNOWN


def is_without_code(proved: Collection[Factor | None]) -> bool:
    """Whether these are two factors, none of which is a code: a password, and a security key or a
    fingerprint."""
    return PASSWORD in proved and not {*BESIDE_A_CODE.values()}.isdisjoint(proved)


def with_key(has_key: bool) -> Meanings:
    """What lines can return where it is known whether sshd accepted a public key."""

    def known(line: Line) -> Mapping[int, Factor | None]:
        found = dict(meanings(line))
        if totp_lines.wants_key(line):
            success = found.pop(SUCCESS)
            return {SUCCESS: success} if has_key else found
        return found

    return known
