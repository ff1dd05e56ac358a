# SPDX-License-Identifier: MIT
"""Real servers that ask PAM from a process with children: vsftpd, saslauthd and nginx."""

import base64
import contextlib
import ftplib
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.ssh_server import free_port

SECONDS_TO_START, SECONDS_TO_ANSWER = 10, 20
SASL_FOLDER = Path("/run/saslauthd-test")
FTP_SETTINGS = """\
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
anonymous_enable=NO
local_enable=YES
pam_service_name=vsftpd
delay_failed_login=0
secure_chroot_dir=/run/vsftpd-empty
"""
# The worker is root's, so that it may read shadow and keep the records of every user.
HTTP_SETTINGS = """\
load_module /usr/lib/nginx/modules/ngx_http_auth_pam_module.so;
daemon off;
user root;
worker_processes 1;
pid /run/nginx-test.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        auth_pam "server";
        auth_pam_service_name "nginx";
        location / {{
            root /var/www-test;
        }}
    }}
}}
"""


class Daemon:
    """A server in the foreground, its PAM service, and one login to it."""

    service = ""

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command, start_new_session=True
        )  # saslauthd ends its group
        deadline = time.monotonic() + SECONDS_TO_START
        while not self._is_ready():
            assert self._process.poll() is None, f"{command[0]} did not start"
            assert time.monotonic() < deadline, f"{command[0]} does not answer"
            time.sleep(0.05)

    def _is_ready(self) -> bool:
        raise NotImplementedError

    def accepts(self, user: User, typed: str) -> bool:
        raise NotImplementedError

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class FtpServer(Daemon):
    service = "vsftpd"

    def __init__(self) -> None:
        Path("/run/vsftpd-empty").mkdir(exist_ok=True)
        self.port = free_port()
        settings = Path("/etc/vsftpd-test.conf")
        settings.write_text(FTP_SETTINGS.format(port=self.port), encoding="ascii")
        super().__init__(["/usr/sbin/vsftpd", str(settings)])

    def _connection(self) -> ftplib.FTP:
        connection = ftplib.FTP(timeout=SECONDS_TO_ANSWER)
        connection.connect("127.0.0.1", self.port)
        return connection

    def _is_ready(self) -> bool:
        with contextlib.suppress(OSError), self._connection():
            return True
        return False

    def accepts(self, user: User, typed: str) -> bool:
        with self._connection() as connection:
            try:
                connection.login(user.name, typed)
            except ftplib.error_perm as refusal:
                assert str(refusal).startswith("530")
                return False
            return connection.pwd() == str(user.home)


class SaslServer(Daemon):
    service = "imap"

    def __init__(self) -> None:
        SASL_FOLDER.mkdir(mode=0o755, exist_ok=True)
        super().__init__(["/usr/sbin/saslauthd", "-a", "pam", "-d", "-m", str(SASL_FOLDER)])

    def _is_ready(self) -> bool:
        return (SASL_FOLDER / "mux").exists()

    def accepts(self, user: User, typed: str) -> bool:
        done = subprocess.run(
            [
                *("/usr/sbin/testsaslauthd", "-u", user.name, "-p", typed, "-s", self.service),
                *("-f", str(SASL_FOLDER / "mux")),
            ],
            capture_output=True,
            text=True,
            timeout=SECONDS_TO_ANSWER,
        )
        assert done.stdout.startswith(('0: OK "Success."', '0: NO "authentication failed"'))
        return done.returncode == 0


class WebServer(Daemon):
    service = "nginx"

    def __init__(self) -> None:
        folder = Path("/var/www-test")
        folder.mkdir(exist_ok=True)
        (folder / "index.html").write_text("inside", encoding="ascii")
        self.port = free_port()
        settings = Path("/etc/nginx-test.conf")
        settings.write_text(HTTP_SETTINGS.format(port=self.port), encoding="ascii")
        super().__init__(["/usr/sbin/nginx", "-c", str(settings)])

    def _status(self, headers: dict[str, str]) -> int:
        # The page itself: nginx asks PAM once more for the index that a folder leads to.
        url = f"http://127.0.0.1:{self.port}/index.html"
        page = urllib.request.Request(url, headers=headers)
        try:
            with urllib.request.urlopen(page, timeout=SECONDS_TO_ANSWER) as answer:
                assert answer.read() == b"inside"
                return 200
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    def _is_ready(self) -> bool:
        with contextlib.suppress(urllib.error.URLError):
            return self._status({}) == 401
        return False

    def accepts(self, user: User, typed: str) -> bool:
        encoded = base64.b64encode(f"{user.name}:{typed}".encode()).decode("ascii")
        status = self._status({"Authorization": f"Basic {encoded}"})
        assert status in (200, 401)
        return status == 200


@pytest.fixture
def start_daemon() -> Iterator[Callable[[Callable[[], Daemon]], Daemon]]:
    """`start_daemon(FtpServer)`, once /etc/pam.d is as the test wants it."""
    daemons: list[Daemon] = []

    def start(kind: Callable[[], Daemon]) -> Daemon:
        daemons.append(kind())
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.stop()
