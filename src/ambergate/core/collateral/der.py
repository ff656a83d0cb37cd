"""A strict reader of DER (X.690): definite lengths, minimal length octets, nothing past the end.

Only slicing and the few primitive types that the SGX extension uses; certificates and CRLs themselves are parsed by
`cryptography`, this only finds the exact bytes that were signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ambergate.core.errors import MalformedCollateral

if TYPE_CHECKING:
    from collections.abc import Iterator

BOOLEAN: Final = 0x01
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
OCTET_STRING: Final = 0x04
OBJECT_IDENTIFIER: Final = 0x06
ENUMERATED: Final = 0x0A
UTC_TIME: Final = 0x17
GENERALIZED_TIME: Final = 0x18
SEQUENCE: Final = 0x30
CONTEXT_0: Final = 0xA0


def element(data: bytes, start: int = 0, end: int | None = None) -> tuple[int, int, int]:
    """The element at `start`: its tag, where its content begins, where it ends.

    Raises:
        MalformedCollateral: it does not fit before `end`, or its length is not in DER form.
    """
    limit = len(data) if end is None else end
    if start + 2 > limit:
        raise MalformedCollateral(
            "DER ends inside an element", seen=f"{limit - start} bytes", wanted="a tag and a length"
        )
    length = data[start + 1]
    content = start + 2
    if length >= 0x80:
        octets = length & 0x7F
        content += octets
        if not 1 <= octets <= 3 or content > limit:
            raise MalformedCollateral(
                "a DER length is not acceptable", seen=f"{octets} length octets", wanted="1 to 3, present"
            )
        length = int.from_bytes(data[start + 2 : content], "big")
        if length < 0x80 or length >> (8 * (octets - 1)) == 0:
            raise MalformedCollateral(
                "a DER length is not minimal", seen=data[start:content].hex(), wanted="the shortest form"
            )
    if content + length > limit:
        raise MalformedCollateral(
            "a DER element does not fit", seen=f"{length} bytes", wanted=f"at most {limit - content}"
        )
    return data[start], content, content + length


def content_of(data: bytes, start: int) -> int:
    """Where the content of the element at `start` begins. Only for DER that was parsed before: nothing is checked."""
    length = data[start + 1]
    return start + 2 if length < 0x80 else start + 2 + (length & 0x7F)


def end_of(data: bytes, start: int) -> int:
    """Where the element at `start` ends. Only for DER that was parsed before: nothing is checked."""
    length = data[start + 1]
    if length < 0x80:
        return start + 2 + length
    content = start + 2 + (length & 0x7F)
    return content + int.from_bytes(data[start + 2 : content], "big")


def siblings(data: bytes, start: int, end: int) -> list[int]:
    """Where each element from `start` to `end` begins, and at last where the last one ends.

    Only for DER that was parsed before: nothing is checked.
    """
    found = []
    while start < end:
        found.append(start)
        length = data[start + 1]
        start += 2
        if length >= 0x80:
            octets = length & 0x7F
            length = int.from_bytes(data[start : start + octets], "big")
            start += octets
        start += length
    found.append(start)
    return found


def children(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The elements between `start` and `end`: tag, start of the element, start of its content, its end.

    Raises:
        MalformedCollateral: one of them is not DER.
    """
    while start < end:
        tag, content, stop = element(data, start, end)
        yield tag, start, content, stop
        start = stop


def whole(data: bytes, tag: int, what: str) -> tuple[int, int]:
    """Where the content of the one element that fills `data` begins and ends.

    Raises:
        MalformedCollateral: another tag, or bytes after it.
    """
    found, content, end = element(data)
    if found != tag or end != len(data):
        raise MalformedCollateral(
            f"{what} is not one DER element",
            seen=f"tag {found:#x}, {len(data)} bytes",
            wanted=f"tag {tag:#x}, {end} bytes",
        )
    return content, end


def integer(content: bytes) -> int:
    """A non-negative DER INTEGER (or ENUMERATED) from its content octets.

    Raises:
        MalformedCollateral: empty, negative or not minimal.
    """
    if not content or content[0] & 0x80 or (len(content) > 1 and content[0] == 0 and not content[1] & 0x80):
        raise MalformedCollateral("a DER integer is not acceptable", seen=content.hex(), wanted="non-negative, minimal")
    return int.from_bytes(content, "big")


def encode_integer(value: int) -> bytes:
    """A non-negative number below 2^960 as a DER INTEGER, whose form is unique."""
    content = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes((INTEGER, len(content))) + content


def boolean(content: bytes) -> bool:
    """A DER BOOLEAN from its content octets.

    Raises:
        MalformedCollateral: neither 00 nor ff.
    """
    if content not in (b"\x00", b"\xff"):
        raise MalformedCollateral("a DER boolean is not acceptable", seen=content.hex(), wanted="00 or ff")
    return content == b"\xff"


def raw_signature(signature: bytes) -> bytes:
    """An ECDSA P-256 signature `r || s` (64 bytes, big-endian) as the DER that OpenSSL reads.

    Raises:
        ValueError: not 64 bytes.
    """
    if len(signature) != 64:
        msg = f"a raw P-256 signature is 64 bytes, got {len(signature)}"
        raise ValueError(msg)
    r, s = signature[:32], signature[32:]
    if r[0] and s[0]:
        r, s = _HEAD[r[0]] + r, _HEAD[s[0]] + s
    else:
        r, s = _unsigned(r), _unsigned(s)
    return b"\x30" + bytes((len(r) + len(s),)) + r + s


# What stands before 32 octets whose first is this and not zero, to make a DER INTEGER of them.
_HEAD: Final = tuple(b"\x02\x20" if first < 0x80 else b"\x02\x21\x00" for first in range(256))


def _unsigned(octets: bytes) -> bytes:
    digits = octets.lstrip(b"\x00") or b"\x00"
    if digits[0] & 0x80:
        digits = b"\x00" + digits
    return b"\x02" + bytes((len(digits),)) + digits
