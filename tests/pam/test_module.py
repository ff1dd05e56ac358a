# SPDX-License-Identifier: MIT
"""The C module on every path, with address, leak and undefined-behaviour sanitizers and as it is
shipped: who is accepted, the password put back, copies wiped, nothing left open."""

from pathlib import Path

import pytest

from tests.host.system_log import SystemLog
from tests.pam.bench import PASSWORD, RIGHT_CODE, Bench, Login

# security/_pam_types.h
SUCCESS, SERVICE_ERR, AUTH_ERR, PERM_DENIED, AUTHINFO_UNAVAIL = 0, 3, 7, 6, 9
PROMPT = "Verification code: "
MAX_BYTES_OF_PAM_EXEC = 511

WRONG, RIGHT = "=000000", f"={RIGHT_CODE}"
KEY_PASSED = "SSH_AUTH_INFO_0=publickey ssh-ed25519 AAAA"


def assert_refused(login: Login) -> None:
    assert login.authenticate == AUTH_ERR
    assert login.password_after == PASSWORD
    assert login.messages == []


class TestCode:
    def test_correct_code_succeeds(self, bench: Bench) -> None:
        login = bench.log_in(RIGHT)
        assert (login.authenticate, login.setcred) == (SUCCESS, SUCCESS)
        assert (login.prompts, login.typed) == ([PROMPT], [RIGHT_CODE])
        assert login.password_after == PASSWORD

    def test_incorrect_code_is_asked_again_three_times_in_all(self, bench: Bench) -> None:
        login = bench.log_in(WRONG, "=000001", "=000002", RIGHT)
        assert_refused(login)
        assert (login.prompts, len(login.typed)) == ([PROMPT] * 3, 3)

    def test_correct_code_after_a_wrong_one_succeeds(self, bench: Bench) -> None:
        login = bench.log_in(WRONG, RIGHT)
        assert login.authenticate == SUCCESS
        assert login.password_after == PASSWORD

    def test_login_without_a_password_leaves_none(self, bench: Bench) -> None:
        """The next module is not handed the code as the password: it has to ask."""
        login = bench.log_in(RIGHT, "=asked anew", password=None)
        assert login.authenticate == SUCCESS
        assert login.prompts == [PROMPT, "Password: "]
        assert login.password_after == "asked anew"

    @pytest.mark.parametrize(
        "password", ["", " ", "p" * 511, "p" * 5000, "ü☎ %s%n", f"{RIGHT_CODE}0"]
    )
    def test_password_of_any_kind_is_put_back(self, bench: Bench, password: str) -> None:
        for answers in ((RIGHT,), (WRONG, WRONG, WRONG), ()):
            login = bench.log_in(*answers, password=password)
            assert (login.authenticate == SUCCESS) == (answers == (RIGHT,))
            assert login.password_after == password[:MAX_BYTES_OF_PAM_EXEC]


