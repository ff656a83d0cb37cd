"""X.509 certificates of Intel's PKI, parsed by `cryptography` and reduced to what the verifier compares.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.3; RFC 5280.
"""

from __future__ import annotations

import binascii
import re
from datetime import datetime
from sys import intern
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec

from ambergate.core.collateral import der
from ambergate.core.collateral.plain_certificate import cut_plain
from ambergate.core.errors import MalformedCollateral

MAX_CHAIN: Final = 8  # certificates; Intel's chains hold two or three
MAX_CERTIFICATE: Final = 8 * 1024  # bytes of DER; Intel's are about 700 to 1300
MAX_SERIAL: Final = 1 << 160  # RFC 5280, 4.1.2.2: positive, at most 20 octets
MAX_ARMOURED: Final = 12_000  # characters of one PEM block, above 4/3 of MAX_CERTIFICATE with line ends
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
END_OF_CERTIFICATE: Final = b"-----END CERTIFICATE-----"
_MARKER_BEGIN: Final = b"-----BEGIN"
_MARKER_END: Final = b"-----END"
_MARKER: Final = re.compile(b"-----(?:BEGIN|END)")
_WHITE_SPACE: Final = b" \t\r\n\v\f"

ECDSA_WITH_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")  # AlgorithmIdentifier, RFC 5758 section 3.2
# SubjectPublicKeyInfo of a P-256 key up to its uncompressed point's coordinates (RFC 5480, section 2).
_P256_POINT: Final = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
_CRITICAL: Final = 3  # octets of a BOOLEAN
_LONG: Final = 0x80  # a first length octet below this is the length; asked here, it spares a call for most elements
_VERSION_3: Final = bytes.fromhex("a003020102")  # [0] INTEGER 2, RFC 5280 section 4.1.2.1
_PARTS: Final = 8  # of what is signed: version, serial number, ..., extensions (RFC 5280, section 4.1)
_CURVE: Final = ec.SECP256R1()

_COMMON_NAME: Final = bytes.fromhex("0603550403")  # 2.5.4.3
_FIRST_ATTRIBUTE: Final = 6  # where the content of a Name's first attribute begins, when lengths are below 128
_BASIC_CONSTRAINTS: Final = bytes.fromhex("0603551d13")
_SGX_EXTENSION: Final = bytes.fromhex("06092a864886f84d010d01")  # 1.2.840.113741.1.13.1
_NO_CA: Final = bytes.fromhex("3000")  # BasicConstraints of a leaf: all is left at its default
# Extensions that Intel's parser insists on (QVL `Certificate::setExtensions`), by the DER of their identifiers.
_REQUIRED: Final = {
    bytes.fromhex("0603551d23"): "AuthorityKeyIdentifier",
    bytes.fromhex("0603551d1f"): "CRLDistributionPoints",
    bytes.fromhex("0603551d0e"): "SubjectKeyIdentifier",
    bytes.fromhex("0603551d0f"): "KeyUsage",
    _BASIC_CONSTRAINTS: "BasicConstraints",
}

# What `cryptography` raises on certificates and CRLs that it cannot make sense of, and what slicing one would raise.
FOREIGN_ERRORS: Final = (
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    IndexError,
)


class Certificate(NamedTuple):
    """One certificate. Nothing of it is proven. Names are compared as DER bytes."""

    der: bytes
    to_be_signed: bytes
    signature: bytes  # DER SEQUENCE of r and s
    subject: bytes
    issuer: bytes
    common_name: str
    serial: int
    not_before: datetime
    not_after: datetime
    is_ca: bool
    public_key: ec.EllipticCurvePublicKey
    point: bytes  # x || y, 64 bytes
    sgx_extension: bytes | None

    @property
    def self_issued(self) -> bool:
        """Subject and issuer are one name."""
        return self.subject == self.issuer


class KnownCertificates(Protocol):
    """Certificates read before, by their DER."""

    def get(self, der: bytes, /) -> Certificate | None:
        """The certificate of these bytes, if it was read before."""
        ...


NONE_KNOWN: Final[KnownCertificates] = MappingProxyType({})


def read_pem_chain(text: bytes, known: KnownCertificates = NONE_KNOWN) -> tuple[Certificate, ...]:
    """The certificates of concatenated PEM blocks, in the order they stand in.

    Text around the blocks is tolerated, as the reference does, unless it holds another marker.

    Args:
        text: the chain.
        known: certificates read before, by their DER; one of the same bytes is not parsed again.

    Raises:
        MalformedCollateral: no block, more than `MAX_CHAIN`, broken markers, or a certificate that does not parse.
    """
    return tuple([known.get(data) or read_certificate(data) for data in _pem_blocks(text)])


