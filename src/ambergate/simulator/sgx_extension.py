"""The SGX extension of a PCK certificate, written as DER.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.3.5; DER: ITU-T X.690.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ambergate.core.collateral.pck import PckExtension

SGX_EXTENSION_OID: Final = "1.2.840.113741.1.13.1"

_BOOLEAN: Final = 0x01
_INTEGER: Final = 0x02
_OCTET_STRING: Final = 0x04
_OBJECT_IDENTIFIER: Final = 0x06
_ENUMERATED: Final = 0x0A
_SEQUENCE: Final = 0x30


def encode_sgx_extension(extension: PckExtension) -> bytes:
    """The extension's DER: five entries under a Processor CA, seven when a platform instance id is given."""
    entries = [
        _entry("1", _tlv(_OCTET_STRING, extension.ppid.value)),
        _entry("2", _tcb(extension)),
        _entry("3", _tlv(_OCTET_STRING, extension.pce_id.value)),
        _entry("4", _tlv(_OCTET_STRING, extension.fmspc.value)),
        _entry("5", _tlv(_ENUMERATED, _minimal(extension.sgx_type))),
    ]
    if extension.platform_instance_id is not None:
        entries.append(_entry("6", _tlv(_OCTET_STRING, extension.platform_instance_id.value)))
        entries.append(_entry("7", _configuration(extension)))
    return _tlv(_SEQUENCE, b"".join(entries))


def _tcb(extension: PckExtension) -> bytes:
    """Eighteen entries: sixteen components, PCESVN, CPUSVN."""
    numbers = [*extension.components, extension.pce_svn]
    entries = [_entry(f"2.{place}", _tlv(_INTEGER, _minimal(svn))) for place, svn in enumerate(numbers, start=1)]
    entries.append(_entry(f"2.{len(numbers) + 1}", _tlv(_OCTET_STRING, extension.cpu_svn.value)))
    return _tlv(_SEQUENCE, b"".join(entries))


def _configuration(extension: PckExtension) -> bytes:
    flags = (extension.dynamic_platform, extension.cached_keys, extension.smt_enabled)
    entries = [
        _entry(f"7.{place}", _tlv(_BOOLEAN, b"\xff" if flag else b"\x00")) for place, flag in enumerate(flags, start=1)
    ]
    return _tlv(_SEQUENCE, b"".join(entries))


def _entry(suffix: str, value: bytes) -> bytes:
    """One `SEQUENCE { OBJECT IDENTIFIER, value }` below the extension's own identifier."""
    return _tlv(_SEQUENCE, _object_identifier(f"{SGX_EXTENSION_OID}.{suffix}") + value)


def _tlv(tag: int, content: bytes) -> bytes:
    """Tag, definite length in its shortest form, content (X.690, 8.1)."""
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _minimal(number: int) -> bytes:
    """A non-negative integer's content octets: shortest, with a leading zero from 128 on (X.690, 8.3)."""
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def _object_identifier(dotted: str) -> bytes:
    """Base-128 arcs, the first two joined into one (X.690, 8.19)."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | arc & 0x7F)
        content.extend(reversed(groups))
    return _tlv(_OBJECT_IDENTIFIER, bytes(content))
