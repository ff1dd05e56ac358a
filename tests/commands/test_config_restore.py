# SPDX-License-Identifier: MIT
"""`pam-totp config restore`: a lost file of settings is there again, with every rule of it."""

import pytest

from pam_totp.records.config.reader import compose, parse
from pam_totp.records.config.table import DEFAULTS
from pam_totp.rules.policy import Rule
from tests.commands.commands import LAST_GOOD, assert_refused, configured, gate, pam_totp
from tests.host.accounts import User
from tests.host.programs import ASK, NO_CODE_NEEDED
from tests.review.every_setting import EVERY_SETTING

TEXT = """\
# why
store: system
enrollment: required
rules:
  - {user: USER, from: 192.0.2.0/24, code: never}
  - {user: nobody, code: never}
"""


def test_every_setting_and_rule_of_a_lost_file_is_there_again(user: User) -> None:
    with configured(TEXT.replace("USER", user.name)) as path:
        assert gate(user).code == NO_CODE_NEEDED
        path.unlink()
        done = pam_totp("config", "check")
        assert_refused(done, "the last good settings are active")
        assert done.errors.endswith("hint: pam-totp config restore\n")
        done = pam_totp("config", "restore")
        assert (done.code, done.errors) == (0, "")
        assert "with the last good settings and 2 rules; comments are lost" in done.output
        assert path.stat().st_mode & 0o777 == 0o644
        assert pam_totp("config", "check").code == 0
        assert gate(user).code == NO_CODE_NEEDED
        path.write_text(path.read_text().replace("192.0.2.0", "198.51.100.0"))
        assert gate(user).code == ASK


def test_each_key_of_the_settings_and_of_a_rule_is_there_again(user: User) -> None:
    values, (rule,) = parse(compose(EVERY_SETTING.encode()))
    assert not [key for key, default in DEFAULTS.items() if values[key] == default]
    fields = Rule.__annotations__
    assert not [name for name in fields if getattr(rule, name) == getattr(Rule, name, None)]
    with configured(EVERY_SETTING) as path:
        gate(user)
        path.unlink()
        done = pam_totp("config", "restore")
        assert (done.code, done.errors) == (0, "")
        then_values, (then,) = parse(compose(path.read_bytes()))
    assert then_values == values
    assert vars(then) | {"line": 0} == vars(rule) | {"line": 0}


def test_file_that_is_there_stays_as_it_is(user: User) -> None:
    with configured("store: system\n") as path:
        gate(user)
        path.write_text("faulty: [")
        assert_refused(pam_totp("config", "restore"), "exists; nothing was changed")
        assert path.read_text() == "faulty: ["


@pytest.mark.parametrize(
    ("snapshot", "fault"),
    [(None, "there are no last good settings"), ("damaged", "settings cannot be read")],
)
def test_nothing_is_written_where_nothing_good_is_known(
    user: User, snapshot: str | None, fault: str
) -> None:
    with configured("store: system\n") as path:
        gate(user)
        path.unlink()
        LAST_GOOD.unlink()
        if snapshot is not None:
            LAST_GOOD.write_text(snapshot)
            LAST_GOOD.chmod(0o600)
        assert_refused(pam_totp("config", "restore"), fault)
        assert not path.exists()


def test_users_restore_nothing(user: User) -> None:
    assert_refused(pam_totp("config", "restore", user=user), "must be run as root")
