# SPDX-License-Identifier: MIT
"""Files of other programs, one module a format: bytes in, what they hold or why not out. Pure."""
