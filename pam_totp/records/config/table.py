# SPDX-License-Identifier: MIT
"""The settings: for each key its default, the kind of its value, and what that kind allows.

From this table come what reads the file (pam_totp.records.config.reader), the settings of a login,
and, with the descriptions in scripts/describe-settings, config/config.yaml and the keys in the
manual. A login needs only the defaults, so this file imports nothing.
"""

# KEY: (default as the snapshot keeps it, kind, what it allows...). A message allows the
# placeholders that its default has.
SETTINGS: dict[str, tuple[str, ...]] = {
    "issuer": ("", "label"),
    "store": ("user", "choice", "user", "system", "postgresql"),
    "code.digits": ("6", "choice", "6", "7", "8"),
    "code.period": ("30", "choice", "15", "30", "60"),
    "code.algorithm": ("SHA1", "choice", "SHA1", "SHA256", "SHA512"),
    "code.window": ("1", "number", "0", "5"),
    "throttle.free_tries": ("5", "number", "1", "20"),
    "throttle.first_wait": ("30", "number", "1", "900"),
    "throttle.longest_wait": ("900", "number", "30", "900"),
    "enrollment": ("optional", "mode", "optional", "required", "at-login"),
    "enrollment_services": ("", "services"),
    "enrollment_qr": ("both", "choice", "both", "dark", "light", "off"),
    "remember": ("0", "duration", "24"),
    "send.sms": ("gammu", "program", "gammu"),
    "send.mail": ("sendmail", "program", "sendmail"),
    "send.user_limit": ("10", "number", "1", "100"),
    "send.host_limit": ("300", "number", "1", "3000"),  # as many as a record holds
    "messages.wait": ("Too many incorrect codes. Try again in {seconds} seconds.", "message"),
    "messages.not_enrolled": (
        "A code is required, but you have not enrolled. Contact your administrator.",
        "message",
    ),
    "messages.deadline": (
        "A code will be required from {date} ({days} days left). Run: pam-totp enroll",
        "message",
    ),
    "messages.enroll": ("Scan a QR code with an authenticator app, or type in the key:", "message"),
    "messages.code": ("{code} is your verification code for {host}.", "message"),
    "messages.sent": ("A code is on its way to {address}.", "message"),
    "messages.not_sent": ("No code could be sent. Try again later.", "message"),
    "messages.send": ("To have a code sent to {address}, enter {method}.", "message"),
}
DEFAULTS = {key: row[0] for key, row in SETTINGS.items()}
