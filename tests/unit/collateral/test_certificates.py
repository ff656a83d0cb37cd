"""Certificates and CRLs that parse, and are none of Intel's profile."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.unit.collateral import written
from tests.unit.collateral.written import Written, WrittenList, tlv

from ambergate.core.collateral.certificates import (
    MAX_CERTIFICATE,
    MAX_CHAIN,
    read_certificate,
    read_pem_chain,
    times_of,
)
from ambergate.core.collateral.crl import MAX_CRL, read_crl
from ambergate.core.errors import MalformedCollateral

GOOD = Written()
LIST = WrittenList()
REQUIRED = written.REQUIRED
EXTENSIONS = GOOD.extensions or ()


def without(oid: bytes) -> tuple[bytes, ...]:
    return tuple(each for each in EXTENSIONS if oid not in each)


def with_constraints(value: bytes) -> Written:
    return replace(
        GOOD,
        extensions=(
            *without(written.BASIC_CONSTRAINTS),
            written.extension(written.BASIC_CONSTRAINTS, value),
        ),
    )


def test_what_the_other_tests_change_is_good() -> None:
    assert read_certificate(GOOD.der()).common_name == "Written SGX PCK Certificate"
    assert read_crl(LIST.der()).number == 7


P384 = ec.derive_private_key(5, ec.SECP384R1()).public_key()
POINT = ec.derive_private_key(5, ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
COMPRESSED = tlv(0x30, tlv(0x30, written.P256[4:23]), tlv(0x03, b"\0", POINT))
CERTIFICATES = {
    "not of version 3": [
        replace(GOOD, version=b"", extensions=None),
        replace(GOOD, extensions=None),
    ],
    "not signed with ECDSA and SHA-256": [
        replace(GOOD, algorithm=written.ECDSA_SHA384),
        replace(GOOD, algorithm=written.ECDSA_SHA384, outer_algorithm=written.ECDSA_SHA256),
        replace(GOOD, outer_algorithm=written.ECDSA_SHA384),
    ],
    "serial number is out of range": [replace(GOOD, serial=written.integer(number)) for number in (-1, -(1 << 158))],
    "lacks extensions": [replace(GOOD, extensions=without(oid)) for oid in REQUIRED],
    "stands twice": [replace(GOOD, extensions=(*EXTENSIONS, each)) for each in EXTENSIONS],
    "key is not P-256": [
        replace(GOOD, key=P384.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
        replace(GOOD, key=COMPRESSED),
    ],
    "no single common name": [
        replace(GOOD, subject=written.name()),
        replace(GOOD, subject=written.name((written.attribute(b"x", oid=written.ORGANISATION),))),
        replace(GOOD, subject=written.name((written.attribute(b"x"),), (written.attribute(b"y"),))),
        replace(GOOD, subject=written.name((written.attribute(b"x"), written.attribute(b"y")))),
    ],
    "boolean is not acceptable": [with_constraints(tlv(0x30, tlv(0x01, b"\x01")))],
    "BasicConstraints is not one DER element": [
        with_constraints(written.constraints() + b"\0"),
        with_constraints(written.integer(1)),
    ],
    "does not parse": [
        replace(GOOD, subject=written.name((written.attribute(b"\xff"),))),  # no UTF-8
        replace(GOOD, not_after=written.utc("260230000000Z")),
        replace(GOOD, not_after=written.generalized("20330101000000.5Z")),
        replace(GOOD, not_before=written.utc("2601010000Z")),
        replace(GOOD, not_before=written.integer(5)),
        replace(GOOD, key=written.P256 + bytes(63) + b"\1"),  # not on the curve
    ],
}


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # `cryptography` warns of what no profile allows
@pytest.mark.parametrize(
    ("words", "certificate"), [(words, each) for words, several in CERTIFICATES.items() for each in several]
)
def test_what_is_wrong_with_a_certificate_is_named(words: str, certificate: Written) -> None:
    with pytest.raises(MalformedCollateral) as refusal:
        read_certificate(certificate.der())
    assert words in refusal.value.message
    assert refusal.value.seen is not None


@pytest.mark.parametrize(
    ("value", "is_ca"),
    [
        (tlv(0x30), False),
        (tlv(0x30, tlv(0x01, b"\xff")), True),
        (tlv(0x30, tlv(0x01, b"\x00")), False),
        (tlv(0x30, tlv(0x02, b"\x01")), False),  # a path length and no word of a CA
        (tlv(0x30, tlv(0x01, b"\xff"), written.integer(0)), True),
    ],
)
def test_who_may_issue_says_so(value: bytes, *, is_ca: bool) -> None:
    assert read_certificate(with_constraints(value).der()).is_ca is is_ca


@pytest.mark.parametrize(
    "wrong",
    [
        written.utc("2601010000Z"),
        written.utc("260101000000z"),
        written.utc("26010100000xZ"),
        written.utc("20260101000000"),
        written.generalized("20260101000000.5Z"),
        written.generalized("260101000000Z"),
    ],
)
def test_times_are_written_as_the_profile_wants_them(wrong: bytes) -> None:
    right = written.generalized("20260101000000Z")
    assert times_of(right + written.utc(), 0)[0] == times_of(right + written.utc(), 0)[1]
    for both in (right + wrong, wrong + right):
        with pytest.raises(MalformedCollateral, match="time is not acceptable"):
            times_of(both, 0)


def test_serial_numbers_have_at_most_20_octets() -> None:
    assert read_certificate(replace(GOOD, serial=written.integer((1 << 159) - 1)).der()).serial == (1 << 159) - 1
    for number in (1 << 160, 1 << 200):
        with pytest.raises(MalformedCollateral):
            read_certificate(replace(GOOD, serial=written.integer(number)).der())


def test_certificates_and_chains_are_bounded() -> None:
    with pytest.raises(MalformedCollateral, match="too long"):
        read_certificate(bytes(MAX_CERTIFICATE + 1))
    block = b"-----BEGIN CERTIFICATE-----\n" + b"A" * 20_000 + b"-----END CERTIFICATE-----\n"
    with pytest.raises(MalformedCollateral, match="PEM block is too long"):
        read_pem_chain(block)
    with pytest.raises(MalformedCollateral, match="not concatenated"):
        read_pem_chain(block * (MAX_CHAIN + 1))


ENTRIES = tuple(written.entry(serial) for serial in range(1, 40))
CRLS = {
    "not of version 2": [replace(LIST, version=b"", extensions=None, entries=ENTRIES)],
    "does not parse": [
        replace(LIST, version=b"", extensions=None),
        replace(LIST, version=b"\x02\x01\x00"),
        replace(LIST, outer_algorithm=written.ECDSA_SHA384),
    ],
    "not signed with ECDSA and SHA-256": [replace(LIST, algorithm=written.ECDSA_SHA384)],
    "when the next one comes": [replace(LIST, next_update=b""), replace(LIST, next_update=b"", entries=())],
    "lacks extensions": [
        replace(LIST, extensions=None),
        replace(LIST, extensions=(LIST.extensions or ())[:1]),
        replace(LIST, extensions=(LIST.extensions or ())[1:]),
        replace(LIST, extensions=None, entries=(written.entry(1),)),
    ],
    "stands twice": [replace(LIST, extensions=(LIST.extensions or ()) * 2)],
    "CRL number is not one DER element": [
        replace(LIST, extensions=(written.extension(written.CRL_NUMBER, number), *(LIST.extensions or ())[1:]))
        for number in (b"\x02\x01\x07\x00", b"\x0a\x01\x07")
    ],
    "integer is not acceptable": [
        replace(LIST, extensions=(written.extension(written.CRL_NUMBER, b"\x02\x01\xff"), *(LIST.extensions or ())[1:]))
    ],
}


@pytest.mark.parametrize(("words", "issued"), [(words, each) for words, several in CRLS.items() for each in several])
def test_what_is_wrong_with_a_list_is_named(words: str, issued: WrittenList) -> None:
    with pytest.raises(MalformedCollateral) as refusal:
        read_crl(issued.der())
    assert words in refusal.value.message


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN X509 CRL-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END X509 CRL-----",
        "-----BEGIN X509 CRL-----\nA*AA\n-----END X509 CRL-----",
        "3q",
        "",
        b"\xff\xfe",
    ],
)
def test_what_is_no_form_of_a_list(text: str | bytes) -> None:
    with pytest.raises(MalformedCollateral):
        read_crl(text)


def test_lists_are_bounded() -> None:
    with pytest.raises(MalformedCollateral, match="too long"):
        read_crl(b"\x30" * (2 * MAX_CRL + 1))


OID = tlv(0x06, written.COMMON_NAME)
OTHER = written.attribute(b"nobody", oid=written.ORGANISATION)
LONG = b"x" * 200


@pytest.mark.filterwarnings("ignore:Attribute's length")  # `cryptography` warns of what no profile allows
@pytest.mark.parametrize(
    ("subject", "common_name"),
    [
        (written.name((written.attribute(b"x" + OID),), (OTHER,)), b"x" + OID),
        (written.name((written.attribute(OID + b"x"),)), OID + b"x"),
        (written.name((written.attribute(b"x"),), (written.attribute(OID, oid=written.ORGANISATION),)), b"x"),
        (written.name((written.attribute(OID, oid=written.ORGANISATION),), (written.attribute(b"x"),)), b"x"),
        (written.name((OTHER,), (written.attribute(b"x"),)), b"x"),
        (written.name((OTHER, written.attribute(b"x"))), b"x"),
        (written.name((written.attribute(LONG),), (OTHER,)), LONG),
        (written.name((written.attribute(b"x"),), (written.attribute(LONG, oid=written.ORGANISATION),)), b"x"),
        (written.name((written.attribute(b"x"), written.attribute(LONG, oid=written.ORGANISATION))), b"x"),
        (written.name((written.attribute(b""),)), b""),
    ],
)
def test_a_common_name_is_found_wherever_it_stands(subject: bytes, common_name: bytes) -> None:
    """Also where the octets that announce one stand inside a value, and where lengths take two octets."""
    data = replace(GOOD, subject=subject).der()
    assert read_certificate(data).common_name.encode() == common_name
    (theirs,) = x509.load_der_x509_certificate(data).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert theirs.value == common_name.decode()


@pytest.mark.parametrize(
    "subject",
    [
        written.name((written.attribute(OID, oid=written.ORGANISATION),)),
        written.name((written.attribute(b"x"),), (OTHER,), (written.attribute(b"y"),)),
        written.name((written.attribute(OID),), (written.attribute(OID),)),
    ],
)
def test_octets_that_announce_a_common_name_are_not_one(subject: bytes) -> None:
    with pytest.raises(MalformedCollateral, match="no single common name"):
        read_certificate(replace(GOOD, subject=subject).der())


BLOCK = base64.encodebytes(GOOD.der()).strip()


@pytest.mark.parametrize("space", [b"\n", b"\r\n", b" ", b"\t\n", b"\v", b"\f", b"\r", b""])
def test_white_space_in_a_block_is_none_of_it(space: bytes) -> None:
    body = space + space.join(BLOCK.split()) + space
    (read,) = read_pem_chain(b"-----BEGIN CERTIFICATE-----" + body + b"-----END CERTIFICATE-----\n")
    assert read == read_certificate(GOOD.der())


@pytest.mark.parametrize("wrong", [b"\0", b"\x1c", b"\xa0", b"*", b"=", b"-----", "\u2028".encode()])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_whatever_else_stands_in_a_block_is_refused(wrong: bytes, line_end: bytes) -> None:
    body = line_end.join([*BLOCK.split()[:2], wrong, *BLOCK.split()[2:]])
    with pytest.raises(MalformedCollateral, match="not base64"):
        read_pem_chain(b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----\n")
