# SPDX-License-Identifier: MIT
"""What can be wrong with users, records, disks and settings (see faults.py)."""

from tests.doctor.faults import (
    ALICE,
    BOB,
    CONFIG,
    PAM,
    RECOVERY,
    RUN,
    SECRET,
    VAR,
    Fault,
    also,
)
from tests.doctor.world import MODULES

THIS_BOOT = "$(cat /proc/sys/kernel/random/boot_id)"
WATCHER = f"{VAR}/changes/1/watcher"
WATCHED = (
    f"flock {WATCHER} sleep 100 >/dev/null 2>&1 </dev/null &"
    f" while flock --nonblock {WATCHER} true; do sleep 0.1; done"
)

# bob, to whom codes can be sent, and a rule that has them sent to him alone.
REACHED = (
    "sed -i 's/rules: \\[/&{user: bob, service: sshd, code: required, methods: [totp, sms]}, /'"
    f" {CONFIG};"
    f" install -d -m 700 {VAR}/contacts;"
    f" printf 'pam-totp contacts 1 bob\\nsms +491701234567 1\\n' >{VAR}/contacts/{BOB}; "
)
WAITING = "cd /var/spool/gammu/outbox; mount -t tmpfs tmpfs .; cd $PWD; touch -d "


def trial(boot: str, deadline: int) -> str:
    """Plants the fields of a record (pam_totp/setup/record.py) that say who may still keep it."""
    record = '{"number": 1, "change": {"services": ["sshd"]}, "boot": "%s", "deadline": %s}'
    written = f"printf '{record}' {boot} {deadline} >{VAR}/changes/current"
    return f"install -d -m 700 {VAR}/changes/1; {written}; "


