"""Certificate revocation lists of Intel's CAs: DER, or DER in hex as PCCS serves them.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.4; RFC 5280 section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, SignatureAlgorithmOID

from ambergate.core.collateral import der
from ambergate.core.collateral.certificates import FOREIGN_ERRORS
from ambergate.core.errors import MalformedCollateral

if TYPE_CHECKING:
    from datetime import datetime

MAX_CRL: Final = 512 * 1024  # bytes of DER; the largest published one is below 8 KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """One CRL. Nothing of it is proven; `issuer` is compared as DER bytes."""

    der: bytes
    to_be_signed: bytes
    signature: bytes  # DER SEQUENCE of r and s
    issuer: bytes
    this_update: datetime
    next_update: datetime
    _parsed: x509.CertificateRevocationList

    def revokes(self, serial: int) -> bool:
        """Whether a certificate of this serial number is on the list."""
        return self._parsed.get_revoked_certificate_by_serial_number(serial) is not None


def read_crl(text: str) -> RevocationList:
    """A CRL from hex digits of its DER.

    Raises:
        MalformedCollateral: not a CRL with a number, an authority key id and a next update, signed ECDSA with SHA-256.
    """
    if len(text) > 2 * MAX_CRL:
        raise MalformedCollateral("a CRL is too long", seen=f"{len(text)} characters", wanted=f"at most {2 * MAX_CRL}")
    try:
        data = bytes.fromhex(text)
        return _reduce(x509.load_der_x509_crl(data), data)
    except FOREIGN_ERRORS as exc:
        raise MalformedCollateral(
            "a CRL does not parse", seen=str(exc) or type(exc).__name__, wanted="DER in hex"
        ) from exc


def _reduce(parsed: x509.CertificateRevocationList, data: bytes) -> RevocationList:
    present = {extension.oid for extension in parsed.extensions}
    missing = [
        oid.dotted_string
        for oid in (ExtensionOID.CRL_NUMBER, ExtensionOID.AUTHORITY_KEY_IDENTIFIER)
        if oid not in present
    ]
    if missing:
        raise MalformedCollateral(
            "a CRL lacks extensions",
            seen=f"no {', '.join(missing)}",
            wanted="CRL number and authority key id",
        )
    if parsed.signature_algorithm_oid != SignatureAlgorithmOID.ECDSA_WITH_SHA256:
        oid = parsed.signature_algorithm_oid.dotted_string
        raise MalformedCollateral("a CRL is not signed with ECDSA and SHA-256", seen=oid, wanted="1.2.840.10045.4.3.2")
    next_update = parsed.next_update_utc
    if next_update is None:
        raise MalformedCollateral(
            "a CRL does not say when the next one comes", seen="no nextUpdate", wanted="nextUpdate"
        )
    to_be_signed, issuer = _slices(data)
    return RevocationList(
        der=data,
        to_be_signed=to_be_signed,
        signature=parsed.signature,
        issuer=issuer,
        this_update=parsed.last_update_utc,
        next_update=next_update,
        _parsed=parsed,
    )


def _slices(data: bytes) -> tuple[bytes, bytes]:
    """The signed bytes and the issuer, as they stand (RFC 5280, 5.1: version, algorithm, issuer, ...)."""
    start, end = der.whole(data, der.SEQUENCE, "a CRL")
    _, content, stop = der.element(data, start, end)
    for position, (_, begin, _, finish) in enumerate(der.children(data, content, stop)):
        if position == 2:
            return data[start:stop], data[begin:finish]
    raise MalformedCollateral(
        "a CRL has no issuer", seen="fewer than three fields", wanted="version, algorithm, issuer"
    )
