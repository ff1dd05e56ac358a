# SPDX-License-Identifier: MIT
"""Services whose people sit at another machine. Pure."""

# A security key or a fingerprint reader of this machine is in front of somebody else.
OVER_THE_NETWORK = (
    *("sshd", "cockpit", "xrdp-sesman", "remote", "rlogin", "rsh", "telnet", "nx", "x2goserver"),
)


def is_over_the_network(name: str) -> bool:
    """A second sshd has a service of its own, which is usually called sshd-SOMETHING."""
    return name in OVER_THE_NETWORK or name.startswith("sshd")