class TestAnswers:
    @pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 600, 5000, 100_000])
    def test_answer_of_any_length_is_refused(self, bench: Bench, length: int) -> None:
        login = bench.log_in(f"long:{length}", f"long:{length}", f"long:{length}")
        assert_refused(login)
        assert {len(each) for each in login.typed} == {min(length, MAX_BYTES_OF_PAM_EXEC)}

    def test_correct_code_after_a_long_answer_succeeds(self, bench: Bench) -> None:
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

    def test_verifier_that_does_not_read_refuses_or_accepts_by_its_exit_code(
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
        assert (login.authenticate, login.password_after) == (AUTHINFO_UNAVAIL, PASSWORD)
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
            *("tries", "Tries=3", "prompt", "nullok", "debug=1", "publickey_passed=1", "--help"),
            *("tries=3 frobnicate", "%s%n", "x" * 900, "combined=", "combined=5", "combined=9"),
            *("combined=66", "combined=+6", "combinedd", "Combined", "combined=[678]", "?ombined"),
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
    def test_anything_else_fails_and_is_logged(
        self, bench: Bench, syslog: SystemLog, variables: tuple[str, ...]
    ) -> None:
        authenticate, setcred = self.answer(bench, *variables)
        assert authenticate == AUTH_ERR
        assert setcred != SUCCESS
        line = syslog.wait_for("pam_totp(sshd:auth): publickey_passed: sshd reports no accepted")
        assert (line.facility, line.severity) == ("authpriv", "notice")

    @pytest.mark.parametrize("service", ["login", "sudo", "ssh", "sshd2", "sshd-session"])
    def test_other_services_are_not_believed(self, bench: Bench, service: str) -> None:
        assert self.answer(bench, KEY_PASSED, service=service)[0] == AUTH_ERR

    def test_correct_code_does_not_need_a_key(self, bench: Bench) -> None:
        assert bench.log_in(RIGHT, variables=(KEY_PASSED,), service="sshd").authenticate == SUCCESS
        assert_refused(bench.log_in(variables=(KEY_PASSED,), service="sshd"))


class TestCombined:
    """A line with `combined` before the one that verifies, as in config/pam/one-prompt."""

    def log_in(self, bench: Bench, typed: str | None, *answers: str, options: str = "") -> Login:
        # What the module may have copied is watched for: answers that nobody may come to ask for.
        watched = (f"={PASSWORD}", RIGHT)
        return bench.log_in(*answers, *watched, password=typed, first="combined", options=options)

    def test_code_at_the_end_of_the_password_is_taken_off_and_nothing_asked(
        self, bench: Bench
    ) -> None:
        login = self.log_in(bench, PASSWORD + RIGHT_CODE)
        assert (login.authenticate, login.setcred) == (SUCCESS, SUCCESS)
        assert (login.prompts, login.typed) == ([], [RIGHT_CODE])
        assert login.password_after == PASSWORD

    def test_password_is_asked_for_where_there_is_none(self, bench: Bench) -> None:
        login = self.log_in(bench, None, f"={PASSWORD}{RIGHT_CODE}")
        assert (login.authenticate, login.prompts) == (SUCCESS, ["Password: "])
        assert (login.typed, login.password_after) == ([RIGHT_CODE], PASSWORD)

    def test_incorrect_code_is_tried_once_however_many_tries_there_are(self, bench: Bench) -> None:
        login = self.log_in(bench, f"{PASSWORD}000000", options="tries=9")
        assert_refused(login)
        assert (login.prompts, login.typed) == ([], ["000000"])

    @pytest.mark.parametrize(
        "typed",
        ["", RIGHT_CODE, PASSWORD, "1", "12345", f"{PASSWORD}12345", f"{RIGHT_CODE} ", "p" * 5000]
        + [
            f"{PASSWORD}12345{digit}"
            for digit in ("\u0666", "\uff16", "\xb2", "a", "/", ":", "\x01")
        ],
    )
    def test_password_without_a_code_after_it_stays_whole_and_is_refused_with_an_empty_code(
        self, bench: Bench, typed: str
    ) -> None:
        login = self.log_in(bench, typed)
        assert (login.authenticate, login.prompts, login.typed) == (AUTH_ERR, [], [""])
        assert login.password_after == typed[:MAX_BYTES_OF_PAM_EXEC]

    def test_no_code_is_refused_whatever_the_verifier_says(self, bench: Bench) -> None:
        bench.program("verify", "#!/bin/sh\nexit 0\n")
        assert self.log_in(bench, PASSWORD).authenticate == AUTH_ERR
        assert self.log_in(bench, f"{PASSWORD}000000").authenticate == SUCCESS

    @pytest.mark.parametrize(
        ("option", "digits"), [("combined=6", 6), ("combined=7", 7), ("combined=8", 8)]
    )
    def test_option_says_how_many_digits_are_the_code(
        self, bench: Bench, option: str, digits: int
    ) -> None:
        login = bench.log_in(password=f"{PASSWORD}0123456789", first=option)
        assert login.typed == ["0123456789"[-digits:]]
        assert login.password_after == f"{PASSWORD}{'0123456789'[:-digits]}"
        few = bench.log_in(password=f"p{'1' * (digits - 1)}", first=option)
        assert (few.typed, few.password_after) == ([""], f"p{'1' * (digits - 1)}")

    @pytest.mark.parametrize(
        "typed", [f"{'p' * 5000}{RIGHT_CODE}", f"%s%n\u260e{RIGHT_CODE}", f" {RIGHT_CODE}"]
    )
    def test_password_of_any_kind_is_given_on_without_the_code(
        self, bench: Bench, typed: str
    ) -> None:
        login = self.log_in(bench, typed)
        assert (login.authenticate, login.typed) == (SUCCESS, [RIGHT_CODE])
        assert login.password_after == typed[: -len(RIGHT_CODE)][:MAX_BYTES_OF_PAM_EXEC]

    def test_nothing_is_taken_off_where_no_code_is_needed(self, bench: Bench) -> None:
        bench.gate_does("exit 0")
        login = self.log_in(bench, PASSWORD + RIGHT_CODE)
        assert (login.authenticate, login.prompts, login.typed) == (SUCCESS, [], [])
        assert login.password_after == PASSWORD + RIGHT_CODE

    def test_code_that_turns_out_not_to_be_needed_is_not_looked_at(self, bench: Bench) -> None:
        bench.gate_does('[ "$1" != look ]')
        login = self.log_in(bench, PASSWORD + RIGHT_CODE)
        assert (login.authenticate, login.prompts, login.typed) == (SUCCESS, [], [])
        assert login.password_after == PASSWORD

    def test_gate_of_the_other_line_is_told_that_nobody_is_asked(self, bench: Bench) -> None:
        bench.gate_does(f'echo "$*" >> {bench.folder}/asked; exit 1')
        self.log_in(bench, PASSWORD + RIGHT_CODE)
        assert (bench.folder / "asked").read_text(encoding="ascii") == "look\ncombined\n"

    @pytest.mark.parametrize("damage", ["missing", "not executable", "no interpreter", "a folder"])
    def test_gate_that_cannot_run_splits_and_asks_for_the_code(
        self, bench: Bench, damage: str
    ) -> None:
        break_program(bench.folder / "gate", damage)
        assert self.log_in(bench, PASSWORD + RIGHT_CODE).authenticate == SUCCESS
        assert self.log_in(bench, PASSWORD).authenticate == AUTH_ERR

    def test_without_pam_exec_everyone_is_refused(self, bench: Bench) -> None:
        (bench.folder / "pam_exec.so").unlink()
        login = self.log_in(bench, PASSWORD + RIGHT_CODE)
        assert (login.authenticate, login.prompts) == (AUTHINFO_UNAVAIL, [])
        assert not login.gate_ran

    @pytest.mark.parametrize("answer", ["null", "error:19", "error:6"])
    def test_nobody_who_answers_is_refused(self, bench: Bench, answer: str) -> None:
        login = bench.log_in(answer, password=None, first="combined")
        assert login.authenticate == AUTH_ERR

    def test_second_line_that_verifies_gets_no_second_try(self, bench: Bench) -> None:
        """Nor does it prompt: what answers is a client that knows one answer."""
        bench.program("verify", "#!/bin/sh\n/bin/cat >> {folder}/typed; echo >> {folder}/typed\n")
        twice = f"combined\nauth required {bench.folder}/pam_totp.so"
        login = bench.log_in(password=PASSWORD + RIGHT_CODE, first=twice)
        assert (login.authenticate, login.prompts, login.typed) == (AUTH_ERR, [], [RIGHT_CODE, ""])

    def test_nothing_is_kept_for_a_line_without_it(self, bench: Bench) -> None:
        login = bench.log_in(RIGHT, password=PASSWORD + RIGHT_CODE)
        assert (login.authenticate, login.prompts) == (SUCCESS, [PROMPT])
        assert login.password_after == PASSWORD + RIGHT_CODE


def break_program(path: Path, damage: str) -> None:
    if damage == "not executable":
        path.chmod(0o644)
    elif damage == "no interpreter":
        path.write_text("#!/nonexistent/python3\n", encoding="ascii")
    else:
        path.unlink()
        if damage == "a folder":
            path.mkdir()
