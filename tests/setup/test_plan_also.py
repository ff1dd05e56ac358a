# SPDX-License-Identifier: MIT
"""`--also`: lines for a security key and a fingerprint before ours; what every login comes to."""

import itertools
from pathlib import Path

import pytest

from pam_totp.errors import Error
from pam_totp.setup import plan_pam
from pam_totp.setup.also import IN_HOMES, KINDS, OF_ROOT, Also
from pam_totp.setup.beside import BESIDE, INSTEAD, Choice
from pam_totp.setup.block import take_out
from pam_totp.setup.host import PamHost
from pam_totp.setup.proof import PASSWORD_ONLY, prove
from pam_totp.stack import dispatch
from pam_totp.stack.libpam import AUTH_ERR, IGNORE, RETURN_VALUES, SUCCESS
from pam_totp.stack.lines import Line
from pam_totp.stack.service import Service
from pam_totp.stack.ways_in import ways_in
from tests.host.pam_services import shipped_lines
from tests.setup.test_plan_beside import GOOGLE
from tests.setup.test_plan_pam import COMMON, FAILLOCK, FILES, INCLUDE, KEYRING, REST
from tests.stack.written import SINCE_1_6, read, write

U2F, FINGER, BOTH = ("u2f",), ("fingerprint",), ("u2f", "fingerprint")
# Files of a service, and of what it includes.
LAYOUTS = {
    "debian": (FILES["login"], COMMON),
    "at the end": (f"{REST}{INCLUDE}", COMMON),
    "a keyring": (INCLUDE + REST, KEYRING),
    "faillock": (INCLUDE + REST, FAILLOCK.format("required")),
    "a substack": (f"auth substack common-auth\n{REST}", COMMON),
    "required": ("auth required pam_unix.so\nauth optional pam_group.so\n", COMMON),
    "sufficient": ("auth sufficient pam_unix.so\nauth required pam_deny.so\n", COMMON),
}
PASSWORDS = ("pam_unix.so", "pam_sss.so", "pam_ldap.so")
FACTORS = frozenset(kind.factor for kind in KINDS.values())
Results = dict[str, int]
# A password that is right and has to be changed: what comes of it is the affair of its own lines.
# And pam_unix ignores nobody.
NOT_TRIED = (RETURN_VALUES.index("new_authtok_reqd"), IGNORE)


def planned(
    root: Path, text: str, also: Also, common: str = COMMON, name: str = "sudo", **files: str
) -> PamHost:
    write(root, FILES | {"common-auth": common, name: text} | files)
    host = PamHost(SINCE_1_6, str(root))
    plan_pam.plan(host, [name], PASSWORD_ONLY, also=also)
    return host


def ours(host: PamHost, name: str = "sudo") -> list[str]:
    """The lines of the file between our marks, without comments."""
    text = (host.would_be[f"/etc/pam.d/{name}"] or b"").decode()
    block = text.partition("# begin of pam-totp's lines")[2].partition("# end of pam-totp")[0]
    return [line for line in block.splitlines()[1:] if line[:1] != "#"]


def login(service: Service, results: Results) -> tuple[bool, list[str]]:
    """Whether the stack accepts, and which lines of second factors and of the log were reached."""

    def result(line: Line) -> int:
        if line.module_name in PASSWORDS:
            return results["password"]
        given = {kind.module: results[name] for name, kind in KINDS.items()}
        given |= {"pam_totp.so": results["code"], "pam_exec.so": results["note"]}
        given |= {"pam_deny.so": AUTH_ERR, "pam_faillock.so": results["password"]}
        return given.get(line.module_name, SUCCESS)

    lines = service.stacks["auth"]
    done = dispatch.authenticate(lines, result, SINCE_1_6)
    names = {kind.module: name for name, kind in KINDS.items()} | {"pam_totp.so": "code"}
    reached = [
        names.get(line.module_name) or line.arguments[-1]
        for line in (lines[at] for at in done.reached)
        if line.module_name in (*names, "pam_exec.so")
    ]
    return done.value == SUCCESS, reached


