"""The C module on every path, with address, leak and undefined-behaviour sanitizers and as it is
shipped: who is let in, the password put back, copies wiped, nothing left open."""

from pathlib import Path

import pytest

from tests.host.system_log import SystemLog
from tests.module.bench import PASSWORD, RIGHT_CODE, Bench, Login

# security/_pam_types.h
SUCCESS, SERVICE_ERR, AUTH_ERR, PERM_DENIED = 0, 3, 7, 6
PROMPT = "Verification code: "
MOST_BYTES_OF_PAM_EXEC = 511

WRONG, RIGHT = "=000000", f"={RIGHT_CODE}"
KEY_PASSED = "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA"


def assert_refused(login: Login) -> None:
    assert login.authenticate == AUTH_ERR
    assert login.password_after == PASSWORD
    assert login.messages == []


class TestCode:
    def test_right_code_succeeds(self, bench: Bench) -> None:
        login = bench.log_in(RIGHT)
        assert (login.authenticate, login.setcred) == (SUCCESS, SUCCESS)
        assert (login.prompts, login.typed) == ([PROMPT], [RIGHT_CODE])
        assert login.password_after == PASSWORD

    def test_wrong_code_is_asked_again_three_times_in_all(self, bench: Bench) -> None:
        login = bench.log_in(WRONG, WRONG, WRONG, RIGHT)
        assert_refused(login)
        assert (login.prompts, len(login.typed)) == ([PROMPT] * 3, 3)

    def test_right_code_after_a_wrong_one_succeeds(self, bench: Bench) -> None:
        login = bench.log_in(WRONG, RIGHT)
        assert login.authenticate == SUCCESS
        assert login.password_after == PASSWORD

    def test_login_without_a_password_leaves_none(self, bench: Bench) -> None:
        """The next module is not handed the code as the password: it has to ask."""
        login = bench.log_in(RIGHT, "=asked anew", password=None)
        assert login.authenticate == SUCCESS
        assert login.prompts == [PROMPT, "Password: "]
        assert login.password_after == "asked anew"

    @pytest.mark.parametrize("password", ["", " ", "p" * 511, "p" * 5000, "ü☎ %s%n", RIGHT_CODE])
    def test_password_of_any_kind_is_put_back(self, bench: Bench, password: str) -> None:
        for answers in ((RIGHT,), (WRONG, WRONG, WRONG), ()):
            login = bench.log_in(*answers, password=password)
            assert (login.authenticate == SUCCESS) == (answers == (RIGHT,))
            assert login.password_after == password[:MOST_BYTES_OF_PAM_EXEC]


class TestAnswers:
    @pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 600, 5000, 100_000])
    def test_answer_of_any_length_is_refused(self, bench: Bench, length: int) -> None:
        login = bench.log_in(f"long:{length}", f"long:{length}", f"long:{length}")
        assert_refused(login)
        assert {len(each) for each in login.typed} == {min(length, MOST_BYTES_OF_PAM_EXEC)}

    def test_right_code_after_a_long_answer_succeeds(self, bench: Bench) -> None:
        assert bench.log_in("long:5000", RIGHT).authenticate == SUCCESS

    def test_null_answer_refuses_without_asking_again(self, bench: Bench) -> None:
        login = bench.log_in("null", RIGHT)
        assert_refused(login)
        assert (login.prompts, login.typed) == ([PROMPT], [""])  # so that it is in the log

    @pytest.mark.parametrize("error", [1, 4, 5, 6, 7, 19, 25, 26, 30, 31, 99, -1])
    @pytest.mark.parametrize("first", [(), (WRONG,)])
    def test_failing_conversation_refuses_without_asking_again(
        self, bench: Bench, first: tuple[str, ...], error: int
    ) -> None:
        login = bench.log_in(*first, f"error:{error}", RIGHT)
        assert_refused(login)
        assert len(login.prompts) == len(first) + 1
        assert login.typed == [answer[1:] for answer in first] + [""]

    @pytest.mark.parametrize("answer", ["null", "error:19", "error:0"])
    def test_no_answer_is_refused_whatever_the_verifier_says(
        self, bench: Bench, answer: str
    ) -> None:
        bench.program("verify", "#!/bin/sh\nexit 0\n")
        assert bench.log_in(answer).authenticate == AUTH_ERR
        assert bench.log_in(WRONG).authenticate == SUCCESS

    @pytest.mark.parametrize("answer", ["=%s%n%s%n", "=ü☎", "=\x01\x7f\x1b[2J", "=-1", "=$(id)"])
    def test_odd_answer_reaches_the_verifier_as_it_is(self, bench: Bench, answer: str) -> None:
        login = bench.log_in(answer, RIGHT)
        assert login.authenticate == SUCCESS
        assert login.typed == [answer[1:], RIGHT_CODE]


