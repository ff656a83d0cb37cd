"""Certificates written as Intel writes them are cut by one expression: alike to the strict reader, or not at all."""

from __future__ import annotations

import warnings
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.collateral import written
from tests.unit.collateral.written import Written

from ambergate.core.collateral.certificates import read_any, read_certificate, read_plain
from ambergate.core.errors import MalformedCollateral

SERIAL = written.integer(int.from_bytes(bytes(range(1, 21)), "big"))
HIGH_SERIAL = written.integer(int.from_bytes(b"\x80" + bytes(19), "big"))
ADDRESS = b"https://simulator.invalid/pckcrl?ca=platform"
CA_CONSTRAINTS = bytes.fromhex("30060101ff020100")
NO_PATH_LENGTH = written.extension(written.BASIC_CONSTRAINTS, written.constraints(ca=True), critical=True)
INTEL_OWN = written.extension(written.SGX_EXTENSION, bytes(range(256)) * 2)


def name_of(common_name: bytes) -> bytes:
    """A name with the parts that all of Intel's have."""
    rest = ((b"Intel Corporation", "55040a"), (b"Santa Clara", "550407"), (b"CA", "550408"))
    parts = [written.attribute(common_name), *(written.attribute(value, oid=bytes.fromhex(oid)) for value, oid in rest)]
    country = written.attribute(b"US", oid=bytes.fromhex("550406"), tag=written.PRINTABLE)
    return written.name(*((part,) for part in (*parts, country)))


def extensions(*, address: bytes = ADDRESS, ca: bool = False, own: bytes | None = INTEL_OWN) -> tuple[bytes, ...]:
    """In Intel's order, with Intel's marks of what is critical."""
    where = written.tlv(0x30, written.tlv(0x30, written.tlv(0xA0, written.tlv(0xA0, written.tlv(0x86, address)))))
    values = {
        "551d23": written.tlv(0x30, written.tlv(0x80, bytes(20))),
        "551d1f": where,
        "551d0e": written.tlv(0x04, bytes(20)),
        "551d0f": bytes.fromhex("03020106" if ca else "030206c0"),
        "551d13": CA_CONSTRAINTS if ca else bytes.fromhex("3000"),
    }
    critical = ("551d0f", "551d13")
    found = [written.extension(bytes.fromhex(oid), value, critical=oid in critical) for oid, value in values.items()]
    return (*found, own) if own else tuple(found)


PCK = Written(
    serial=SERIAL,
    issuer=name_of(b"Intel SGX PCK Platform CA"),
    subject=name_of(b"Intel SGX PCK Certificate"),
    extensions=extensions(),
    signature=written.tlv(0x03, b"\0" + bytes(70)),
)
CA = replace(PCK, subject=name_of(b"Intel SGX PCK Platform CA"), extensions=extensions(ca=True, own=None))
SIGNER = replace(PCK, subject=name_of(b"Intel SGX TCB Signing"), extensions=extensions(own=None))


def in_full(data: bytes) -> object:
    """What the strict reader makes of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `cryptography` warns of what Intel's certificates never hold
        try:
            return read_any(data)
        except MalformedCollateral:
            return None


@pytest.mark.parametrize(
    "certificate",
    [
        PCK,
        CA,
        SIGNER,
        replace(PCK, serial=HIGH_SERIAL),
        replace(PCK, not_before=written.utc("500101000000Z"), not_after=written.utc("491231235959Z")),
        replace(PCK, subject=name_of(b"x" * 40), issuer=name_of(b"y")),
        replace(PCK, extensions=extensions(address=b"a" * 108)),
        replace(PCK, signature=written.tlv(0x03, b"\0" + bytes(126))),
    ],
    ids=["PCK", "CA", "signer", "serial of 21 octets", "years", "long and short names", "long address", "signature"],
)
def test_as_intel_writes_them(certificate: Written) -> None:
    data = certificate.der()
    plain = read_plain(data)
    assert plain is not None
    assert plain == read_any(data) == read_certificate(data)


@pytest.mark.parametrize(
    "certificate",
    [
        replace(PCK, serial=written.integer(5)),
        replace(PCK, subject=name_of(b"x" * 41)),
        replace(PCK, subject=written.LEAF),
        replace(PCK, extensions=extensions(address=b"a" * 109)),
        replace(PCK, extensions=extensions(own=written.extension(written.SGX_EXTENSION, bytes(255)))),
        replace(CA, extensions=(*extensions(own=None)[:-1], NO_PATH_LENGTH)),
        replace(PCK, extensions=tuple(reversed(extensions()))),
        replace(PCK, not_after=written.generalized("20600101000000Z")),
        replace(PCK, signature=written.tlv(0x03, b"\0" + bytes(200))),
    ],
)
def test_what_is_written_otherwise_is_left_to_the_strict_reader(certificate: Written) -> None:
    data = certificate.der()
    assert read_plain(data) is None
    assert read_certificate(data) == read_any(data)


@pytest.mark.parametrize(
    "certificate",
    [
        replace(PCK, not_after=written.utc("261301000000Z")),
        replace(PCK, key=written.P256 + bytes(63) + b"\x05"),
    ],
    ids=["no month", "no point"],
)
def test_what_only_looks_right_is_refused(certificate: Written) -> None:
    data = certificate.der()
    assert read_plain(data) is None
    with pytest.raises(MalformedCollateral):
        read_certificate(data)


@pytest.mark.parametrize("certificate", [PCK, CA, SIGNER], ids=["PCK", "CA", "signer"])
def test_every_octet_changed_is_read_alike_or_not_plainly(certificate: Written) -> None:
    data = certificate.der()
    read = 0
    for at in range(len(data)):
        for value in {data[at] ^ 1, data[at] ^ 0x80, 0, 0xFF, (data[at] + 1) & 0xFF} - {data[at]}:
            changed = data[:at] + bytes((value,)) + data[at + 1 :]
            plain = read_plain(changed)
            if plain is not None:
                read += 1
                assert plain == in_full(changed)
    assert read > 300  # serial, key ids, address, signature: what may be anything


@settings(max_examples=200)
@given(st.data())
def test_octets_more_or_less_are_read_alike_or_not_plainly(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([PCK, CA, SIGNER])).der()
    at, stop = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    changed = whole[:at] + data.draw(st.binary(max_size=4)) + whole[min(stop, at + 4) :]
    plain = read_plain(changed)
    if plain is not None:
        assert plain == in_full(changed)


def test_lengths_that_are_longer_than_they_need_to_be() -> None:
    """Extensions of below 128 octets, under a length of two: BER, and no DER."""
    data = bytearray(replace(SIGNER, extensions=extensions(address=b"a", own=None)).der())
    at = data.index(b"\xa3\x74\x30\x72")
    data[at : at + 4] = b"\xa3\x81\x75\x30\x81\x72"
    for length in (2, 6):  # of the whole, and of what is signed
        data[length : length + 2] = (int.from_bytes(data[length : length + 2], "big") + 2).to_bytes(2, "big")
    assert read_plain(bytes(data)) is None
    with pytest.raises(MalformedCollateral):
        read_certificate(bytes(data))