def meant(kinds: tuple[str, ...], results: Results) -> tuple[bool, list[str]]:
    """What a login is to come to: the password, and a key or a finger or a code."""
    reached = list[str]()
    if results["password"] != SUCCESS:
        return False, reached
    for kind in kinds:
        reached.append(kind)
        if results[kind] == SUCCESS:
            return True, [*reached, KINDS[kind].note]
    return results["code"] in (SUCCESS, IGNORE), [*reached, "code"]


@pytest.mark.parametrize("kinds", [U2F, FINGER, BOTH])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_result_of_every_line_accepts_only_the_password_and_one_more(
    tmp_path: Path, layout: str, kinds: tuple[str, ...]
) -> None:
    text, common = LAYOUTS[layout]
    after = planned(tmp_path, text, Also(kinds), common).after("sudo")
    places = ("password", *KINDS, "code", "note")
    incomplete = RETURN_VALUES.index("incomplete")  # the application has to call again
    likely = [(SUCCESS, AUTH_ERR), *[(SUCCESS, IGNORE, AUTH_ERR)] * 3, (AUTH_ERR,)]
    for place, others in itertools.product(places, itertools.product(*likely)):
        for value in range(len(RETURN_VALUES)):
            results = dict(zip(places, others, strict=True)) | {place: value}
            if place == "password" and value in NOT_TRIED:
                continue
            found, wanted = login(after, results), meant(kinds, results)
            if value == incomplete:
                assert found[0] <= wanted[0], results
            else:
                assert found == wanted, results


@pytest.mark.parametrize("kinds", [U2F, FINGER, BOTH])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_is_kept_taken_back_and_taken_out_to_the_byte(
    tmp_path: Path, layout: str, kinds: tuple[str, ...]
) -> None:
    text, common = LAYOUTS[layout]
    host = planned(tmp_path, text, Also(kinds), common)
    (change,) = host.changes()
    assert change.after is not None and take_out(change.after) == text.encode()
    (tmp_path / "etc/pam.d/sudo").write_bytes(change.after)
    for told in (Also(), Also(kinds), Also(kinds * 2)):  # nothing new, and an option twice
        again = PamHost(SINCE_1_6, str(tmp_path))
        plan_pam.plan(again, ["sudo"], PASSWORD_ONLY, also=told)
        assert again.changes() == ()
    for dropped in kinds:
        again = PamHost(SINCE_1_6, str(tmp_path))
        plan_pam.plan(again, ["sudo"], PASSWORD_ONLY, also=Also(dropped=(dropped,)))
        (change,) = again.changes()
        left = b"pam_u2f.so" in (change.after or b""), b"pam_fprintd.so" in (change.after or b"")
        assert left == tuple(each in kinds and each != dropped for each in BOTH)
        assert take_out(change.after or b"") == text.encode()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_line_that_is_taken_out_by_hand_never_leaves_the_password_alone(
    tmp_path: Path, layout: str
) -> None:
    """But for the pam_totp.so line itself, which is what asks."""
    text, common = LAYOUTS[layout]
    host = planned(tmp_path, text, Also(BOTH), common)
    written = (host.would_be["/etc/pam.d/sudo"] or b"").decode()
    for line in ours(host):
        if any(each in line for each in ("pam_u2f.so", "pam_fprintd.so", "/verify")):
            service = read(tmp_path, {"sudo": written.replace(f"{line}\n", "")}, "sudo")
            ways = {way.words for way in ways_in(service)}
            seconds = ("security key", "fingerprint", "code", "no code needed")
            assert ways <= {f"password, then {second}" for second in seconds}, line


def test_what_is_written_is_what_the_example_has(tmp_path: Path) -> None:
    lines = shipped_lines("password-then-key-or-code", COMMON)
    assert ours(planned(tmp_path, INCLUDE + REST, Also(BOTH))) == lines


def test_lines_that_somebody_edited_are_named_and_written_again(tmp_path: Path) -> None:
    host = planned(tmp_path, INCLUDE + REST, Also(BOTH))
    text = (host.would_be["/etc/pam.d/sudo"] or b"").decode()
    for was, edit in (
        ("default=ignore] pam_u2f.so", "default=done] pam_u2f.so"),
        ("cue userpresence=1", "nouserok"),
        ("max-tries=1", "max-tries=-1"),
        ("success=2 ignore=2 default=die", "success=2 ignore=1 default=die"),
        ("/verify security-key", "/verify"),
    ):
        assert was in text
        write(tmp_path, {"sudo": text.replace(was, edit, 1)})
        again = PamHost(SINCE_1_6, str(tmp_path))
        plan = plan_pam.plan(again, ["sudo"], PASSWORD_ONLY)
        assert again.would_be["/etc/pam.d/sudo"] == text.encode()
        assert [each for each in plan.notes if "was edited" in each], edit


