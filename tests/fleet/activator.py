# SPDX-License-Identifier: MIT
"""What systemd does for an agent: holds its socket, and starts it whenever somebody connects.

    /usr/bin/python3 -IS activator.py SOCKET COMMAND...

A connection that no agent has accepted yet waits for the next one. (systemd-socket-activate of
Debian 12 gives its socket away with the first agent.)
"""

import os
import select
import socket
import sys

FIRST_DESCRIPTOR = 3  # sd_listen_fds(3)


def main(path: str, command: list[str]) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{path}.new")
    os.chmod(f"{path}.new", 0o600)
    listener.listen(128)
    os.rename(f"{path}.new", path)  # who sees it can connect
    while True:
        select.select([listener], [], [])
        agent = os.fork()
        if agent == 0:
            os.dup2(listener.fileno(), FIRST_DESCRIPTOR)
            os.set_inheritable(FIRST_DESCRIPTOR, True)
            os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
            os.execvp(command[0], command)
        os.waitpid(agent, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
