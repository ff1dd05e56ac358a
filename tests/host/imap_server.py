# SPDX-License-Identifier: MIT
"""Dovecot's IMAP server on the host's loopback: it asks PAM, and its clients know one password."""

import imaplib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.ssh_server import free_port

DOVECOT = "/usr/sbin/dovecot"
LOG = Path("/var/log/dovecot-test.log")
SETTINGS = Path("/etc/dovecot/dovecot-test.conf")
SECONDS_TO_START, SECONDS_TO_ANSWER = 10, 30
# Without the waits after refusals: a code would be over before the next try.
BASE = """\
base_dir = /run/dovecot-test
listen = 127.0.0.1
log_path = {log}
ssl = no
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
userdb passwd {{
  driver = passwd
}}
passdb pam {{
  driver = pam
}}
service imap-login {{
  inet_listener imap {{
    port = {port}
  }}
}}
"""
BEFORE_2_4 = """\
protocols = imap
disable_plaintext_auth = no
mail_location = maildir:~/mail
"""
SINCE_2_4 = """\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols {
  imap = yes
}
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = ~/mail
"""


class ImapServer:
    """One Dovecot in the foreground; its PAM service is `dovecot`."""

    def __init__(self) -> None:
        self.port = free_port()
        version = subprocess.run([DOVECOT, "--version"], capture_output=True, text=True).stdout
        older = version.startswith(("2.2", "2.3"))
        settings = BASE.format(log=LOG, port=self.port)
        if older:
            settings = settings.replace("db passwd {", "db {").replace("db pam {", "db {")
        SETTINGS.write_text((BEFORE_2_4 if older else SINCE_2_4) + settings, encoding="ascii")
        self._process = subprocess.Popen([DOVECOT, "-F", "-c", str(SETTINGS)])
        deadline = time.monotonic() + SECONDS_TO_START
        while self._greets() is None:
            assert self._process.poll() is None, f"dovecot did not start:\n{self.log()}"
            assert time.monotonic() < deadline, f"dovecot does not greet:\n{self.log()}"
            time.sleep(0.05)

    def _greets(self) -> imaplib.IMAP4 | None:
        try:
            return imaplib.IMAP4("127.0.0.1", self.port, timeout=SECONDS_TO_ANSWER)
        except (OSError, imaplib.IMAP4.abort):
            return None

    def log(self) -> str:
        return LOG.read_text(encoding="utf-8", errors="backslashreplace") if LOG.exists() else ""

    def accepts(self, user: User, password: str) -> bool:
        """Whether a mail program with this password gets to see the user's mailboxes."""
        client = self._greets()
        assert client is not None, self.log()
        with client:
            try:
                client.login(user.name, password)
            except imaplib.IMAP4.error as error:
                assert "Authentication failed" in str(error), self.log()
                return False
            return client.list()[0] == "OK"

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=10)


@pytest.fixture
def start_imap_server() -> Iterator[Callable[[], ImapServer]]:
    """`start_imap_server()`: one, once /etc/pam.d is as the test wants it."""
    servers: list[ImapServer] = []

    def start() -> ImapServer:
        servers.append(ImapServer())
        return servers[-1]

    yield start
    for server in servers:
        server.stop()
