# SPDX-License-Identifier: MIT
"""The line that is sent to the agent of this host, and the one that it answers. Pure.

UTF-8: a verb or the kind of the answer, and fields, with a NUL between them and one line end at the
end. A field that is true or false is "t" or "f"; one that is absent is empty.

- What is not such a line, whole and within its limit, MUST be refused: a yes is never guessed.
"""

OK, NO, UNAVAILABLE = "ok", "no", "unavailable"
HOST_IS_REFUSED = "the store refuses this host"  # how the detail of the reason host-refused begins
MAX_BYTES = 4096
MAX_MANY_BYTES = 256 * 1024  # of the verb STANDINGS, there and back
MAX_PERSONS = 1000  # in one line of it
# The agent answers within the first, or says that the store did not; whoever asks waits no longer
# than the second.
ANSWER_SECONDS, ASK_SECONDS = 1.7, 1.9

CHECK, STANDING, STANDINGS, INFO, CONF = "check", "standing", "standings", "info", "conf"
ENROLL_BEGIN, ENROLL_CONFIRM = "enroll-begin", "enroll-confirm"
# Of codes that this host has sent. The last is CHECK, and after its fields the ticket of the first.
COUNT_SENT, TAKE_BACK, CHECK_COUNTED = "count-sent", "take-back", "check-counted"

_BETWEEN, _END = "\0", "\n"


def limit_of(verb: str) -> int:
    """How many bytes a line of this verb, or the answer to it, may have."""
    return MAX_MANY_BYTES if verb == STANDINGS else MAX_BYTES


def encode(*fields: object, max_bytes: int = MAX_BYTES) -> bytes:
    """The line of these fields. Raises ValueError if they are no line: too long, not UTF-8, or with
    a NUL or a line end in a field."""
    texts = [_text_of(field) for field in fields]
    line = (_BETWEEN.join(texts) + _END).encode()  # a UnicodeEncodeError is a ValueError
    if line.count(b"\n") != 1 or line.count(b"\0") != len(texts) - 1 or len(line) > max_bytes:
        raise ValueError("not one line")
    return line


def _text_of(field: object) -> str:
    if field is None:
        return ""
    if isinstance(field, bool):
        return "t" if field else "f"
    return str(field)


def decode(line: bytes, max_bytes: int = MAX_BYTES) -> list[str]:
    """The fields of a line. Raises ValueError."""
    if not line or len(line) > max_bytes or line.find(b"\n") != len(line) - 1:
        raise ValueError("not one line")
    return line[:-1].decode().split(_BETWEEN)


def flag(field: str) -> bool:
    """A field that is true or false. Raises ValueError."""
    if field not in ("t", "f"):
        raise ValueError("neither t nor f")
    return field == "t"


def number(field: str) -> int:
    """A field that is a whole number, 0 if it is absent. Raises ValueError."""
    if len(field) > 20:
        raise ValueError("too many digits")
    return int(field or "0")


def plain(text: str, max_characters: int) -> str:
    """A text of somebody else's (a remote host's name, a service's) that fits into a field, with a
    question mark in place of what no line may hold."""
    whole = text.encode("utf-8", "replace").decode()[:max_characters]
    return whole.replace("\0", "?").replace("\n", "?")
