# SPDX-License-Identifier: MIT
"""Somebody between a login host and its server, who has a certificate but no password of the host:
whatever is answered, no code is accepted, the password is not told, and the login does not hang."""

import contextlib
import os
import socket
import ssl
import struct
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.records import fleet, fleet_of_commands
from pam_totp.rules.agent_line import ASK_SECONDS
from pam_totp.rules.reasons import STORE_UNAVAILABLE, Failure
from tests.fleet.database import Database, Person
from tests.fleet.login_host import HOST, LoginHost

# Of PostgreSQL's protocol, section 55.7: what an answer to the start of a session may ask for.
DONE, CLEARTEXT, MD5, SASL, SASL_CONTINUE, SASL_FINAL = 0, 3, 5, 10, 11, 12
SECONDS_TO_END = 15
# Its part of a handshake takes some thousandths.
SECONDS_THAT_SHOW_COMPUTING = 0.1
READY = b"Z\x00\x00\x00\x05I"
SSL_REQUEST = struct.pack("!II", 8, 80877103)
ENDLESS = """\
CREATE OR REPLACE FUNCTION totp_api_1.standing(person text, OUT state text, OUT wait_seconds int)
LANGUAGE plpgsql AS $$ BEGIN
  FOR n IN 1 .. 1000000000 LOOP RAISE INFO '%', repeat('x', 8000); END LOOP;
END $$
"""


class Impostor:
    """Answers every connection. heard: what it was sent, beneath TLS."""

    def __init__(self, folder: Path, answer: "Callable[[Impostor, socket.socket], None]") -> None:
        key, certificate = folder / "key", folder / "crt"
        options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9"]
        command = ["openssl", "req", "-x509", *options, "-subj", "/CN=pam-totp"]
        command += ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run(command, check=True, capture_output=True)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = str(self._listener.getsockname()[1])
        self.heard = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            self.hear(peer)
            self._answer(self, peer)

    def hear(self, peer: socket.socket) -> bytes:
        part = peer.recv(65536)
        self.heard += part
        return part

    def with_tls(self, peer: socket.socket) -> ssl.SSLSocket:
        """Says yes to it, and reads which database and user are asked for."""
        peer.sendall(b"S")
        secure = self._context.wrap_socket(peer, server_side=True)
        self.hear(secure)
        return secure

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def authentication(what: int, more: bytes = b"") -> bytes:
    return b"R" + struct.pack("!II", 8 + len(more), what) + more


def no_tls(impostor: Impostor, peer: socket.socket) -> None:
    peer.sendall(b"N")
    peer.sendall(authentication(CLEARTEXT))
    impostor.hear(peer)


def error_in_place_of_tls(_: Impostor, peer: socket.socket) -> None:
    text = b"SFATAL\0MPlease\x1b[31m\ntype your password\0\0"
    peer.sendall(b"E" + struct.pack("!I", 4 + len(text)) + text)


def answers_before_tls(impostor: Impostor, peer: socket.socket) -> None:
    """In one packet with the yes to TLS (CVE-2021-23222)."""
    peer.sendall(b"S" + authentication(DONE) + READY)
    impostor.hear(peer)


def everybody_is_accepted(impostor: Impostor, peer: socket.socket) -> None:
    secure = impostor.with_tls(peer)
    secure.sendall(authentication(DONE) + READY)
    impostor.hear(secure)


def asks_for_the_password(impostor: Impostor, peer: socket.socket) -> None:
    secure = impostor.with_tls(peer)
    secure.sendall(authentication(CLEARTEXT))
    impostor.hear(secure)


def asks_for_an_md5(impostor: Impostor, peer: socket.socket) -> None:
    secure = impostor.with_tls(peer)
    secure.sendall(authentication(MD5, b"salt"))
    impostor.hear(secure)


def no_channel_binding(impostor: Impostor, peer: socket.socket) -> None:
    secure = impostor.with_tls(peer)
    secure.sendall(authentication(SASL, b"SCRAM-SHA-256\0\0"))
    impostor.hear(secure)


