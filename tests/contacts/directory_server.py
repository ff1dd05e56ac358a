# SPDX-License-Identifier: MIT
"""A directory that this host uses: a real slapd, and the real SSSD with its InfoPipe on a bus."""

import base64
import itertools
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from tests.host.accounts import User
from tests.host.ssh_server import free_port
from tests.trial.change_host import wait_until

SUFFIX = "dc=example,dc=org"
ROOT_DN, PASSWORD = f"cn=admin,{SUFFIX}", "secret"
SLAPD_CONF, SSSD_CONF = Path("/etc/ldap/test.conf"), Path("/etc/sssd/sssd.conf")
SWITCH = Path("/etc/nsswitch.conf")
SLAPD = f"""\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
modulepath /usr/lib/ldap
moduleload back_mdb
sockbuf_max_incoming_auth 16777216
database mdb
suffix {SUFFIX}
rootdn {ROOT_DN}
rootpw {PASSWORD}
directory /var/lib/ldap-test
access to * by * read
"""
TREE = f"""\
dn: {SUFFIX}
objectClass: dcObject
objectClass: organization
dc: example
o: example
"""
# What pam-totp(1) says, and what any host that uses a directory has.
TOLD = "[ifp]\nuser_attributes = +mobile, +mail\n", "ldap_user_extra_attrs = mobile\n"
SSSD = """\
[sssd]
services = nss, ifp
domains = example.org
{ifp}
[domain/example.org]
id_provider = ldap
ldap_uri = {uri}
ldap_search_base = {suffix}
ldap_id_use_start_tls = false
entry_cache_timeout = 1
offline_timeout = 1
{extra}
"""
SECONDS = 30
Process: TypeAlias = "subprocess.Popen[bytes]"


class DirectoryServer:
    """Both, and the people in it. Each test has its own: what SSSD remembers of nobody is true."""

    def __init__(self, uri: str, slapd: Process) -> None:
        self.uri, self.slapd = uri, slapd
        self._numbers = itertools.count(30001)

    def person(
        self,
        *,
        mobile: tuple[str, ...] = (),
        mail: tuple[str, ...] = (),
        name: str = "",
        uid: int = 0,
    ) -> User:
        """A new one, with these values."""
        uid = uid or next(self._numbers)
        user = User(name or f"dora{uid - 30000}", "", uid, uid, Path("/nonexistent"))
        lines = [f"dn: uid={user.name},{SUFFIX}", "objectClass: inetOrgPerson"]
        lines += ["objectClass: posixAccount", f"uid: {user.name}", "cn: Dora", "sn: D"]
        lines += [f"uidNumber: {uid}", f"gidNumber: {uid}", f"homeDirectory: {user.home}"]
        for attribute, values in (("mobile", mobile), ("mail", mail)):
            lines += [f"{attribute}:: {base64.b64encode(v.encode()).decode()}" for v in values]
        self.change("\n".join(lines), "-a")
        return user

    def group(self, name: str, *members: User) -> None:
        lines = [f"dn: cn={name},{SUFFIX}", "objectClass: posixGroup", f"cn: {name}"]
        lines += [f"gidNumber: {next(self._numbers)}", *(f"memberUid: {m.name}" for m in members)]
        self.change("\n".join(lines), "-a")

    def replace(self, user: User, attribute: str, value: str) -> None:
        """Also waits until SSSD looks again."""
        lines = [f"dn: uid={user.name},{SUFFIX}", "changetype: modify"]
        self.change("\n".join([*lines, f"replace: {attribute}", f"{attribute}: {value}"]))
        time.sleep(2)

    def change(self, ldif: str, *options: str) -> None:
        command = ["ldapmodify", "-x", "-H", self.uri, "-D", ROOT_DN, "-w", PASSWORD, *options]
        subprocess.run(command, input=ldif + "\n", check=True, text=True, stdout=subprocess.DEVNULL)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """It takes connections, and does not answer."""
        self.slapd.send_signal(signal.SIGSTOP)
        time.sleep(1.1)  # until SSSD has to ask
        try:
            yield
        finally:
            self.slapd.send_signal(signal.SIGCONT)


@contextmanager
def started(command: list[str], is_ready: Callable[[], bool]) -> Iterator[Process]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(is_ready, SECONDS)
        assert process.poll() is None, f"{command[0]} ended"
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait(SECONDS)


@contextmanager
def bus() -> Iterator[None]:
    socket = Path("/run/dbus/system_bus_socket")
    socket.parent.mkdir(exist_ok=True)
    with started(["dbus-daemon", "--system", "--nofork", "--nopidfile"], socket.exists):
        yield
    socket.unlink(missing_ok=True)


@contextmanager
def sssd(uri: str, ifp: str = TOLD[0], extra: str = TOLD[1]) -> Iterator[None]:
    """With these lines of [ifp], and of the domain."""
    for path in Path("/var/lib/sss/db").iterdir():
        path.unlink()
    SSSD_CONF.write_text(SSSD.format(ifp=ifp, uri=uri, suffix=SUFFIX, extra=extra))
    SSSD_CONF.chmod(0o600)
    pipe = Path("/var/lib/sss/pipes/nss")
    pipe.unlink(missing_ok=True)
    with started(["/usr/sbin/sssd", "-i"], pipe.exists):
        yield
    SSSD_CONF.unlink()


@contextmanager
def names_of_the_directory() -> Iterator[None]:
    """Are users of this host."""
    before = SWITCH.read_text()
    lines = before.splitlines()
    others = [line for line in lines if not line.startswith(("passwd:", "group:"))]
    SWITCH.write_text("\n".join([*others, "passwd: files sss", "group: files sss", ""]))
    try:
        yield
    finally:
        SWITCH.write_text(before)


@contextmanager
def slapd() -> Iterator[DirectoryServer]:
    uri = f"ldap://127.0.0.1:{free_port()}"
    folder = Path("/var/lib/ldap-test")
    folder.mkdir(exist_ok=True)
    SLAPD_CONF.write_text(SLAPD)
    subprocess.run(["slapadd", "-f", SLAPD_CONF], input=TREE, check=True, text=True)

    def answers() -> bool:
        asked = ["ldapsearch", "-x", "-H", uri, "-b", "", "-s", "base"]
        return subprocess.run(asked, capture_output=True).returncode == 0

    with started(["slapd", "-f", str(SLAPD_CONF), "-h", uri, "-d", "0"], answers) as process:
        yield DirectoryServer(uri, process)
    for path in (*folder.iterdir(), SLAPD_CONF):
        path.unlink()


@contextmanager
def directory() -> Iterator[DirectoryServer]:
    """All of it, for as long as the block runs."""
    with slapd() as server, bus(), sssd(server.uri), names_of_the_directory():
        yield server
