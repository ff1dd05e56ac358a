# SPDX-License-Identifier: MIT
"""What is known of the programs behind services: which can ask a second question, and which belong
together."""

from pam_totp.review.not_asked import WITHOUT_QUESTIONS
from pam_totp.review.one_prompt import ONE_PROMPT

# Codes are turned on at all of these, or `sudo -i` and `su -` would still take the password alone.
TOGETHER = (("su", "su-l"), ("sudo", "sudo-i"))
# Their owner's screen would stay locked. The code is typed right after the password there.
LOCKERS = WITHOUT_QUESTIONS
# Programs in which nobody is there to answer, or that ask PAM for something else than a login.
UNATTENDED = (
    *("cron", "crond", "atd", "systemd-user", "runuser", "runuser-l", "chpasswd", "newusers"),
    *("passwd", "groupadd", "useradd", "userdel", "usermod", "fakeroot", "newrole", "run_init"),
)
# Programs that were seen to ask a code, or that hand every question of PAM on.
ASKING = (
    *("sshd", "login", "su", "su-l", "sudo", "sudo-i", "doas", "cockpit", "polkit-1", "lightdm"),
    *("gdm-password", "sddm", "greetd", "remote", "xscreensaver", "xsecurelock", "vlock"),
    *("chsh", "chfn", "xrdp-sesman", "kde", "lxdm", "xdm"),
)
# Files that services include. A line there would reach all of them.
SHARED = (
    *("system-auth", "password-auth", "postlogin", "smartcard-auth", "fingerprint-auth"),
    *("system-login", "system-local-login", "system-remote-login", "system-services", "other"),
    "config-util",
)


def is_shared(name: str) -> bool:
    """Whether a file of /etc/pam.d is there to be included, and is no service itself."""
    return name in SHARED or name.startswith("common-")


def why_not(name: str) -> str:
    """Why a code cannot be asked for at a service; empty for no reason that is known."""
    if name in UNATTENDED:
        return "no person is there to answer"
    return "its program has one prompt only" if name in ONE_PROMPT else ""


def is_known(name: str) -> bool:
    """Whether its program was seen to ask, or never shows a question."""
    return name in ASKING or name in LOCKERS


def together(names: list[str]) -> list[str]:
    """These services, and those that belong to them."""
    found = []
    for name in names:
        found += next((list(group) for group in TOGETHER if name in group), [name])
    return list(dict.fromkeys(found))
