# SPDX-License-Identifier: MIT
"""Why a login may not follow the settings: the service's PAM stack, and sshd's own settings."""

import pwd

from pam_totp.review.one_prompt import EXAMPLE, ONE_PROMPT
from pam_totp.review.other_modules import program_at
from pam_totp.review.sshd_class import SERVICE as SSHD
from pam_totp.review.sshd_class import SshdClass
from pam_totp.review.ways_of_sshd import KERBEROS, knows_key, proofs_of
from pam_totp.spelling import did_you_mean
from pam_totp.stack import services, sshd, stack_faults, totp_lines
from pam_totp.stack.factors import CODE, NO_CODE_NEEDED
from pam_totp.stack.libpam import SERVICE_FOLDERS, Libpam, Unknown, installed
from pam_totp.stack.service import Service, read_service
from pam_totp.stack.setting_credentials import refused_at_last
from pam_totp.stack.sshd import Way
from pam_totp.stack.sshd_classes import Class
from pam_totp.stack.sshd_match import Login

# Screen lockers that never show a prompt and answer each one with the password.
WITHOUT_QUESTIONS = ("i3lock", "swaylock", "gtklock", "slock", "waylock")
# These run as the user too. (Debian's vlock is setuid root.)
AS_USER = (
    *WITHOUT_QUESTIONS,
    *("cinnamon-screensaver", "hyprlock", "kde", "kde-fingerprint", "kde-smartcard"),
    *("kscreenlocker", "mate-screensaver", "xscreensaver", "xsecurelock"),
)


class Stack:
    """A service's stack as libpam reads it. buts: a sentence for each reason why it does not do
    what the settings say, or may not."""

    def __init__(self, name: str, *, is_of_sshd: bool = False) -> None:
        self.asks = self.is_combined = self.wants_key = False
        self.buts: list[str] = []
        self.service: Service | None = None
        try:
            libpam = installed()
            self.service = service = read_service(name, libpam)
            self.asks = services.has_line(service)
            self.is_combined = stack_faults.is_combined(service)
            self.wants_key = stack_faults.wants_key(service)
        except Unknown as unknown:
            what = "what it asks for cannot be determined"
            self.asks = name in services.that_ask()
            self.buts.append(f"{SERVICE_FOLDERS[0]}/{name}: {unknown}; {what}")
            return
        self.buts = [*_of_file(service, libpam), *stack_faults.broken(service)]
        where = f"{SERVICE_FOLDERS[0]}/{name}"
        where = next((each.path for each in service.files), where)
        if self.asks:
            found = stack_faults.faults(service) + stack_faults.doubts(service)
            if is_of_sshd:
                found += _at_last(service, libpam)
            self.buts += [f"{where}: {fault}" for fault in found]
        elif self.is_combined:
            self.buts.append(
                f"{where}: only a line with 'combined', which accepts any digits, so no code is "
                "verified"
            )
        elif not service.refused and not _is_meant(service):
            program = program_at(service)
            asks = f"only codes of {program} are" if program else "no code is"
            self.buts.append(f"{where} has no pam_totp.so line, so {asks} asked for")
        if self.asks and not self.is_combined and name in WITHOUT_QUESTIONS:
            self.buts.append(
                f"{name} never shows the prompt and answers it with the password, so the "
                "screen stays locked; see examples/pam/screen-locker"
            )
        if self.asks and not self.is_combined and name in ONE_PROMPT:
            self.buts.append(
                f"programs of {name} usually have one prompt, and users who must enter a code are "
                f"refused then; see {EXAMPLE}"
            )


def _at_last(service: Service, libpam: Libpam) -> list[str]:
    try:
        return list(refused_at_last(service, libpam))
    except Unknown:
        return []  # `doubts` says so


def _is_meant(service: Service) -> bool:
    """Whether there is a pam_totp.so line that libpam cannot use, which `broken` tells."""
    return any(totp_lines.MODULE in each.module and each.fault for each in service.stacks["auth"])


