"""The audit line: one `key=value` line a decision, to authpriv. Never a code or a secret."""

import syslog

MAX_CHARACTERS = 255
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/@_+%-")


def write(accepted: bool, verdict: str, reason: str, fields: list[tuple[str, str]]) -> None:
    """Logs a decision. `fields` are (key, value), values as they came: they are made safe here."""
    line = " ".join(f"{key}={quote(value)}" for key, value in fields)
    syslog.openlog("pam-totp", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(
        syslog.LOG_INFO if accepted else syslog.LOG_WARNING,
        f"verdict={verdict} reason={reason} {line}",
    )


def quote(value: str) -> str:
    """The value on one line, in quotes where it is not plain, without any control character."""
    if _PLAIN.issuperset(value) and len(value) <= MAX_CHARACTERS:
        return value
    shown = "".join(
        character if character.isprintable() and character != '"' else "?"
        for character in value[:MAX_CHARACTERS]
    )
    # A directory's DOMAIN\\user stays as it is; a backslash that could escape anything does not.
    shown = shown.replace("\\\\", "??")
    return f'"{shown[:-1]}?"' if shown.endswith("\\") else f'"{shown}"'


def write_action(action: str, user: str, by: str) -> None:
    """Logs what root did to a user's second factor; `by`: who became root, as sudo tells."""
    syslog.openlog("pam-totp", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    line = f"action={action} user={quote(user)} by={quote(by)}"
    syslog.syslog(syslog.LOG_NOTICE, line)
