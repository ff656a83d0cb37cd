"""Entries of the SGX extension that may stand in another order, and those that may not be otherwise."""

from __future__ import annotations

import pytest
from tests.unit.collateral.written import integer, tlv

from ambergate.core.collateral.pck import MAX_EXTENSION, read_any, read_pck_extension, read_plain
from ambergate.core.errors import MalformedCollateral

ARC = bytes.fromhex("2a864886f84d010d01")
OCTETS, ENUMERATED, BOOLEAN, SEQUENCE = 0x04, 0x0A, 0x01, 0x30


def pair(numbers: tuple[int, ...], value: bytes) -> bytes:
    return tlv(SEQUENCE, tlv(0x06, ARC + bytes(numbers)), value)


TCB = {number: pair((2, number), integer(number)) for number in range(1, 18)} | {
    18: pair((2, 18), tlv(OCTETS, bytes(16)))
}
FLAGS = {number: pair((7, number), tlv(BOOLEAN, b"\xff")) for number in (1, 2, 3)}


def tcb(**changes: bytes) -> bytes:
    entries = {f"n{number}": entry for number, entry in TCB.items()} | changes
    return pair((2,), tlv(SEQUENCE, *entries.values()))


def flags(*entries: bytes) -> bytes:
    return pair((7,), tlv(SEQUENCE, *entries))


ENTRIES = {
    "ppid": pair((1,), tlv(OCTETS, bytes(range(16)))),
    "tcb": tcb(),
    "pce_id": pair((3,), tlv(OCTETS, b"\1\2")),
    "fmspc": pair((4,), tlv(OCTETS, b"\1\2\3\4\5\6")),
    "type": pair((5,), tlv(ENUMERATED, b"\1")),
    "instance": pair((6,), tlv(OCTETS, bytes(16))),
    "flags": flags(*FLAGS.values()),
}


def extension(**changes: bytes) -> bytes:
    return tlv(SEQUENCE, *(ENTRIES | changes).values())


def test_what_the_other_tests_change_is_good() -> None:
    platform = read_pck_extension(extension())
    assert read_plain(extension()) == read_any(extension()) == platform
    assert platform.components == tuple(range(1, 17))
    assert (platform.pce_svn, platform.sgx_type, platform.smt_enabled) == (17, 1, True)


def test_order_does_not_matter() -> None:
    turned = tlv(SEQUENCE, *reversed(ENTRIES.values()))
    assert read_plain(turned) is None
    assert read_pck_extension(turned) == read_pck_extension(extension())


def test_a_configuration_may_leave_a_flag_out() -> None:
    platform = read_pck_extension(extension(flags=flags(FLAGS[1], FLAGS[3])))
    assert (platform.dynamic_platform, platform.cached_keys, platform.smt_enabled) == (True, None, True)


def test_five_entries_of_the_processor_ca() -> None:
    platform = read_pck_extension(extension(instance=b"", flags=b""))
    assert platform.platform_instance_id is None
    assert (platform.dynamic_platform, platform.cached_keys, platform.smt_enabled) == (None, None, None)


@pytest.mark.parametrize("svn", [256, 0xFFFF])
def test_the_pce_svn_has_two_octets(svn: int) -> None:
    data = extension(tcb=tcb(n17=pair((2, 17), integer(svn))))
    assert read_pck_extension(data).pce_svn == svn


WRONG = {
    "lacks entries, or has others": [
        extension(ppid=b""),
        extension(instance=b""),  # six of seven
        extension(flags=b""),
        extension(more=pair((8,), tlv(OCTETS, b""))),
    ],
    "TCB lacks entries, or has others": [
        extension(tcb=tcb(n4=b"")),
        extension(tcb=tcb(n19=pair((2, 19), integer(1)))),
    ],
    "unknown or repeated": [
        extension(more=ENTRIES["ppid"]),
        extension(tcb=tcb(n19=TCB[1])),
        extension(ppid=tlv(SEQUENCE, tlv(0x06, ARC[:-1] + b"\2\1"), tlv(OCTETS, bytes(16)))),
        extension(more=pair((0x81,), tlv(OCTETS, b""))),
    ],
    "not a pair": [
        extension(more=tlv(SEQUENCE, tlv(0x06, ARC + b"\x08"))),
        extension(more=tlv(SEQUENCE, tlv(0x06, ARC + b"\x08"), integer(1), integer(1))),
        extension(more=tlv(0x31, tlv(0x06, ARC + b"\x08"), integer(1))),
        extension(more=tlv(SEQUENCE, integer(1), integer(1))),
        extension(more=tlv(0x31, *ENTRIES.values())),
    ],
    "DER ends inside an element": [extension(more=integer(1))],
    "another type": [
        extension(type=pair((5,), integer(1))),
        extension(fmspc=pair((4,), integer(1))),
        extension(tcb=pair((2,), tlv(0x31))),
        extension(tcb=tcb(n3=pair((2, 3), tlv(ENUMERATED, b"\1")))),
        extension(flags=pair((7,), tlv(0x31))),
        extension(flags=flags(pair((7, 1), integer(1)))),
    ],
    "another width": [
        extension(ppid=pair((1,), tlv(OCTETS, bytes(15)))),
        extension(fmspc=pair((4,), tlv(OCTETS, bytes(7)))),
        extension(instance=pair((6,), tlv(OCTETS, b""))),
        extension(tcb=tcb(n18=pair((2, 18), tlv(OCTETS, bytes(17))))),
    ],
    "too large": [
        extension(tcb=tcb(n16=pair((2, 16), integer(256)))),
        extension(tcb=tcb(n17=pair((2, 17), integer(0x10000)))),
    ],
    "SGX type is unknown": [extension(type=pair((5,), tlv(ENUMERATED, b"\3")))],
    "integer is not acceptable": [
        extension(tcb=tcb(n1=pair((2, 1), integer(-1)))),
        extension(tcb=tcb(n1=pair((2, 1), tlv(0x02, b"\0\1")))),
        extension(type=pair((5,), tlv(ENUMERATED, b""))),
    ],
    "boolean is not acceptable": [extension(flags=flags(pair((7, 1), tlv(BOOLEAN, b"\1"))))],
    "configuration has unknown entries": [extension(flags=flags(*FLAGS.values(), pair((7, 4), tlv(BOOLEAN, b"\0"))))],
    "not one DER element": [extension() + b"\0", tlv(0x31, *ENTRIES.values())],
    "too long": [bytes(MAX_EXTENSION + 1)],
}


@pytest.mark.parametrize(("words", "data"), [(words, each) for words, several in WRONG.items() for each in several])
def test_what_is_wrong_is_named(words: str, data: bytes) -> None:
    with pytest.raises(MalformedCollateral, match=words):
        read_pck_extension(data)
    assert len(data) > MAX_EXTENSION or read_plain(data) is None