class TestGate:
    def test_no_code_needed_asks_nothing_and_is_not_a_yes(self, bench: Bench) -> None:
        bench.gate_does("exit 0")
        login = bench.log_in(control="required", password=None)
        assert login.prompts[:1] != [PROMPT]
        assert login.authenticate == PERM_DENIED
        login = bench.log_in()
        assert (login.authenticate, login.prompts, login.typed) == (SUCCESS, [], [])
        assert login.password_after == PASSWORD

    @pytest.mark.parametrize(
        "command",
        ["exit 1", "exit 2", "exit 25", "exit 127", "exit 255", "kill -9 $$", "kill -11 $$"],
    )
    def test_any_other_answer_of_the_gate_asks(self, bench: Bench, command: str) -> None:
        bench.gate_does(command)
        assert bench.log_in(RIGHT).prompts == [PROMPT]
        assert_refused(bench.log_in(WRONG, WRONG, WRONG))

    @pytest.mark.parametrize("damage", ["missing", "not executable", "no interpreter", "a folder"])
    def test_gate_that_cannot_run_asks(self, bench: Bench, damage: str) -> None:
        break_program(bench.folder / "gate", damage)
        login = bench.log_in(RIGHT)
        assert (login.authenticate, login.prompts) == (SUCCESS, [PROMPT])


class TestVerifier:
    @pytest.mark.parametrize(
        "command",
        [f"exit {n}" for n in (1, 2, 6, 25, 126, 127, 128, 255)]
        + [f"kill -{n} $$" for n in ("KILL", "SEGV", "TERM", "ABRT", "HUP")],
    )
    def test_any_end_but_exit_0_refuses(self, bench: Bench, command: str) -> None:
        bench.program("verify", f"#!/bin/sh\n{command}\n")
        login = bench.log_in(RIGHT, RIGHT, RIGHT)
        assert_refused(login)
        assert login.prompts == [PROMPT] * 3

    @pytest.mark.parametrize("damage", ["missing", "not executable", "no interpreter", "a folder"])
    def test_verifier_that_cannot_run_refuses(self, bench: Bench, damage: str) -> None:
        break_program(bench.folder / "verify", damage)
        assert_refused(bench.log_in(RIGHT, RIGHT, RIGHT))

    def test_verifier_that_does_not_read_refuses_or_lets_in_by_its_exit_code(
        self, bench: Bench
    ) -> None:
        bench.program("verify", "#!/bin/sh\nexec <&-\nexit 1\n")
        assert_refused(bench.log_in("long:511", "long:511", RIGHT))


class TestPamExec:
    @pytest.mark.parametrize("damage", ["missing", "no library", "another library"])
    def test_without_pam_exec_beside_it_everyone_is_refused(
        self, bench: Bench, syslog: SystemLog, damage: str
    ) -> None:
        pam_exec = bench.folder / "pam_exec.so"
        pam_exec.unlink()
        if damage == "no library":
            pam_exec.write_bytes(b"\x7fELF junk")
        elif damage == "another library":
            pam_exec.symlink_to(next(Path("/usr/lib").glob("*/libpam_misc.so.0")))
        login = bench.log_in(RIGHT)
        assert_refused(login)
        assert (login.prompts, login.gate_ran) == ([], False)
        assert "no pam_exec.so beside this module" in syslog.wait_for("refused: ").message


