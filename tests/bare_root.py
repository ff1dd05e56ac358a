# SPDX-License-Identifier: MIT
"""Makes whole, bare Debian systems below build/roots, from where this machine gets its own.

Making one needs the network, so it happens outside of the throw-away host.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
ROOTS = REPOSITORY / "build" / "roots"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
SUITES = ("bookworm", "trixie")
# What is put before a command: processes and mounts of its own, which end with it.
OWN = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation=private")
# How this machine reaches its mirror; all else of its apt configuration is its own affair.
PASSED_SETTINGS = re.compile(r"^Acquire::(https?|Check-|Retries|ForceIPv[46])")


def run(command: Sequence[str | Path], **options: object) -> str:
    """Standard output; on failure what was written goes to the terminal, then SystemExit."""
    done = subprocess.run(command, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        name = Path(sys.argv[0]).name
        sys.exit(f"{name}: error: {command[0]} failed with {done.returncode}, see above")
    return str(done.stdout)


def sources(suite: str) -> str:
    """sources.list of `suite`, from where this machine gets its own release."""
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    here = re.search(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)
    assert here, "this machine is no release of Debian"
    fields = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--no-release-info", "--format", fields]
    lines = set()
    for line in run([*command, "Created-By: Packages"]).splitlines():
        uri, name, component = line.split()
        if "debian" in uri and component == "main" and name.partition("-")[0] == here[1]:
            lines.add(f"deb [signed-by={KEYRING}] {uri} {name.replace(here[1], suite)} main\n")
    return "".join(sorted(lines))


def make_root(suite: str, *packages: str) -> Path:
    """A bare system with `packages`, which never starts a daemon by itself."""
    root = ROOTS / suite
    shutil.rmtree(root, ignore_errors=True)
    ROOTS.mkdir(parents=True, exist_ok=True)
    settings = ROOTS / "apt.conf"
    dump = run(["apt-config", "dump"]).splitlines()
    settings.write_text("".join(f"{line}\n" for line in dump if PASSED_SETTINGS.match(line)))
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(packages)}"]
    run([*command, f"--aptopt={settings}", suite, root, "-"], input=sources(suite))
    refuse = root / "usr/sbin/policy-rc.d"
    refuse.write_text("#!/bin/sh\nexit 101\n")
    refuse.chmod(0o755)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    return root