def test_keys_of_the_root_s_store_are_in_roots_file(tmp_path: Path) -> None:
    for keys in (OF_ROOT, IN_HOMES):
        line = ours(planned(tmp_path, INCLUDE + REST, Also(U2F, keys=keys)))[0]
        assert f"pam_u2f.so authfile={keys} " in line and "nouserok" not in line


ORDER = "auth [success={} default=ignore] pam_u2f.so\n"
CODE = "auth [success=1 ignore=1 default=die] pam_totp.so\n"
LANDING = "auth required pam_permit.so\n"
NOTE = "auth [default=ignore] pam_exec.so /usr/libexec/pam-totp/verify security-key\n"


@pytest.mark.parametrize(
    ("lines", "what"),
    [
        (ORDER.format(1) + CODE + NOTE, ""),
        # The key stands for the password as well, or for nothing.
        (f"auth sufficient pam_u2f.so\n{INCLUDE}{CODE}{NOTE}", "security key would be enough"),
        (f"auth [success=5 default=ignore] pam_u2f.so\n{INCLUDE}{CODE}{LANDING}",
         "security key would be enough"),
        (INCLUDE + ORDER.format(1).replace("default=ignore", "default=1") + CODE + NOTE,
         "password would be enough, without"),
        (INCLUDE + ORDER.format(1).replace("pam_u2f.so", "pam_u2f.so nouserok") + CODE + NOTE,
         "password would be enough, without"),
        (INCLUDE + ORDER.format(1).replace("default=ignore", "default=die") + CODE + NOTE,
         "with a correct code, users who can log in today would be refused"),
        (INCLUDE + ORDER.format(3) + CODE + NOTE,
         "with a security key or a fingerprint, users who can log in today would be refused"),
        (f"{ORDER.format(1)}auth required pam_permit.so\n{INCLUDE}{CODE}{NOTE}",
         "a code would be asked for before a first factor was proved"),
        (f"auth substack common-auth\n{ORDER.format(1)}{CODE}{NOTE}", "even after a wrong"),
        (INCLUDE + ORDER.format(1) + CODE.replace("ignore=1 ", "") + NOTE,
         "with no code needed, users who can log in today would be refused"),
        (INCLUDE + ORDER.format(1) + CODE + NOTE.replace("security-key", "x"), "is new"),
        (INCLUDE + "auth sufficient pam_u2f.so\n" + CODE + NOTE, ""),
    ],
)  # fmt: skip
def test_another_order_or_control_is_a_fault_of_the_proof(
    tmp_path: Path, lines: str, what: str
) -> None:
    common = {"common-auth": COMMON}
    before = read(tmp_path, common | {"x": INCLUDE})
    after = read(
        tmp_path, common | {"x": lines if INCLUDE in lines or "sub" in lines else INCLUDE + lines}
    )
    faults = [each.what for each in prove(before, after, SINCE_1_6, also=FACTORS)]
    assert any(what in each for each in faults) if what else faults == []
    # Nobody has asked for it: then a key never stands for a code.
    without = [each.what for each in prove(before, after, SINCE_1_6)]
    assert without != []


