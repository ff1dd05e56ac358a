# SPDX-License-Identifier: MIT
"""The hashes of TOTP (RFC 6238), as they are compiled into the interpreter. Pure."""

import sys
from _sha1 import sha1

if sys.version_info >= (3, 12):
    from _sha2 import sha256, sha512
else:
    from _sha256 import sha256
    from _sha512 import sha512

# Name in the otpauth URI: (hash, its block size in bytes; RFC 2104 and FIPS 180-4).
ALGORITHMS = {"SHA1": (sha1, 64), "SHA256": (sha256, 64), "SHA512": (sha512, 128)}
