# SPDX-License-Identifier: MIT
"""The classes of logins that Match blocks tell apart: held against what a real sshd says."""

import dataclasses
import itertools
import pwd
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pam_totp.stack import people, sshd
from pam_totp.stack.libpam import Unknown
from pam_totp.stack.sshd_classes import Class, classes_of
from pam_totp.stack.sshd_config import Block, read_blocks, source_of, split
from pam_totp.stack.sshd_match import Login, meets
from tests.host.accounts import User
from tests.host.ssh_server import HOST_KEY

FOLDER = Path("/etc/ssh/sshd_config.d")
PEOPLE = [
    Login("nobody-else"),
    Login("alice", frozenset({"staff", "alice"})),
    Login("borg", frozenset({"backup"})),
    Login("root", frozenset({"root"}), is_root=True),
]


def blocks_of(root: Path, text: str, **more: str) -> list[Block]:
    folder = root / "etc/ssh"
    (folder / "sshd_config.d").mkdir(parents=True, exist_ok=True)
    (folder / "sshd_config").write_text(text, encoding="utf-8")
    for name, content in more.items():
        (folder / "sshd_config.d" / f"{name}.conf").write_text(content, encoding="utf-8")
    return read_blocks(root=str(root))


def said(classes: list[Class]) -> list[tuple[str, str, int]]:
    return [
        (each.example.user, each.example.address, sum(one.is_match for one in each.blocks))
        for each in classes
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b", ["a", "b"]),
        ("  'a b'\tc ", ["a b", "c"]),
        ('"a b"c d', ["a bc", "d"]),
        ("a\\ b", ["a b"]),
        ("a # comment", ["a"]),
        ("a#b", ["a#b"]),
        ('""', [""]),
    ],
)
def test_words_are_split_as_sshd_does(text: str, words: list[str]) -> None:
    assert split(text) == words


def test_settings_belong_to_the_match_before_them_and_an_include_to_the_one_around_it(
    tmp_path: Path,
) -> None:
    text = """\
Include /etc/ssh/sshd_config.d/a.conf
UsePAM yes
MATCH user=borg Address "192.0.2.0/24"  # comment
  Include sshd_config.d/b*.conf
  PermitTTY no
Match all
X11Forwarding no
"""
    more = {"a": "Match User alice\nPermitTTY yes\n", "b1": "A = b\nMatch Group x\nC d\n"}
    blocks = blocks_of(tmp_path, text, **more)
    found = [
        (block.criteria, setting.keyword, setting.words, setting.number)
        for block in blocks
        for setting in block.settings
    ]
    of_borg = (("user", "borg"), ("address", "192.0.2.0/24"))
    assert found == [
        ((("user", "alice"),), "permittty", ("yes",), 2),
        ((), "usepam", ("yes",), 2),
        (of_borg, "a", ("b",), 1),
        ((*of_borg, ("group", "x")), "c", ("d",), 3),
        (of_borg, "permittty", ("no",), 5),
        ((), "x11forwarding", ("no",), 7),
    ]
    assert blocks[-1].is_match
    assert blocks[-1].place == "/etc/ssh/sshd_config, line 6"


def test_included_files_are_read_in_the_order_of_their_names_and_loops_end(tmp_path: Path) -> None:
    blocks = blocks_of(tmp_path, "Include sshd_config.d/*.conf\n", b="B 1\n", a="A 1\n", C="C 1\n")
    assert [one.keyword for block in blocks for one in block.settings] == ["c", "a", "b"]
    with pytest.raises(Unknown, match="too many recursive includes"):
        blocks_of(tmp_path, "Include sshd_config\n")


def test_without_a_match_there_are_root_and_the_others(tmp_path: Path) -> None:
    classes = classes_of(blocks_of(tmp_path, "UsePAM yes\n"), PEOPLE)
    assert [each.example.user for each in classes] == ["nobody-else", "root"]


@pytest.mark.parametrize(
    ("match", "found"),
    [
        ("User borg", ["borg"]),
        ("User bo*,!borg", []),
        ("User *,!root", ["nobody-else"]),
        ("Group backup", ["borg"]),
        ("Group *,!backup,!root", ["alice"]),
        ("User alice Group backup", []),
        ("User=alice", ["alice"]),
        ("Address 192.0.2.7 User borg", ["borg"]),
        ("LocalPort 2222 User root", ["root"]),
        ("LocalAddress ::1 User root", ["root"]),
        ("RDomain vrf7 User root", ["root"]),
        ("Host *.example.org User alice", ["alice"]),
        ("Invalid-User", []),
    ],
)
def test_a_block_is_a_class_if_somebody_can_be_in_it(
    tmp_path: Path, match: str, found: list[str]
) -> None:
    classes = classes_of(blocks_of(tmp_path, f"Match {match}\n"), PEOPLE)
    inside = [each for each in classes if any(block.is_match for block in each.blocks)]
    assert [each.example.user for each in inside] == found
    for each in inside:
        assert all(meets(each.example, one) for one in each.criteria)


