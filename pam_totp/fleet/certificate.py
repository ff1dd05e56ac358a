# SPDX-License-Identifier: MIT
"""The server's own certificate. Hosts bind the proof of their password to it, so nobody has to sign
it. Each server has its own, outside of the data directory, so no backup holds its key.

It is never Ed25519: OpenSSL names no digest for that, and with `channel_binding=require` no client
could connect.
"""

import os
import tempfile

from pam_totp.errors import Error
from pam_totp.fleet import server_files
from pam_totp.fleet.cluster import Cluster
from pam_totp.fleet.programs import run

DAYS = 3650
OPENSSL = "/usr/bin/openssl"


def make_if_missing(cluster: Cluster, name: str) -> bool:
    """Makes key and certificate for a server of this name unless both are there; whether it did.
    Raises Error."""
    paths = [f"{cluster.settings}/{each}" for each in (server_files.KEY, server_files.CERTIFICATE)]
    if all(os.path.exists(path) for path in paths):
        return False
    # In memory: the key is on the disk under its own name alone.
    with tempfile.TemporaryDirectory(dir="/run") as folder:
        key, certificate = f"{folder}/key", f"{folder}/certificate"
        run(
            [
                *(OPENSSL, "req", "-x509", "-nodes", "-days", str(DAYS), "-subj", f"/CN={name}"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
                *("-addext", f"subjectAltName=DNS:{name}"),
                *("-keyout", key, "-out", certificate),
            ],
            "apt-get install openssl",
            folder=folder,
        )
        contents = [_read(path) for path in (key, certificate)]
    server_files.write(
        cluster,
        (server_files.KEY, contents[0], 0o600),
        (server_files.CERTIFICATE, contents[1], 0o644),
    )
    return True


def kind_of_key(path: str) -> str:
    """Of a certificate, as OpenSSL names it: "id-ecPublicKey", "ED25519". Raises Error."""
    text = run([OPENSSL, "x509", "-in", path, "-noout", "-text"], f"ls -l {path}")
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line.startswith("Public Key Algorithm:")]
    return found[0].partition(": ")[2] if found else ""


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as failure:
        raise Error(f"{path}: {failure.strerror}", "apt-get install openssl") from None