def read_certificate(data: bytes) -> Certificate:
    """One certificate from DER.

    Raises:
        MalformedCollateral: not X.509 v3 with a P-256 key, ECDSA with SHA-256, a common name and Intel's extensions.
    """
    if len(data) > MAX_CERTIFICATE:
        raise MalformedCollateral(
            "a certificate is too long", seen=f"{len(data)} bytes", wanted=f"at most {MAX_CERTIFICATE}"
        )
    return read_plain(data) or read_any(data)


def read_plain(data: bytes) -> Certificate | None:
    """A certificate as Intel writes it; None: it is written otherwise, see `read_any`, which reads these alike."""
    cut = cut_plain(data)
    if cut is None:
        return None
    try:
        return Certificate(
            data,
            cut.to_be_signed,
            cut.signature,
            cut.subject,
            cut.issuer,
            cut.common_name,
            cut.serial,
            _instant(cut.not_before),
            _instant(cut.not_after),
            cut.is_ca,
            ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, b"\x04" + cut.point),
            cut.point,
            cut.sgx_extension,
        )
    except ValueError:  # no date, or no point: `read_any` says so
        return None


def read_any(data: bytes) -> Certificate:
    """A certificate of at most `MAX_CERTIFICATE` bytes, however it is written.

    Raises:
        MalformedCollateral: as `read_certificate` does.
    """
    try:
        x509.load_der_x509_certificate(data)
        return _reduce(data)
    except FOREIGN_ERRORS as exc:
        raise MalformedCollateral("a certificate does not parse", seen=str(exc) or type(exc).__name__) from exc


def _pem_blocks(text: bytes) -> list[bytes]:
    """The DER of each block. Every BEGIN must be followed by its END, and no other marker may stand around them."""
    around, *pieces = text.split(_BEGIN)
    parts = [piece.partition(END_OF_CERTIFICATE) for piece in pieces]
    # Inside a block a marker is not base64, and refused as that.
    whole = all(end and not _MARKER.search(rest) for _, end, rest in parts)
    if not whole or not 1 <= len(parts) <= MAX_CHAIN or _MARKER.search(around):
        raise MalformedCollateral(
            "the chain is not concatenated PEM certificates",
            seen=f"{text.count(_MARKER_BEGIN)} BEGIN and {text.count(_MARKER_END)} END markers",
            wanted=f"1 to {MAX_CHAIN} whole blocks",
        )
    return [_unarmour(body) for body, _, _ in parts]


def _unarmour(body: bytes) -> bytes:
    if len(body) > MAX_ARMOURED:
        raise MalformedCollateral(
            "a PEM block is too long", seen=f"{len(body)} bytes", wanted=f"at most {MAX_ARMOURED}"
        )
    try:
        return binascii.a2b_base64(body.replace(b"\n", b""), strict_mode=True)
    except binascii.Error:  # other white space, perhaps; to look for all of it costs as much as to decode
        pass
    try:
        return binascii.a2b_base64(body.translate(None, _WHITE_SPACE), strict_mode=True)
    except binascii.Error as exc:
        raise MalformedCollateral("a PEM block is not base64", seen=str(exc)) from exc


def _reduce(data: bytes) -> Certificate:
    """What the verifier compares, sliced out of the certificate as it stands (RFC 5280, 4.1).

    `cryptography` has found the whole to be well-formed DER of a certificate; so lengths need no second check here.
    Its own objects are not used: they re-serialise what was signed, and cost as much as a signature to make.
    """
    start = der.content_of(data, 0)
    stop = der.end_of(data, start)
    at = der.content_of(data, start)
    version = data[at : at + len(_VERSION_3)]
    parts = der.siblings(data, at, stop)
    if version != _VERSION_3 or len(parts) <= _PARTS:
        raise MalformedCollateral("a certificate is not of version 3", seen=version.hex(), wanted="v3")
    _, serial, algorithm, issuer, validity, subject, key, extensions_at = parts[:_PARTS]
    signature = der.end_of(data, stop)
    if not data[algorithm:issuer] == data[stop:signature] == ECDSA_WITH_SHA256:
        raise MalformedCollateral(
            "a certificate is not signed with ECDSA and SHA-256",
            seen=data[stop:signature].hex(),
            wanted=ECDSA_WITH_SHA256.hex(),
        )
    number = int.from_bytes(data[der.content_of(data, serial) : algorithm], "big", signed=True)
    if not 0 <= number < MAX_SERIAL:
        raise MalformedCollateral("a serial number is out of range", seen=f"{number:x}", wanted="0 to 20 octets")
    present = extensions_of(data, der.content_of(data, extensions_at))
    if not present.keys() >= _REQUIRED.keys():
        missing = [name for oid, name in _REQUIRED.items() if oid not in present]
        raise MalformedCollateral(
            "a certificate lacks extensions", seen=f"no {', '.join(missing)}", wanted="Intel's certificate profile"
        )
    not_before, not_after = times_of(data, der.content_of(data, validity))
    public_key, point = _read_key(data[key:extensions_at])
    return Certificate(
        der=data,
        to_be_signed=data[start:stop],
        signature=data[der.content_of(data, signature) + 1 :],  # behind the count of a BIT STRING's unused bits
        subject=data[subject:key],
        issuer=data[issuer:validity],
        common_name=intern(_common_name(data[subject:key])),
        serial=number,
        not_before=not_before,
        not_after=not_after,
        is_ca=_is_ca(present[_BASIC_CONSTRAINTS]),
        public_key=public_key,
        point=point,
        sgx_extension=present.get(_SGX_EXTENSION),
    )