def test_overlapping_networks_have_a_class_for_each_cell(tmp_path: Path) -> None:
    lists = ("10.0.0.0/8", "10.1.*,!10.1.2.3", "!10.9.9.9,10.9.0.0/16")
    text = "".join(f"Match Address {each}\n" for each in lists)
    found = said(classes_of(blocks_of(tmp_path, text), PEOPLE[:1]))
    assert sorted(found) == [
        ("nobody-else", "10.0.0.0", 1),
        ("nobody-else", "10.1.0.0", 2),
        ("nobody-else", "10.9.9.10", 2),
        ("nobody-else", "203.0.113.77", 0),
    ]


def test_a_class_knows_who_of_those_that_are_named_can_be_in_it(tmp_path: Path) -> None:
    text = "Match User borg Address 10.0.0.0/8\nMatch User alice,borg,nobody-here\n"
    found = {
        tuple(block.number for block in each.blocks if block.is_match): each.named
        for each in classes_of(blocks_of(tmp_path, text), PEOPLE)
        if not each.is_root
    }
    # borg is in the second one alone from another address.
    assert found == {(): (), (2,): ("alice", "borg"), (1, 2): ("borg",)}


def test_a_name_of_a_host_counts_besides_its_address(tmp_path: Path) -> None:
    text = "Match Host !203.0.113.77,*\nMatch Host *.example.org\n"
    with pytest.raises(Unknown):  # `*` and the other overlap
        classes_of(blocks_of(tmp_path, text), PEOPLE[:1])
    for text, expected in (
        ("Match Host *.example.org,!x.example.org\n", [0, 1]),
        ("Match Host 192.0.2.7\nMatch Address 192.0.2.0/24\n", [0, 1, 1, 2]),
    ):
        classes = classes_of(blocks_of(tmp_path, text), PEOPLE[:1])
        assert [sum(one.is_match for one in each.blocks) for each in classes] == expected


def test_a_block_for_everything_that_is_usual_leaves_a_class_for_the_rest(tmp_path: Path) -> None:
    for match in (
        "LocalPort 22",
        "LocalAddress 127.0.0.1,::1",
        "Address 203.0.113.0/24,2001:db8::/32",
        "RDomain vrf*",
    ):
        classes = classes_of(blocks_of(tmp_path, f"Match {match}\n"), PEOPLE[:1])
        assert sorted(len(each.blocks) for each in classes) == [1, 2], match


def test_what_cannot_be_told_apart_is_unknown(tmp_path: Path) -> None:
    many = "".join(f"Match Address 10.0.{n}.0/24\n" for n in range(140))
    wide = "".join(
        f"Match LocalPort {n}\nMatch Address 10.0.0.{n}\nMatch User {n}\n" for n in range(1, 80)
    )
    for text in (
        many,
        wide,
        "Match Host a*,*b\n",
        "Match Address *.7,10.0.0.0/8\n",
        "Match Command ls\n",
    ):
        with pytest.raises(Unknown):
            classes_of(blocks_of(tmp_path, text), [Login(str(n)) for n in range(80)])


def test_a_value_is_from_the_first_block_that_applies_and_has_it(tmp_path: Path) -> None:
    text = "PermitTTY yes\nChallengeResponseAuthentication no\n"
    text += "Match User borg\nPermitTTY no\nMatch all\nPermitTTY yes\n"
    blocks = blocks_of(tmp_path, text)
    of_borg = next(each for each in classes_of(blocks, PEOPLE) if each.example.user == "borg")
    found = source_of("permittty", list(of_borg.blocks))
    assert found is not None and (found.number, found.words) == (4, ("no",))
    old = source_of("kbdinteractiveauthentication", list(of_borg.blocks))
    assert old is not None and old.number == 2
    assert source_of("usepam", list(of_borg.blocks)) is None


CRITERIA = {
    "user": ("{0}", "{0},{1}", "*,!{0}", "?{0}", "root"),
    "group": ("{0}", "*,!{1}", "root,{1}"),
    "address": ("192.0.2.0/24", "192.0.2.7", "2001:db8::/32", "192.0.2.*,!192.0.2.8", "10.*"),
    "localport": ("22", "2222"),
    "localaddress": ("127.0.0.1", "198.51.100.0/24"),
    "rdomain": ("vrf1", "*"),
    "host": ("*.example.org", "192.0.2.7"),
}


