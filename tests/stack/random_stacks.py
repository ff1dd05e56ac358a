# SPDX-License-Identifier: MIT
"""Random services, good and damaged ones, whose lines say what their modules return."""

import random
from collections.abc import Callable
from pathlib import Path

from pam_totp.stack.libpam import RETURN_VALUES

WORDS = (*("required", "requisite", "sufficient", "optional") * 5, "Required", "binding", "[ok]")
ACTIONS = ("ignore", "ok", "done", "bad", "die", "reset", "reset")
# What modules mostly return; else any value, and now and then one that PAM does not know.
LIKELY = (*[0] * 20, *[7] * 8, *[25] * 8, *[12] * 4, *[6] * 3, 28, 31)
UNKNOWN = (-1, -5, 32, 99)
DAMAGED_CONTROLS = (
    "[success=0 default=ok]",
    "[succes=ok]",
    "[success=okay]",
    "[success=ok, default=bad]",
    "[success]",
    "[]",
    "[ success = ok\tdefault=ignore",
    "success=ok",
    "[sufficient]",
    "[success=okdefault=ignore]",
    "[success=1default=bad]",
    "[default=99999999999999999999]",
    "[new_authtok_reqd=ok\\] success=ok]",
)
Text = Callable[[], str]


class RandomStacks:
    """`write(name)` writes a service and what it includes into a folder."""

    def __init__(self, seed: int, folder: Path, module: Path) -> None:
        self.random, self.folder, self.module = random.Random(seed), folder, module
        self.files = 0

    def write(self, name: str) -> None:
        """A service of up to 8 lines in its own file."""
        self._write(name, self.random.randint(1, 8), 0)

    def _one_in(self, count: int) -> bool:
        return self.random.randrange(count) == 0

    def _write(self, name: str, lines: int, depth: int) -> str:
        is_dos, is_marked = self._one_in(60), self._one_in(100)
        texts = [self._line(depth) for _ in range(lines)]
        text = "".join(f"{each}\r\n" if is_dos else f"{each}\n" for each in texts)
        if self._one_in(10):
            text = text.rstrip("\n")
        if (
            self._one_in(100) and "xxx" not in text
        ):  # at a backslash after so much libpam never ends
            text += self.random.choice((" \\", "\\\n", "auth \\\n", "\\\n\n", "\\\n# the end\n"))
        path = self.folder / name
        path.write_bytes(b"\xef\xbb\xbf" * is_marked + text.encode())
        return str(path)

    def _line(self, depth: int) -> str:
        kind = self.random.choice(("auth",) * 8 + ("account", "account", "Auth", "-auth"))
        if self._one_in(80):
            kind = self.random.choice(("auht", "", "-", "session", "[auth]", "password", "@auth"))
        if depth < 3 and self._one_in(5):
            return self._include(kind, depth)
        module = str(self.module)
        if self._one_in(25):
            module = self.random.choice(("pam_is_missing.so", "/nowhere/pam_x.so", f"[{module}]"))
        self.files += 1
        words = [kind, self._control(), module, f"m{self.files}", self._result(), self._result()]
        if self._one_in(60):
            words = words[: self.random.randint(0, 4)]
        return self._laid_out(words)

    def _include(self, kind: str, depth: int) -> str:
        self.files += 1
        name = f"included{self.files}"
        path = self._write(name, self.random.choice((0, 1, 1, 2, 3)), depth + 1)
        if self._one_in(30):
            path = self.random.choice((f"{path}-is-missing", name, str(self.folder)))
        if self._one_in(3):
            return self._laid_out(["@include", path])
        control = self.random.choice(
            ("include", "substack", "substack", "substack", "Include", "[substack]")
        )
        return self._laid_out([kind, control, path])

    def _control(self) -> str:
        if self._one_in(40):
            return self.random.choice(DAMAGED_CONTROLS)
        if self._one_in(2):
            return self.random.choice(WORDS)
        entries = []
        for _ in range(self.random.randint(1, 4)):
            value = self.random.choice(
                ("success", "default", "ignore", "auth_err", "perm_denied", "new_authtok_reqd")
                if self._one_in(2)
                else ("success", "default", *RETURN_VALUES)
            )
            jump = str(self.random.choice((1, 1, 1, 2, 2, 3, 4)))
            action = jump if self._one_in(3) else self.random.choice(ACTIONS)
            entries.append(f"{value}{self._space(10)}={self._space(10)}{action}")
        return f"[{self._space(10)}{' '.join(entries)}{self._space(10)}]"

    def _space(self, one_in: int) -> str:
        return self.random.choice((" ", "\t")) if self._one_in(one_in) else ""

    def _result(self) -> str:
        if self._one_in(40):
            return str(self.random.choice(UNKNOWN))
        return str(self.random.randrange(32) if self._one_in(8) else self.random.choice(LIKELY))

    def _laid_out(self, words: list[str]) -> str:
        text = self._space(10) + words[0] if words else ""
        for word in words[1:]:
            text += self._gap() + word
        if self._one_in(15):
            text += self.random.choice((" # a comment", "# one \\", " #", " \t", " \\ # one"))
        if self._one_in(200):  # about as long as a line can be before Linux-PAM 1.6
            text += self.random.choice((" ", " # "))
            text += "x" * (self.random.randint(1016, 1030) - len(text))
        if self._one_in(12):
            return self.random.choice(("# a comment", "", " \t", "\t# one \\")) + "\n" + text
        return text

    def _gap(self) -> str:
        if self._one_in(25):
            between = ("", "", "", "\n", " \n", "# a comment\n", " # one \\\n", " \\\n")
            return self.random.choice((" \\\n", "\\\n", "\\ \t\n")) + self.random.choice(between)
        return self.random.choice((" ", " ", " ", "\t", "  \t"))