def extensions_of(data: bytes, at: int) -> dict[bytes, bytes]:
    """The extensions in the SEQUENCE at `at`: object identifier (its DER) -> value, neither looked into.

    Raises:
        MalformedCollateral: one stands there twice (RFC 5280, 4.2).
    """
    found: dict[bytes, bytes] = {}
    stop = der.end_of(data, at)
    at = der.content_of(data, at)
    while at < stop:
        length = data[at + 1]
        if length < _LONG:
            oid = at + 2
            at = oid + length
        else:
            oid = der.content_of(data, at)
            at = der.end_of(data, at)
        length = data[oid + 1]
        value = oid + 2 + length if length < _LONG else der.end_of(data, oid)
        name = data[oid:value]
        if data[value] == der.BOOLEAN:
            value += _CRITICAL
        if name in found:
            raise MalformedCollateral("an extension stands twice", seen=name.hex(), wanted="each once")
        length = data[value + 1]
        found[name] = data[value + 2 if length < _LONG else der.content_of(data, value) : at]
    return found


def times_of(data: bytes, at: int) -> tuple[datetime, datetime]:
    """The two instants that stand at `at` one behind the other, each UTCTime or GeneralizedTime (RFC 5280, 4.1.2.5).

    Raises:
        MalformedCollateral: one of them is not written as the RFC wants it.
    """
    middle = der.end_of(data, at)
    return _time(data, at, middle), _time(data, middle, der.end_of(data, middle))


def _time(data: bytes, at: int, end: int) -> datetime:
    tag, digits = data[at], data[at + 2 : end - 1]
    size = 12 if tag == der.UTC_TIME else 14
    if len(digits) != size or not digits.isdigit() or data[end - 1] != ord("Z"):
        raise MalformedCollateral("a time is not acceptable", seen=data[at:end].hex(), wanted="YYMMDDhhmmssZ")
    return _instant(digits)


def _instant(digits: bytes) -> datetime:
    """YYMMDDhhmmss, in which 50 is 1950 and 49 is 2049, or the same with a year of four digits; of UTC."""
    text = digits.decode("ascii")
    if len(text) == 12:
        text = ("20" if text < "50" else "19") + text
    return datetime.fromisoformat(f"{text[:8]}T{text[8:]}Z")


def _read_key(info: bytes) -> tuple[ec.EllipticCurvePublicKey, bytes]:
    """The key and its point, `x || y`, from a SubjectPublicKeyInfo."""
    point = info.removeprefix(_P256_POINT)
    if len(point) != 64 or len(info) != len(_P256_POINT) + 64:
        raise MalformedCollateral(
            "a certificate's key is not P-256", seen=info[: len(_P256_POINT)].hex(), wanted="EC P-256, uncompressed"
        )
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, b"\x04" + point), point


def _common_name(name: bytes) -> str:
    """The one common name in a Name; each of its parts may hold several attributes (RFC 5280, 4.1.2.4).

    Raises:
        MalformedCollateral: none, or several, or not text.
    """
    if name.rfind(_COMMON_NAME) == _FIRST_ATTRIBUTE and max(name[1], name[3], name[5]) < _LONG:
        # As Intel writes it: the first attribute of the first part, and no other can be one.
        return name[der.content_of(name, _FIRST_ATTRIBUTE + len(_COMMON_NAME)) : _FIRST_ATTRIBUTE + name[5]].decode()
    found = []
    at, stop = der.content_of(name, 0), len(name)
    while at < stop:
        part, at = der.content_of(name, at), der.end_of(name, at)
        while part < at:
            value = der.content_of(name, part)
            part = der.end_of(name, part)
            if name.startswith(_COMMON_NAME, value):
                found.append(name[der.content_of(name, value + len(_COMMON_NAME)) : part])
    if len(found) != 1:
        raise MalformedCollateral("a certificate has no single common name", seen=f"{len(found)} of them", wanted="1")
    return found[0].decode("utf-8")


def _is_ca(constraints: bytes) -> bool:
    """BasicConstraints is SEQUENCE { cA BOOLEAN DEFAULT FALSE, ... }; DER leaves a default out (RFC 5280, 4.2.1.9)."""
    if constraints == _NO_CA:
        return False
    start, end = der.whole(constraints, der.SEQUENCE, "BasicConstraints")
    tag, content, stop = der.element(constraints, start, end)
    return tag == der.BOOLEAN and der.boolean(constraints[content:stop])