@pytest.fixture
def written(host_key: None) -> Iterator[Callable[[str], None]]:
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / "00-test.conf"
    yield lambda text: (file.write_text(f"HostKey {HOST_KEY}\n{text}", encoding="ascii"), None)[1]
    file.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", CRITERIA)
def test_sshd_itself_takes_the_same_blocks(
    written: Callable[[str], None], make_user: Callable[..., User], kind: str
) -> None:
    """Each block sets a number of its own; sshd tells by it which block came first."""
    names = (make_user().name, make_user().name)
    single = [(kind, text.format(*names)) for text in CRITERIA[kind]]
    pairs = [
        (one, (other, CRITERIA[other][0].format(*names)))
        for one, other in itertools.product(single[:2], CRITERIA)
        if other != kind
    ]
    for match in [*((one,) for one in single), *pairs]:
        line = " ".join(f"{name} {argument}" for name, argument in match)
        written(f"Match {line}\nMaxAuthTries 3\n")
        blocks = read_blocks()
        criteria = [one for block in blocks for one in block.criteria]
        for each in classes_of(blocks, people.people(criteria)):
            is_in = any(block.is_match for block in each.blocks)
            told = sshd.settings_of(each.example)["maxauthtries"]
            assert told == ("3" if is_in else "6"), f"{line}: {each.example}"


def test_the_installed_sshd_reads_the_files_in_the_same_order(
    written: Callable[[str], None],
) -> None:
    written('Match User "root"\n  MaxAuthTries=2\nMatch all\n  MaxAuthTries 4\n')
    (FOLDER / "10-test.conf").write_text("Match User root\nMaxAuthTries 5\n", encoding="ascii")
    try:
        for each in classes_of(read_blocks(), people.people([])):
            found = source_of("maxauthtries", list(each.blocks))
            assert found is not None
            assert (sshd.settings_of(each.example)["maxauthtries"],) == found.words
    finally:
        (FOLDER / "10-test.conf").unlink()


def test_groups_are_those_that_the_host_says(user: User) -> None:
    subprocess.run(["/usr/sbin/usermod", "-a", "-G", "staff", user.name], check=True)
    found = {each.user: each.groups for each in people.people([("group", "staff")])}
    assert found[user.name] == {user.name, "staff"}
    assert found["root"] == {"root"}
    assert people.people([])[0].user != "root"
    assert [each.user for each in people.people([]) if each.is_root] == ["root"]
    assert people.one_person(pwd.getpwnam(user.name)).groups == {user.name, "staff"}
    assert people.one_person(pwd.getpwnam("root")).is_root


def random_match(dice: random.Random, names: tuple[str, ...]) -> str:
    """A Match line of up to three criteria, each perhaps with exceptions."""
    chosen = dice.sample(sorted(set(CRITERIA) - {"host"}), dice.randint(1, 3))
    words = []
    for kind in chosen:
        patterns = dice.sample(CRITERIA[kind], 1 if kind == "localport" else dice.randint(1, 2))
        if kind == "rdomain":
            patterns = patterns[:1]
        words.append(f"{kind} {','.join(patterns).format(*names)}")
    return " ".join(words)


@pytest.mark.parametrize("seed", range(6))
def test_no_login_is_outside_of_the_classes_and_sshd_treats_those_of_one_alike(
    written: Callable[[str], None], make_user: Callable[..., User], seed: int
) -> None:
    dice = random.Random(seed)
    names = (make_user().name, make_user().name)
    for _ in range(5):
        blocks = [
            f"Match {random_match(dice, names)}\n  MaxAuthTries {number}\n  MaxSessions {number}\n"
            for number in range(10, 10 + dice.randint(1, 5))
        ]
        written("".join(blocks))
        found = read_blocks()
        everybody = people.people([one for block in found for one in block.criteria])
        classes = {(each.is_root, each.blocks): each for each in classes_of(found, everybody)}
        for _ in range(8):
            person = dice.choice(everybody[:2] + [each for each in everybody if each.is_root])
            address = dice.choice(("192.0.2.7", "192.0.2.8", "10.1.2.3", "2001:db8::9", "1.2.3.4"))
            login = dataclasses.replace(
                person,
                address=address,
                host=address,
                local_address=dice.choice(("127.0.0.1", "198.51.100.5", "203.0.113.1")),
                local_port=dice.choice((22, 2222, 2022)),
                rdomain=dice.choice(("", "vrf1", "vrf2")),
            )
            applies = tuple(
                block for block in found if all(meets(login, one) for one in block.criteria)
            )
            told = sshd.settings_of(login)
            of_class = sshd.settings_of(classes[login.is_root, applies].example)
            assert told == of_class, f"{''.join(blocks)}{login}"
