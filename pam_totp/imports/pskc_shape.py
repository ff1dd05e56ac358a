# SPDX-License-Identifier: MIT
"""What a PSKC file must look like (RFC 6030) before python3-pskc reads it. Pure.

That library reads XML by lxml or by Python's own parser, whichever is installed: entities of a DTD
are expanded then, and lxml reads files that they name. It drops namespaces, takes the first of two
values, the plain one beside an encrypted one, and an encrypted one that has no MAC; what is no
number may be one in base64. So here, with the parser of Python alone:

- A file MUST hold no DTD, only elements that are known, each one once and where it belongs.
- An encrypted value MUST have a MAC, unless its encryption itself finds out a change (RFC 3394).
- Time and memory MUST be bounded: the size of the file, the elements, and the text of each.
"""

import re
from xml.parsers import expat

from pam_totp.imports.encoded_text import text_of
from pam_totp.imports.found import Unusable
from pam_totp.imports.seeds import MAX_TOKENS

MAX_ELEMENTS, MAX_TEXT, MAX_DEPTH, MAX_NAME = 500_000, 16 * 1024, 20, 40
PSKC = "urn:ietf:params:xml:ns:keyprov:pskc"
_W3 = "http://www.w3.org"
_NAMESPACES = {
    *("", PSKC, f"{_W3}/2000/09/xmldsig#", f"{_W3}/2001/04/xmlenc#", f"{_W3}/2009/xmlenc11#"),
    "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#",
}
_VALUES = ("Secret", "Counter", "Time", "TimeInterval", "TimeDrift")
# The elements that an element may hold; "": the file itself.
_CHILDREN = {
    "": "KeyContainer",
    "KeyContainer": "EncryptionKey MACMethod KeyPackage Signature",
    "EncryptionKey": "KeyName DerivedKey",
    "DerivedKey": "KeyDerivationMethod ReferenceList CarriedKeyName MasterKeyName",
    "KeyDerivationMethod": "PBKDF2-params",
    "PBKDF2-params": "Salt IterationCount KeyLength PRF",
    "Salt": "Specified",
    "ReferenceList": "DataReference",
    "MACMethod": "MACKey",
    "MACKey": "EncryptionMethod CipherData",
    "KeyPackage": "DeviceInfo CryptoModuleInfo Key",
    "DeviceInfo": ("Manufacturer SerialNo Model IssueNo DeviceBinding StartDate ExpiryDate UserId"),
    "CryptoModuleInfo": "Id",
    "Key": ("Issuer AlgorithmParameters KeyProfileId KeyReference FriendlyName Data UserId Policy"),
    "AlgorithmParameters": "Suite ChallengeFormat ResponseFormat",
    "Data": " ".join(_VALUES),
    **dict.fromkeys(_VALUES, "PlainValue EncryptedValue ValueMAC"),
    "EncryptedValue": "EncryptionMethod CipherData",
    "CipherData": "CipherValue",
    "Policy": "StartDate ExpiryDate PINPolicy KeyUsage NumberOfTransactions",
}
_CHILDREN_OF = {name: set(children.split()) for name, children in _CHILDREN.items()}
_REPEATED = {"KeyPackage", "KeyUsage", "KeyName", "DataReference"}
_BASE64, _NUMBER = re.compile(r"[A-Za-z0-9+/\s]+={0,2}"), re.compile("-?[0-9]{1,20}")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})?"
)
_NOTHING, _SOMETHING = re.compile(""), re.compile(".+", re.DOTALL)
_PATTERNS = {
    **dict.fromkeys(("Specified", "CipherValue", "ValueMAC"), _BASE64),
    **dict.fromkeys(("IterationCount", "KeyLength", "NumberOfTransactions"), _NUMBER),
    **dict.fromkeys(("StartDate", "ExpiryDate"), _MOMENT),
    **dict.fromkeys(
        ("PRF", "DataReference", "EncryptionMethod", "ChallengeFormat", "ResponseFormat"), _NOTHING
    ),
    **dict.fromkeys(("PINPolicy", *_CHILDREN), _NOTHING),
}
_CIPHER = {"EncryptionMethod", "CipherData"}
_REQUIRED = {"EncryptedValue": _CIPHER, "MACKey": _CIPHER, "CipherData": {"CipherValue"}}
_WITH_INTEGRITY = re.compile(".*#kw-aes(128|192|256)")


