# SPDX-License-Identifier: MIT
"""Every test runs as root in a throw-away host, against the installed product.

Started anywhere else, pytest moves itself into one (tests/host/enter) before it runs anything;
with -n, pytest-xdist starts each worker in a host of its own. A test may take `timeout` seconds
(pyproject.toml), then `cleanup_timeout` to clean up, and with -n all of them `suite_timeout`.
Fixtures live next to what they drive: tests/host for the host and its programs.
"""

import faulthandler
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
ENTER = REPOSITORY / "tests" / "host" / "enter"
DEBIAN_PYTHON = "/usr/bin/python3"  # the product's interpreter, whatever PATH says
PASSED_ON = ("PYTEST_ADDOPTS", "PAM_TOTP_SEED", "PAM_TOTP_SOAK")
COMMON_AUTH = Path("/etc/pam.d/common-auth")
PG_CTLCLUSTER = Path("/usr/bin/pg_ctlcluster")
OF_SU = Path("/etc/default/su")  # not login.defs: useradd of Debian 12 does not know FAIL_DELAY
PAM_UNIX = re.compile(r"^(auth\b.*\bpam_unix\.so\b.*)$", re.MULTILINE)
# The longest first; of what is a folder, all files in it.
LONG_FILES = (
    "tests/test_demo_fleet.py",  # most of it waits for the time to pass
    *("tests/faults/test_system_calls.py", "tests/attacks/test_disks.py", "tests/doctor/"),
    *("tests/faults/", "tests/trial/", "tests/test_dpkg.py", "tests/test_package.py"),
    *("tests/host/test_screen_lockers.py", "tests/commands/test_explain.py"),
    *("tests/login/test_enrolling.py", "tests/attacks/test_callers_place.py"),
    *("tests/host/test_recovery_ssh.py", "tests/enrollment/test_enroll_saving.py"),
    *("tests/setup/test_enable", "tests/stack/test_model.py"),
)
FIXTURES = (
    "tests.host.left_behind",
    "tests.host.system_log",
    "tests.host.accounts",
    "tests.host.credentials",
    "tests.host.tokens",
    "tests.host.debian_package",
    "tests.host.encrypted_disk",
    "tests.host.pam_services",
    "tests.host.terminal",
    "tests.enrollment.person",
    "tests.host.ssh_server",
    "tests.host.ssh_client",
    "tests.faults.counts",
    "tests.host.imap_server",
    "tests.host.daemons",
    "tests.trial.change_host",
    "tests.trial.systemd_host",
    "tests.doctor.worlds",
    "tests.fleet.database",
    "tests.fleet.login_host",
    "tests.fleet.small_fleet",
    "tests.fleet.store",
    "tests.fleet.whole_fleet",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        "cleanup_timeout", "seconds from a test's timeout to the end of its process", default="60"
    )
    parser.addini("suite_timeout", "seconds that all tests may take with -n", default="2400")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("dist", "no") != "no":
        give_each_worker_a_throwaway_host(config)
        end_after(int(config.getini("suite_timeout")))
    elif "PAM_TOTP_THROWAWAY_HOST" not in os.environ:
        move_into_a_throwaway_host(config)
    elif hasattr(config, "workerinput"):
        config.option.basetemp = None  # not below the controller's: this host has its own /tmp
    sys.path.insert(0, str(REPOSITORY))
    for module in FIXTURES:
        config.pluginmanager.import_plugin(module)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first: with -n no worker runs one when the others have nothing left to do. In
    a soak they are last: single tests are handed out then, many at once first, few at the end."""
    items.sort(key=place_of, reverse="PAM_TOTP_SOAK" in os.environ)


def place_of(item: pytest.Item) -> int:
    """In LONG_FILES, or behind all of them."""
    places = (at for at, begin in enumerate(LONG_FILES) if item.nodeid.startswith(begin))
    return next(places, len(LONG_FILES))


def refuse_unless_root() -> None:
    if os.geteuid() != 0:
        raise pytest.UsageError(
            "the tests add users and edit /etc/pam.d, in a throw-away host that only root can make"
            "\nhint: sudo make test, or sudo tests/host/enter /usr/bin/python3 -m pytest"
        )


def give_each_worker_a_throwaway_host(config: pytest.Config) -> None:
    """With pytest-xdist (-n): this process runs no test, and changes nothing where it is."""
    refuse_unless_root()
    worker = shlex.join([str(ENTER), "env", *passed_on(), DEBIAN_PYTHON])
    config.option.tx = [f"popen//python={worker}" for _ in config.option.tx]
    unused = tempfile.TemporaryDirectory()  # which pytest would otherwise leave in /tmp
    config.option.basetemp = unused.name
    config.add_cleanup(unused.cleanup)


def passed_on() -> list[str]:
    """For env(1): a throw-away host has variables of its own."""
    return [f"{name}={os.environ[name]}" for name in PASSED_ON if name in os.environ]


def end_after(seconds: int) -> None:
    """With pytest-xdist: stop, and say so below the faults found so far."""

    def stop(*_: object) -> None:
        pytest.exit(f"the tests took more than {seconds} s (suite_timeout)", returncode=1)

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)


def move_into_a_throwaway_host(config: pytest.Config) -> None:
    """Replace this process by the same pytest in a throw-away host."""
    refuse_unless_root()
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.stop_global_capturing()  # standard output is pytest's own file until here
    os.chdir(config.invocation_params.dir)
    pytest_again = [DEBIAN_PYTHON, "-m", "pytest", *map(str, config.invocation_params.args)]
    os.execv(ENTER, [str(ENTER), "env", *passed_on(), *pytest_again])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Ends this process, and its host, when not even a failed test's clean-up comes to its end.

    pytest-timeout raises an exception in the test, once: what waits after that waits for ever.
    """
    marker = item.get_closest_marker("timeout")
    seconds = float(marker.args[0] if marker else item.config.getini("timeout"))
    seconds += float(item.config.getini("cleanup_timeout"))
    watchdog = threading.Timer(seconds, end_this_process, [item])
    watchdog.daemon = True
    watchdog.start()
    yield
    watchdog.cancel()


