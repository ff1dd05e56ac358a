# SPDX-License-Identifier: MIT
"""pam-totp: a verification code after the system password."""

VERSION = "0.1.0"
