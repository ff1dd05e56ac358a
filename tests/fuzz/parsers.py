# SPDX-License-Identifier: MIT
"""Every parser of what others write or type, each with what it promises for any bytes at all.

A function here takes bytes, gives them to one parser, and asserts the promise: only the documented
exceptions, only values of the documented range, nothing accepted that is not right. hypothesis
(tests/attacks/test_parsers_never_break.py) and atheris (`make fuzz`) bring the bytes. Run as root
in a throw-away host: the records are real files in their real places.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pam_totp.imports import (
    aegis,
    andotp,
    freeotp_plus,
    google_authenticator,
    otpauth,
    pskc,
    seeds,
    users_oath,
)
from pam_totp.imports.found import Entry, Found, Unusable, read_line, uri_of
from pam_totp.records.config import settings
from pam_totp.records.config.table import SETTINGS
from pam_totp.records.host import audit
from pam_totp.records.storage import state_dir
from pam_totp.records.storage.secret_dir import SecretDir
from pam_totp.records.user import counters, grant, recovery
from pam_totp.records.user.attempts import Attempts
from pam_totp.review.settings_faults import check
from pam_totp.rules import credential, otp, reasons, throttle, tokens
from pam_totp.rules.reasons import Failure
from pam_totp.rules.request import read_request
from pam_totp.rules.typed_code import RECOVERY_CHARACTERS, read_code
from tests.imports.pskc_files import FIGURE_3, FIGURE_5, FIGURE_6, FIGURE_6_KEY, FIGURE_7

PSKC_KEY = FIGURE_6_KEY
UID = 4294900000  # nobody's
NOW = 1_800_000_000.0
FOLDER = Path("/run/pam-totp-fuzzed")
STATE = Path(state_dir.VAR.path)
PRINTABLE_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f]*")


class Given(SecretDir):
    """A place in which every file holds the same bytes."""

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.path = "/nowhere"

    def read(self, name: str) -> bytes | None:
        return self.content


@contextmanager
def surroundings() -> Iterator[None]:
    """Folders for the records; a configuration that cannot be read, so that its snapshot is."""
    path, away = Path(settings.PATH), Path(settings.PATH + ".away")
    for folder in (FOLDER, STATE / grant.KIND, STATE / recovery.KIND, STATE / settings.KIND):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(exist_ok=True)
    if path.is_file():
        path.rename(away)
    path.unlink(missing_ok=True)
    path.symlink_to(path.name)
    try:
        yield
    finally:
        path.unlink()
        if away.exists():
            away.rename(path)
        for kind, name in (
            (grant.KIND, str(UID)),
            (recovery.KIND, str(UID)),
            (settings.KIND, settings.NAME),
        ):
            (STATE / kind / name).unlink(missing_ok=True)
        (FOLDER / str(UID)).unlink(missing_ok=True)


def right_code(of: credential.Credential, step: int) -> str:
    """The code by Python's own hmac (RFC 4226, section 5.3)."""
    digest = hmac.new(of.secret, step.to_bytes(8, "big"), of.algorithm.lower()).digest()
    start = digest[-1] & 15
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFFFFFF
    return str(number % 10**of.digits).zfill(of.digits)


def is_documented(each: credential.Credential) -> bool:
    return (
        10 <= len(each.secret) <= 128
        and each.digits in (6, 7, 8)
        and 1 <= each.period <= 3600
        and each.algorithm in ("SHA1", "SHA256", "SHA512")
        and re.fullmatch("[0-9a-f]{32}", each.identity) is not None
        and (each.counter is None or (0 <= each.counter < 2**63 and each.period == 30))
        and abs(each.offset) <= 14 * 3600
    )