def end_this_process(item: pytest.Item) -> None:
    capture = item.config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture()
    print(f"\n{item.nodeid} does not end: its process is ended", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(all_threads=True)
    os._exit(1)


@pytest.fixture(scope="session", autouse=True)
def installed_product(pytestconfig: pytest.Config) -> Iterator[None]:
    """What `make install` puts on the host, once for the whole run; the host forgets it."""
    make = subprocess.run(
        ["flock", "Makefile", "make", "-s", "install"],  # build/ belongs to all workers
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if make.returncode != 0:
        capture = pytestconfig.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():  # pytest-xdist passes no reason on
            print(f"{make.stdout}{make.stderr}", file=sys.stderr)
        pytest.exit("make install failed", returncode=2)
    refuse_at_once()
    start_databases_at_once()
    yield


def refuse_at_once() -> None:
    """No login that is refused waits: pam_unix would for two seconds, even for the code, and su for
    one more. Both are options of the administrator's, and pam-auth-update keeps the first."""
    before = COMMON_AUTH.read_text(encoding="utf-8")
    after = PAM_UNIX.sub(r"\1 nodelay", before)
    assert after != before, f"no pam_unix in {COMMON_AUTH}"
    COMMON_AUTH.write_text(after, encoding="utf-8")
    OF_SU.write_text("FAIL_DELAY 0\n", encoding="ascii")


def start_databases_at_once() -> None:
    """pg_ctlcluster starts a server, which waits until that runs, and then asks four times whether
    it does, half a second before each: two seconds of nothing for each start in the tests."""
    if PG_CTLCLUSTER.exists():
        program = PG_CTLCLUSTER.read_text(encoding="utf-8")
        asking_often = program.replace("undef, undef, undef, 0.5", "undef, undef, undef, 0.1")
        PG_CTLCLUSTER.write_text(asking_often, encoding="utf-8")
