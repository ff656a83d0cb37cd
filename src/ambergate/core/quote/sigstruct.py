"""SIGSTRUCT: what the signer of an SGX enclave says of it, 1,808 bytes beside the enclave.

Layout: Intel SDM volume 3D, table "Layout of Enclave Signature Structure (SIGSTRUCT)". Gramine writes it as `FILE.sig`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from ambergate.core.errors import MalformedEvidence
from ambergate.core.measurements import Attributes, MrEnclave, MrSigner

SIGSTRUCT_SIZE: Final = 1808  # bytes
# HEADER, VENDOR, DATE, HEADER2, SWDEFINED, reserved, MODULUS, EXPONENT, SIGNATURE, MISCSELECT, MISCMASK, CET_ATTRIBUTES
# and its mask and reserved, ISVFAMILYID, ATTRIBUTES, ATTRIBUTEMASK, ENCLAVEHASH, reserved, ISVEXTPRODID, ISVPRODID,
# ISVSVN, reserved, Q1, Q2.
_LAYOUT: Final = Struct("<16s I I 16s I 84s 384s I 384s I I 4s 16s 16s 16s 32s 16s 16s H H 12s 384s 384s")
_HEADER: Final = bytes.fromhex("06000000e10000000000010000000000")
_HEADER2: Final = bytes.fromhex("01010000600000006000000001000000")
_EXPONENT: Final = 3
_SIGNED: Final = (slice(0, 128), slice(900, 1028))


class _Fields(NamedTuple):
    header: bytes
    vendor: int
    date: int
    header2: bytes
    sw_defined: int
    reserved1: bytes
    modulus: bytes
    exponent: int
    signature: bytes
    misc_select: int
    misc_mask: int
    cet: bytes
    isv_family_id: bytes
    attributes: bytes
    attribute_mask: bytes
    enclave_hash: bytes
    reserved2: bytes
    isv_ext_prod_id: bytes
    isv_prod_id: int
    isv_svn: int
    reserved3: bytes
    q1: bytes
    q2: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sigstruct:
    """What its signer says an enclave is. Made by `parse_sigstruct` only, which proves that the signature holds.

    Does not say who the signer is: anybody signs with a key of their own, and MRSIGNER is the hash of that key.
    """

    mr_enclave: MrEnclave
    mr_signer: MrSigner
    isv_prod_id: int
    isv_svn: int
    attributes: Attributes
    date: str  # as its signer wrote it, YYYYMMDD

    @property
    def debug(self) -> bool:
        """The enclave may be run under debug only: nothing in it would be secret."""
        return self.attributes.debug


def parse_sigstruct(data: bytes) -> Sigstruct:
    """Exactly 1,808 bytes as a SIGSTRUCT whose RSA-3072 signature holds.

    Raises:
        MalformedEvidence: another length or header, another exponent than 3, or a signature that does not hold.
    """
    if len(data) != SIGSTRUCT_SIZE:
        raise MalformedEvidence("that is no SIGSTRUCT", seen=f"{len(data)} bytes", wanted=f"{SIGSTRUCT_SIZE} bytes")
    fields = _Fields._make(_LAYOUT.unpack(data))
    if (fields.header, fields.header2) != (_HEADER, _HEADER2):
        seen = f"{fields.header.hex()} {fields.header2.hex()}"
        raise MalformedEvidence("that is no SIGSTRUCT", seen=seen, wanted=f"{_HEADER.hex()} {_HEADER2.hex()}")
    _check_signature(fields, b"".join(data[each] for each in _SIGNED))
    return Sigstruct(
        mr_enclave=MrEnclave(fields.enclave_hash),
        mr_signer=MrSigner(hashlib.sha256(fields.modulus).digest()),
        isv_prod_id=fields.isv_prod_id,
        isv_svn=fields.isv_svn,
        attributes=Attributes(fields.attributes),
        date=f"{fields.date:08x}",
    )


def _check_signature(fields: _Fields, signed: bytes) -> None:
    """RSA, PKCS #1 v1.5, SHA-256; numbers are little-endian here. Source: SDM volume 3D, EINIT."""
    if fields.exponent != _EXPONENT:
        raise MalformedEvidence("the SIGSTRUCT has another exponent", seen=fields.exponent, wanted=_EXPONENT)
    try:
        key = rsa.RSAPublicNumbers(_EXPONENT, int.from_bytes(fields.modulus, "little")).public_key()
        key.verify(fields.signature[::-1], signed, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as exc:
        hint = "is the file whole? gramine-sgx-sign writes it"
        raise MalformedEvidence("the SIGSTRUCT's signature does not hold", seen=type(exc).__name__, hint=hint) from exc
