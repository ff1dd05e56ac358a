# SPDX-License-Identifier: MIT
"""The arrows between the parts, what the login path may load, and how much an auditor reads."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from pam_totp import bundle

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pam_totp"
LOGIN_PROGRAMS = ("gate", "verify")
COMMANDS = ("login.py", "roll-back", "pam-totp", "mfa", "agent")

# Which parts of ours a part may import. Below `records` nothing acts, below `rules` nothing at all.
ARROWS: dict[str, set[str]] = {
    "rules": {"rules"},
    "records": {"records", "rules"},
    "access": {"access", "records", "rules"},
    "stack": {"stack", "records", "rules", "errors"},
    "login": {"login", "access", "records", "rules"},
    "imports": {"imports", "rules"},
    "enrollment": {
        "enrollment",
        "imports",
        "records",
        "rules",
        "errors",
        "listing",
        "repair",
        "signals",
        "spelling",
    },
    "sheets": {
        "sheets",
        "enrollment",
        "review",
        "records",
        "rules",
        "errors",
        "listing",
        "progress",
        "repair",
        "signals",
        "spelling",
    },
    "setup": {
        "setup",
        "enrollment",
        "stack",
        "review",
        "access",
        "records",
        "rules",
        "errors",
        "listing",
        "repair",
        "signals",
        "spelling",
    },
    # Codes on their way to users.
    "sending": {"sending", "records", "rules"},
    # Where they go: root's record, and the proof that a code arrives there.
    "contacts": {
        "contacts",
        "sheets",
        "enrollment",
        "imports",
        "sending",
        "records",
        "rules",
        "errors",
        "listing",
        "progress",
        "repair",
        "signals",
    },
    # The store of a fleet: what database servers and login hosts run as commands.
    "fleet": {
        "fleet",
        "records",
        "rules",
        "errors",
        "listing",
        "progress",
        "repair",
        "signals",
        "spelling",
    },
    # The program that asks the store for the logins of its host.
    "agent": {"agent", "records", "rules"},
    "review": {
        "review",
        "access",
        "fleet",
        "sending",
        "records",
        "rules",
        "stack",
        "errors",
        "spelling",
    },
    # Secrets on their way from one store to another.
    "migration": {
        "migration",
        "fleet",
        "enrollment",
        "review",
        "records",
        "rules",
        "errors",
        "repair",
        "signals",
    },
    "commands": {
        "contacts",
        "enrollment",
        "fleet",
        "imports",
        "migration",
        "sending",
        "sheets",
        "setup",
        "review",
        "access",
        "records",
        "rules",
        "stack",
        "errors",
        "listing",
        "progress",
        "repair",
        "signals",
    },
    "errors": set(),
    "listing": set(),
    "progress": set(),
    "repair": set(),
    "signals": set(),
    "spelling": set(),
    "bundle": set(),
    "loader": set(),
    "main": {"fleet", "setup", "stack", "errors", "listing", "verbs"},
    "verbs": {"pam_totp", "commands", "errors", "spelling"},
    "script login.py": set(),
    "script roll-back": {"setup"},
    "script pam-totp": {"main"},
    "script agent": {"agent"},
    "script mfa": {"main", "login", "enrollment", "rules", "errors", "signals"},
}

# What draws the QR code at a login is a program of its own, which never ends with 0. What compares
# or tells versions has to know its own.
BESIDE_THE_ARROWS = {
    "pam_totp.agent.program": {"pam_totp"},
    "pam_totp.login.show_enrollment": {"enrollment"},
    "pam_totp.login.first_factor": {"enrollment"},
    "pam_totp.login.send_code": {"sending"},
    "pam_totp.review.doctor.programs": {"pam_totp"},
    "pam_totp.fleet.joining": {"pam_totp"},
}

# Same input, same answer: no file, clock, environment or log is reachable from these.
PURE = {"_operator", "_sha1", "_sha2", "_sha256", "_sha512", "binascii", "errno", "math"}

# Compiled into Debian's interpreter, so nothing is looked up or read for them (the file of one
# that is not could be replaced, and each costs time at every login). Debian 12 has _sha256 and
# _sha512, Debian 13 _sha2.
LOGIN_PATH = PURE | {
    "_signal",
    "_socket",
    "atexit",
    "fcntl",
    "grp",
    "marshal",
    "posix",
    "pwd",
    "sys",
    "syslog",
    "time",
}

# Modules that few logins import, and what they may need beyond that: OpenSSL's scrypt for a
# recovery code, PyYAML for the first login after the settings changed, writing a secret for users
# who enroll at the login.
SELDOM = {
    "pam_totp.records.user.recovery": {"_hashlib", "base64", "re"},
    "pam_totp.records.config.edited": set(),
    "pam_totp.records.config.reader": {"contextlib", "os", "typing", "yaml"},
    "pam_totp.records.config.values": {"collections.abc", "datetime", "ipaddress", "re"},
    "pam_totp.records.config.way": {"os", "pwd"},
    "pam_totp.records.storage.secret_writer": {"contextlib", "os"},
    "pam_totp.records.user.pending": {"pwd"},
    "pam_totp.rules.ignored_parameters": set(),
    "pam_totp.rules.encoding": set(),
    "pam_totp.login.enroll_at_login": {"contextlib", "pwd"},
    "pam_totp.login.check_recovery_code": {"contextlib", "pwd"},
    "pam_totp.login.check_tokens": set(),
    "pam_totp.login.become": set(),
    "pam_totp.login.note": set(),
    "pam_totp.records.user.counters": set(),
    "pam_totp.rules.tokens": set(),
}

# What logins import besides where the secrets are in the store of a fleet, and no other login.
OF_THE_FLEET = {
    "pam_totp.access.in_fleet",
    "pam_totp.login.check_in_fleet",
    "pam_totp.login.enroll_in_fleet",
    "pam_totp.records.config.fleet_messages",
    "pam_totp.records.fleet",
    "pam_totp.records.host.agent",
    "pam_totp.records.host.outage",
    "pam_totp.rules.agent_line",
}

# What only logins with a secret on their host import, by their names in the package.
OF_THE_HOSTS_OWN_STORE = {
    "login.check_here",
    "records.storage.secret_dir",
    "records.user.attempts",
    "rules.credential",
    "rules.hashes",
    "rules.otp",
}

# What logins import besides under a rule that accepts codes which are sent, and no other login.
OF_SENDING = {
    "pam_totp.access.by_contact": {"pwd"},
    "pam_totp.login.check_sent_code": {"contextlib", "pwd", "time"},
    "pam_totp.login.check_sent_in_fleet": {"contextlib", "pwd"},
    "pam_totp.records.fleet_of_sent": set(),
    "pam_totp.records.user.contacts": {"pwd", "sys"},
    "pam_totp.records.user.sent": {"posix", "pwd"},
}

BESIDES = SELDOM | OF_SENDING

# Lines of code, without blank ones, comments and docstrings. Of Python every login runs the first,
# a few the second besides: SELDOM, above, and what shows an enrollment at a login. Where the
# store is that of a fleet, every login runs the third besides; where codes are sent, the fourth.
MAX_PYTHON_LINES, MAX_SELDOM_LINES, MAX_MODULE_LINES = 1860, 900, 200
MAX_FLEET_LINES, MAX_SENDING_LINES = 398, 776
MAX_C_LINES = {"pam_totp.c": 222, "launch.c": 123, "certain.c": 82, "ask_agent.c": 91}


@cache
def sources() -> dict[str, Path]:
    """Every module by its dotted name, and every installed command as `script NAME`."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    return modules | {f"script {name}": ROOT / "scripts" / name for name in COMMANDS}


