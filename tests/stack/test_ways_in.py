# SPDX-License-Identifier: MIT
"""Every way to PAM_SUCCESS through a service, and what was proved on it."""

import itertools
import random
from functools import partial
from pathlib import Path

import pytest

from pam_totp.stack import dispatch, search, ways_in
from pam_totp.stack.control import WORDS_OF_ACTIONS, Action, actions_of
from pam_totp.stack.factors import OTHERS, meanings
from pam_totp.stack.libpam import RETURN_VALUES, SUCCESS
from pam_totp.stack.lines import Line
from pam_totp.stack.service import Service
from tests.stack.written import SINCE_1_6, UPSTREAM, read

COMMON_AUTH = """\
auth [success=1 default=ignore] pam_unix.so nullok
auth requisite pam_deny.so
auth required pam_permit.so
auth optional pam_cap.so
"""
CODE = "auth required pam_totp.so\n"
SNIPPETS = Path(__file__).resolve().parents[2] / "config" / "pam"
MODULES = ("pam_unix.so", "pam_totp.so", "pam_u2f.so", "pam_env.so", "pam_rootok.so", "pam_x.so")


def ways(root: Path, text: str, **more: str) -> list[str]:
    service = read(root, {"x": text, "common-auth": COMMON_AUTH} | more)
    return [way.words for way in ways_in.ways_in(service)]


def line(module: str, control: str, level: int = 0) -> Line:
    actions, fault = actions_of(control, SINCE_1_6)
    assert not fault
    return Line("/etc/pam.d/x", 1, level, control, actions, module)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("@include common-auth\n", ["password"]),
        ("auth substack common-auth\n", ["password"]),
        ("auth sufficient pam_rootok.so\n@include common-auth\n", ["root", "password"]),
        ("auth required pam_permit.so\n", ["nothing"]),
        ("auth required pam_deny.so\n", []),
        ("auth required pam_debug.so auth=authinfo_unavail\n", []),
        ("auth required pam_debug.so auth=success\n", ["nothing"]),
        ("auth required pam_debug.so cred=auth_err\n", ["nothing"]),
        (
            "auth sufficient pam_u2f.so\nauth required pam_sss.so\n",
            ["security key", "password"],
        ),
        ("auth required pam_mystery.so\n", ["unknown module"]),
        (
            "auth sufficient pam_succeed_if.so user = x\n@include common-auth\n",
            ["nothing", "password"],
        ),
        ("auth optional pam_totp.so\n@include common-auth\n", ["password"]),
        ("auth required pam_exec.so expose_authtok /usr/libexec/pam-totp/verify\n", ["code"]),
        ("auth required pam_exec.so /usr/bin/true\n", ["unknown module"]),
        ("auth required pam_exec.so log=/x/pam-totp/verify /bin/true\n", ["unknown module"]),
        ("auth required pam_exec.so /x/pam-totp/verify security-key\n", ["nothing"]),
        ("auth required pam_exec.so quiet /x/pam-totp/verify fingerprint\n", ["nothing"]),
        ("auth required pam_exec.so /x/pam-totp/verify x\n", ["unknown module"]),
        ("auth required pam_exec.so /bin/true /x/pam-totp/verify\n", ["unknown module"]),
        ("auth required pam_exec.so log=/x quiet seteuid /x/pam-totp/verify\n", ["code"]),
        ("auth required pam_oath.so alwaysok\n", ["nothing"]),
        ("auth required pam_u2f.so alwaysok\n", ["nothing"]),
        ("auth required pam_yubico.so id=1 alwaysok\n", ["nothing"]),
        ("auth include nowhere\nauth sufficient pam_permit.so\n", []),
        ("auth required pam_env.so\nauth required pam_unix.so\n", ["password"]),
        ("auth required pam_env.so\nauth required pam_sss.so\n", ["password"]),
        ("auth required pam_env.so\nauth required pam_sss.so ignore_unknown_user\n", ["nothing"]),
        ("auth required pam_env.so\nauth required pam_mystery.so\n", ["unknown module"]),
        ("auth sufficient pam_u2f.so nouserok\n@include common-auth\n", ["nothing", "password"]),
        ("auth required pam_totp.so publickey_passed\n", ["key"]),
        ("auth required pam_env.so\nauth required pam_totp.so publickey_passed\n", ["key"]),
        (
            "auth [success=1 new_authtok_reqd=1 default=die] pam_unix.so\n"
            "auth requisite pam_deny.so\nauth required pam_permit.so\n",
            ["password"],
        ),
        ("auth sufficient pam_totp.so combined\n@include common-auth\n", ["password"]),
        ("aut required pam_unix.so\nauth sufficient pam_permit.so\n", []),
    ],
)
def test_what_is_proved_on_each_way_in(tmp_path: Path, text: str, said: list[str]) -> None:
    assert ways(tmp_path, text) == said