NO_KEYS = "auth requisite pam_p11.so\n"
REFUSED = {
    "over the network": (
        "sshd", {"sshd": FILES["sshd"]}, "people log in to sshd from elsewhere",
        "write a rule with `publickey: sk` for security keys over ssh (man pam-totp.yaml)",
    ),
    "another sshd": (
        "sshd-vpn", {"sshd-vpn": FILES["sshd"]}, "people log in to sshd-vpn from elsewhere",
        "write a rule with `publickey: sk` for security keys over ssh (man pam-totp.yaml)",
    ),
    "no password": (
        "x", {"x": NO_KEYS}, "x asks for no password, so this would be all that it asks for",
        "pam-totp enable x",
    ),
    "a locker": (
        "slock", {"slock": FILES["slock"]}, "slock shows no question", "pam-totp enable slock"
    ),
    "the same module, before the password": (
        "x", {"x": f"auth sufficient pam_u2f.so\n{INCLUDE}"},
        "x has a line of pam_u2f.so already (/etc/pam.d/x, line 1)",
        "take that line out, and run the command again",
    ),
    "the same module, after the password": (
        "x", {"x": f"{INCLUDE}auth required pam_u2f.so\n"},
        "x has a line of pam_u2f.so already (/etc/pam.d/x, line 2)",
        "take that line out, and run the command again",
    ),
    "the same module, in what is included": (
        "x", {"x": INCLUDE, "common-auth": f"auth sufficient pam_u2f.so\n{COMMON}"},
        "x has a line of pam_u2f.so already (/etc/pam.d/common-auth, line 1)",
        "take that line out, and run the command again",
    ),
    "a file by which everybody has a key": (
        "x", {"x": INCLUDE, "/etc/security/pam_u2f.conf": "# x\ncue\n alwaysok # yes\n"},
        "/etc/security/pam_u2f.conf has alwaysok", "editor /etc/security/pam_u2f.conf",
    ),
    "our line, by hand": (
        "x", {"x": f"{INCLUDE}auth required pam_totp.so\n"},
        "x has a pam_totp.so line that was added by hand", "remove that line, and run",
    ),
    "codes of another module": (
        "x", {"x": f"{INCLUDE}{GOOGLE} nullok\n"},
        "x has a line that asks for codes of google-authenticator",
        "pam-totp enable x --replace google-authenticator",
    ),
    "another service over the network": (
        "login", {"login": INCLUDE, "remote": "@include login\n"},
        "remote, at which people log in from elsewhere, would ask, too",
        "write /etc/pam.d/remote without that include",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_changes_nothing(tmp_path: Path, case: str) -> None:
    name, files, said, hint = REFUSED[case]
    write(tmp_path, FILES | files)
    host = PamHost(SINCE_1_6, str(tmp_path))
    with pytest.raises(Error) as failure:
        plan_pam.plan(host, [name], PASSWORD_ONLY, also=Also(U2F))
    assert said in failure.value.message and hint in failure.value.hint
    assert host.changes() == () or case == "another service over the network"


def test_another_factor_of_the_administrators_never_stands_for_the_password(tmp_path: Path) -> None:
    """A fingerprint in place of the password, as Debian's profile has it, and then a key: two
    factors, and no password. Whoever has the password and the key still gets in."""
    common = COMMON.replace("[success=1", "[success=2", 1)
    finger = "auth [success=3 default=ignore] pam_fprintd.so\n"
    with pytest.raises(Error, match="fingerprint, then security key would be enough"):
        planned(tmp_path, INCLUDE, Also(U2F), finger + common)


def test_module_that_is_not_there_is_told_with_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PamHost, "has_module", lambda _, module: module != "pam_fprintd.so")
    with pytest.raises(Error, match=r"pam_fprintd\.so is not installed") as failure:
        planned(tmp_path, INCLUDE, Also(BOTH))
    assert failure.value.hint == "apt-get install libpam-fprintd"


def test_module_of_another_program_that_is_replaced_asks_nobody_any_more(tmp_path: Path) -> None:
    write(tmp_path, FILES | {"x": f"{INCLUDE}{GOOGLE} nullok\n{REST}"})
    host = PamHost(SINCE_1_6, str(tmp_path))
    told = Choice(INSTEAD, "google-authenticator")
    plan_pam.plan(host, ["x"], PASSWORD_ONLY, told, Also(BOTH))
    assert ours(host, "x") == shipped_lines("password-then-key-or-code", COMMON)
    beside = Choice(BESIDE, "google-authenticator")
    with pytest.raises(Error, match="asks for codes of google-authenticator"):
        plan_pam.plan(PamHost(SINCE_1_6, str(tmp_path)), ["x"], PASSWORD_ONLY, beside, Also(BOTH))


def test_locker_that_includes_the_service_has_the_code_in_its_one_field(tmp_path: Path) -> None:
    host = planned(tmp_path, FILES["login"], Also(BOTH), name="login")
    locker = (host.would_be["/etc/pam.d/i3lock"] or b"").decode()
    assert "pam_totp.so combined" in locker and "u2f" not in locker and "fprintd" not in locker