def made_up_scram(impostor: Impostor, peer: socket.socket) -> None:
    """It asks for the proof, cannot know whether it is right, and says that it is."""
    secure = impostor.with_tls(peer)
    secure.sendall(authentication(SASL, b"SCRAM-SHA-256-PLUS\0\0"))
    nonce = impostor.hear(secure).rpartition(b"r=")[2]
    first = b"r=" + nonce + b"more,s=" + b64encode(b"salt" * 4) + b",i=4096"
    secure.sendall(authentication(SASL_CONTINUE, first))
    impostor.hear(secure)
    final = b"v=" + b64encode(bytes(32))
    secure.sendall(authentication(SASL_FINAL, final) + authentication(DONE) + READY)
    impostor.hear(secure)


def a_recorded_session(impostor: Impostor, peer: socket.socket) -> None:
    """What a server has said to another connection of this host: of another nonce."""
    secure = impostor.with_tls(peer)
    secure.sendall(authentication(SASL, b"SCRAM-SHA-256-PLUS\0\0"))
    impostor.hear(secure)
    first = b"r=" + b"n" * 24 + b"more,s=" + b64encode(b"salt" * 4) + b",i=4096"
    secure.sendall(authentication(SASL_CONTINUE, first))
    impostor.hear(secure)


def a_byte_in_a_while(impostor: Impostor, peer: socket.socket) -> None:
    peer.sendall(b"S")
    impostor.hear(peer)
    for byte in b"\x16\x03\x03\x7f\xff" + bytes(1000):
        peer.sendall(bytes([byte]))
        time.sleep(0.1)


def bytes_without_end(_: Impostor, peer: socket.socket) -> None:
    peer.sendall(b"S" + bytes(1))
    while True:
        peer.sendall(b"\x14\x03\x03\x00\x01\x01" * 1000)  # records that TLS 1.3 passes over


def iterations_without_end(impostor: Impostor, peer: socket.socket) -> None:
    """To compute the proof would take hours."""
    secure = impostor.with_tls(peer)
    secure.sendall(authentication(SASL, b"SCRAM-SHA-256-PLUS\0\0"))
    nonce = impostor.hear(secure).rpartition(b"r=")[2]
    first = b"r=" + nonce + b"more,s=" + b64encode(b"salt" * 4) + b",i=2000000000"
    secure.sendall(authentication(SASL_CONTINUE, first))
    impostor.hear(secure)


ANSWERS = [
    no_tls,
    error_in_place_of_tls,
    answers_before_tls,
    everybody_is_accepted,
    asks_for_the_password,
    asks_for_an_md5,
    no_channel_binding,
    made_up_scram,
    a_recorded_session,
    a_byte_in_a_while,
    bytes_without_end,
    iterations_without_end,
]


@pytest.fixture
def person(database: Database) -> Person:
    return database.person()


def refusal(person: Person, code: str) -> str:
    """Why the store does not answer."""
    with pytest.raises(Failure) as refused:
        fleet.check(person.name, code, "sshd", "192.0.2.7")
    assert refused.value.reason == STORE_UNAVAILABLE
    return refused.value.detail


@contextlib.contextmanager
def impostor(
    folder: Path,
    login_host: LoginHost,
    answer: Callable[[Impostor, socket.socket], None],
    more: str,
) -> Iterator[Impostor]:
    """In place of the server that this host knows."""
    made = Impostor(folder, answer)
    login_host.configure("127.0.0.1", made.port, more=more)
    login_host.restart()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("more", ["", "channel_binding=require"], ids=["as joined", "by hand"])
