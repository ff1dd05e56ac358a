# SPDX-License-Identifier: MIT
"""Edits of the host's real /etc/pam.d, undone after the test."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

SERVICES = Path("/etc/pam.d")
SNIPPETS = Path(__file__).resolve().parents[2] / "config" / "pam"
PASSWORD_LINE = "@include common-auth"
ONE_LINE = "auth required pam_totp.so"


COMMON_AUTH = SERVICES / "common-auth"


def shipped_lines(snippet: str, common_auth: str = "") -> list[str]:
    """The lines of config/pam/`snippet` that an administrator copies: all but the
    comments, and for the number of lines that common-auth has, this host's or another."""
    lines = (SNIPPETS / snippet).read_text(encoding="utf-8").splitlines()
    common = (common_auth or COMMON_AUTH.read_text(encoding="utf-8")).splitlines()
    count = sum(line.startswith("auth") for line in common)
    return [line.replace("success=4", f"success={count}") for line in lines if line[:1] != "#"]


def forget_what_asked() -> None:
    """No command warns of a line that is taken away from here on."""
    shutil.rmtree("/var/lib/pam-totp/services", ignore_errors=True)


class PamServices:
    """Changes services and remembers what they were. Later edits build on earlier ones."""

    def __init__(self) -> None:
        self._before: dict[Path, bytes | None] = {}

    def write(self, service: str, text: str) -> None:
        """Give a service, new or not, this whole content."""
        path = SERVICES / service
        self._before.setdefault(path, path.read_bytes() if path.exists() else None)
        path.write_text(text, encoding="utf-8")

    def add(self, service: str, lines: Sequence[str] = (ONE_LINE,)) -> None:
        """Put lines after the password's, `@include common-auth`: what the README tells to do."""
        self._change(service, [PASSWORD_LINE, *lines])

    def replace_password(self, service: str, lines: Sequence[str] = (ONE_LINE,)) -> None:
        """Put lines in the place of the password's: what they ask is all that is asked."""
        self._change(service, list(lines))

    def _change(self, service: str, lines: list[str]) -> None:
        text = (SERVICES / service).read_text(encoding="utf-8")
        parts = text.split(f"\n{PASSWORD_LINE}\n")
        assert len(parts) == 2, (
            f"/etc/pam.d/{service} does not have exactly one line {PASSWORD_LINE!r}"
        )
        self.write(service, "\n".join([parts[0], *lines, parts[1]]))

    def restore(self) -> None:
        for path, content in self._before.items():
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
        self._before.clear()
        forget_what_asked()


@pytest.fixture
def pam_services() -> Iterator[PamServices]:
    services = PamServices()
    yield services
    services.restore()
