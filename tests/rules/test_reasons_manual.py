# SPDX-License-Identifier: MIT
"""The manual of the module has all reasons and actions that the log may have."""

import ast
import re
from pathlib import Path

from pam_totp.rules import reasons

PACKAGE = Path(__file__).resolve().parents[2] / "pam_totp"
MANUAL = PACKAGE / "manual" / "pam_totp.8.scd"


def test_manual_lists_each_reason_once() -> None:
    section = MANUAL.read_text().partition("\n_reason_\n")[2].partition("\n_detail_\n")[0]
    listed = re.findall(r"^\t\*([a-z-]+)\*$", section, re.MULTILINE)
    words = [each for name, each in vars(reasons).items() if name.isupper()]
    known = [each for each in words if isinstance(each, str)]
    assert sorted(listed) == sorted(known)


def logged_actions() -> set[str]:
    """What the product logs as an action, where it is a text or one of two texts."""
    calls = (
        node
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith(("action_log.write", "log_for_another"))
    )
    words = (each for call in calls for each in branches(call.args[0]))
    return {str(each.value) for each in words if isinstance(each, ast.Constant)}


def branches(argument: ast.expr) -> list[ast.expr]:
    return [argument.body, argument.orelse] if isinstance(argument, ast.IfExp) else [argument]


def test_manual_lists_each_action() -> None:
    section = MANUAL.read_text().partition("\n_action_\n")[2].partition("\n_by_\n")[0]
    listed = set(re.findall(r"\*([a-z-]+)\*", section))
    of_store = {each for each in logged_actions() if each.startswith("store-")}
    assert "*store-* with the action of *pam-totp store*" in section
    assert {"reset", "reset-in-part", "enroll"} <= logged_actions()
    assert logged_actions() - of_store - listed == set()
