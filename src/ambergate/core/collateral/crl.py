"""Certificate revocation lists of Intel's CAs: DER, PEM, or DER in hex as PCCS serves them.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.4; RFC 5280 section 5.
"""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography import x509

from ambergate.core.collateral import der
from ambergate.core.collateral.certificates import ECDSA_WITH_SHA256, FOREIGN_ERRORS, extensions_of, times_of
from ambergate.core.errors import MalformedCollateral

if TYPE_CHECKING:
    from datetime import datetime

MAX_CRL: Final = 512 * 1024  # bytes of DER; the largest published one is below 8 KiB
_VERSION_2: Final = bytes.fromhex("020101")  # INTEGER 1, RFC 5280 section 5.1.2.1
_CRL_NUMBER: Final = bytes.fromhex("0603551d14")
_AUTHORITY_KEY_IDENTIFIER: Final = bytes.fromhex("0603551d23")
_BEGIN: Final = "-----BEGIN X509 CRL-----"
_END: Final = "-----END X509 CRL-----"


class RevocationList(NamedTuple):
    """One CRL. Nothing of it is proven; `issuer` is compared as DER bytes."""

    der: bytes
    to_be_signed: bytes
    signature: bytes  # DER SEQUENCE of r and s
    issuer: bytes
    this_update: datetime
    next_update: datetime
    number: int
    parsed: x509.CertificateRevocationList

    def revokes(self, serial: int) -> bool:
        """Whether a certificate of this serial number is on the list."""
        # An entry holds its serial number as a DER INTEGER, whose form is unique: where those bytes do not occur at
        # all, no entry is it. Where they do, the entries are looked at one by one.
        if der.encode_integer(serial) not in self.der:
            return False
        return self.parsed.get_revoked_certificate_by_serial_number(serial) is not None


def read_crl(data: str | bytes) -> RevocationList:
    """A CRL from its DER (bytes that start with the octet 30), from PEM, or from hex digits of its DER.

    Raises:
        MalformedCollateral: not a CRL with a number, an authority key id and a next update, signed ECDSA with SHA-256.
    """
    octets = crl_der(data)
    try:
        return _reduce(x509.load_der_x509_crl(octets), octets)
    except FOREIGN_ERRORS as exc:
        raise MalformedCollateral(
            "a CRL does not parse", seen=str(exc) or type(exc).__name__, wanted="DER, PEM, or DER in hex"
        ) from exc


def crl_der(data: str | bytes) -> bytes:
    """The DER of a CRL in any of its three forms. Proves nothing of what it holds.

    Raises:
        MalformedCollateral: too long, or none of the three.
    """
    if len(data) > 2 * MAX_CRL:
        raise MalformedCollateral("a CRL is too long", seen=f"{len(data)} characters", wanted=f"at most {2 * MAX_CRL}")
    if isinstance(data, bytes):
        if data[:1] == b"\x30":  # a SEQUENCE; PEM starts with a hyphen, and hex of a SEQUENCE with the digit 3
            return data
        data = data.decode("ascii", "replace")
    text = data.strip()
    try:
        if not text.startswith("-----"):
            return bytes.fromhex(text)
        body = text.removeprefix(_BEGIN).removesuffix(_END)
        if len(body) != len(text) - len(_BEGIN) - len(_END):
            raise MalformedCollateral("a CRL in PEM has other markers", seen=text[:32], wanted=f"{_BEGIN} ... {_END}")
        return binascii.a2b_base64("".join(body.split()), strict_mode=True)
    except ValueError as exc:
        raise MalformedCollateral("a CRL does not parse", seen=str(exc), wanted="DER, PEM, or DER in hex") from exc


def _reduce(parsed: x509.CertificateRevocationList, data: bytes) -> RevocationList:
    """What the verifier compares, sliced out of the list as it stands; `cryptography` has found it well-formed.

    CertificateList: TBSCertList, algorithm, signature. TBSCertList: version, algorithm, issuer, thisUpdate, nextUpdate,
    revoked certificates if there are any, extensions [0] (RFC 5280, 5.1).
    """
    start = der.content_of(data, 0)
    stop = der.end_of(data, start)
    signature = der.end_of(data, stop)
    version = der.content_of(data, start)
    algorithm = version + len(_VERSION_2)
    issuer = der.end_of(data, algorithm)
    this_update = der.end_of(data, issuer)
    next_update = der.end_of(data, this_update)
    if data[version:algorithm] != _VERSION_2:
        raise MalformedCollateral("a CRL is not of version 2", seen=data[version:algorithm].hex(), wanted="v2")
    if not data[algorithm:issuer] == data[stop:signature] == ECDSA_WITH_SHA256:
        raise MalformedCollateral(
            "a CRL is not signed with ECDSA and SHA-256",
            seen=data[stop:signature].hex(),
            wanted=ECDSA_WITH_SHA256.hex(),
        )
    if data[next_update] not in (der.UTC_TIME, der.GENERALIZED_TIME):
        raise MalformedCollateral(
            "a CRL does not say when the next one comes", seen="no nextUpdate", wanted="nextUpdate"
        )
    at = der.end_of(data, next_update)
    while at < stop and data[at] != der.CONTEXT_0:
        at = der.end_of(data, at)
    present = extensions_of(data, der.content_of(data, at)) if at < stop else {}
    number = present.get(_CRL_NUMBER)
    if number is None or _AUTHORITY_KEY_IDENTIFIER not in present:
        raise MalformedCollateral(
            "a CRL lacks extensions",
            seen=", ".join(oid.hex() for oid in present) or "none",
            wanted="CRL number and authority key id",
        )
    begins, ends = times_of(data, this_update)
    number_start, number_end = der.whole(number, der.INTEGER, "a CRL number")
    return RevocationList(
        der=data,
        to_be_signed=data[start:stop],
        signature=data[der.content_of(data, signature) + 1 :],  # behind the count of a BIT STRING's unused bits
        issuer=data[issuer:this_update],
        this_update=begins,
        next_update=ends,
        number=der.integer(number[number_start:number_end]),
        parsed=parsed,
    )
