# SPDX-License-Identifier: MIT
"""The settings of the store's cluster, as files below /etc/postgresql: what they say, and writing
them. Each begins with FIRST_LINE; one of ours that an administrator edited is left as it is."""

import os
import pwd
import re

from pam_totp import repair
from pam_totp.errors import Error
from pam_totp.fleet.cluster import Cluster
from pam_totp.records.storage.state_dir import replace_all

FIRST_LINE = "# Written by `pam-totp store`.\n"
SETTINGS, ACCESS, NAMES = "conf.d/pam-totp.conf", "pg_hba.conf", "pg_ident.conf"
STANDBY = "conf.d/pam-totp-standby.conf"  # how a standby server connects to the primary
CERTIFICATE, KEY = "server.crt", "server.key"
MODE = 0o640
_LISTEN = re.compile(r"^listen_addresses = '([^']*)'$", re.MULTILINE)

# Hosts come with TLS and a password alone, whose proof is bound to the certificate that they see.
ACCESS_TEXT = f"""{FIRST_LINE}\
# root and postgres on this machine; login hosts; standby servers. Nothing else may connect.
local   all          postgres                     peer map=pam_totp
local   replication  postgres                     peer map=pam_totp
hostssl pam_totp     +totp_host      all          scram-sha-256
hostssl pam_totp     +totp_standby   all          scram-sha-256
hostssl replication  +totp_standby   all          scram-sha-256
"""
NAMES_TEXT = f"{FIRST_LINE}pam_totp  root      postgres\npam_totp  postgres  postgres\n"
SETTINGS_TEXT = """{first}\
# Which addresses login hosts and standby servers connect to.
listen_addresses = '{listen}'
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
password_encryption = 'scram-sha-256'
# Each login host keeps one connection, for up to ten minutes.
max_connections = 600
superuser_reserved_connections = 10
# Who says nothing, or cannot prove what it is, keeps a connection from others for so long.
authentication_timeout = '10s'
# A standby, its slot, and how much it may fall behind before the disk of this server is full.
wal_level = replica
hot_standby = on
max_wal_senders = 10
max_replication_slots = 10
max_slot_wal_keep_size = '8GB'
# What is logged: never a statement's parameters, which hold codes.
log_statement = 'none'
log_min_duration_statement = -1
log_parameter_max_length = 0
log_parameter_max_length_on_error = 0
log_line_prefix = '%m [%p] %q%u@%d '
jit = off
"""
NOTIFY_TEXT = """\
# The store uses no NOTIFY, which every role may, and which fills the disk: 8 GB by default.
max_notify_queue_pages = 64
"""


def settings_text(cluster: Cluster, listen: str) -> str:
    """The settings of the server. listen: addresses, with commas between them."""
    text = SETTINGS_TEXT.format(first=FIRST_LINE, folder=cluster.settings, listen=listen)
    return text + (NOTIFY_TEXT if int(cluster.version) >= 17 else "")


def listening(cluster: Cluster) -> str:
    """The addresses of the file that was written; empty if there is none."""
    found = _LISTEN.search(content_of(cluster, SETTINGS) or "")
    return found[1] if found else ""


def is_ours(cluster: Cluster, name: str) -> bool:
    """Whether the file was written by `pam-totp store`, perhaps edited since."""
    return (content_of(cluster, name) or "").startswith(FIRST_LINE)


def with_addresses(cluster: Cluster, listen: str) -> str:
    """The file of settings with other addresses; what was edited in it stays."""
    return _LISTEN.sub(f"listen_addresses = '{listen}'", content_of(cluster, SETTINGS) or "")


def content_of(cluster: Cluster, name: str) -> str | None:
    """None where there is no such file. Raises Error."""
    path = f"{cluster.settings}/{name}"
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as failure:
        raise Error(f"{path}: {failure.strerror}", f"ls -l {path}") from None


def write(cluster: Cluster, *files: tuple[str, bytes, int]) -> None:
    """Each a name, a content and a mode, for the user postgres: all of one folder at once, and
    durably. Raises Error."""
    path = f"{cluster.settings}/{os.path.dirname(files[0][0])}".rstrip("/")
    modes = {os.path.basename(name): mode for name, _, mode in files}
    contents = [(os.path.basename(name), content) for name, content, _ in files]
    try:
        owner = pwd.getpwnam("postgres")
        os.makedirs(path, 0o755, exist_ok=True)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:

            def give(temporary: str, name: str) -> None:
                os.chown(temporary, owner.pw_uid, owner.pw_gid, dir_fd=folder)
                os.chmod(temporary, modes[name], dir_fd=folder)

            replace_all(folder, contents, give)
        finally:
            os.close(folder)
    except KeyError:
        raise Error("there is no user postgres", "apt-get install postgresql") from None
    except OSError as failure:
        fault, hint = repair.split(failure.strerror or str(failure), path)
        raise Error(f"cannot write in {path}: {fault}", hint) from None
