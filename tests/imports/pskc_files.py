# SPDX-License-Identifier: MIT
"""PSKC files: made by python3-pskc, and the examples of RFC 6030, from what it says of them."""

import io
import re
from typing import Any

from pskc import PSKC

from pam_totp.imports.found import Found

SECRET = b"12345678901234567890"
HOTP, TOTP = (f"urn:ietf:params:xml:ns:keyprov:pskc:{kind}" for kind in ("hotp", "totp"))
NAMESPACE = "urn:ietf:params:xml:ns:keyprov:pskc"
XENC, XENC11 = "http://www.w3.org/2001/04/xmlenc#", "http://www.w3.org/2009/xmlenc11#"
PKCS5 = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#"
DSIG = "http://www.w3.org/2000/09/xmldsig#"

# Section 6.1: the key of figure 6, and the password of figure 7.
FIGURE_6_KEY, FIGURE_7_PASSWORD = bytes.fromhex("12345678901234567890123456789012"), b"qwerty"


def found(**more: Any) -> Found:
    """What is found of a token with SECRET, and with what every app has."""
    plain: dict[str, Any] = {
        "secret": SECRET,
        "kind": "totp",
        "algorithm": "SHA1",
        "digits": 6,
        "period": 30,
    }
    return Found(**(plain | {"counter": 0, "offset": 0} | more))


def written(file: PSKC) -> bytes:
    content = io.BytesIO()
    file.write(content)
    # It writes this as text, and reads it as an attribute, as it should be.
    return re.sub(rb"<PRF>(.*?)</PRF>", rb'<PRF Algorithm="\1"/>', content.getvalue())


def made(*keys: dict[str, Any], protect: str = "", **options: Any) -> bytes:
    """A file of these keys. protect: "", "preshared_key" or "pbkdf2", with the options of that."""
    file = PSKC()
    for at, key in enumerate(keys or ({},), 1):
        defaults = {"serial": f"98765432{at}", "algorithm": HOTP, "secret": SECRET, "id": str(at)}
        file.add_key(**(defaults | key))
    if protect:
        getattr(file.encryption, f"setup_{protect}")(**options)
    return written(file)


def container(*packages: str, head: str = "") -> bytes:
    """A file by hand; head: what stands before the packages."""
    spaces = f'xmlns="{NAMESPACE}" xmlns:ds="{DSIG}" xmlns:xenc="{XENC}"'
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<KeyContainer Version="1.0" {spaces}>'
    return f"{text}\n{head}{''.join(packages)}</KeyContainer>\n".encode()


def package(
    data: str = "<Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue></Secret>",
    *,
    device: str = "<SerialNo>987654321</SerialNo>",
    key: str = "12345678",
    algorithm: str = HOTP,
    parameters: str = '<ResponseFormat Length="8" Encoding="DECIMAL"/>',
    more: str = "",
) -> str:
    info = f"<DeviceInfo><Manufacturer>Manufacturer</Manufacturer>{device}</DeviceInfo>"
    module = "<CryptoModuleInfo><Id>CM_ID_001</Id></CryptoModuleInfo>"
    of_codes = f"<AlgorithmParameters>{parameters}</AlgorithmParameters>" if parameters else ""
    held = f"<Issuer>Issuer</Issuer>{of_codes}<Data>{data}</Data>{more}"
    return (
        f"<KeyPackage>{info if device else ''}{module}"
        f'<Key Id="{key}" Algorithm="{algorithm}">{held}</Key></KeyPackage>'
    )


PLAIN = "<Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=\n</PlainValue></Secret>"
COUNTER_0 = "<Counter><PlainValue>0</PlainValue></Counter>"
AES = f'<xenc:EncryptionMethod Algorithm="{XENC}aes128-cbc"/>'


def encrypted(value: str, mac: str) -> str:
    cipher = f"<xenc:CipherData><xenc:CipherValue>\n{value}\n</xenc:CipherValue></xenc:CipherData>"
    return (
        f"<Secret><EncryptedValue>{AES}{cipher}</EncryptedValue><ValueMAC>{mac}</ValueMAC></Secret>"
    )


