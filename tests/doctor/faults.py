# SPDX-License-Identifier: MIT
"""What can be wrong with a host: how to break it, and what `pam-totp doctor` must then find."""

import dataclasses

from tests.doctor.world import MODULES, USERS

VAR, RUN, PAM, LIBRARY = "/var/lib/pam-totp", "/run/pam-totp", "/etc/pam.d", "/usr/lib/pam-totp"
CONFIG, SSHD = "/etc/pam-totp/config.yaml", "/etc/ssh/sshd_config"
DROP_IN = "/etc/ssh/sshd_config.d/00-pam-totp.conf"
ALICE, BOB = USERS["alice"], USERS["bob"]
SECRET = "/home/alice/.config/pam-totp/secret"
RECOVERY = "/home/alice/.config/pam-totp/recovery"
LIBRARIES = "/usr/lib/python3/dist-packages"
TINY = "mount -t tmpfs -o mode=700"


@dataclasses.dataclass(frozen=True)
class Fault:
    """name: of the test. plant: a shell script. kind, words: of the finding, and what its text
    holds. also: kinds of other findings that this must have. repaired: whether the finding's own
    command, run as it is printed, leaves nothing to find."""

    name: str
    plant: str
    kind: str
    words: str
    also: frozenset[str] = frozenset()
    repaired: bool = False


def also(*kinds: str) -> frozenset[str]:
    return frozenset(kinds)


