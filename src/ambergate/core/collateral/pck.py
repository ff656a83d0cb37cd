"""The SGX extension of a PCK certificate: which platform this is and how new its parts are.

Source: Intel "SGX PCK Certificate and CRL Profile Specification", section 1.3.5 (OID 1.2.840.113741.1.13.1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from ambergate.core.collateral import der
from ambergate.core.errors import MalformedCollateral
from ambergate.core.measurements import CpuSvn, Fmspc, PceId, PlatformInstanceId, Ppid

if TYPE_CHECKING:
    from collections.abc import Mapping

# Content octets of 1.2.840.113741.1.13.1, the arc that every entry of the extension extends by its number.
_ARC: Final = bytes.fromhex("2a864886f84d010d01")
_PPID, _TCB, _PCE_ID, _FMSPC, _SGX_TYPE, _INSTANCE, _CONFIGURATION = range(1, 8)
_COMPONENTS: Final = 16
_PCE_SVN: Final = 17
_CPU_SVN: Final = 18
MAX_EXTENSION: Final = 2048  # bytes; Intel's are about 450 to 570


_TRUE: Final = 0xFF  # a DER BOOLEAN


def _pair(numbers: tuple[int, ...], tag: int, value: bytes, size: int) -> bytes:
    """A pattern of SEQUENCE { OBJECT IDENTIFIER arc.numbers, `tag` of `size` octets that match `value` }."""
    oid = _ARC + bytes(numbers)
    pair = bytes((der.OBJECT_IDENTIFIER, len(oid))) + oid + bytes((tag, size))
    return re.escape(bytes((der.SEQUENCE, len(pair) + size)) + pair) + value


def _small(number: int) -> bytes:
    """A pattern of an entry of the TCB whose number is 0 to 255: one octet, or two where the first would be a sign."""
    one = _pair((_TCB, number), der.INTEGER, rb"(?=[\x00-\x7f])", 1)
    two = _pair((_TCB, number), der.INTEGER, rb"\x00(?=[\x80-\xff])", 2)
    return rb"(?:%b|%b)(.)" % (one, two)


def _plain() -> re.Pattern[bytes]:
    tcb_oid = _ARC + bytes((_TCB,))
    numbers = b"".join(_small(number) for number in range(1, _PCE_SVN + 1))
    flags = b"".join(_pair((_CONFIGURATION, number), der.BOOLEAN, rb"[\x00\xff]", 1) for number in (1, 2, 3))
    parts = (
        rb"\x30\x82(?P<whole>..)",
        _pair((_PPID,), der.OCTET_STRING, rb"(?P<ppid>.{16})", 16),
        rb"\x30\x82(?P<entry>..)" + re.escape(bytes((der.OBJECT_IDENTIFIER, len(tcb_oid))) + tcb_oid),
        rb"(?P<tcb>\x30\x82(?P<inner>..)" + numbers,
        _pair((_TCB, _CPU_SVN), der.OCTET_STRING, rb"(?P<cpu_svn>.{16})", 16) + rb")",
        _pair((_PCE_ID,), der.OCTET_STRING, rb"(?P<pce_id>..)", 2),
        _pair((_FMSPC,), der.OCTET_STRING, rb"(?P<fmspc>.{6})", 6),
        _pair((_SGX_TYPE,), der.ENUMERATED, rb"(?P<sgx_type>[\x00-\x02])", 1),
        rb"(?:" + _pair((_INSTANCE,), der.OCTET_STRING, rb"(?P<instance>.{16})", 16),
        _pair((_CONFIGURATION,), der.SEQUENCE, rb"(?P<flags>" + flags + rb")", 3 * _FLAG_SIZE) + rb")?",
    )
    return re.compile(b"".join(parts), re.DOTALL)


_FLAG_SIZE: Final = 18  # octets of one entry of the configuration
_FLAGS_AT: Final = (_FLAG_SIZE - 1, 2 * _FLAG_SIZE - 1, 3 * _FLAG_SIZE - 1)
_PLAIN: Final = _plain()
_HEAD: Final = 4  # octets of a tag and a length of two octets
_TCB_OID_SIZE: Final = 2 + len(_ARC) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PckExtension:
    """The platform as its PCK certificate describes it."""

    ppid: Ppid
    components: tuple[int, ...]  # sixteen SGX TCB component SVNs, 0 to 255
    pce_svn: int
    cpu_svn: CpuSvn
    pce_id: PceId
    fmspc: Fmspc
    sgx_type: int  # 0 standard, 1 scalable, 2 scalable with integrity
    platform_instance_id: PlatformInstanceId | None = None  # only under the Platform CA
    dynamic_platform: bool | None = None
    cached_keys: bool | None = None
    smt_enabled: bool | None = None


class RawPlatform(NamedTuple):
    """The same fields in the same order, each as it stands in the extension."""

    ppid: bytes
    components: tuple[int, ...]
    pce_svn: int
    cpu_svn: bytes
    pce_id: bytes
    fmspc: bytes
    sgx_type: int
    platform_instance_id: bytes | None
    dynamic_platform: bool | None
    cached_keys: bool | None
    smt_enabled: bool | None

    def typed(self) -> PckExtension:
        """The platform, as others know it."""
        instance = self.platform_instance_id
        return PckExtension(
            ppid=Ppid(self.ppid),
            components=self.components,
            pce_svn=self.pce_svn,
            cpu_svn=CpuSvn(self.cpu_svn),
            pce_id=PceId(self.pce_id),
            fmspc=Fmspc(self.fmspc),
            sgx_type=self.sgx_type,
            platform_instance_id=None if instance is None else PlatformInstanceId(instance),
            dynamic_platform=self.dynamic_platform,
            cached_keys=self.cached_keys,
            smt_enabled=self.smt_enabled,
        )


class _Entry(NamedTuple):
    tag: int
    content: bytes


def read_pck_extension(data: bytes) -> PckExtension:
    """The extension's value (the SEQUENCE inside the OCTET STRING) as a platform.

    Five entries under the Processor CA, seven under the Platform CA; their order does not matter.

    Raises:
        MalformedCollateral: another number of entries, a missing or repeated one, or one of another type or width.
    """
    return cut_pck_extension(data).typed()


def cut_pck_extension(data: bytes) -> RawPlatform:
    """The same, for whoever compares.

    Raises:
        MalformedCollateral: as `read_pck_extension` does.
    """
    if len(data) > MAX_EXTENSION:
        raise MalformedCollateral(
            "the SGX extension is too long", seen=f"{len(data)} bytes", wanted=f"at most {MAX_EXTENSION}"
        )
    return _cut_plain(data) or _cut_any(data)


def read_plain(data: bytes) -> PckExtension | None:
    """The extension as Intel writes it, by one regular expression; None: it is written otherwise, see `read_any`.

    It fixes order, object identifiers and all lengths but the outer three, which are compared here; so whatever it
    reads, `read_any` reads alike, at thirty times the cost: that is half a signature, for every new platform.
    """
    found = _cut_plain(data)
    return None if found is None else found.typed()


def _cut_plain(data: bytes) -> RawPlatform | None:
    found = _PLAIN.fullmatch(data)
    if found is None:
        return None
    # The groups in the order in which `_plain` has them.
    whole, ppid, entry, tcb, inner, *numbers, cpu_svn, pce_id, fmspc, sgx_type, instance, flags = found.groups()
    size, outer = len(tcb), len(data)
    if (whole, entry, inner) != (
        (outer - _HEAD).to_bytes(2, "big"),
        (size + _TCB_OID_SIZE).to_bytes(2, "big"),
        (size - _HEAD).to_bytes(2, "big"),
    ):
        return None
    svns = tuple(b"".join(numbers))
    return RawPlatform(
        ppid,
        svns[:_COMPONENTS],
        svns[_COMPONENTS],
        cpu_svn,
        pce_id,
        fmspc,
        sgx_type[0],
        instance,
        *((None, None, None) if flags is None else (flags[at] == _TRUE for at in _FLAGS_AT)),
    )


def read_any(data: bytes) -> PckExtension:
    """The extension, in whatever order its entries stand and however long its numbers are.

    Raises:
        MalformedCollateral: as `read_pck_extension` does.
    """
    return _cut_any(data).typed()


def _cut_any(data: bytes) -> RawPlatform:
    entries = _entries(data, _ARC)
    if set(entries) not in ({1, 2, 3, 4, 5}, {1, 2, 3, 4, 5, 6, 7}):
        raise MalformedCollateral(
            "the SGX extension lacks entries, or has others",
            seen=f"{sorted(entries)}",
            wanted="1 to 5, or 1 to 7",
        )
    tcb = _entries(_typed(entries, _TCB, der.SEQUENCE, wrap=True), _ARC + bytes((_TCB,)))
    if set(tcb) != set(range(1, _CPU_SVN + 1)):
        raise MalformedCollateral(
            "the platform's TCB lacks entries, or has others", seen=f"{sorted(tcb)}", wanted="1 to 18"
        )
    flags = _configuration(entries)
    return RawPlatform(
        ppid=_octets(entries, _PPID, Ppid.WIDTH),
        components=tuple(_number(tcb, i, 0xFF) for i in range(1, _COMPONENTS + 1)),
        pce_svn=_number(tcb, _PCE_SVN, 0xFFFF),
        cpu_svn=_octets(tcb, _CPU_SVN, CpuSvn.WIDTH),
        pce_id=_octets(entries, _PCE_ID, PceId.WIDTH),
        fmspc=_octets(entries, _FMSPC, Fmspc.WIDTH),
        sgx_type=_sgx_type(entries),
        platform_instance_id=(_octets(entries, _INSTANCE, PlatformInstanceId.WIDTH) if _INSTANCE in entries else None),
        dynamic_platform=flags.get(1),
        cached_keys=flags.get(2),
        smt_enabled=flags.get(3),
    )


def _entries(data: bytes, arc: bytes) -> dict[int, _Entry]:
    """A SEQUENCE of (OID, value) pairs by the last number of the OID, which must extend `arc` by one small number."""
    start, end = der.whole(data, der.SEQUENCE, "the SGX extension")
    found: dict[int, _Entry] = {}
    for tag, _, content, stop in der.children(data, start, end):
        parts = list(der.children(data, content, stop))
        if tag != der.SEQUENCE or len(parts) != 2 or parts[0][0] != der.OBJECT_IDENTIFIER:
            raise MalformedCollateral(
                "an entry of the SGX extension is not a pair of OID and value", seen=data[content:stop].hex()
            )
        (_, _, oid_start, oid_end), (value_tag, _, value_start, value_end) = parts
        oid = data[oid_start:oid_end]
        if oid[:-1] != arc or oid[-1] > 0x7F or oid[-1] in found:
            raise MalformedCollateral(
                "an entry of the SGX extension is unknown or repeated",
                seen=oid.hex(),
                wanted=f"{arc.hex()}..",
            )
        found[oid[-1]] = _Entry(value_tag, data[value_start:value_end])
    return found


def _typed(entries: Mapping[int, _Entry], number: int, tag: int, *, wrap: bool = False) -> bytes:
    entry = entries[number]
    if entry.tag != tag:
        raise MalformedCollateral(
            f"entry {number} of the SGX extension has another type", seen=hex(entry.tag), wanted=hex(tag)
        )
    return _wrap(tag, entry.content) if wrap else entry.content


def _wrap(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def _octets(entries: Mapping[int, _Entry], number: int, width: int) -> bytes:
    content = _typed(entries, number, der.OCTET_STRING)
    if len(content) != width:
        raise MalformedCollateral(
            f"entry {number} of the SGX extension has another width", seen=len(content), wanted=width
        )
    return content


def _number(entries: Mapping[int, _Entry], number: int, limit: int) -> int:
    value = der.integer(_typed(entries, number, der.INTEGER))
    if value > limit:
        raise MalformedCollateral(
            f"entry {number} of the platform's TCB is too large", seen=value, wanted=f"at most {limit}"
        )
    return value


def _sgx_type(entries: Mapping[int, _Entry]) -> int:
    value = der.integer(_typed(entries, _SGX_TYPE, der.ENUMERATED))
    if value > 2:
        raise MalformedCollateral("the SGX type is unknown", seen=value, wanted="0, 1 or 2")
    return value


def _configuration(entries: Mapping[int, _Entry]) -> dict[int, bool]:
    if _CONFIGURATION not in entries:
        return {}
    pairs = _entries(_typed(entries, _CONFIGURATION, der.SEQUENCE, wrap=True), _ARC + bytes((_CONFIGURATION,)))
    if not set(pairs) <= {1, 2, 3}:
        raise MalformedCollateral(
            "the platform's configuration has unknown entries", seen=f"{sorted(pairs)}", wanted="1 to 3"
        )
    return {number: der.boolean(_typed(pairs, number, der.BOOLEAN)) for number in pairs}