@pytest.mark.parametrize("answer", ANSWERS)
def test_who_has_no_verifier_gets_neither_password_nor_code_and_holds_up_nobody(
    login_host: LoginHost,
    person: Person,
    now: float,
    tmp_path: Path,
    answer: Callable[[Impostor, socket.socket], None],
    more: str,
) -> None:
    code = person.code(now)
    with impostor(tmp_path, login_host, answer, more) as found:
        began = time.monotonic()
        detail = refusal(person, code)
        assert time.monotonic() - began < ASK_SECONDS
        assert detail.isprintable()
        assert "answer of pam-totp-agent" not in detail and "timed out" not in detail
        # And the one who asks next.
        assert refusal(person, code)
        assert login_host.database.passwords[HOST].encode() not in found.heard
        assert code.encode() not in found.heard
    login_host.configure()
    login_host.restart()
    assert fleet.check(person.name, code, "sshd", "192.0.2.7").accepted


def test_who_passes_all_on_to_the_server_is_noticed(
    login_host: LoginHost, person: Person, now: float, tmp_path: Path
) -> None:
    """The proof is bound to the certificate that the host saw, and the server has another one."""
    database = login_host.database

    def pass_on(impostor: Impostor, peer: socket.socket) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection((database.address, database.port)) as plain:
            plain.sendall(SSL_REQUEST)
            assert plain.recv(1) == b"S"
            server = context.wrap_socket(plain)
            peer.sendall(b"S")
            host = impostor._context.wrap_socket(peer, server_side=True)
            back = threading.Thread(target=copy, args=(server, host), daemon=True)
            back.start()
            while part := impostor.hear(host):
                server.sendall(part)

    with impostor(tmp_path, login_host, pass_on, "") as found:
        assert "channel binding" in refusal(person, person.code(now))
        assert b"p=tls-server-end-point" in found.heard


def copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)


def test_a_server_that_sends_without_end_is_given_up_in_time(
    login_host: LoginHost, person: Person, now: float
) -> None:
    """Notices that say nothing of a fault, each in time: the whole is not."""
    before = login_host.database.value("SELECT pg_get_functiondef('totp_api_1.standing'::regproc)")
    login_host.database.admin.execute(ENDLESS)
    try:
        assert fleet_of_commands.info().store
        began = time.monotonic()
        with pytest.raises(Failure, match="sends more than"):
            fleet.standing(person.name)
        assert time.monotonic() - began < ASK_SECONDS
    finally:
        login_host.database.admin.execute(before)


def seconds_of_processor(pid: int) -> float:
    """That a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_server_beside_one_that_keeps_libpq_computing_is_reached(
    login_host: LoginHost, person: Person, now: float, tmp_path: Path
) -> None:
    """As where a second server is gone, and somebody has its address. The server answers when libpq
    computes already: before that, the other would be given up, and nothing need end."""
    database = login_host.database
    is_asked = threading.Event()
    agents: list[subprocess.Popen[bytes]] = []

    def keep_computing(impostor: Impostor, peer: socket.socket) -> None:
        agents.append(agent)
        is_asked.set()
        iterations_without_end(impostor, peer)

    def pass_on_when_it_computes(_: Impostor, peer: socket.socket) -> None:
        is_asked.wait()
        asked = agents[-1].pid
        before = seconds_of_processor(asked)
        while seconds_of_processor(asked) - before < SECONDS_THAT_SHOW_COMPUTING:
            time.sleep(0.01)
        with socket.create_connection((database.address, database.port)) as server:
            server.sendall(SSL_REQUEST)
            threading.Thread(target=copy, args=(server, peer), daemon=True).start()
            copy(peer, server)

    found = Impostor(tmp_path, keep_computing)
    relay = Impostor(tmp_path, pass_on_when_it_computes)
    login_host.configure("127.0.0.1,127.0.0.1", f"{found.port},{relay.port}")
    agent = login_host.restart()
    try:
        assert fleet.check(person.name, person.code(now), "sshd", "192.0.2.7").accepted
        # Nothing else ends what libpq computes. systemd starts the next one.
        assert agent.wait(SECONDS_TO_END) == 0
        is_asked.clear()
        agent = login_host.restart()
        assert fleet.check(person.name, person.code(now, 1), "sshd", "192.0.2.7").accepted
    finally:
        found.close()
        relay.close()