WAYS = (
    Fault(
        "a line before ours that is enough",
        f"sed -i '/pam_totp/i auth sufficient pam_permit.so' {PAM}/login",
        "way-without-code",
        "login has a way around the code: password",
    ),
    Fault(
        "an optional line",
        f"sed -i 's/required pam_totp/optional pam_totp/' {PAM}/sudo",
        "way-without-code",
        "sudo has a way around the code: password",
        repaired=True,
    ),
    Fault(
        "a key alone by a Match block",
        f"printf 'Match User bob\\nAuthenticationMethods publickey\\n' >>{SSHD}",
        "way-without-code",
        "for bob",
    ),
    Fault(
        "a security key in place of the password",
        f"sed -i '/^@include common-auth/i auth sufficient pam_u2f.so' {PAM}/login",
        "way-without-code",
        "login has a way around the code: security key alone",
    ),
    Fault(
        "a security key that is enough after the password, and that everybody has",
        f"sed -i '/pam_totp/i auth [success=1 default=ignore] pam_u2f.so' {PAM}/login;"
        " echo alwaysok >/etc/security/pam_u2f.conf",
        "way-without-code",
        "login has a way around the code: password alone",
    ),
    Fault(
        "a service without the line",
        f"printf '@include common-auth\\n' >{PAM}/newdoor",
        "service-without-code",
        "newdoor",
        repaired=True,
    ),
    Fault(
        "a service with the line of another program",
        f"printf '@include common-auth\\nauth required pam_oath.so\\n' >{PAM}/newdoor",
        "code-of-another-program",
        "newdoor asks for codes of oath",
        repaired=True,
    ),
    Fault(
        "a service of one prompt without the line",
        f"printf '@include common-auth\\n' >{PAM}/imap",
        "service-without-code",
        "no code is asked for at imap,",
    ),
    Fault(
        "a line that an upgrade took away",
        f"touch {VAR}/services/sudo; sed -i '/pam_totp/d' {PAM}/sudo",
        "no-longer-asks",
        "sudo asked for a code before",
        also("service-without-code"),
        repaired=True,
    ),
    Fault(
        "a service that is gone",
        f"touch {VAR}/services/imap",
        "no-longer-asks",
        "imap asked for a code before",
        repaired=True,
    ),
    Fault(
        "a file that cannot be read as PAM reads it",
        f"printf '\\0' >>{PAM}/sudo",
        "undetermined",
        "contains a NUL byte",
    ),
)
LINES = (
    Fault(
        "a line of another program behind ours",
        f"sed -i '/pam_totp/a auth required pam_google_authenticator.so nullok' {PAM}/sudo",
        "asked-twice",
        "sudo: two codes are asked for, the second at /etc/pam.d/sudo, line",
    ),
    Fault(
        "a line that is jumped over",
        f"sed -i '/pam_totp/i auth [default=1] pam_env.so' {PAM}/sudo-i",
        "unreachable-line",
        "sudo-i is never reached",
        also("way-without-code"),
    ),
    Fault(
        "a substack, which goes on after a wrong password",
        f"sed -i 's/^@include common-auth/auth substack common-auth/' {PAM}/sudo",
        "asked-after-wrong-password",
        "sudo: a wrong password still reaches the pam_totp.so line",
        repaired=True,
    ),
    Fault(
        "a substack with the code in it, which goes on after an incorrect one",
        f"grep -v '^#' {PAM}/sudo >{PAM}/code; printf 'auth substack code\\nauth required"
        f" pam_env.so\\n' >{PAM}/sudo; sed -i s/required.pam_totp/requisite\\ pam_totp/ {PAM}/code",
        "goes-on-after-incorrect-code",
        "still runs after an incorrect code",
    ),
    Fault(
        "a wrong password that refuses nobody",
        f"sed -i 's/^@include common-auth/auth optional pam_unix.so/' {PAM}/sudo-i",
        "wrong-password-accepted",
        "does not refuse the login",
    ),
    Fault(
        "a control that refuses who needs no code",
        f"sed -i 's/required pam_totp/[success=ok default=die] pam_totp/' {PAM}/sudo-i",
        "refusing-control",
        "refuses users who need no code",
        repaired=True,
    ),
    Fault(
        "a line for keys that jumps to the wrong place",
        f"sed -i 's/success=[0-9]*\\(.*publickey_passed\\)/success=1\\1/' {PAM}/sshd",
        "key-line-jumps-wrong",
        "jumps to",
    ),
    Fault(
        "line ends of another system",
        f"sed -i 's/$/\\r/' {PAM}/sudo",
        "refuses-everybody",
        "sudo refuses every login",
    ),
    Fault(
        "a missing include",
        f"echo '@include nosuch' >>{PAM}/sudo-i",
        "refuses-everybody",
        "nosuch, which does not exist",
    ),
    Fault(
        "a line that refuses everybody",
        f"echo 'auth required pam_deny.so' >>{PAM}/login",
        "refuses-everybody",
        "login refuses every login",
    ),
    Fault(
        "an option that the module does not know",
        f"sed -i 's/pam_totp.so$/pam_totp.so tires=3/' {PAM}/sudo-i",
        "invalid-option",
        "tires=3",
        repaired=True,
    ),
    Fault(
        "a module that is not installed",
        f"echo 'auth optional pam_nosuch.so' >>{PAM}/login",
        "unusable-line",
        "pam_nosuch.so",
    ),
    Fault(
        "a screen locker that shows no question",
        f"printf '@include common-auth\\nauth required pam_totp.so\\n' >{PAM}/gtklock",
        "locker-cannot-ask",
        "gtklock never shows the question",
        repaired=True,
    ),
    Fault(
        "a screen locker that cannot read the secret",
        f"echo 'store: system' >>{CONFIG}; pam-totp migrate --all",
        "locker-cannot-read",
        "swaylock runs as the user",
    ),
)
PROGRAMS = (
    Fault("no module", f"rm {MODULES}/pam_totp.so", "module-missing", "there is no pam_totp.so"),
    Fault(
        "a module that was cut off",
        f"truncate -s 1000 {MODULES}/pam_totp.so",
        "module-damaged",
        "cannot be loaded",
    ),
    Fault(
        "a module of another release",
        f'sed -i \'s/"version":"[0-9]/"version":"9/\' {MODULES}/pam_totp.so',
        "version-differs",
        "is of version 9",
    ),
    Fault("no pam_exec", f"rm {MODULES}/pam_exec.so", "pam-exec-missing", "pam_exec.so"),
    Fault("no gate", "rm /usr/libexec/pam-totp/gate", "program-missing", "gate"),
    Fault("no verifier", "rm /usr/libexec/pam-totp/verify", "program-missing", "verify"),
    Fault(
        "a verifier that a power cut has left empty inside",
        "dd if=/dev/zero of=/usr/libexec/pam-totp/verify bs=4096 seek=1 count=120 conv=notrunc",
        "program-damaged",
        "verify is cut off or overwritten",
    ),
    Fault(
        "a gate for another processor",
        "printf '\\363\\0' | dd of=/usr/libexec/pam-totp/gate bs=1 seek=18 conv=notrunc",
        "program-damaged",
        "gate is for another kind of processor",
    ),
    Fault(
        "a verifier of another release",
        'sed -i \'s/"version":"[0-9]/"version":"9/\' /usr/libexec/pam-totp/verify',
        "version-differs",
        "verify is of version 9",
    ),
    Fault(
        "a gate that was cut off",
        "truncate -s -1000 /usr/libexec/pam-totp/gate",
        "program-damaged",
        "gate is cut off",
    ),
    Fault(
        "nothing to show an enrollment",
        "rm /usr/libexec/pam-totp/show-enrollment",
        "program-missing",
        "show-enrollment",
    ),
    Fault(
        "nothing to take a trial back",
        "rm /usr/libexec/pam-totp/roll-back",
        "program-missing",
        "roll-back",
    ),
    Fault(
        "a module of what takes a trial back that is damaged",
        f"echo 'def (' >>{LIBRARY}/pam_totp/setup/roll_back.py",
        "program-damaged",
        "program roll-back does not start",
    ),
    Fault(
        "a verb that is damaged",
        f"echo 'def (' >>{LIBRARY}/pam_totp/commands/users.py",
        "program-damaged",
        "program pam-totp does not start",
    ),
    Fault(
        "a gate that cannot be run",
        "chmod 644 /usr/libexec/pam-totp/gate",
        "program-not-executable",
        "gate cannot be run",
        repaired=True,
    ),
    Fault(
        "an interpreter that is gone",
        "sed -i '1s/python3/python9/' /usr/libexec/pam-totp/show-enrollment",
        "interpreter-missing",
        "/usr/bin/python9",
    ),
    Fault(
        "a module of the verifier that is damaged",
        f"echo 'def (' >>{LIBRARY}/pam_totp/login/verify.py",
        "program-damaged",
        "program verify does not start",
    ),
    Fault(
        "a library that is damaged",
        f"mount --bind /dev/null {LIBRARIES}/yaml/__init__.py",
        "library-missing",
        "yaml",
        also("settings-fault"),
    ),
    Fault(
        "a library for enrolling that is damaged",
        f"mount --bind /dev/null {LIBRARIES}/qrcode/__init__.py",
        "library-missing",
        "qrcode",
    ),
    Fault(
        "the library for secrets that is damaged",
        f"mount --bind /dev/null {LIBRARIES}/pyotp/__init__.py",
        "library-missing",
        "pyotp",
    ),
    Fault(
        "the library for passwords that is damaged",
        f"mount --bind /dev/null {LIBRARIES}/pam/__init__.py",
        "library-missing",
        "library pam",
    ),
    Fault("two installations", "mkdir /usr/local/lib/pam-totp", "two-installations", "/usr/local"),
    Fault(
        "no service to check passwords",
        "rm /usr/lib/pam.d/pam-totp",
        "password-service-missing",
        "pam-totp",
    ),
)
ENABLE = f"sed -i '/pam_totp/d' {PAM}/sudo {PAM}/sudo-i; pam-totp enable sudo --yes --force"
KEY_LINE = "auth [success=1 default=ignore] pam_u2f.so"
SECOND_FACTORS = (
    Fault(
        "a fingerprint module that is gone",
        f"{ENABLE} --also fingerprint; rm {MODULES}/pam_fprintd.so",
        "key-module-missing",
        "pam_fprintd.so is not installed, and sudo has a line for it",
    ),
    Fault(
        "the same finger in place of the password and of the code",
        f"{ENABLE} --also fingerprint; pam-auth-update --enable fprintd",
        "way-without-code",
        "sudo has a way around the code: fingerprint alone",
        repaired=True,
    ),
    Fault(
        "a finger in place of the password, and a key in place of the code",
        f"{ENABLE} --also u2f; pam-auth-update --enable fprintd",
        "way-without-code",
        "sudo has a way around the code: fingerprint, then security key alone",
        repaired=True,
    ),
    Fault(
        "a security key of the server over ssh",
        f"sed -i '/^auth required *pam_totp.so/i {KEY_LINE}' {PAM}/sshd",
        "key-of-this-machine",
        "sshd takes a security key of this machine for a code",
        also("way-without-code"),
    ),
    Fault(
        "a security key of the server at a second sshd",
        f"sed 's/^auth required *pam_totp.so/{KEY_LINE}\\n&/' {PAM}/sshd >{PAM}/sshd-vpn",
        "key-of-this-machine",
        "sshd-vpn takes a security key of this machine for a code",
        also("way-without-code"),
    ),
    Fault(
        "keys in homes, and secrets with root",
        f"{ENABLE} --also u2f; sed -i '1i store: system' {CONFIG}; pam-totp migrate --all",
        "keys-in-homes",
        f"the line of pam_u2f.so in {PAM}/sudo reads the users' own files",
        also("locker-cannot-read"),
    ),
    Fault(
        "a file of keys in a home that others can write",
        f"{ENABLE} --also u2f; install -D -o alice -m 666 /dev/null"
        " /home/alice/.config/Yubico/u2f_keys;"
        " echo authfile=/etc/none >/etc/security/pam_u2f.conf",  # its line says another
        "key-file-writable",
        "the security keys of alice: /home/alice/.config/Yubico/u2f_keys is writable by group",
        repaired=True,
    ),
    Fault(
        "a folder in which others can replace a file of keys",
        f"{ENABLE} --also u2f; install -d -o alice /home/alice/.config/Yubico;"
        " install -o alice -m 600 /dev/null /home/alice/.config/Yubico/u2f_keys;"
        " chmod 757 /home/alice/.config/Yubico",
        "key-file-writable",
        "the security keys of alice: /home/alice/.config/Yubico is writable by others",
        repaired=True,
    ),
    Fault(
        "a link to a file of keys in a folder of others",
        f"{ENABLE} --also u2f; install -d -o alice /home/alice/.config/Yubico;"
        " install -D -o alice -m 600 /dev/null /home/elsewhere/keys; chown bob /home/elsewhere;"
        " ln -s /home/elsewhere/keys /home/alice/.config/Yubico/u2f_keys",
        "key-file-writable",
        "the security keys of alice: /home/elsewhere is owned by user id",
    ),
    Fault(
        "root's file of keys that others can write",
        f"sed -i '/pam_totp/i {KEY_LINE} authfile=/etc/u2f_mappings' {PAM}/login;"
        " install -m 664 /dev/null /etc/u2f_mappings",
        "key-file-writable",
        "/etc/u2f_mappings, with the security keys of users, is writable by group",
        repaired=True,
    ),
    Fault(
        "a file of keys that is not root's",
        f"sed -i '/pam_totp/i {KEY_LINE} authfile=/etc/u2f_mappings' {PAM}/login;"
        " install -o bob -m 644 /dev/null /etc/u2f_mappings",
        "key-file-writable",
        f"/etc/u2f_mappings, with the security keys of users, is owned by user id {BOB}",
        repaired=True,
    ),
)
SSHD_SETTINGS = (
    Fault(
        "sshd without PAM",
        f"sed -i '1i UsePAM no' {SSHD}",
        "sshd-without-pam",
        "UsePAM no",
        also("sshd-drop-in-unused"),
        repaired=True,
    ),
    Fault(
        "sshd that cannot ask",
        f"sed -i '1i KbdInteractiveAuthentication no\\nAuthenticationMethods any' {SSHD}",
        "sshd-cannot-ask",
        "KbdInteractiveAuthentication no",
        also("sshd-drop-in-unused", "way-without-code"),
    ),
    Fault(
        "sshd's own passwords",
        f"sed -i '1i PasswordAuthentication yes\\nAuthenticationMethods password"
        f" keyboard-interactive' {SSHD}",
        "sshd-password-cannot-ask",
        "method `password`",
        also("sshd-drop-in-unused"),
    ),
    Fault(
        "few failures",
        f"sed -i '1i MaxAuthTries 1' {SSHD}",
        "sshd-max-auth-tries",
        "MaxAuthTries 1",
        repaired=True,
    ),
    Fault(
        "few failures for some",
        f"printf 'Match User bob\\nMaxAuthTries 2\\n' >>{SSHD}",
        "sshd-max-auth-tries",
        "Match user bob",
    ),
    Fault(
        "a block for the members of an empty group",
        f"printf 'Match Group nobodys\\nAuthenticationMethods publickey\\n' >>{SSHD}",
        "sshd-match-of-nobody",
        "`Match group nobodys`",
        also("way-without-code"),
    ),
    Fault(
        "a block for the members of an empty group, who enter a code",
        f"printf 'Match Group nobodys\\nMaxAuthTries 5\\n' >>{SSHD}",
        "sshd-match-of-nobody",
        "`Match group nobodys`",
    ),
    Fault(
        "a block for users of a directory",
        f"printf 'Match User ldap-*\\nAuthenticationMethods publickey\\n' >>{SSHD}",
        "way-without-code",
        "ldap-*",
    ),
    Fault(
        "no time for the phone",
        f"sed -i '1i LoginGraceTime 20' {SSHD}",
        "sshd-login-grace-time",
        "LoginGraceTime 20",
        repaired=True,
    ),
    Fault(
        "security keys in place of a code, which are not verified",
        f"sed -i 's/^rules: .//;1i rules: [{{publickey: sk, code: never}},' {CONFIG}",
        "sshd-keys-not-verified",
        "requires no PIN or fingerprint of that key for all users",
        repaired=True,
    ),
    Fault(
        "security keys in place of a code, which nobody has to touch",
        f"sed -i 's/^rules: .//;1i rules: [{{publickey: sk, code: never}},' {CONFIG};"
        f" sed -i '1i PubkeyAuthOptions verify-required' {SSHD}",
        "sshd-keys-not-touched",
        "requires no touch of that key for all users",
        repaired=True,
    ),
    Fault(
        "security keys in place of a code, which programs of users can add",
        f"sed -i 's/^rules: .//;1i rules: [{{publickey: sk, code: never}},' {CONFIG};"
        f" sed -i '1i PubkeyAuthOptions touch-required verify-required' {SSHD};"
        f" sed -i '1i store: system' {CONFIG}; pam-totp migrate --all",
        "sshd-keys-in-homes",
        "sshd reads the keys of all users in their homes, although secrets are root's",
        also("locker-cannot-read"),
    ),
    Fault(
        "settings with which sshd does not start",
        f"sed -i '1i NoSuchKeyword yes' {SSHD}",
        "sshd-settings-fault",
        "NoSuchKeyword",
        also("undetermined"),
    ),
    Fault(
        "a drop-in that is not included",
        f"sed -i 's/^Include/#Include/' {SSHD}",
        "sshd-drop-in-unused",
        "AuthenticationMethods",
        also("sshd-cannot-ask", "way-without-code"),
        repaired=True,
    ),
    Fault(
        "a stack that wants a key, and sshd that takes none",
        f"sed -i 's/^AuthenticationMethods .*/AuthenticationMethods keyboard-interactive:pam/'"
        f" {DROP_IN}; sed -i 's/^auth .*publickey_passed/auth requisite pam_totp.so"
        f" publickey_passed/;/^@include common-auth/d' {PAM}/sshd",
        "sshd-accepts-nobody",
        "keyboard-interactive for all users",
    ),
    Fault(
        "settings that sshd has not read yet",
        f"sed -i '1i PidFile /etc/sshd.pid' {SSHD}; cp /usr/bin/sleep /etc/sshd; (/etc/sshd 60"
        " </dev/null &>/dev/null & echo $! >/etc/sshd.pid); touch -d '-1 hour' /etc/sshd.pid;"
        " while ! grep -qx sshd /proc/$(cat /etc/sshd.pid)/comm; do :; done",
        "sshd-not-reloaded",
        f"sshd has not read {SSHD} since",
        repaired=True,
    ),
    Fault(
        "root's key",
        "install -d -m 700 /root/.ssh; echo ssh-ed25519 AAAA root >/root/.ssh/authorized_keys",
        "sshd-refuses-root",
        "prohibit-password",
        repaired=True,
    ),
    Fault(
        "sshd's settings without the line",
        f"printf '@include common-auth\\n' >{PAM}/sshd",
        "sshd-settings-without-line",
        "has no pam_totp.so line",
        also("service-without-code"),
        repaired=True,
    ),
)
CLOCK = (
    Fault("no clock", "touch /etc/clock-is-not-kept", "clock-not-kept", "no program keeps"),
    Fault(
        "a clock that is not synchronised",
        "touch /etc/clock-is-not-kept; cp /usr/bin/sleep /etc/chronyd; (/etc/chronyd 30 </dev/null"
        " &>/dev/null & ); while ! grep -qx chronyd /proc/*/comm 2>/dev/null; do :; done",
        "clock-not-synchronised",
        "chronyd runs",
    ),
    Fault(
        "a clock that was set back",
        f"touch -d '+5 hours' {VAR}/enforced/{ALICE}",
        "clock-set-back",
        "5 hours in the future",
    ),
)
FILES = (
    Fault("program's owner", f"chown bob {LIBRARY}", "program-owner", LIBRARY, repaired=True),
    Fault(
        "program that others can write",
        f"chmod 666 {LIBRARY}/pam_totp/login/gate.py",
        "program-mode",
        "gate.py is writable",
        repaired=True,
    ),
    Fault(
        "command's owner",
        "chown bob /usr/bin/pam-totp",
        "program-owner",
        "/usr/bin/pam-totp",
        repaired=True,
    ),
    Fault(
        "module that others can write",
        f"chmod 664 {MODULES}/pam_totp.so",
        "module-mode",
        "pam_totp.so is writable",
        repaired=True,
    ),
    Fault(
        "module's owner",
        f"chown bob {MODULES}/pam_totp.so",
        "module-owner",
        "pam_totp.so is owned",
        repaired=True,
    ),
    Fault(
        "service that others can write",
        f"chmod 666 {PAM}/sudo",
        "pam-service-mode",
        f"{PAM}/sudo is writable",
        repaired=True,
    ),
    Fault(
        "service's owner", f"chown bob {PAM}/su", "pam-service-owner", f"{PAM}/su", repaired=True
    ),
    Fault(
        "sshd's settings that others can write",
        f"chmod 666 {DROP_IN}",
        "sshd-settings-mode",
        DROP_IN,
        repaired=True,
    ),
    Fault(
        "folder of the settings",
        "chmod 777 /etc/pam-totp",
        "settings-folder",
        "/etc/pam-totp",
        repaired=True,
    ),
    Fault("owner of the settings", f"chown bob {CONFIG}", "settings-owner", CONFIG, repaired=True),
    Fault(
        "settings that others can write",
        f"chmod 666 {CONFIG}",
        "settings-mode",
        CONFIG,
        repaired=True,
    ),
    Fault(
        "folder above",
        "chmod 777 /etc",
        "parent-mode",
        "/etc is writable",
        also("settings-folder"),
        repaired=True,
    ),
    Fault(
        "records' owner",
        f"chown bob {VAR}/enforced/*",
        "state-owner",
        "(and 1 more) is owned by another user",
        repaired=True,
    ),
    Fault(
        "folder of the state that others can write",
        f"chmod 777 {VAR}",
        "state-mode",
        f"{VAR} is writable",
        also("undetermined", "last-good-unusable"),
        repaired=True,
    ),
    Fault("folder of the state that is open", f"chmod 755 {VAR}", "state-open", VAR, repaired=True),
    Fault(
        "a link for a record",
        f"ln -s /etc/passwd {VAR}/enforced/{ALICE}0",
        "state-link",
        "is a symbolic link",
        also("record-without-user"),
    ),
    Fault(
        "folder for minutes that others can write",
        f"chmod 777 {RUN}",
        "runtime-state-mode",
        f"{RUN} is writable",
        also("last-good-unusable"),
        repaired=True,
    ),
)
