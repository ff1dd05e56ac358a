# SPDX-License-Identifier: MIT
"""The audit line: one `key=value` line a decision, to authpriv. Never a code or a secret."""

from pam_totp.rules.request import Request

MAX_CHARACTERS, USUAL = 255, {"accept", "skip", "sent-code"}
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:/@_+%-")


def write(request: Request, verdict: str, reason: str, *details: str, device: str = "") -> None:
    """Logs a decision about a request. Texts are made safe here; empty details are left out."""
    fields = {"user": request.user, "service": request.service, "rhost": request.rhost}
    fields["device"] = device
    if detail := "; ".join(filter(None, details)):
        fields["detail"] = detail
    line = " ".join(f"{key}={quote(value)}" for key, value in fields.items())
    import syslog  # a gate that asks for a code logs nothing

    priority = syslog.LOG_INFO if USUAL & {verdict, reason} else syslog.LOG_WARNING
    syslog.openlog("pam-totp", syslog.LOG_PID, syslog.LOG_AUTHPRIV)
    syslog.syslog(priority, f"verdict={verdict} reason={quote(reason)} {line}")


def quote(value: str) -> str:
    """The value on one line, in quotes where it is not plain, without any control character."""
    if _PLAIN.issuperset(value) and len(value) <= MAX_CHARACTERS:
        return value
    shown = "".join(c if c.isprintable() and c != '"' else "?" for c in value[:MAX_CHARACTERS])
    # A directory's DOMAIN\\user stays as it is; a backslash that could escape anything does not.
    shown = shown.replace("\\\\", "??")
    return f'"{shown[:-1]}?"' if shown.endswith("\\") else f'"{shown}"'