def secret_file(content: bytes) -> None:
    credentials, faults = credential.parse_file(content)
    assert len(credentials) <= credential.MAX_CREDENTIALS
    assert all(is_documented(each) for each in credentials)
    assert all(PRINTABLE_LINE.fullmatch(fault) for fault in faults)
    for each in credentials:
        typed = "0" * each.digits
        if each.counter is not None:
            counted = [each.counter + ahead for ahead in range(tokens.LOOK_AHEAD)]
            found = tokens.accepting(tokens.by_guesses([each]), typed, {})
            assert (found is not None) == (typed in [right_code(each, at) for at in counted])
            continue
        judged = otp.verdict_on([each], typed, NOW, {})
        window = range(-1, 2)
        now = int(NOW // each.period) + each.offset
        codes = [right_code(each, now + offset) for offset in window if now + offset >= 0]
        assert judged.accepted == (typed in codes)


def otpauth_uri(content: bytes) -> None:
    try:
        parsed = credential.parse_line(content.decode("utf-8", "surrogateescape"))
    except credential.Malformed as fault:
        assert PRINTABLE_LINE.fullmatch(str(fault))
    else:
        assert is_documented(parsed)


def counters_record(content: bytes) -> None:
    """What is read is written again as it was; but for a line that is there twice, or a number with
    a sign or zeros in front."""
    record = STATE / counters.KIND / str(UID)
    record.parent.mkdir(mode=0o700, exist_ok=True)
    record.write_bytes(content)
    record.chmod(0o600)
    try:
        found = counters.read(UID)
    except Failure as refused:
        assert refused.reason == reasons.STATE_UNAVAILABLE
        return
    finally:
        record.unlink()
    assert content.startswith(b"pam-totp counters 1\n")
    assert all(0 <= each <= tokens.MAX_COUNTER for each in found.values())


def recovery_file(content: bytes) -> None:
    try:
        codes = recovery.read(Given(content))
    except Failure as refused:
        assert refused.reason == reasons.SECRET_MALFORMED
        return
    assert codes is not None
    salt, hashes = codes
    assert len(salt) == recovery.SALT_BYTES
    assert content.decode("ascii").removesuffix("\n").split("\n")[1:] == hashes


def attempts_record(content: bytes) -> None:
    path = FOLDER / str(UID)
    path.write_bytes(content)
    try:
        attempts = Attempts(UID, str(FOLDER))
    except Failure as refused:
        assert refused.reason == reasons.STATE_UNAVAILABLE
        return
    try:
        limits = throttle.Limits()
        assert 0 <= throttle.wait_seconds(attempts.failures, 1000.0, limits) <= 900
        attempts.record(attempts.steps, throttle.count_try(attempts.failures, 1000.0, limits)[1])
        steps, in_a_row = attempts.steps, attempts.failures.in_a_row
    except Failure as refused:
        assert refused.reason == reasons.STATE_UNAVAILABLE
        assert path.read_bytes() == content, "what cannot be recorded spoils nothing"
        return
    finally:
        attempts.close()
    again = Attempts(UID, str(FOLDER))
    again.close()
    assert (again.steps, again.failures.in_a_row) == (steps, in_a_row)


def grant_file(content: bytes) -> None:
    (STATE / grant.KIND / str(UID)).write_bytes(content)
    try:
        given = grant.read(UID, NOW)
    except Failure as refused:
        assert refused.reason == reasons.STATE_UNAVAILABLE
        return
    if given is not None:
        words = content.split()  # of format 1: a grant with a name is that of no user
        assert words[:3] == [b"pam-totp", b"grant", b"1"] and len(words) == 6
        assert int(words[3]) <= NOW < int(words[4])
        assert words[5] == (b"ONCE" if given.once else b"MANY")


def settings_snapshot(content: bytes) -> None:
    (STATE / settings.KIND / settings.NAME).write_bytes(content)
    loaded = settings.load()
    limits = loaded.limits
    assert loaded.fault
    assert loaded.store in ("user", "system")
    assert 1 <= limits.free_tries <= 20
    assert 1 <= limits.first_wait <= 900
    assert 30 <= limits.longest_wait <= 900


def spent_file(content: bytes) -> None:
    (STATE / recovery.KIND / str(UID)).write_bytes(content)
    try:
        spent = recovery.used(UID)
    except Failure as refused:
        assert refused.reason == reasons.STATE_UNAVAILABLE
    else:
        assert all(word.encode("ascii", "replace") for word in spent)


def typed_code(content: bytes) -> None:
    try:
        code = read_code(content)
    except Failure as refused:
        assert refused.reason == reasons.BAD_INPUT
    else:
        assert re.fullmatch(r"[0-9]{6,8}", code, re.ASCII)
        assert content.rstrip(b"\0").replace(b" ", b"") == code.encode()


def typed_recovery_code(content: bytes) -> None:
    try:
        code = read_code(content, allow_recovery=True)
    except Failure as refused:
        assert refused.reason == reasons.BAD_INPUT
        return
    if len(code) == RECOVERY_CHARACTERS:
        assert re.fullmatch(r"[a-z2-7]{16}", code, re.ASCII)
        assert len(re.sub(rb"[\0 -]", b"", content)) == 16
    else:
        assert re.fullmatch(r"[0-9]{6,8}", code, re.ASCII)


def environment(content: bytes) -> None:
    pairs = (pair.partition(b"=") for pair in content.split(b"\0"))
    request = read_request({name: value for name, _, value in pairs})
    assert not request.key or request.service == "sshd"
    for value in vars(request).values():
        shown = audit.quote(value)
        assert shown.isprintable() and len(shown) <= audit.MAX_CHARACTERS + 2
        assert '"' not in shown[1:-1] and "\\\\" not in shown and not shown.endswith('\\"')
        assert " " not in shown or (shown[0] == shown[-1] == '"')


def configuration_file(content: bytes) -> None:
    found = check(content)
    values, faults = found.values, found.faults
    assert values.keys() == SETTINGS.keys()
    for key, (_, kind, *allowed) in SETTINGS.items():
        assert kind != "choice" or values[key] in allowed
        assert kind != "number" or int(allowed[0]) <= int(values[key]) <= int(allowed[1])
    assert sum(len(fault) for fault in faults) <= 1000 + 200 * len(content)


def is_kept(found: Found) -> bool:
    """A credential that is imported becomes a line that a login reads, or is refused as a whole."""
    try:
        line = f"{uri_of(found, 'alice@server', 'server')} phone"
    except Unusable:
        return True
    read = read_line(line)
    same = (read.secret, read.digits, read.device) == (found.secret, found.digits, "phone")
    return same and is_documented(read) and PRINTABLE_LINE.fullmatch(line) is not None


def google_authenticator_file(content: bytes) -> None:
    try:
        given = google_authenticator.read(content, NOW, 1)
    except Unusable as fault:
        assert PRINTABLE_LINE.fullmatch(fault.message)
        return
    (found,) = given.credentials
    assert is_kept(found) and 1 <= found.period <= 60
    assert -1 <= found.used_step <= NOW // found.period + 100
    assert all(re.fullmatch("[1-9][0-9]{7}", code, re.ASCII) for code in given.codes)
    shown = "".join(name + fate for name, fate in given.options)
    assert PRINTABLE_LINE.fullmatch(shown)
    others = [code for code in given.codes if code != str(found.counter)]  # that one may be shown
    assert not any(code in shown for code in others)


def users_oath_file(content: bytes) -> None:
    try:
        users = users_oath.read(content, NOW)
    except Unusable:
        return
    assert users.imports.keys() | users.faults.keys()
    assert not users.imports.keys() & users.faults.keys()
    for given in users.imports.values():
        assert 1 <= len(given.credentials) <= credential.MAX_CREDENTIALS
        for found in given.credentials:
            assert is_kept(found) and found.counter >= 0
            assert -1 <= found.used_step <= NOW // found.period + 100


def exports_of_apps(content: bytes) -> None:
    for read in (aegis.read, andotp.read, freeotp_plus.read, otpauth.read):
        try:
            entries = read(content)
        except Unusable:
            continue
        assert len(entries) <= 1000
        for entry in entries:
            assert entry.name.isprintable() and len(entry.name) <= 100
            assert bool(entry.found) != bool(entry.fault)
            assert entry.found is None or is_kept(entry.found)


def maker_list(content: bytes) -> None:
    """Each token is kept as it is or has a fault, and what is said of it is no key."""
    for chosen in ({}, {"type": "totp", "digits": 8}):
        options = dict.fromkeys(("type", "digits", "period", "algorithm")) | chosen
        try:
            entries, notes = seeds.read(content, options)
        except Unusable as fault:
            assert PRINTABLE_LINE.fullmatch(fault.message)
            continue
        assert len({entry.place for entry in entries}) == len(entries) <= seeds.MAX_TOKENS
        are_tokens_of_a_list(entries)
        for entry in entries:
            if entry.found is not None:
                key = entry.found.secret.hex()
                assert key not in "".join([*notes, *(each.fault for each in entries)]).lower()


def pskc_file(content: bytes) -> None:
    try:
        opened = pskc.Container(content)
        opened.decrypt(PSKC_KEY)
        entries, _ = opened.tokens(NOW, is_expiry_ignored=True)
    except Unusable as fault:
        assert PRINTABLE_LINE.fullmatch(fault.message), fault.message
        return
    are_tokens_of_a_list(entries)


def are_tokens_of_a_list(entries: list[Entry]) -> None:
    usable = [entry for entry in entries if entry.found is not None]
    assert len({entry.name for entry in usable}) == len(usable)
    assert len({entry.found.secret for entry in usable if entry.found}) == len(usable)
    for entry in entries:
        assert seeds.SERIAL.fullmatch(entry.name)
        assert bool(entry.found) != bool(entry.fault) and PRINTABLE_LINE.fullmatch(entry.fault)
        assert entry.found is None or is_kept(entry.found)


PARSERS: dict[str, Callable[[bytes], None]] = {
    parser.__name__: parser
    for parser in (
        *(secret_file, otpauth_uri, recovery_file, attempts_record, grant_file, settings_snapshot),
        counters_record,
        *(spent_file, typed_code, typed_recovery_code, environment, configuration_file),
        *(google_authenticator_file, users_oath_file, exports_of_apps, maker_list, pskc_file),
    )
}
_HASH = hashlib.sha256(b"").hexdigest().encode()
_URI = b"otpauth://totp/server:alice@server?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=server"
SEEDS: dict[str, list[bytes]] = {
    "secret_file": [
        *(b"# comment\n" + _URI + b" phone\n", _URI + b"&digits=8&period=60\n" * 2),
        _URI.replace(b"totp", b"hotp") + b"&counter=7 token\n" + _URI + b"&offset=-9 other\n",
    ],
    "otpauth_uri": [
        _URI,
        _URI + b"&algorithm=SHA512#f",
        b"otpauth://totp/%41%C3%BC?secret=MFRGGZDFMZTWQ2LK",
    ],
    "counters_record": [
        b"pam-totp counters 1\n" + _HASH[:32] + b" 7\n",
        b"pam-totp counters 1\n" + _HASH[:32] + b" 9223372036854775808\n",
    ],
    "recovery_file": [
        b"pam-totp recovery 1 00112233445566778899aabbccddeeff\n" + _HASH + b"\n",
        b"pam-totp recovery 1 00112233445566778899aabbccddeeff\n",
    ],
    "attempts_record": [
        (b"pam-totp attempts 1\nstep " + _HASH[:32] + b" 60000000\nfailures 3 1234 5678\n").ljust(
            4096
        ),
        (b"pam-totp attempts 1\nstep " + _HASH[:32] + b" 60000000\n").ljust(4096),
        b"",
    ],
    "grant_file": [
        b"pam-totp grant 1 1700000000 1900000000 ONCE alice\n",
        b"pam-totp grant 1 0 1 MANY alice\n",
        b"pam-totp grant 1 1700000000 1900000000 MANY alice\n",
    ],
    "settings_snapshot": [
        b"pam-totp settings 1 1 2 3 4 5\nstore system\nthrottle.free_tries 5\n"
        b"throttle.first_wait 30\nthrottle.longest_wait 900\n"
    ],
    "spent_file": [_HASH + b"\n" + _HASH + b"\n"],
    "typed_code": [b"123456", b"123 456\0", b"12345678", "１２３４５６".encode()],  # noqa: RUF001
    "typed_recovery_code": [b"abcd-efgh-ijkl-mnop", b"ABCD EFGH 2345 6701\0"],
    "environment": [
        b"PAM_USER=alice\0PAM_SERVICE=sshd\0PAM_RHOST=::1\0SSH_AUTH_INFO_0=publickey ssh-rsa A"
    ],
    "configuration_file": [
        b"store: system\nthrottle:\n  free_tries: 5\n  first_wait: 30\n  longest_wait: 900\n",
        b'&a {store: *a, "\\x41": !!str b, ? [c] : |\n d\n}\n',
    ],
    "google_authenticator_file": [
        b'JBSWY3DPEHPK3PXP\n" RATE_LIMIT 3 30\n" WINDOW_SIZE 17\n" DISALLOW_REUSE 59999999\n'
        b'" TIME_SKEW -1\n" TOTP_AUTH\n12345678\n87654321\n',
        b'JBSWY3DPEHPK3PXP\n" HOTP_COUNTER 7\n" LAST0 host 1800000000\n',
    ],
    "users_oath_file": [
        b"# users\nHOTP/T30/8 alice - 3132333435363738393031 -1 12345678 2027-01-15T08:00:00L\n"
        b"HOTP/E\tbob\t+\t3132333435363738393031\t5\t755224\t2027-01-15T08:00:00L\n",
        b"HOTP root pw 3132333435363738393031\n",
    ],
    "maker_list": [
        b"Serial Number;Secret Key;Type;OTP Length;Time Interval;Counter\r\n"
        b'"A-1";3132333435363738393031323334353637383930;TOTP;8;60;\r\n'
        b"A-2;JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP;HOTP;6;;20\r\n",
        b"1,3132333435363738393031323334353637383930\n2,0x31323334353637383931,hotp\n",
    ],
    "pskc_file": [FIGURE_3, FIGURE_5, FIGURE_6, FIGURE_7],
    "exports_of_apps": [
        b'{"db": {"entries": [{"type": "hotp", "name": "a", "issuer": "b", "info": {"secret": '
        b'"JBSWY3DPEHPK3PXP", "algo": "SHA1", "digits": 6, "counter": 5}}]}}',
        b'[{"secret": "JBSWY3DPEHPK3PXP", "issuer": "a", "label": "b", "digits": 6, "type": "TOTP",'
        b' "algorithm": "SHA256", "period": 30}]',
        b'{"tokens": [{"algo": "SHA1", "digits": 6, "issuerExt": "a", "label": "b", "period": 30,'
        b' "secret": [1, -2, 3, 4, 5, 6, 7, 8, 9, 10], "type": "TOTP"}]}',
        b"# mine\n"
        + _URI
        + b"\notpauth-migration://offline?data=CiUKFDEyMzQ1Njc4OTAxMjM0NTY3ODkwEgFhGgRz"
        b"aXRlIAEoATACEAEYASAAKE0%3D\n",
    ],
}
assert SEEDS.keys() == PARSERS.keys()