class Shape:
    """What is known of a file from its elements alone. algorithms: of the encryption; is_encrypted:
    whether the keys of its tokens are; is_signed: whether it has a signature, which is not
    checked."""

    def __init__(self) -> None:
        self.algorithms: set[str] = set()
        self.is_encrypted, self.is_signed = False, False
        self._secrets: set[str] = set()  # how keys are given: PlainValue, EncryptedValue
        self._path, self._seen = [""], [set[str]()]
        self._text, self._algorithm = "", ""
        self._elements, self._packages = 0, 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins. Raises Unusable."""
        namespace, _, local = name.rpartition(" ")
        self._text = ""
        self._elements += 1
        self._packages += local == "KeyPackage"
        if self._elements > MAX_ELEMENTS or self._packages > MAX_TOKENS:
            raise Unusable(f"the file has more than {MAX_TOKENS} tokens, or too many elements")
        if len(self._path) > MAX_DEPTH or sum(map(len, attributes.values())) > MAX_TEXT:
            raise Unusable("an element is nested too deeply, or is too long")
        if self._path == [""] and namespace != PSKC:
            raise Unusable("the file is not PSKC of RFC 6030")
        if not self._is_in_signature:
            self._look_at(namespace, local)
            if local == "EncryptionMethod":
                self._algorithm = attributes.get("Algorithm", "")
                self.algorithms.add(self._algorithm)
        self._path.append(local)
        self._seen.append(set())

    def text(self, text: str) -> None:
        """Some text of an element. Raises Unusable."""
        self._text += text
        if len(self._text) > MAX_TEXT:
            raise Unusable(f"an element has more than {MAX_TEXT} characters")

    def end(self, _name: str) -> None:
        """An element ends. Raises Unusable."""
        if self._is_in_signature:
            self.is_signed = True
        else:
            self._look_back(self._path[-1], self._path[-2], self._seen[-1])
        self._path.pop()
        self._seen.pop()
        self._text = ""

    def between(self, *_: str) -> None:
        """A comment, or an instruction to some program. Parsers differ in the text around it.
        Raises Unusable."""
        if self._path[-1] not in _CHILDREN and not self._is_in_signature:
            raise Unusable(f"the element {self._path[-1]} has a comment in it")

    @property
    def _is_in_signature(self) -> bool:
        return self._path[1:3] == ["KeyContainer", "Signature"]

    def _look_at(self, namespace: str, name: str) -> None:
        parent = self._path[-1]
        if namespace not in _NAMESPACES or name not in _CHILDREN_OF.get(parent, ()):
            where = parent or "the file"
            raise Unusable(f"{where} has the element {name[:MAX_NAME]}, which cannot be kept")
        if name in self._seen[-1] and name not in _REPEATED:
            raise Unusable(f"{parent} has the element {name} twice")
        self._seen[-1].add(name)

    def _look_back(self, name: str, parent: str, seen: set[str]) -> None:
        pattern = _PATTERNS.get(name, _SOMETHING)
        if name == "PlainValue":
            pattern = _BASE64 if parent == "Secret" else _NUMBER
        if not pattern.fullmatch(self._text.strip()):
            raise Unusable(f"the element {name} is empty, or holds what does not belong there")
        if not seen >= _REQUIRED.get(name, set()):
            raise Unusable(f"the element {name} is not complete")
        if name in _VALUES:
            self._look_at_value(name, seen)
        if name == "Secret":
            self._secrets |= seen
        if name == "KeyContainer":
            self.is_encrypted = "EncryptionKey" in seen or "EncryptedValue" in self._secrets
            if self.is_encrypted and "PlainValue" in self._secrets:
                raise Unusable("the file is encrypted, and has a key that is not")

    def _look_at_value(self, name: str, seen: set[str]) -> None:
        if seen not in ({"PlainValue"}, {"EncryptedValue"}, {"EncryptedValue", "ValueMAC"}):
            raise Unusable(f"{name} must have a PlainValue, or an EncryptedValue with its MAC")
        if seen == {"EncryptedValue"} and not _WITH_INTEGRITY.fullmatch(self._algorithm):
            raise Unusable(f"{name} is encrypted, and has no MAC")


def look(content: bytes) -> tuple[bytes, Shape]:
    """The same file in UTF-8, and its shape. Raises Unusable."""
    try:
        text = text_of(content)
    except UnicodeDecodeError:
        raise Unusable("the file is not text in UTF-8 or UTF-16") from None
    # What it says of its encoding is that of a file which is no more.
    content = re.sub(r"\A<\?xml\s[^?>]*\?>", "", text).encode()
    shape, parser = Shape(), expat.ParserCreate("utf-8", " ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = shape.start, shape.end
    parser.CharacterDataHandler, parser.CommentHandler = shape.text, shape.between
    parser.ProcessingInstructionHandler = shape.between
    parser.StartDoctypeDeclHandler = _refuse_dtd
    try:
        parser.Parse(content, True)
    except expat.ExpatError as fault:
        raise Unusable(f"line {fault.lineno}: the file is not XML, or is cut off") from None
    return content, shape


def _refuse_dtd(*_: object) -> None:
    raise Unusable("the file has a document type (DTD), which PSKC has not")