def mac_method(value: str) -> str:
    cipher = f"<xenc:CipherData><xenc:CipherValue>{value}</xenc:CipherValue></xenc:CipherData>"
    return f'<MACMethod Algorithm="{DSIG}hmac-sha1"><MACKey>{AES}{cipher}</MACKey></MACMethod>'


def derived_key(iterations: str = "1000", length: str = "16", prf: str = "<PRF/>") -> str:
    numbers = f"<IterationCount>{iterations}</IterationCount><KeyLength>{length}</KeyLength>"
    salt = '<Salt xmlns=""><Specified>Ej7/PEpyEpw=</Specified></Salt>'
    method = f'<x:KeyDerivationMethod Algorithm="{PKCS5}pbkdf2">'
    return (
        f'<EncryptionKey><x:DerivedKey xmlns:x="{XENC11}" xmlns:pkcs5="{PKCS5}">{method}'
        f"<pkcs5:PBKDF2-params>{salt}{numbers}{prf}</pkcs5:PBKDF2-params></x:KeyDerivationMethod>"
        '<xenc:ReferenceList><xenc:DataReference URI="#ED"/></xenc:ReferenceList>'
        "<x:MasterKeyName>My Password 1</x:MasterKeyName></x:DerivedKey></EncryptionKey>"
    )


FIGURE_2 = container(
    '<KeyPackage><Key Id="12345678" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp">'
    "<Issuer>Issuer-A</Issuer><Data><Secret><PlainValue>MTIzNA==\n</PlainValue></Secret></Data>"
    "</Key></KeyPackage>"
)
FIGURE_3 = container(
    package(
        PLAIN + COUNTER_0,
        device="<SerialNo>987654321</SerialNo><UserId>DC=example-bank,DC=net</UserId>",
        more="<UserId>UID=jsmith,DC=example-bank,DC=net</UserId>",
    )
)
_REFERENCE = "<KeyProfileId>keyProfile1</KeyProfileId><KeyReference>MasterKeyLabel</KeyReference>"
FIGURE_4 = container(
    package(COUNTER_0, more=f"{_REFERENCE}<Policy><KeyUsage>OTP</KeyUsage></Policy>")
)
_PIN_POLICY = (
    '<PINPolicy MinLength="4" MaxLength="4" PINKeyId="123456781" PINEncoding="DECIMAL" '
    'PINUsageMode="Local"/>'
)
FIGURE_5 = container(
    package(PLAIN + COUNTER_0, more=f"<Policy>{_PIN_POLICY}<KeyUsage>OTP</KeyUsage></Policy>"),
    package(
        "<Secret><PlainValue>MTIzNA==</PlainValue></Secret>",
        key="123456781",
        algorithm="urn:ietf:params:xml:ns:keyprov:pskc:pin",
        parameters='<ResponseFormat Length="4" Encoding="DECIMAL"/>',
    ),
)
FIGURE_6 = container(
    package(
        encrypted(
            "AAECAwQFBgcICQoLDA0OD+cIHItlB3Wra1DUpxVvOx2lef1VmNPCMl8jwZqIUqGv",
            "Su+NvtQfmvfJzF6bmQiJqoLRExc=",
        )
        + COUNTER_0
    ),
    head="<EncryptionKey><ds:KeyName>Pre-shared-key</ds:KeyName></EncryptionKey>"
    + mac_method("ESIzRFVmd4iZABEiM0RVZgKn6WjLaTC1sbeBMSvIhRejN9vJa2BOlSaMrR7I5wSX"),
)
FIGURE_7 = container(
    package(
        encrypted(
            "oTvo+S22nsmS2Z/RtcoF8Hfh+jzMe0RkiafpoDpnoZTjPYZu6V+A4aEn032yCr4f",
            "LP6xMvjtypbfT9PdkJhBZ+D6O4w=",
        )
    ),
    head=derived_key()
    + mac_method("2GTTnLwM3I4e5IO5FkufoOEiOhNj91fhKRQBtBJYluUDsPOLTfUvoU2dStyOwYZx"),
)
