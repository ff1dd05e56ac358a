# SPDX-License-Identifier: MIT
"""What `config check` warns about: valid, but probably not intended."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.review.guessing import chance_of_a_guesser
from pam_totp.review.settings_faults import check
from pam_totp.review.settings_warnings import warnings_of
from tests.host.accounts import User
from tests.host.credentials import Credential
from tests.host.pam_services import PamServices, forget_what_asked

SSHD = Path("/etc/pam.d/sshd")
LINE = "auth required pam_totp.so\n"


def warnings(text: str) -> list[str]:
    found = check(text.encode())
    assert found.faults == []
    return warnings_of(found)


@pytest.fixture
def asking() -> Iterator[Callable[..., None]]:
    """`asking("sshd", ...)`: these services have the pam_totp.so line meanwhile."""
    before: dict[Path, str] = {}

    def ask(*services: str) -> None:
        for service in services:
            path = SSHD.with_name(service)
            before[path] = path.read_text(encoding="utf-8")
            path.write_text(before[path] + LINE, encoding="utf-8")

    yield ask
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")
    forget_what_asked()


@pytest.fixture
def make_group() -> Iterator[Callable[..., str]]:
    """`make_group("name", user...)`."""
    names: list[str] = []

    def make(name: str, *members: User) -> str:
        subprocess.run(["groupadd", name], check=True)
        names.append(name)
        for member in members:
            subprocess.run(["usermod", "-aG", name, member.name], check=True)
        return name

    yield make
    for name in names:
        subprocess.run(["groupdel", name], check=True)


@pytest.mark.parametrize(
    "text",
    [
        "# nothing\n",
        "store: system\n",
        "rules: []\n",
        "enrollment: {by: 2199-01-01}\nremember: 10m\n",
        "code: {window: 1}\nthrottle: {longest_wait: 900, free_tries: 20, first_wait: 1}\n",
    ],
)
def test_nothing_is_said_of_what_is_usual(text: str) -> None:
    assert [each for each in warnings(text) if "locked out" not in each] == []


def test_shipped_file_has_no_warnings() -> None:
    shipped = Path(__file__).resolve().parents[2] / "config" / "config.yaml"
    assert warnings(shipped.read_text(encoding="utf-8")) == []


def test_shadowed_rule(user: User) -> None:
    text = f"rules:\n- code: if-enrolled\n\n- {{user: {user.name}, code: required}}\n"
    assert warnings(text) == ["line 4: this rule is shadowed by line 2 and can never match"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("nobdy", "user nobdy does not exist; did you mean nobody?"),
        ("10000001", "user 10000001 does not exist (rules take names, not numbers)"),
        ("'root, nobody'", "user root, nobody does not exist; did you mean "
         "[root, nobody]?"),
        ("'zz*'", "no user that can be listed matches zz*"),
    ],
)  # fmt: skip
def test_user_that_does_not_exist(name: str, what: str) -> None:
    found = warnings(f"rules:\n- {{code: if-enrolled, user: {name}}}\n")
    assert found == [f"line 2: {what}"], "said once"


def test_rule_for_several_users_none_of_whom_exists() -> None:
    assert warnings("rules:\n- {code: if-enrolled, user: [zzz, yyy, zzz]}\n") == [
        "line 2: user zzz does not exist",
        "line 2: user yyy does not exist",
        "line 2: no user that can be listed matches this rule",
    ]


def test_rule_is_for_somebody_if_one_of_its_users_is_there() -> None:
    assert warnings("rules:\n- {code: if-enrolled, user: [root, zzz]}\n") == [
        "line 2: user zzz does not exist"
    ]


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("never", "this rule exempts no user"),
        (
            "if-enrolled",
            "this rule overrides a later `never` for all users who match its other conditions",
        ),
        ("required", "all users who match its other conditions must enter a code"),
    ],
)
def test_missing_group_is_reported_with_its_effect(code: str, meaning: str) -> None:
    found = warnings(f"enrollment: at-login\nrules:\n- {{code: {code}, group: zzz}}\n")
    what = f"group zzz does not exist; until it exists, {meaning}"
    assert f"line 3: {what}" in found


def test_group_pattern_like_no_group() -> None:
    assert warnings("rules:\n- {code: never, group: 'zz*'}\n") == [
        "line 2: no group that can be listed matches zz*"
    ]


def test_group_without_members(make_group: Callable[..., str]) -> None:
    make_group("lonely")
    assert warnings("rules:\n- {code: never, group: lonely}\n") == [
        "line 2: group lonely has no members that can be listed"
    ]


def test_rule_for_users_that_are_in_none_of_its_groups(
    make_user: Callable[..., User], make_group: Callable[..., str]
) -> None:
    inside, outside = make_user(), make_user()
    group = make_group("crew", inside)
    rule = "rules:\n- {code: never, user: [%s], group: [%s]}\n"
    assert warnings(rule % (outside.name, group)) == [
        "line 2: this rule can never match: none of its users is a member of its groups"
    ]
    assert warnings(rule % (f"{outside.name}, {inside.name}", group)) == []
    assert warnings(rule % (outside.name, f"{group}, {outside.name}")) == []  # its own group
    found = warnings(rule % (outside.name, f"{group}, zzz"))
    assert not any("none of its users" in each for each in found)


@pytest.mark.parametrize(
    ("pattern", "what"),
    [
        ("r[^x]ot", "[^a] matches ^ or a; for all but a, write [!a]"),
        ("u[[:digit:]]", "classes like [:digit:] are not supported; write [0-9]"),
        ("[z-a]x", "the range z-a is empty"),
    ],
)
def test_pattern_that_means_something_else_elsewhere(pattern: str, what: str) -> None:
    assert f"line 2: {pattern}: {what}" in warnings(
        f"rules:\n- {{code: never, service: '{pattern}'}}\n"
    )


def test_service_without_a_file() -> None:
    assert warnings("rules:\n- {code: never, service: shd}\n")[0] == (
        "line 2: service shd does not exist in /etc/pam.d; did you mean sshd?"
    )


def test_service_whose_stack_never_asks(asking: Callable[..., None]) -> None:
    asking("sshd")
    assert warnings("rules:\n- {code: if-enrolled, service: [sshd, su]}\n") == [
        "line 2: su never asks for a code (no pam_totp.so line in /etc/pam.d/su)"
    ]
    assert warnings("rules:\n- {code: if-enrolled, service: ['ss*', 'su*']}\n") == [
        "line 2: no service that matches su* asks for a code (no pam_totp.so line)"
    ]


def test_public_key_of_a_service_that_knows_of_none(asking: Callable[..., None]) -> None:
    asking("sshd", "su")
    assert warnings("rules:\n- {code: never, service: su, publickey: yes}\n") == [
        "line 2: this rule can never match: only sshd supports publickey"
    ]
    assert warnings("rules:\n- {code: never, service: [su, 's*'], publickey: yes}\n") == []


NOBODY = "no user is ever asked for a code"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ("- code: never\n", [f"line 2: {NOBODY}, because no earlier rule asks"]),
        ("- {user: root, code: never}\n- code: never\n",
         [f"line 3: {NOBODY}, because no earlier rule asks"]),
        ("- {user: '*', code: never}\n", [f"line 2: {NOBODY}, because no earlier rule asks"]),
        ("- {user: root, code: if-enrolled}\n- code: never\n", []),
        ("- {user: root, code: never}\n", []),
        ("- {from: [local, 0.0.0.0/0, '::/0'], code: never}\n", []),
        ("- {service: sshd, code: never}\n",
         [f"line 2: {NOBODY} at sshd, although it has a pam_totp.so line"]),
        ("- {service: sshd, publickey: yes, code: never}\n", []),
        ("- {service: ['ss*', su], code: never}\n- code: if-enrolled\n",
         [f"line 2: {NOBODY} at sshd, although it has a pam_totp.so line",
          f"line 2: {NOBODY} at su, although it has a pam_totp.so line"]),
        ("- {service: 'su*', code: if-enrolled}\n- code: never\n",
         [f"line 3: {NOBODY} at sshd, although it has a pam_totp.so line"]),
    ],
)  # fmt: skip
def test_policy_under_which_nobody_is_asked(
    asking: Callable[..., None], rules: str, expected: list[str]
) -> None:
    asking("sshd", "su")
    found = warnings(f"rules:\n{rules}")
    assert [each for each in found if "from: local also" not in each] == expected


SHUT = (
    "a code is required, root is not enrolled and cannot enroll there; run: "
    "pam-totp enroll --user root"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("enrollment: required\n",
         [f"line 1, column 1: root would be locked out of sshd, login: {SHUT}"]),
        ("rules:\n- code: required\n",
         [f"line 2: root would be locked out of sshd, login: {SHUT}"]),
        ("enrollment: at-login\nrules:\n- code: required\n", []),
        ("enrollment: {by: 2199-01-01}\n",
         ["line 1, column 1: from 2199-01-01 on, root would be locked out of sshd, login: "
          f"{SHUT}"]),
        ("enrollment: optional\n", []),
        ("enrollment: required\nrules:\n- {user: root, code: if-enrolled}\n", []),
        ("enrollment: required\nrules:\n- {from: local, code: never}\n",
         [f"line 1, column 1: root would be locked out of sshd: {SHUT}"]),
        ("enrollment: required\nrules:\n- {service: sshd, code: required}\n"
         "- {from: local, code: never}\n",
         [f"line 3: root would be locked out of sshd: {SHUT}"]),
        ("enrollment: required\nrules:\n- {from: 10.0.0.0/8, code: never}\n",
         [f"line 1, column 1: root would be locked out of login: {SHUT}"]),
        ("enrollment: required\nrules:\n- {publickey: yes, code: never}\n",
         [f"line 1, column 1: root would be locked out of login: {SHUT}"]),
    ],
)  # fmt: skip
def test_policy_that_keeps_root_out(
    asking: Callable[..., None], text: str, expected: list[str]
) -> None:
    asking("sshd", "login")
    found = warnings(text)
    assert [each for each in found if "locked out" in each] == expected


def test_where_nothing_asks_yet_the_services_are_looked_at_that_will() -> None:
    assert warnings("enrollment: required\n") == [
        "line 1, column 1: root would be locked out of sshd, login, su, once pam_totp.so is added: "
        f"{SHUT}"
    ]


def test_policy_that_keeps_the_only_administrator_out(
    asking: Callable[..., None],
    make_user: Callable[..., User],
    make_group: Callable[..., str],
    enrolled: Callable[..., Credential],
) -> None:
    asking("sshd", "sudo")
    first, second = make_user(), make_user()
    subprocess.run(["usermod", "-aG", "sudo", first.name], check=True)
    text = "rules:\n- {user: root, code: if-enrolled}\n- code: required\n"
    assert warnings(text) == [
        f"line 3: {first.name}, the only administrator, would be locked out of sshd, sudo: "
        f"{SHUT.replace('root', first.name)}"
    ]
    make_group("wheel", second)
    assert warnings(text) == []  # the other one could help, if enrolled
    subprocess.run(["gpasswd", "-d", second.name, "wheel"], check=True)
    enrolled(first)
    assert warnings(text) == []


@pytest.mark.parametrize(
    ("text", "place", "chance"),
    [
        ("code: {window: 2}\n", "line 1, column 8: with code.window 2,", "1.6%"),
        ("throttle:\n  longest_wait: 300\n",
         "line 2, column 3: with throttle.longest_wait 300", "2.7%"),
        ("throttle: {longest_wait: 600}\ncode: {window: 5}\n", "line 2, column 8: with", "5.1%"),
        ("code: {window: 5, digits: 8}\n", "", ""),
        ("code: {window: 0}\nthrottle: {longest_wait: 300}\n", "", ""),
    ],
)  # fmt: skip
def test_guessing_beyond_the_bound(text: str, place: str, chance: str) -> None:
    found = warnings(text)
    assert len(found) == bool(place)
    assert all(each.startswith(place) and f"a {chance} chance" in each for each in found)


def test_chance_is_the_one_that_the_security_page_states() -> None:
    page = (Path(__file__).resolve().parents[2] / "SECURITY.md").read_text(encoding="utf-8")
    stated = re.search(r"3,180 x 3 / 10\^6 = ([0-9.]+) %", page)
    assert stated
    assert f"{chance_of_a_guesser(1, 6, 900):.2%}" == f"{stated[1]}%"


def test_day_that_is_over() -> None:
    assert (
        "line 2, column 1: this date has passed, so this means `enrollment: required`"
        in warnings("# rollout\nenrollment: {by: 2020-01-01}\n")
    )


def test_warnings_are_in_the_files_order() -> None:
    text = (
        "rules:\n- {code: never, user: zzz}\n- {code: never, group: zzz}\ncode:\n  window: 5\n"
        "enrollment: {by: 2020-01-01}\n"
    )
    lines = [int(each.removeprefix("line ").partition(":")[0].partition(",")[0])
             for each in warnings(text)]  # fmt: skip
    assert lines == sorted(lines)
    assert set(lines) == {2, 3, 5, 6}


def test_service_that_would_show_secrets_is_warned_of() -> None:
    found = warnings("# more\nenrollment_services: [login, cockpit, sudoo]\n")
    assert found == [
        "line 2, column 1: cockpit would show secrets and recovery codes: cockpit-ws writes them "
        "to its standard error, and so to the journal",
        "line 2, column 1: service cockpit does not exist in /etc/pam.d",
        "line 2, column 1: sudoo would show secrets and recovery codes: its program may write "
        "messages of PAM to a log",
        "line 2, column 1: service sudoo does not exist in /etc/pam.d; did you mean sudo?",
    ]


@pytest.mark.parametrize(
    ("rule", "at"),
    [
        ("from: local, code: never", "at any service"),
        ("from: [local, 192.0.2.7], code: if-enrolled", "at any service"),
        ("from: local, service: [login, xrdp-sesman], code: never", "at xrdp-sesman"),
        ("from: local, service: 'xrdp-*', code: never", "at xrdp-sesman"),
        ("from: local, service: sshd, code: never", "at sshd"),
    ],
)
def test_local_that_may_also_be_a_remote_daemon_is_warned_of(
    pam_services: PamServices, rule: str, at: str
) -> None:
    pam_services.write("xrdp-sesman", "auth required pam_totp.so\n")
    pam_services.add("login")
    pam_services.add("sshd")
    (found,) = [each for each in warnings(f"rules: [{{{rule}}}]\n") if "from: local" in each]
    assert f"remote logins {at}, if" in found


@pytest.mark.parametrize(
    "rule",
    [
        "from: local, service: [login, su, 'sudo*'], code: never",
        "from: local, code: required",
        "from: 192.0.2.7, code: never",
    ],
)
def test_local_at_services_that_are_local_is_not_warned_of(rule: str) -> None:
    assert not [each for each in warnings(f"rules: [{{{rule}}}]\n") if "from: local" in each]


def test_what_the_store_of_a_fleet_decides_has_no_effect_here() -> None:
    text = "store: postgresql\nremember: 1h\nissuer: Org\ncode:\n  digits: 8\n"
    ends = "has no effect with `store: postgresql`"
    assert [each.partition(": ")[2] for each in warnings(text)] == [
        f"remember {ends}",
        f"code.digits {ends}",
    ]
    assert not any(ends in each for each in warnings(text.replace("postgresql", "system")))
