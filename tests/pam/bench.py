# SPDX-License-Identifier: MIT
"""The module between an application and two programs of ours that do what a test tells them."""

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE = REPOSITORY / "pam_totp" / "pam" / "pam_totp.c"
EXPORTS = MODULE.with_suffix(".map")
APPLICATIONS = [Path(__file__).with_name(name) for name in ("login.c", "caller.c")]
SECURITY = next(Path("/usr/lib").glob("*/security/pam_exec.so")).parent

PLAIN = ["gcc", "-std=gnu11", "-D_GNU_SOURCE=", "-g", "-Wall", "-Wextra", "-Werror"]
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
# Any finding ends the process with this exit code and a report on standard error.
FINDING = 99
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": f"exitcode={FINDING}:detect_leaks=1:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": f"exitcode={FINDING}:print_stacktrace=1",
}
RIGHT_CODE, PASSWORD = "123456", "correct horse battery"

GATE = """\
#!/bin/sh
/bin/cat {folder}/gate-does > {folder}/gate-ran
. {folder}/gate-does
"""
VERIFY = """\
#!/bin/sh
typed=$(/bin/cat)
printf '%s\\n' "$typed" >> {folder}/typed
case $typed in "does "*) ${{typed#does }} ;; {code}) exit 0 ;; *) exit 1 ;; esac
"""
STORE_PASSWORD = "auth optional {security}/pam_exec.so quiet expose_authtok /bin/true"
TELL_PASSWORD = "auth optional {security}/pam_exec.so quiet expose_authtok {folder}/tell"


def compile_all(folder: Path) -> None:
    """Two folders, `sanitized` and `as-shipped`: module, application, programs, pam_exec.so."""
    for name, flags in (("sanitized", SANITIZED), ("as-shipped", ["-O2"])):
        place = folder / name
        place.mkdir()
        paths = [f'-DGATE="{place}/gate"', f'-DVERIFY="{place}/verify"']
        # The sanitizers open libraries in the module's place, and their $ORIGIN is another.
        folder_of_module = place if name == "sanitized" else "$ORIGIN"
        paths.append(f'-DPAM_EXEC="{folder_of_module}/pam_exec.so"')
        shared = ["-fPIC", "-shared", f"-Wl,--version-script={EXPORTS}"]
        run([*PLAIN, *flags, *paths, *shared, "-o", f"{place}/pam_totp.so", str(MODULE), "-lpam"])
        for source in APPLICATIONS:
            program = ["-rdynamic", "-o", f"{place}/{source.stem}", str(source)]
            run([*PLAIN, *flags, *program, "-lpam", "-ldl", "-pthread"])


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{shlex.join(command)}\n{done.stderr}"


@dataclass
class Login:
    """One login: what was asked and answered by the calls, and what the next module was told."""

    authenticate: int
    setcred: int
    prompts: list[str]
    messages: list[str]
    typed: list[str]
    gate_ran: bool
    password_after: str | None = field(repr=False)


class Bench:
    """One module compiled, the programs it runs, and the services it is used in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in folder.iterdir():
            if path.name not in ("pam_totp.so", "login", "caller"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        (folder / "pam_exec.so").symlink_to(SECURITY / "pam_exec.so")
        self.gate_does("exit 1")
        self.program("gate", GATE)
        self.program("verify", VERIFY)
        self.program("tell", "#!/bin/sh\n/bin/cat > {folder}/told\n")

    def program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.write_text(text.format(folder=self.folder, code=RIGHT_CODE), encoding="utf-8")
        path.chmod(0o755)

    def gate_does(self, command: str) -> None:
        (self.folder / "gate-does").write_text(f"{command}\n", encoding="utf-8")

    def log_in(
        self,
        *answers: str,
        options: str = "",
        password: str | None = PASSWORD,
        service: str = "login",
        variables: tuple[str, ...] = (),
        control: str = "required",
        first: str = "",
    ) -> Login:
        """One login: `answers` as tests/pam/login.c takes them, after the `password` if any.

        `first` are the options of a line of ours before the one with `options`.
        Whatever a sanitizer finds fails it, as do open descriptors, children, unwiped copies.
        """
        stack = [
            *([STORE_PASSWORD] if password is not None else []),
            *([f"auth {control} {{folder}}/pam_totp.so {first}"] if first else []),
            f"auth {control} {{folder}}/pam_totp.so {options}",
            TELL_PASSWORD,
        ]
        services = self.folder / "services"
        services.mkdir(exist_ok=True)
        text = "\n".join(stack).format(folder=self.folder, security=SECURITY)
        (services / service).write_text(f"{text}\n", encoding="utf-8")
        for name in ("typed", "told", "gate-ran"):
            (self.folder / name).unlink(missing_ok=True)
        given = [*([f"={password}"] if password is not None else []), *answers]
        done = subprocess.run(
            [str(self.folder / "login"), str(services), service, *variables, "--", *given],
            env=os.environ | SANITIZER_OPTIONS,
            capture_output=True,
            text=True,
            errors="backslashreplace",
            timeout=30,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return self._understand(done.stdout, password is not None)

    def _understand(self, output: str, password_given: bool) -> Login:
        told: dict[str, list[str]] = {"prompt": [], "message": [], "leftovers": ["0"]}
        for line in output.splitlines():
            key, _, value = line.partition(" ")
            told.setdefault(key, []).append(value)
        assert told["descriptors"] == ["+0"]
        assert told["children"] == ["none"]
        assert told["leftovers"][-1] == "0", "a copy was freed before it was wiped"
        typed, password = self.folder / "typed", self.folder / "told"
        return Login(
            int(told["authenticate"][0]),
            int(told["setcred"][0]),
            told["prompt"][1 if password_given else 0 :],
            told["message"],
            typed.read_text(errors="backslashreplace").splitlines() if typed.exists() else [],
            (self.folder / "gate-ran").exists(),
            password.read_text(errors="backslashreplace") if password.exists() else None,
        )
