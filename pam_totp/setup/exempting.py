# SPDX-License-Identifier: MIT
"""What a person types who means that logins of a Match block need no code. Pure."""

import shlex
from collections.abc import Sequence

from pam_totp.records.config.settings import PATH as SETTINGS
from pam_totp.setup.sshd_settings import ROOT_KEY, Choices
from pam_totp.stack.sshd_classes import Class
from pam_totp.stack.sshd_match import Criteria, network_of

IN_A_RULE = {"user": "user", "group": "group", "address": "from"}
HAS_A_MEANING = set("!*?[]{},:#&\"'\\ ")  # in a rule, or in a pattern of sshd's alone


def users_to_exempt(each: Class) -> tuple[str, ...]:
    """The users of a class by whose names alone it is told apart; root too."""
    if not each.criteria or any(name != "user" for name, _ in each.criteria):
        return ()
    if any(set("*?!") & set(argument) for _, argument in each.criteria):
        return ()
    return (each.example.user,) if each.is_root else each.named


def by_options(users: Sequence[str], choices: Choices) -> str:
    """The command that exempts these users, besides those who are exempt already."""
    options = ["--first-factor", choices.first_factor] if choices.is_chosen else []
    becomes = ROOT_KEY if "root" in users else choices.root
    options += ["--root", becomes] if becomes else []
    for name in dict.fromkeys((*choices.exempt, *users)):
        options += ["--exempt-key", name] if name != "root" else []
    return shlex.join(["pam-totp", "enable", "sshd", *options])


def by_a_rule(criteria: Criteria) -> str:
    """A sentence with the rule that exempts what these criteria are about, once a key was accepted;
    empty where no rule can say it."""
    fields = []
    for name, argument in criteria:
        values = argument.split(",")
        if name not in IN_A_RULE or len({*criteria}) != len({each for each, _ in criteria}):
            return ""
        is_network = name == "address" and all(map(network_of, values))
        if not is_network and (name == "address" or HAS_A_MEANING & set("".join(values))):
            return ""
        words = [f'"{value}"' if is_network else value for value in values]
        text = words[0] if len(words) == 1 else f"[{', '.join(words)}]"
        fields.append(f"{IN_A_RULE[name]}: {text}")
    if not fields:
        return ""
    rule = ", ".join([*fields, "service: sshd", "publickey: true", "code: never"])
    return f"if that is intended, add this rule to {SETTINGS}: {{{rule}}}"
