"""Certificates and CRLs written octet by octet, so that a test can write one part in another way. Nobody signs them."""

from __future__ import annotations

from dataclasses import dataclass, field

ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ECDSA_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
GENERATOR = bytes.fromhex(
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)
VERSION_3 = bytes.fromhex("a003020102")
VERSION_2 = bytes.fromhex("020101")  # of a CRL
BASIC_CONSTRAINTS = bytes.fromhex("551d13")
CRL_NUMBER = bytes.fromhex("551d14")
AUTHORITY_KEY = bytes.fromhex("551d23")
SGX_EXTENSION = bytes.fromhex("2a864886f84d010d01")
COMMON_NAME = bytes.fromhex("550403")
ORGANISATION = bytes.fromhex("55040a")
UTF8 = 0x0C
PRINTABLE = 0x13


def tlv(tag: int, *parts: bytes) -> bytes:
    """Tag, length in its shortest form, content."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int) -> bytes:
    """A DER INTEGER, of either sign."""
    size = 1
    while not -(1 << (8 * size - 1)) <= value < 1 << (8 * size - 1):
        size += 1
    return tlv(0x02, value.to_bytes(size, "big", signed=True))


def attribute(value: bytes, *, oid: bytes = COMMON_NAME, tag: int = UTF8) -> bytes:
    return tlv(0x30, tlv(0x06, oid), tlv(tag, value))


def name(*parts: tuple[bytes, ...]) -> bytes:
    """A Name; each of its parts is a set of attributes, in DER's order."""
    return tlv(0x30, *(tlv(0x31, *sorted(attributes)) for attributes in parts))


def utc(digits: str = "260101000000Z") -> bytes:
    return tlv(0x17, digits.encode())


def generalized(digits: str) -> bytes:
    return tlv(0x18, digits.encode())


def extension(oid: bytes, value: bytes, *, critical: bool = False) -> bytes:
    return tlv(0x30, tlv(0x06, oid), tlv(0x01, b"\xff") if critical else b"", tlv(0x04, value))


def constraints(*, ca: bool = False) -> bytes:
    return tlv(0x30, tlv(0x01, b"\xff") if ca else b"")


ROOT = name((attribute(b"Written SGX Root CA"),))
LEAF = name((attribute(b"Written SGX PCK Certificate"),), (attribute(b"nobody", oid=ORGANISATION),))
# The five that Intel's parser insists on, in the order of Intel's certificates.
REQUIRED = {
    AUTHORITY_KEY: tlv(0x30, tlv(0x80, bytes(20))),
    bytes.fromhex("551d1f"): tlv(0x30, tlv(0x30, tlv(0xA0, tlv(0xA0, tlv(0x86, b"https://simulator.invalid/"))))),
    bytes.fromhex("551d0e"): tlv(0x04, bytes(20)),
    bytes.fromhex("551d0f"): bytes.fromhex("030206c0"),
    BASIC_CONSTRAINTS: constraints(),
}


@dataclass(frozen=True, kw_only=True)
class Written:
    """A certificate by its parts, each in DER."""

    version: bytes = VERSION_3
    serial: bytes = integer(5)
    algorithm: bytes = ECDSA_SHA256
    issuer: bytes = ROOT
    not_before: bytes = utc("260101000000Z")
    not_after: bytes = utc("330101000000Z")
    subject: bytes = LEAF
    key: bytes = P256 + GENERATOR
    between: bytes = b""  # unique identifiers, which nobody has
    extensions: tuple[bytes, ...] | None = tuple(extension(oid, value) for oid, value in REQUIRED.items())
    outer_algorithm: bytes | None = None
    signature: bytes = tlv(0x03, b"\0" + tlv(0x30, integer(1), integer(1)))

    def der(self) -> bytes:
        extensions = b"" if self.extensions is None else tlv(0xA3, tlv(0x30, *self.extensions))
        to_be_signed = tlv(
            0x30,
            self.version,
            self.serial,
            self.algorithm,
            self.issuer,
            tlv(0x30, self.not_before, self.not_after),
            self.subject,
            self.key,
            self.between,
            extensions,
        )
        return tlv(0x30, to_be_signed, self.outer_algorithm or self.algorithm, self.signature)


def entry(serial: int, *, revoked: bytes | None = None) -> bytes:
    """An entry of a CRL."""
    return tlv(0x30, integer(serial), revoked or utc("260101000000Z"))


@dataclass(frozen=True, kw_only=True)
class WrittenList:
    """A CRL by its parts, each in DER."""

    version: bytes = VERSION_2
    algorithm: bytes = ECDSA_SHA256
    issuer: bytes = ROOT
    this_update: bytes = utc("260101000000Z")
    next_update: bytes = utc("270101000000Z")
    entries: tuple[bytes, ...] | None = None
    extensions: tuple[bytes, ...] | None = field(
        default=(extension(CRL_NUMBER, integer(7)), extension(AUTHORITY_KEY, REQUIRED[AUTHORITY_KEY]))
    )
    outer_algorithm: bytes | None = None
    signature: bytes = tlv(0x03, b"\0" + tlv(0x30, integer(1), integer(1)))

    def der(self) -> bytes:
        entries = b"" if self.entries is None else tlv(0x30, *self.entries)
        extensions = b"" if self.extensions is None else tlv(0xA0, tlv(0x30, *self.extensions))
        to_be_signed = tlv(
            0x30, self.version, self.algorithm, self.issuer, self.this_update, self.next_update, entries, extensions
        )
        return tlv(0x30, to_be_signed, self.outer_algorithm or self.algorithm, self.signature)
