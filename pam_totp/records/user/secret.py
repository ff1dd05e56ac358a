# SPDX-License-Identifier: MIT
"""The secret file: one credential a line (pam_totp.rules.credential). Never changed by a login.

SecretDir.credentials reads it.
"""

from pam_totp.records.storage.secret_dir import SECRET

NAME = SECRET
HEADER = "# pam-totp: one credential a line, an otpauth URI and then the device's name.\n"