USERS = (
    Fault(
        "a secret that others can read",
        f"chmod 644 {SECRET}",
        "secret-mode",
        "alice",
        repaired=True,
    ),
    Fault(
        "a secret of another user", f"chown bob {SECRET}", "secret-owner", "alice", repaired=True
    ),
    Fault(
        "a folder that others can write",
        "chmod 777 /home/alice/.config",
        "secret-folder-writable",
        "/home/alice/.config is writable",
        repaired=True,
    ),
    Fault("a secret that is gone", f"rm {SECRET}", "secret-missing", "alice"),
    Fault("a home that is gone", "rm -r /home/bob", "home-missing", "bob"),
    Fault(
        "a home that is not mounted",
        "rm -r /home/bob; mkdir -m 755 /home/bob",
        "home-not-mounted",
        "bob: /home/bob is owned by user id 0",
    ),
    Fault(
        "a secret of another program",
        f"printf 'ABCDEFGHIJKLMNOP\\n\" TOTP_AUTH\\n' >{SECRET}",
        "secret-of-another-program",
        "google-authenticator",
    ),
    Fault("a damaged secret", f"echo otpauth://nothing >{SECRET}", "secret-unusable", "line 1"),
    Fault(
        "a secret in the other store",
        f"install -d -m 700 {VAR}/secrets/alice; mv {SECRET} {VAR}/secrets/alice/secret;"
        f" chown root:root {VAR}/secrets/alice/secret",
        "secret-elsewhere",
        "in the other store",
        repaired=True,
    ),
    Fault(
        "a short secret",
        f"sed -i 's/secret=[A-Z2-7]*/secret=ABCDEFGHIJKLMNOP/' {SECRET}",
        "secret-weak",
        "128 bits: alice",
    ),
    Fault(
        "codes that are shorter than new ones, with a wide window",
        f"printf 'code: {{digits: 8, window: 5}}\\n' >>{CONFIG}",
        "codes-short",
        "6 digits, fewer than code.digits: alice",
    ),
    Fault(
        "no recovery codes",
        f"rm {RECOVERY}",
        "recovery-codes-missing",
        "alice",
        repaired=True,
    ),
    Fault(
        "recovery codes that are almost used up",
        f"install -d -m 700 {VAR}/used; sed -n '2,10p' {RECOVERY} >{VAR}/used/{ALICE};"
        f" chmod 600 {VAR}/used/{ALICE}",
        "recovery-codes-few",
        "alice",
        repaired=True,
    ),
    Fault(
        "damaged recovery codes",
        f"echo x >{RECOVERY}",
        "recovery-unusable",
        "malformed",
        repaired=True,
    ),
    Fault(
        "a damaged record of attempts",
        f"echo nothing >{RUN}/{BOB}; chmod 600 {RUN}/{BOB}",
        "attempts-unusable",
        f"{RUN}/{BOB} is malformed",
        repaired=True,
    ),
    Fault(
        "a damaged record of a token's counter",
        f"sed -i '$s,otpauth://totp/,otpauth://hotp/,;$s,?,?counter=0\\&,' {SECRET};"
        f" install -d -m 700 {VAR}/counters; echo nothing >{VAR}/counters/{ALICE};"
        f" chmod 600 {VAR}/counters/{ALICE}",
        "counters-unusable",
        f"{VAR}/counters/{ALICE} is malformed",
        repaired=True,
    ),
    Fault(
        "a user who must enroll",
        "useradd -m -s /bin/bash carol; sed -i '/^rules/s/^/enrollment: required\\n/;s/rules: \\[/"
        f"rules: [{{user: root, code: never}}, /' {CONFIG}",
        "users-not-enrolled",
        "carol",
    ),
    Fault(
        "an administrator who must enroll",
        "useradd -m -s /bin/bash carol; usermod -aG sudo carol;"
        f" sed -i 's/never}}/&, {{user: carol, code: required}}/' {CONFIG}",
        "administrator-not-enrolled",
        "carol must enter a code at sshd, login, sudo",
        also("users-not-enrolled"),
    ),
    Fault(
        "an administrator by sudoers alone",
        "useradd -m -s /bin/bash dave; echo 'dave ALL=(ALL) ALL' >/etc/sudoers.d/dave;"
        f" sed -i 's/never}}/&, {{user: dave, code: required}}/' {CONFIG}",
        "administrator-not-enrolled",
        "dave",
        also("users-not-enrolled"),
    ),
    Fault(
        "root, who must enroll",
        f"sed -i 's/never}}/&, {{user: root, code: required}}/' {CONFIG}",
        "administrator-not-enrolled",
        "root",
    ),
    Fault(
        "settings of sudo that cannot be read",
        "echo 'no such thing =' >>/etc/sudoers",
        "undetermined",
        "who may use sudo",
    ),
)
RECORDS = (
    Fault(
        "a long grant",
        "pam-totp grant alice --for 10d",
        "grant-long",
        "alice has a grant",
        repaired=True,
    ),
    Fault(
        "a grant that is over",
        f"install -d -m 700 {VAR}/grants; echo 'pam-totp grant 1 1000000 1000060 MANY bob'"
        f" >{VAR}/grants/{BOB}; chmod 600 {VAR}/grants/{BOB}",
        "grant-left-over",
        "ended 1970-01-12",
        repaired=True,
    ),
    Fault(
        "a damaged grant",
        f"install -d -m 700 {VAR}/grants; echo 'for ever' >{VAR}/grants/{BOB};"
        f" chmod 600 {VAR}/grants/{BOB}",
        "grant-malformed",
        "bob",
        also("grant-unusable"),
        repaired=True,
    ),
    Fault(
        "records of a user who is gone",
        f"touch {VAR}/enforced/40404; chmod 600 {VAR}/enforced/40404",
        "record-without-user",
        "enforced/40404",
        repaired=True,
    ),
    Fault(
        "a counter of a user who is gone",
        f"install -d -m 700 {VAR}/counters; touch {VAR}/counters/40404;"
        f" chmod 600 {VAR}/counters/40404",
        "record-without-user",
        "counters/40404",
        repaired=True,
    ),
    Fault(
        "a secret of a user who is gone",
        f"install -d -m 700 {VAR}/secrets/mallory; touch {VAR}/secrets/mallory/secret;"
        f" chmod 600 {VAR}/secrets/mallory/secret",
        "secret-without-user",
        "mallory",
    ),
    Fault(
        "a temporary file",
        f"touch {VAR}/enforced/{ALICE}.new-00; chmod 600 {VAR}/enforced/{ALICE}.new-00",
        "temporary-file",
        "was interrupted",
        repaired=True,
    ),
    Fault(
        "a temporary file beside the settings",
        "install -m 600 /dev/null /etc/pam-totp/store.password.new-0123456789abcdef",
        "temporary-file",
        "/etc/pam-totp/store.password.new-0123456789abcdef",
        repaired=True,
    ),
)
SENDING = (
    Fault(
        "text messages and no gammu-smsd",
        f"{REACHED}{WAITING}'5 minutes ago' $(date +OUTC%s).smsbackup",
        "gammu-smsd-stopped",
        "wait in /var/spool/gammu/outbox: 1, and gammu-smsd does not run",
    ),
    Fault(
        "text messages that gammu-smsd does not send",
        f"{REACHED}{WAITING}'1 hour ago' OUTC1.smsbackup OUTC2.smsbackup;"
        " cp /usr/bin/sleep /etc/gammu-smsd; /etc/gammu-smsd 100 >/dev/null 2>&1 </dev/null &",
        "text-messages-stuck",
        "wait in /var/spool/gammu/outbox: 2, and gammu-smsd runs",
    ),
    Fault(
        "a program that sends, and is not there",
        f"{REACHED}echo 'send: {{sms: /etc/send-it}}' >>{CONFIG}",
        "send-program-missing",
        "there is no /etc/send-it",
    ),
    Fault(
        "a program that sends, and that others can change",
        f"{REACHED}echo 'send: {{sms: /etc/send-it}}' >>{CONFIG};"
        " cp /usr/bin/true /etc/send-it; chmod 755 /etc/send-it; chown bob /etc/send-it",
        "send-program-unsafe",
        "/etc/send-it is owned by user id",
        repaired=True,
    ),
    Fault(
        "a program that sends, and is not executable",
        f"{REACHED}echo 'send: {{sms: /etc/send-it}}' >>{CONFIG};"
        " cp /usr/bin/true /etc/send-it; chmod 644 /etc/send-it",
        "send-program-unsafe",
        "/etc/send-it is not executable",
        repaired=True,
    ),
    Fault(
        "a program that sends, and that is root's alone to run",
        f"{REACHED}echo 'send: {{sms: /etc/send-it}}' >>{CONFIG};"
        " cp /usr/bin/true /etc/send-it; chmod 700 /etc/send-it",
        "send-program-fails",
        "pam-totp-send may not run /etc/send-it",
    ),
    Fault(
        "settings of gammu that root alone can read",
        f"{REACHED}chmod 600 /etc/gammu-smsdrc",
        "send-program-fails",
        "gammu cannot read /etc/gammu-smsdrc",
        repaired=True,
    ),
    Fault(
        "no account that sends",
        f"{REACHED}sed -i s/sms/mail/ {CONFIG} {VAR}/contacts/*; userdel pam-totp-send",
        "send-account-missing",
        "there is no account pam-totp-send",
        repaired=True,
    ),
    Fault(
        "an account that sends, and is root",
        f"{REACHED}usermod -o -u 0 gammu",
        "send-account-of-root",
        "the account gammu",
    ),
    Fault(
        "a contact that is not confirmed",
        f"{REACHED}sed -i 's/ 1$/ 0/' {VAR}/contacts/{BOB}",
        "contact-unconfirmed",
        "no code has come back: bob (sms)",
    ),
    Fault(
        "a contact of a user who is gone",
        f"{REACHED}sed s/bob/carol/ {VAR}/contacts/{BOB} >{VAR}/contacts/40404",
        "contact-without-user",
        "contacts/40404 is of an account that is gone",
        repaired=True,
    ),
    Fault(
        "a contact of a user who had the same id",
        f"{REACHED}sed s/bob/carol/ {VAR}/contacts/{BOB} >{VAR}/contacts/{ALICE}",
        "contact-without-user",
        f"contacts/{ALICE} is of an account that is gone, or has another name now",
        repaired=True,
    ),
    Fault(
        "a damaged contact",
        f"{REACHED}echo junk >{VAR}/contacts/{ALICE}",
        "contacts-unusable",
        f"alice: {VAR}/contacts/{ALICE} is malformed",
        repaired=True,
    ),
    Fault(
        "a temporary file of a contact",
        f"{REACHED}touch {VAR}/contacts/{BOB}.new-00",
        "temporary-file",
        "was interrupted",
        repaired=True,
    ),
)
LEFTOVERS = (
    Fault(
        "a service's new version",
        f"echo '@include common-auth' >{PAM}/sudo.dpkg-dist",
        "new-version-of-service",
        "sudo.dpkg-dist",
    ),
    Fault(
        "a trial",
        trial(THIS_BOOT, 10**9) + WATCHED,
        "trial-running",
        "codes at sshd are on trial",
    ),
    Fault(
        "a trial from before the machine was started",
        trial("an-earlier-one", 10**9) + WATCHED,
        "trial-left-over",
        "sshd was neither kept nor taken back: its command has ended",
    ),
    Fault(
        "a trial whose command and watcher were killed",
        trial(THIS_BOOT, 10**9),
        "trial-left-over",
        "sshd was neither kept nor taken back: its command has ended",
    ),
    Fault(
        "a trial that does not end",
        trial(THIS_BOOT, 1) + WATCHED,
        "trial-left-over",
        "sshd was neither kept nor taken back: its time is over",
    ),
    Fault(
        "a damaged record of a trial",
        f"install -d -m 700 {VAR}/changes; echo '{{' >{VAR}/changes/current",
        "trial-unreadable",
        f"{VAR}/changes/current",
    ),
    Fault(
        "no log",
        "mkdir /etc/dev; cp -a /dev/{null,zero,full,random,urandom,tty} /etc/dev;"
        " mount --bind /etc/dev /dev",
        "log-missing",
        "/dev/log",
    ),
)
DISKS = (
    Fault(
        "no folder for the state",
        "mkdir /etc/lib; mount --bind /etc/lib /var/lib",
        "state-missing",
        f"there is no folder {VAR}",
        also("undetermined", "last-good-unusable"),
    ),
    Fault(
        "state that is lost at a reboot",
        f"mkdir /etc/kept; cp -a {VAR}/. /etc/kept; mount -t tmpfs -o mode=700 tmpfs {VAR};"
        f" cp -a /etc/kept/. {VAR}; rm -r /etc/kept",
        "state-in-memory",
        "in memory",
    ),
    Fault(
        "minutes on a disk",
        f"umount {RUN}; chmod 700 {RUN}; mkdir /etc/kept; mount --bind /etc/kept {RUN}",
        "runtime-state-on-disk",
        "is on a disk",
        repaired=True,
    ),
    Fault(
        "a full disk",
        f"umount {RUN}; mount -t tmpfs -o mode=700,size=1m tmpfs {RUN};"
        f" head -c 1M /dev/zero >{RUN}/1 || true; chmod 600 {RUN}/1",
        "state-full",
        "is full",
    ),
    Fault(
        "a disk without inodes",
        f"umount {RUN}; mount -t tmpfs -o mode=700,nr_inodes=5 tmpfs {RUN}",
        "state-without-inodes",
        "no room for more files",
    ),
    Fault(
        "a read-only disk",
        f"mount -o remount,bind,ro {VAR}",
        "state-read-only",
        "read-only",
    ),
    Fault("a read-only /run", f"mount -o remount,ro {RUN}", "state-read-only", RUN, repaired=True),
)
SETTINGS = (
    Fault(
        "a fault of the settings",
        f"echo 'isuer: x' >>{CONFIG}",
        "settings-fault",
        "isuer",
    ),
    Fault(
        "settings that were removed",
        f"rm {CONFIG}",
        "settings-missing",
        "the last good settings are active",
    ),
    Fault(
        "good settings that are damaged",
        f"install -d -m 700 {VAR}/settings; echo x >{VAR}/settings/last-good;"
        f" chmod 600 {VAR}/settings/last-good",
        "last-good-unusable",
        "last good settings cannot be read",
        repaired=True,
    ),
    Fault(
        "settings that never ask",
        f"echo 'rules: [{{code: never}}]' >{CONFIG}",
        "nobody-asked",
        "no user is ever asked",
    ),
    Fault(
        "a rule for nobody",
        f"sed -i 's/never}}/&, {{user: nosuch, code: required}}/' {CONFIG}",
        "settings-warning",
        "user nosuch does not exist",
    ),
)
AROUND = (
    Fault(
        "SELinux",
        "mount -t tmpfs tmpfs /sys; mkdir -p /sys/fs/selinux; echo 1 >/sys/fs/selinux/enforce",
        "undetermined",
        "SELinux",
    ),
    Fault(
        "AppArmor",
        "mount -t tmpfs tmpfs /sys; mkdir -p /sys/kernel/security/apparmor;"
        " printf 'man_filter (enforce)\\n/usr/sbin/sshd (enforce)\\n/usr/bin/su (complain)\\n'"
        " >/sys/kernel/security/apparmor/profiles",
        "apparmor-confines",
        "confines /usr/sbin/sshd (enforce)",
    ),
    Fault(
        "homes that a login opens",
        f"touch {MODULES}/pam_mount.so; echo 'session optional pam_mount.so' >>{PAM}/login",
        "homes-opened-at-login",
        "pam_mount",
    ),
    Fault(
        "homes that a login makes",
        f"echo 'session optional pam_mkhomedir.so' >>{PAM}/login",
        "homes-made-at-login",
        "pam_mkhomedir",
    ),
)