@pytest.mark.parametrize(
    ("snippet", "before", "first_factors"),
    [
        ("key-or-password-then-code", "", {"key", "password"}),
        ("key-then-code", "", {"key"}),
        ("one-prompt", "", {"password"}),
        ("screen-locker", "", {"password"}),
        ("password-then-code", "@include common-auth\n", {"password"}),
    ],
)
def test_a_snippet_asks_for_the_code_after_the_first_factor(
    tmp_path: Path, snippet: str, before: str, first_factors: set[str]
) -> None:
    text = before + (SNIPPETS / snippet).read_text()
    found = set(ways(tmp_path, text, **{"common-account": "account required pam_unix.so\n"}))
    then = ("code", "no code needed")
    assert found == {f"{first}, then {second}" for first in first_factors for second in then}


def test_example_of_keys_asks_for_one_or_for_the_code(tmp_path: Path) -> None:
    text = "@include common-auth\n" + (SNIPPETS / "password-then-key-or-code").read_text()
    seconds = ("security key", "fingerprint", "code", "no code needed")
    assert set(ways(tmp_path, text)) == {f"password, then {second}" for second in seconds}


def test_what_pam_u2f_reads_of_its_own_file_counts(tmp_path: Path) -> None:
    """pam-u2f 1.4: with such a word everybody has a key, whatever the line says."""
    text = "auth sufficient pam_u2f.so cue\n@include common-auth\n"
    defaults = {"/etc/security/pam_u2f.conf": "# alwaysok\n nouserok # x\n"}
    assert ways(tmp_path, text, **defaults) == ["nothing", "password"]
    defaults = {"/etc/security/pam_u2f.conf": "# alwaysok\ncue_prompt = touch\n"}
    assert ways(tmp_path, text, **defaults) == ["security key", "password"]
    other = {"/etc/u2f.conf": "alwaysok\n", "/etc/security/pam_u2f.conf": "cue\n"}
    named = text.replace("cue", "conf=/etc/x.conf conf=/etc/u2f.conf cue")
    assert ways(tmp_path, named, **other) == ["nothing", "password"]
    assert ways(tmp_path, named.replace("u2f.conf", "y.conf"), **other)[0] == "security key"


def test_after_a_wrong_password_in_a_substack_a_code_is_no_way_in(tmp_path: Path) -> None:
    text = "auth substack common-auth\nauth required pam_totp.so\n"
    assert ways(tmp_path, text) == ["password, then code", "password, then no code needed"]


def test_the_layout_of_red_hat_with_sssd_has_one_way_in(tmp_path: Path) -> None:
    """What authselect writes for its profile sssd; the jumps go over one of two passwords."""
    of_the_kind = "[default=1 ignore=ignore success=ok]"
    text = f"""\
auth required pam_env.so
auth required pam_faildelay.so delay=2000000
auth {of_the_kind} pam_usertype.so isregular
auth {of_the_kind} pam_localuser.so
auth sufficient pam_unix.so nullok
auth {of_the_kind} pam_usertype.so isregular
auth sufficient pam_sss.so forward_pass
auth required pam_deny.so
"""
    assert ways(tmp_path, text) == ["password"]
    assert ways(tmp_path, f"auth substack system-auth\n{CODE}", **{"system-auth": text}) == [
        "password, then code",
        "password, then no code needed",
    ]


def test_a_jump_over_the_code_is_found_with_its_lines(tmp_path: Path) -> None:
    text = "auth [success=1 default=die] pam_unix.so\nauth required pam_totp.so\n"
    service = read(tmp_path, text + "auth required pam_permit.so\n")
    (way,) = ways_in.ways_in(service)
    assert way.words == "password"
    found = [(step.line.number, step.results) for step in way.steps]
    assert found == [(1, ("success",)), (3, ("success",))]


def test_a_service_that_is_refused_has_no_way_in(tmp_path: Path) -> None:
    assert ways(tmp_path, "auth required pam_permit.so\n@include nowhere\n") == []


def test_success_that_does_not_count_still_proves(tmp_path: Path) -> None:
    text = "auth [default=ignore] pam_unix.so\nauth required pam_permit.so\n"
    assert ways(tmp_path, text) == ["nothing"]


def random_lines(chance: random.Random, count: int) -> list[Line]:
    found, level = [], 0
    for _ in range(count):
        actions = (*WORDS_OF_ACTIONS, "1", "2")
        entries = [
            f"{chance.choice(('success', 'ignore', 'auth_err', 'default', 'new_authtok_reqd'))}="
            f"{chance.choice(actions)}"
            for _ in range(3)
        ]
        words = ("required", "requisite", "sufficient", "optional", " ".join(entries))
        if chance.random() < 0.15:
            mark = Line("/etc/pam.d/x", 1, level, "substack", module="i", is_substack=True)
            found.append(mark)
            level += 1
        found.append(line(chance.choice(MODULES), chance.choice(words), level))
        if level and chance.random() < 0.4:
            level -= 1
    return found


