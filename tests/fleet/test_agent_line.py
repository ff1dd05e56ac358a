# SPDX-License-Identifier: MIT
"""The line to the agent and back, store.conf, and which store is believed: pure decisions."""

import pytest

from pam_totp.agent.seen import State, is_as_new, is_superseded
from pam_totp.records.config import store_conf
from pam_totp.rules import agent_line

STORE = "store=5ec0de5ec0de5ec05ec0de5ec0de5ec0\n"
SAFE = "conninfo=host=db1 dbname=pam_totp user=web07 sslmode=require channel_binding=require\n"


def test_fields_come_back_as_they_were() -> None:
    fields = ["check", "größe", "", "a b\tc"]
    assert agent_line.decode(agent_line.encode(*fields)) == fields
    assert agent_line.encode("ok", True, False, None, 30) == b"ok\0t\0f\0\x0030\n"


@pytest.mark.parametrize("field", ["a\0b", "a\nb", "a\udcff", "x" * 4096])
def test_what_would_be_another_line_is_not_encoded(field: str) -> None:
    with pytest.raises(ValueError):
        agent_line.encode("check", field)


@pytest.mark.parametrize("line", [b"", b"ok", b"\n\n", b"ok\nok\n", b"\xff\n", b"x" * 4096 + b"\n"])
def test_what_is_not_one_whole_line_is_not_decoded(line: bytes) -> None:
    with pytest.raises(ValueError):
        agent_line.decode(line)


@pytest.mark.parametrize("field", ["", "true", "T", "1", "tt"])
def test_only_t_and_f_are_true_and_false(field: str) -> None:
    with pytest.raises(ValueError):
        agent_line.flag(field)


def test_texts_of_others_fit_into_a_field() -> None:
    assert agent_line.plain("a\0b\nc\udcffd" + "x" * 99, 10) == "a?b?c?dxxx"


def test_store_conf_names_the_store_and_its_servers() -> None:
    text = f"# of web07\n\n{STORE}{SAFE}".replace("db1", "db1,db2") + "# end\n"
    conf = store_conf.parse(text.encode())
    assert conf.store == "5ec0de5ec0de5ec05ec0de5ec0de5ec0"
    assert conf.keywords["user"] == "web07"
    assert store_conf.servers_of(conf.keywords) == [("db1", "5432"), ("db2", "5432")]


FAULTS = {
    "nothing": ("", "one line store=ID"),
    "no conninfo": (STORE, "one line store=ID"),
    "no id": (SAFE, "one line store=ID"),
    "an odd id": ("store=xyz\n" + SAFE, "hexadecimal"),
    "two ids": (STORE + STORE + SAFE, "no others"),
    "another key": (STORE + SAFE + "password=x\n", "no others"),
    "any server is believed": (
        STORE + SAFE.replace("channel_binding=require", ""),
        "channel_binding=require or sslmode=verify-full is needed",
    ),
    "channel binding is only preferred": (
        STORE + SAFE.replace("binding=require", "binding=prefer"),
        "channel_binding=require or sslmode=verify-full is needed",
    ),
    "no authority for verify-full": (
        STORE + SAFE.replace("sslmode=require", "sslmode=verify-full"),
        "needs sslrootcert",
    ),
    "a password": (STORE + SAFE.replace("user=", "password=x user="), "not allowed"),
    "a service": (STORE + SAFE.replace("user=", "service=x user="), "not allowed"),
    "options": (STORE + SAFE.replace("user=", "options=-cx user="), "not allowed"),
    "no user": (STORE + SAFE.replace("user=web07", ""), "user is missing"),
    "quotes": (STORE + SAFE.replace("web07", "'web07'"), "without quotes"),
    "twice": (STORE + SAFE.replace("user=web07", "user=web07 user=web08"), "one value"),
    "more ports than servers": (
        STORE + SAFE.replace("user=", "port=1,2 user="),
        "port one or each",
    ),
    "no port": (STORE + SAFE.replace("user=", "port=70000 user="), "from 1 to 65535"),
    "no ASCII": (STORE + SAFE.replace("web07", "wéb07"), "ASCII"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_store_conf_is_refused_and_says_why(fault: str) -> None:
    text, message = FAULTS[fault]
    with pytest.raises(ValueError, match=message):
        store_conf.parse(text.encode())


def state(epoch: int, incarnation: str, count: int, before: int = 0) -> State:
    return State(epoch=epoch, incarnation=incarnation, enrolled_count=count, enrolled_before=before)


@pytest.mark.parametrize(
    ("now", "is_believed"),
    [
        (state(2, "first", 50), True),
        (state(2, "first", 51), True),
        (state(2, "first", 49), False),  # the same server, from an older copy
        (state(2, "second", 60, 50), True),  # promoted with all that was seen
        (state(2, "second", 60, 49), False),  # promoted without the last enrollment
        (state(3, "second", 1, 1), True),  # an administrator said that it was restored
        (state(1, "first", 99, 99), False),  # from before an administrator said so
    ],
)
def test_a_store_is_believed_if_it_is_as_new_as_what_was_seen(
    now: State, is_believed: bool
) -> None:
    assert is_as_new(now, (2, 50, "first")) is is_believed
    assert is_as_new(now, None)


@pytest.mark.parametrize(
    ("of_server", "is_refused"),
    [
        (state(2, "7/00000002/5/6/a", 50), True),
        (state(2, "7/00000003/5/6/a", 50), False),
        (state(2, "7/0000000A/5/6/b", 50), False),  # promoted since
        (state(2, "8/00000001/5/6/c", 50), False),  # another cluster: a dump that was restored
        (state(3, "7/00000001/5/6/d", 1), False),  # an administrator said that it was restored
    ],
)
def test_a_server_is_refused_once_another_one_has_taken_its_place(
    of_server: State, is_refused: bool
) -> None:
    assert is_superseded(of_server, (2, 50, "7/00000003/5/6/a")) is is_refused
