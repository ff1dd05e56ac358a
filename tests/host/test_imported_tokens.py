# SPDX-License-Identifier: MIT
"""Tokens of a maker's list log in over ssh, with the codes of oathtool, beside the phone."""

from base64 import b32decode
from collections.abc import Callable
from pathlib import Path

from tests.commands.commands import pam_totp
from tests.host.accounts import User
from tests.host.credentials import Credential, new_secrets
from tests.host.oath import OathCredential
from tests.host.system_log import SystemLog
from tests.host.terminal import Conversation
from tests.host.tokens import new_secret
from tests.imports.pskc_files import made

Converse = Callable[..., Conversation]
PASSWORD, CODE = "Password:", "Verification code:"
KEY = b"0123456789abcdef"


def test_hotp_token_of_an_encrypted_pskc_file_logs_in_beside_the_phone(
    user: User,
    enrolled: Callable[..., Credential],
    log_in: Converse,
    syslog: SystemLog,
    tmp_path: Path,
) -> None:
    phone, secret = enrolled(user), new_secret()
    token = OathCredential(user, secret)
    key = {"secret": b32decode(secret), "counter": 7, "serial": "306EUO4-00960"}
    content = made(key, protect="preshared_key", key=KEY)
    (tmp_path / "tokens.xml").write_bytes(content)
    (tmp_path / "users.csv").write_text(f"306EUO4-00960,{user.name}\n")
    command = ["import", "pskc", str(tmp_path / "tokens.xml"), "--key-file", "-", "--apply"]
    done = pam_totp(*command, "--assign", str(tmp_path / "users.csv"), typed=f"{KEY.hex()}\n")
    assert done.code == 0, done.errors
    for code in (token.code_of(7), phone.fresh_code(), token.code_of(9)):
        assert log_in(user, [(PASSWORD, user.password), (CODE, code)]).status == 0
    told = [(each["reason"], each["device"]) for each in syslog.decisions()]
    device = "token-306EUO4-00960"
    assert told == [("hotp", device), ("totp", "phone"), ("hotp", device)]
    dialogue = [(PASSWORD, user.password), (CODE, token.code_of(8)), (CODE, token.code_of(10))]
    assert log_in(user, dialogue).status == 0
    assert [each["reason"] for each in syslog.decisions()][3:] == ["reused-code", "hotp"]


def test_totp_token_of_a_csv_file_logs_in_and_is_confirmed_by_it(
    user: User, log_in: Converse, syslog: SystemLog, tmp_path: Path
) -> None:
    token = OathCredential(user, new_secrets()[0])
    path = tmp_path / "seeds.csv"
    header = "upn,serial number,secret key,time interval,manufacturer,model"
    path.write_text(f"{header}\r\nx@example.com,1234567,{token.secret},30,Contoso,Key\r\n")
    done = pam_totp("import", "seeds", str(path), "--user", user.name, "--apply")
    assert done.code == 0, done.errors
    dialogue = [(PASSWORD, user.password), (CODE, token.fresh_code())]
    assert log_in(user, dialogue).status == 0
    (decision,) = syslog.decisions()
    assert (decision["reason"], decision["device"]) == ("totp", "token-1234567")