def result_of(results: dict[int, int], each: Line) -> int:
    return results[id(each)]


def end_of(
    lines: list[Line], edges: search.Edges, results: dict[int, int]
) -> tuple[bool, list[int]]:
    """Whether the search ends in success where modules return these values, and the lines to it."""
    state, reached = dispatch.start(lines), []
    while edges[state]:
        reached.append(state.at)
        value = results[id(lines[state.at])]
        (state,) = (after for group, after in edges[state] if value in group.values)
    return dispatch.value_of(state) == SUCCESS, reached


@pytest.mark.parametrize("seed", range(30))
def test_the_search_ends_where_each_combination_of_results_does(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        lines = random_lines(chance, chance.randint(1, 7))
        of_authenticate = search.edges_of(lines)
        of_setcred = search.edges_of(lines, jump_counts=dispatch.jump_is_ok(UPSTREAM))
        for _ in range(20):
            results = {id(each): chance.randrange(len(RETURN_VALUES)) for each in lines}
            first = dispatch.authenticate(lines, partial(result_of, results), SINCE_1_6)
            second = dispatch.setcred(lines, partial(result_of, results), UPSTREAM)
            for outcome, edges in ((first, of_authenticate), (second, of_setcred)):
                said = (outcome.value == SUCCESS, list(outcome.reached))
                assert end_of(lines, edges, results) == said


@pytest.mark.parametrize("seed", range(30))
def test_no_way_in_is_left_out_and_none_is_made_up(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(10):
        lines = random_lines(chance, chance.randint(1, 5))
        found = [frozenset(way.proved) for way in ways_in.all_ways(lines)]
        assert len(set(found)) == len(found)
        assert set(found) == proved_by_trying_all(lines)


def proved_by_trying_all(lines: list[Line]) -> set[frozenset[object]]:
    groups = [() if each.is_substack else search.groups_of(each, meanings) for each in lines]
    found = set()
    for choice in itertools.product(*(each or (None,) for each in groups)):
        taken = {id(each): group for each, group in zip(lines, choice, strict=True) if group}
        results = {key: group.example for key, group in taken.items()}
        outcome = dispatch.authenticate(lines, partial(result_of, results), SINCE_1_6)
        if outcome.value == SUCCESS:
            met = [taken[id(lines[at])].meaning for at in outcome.reached]
            found.add(frozenset(each for each in met if each is not None))
    return found


def test_a_stack_of_40_lines_with_10_jumps_is_followed() -> None:
    jumps = [line("pam_succeed_if.so", f"success={1 + n % 3} default=ignore") for n in range(10)]
    rest = [line("pam_env.so", "optional"), line("pam_faillock.so", "required")] * 15
    mixed = [each for pair in itertools.zip_longest(rest, jumps) for each in pair if each]
    assert len(mixed) == 40
    assert len(search.edges_of([*mixed, line("pam_unix.so", "required")])) < 400


@pytest.mark.parametrize(
    ("controls", "values"),
    [
        (["required"], "success perm_denied auth_err new_authtok_reqd incomplete"),
        (["sufficient", "requisite"], "success perm_denied auth_err new_authtok_reqd incomplete"),
        (["default=ignore"], "perm_denied incomplete"),
        (["optional", "default=die"], "auth_err incomplete"),
    ],
)
def test_what_a_stack_can_return(controls: list[str], values: str) -> None:
    edges = search.edges_of([line("pam_x.so", control) for control in controls])
    assert {RETURN_VALUES[value] for value in search.values_of(edges)} == set(values.split())


def test_of_many_proofs_with_the_same_lines_the_least_are_ways_in() -> None:
    names = (*sorted(OTHERS)[:8], "unix")
    lines = [line(f"pam_{name}.so", "optional") for name in names]
    service = Service("x", {"auth": tuple(lines)}, ())
    assert [len(way.proved) for way in ways_in.ways_in(service)] == [1] * len(lines)


def nested(levels: int) -> list[Line]:
    actions: list[Action] = ["ok", "bad", "reset", "ignore"]
    control = " ".join(
        f"{value}={actions[n % len(actions)]}" for n, value in enumerate(RETURN_VALUES[:-1])
    )
    found = []
    for level in range(levels):
        found.append(line("pam_x.so", control, level))
        found.append(Line("/etc/pam.d/x", 1, level, "substack", module="i", is_substack=True))
    return [*found, *[line("pam_x.so", "required", levels)] * 20]


def test_a_stack_that_takes_too_long_to_follow_is_not_followed() -> None:
    with pytest.raises(search.TooManyWays, match="too many ways to follow"):
        search.edges_of(nested(15))
    names = (*sorted(OTHERS), "rootok", "unix", "mystery")
    with pytest.raises(search.TooManyWays):
        ways_in.all_ways([line(f"pam_{name}.so", "optional") for name in names])