def _of_file(service: Service, libpam: Libpam) -> list[str]:
    """Where a service has no file of its own."""
    paths = [each.path for each in service.files]
    if any(f"{folder}/{service.name}" in paths for folder in libpam.folders):
        return []
    missing = f"there is no PAM service file {SERVICE_FOLDERS[0]}/{service.name}"
    near = did_you_mean(service.name, services.names(libpam=libpam))
    return [f"{missing}{f', so PAM uses {paths[0]}' if paths else ''}{near}"]


def service_of_sshd(user: pwd.struct_passwd, address: str | None) -> str:
    """The PAM service that sshd asks at this login."""
    try:
        return sshd.service_of(sshd.settings_for(user.pw_name, address))
    except Unknown:
        return SSHD  # ways_of_sshd says why


def ways_of_sshd(
    user: pwd.struct_passwd, address: str | None, stack: Stack, *, publickey: bool
) -> tuple[list[str], list[tuple[Way, str]]]:
    """Sentences as in Stack.buts; and each combination of methods that sshd accepts, the weakest
    first, with its outcome, empty for what the settings say. publickey: only those with a key."""
    try:
        settings = sshd.settings_for(user.pw_name, address)
    except Unknown as unknown:
        return [f"{unknown}; what sshd accepts cannot be determined"], []
    if settings.get("usepam") != "yes":
        return ["sshd has UsePAM no, so no code is asked for"], []
    buts, ways = [], sshd.ways(settings, user.pw_uid)
    if user.pw_uid == 0 and not any(sshd.asks_pam(way) for way in ways):
        allowed = settings.get("permitrootlogin", "").replace("without-", "prohibit-")
        buts.append(f"sshd refuses root whenever PAM is asked (PermitRootLogin {allowed})")
    if publickey:
        ways = [way for way in ways if "publickey" in way]
    if not any("keyboard-interactive" in way for way in ways):
        no = settings.get("kbdinteractiveauthentication") != "yes"
        if no and stack.asks and not stack.is_combined:
            buts.append(
                "sshd cannot ask for a code (KbdInteractiveAuthentication no), so users who need "
                "one are refused"
            )
    if settings.get(KERBEROS) == "yes" and any("password" in way for way in ways):
        buts.append(
            "sshd checks a password with Kerberos before it asks PAM (KerberosAuthentication yes), "
            "so no code is asked for after it"
        )
    of_login = SshdClass(Class(Login(user.pw_name), ()), settings, tuple(ways))
    told: list[tuple[Way, str]] = []
    for way in ways:
        outcome = ""
        if not sshd.asks_pam(way):
            outcome = "no code is asked for, because PAM is never asked"
            alone = "the key" if way == ("publickey",) else sshd.shown(way)
            is_default = settings.get("authenticationmethods", "any") == "any"
            why = ", as it does by default" if is_default else " (AuthenticationMethods)"
            buts.append(f"sshd accepts {alone} alone{why}, so PAM is never asked")
        elif stack.wants_key and not knows_key(way):
            outcome = "refused, because the PAM stack requires a public key (publickey_passed)"
        elif "keyboard-interactive" not in way and stack.asks and not stack.is_combined:
            outcome = "refused if a code is needed, because sshd's password method cannot ask"
        elif stack.service is not None:
            outcome = _outcome(way, of_login, stack.service)
        told.append((way, outcome))
    if not ways:
        buts.append(f"sshd accepts no login of {user.pw_name}{' with a key' if publickey else ''}")
    elif all(stack.wants_key and not knows_key(way) for way in ways):
        buts.append(
            "the PAM stack requires a public key (publickey_passed), but sshd asks for none "
            "(AuthenticationMethods), so every login is refused"
        )
    return buts, told


def _outcome(way: Way, of_login: SshdClass, service: Service) -> str:
    """What the stack makes of a way, where that is not what the settings say."""
    try:
        proofs = list(proofs_of(way, of_login, service))
    except Unknown as unknown:
        return f"cannot be determined: {unknown}"
    if not proofs:
        return "refused, because no way through the PAM stack accepts it"
    if not any({CODE, NO_CODE_NEEDED} & {*proof.proved} for proof in proofs):
        return "no code is asked for, because the PAM stack has no line for it on this way"
    return ""