def part_of(name: str) -> str:
    """The part a module belongs to: `pam_totp.rules.otp` to `rules`, a script to itself."""
    return name.split(".")[1] if name.startswith("pam_totp.") else name


def runtime_statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every node that can run: all but the body of `if TYPE_CHECKING:`."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for alternative in child.orelse:
                yield from runtime_statements(alternative)
        else:
            yield from runtime_statements(child)


def imports_of(path: Path, name: str) -> set[str]:
    """The modules that `path` imports anywhere, inside functions too, by their full names."""
    found = set()
    for node in runtime_statements(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import hides which part it reaches"
            origin = node.module or ""
            named = {f"{origin}.{alias.name}" for alias in node.names}
            modules = named & sources().keys()
            found |= modules or {origin}
    return found


def is_ours(name: str) -> bool:
    return name.split(".")[0] == "pam_totp"


def reached_by(start: str) -> set[str]:
    """`start` and every module of ours that it imports, directly or not."""
    known, reached, waiting = sources(), set(), {start}
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting |= {other for other in imports_of(known[name], name) if is_ours(other)} - reached
    return reached


def lines_of(*paths: Path) -> int:
    return sum(len(path.read_text().splitlines()) for path in paths)


def code_lines_of(path: Path) -> int:
    """The lines of a Python file that are not blank, a comment or a docstring."""
    text = path.read_text()
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING):
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            docstring = node.body[0]
            lines -= set(range(docstring.lineno, (docstring.end_lineno or 0) + 1))
    return len(lines)