class TestOptions:
    @pytest.mark.parametrize("tries", range(1, 10))
    def test_tries_are_those_of_the_option(self, bench: Bench, tries: int) -> None:
        login = bench.log_in(*[WRONG] * 10, options=f"tries={tries}")
        assert_refused(login)
        assert len(login.prompts) == tries

    @pytest.mark.parametrize("prompt", ["Code: ", "", "%s%n%d", "ü☎", "p" * 800])
    def test_prompt_is_that_of_the_option(self, bench: Bench, prompt: str) -> None:
        login = bench.log_in(RIGHT, options=f"[prompt={prompt}]" if prompt else "prompt=")
        assert (login.authenticate, login.prompts) == (SUCCESS, [prompt])

    def test_last_of_two_options_counts(self, bench: Bench) -> None:
        assert len(bench.log_in(*[WRONG] * 9, options="tries=9 tries=2").prompts) == 2

    @pytest.mark.parametrize(
        "options",
        [
            *("tries=0", "tries=10", "tries=", "tries=x", "tries=-1", "tries=3x", "tries= 3"),
            *("tries", "Tries=3", "prompt", "nullok", "debug", "publickey_passed=1", "--help"),
            *("tries=3 frobnicate", "%s%n", "x" * 900),
        ],
    )
    def test_unknown_option_refuses_everyone_before_anything_is_asked(
        self, bench: Bench, syslog: SystemLog, options: str
    ) -> None:
        bench.gate_does("exit 0")
        login = bench.log_in(RIGHT, options=options)
        assert (login.authenticate, login.prompts, login.gate_ran) == (SERVICE_ERR, [], False)
        assert login.password_after == PASSWORD
        line = syslog.wait_for("refused: ")
        assert line.severity == "err"
        assert any(option[:200] in line.message for option in options.split())


class TestPublicKey:
    def answer(self, bench: Bench, *variables: str, service: str = "sshd") -> tuple[int, int]:
        login = bench.log_in(
            options="publickey_passed", password=None, variables=variables, service=service
        )
        assert not login.gate_ran
        assert PROMPT not in login.prompts
        return login.authenticate, login.setcred

    @pytest.mark.parametrize(
        "methods",
        [
            "publickey ssh-ed25519 AAAA",
            "publickey ssh-ed25519 AAAA\n",
            "password\npublickey rsa BBBB",
            "publickey " + "A" * 20_000,
            "\npublickey x",
        ],
    )
    def test_key_that_sshd_reports_succeeds(self, bench: Bench, methods: str) -> None:
        assert self.answer(bench, f"SSH_AUTH_INFO_0={methods}") == (SUCCESS, SUCCESS)

    @pytest.mark.parametrize(
        "variables",
        [
            (),
            ("SSH_AUTH_INFO_0=",),
            ("SSH_AUTH_INFO_0=publickey",),
            ("SSH_AUTH_INFO_0=publickeyx y",),
            ("SSH_AUTH_INFO_0= publickey x",),
            ("SSH_AUTH_INFO_0=password publickey x",),
            ("SSH_AUTH_INFO_0=keyboard-interactive/pam\n",),
            ("SSH_AUTH_INFO_0=" + "\n" * 5000,),
            ("SSH_AUTH_INFO_1=publickey x",),
        ],
    )
    def test_anything_else_fails(self, bench: Bench, variables: tuple[str, ...]) -> None:
        authenticate, setcred = self.answer(bench, *variables)
        assert authenticate == AUTH_ERR
        assert setcred != SUCCESS

    @pytest.mark.parametrize("service", ["login", "sudo", "ssh", "sshd2", "sshd-session"])
    def test_other_services_are_not_believed(self, bench: Bench, service: str) -> None:
        assert self.answer(bench, KEY_PASSED, service=service)[0] == AUTH_ERR

    def test_right_code_does_not_need_a_key(self, bench: Bench) -> None:
        assert bench.log_in(RIGHT, variables=(KEY_PASSED,), service="sshd").authenticate == SUCCESS
        assert_refused(bench.log_in(variables=(KEY_PASSED,), service="sshd"))


def break_program(path: Path, damage: str) -> None:
    if damage == "not executable":
        path.chmod(0o644)
    elif damage == "no interpreter":
        path.write_text("#!/nonexistent/python3\n", encoding="ascii")
    else:
        path.unlink()
        if damage == "a folder":
            path.mkdir()
