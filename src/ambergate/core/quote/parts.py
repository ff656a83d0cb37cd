"""`cut_quote`: a quote's bytes cut into the parts that a verification compares and hashes, each as it came.

Layout: Intel "SGX ECDSA QuoteLibReference DCAP API", appendix A.4 (version 3), and "TDX DCAP Quoting Library API",
appendix A.3 (versions 4 and 5). Integers are little-endian, key coordinates and signatures big-endian.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import Final, NamedTuple

from ambergate.core.errors import MalformedEvidence
from ambergate.core.octets import Cursor
from ambergate.core.quote.layout import (
    ECDSA_P256,
    HEADER_SIZE,
    INTEL_QE_VENDOR,
    MAX_QUOTE,
    MAX_TRAILING,
    QE_REPORT_CERTIFICATION,
    TeeType,
)
from ambergate.core.quote.report import ENCLAVE_REPORT_SIZE
from ambergate.core.quote.td_report import TD_REPORT_10_SIZE, TD_REPORT_15_SIZE

VERSIONS: Final = (3, 4, 5)
# Version, attestation key type, TEE type, reserved, QE vendor, user data.
HEADER: Final = Struct("<H H I 4s 16s 20s")


class BodyKind(NamedTuple):
    """What a version 5 body descriptor may say: its type, its size in bytes, and the TEE that has it."""

    number: int
    size: int
    tee: TeeType


SGX: Final = BodyKind(1, ENCLAVE_REPORT_SIZE, TeeType.SGX)
TD_10: Final = BodyKind(2, TD_REPORT_10_SIZE, TeeType.TDX)
TD_15: Final = BodyKind(3, TD_REPORT_15_SIZE, TeeType.TDX)
_BODY_KINDS: Final = {kind.number: kind for kind in (SGX, TD_10, TD_15)}

# Plain headers, without a descriptor: version, attestation key type and TEE type -> the body behind them.
_PLAIN: Final = {
    bytes.fromhex("0300020000000000"): SGX,
    bytes.fromhex("0400020000000000"): SGX,
    bytes.fromhex("0400020081000000"): TD_10,
}
_VENDOR: Final = slice(12, 28)
_SIGNED_BY: Final = Struct("<I 64s 64s")  # size of the signature data, r || s, attestation key
_QE: Final = Struct(f"<{ENCLAVE_REPORT_SIZE}s 64s H")  # QE report, r || s, size of the QE authentication data
_TYPED: Final = Struct("<H I")  # a certification data type, and the size of what follows


class QuoteParts(NamedTuple):
    """A quote cut up. Its shape is right: every length fits, every enumeration is known. Nothing of it is proven."""

    version: int
    header: bytes  # 48
    kind: BodyKind
    body: bytes  # as long as its kind says
    signed: bytes  # header, in version 5 the body's descriptor, and body: what the attestation key signs
    signature: bytes  # r || s, 64 bytes
    attestation_key: bytes  # x || y, 64 bytes
    qe_report: bytes  # 384: what the PCK key signs
    qe_report_signature: bytes  # r || s, 64 bytes
    qe_auth_data: bytes
    certification_kind: int  # 1 to 5
    certification_data: bytes
    trailing: bytes  # at most `MAX_TRAILING`


def cut_quote(raw: bytes) -> QuoteParts:
    """Cut a quote's bytes up: SGX in versions 3, 4, 5, TDX in 4 and 5.

    Args:
        raw: the quote, at most 64 KiB.

    Raises:
        MalformedEvidence: it is not shaped like one. No other error, whatever the bytes.
    """
    if len(raw) > MAX_QUOTE:
        message = "a quote is not that long"
        raise MalformedEvidence(message, seen=f"{len(raw)} bytes", wanted=f"at most {MAX_QUOTE}")
    return cut_plain(raw) or cut_any(raw)


def cut_plain(raw: bytes) -> QuoteParts | None:
    """A quote of version 3 or 4 cut at offsets; None: it is of version 5, or misshapen, see `cut_any`.

    Whatever this cuts, `cut_any` cuts alike, at four times the cost. All sizes are added up and must end where the
    signature data does; so no part reaches past it.
    """
    kind = _PLAIN.get(raw[:8])
    if kind is None or raw[_VENDOR] != INTEL_QE_VENDOR.value:
        return None
    ends = HEADER_SIZE + kind.size
    try:
        size, signature, attestation_key = _SIGNED_BY.unpack_from(raw, ends)
        stops = ends + 4 + size
        inner = ends + _SIGNED_BY.size
        if raw[0] > 3:
            outer, outer_size = _TYPED.unpack_from(raw, inner)
            inner += _TYPED.size
            if outer != QE_REPORT_CERTIFICATION or inner + outer_size != stops:
                return None
        qe_report, qe_report_signature, auth_size = _QE.unpack_from(raw, inner)
        inner += _QE.size
        auth_data = raw[inner : inner + auth_size]
        certification, data_size = _TYPED.unpack_from(raw, inner + auth_size)
    except struct.error:
        return None
    data = inner + auth_size + _TYPED.size
    if data + data_size != stops or not stops <= len(raw) <= stops + MAX_TRAILING or not 1 <= certification <= 5:
        return None
    return QuoteParts(
        raw[0],
        raw[:HEADER_SIZE],
        kind,
        raw[HEADER_SIZE:ends],
        raw[:ends],
        signature,
        attestation_key,
        qe_report,
        qe_report_signature,
        auth_data,
        certification,
        raw[data:stops],
        raw[stops:],
    )


def cut_any(raw: bytes) -> QuoteParts:
    """A quote of at most `MAX_QUOTE` bytes, whatever its version, part by part.

    Raises:
        MalformedEvidence: as `cut_quote` does.
    """
    cursor = Cursor(raw, error=MalformedEvidence, what="the quote")
    header = cursor.take(HEADER_SIZE, "the header")
    version, tee = _read_header(header)
    kind = SGX if tee is TeeType.SGX else TD_10
    if version == 5:
        kind = _read_descriptor(cursor, tee)
    body = cursor.take(kind.size, "the report")
    signed = raw[: cursor.position]
    data = cursor.take(cursor.integer(4, "the size of the signature data"), "the signature data")
    if cursor.remaining > MAX_TRAILING:
        message = "too many bytes follow the signature data"
        raise MalformedEvidence(message, seen=f"{cursor.remaining} bytes", wanted=f"at most {MAX_TRAILING} of padding")
    outer = Cursor(data, error=MalformedEvidence, what="the signature data")
    signature = outer.take(64, "the quote's signature")
    attestation_key = outer.take(64, "the attestation key")
    inner = _unwrap(outer) if version > 3 else outer
    parts = QuoteParts(
        version,
        header,
        kind,
        body,
        signed,
        signature,
        attestation_key,
        inner.take(ENCLAVE_REPORT_SIZE, "the QE report"),
        inner.take(64, "the QE report's signature"),
        inner.take(inner.integer(2, "the size of the QE authentication data"), "the QE authentication data"),
        _read_certification_kind(inner),
        inner.take(inner.integer(4, "the size of the certification data"), "the certification data"),
        cursor.take(cursor.remaining, "the padding"),
    )
    inner.finish()
    outer.finish()
    return parts


def _read_header(header: bytes) -> tuple[int, TeeType]:
    version, key_type, tee, _, vendor, _ = HEADER.unpack(header)
    if version not in VERSIONS:
        raise MalformedEvidence("the quote's version is not supported", seen=version, wanted="3, 4 or 5")
    if key_type != ECDSA_P256:
        raise MalformedEvidence("the attestation key type is not ECDSA P-256", seen=key_type, wanted=ECDSA_P256)
    if vendor != INTEL_QE_VENDOR.value:
        raise MalformedEvidence("the quoting enclave is not Intel's", seen=vendor.hex(), wanted=INTEL_QE_VENDOR)
    if version == 3 and tee != TeeType.SGX.value:
        raise MalformedEvidence("a version 3 quote speaks of SGX only", seen=hex(tee), wanted="0x0")
    try:
        return version, TeeType(tee)
    except ValueError as exc:
        raise MalformedEvidence("the TEE type is unknown", seen=hex(tee), wanted="0x0 or 0x81") from exc


def _read_descriptor(cursor: Cursor, tee: TeeType) -> BodyKind:
    number, size = cursor.integer(2, "the body's type"), cursor.integer(4, "the body's size")
    kind = _BODY_KINDS.get(number)
    if kind is None or kind.size != size or kind.tee is not tee:
        wanted = ", ".join(f"type {k.number} of {k.size} bytes" for k in _BODY_KINDS.values() if k.tee is tee)
        raise MalformedEvidence("the body's descriptor is wrong", seen=f"type {number} of {size} bytes", wanted=wanted)
    return kind


def _unwrap(cursor: Cursor) -> Cursor:
    """The inside of the certification data of type 6, in which versions 4 and 5 keep the QE report."""
    kind = cursor.integer(2, "the outer certification data type")
    if kind != QE_REPORT_CERTIFICATION:
        raise MalformedEvidence("the outer certification data type is wrong", seen=kind, wanted=QE_REPORT_CERTIFICATION)
    data = cursor.take(cursor.integer(4, "the size of the outer certification data"), "the outer certification data")
    return Cursor(data, error=MalformedEvidence, what="the outer certification data")


def _read_certification_kind(cursor: Cursor) -> int:
    kind = cursor.integer(2, "the certification data type")
    if not 1 <= kind <= 5:
        raise MalformedEvidence("the certification data type is unknown", seen=kind, wanted="1 to 5")
    return kind