def code_lines_of_c(path: Path) -> int:
    """The lines of a C file that are not blank or a comment."""
    text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    return sum(bool(line.strip()) for line in text.splitlines())


@pytest.mark.parametrize("name", sorted(set(sources()) - {"pam_totp"}))
def test_imports_follow_the_arrows(name: str) -> None:
    parts = {part_of(other) for other in imports_of(sources()[name], name) if is_ours(other)}
    assert parts <= ARROWS[part_of(name)] | BESIDE_THE_ARROWS.get(name, set())


def test_the_package_itself_needs_nothing() -> None:
    assert imports_of(PACKAGE / "__init__.py", "pam_totp") == set()


def test_what_is_run_by_the_launcher_needs_only_the_interpreter() -> None:
    named = imports_of(ROOT / "scripts" / "login.py", "script login.py")
    assert named == {"atexit", "gc", "marshal", "posix", "sys", "syslog"}
    loader = imports_of(sources()[bundle.LOADER], bundle.LOADER)
    assert loader == {"marshal", "posix", "sys"}


@pytest.mark.parametrize("name", sorted(name for name in sources() if part_of(name) == "rules"))
def test_rules_reach_no_file_clock_environment_or_log(name: str) -> None:
    nodes = list(ast.walk(ast.parse(sources()[name].read_text())))
    called = {
        node.func.id
        for node in nodes
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    of_the_interpreter = {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "sys"
    }
    outside = {other for other in imports_of(sources()[name], name) if not is_ours(other)}
    assert outside <= PURE | {"sys"}
    assert of_the_interpreter <= {"version_info", "implementation"}
    assert not called & {"open", "print", "input", "eval", "exec", "__import__"}


@pytest.mark.parametrize("script", LOGIN_PROGRAMS)
def test_login_path_names_only_modules_of_the_allow_list(script: str) -> None:
    named = {
        (module, other)
        for module in reached_by(f"pam_totp.login.{script}")
        for other in imports_of(sources()[module], module)
        if not is_ours(other) and other not in LOGIN_PATH | BESIDES.get(module, set())
    }
    assert named == set()


@pytest.mark.parametrize("script", LOGIN_PROGRAMS)
def test_login_path_loads_only_modules_compiled_into_the_interpreter(script: str) -> None:
    loaded = loaded_with(f"pam_totp.login.{script}")
    assert f"pam_totp.login.{script}" in loaded
    assert not loaded & (BESIDES.keys() | OF_THE_FLEET)
    assert {name for name in loaded if not is_ours(name)} <= set(sys.builtin_module_names)


def test_verifier_of_a_fleet_loads_nothing_that_reads_secrets_of_its_host() -> None:
    loaded = loaded_with("pam_totp.login.verify", "pam_totp.login.check_in_fleet")
    here = reached_by("pam_totp.login.check_here") - BESIDES.keys() - OF_THE_FLEET
    assert {f"pam_totp.{name}" for name in OF_THE_HOSTS_OWN_STORE} <= here - loaded
    assert "_socket" not in loaded  # before the code is sent


def test_command_loads_no_more_than_each_verb_needs() -> None:
    loaded = loaded_with("pam_totp.main")
    seldom = {"fleet.of_fleet", "setup.apply", "stack.turned_on"}
    assert not loaded & {f"pam_totp.{name}" for name in seldom}
    assert "dataclasses" not in loaded  # nor what that needs: 10 ms


def loaded_with(*names: str) -> set[str]:
    """What a bare interpreter loads for these modules."""
    program = (
        "import sys\n"
        "bare = set(sys.modules)\n"
        f"sys.path[:0] = [{str(ROOT)!r}]\n"
        f"import {', '.join(names)}\n"
        "for name in set(sys.modules) - bare: print(name)\n"
    )
    run = subprocess.run(
        ["/usr/bin/python3", "-BIS", "-c", program], capture_output=True, text=True, check=True
    )
    return set(run.stdout.split())


def test_bundle_holds_all_that_a_login_may_import_and_no_more() -> None:
    """Whatever it lacked would be looked for among files that an upgrade replaces meanwhile. And
    no more: whether a source has changed costs each login a system call."""
    reached = set.union(*(reached_by(f"pam_totp.login.{script}") for script in LOGIN_PROGRAMS))
    held = [str(path.relative_to(ROOT)) for path in bundle.sources_of_logins()]
    assert len(held) == len(set(held))
    modules = {str(sources()[name].relative_to(ROOT)) for name in reached | {bundle.LOADER}}
    assert modules <= set(held)
    assert {Path(name).name for name in set(held) - modules} == {"__init__.py"}


@pytest.mark.parametrize("script", COMMANDS)
def test_scripts_ignore_environment_user_site_and_pth_files(script: str) -> None:
    text = sources()[f"script {script}"].read_text()
    assert text.startswith("#!/usr/bin/python3 -BIS\n")
    assert '"/usr/lib/pam-totp"' in text


def test_what_an_auditor_reads_stays_short() -> None:
    programs = [f"pam_totp.login.{name}" for name in LOGIN_PROGRAMS]
    reached = set.union(*map(reached_by, ["pam_totp", "script login.py", bundle.LOADER, *programs]))
    of_settings = OF_THE_FLEET | OF_SENDING.keys()
    every_login = reached - SELDOM.keys() - of_settings
    seldom = (reached | reached_by("pam_totp.login.show_enrollment")) - every_login - of_settings
    beside = reached_by("pam_totp.login.send_code") - every_login - seldom - OF_THE_FLEET
    sending = OF_SENDING.keys() | beside
    assert reached >= of_settings
    assert sum(code_lines_of(sources()[name]) for name in OF_THE_FLEET) < MAX_FLEET_LINES
    assert sum(code_lines_of(sources()[name]) for name in every_login) < MAX_PYTHON_LINES
    assert sum(code_lines_of(sources()[name]) for name in seldom) < MAX_SELDOM_LINES
    assert sum(code_lines_of(sources()[name]) for name in sending) < MAX_SENDING_LINES
    in_c = {path.name: code_lines_of_c(path) for path in (PACKAGE / "pam").glob("*.c")}
    assert in_c.keys() == MAX_C_LINES.keys()
    assert {name for name in in_c if in_c[name] >= MAX_C_LINES[name]} == set()


def test_design_page_states_these_limits_and_names_only_what_exists() -> None:
    page = (ROOT / "DESIGN.md").read_text()
    stated = re.search(r"how much an auditor must read.*?\n\n", page, re.DOTALL)
    assert stated
    launcher = sum(MAX_C_LINES[name] - 1 for name in MAX_C_LINES.keys() - {"pam_totp.c"})
    limits = [MAX_PYTHON_LINES, MAX_SELDOM_LINES, MAX_FLEET_LINES, MAX_SENDING_LINES]
    most = [MAX_C_LINES["pam_totp.c"] - 1, launcher, *(limit - 1 for limit in limits)]
    assert re.findall(r"\d+(?:,\d+)*", stated[0]) == [f"{lines:,}" for lines in most]
    folders = (PACKAGE, ROOT / "scripts", ROOT / "tests")
    paths = [path for each in folders for path in each.rglob("*") if path.is_file()]
    code = "\n".join(path.read_text("utf-8", "replace") for path in paths if path.suffix != ".pyc")
    words = set(re.findall(r"\w+", code)) | {path.stem for path in paths}
    assert set(re.findall(r"`([a-z]+_[a-z_]+)`", page)) - words == set()


@pytest.mark.parametrize("name", sorted(sources()))
def test_module_stays_small_enough_to_hold_in_your_head(name: str) -> None:
    of_license = "SPDX-License-Identifier" in sources()[name].read_text()
    assert lines_of(sources()[name]) - of_license < MAX_MODULE_LINES


def test_every_verb_is_a_file_of_its_name() -> None:
    program = (
        f"import sys; sys.path[:0] = [{str(ROOT)!r}, '/usr/lib/python3/dist-packages']\n"
        "import pam_totp.main; pam_totp.main.main(['--help'])"
    )
    command = ["/usr/bin/python3", "-BIS", "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    verbs = re.findall(r"^    ([a-z][a-z-]*)(?=\s)", run.stdout, re.MULTILINE)
    files = [path.stem for path in (PACKAGE / "commands").iterdir() if path.stem[0] not in "_"]
    # `import` is a word of Python's, so its file has the name with a `_`, as PEP 8 has it.
    assert sorted(verbs) == sorted(name.rstrip("_").replace("_", "-") for name in files)
