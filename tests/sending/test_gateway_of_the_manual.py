# SPDX-License-Identifier: MIT
"""The program for a web service, as pam-totp.yaml(5) has it: with a real curl and a real server."""

import http.server
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.accounts import User
from tests.host.programs import ACCEPTED
from tests.host.system_log import SystemLog
from tests.sending.application import Application
from tests.sending.outbox import NUMBER, forget_limits, gateway, give_contact

MANUAL = Path(__file__).resolve().parents[2] / "pam_totp" / "manual" / "pam-totp.yaml.5.scd"
SETTINGS = Path("/etc/send-sms.conf")
EXAMPLES = MANUAL.read_text().split("```\n")[1::2]
(PROGRAM,) = (each.removeprefix("#!/bin/sh\n") for each in EXAMPLES if "--json @-" in each)
(TOLD,) = (each for each in EXAMPLES if each.startswith("url = "))


class Server(http.server.ThreadingHTTPServer):
    """Keeps what is posted to it: path, headers and content."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, str], str]] = []
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.posted.append((self.path, dict(self.headers), content))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass  # to standard error otherwise


@pytest.fixture
def server() -> Iterator[Server]:
    """The one that the program's settings name."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            here = f"http://127.0.0.1:{running.server_port}"
            SETTINGS.write_text(TOLD.replace("https://sms.example.org", here))
            SETTINGS.chmod(0o640)
            shutil.chown(SETTINGS, "root", "pam-totp-send")
            yield running
        finally:
            running.shutdown()
            thread.join()
            SETTINGS.unlink(missing_ok=True)


def test_program_of_the_manual_hands_a_code_to_a_web_service(
    user: User, server: Server, syslog: SystemLog
) -> None:
    forget_limits()
    give_contact(user, ("sms", NUMBER))
    with gateway(PROGRAM), Application(user) as application:
        application.gate()
        syslog.wait_for(f"reason=sent-code user={user.name} ")
        until = time.monotonic() + 10
        while not server.posted and time.monotonic() < until:
            time.sleep(0.02)
        ((path, headers, content),) = server.posted
        found = json.loads(content)
        assert (path, headers["Authorization"]) == ("/send", "Bearer TOKEN")
        assert headers["Content-Type"] == "application/json"
        assert found["to"] == NUMBER
        assert application.verify(found["code"]).code == ACCEPTED


def test_what_curl_has_to_say_is_logged(user: User, server: Server, syslog: SystemLog) -> None:
    forget_limits()
    give_contact(user, ("sms", NUMBER))
    SETTINGS.write_text(SETTINGS.read_text().replace("/send", ":x/send"))
    with gateway(PROGRAM), Application(user) as application:
        application.gate()
        line = syslog.wait_for(f"reason=send-failed user={user.name} ")
    assert "gateway failed: exit code 3 (curl: (3) " in line.message
