"""A certificate as Intel writes it, cut by one regular expression.

It fixes order, object identifiers and the lengths of all that has one length only. The lengths that vary are compared
here, each with what it speaks of. So whatever this cuts is well-formed DER of X.509 version 3, and `certificates.py`
reads it alike at twice the cost; what is written otherwise, it reads alone.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.3; RFC 5280, section 4.1.
"""

from __future__ import annotations

import re
from sys import intern
from typing import Final, NamedTuple

_ECDSA_WITH_SHA256: Final = rb"0\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"  # RFC 5758, section 3.2
# SubjectPublicKeyInfo of a P-256 key up to its uncompressed point's coordinates (RFC 5480, section 2).
_P256_POINT: Final = re.escape(bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"))
# What stands in all of Intel's names behind the common name: Intel Corporation, Santa Clara, CA, US.
_INTEL: Final = bytes.fromhex(
    "311a3018060355040a0c11496e74656c20436f72706f726174696f6e3114301206035504070c0b53616e746120436c617261"
    "310b300906035504080c024341310b3009060355040613025553"
)
_MAX_NAME: Final = 40  # characters of a common name, so that the lengths around it are below 128
_COMMON_NAME: Final = b"\x06\x03\x55\x04\x03\x0c"  # 2.5.4.3, UTF8String


def _name_head(size: int) -> bytes:
    """A Name up to the text of its common name, of `size` characters."""
    part = len(_COMMON_NAME) + 1 + size
    return bytes((0x30, part + 4 + len(_INTEL), 0x31, part + 2, 0x30, part)) + _COMMON_NAME + bytes((size,))


_NAME_HEADS: Final = tuple(_name_head(size) for size in range(_MAX_NAME + 1))
_NAME: Final = rb"(0.1.0.%b.)([ -~]{1,%d})%b" % (_COMMON_NAME, _MAX_NAME, re.escape(_INTEL))
_MAX_ADDRESS: Final = 108  # characters of a list's address, likewise


def _address_head(size: int) -> bytes:
    """The extension CRLDistributionPoints up to the text of its one address, of `size` characters."""
    sizes = (0x86, size), (0xA0, size + 2), (0xA0, size + 4), (0x30, size + 6), (0x30, size + 8), (0x04, size + 10)
    head = b""
    for tag, length in sizes:
        head = bytes((tag, length)) + head
    return bytes((0x30, size + 17)) + b"\x06\x03\x55\x1d\x1f" + head


_ADDRESS_HEADS: Final = tuple(_address_head(size) for size in range(_MAX_ADDRESS + 1))
_EXTENSIONS: Final = (
    rb"0\x1f\x06\x03\x55\x1d\x23\x04\x180\x16\x80\x14.{20}"  # AuthorityKeyIdentifier
    rb"(0.\x06\x03\x55\x1d\x1f\x04.0.0.\xa0.\xa0.\x86.)([!-~]{1,%d})"  # CRLDistributionPoints: one address
    rb"0\x1d\x06\x03\x55\x1d\x0e\x04\x16\x04\x14.{20}"  # SubjectKeyIdentifier
    rb"0\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02.."  # KeyUsage, critical
    # BasicConstraints, critical: of a leaf, or of a CA with its path length.
    rb"0(?:\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x020\x00|(\x12)\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x080\x06\x01\x01\xff\x02\x01.)"
    rb"(?:0\x82(..)\x06\x09\x2a\x86\x48\x86\xf8\x4d\x01\x0d\x01\x04\x82(..)(.+))?"  # Intel's own
) % _MAX_ADDRESS
_PLAIN: Final = re.compile(
    rb"0\x82(..)(0\x82(..)\xa0\x03\x02\x01\x02"
    # A serial number of 20 octets, which is all of Intel's; a first octet of nought where the next would be a sign.
    rb"\x02(\x14[\x01-\x7f].{19}|\x15\x00[\x80-\xff].{19})"
    rb"%b(%b)0\x1e\x17\x0d([0-9]{12})Z\x17\x0d([0-9]{12})Z(%b)%b(.{64})(\xa3\x81.0\x81.|\xa3\x82..0\x82..)(%b))%b\x03(.)\x00(.+)"
    % (_ECDSA_WITH_SHA256, _NAME, _NAME, _P256_POINT, _EXTENSIONS, _ECDSA_WITH_SHA256),
    re.DOTALL,
)
_HEAD: Final = 4  # octets of a tag and a length of two octets
_INTEL_HEAD: Final = 15  # octets of the identifier of Intel's own extension and of its value's tag and length
_LONG: Final = 0x80  # a length from here on is written in more than one octet
_LONGER: Final = 0x100  # and from here on in more than two


class PlainCertificate(NamedTuple):
    """The parts of a certificate, each as it stands in it."""

    to_be_signed: bytes
    signature: bytes  # what the BIT STRING holds
    subject: bytes
    issuer: bytes
    common_name: str
    serial: int
    not_before: bytes  # YYMMDDhhmmss, ten digits of which may be no date
    not_after: bytes
    is_ca: bool
    point: bytes  # x || y, 64 bytes that may be no point
    sgx_extension: bytes | None


def cut_plain(data: bytes) -> PlainCertificate | None:
    """The certificate cut up; None: it is written otherwise, or misshapen."""
    found = _PLAIN.fullmatch(data)
    if found is None:
        return None
    groups = found.groups()  # in the order in which they stand
    outer, signed, inner, serial, issuer, issuer_head, issuer_name, not_before, not_after = groups[:9]
    subject, subject_head, subject_name, point, head, extensions, address_head, address = groups[9:17]
    is_ca, sgx_entry, sgx_size, sgx, signature_size, signature = groups[17:]
    sizes_hold = (
        len(signed) >= _LONGER + _HEAD
        and int.from_bytes(outer, "big") == len(data) - _HEAD
        and int.from_bytes(inner, "big") == len(signed) - _HEAD
        and issuer_head == _NAME_HEADS[len(issuer_name)]
        and subject_head == _NAME_HEADS[len(subject_name)]
        and head == _extensions_head(len(extensions))
        and address_head == _ADDRESS_HEADS[len(address)]
        and len(signature) + 1 < _LONG
        and signature_size[0] == len(signature) + 1
    )
    if not sizes_hold or (sgx is not None and not _sgx_sizes_hold(sgx_entry, sgx_size, len(sgx))):
        return None
    return PlainCertificate(
        signed,
        signature,
        subject,
        issuer,
        intern(subject_name.decode("ascii")),
        int.from_bytes(serial[1:], "big"),
        not_before,
        not_after,
        is_ca is not None,
        point,
        sgx,
    )


def _extensions_head(size: int) -> bytes | None:
    """What stands before extensions of `size` octets: [3] and SEQUENCE, both with lengths of as many octets."""
    if size >= _LONGER:
        return b"\xa3\x82%b0\x82%b" % ((size + _HEAD).to_bytes(2, "big"), size.to_bytes(2, "big"))
    if size >= _LONG and size + _HEAD - 1 < _LONGER:
        return b"\xa3\x81%c0\x81%c" % (size + _HEAD - 1, size)
    return None


def _sgx_sizes_hold(entry: bytes, value: bytes, size: int) -> bool:
    return (
        size >= _LONGER and int.from_bytes(value, "big") == size and int.from_bytes(entry, "big") == size + _INTEL_HEAD
    )
