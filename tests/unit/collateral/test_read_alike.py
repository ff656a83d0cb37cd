"""What ours slices out of a certificate or a CRL, `cryptography`'s own objects say too; and both readers of an SGX
extension read alike."""

from __future__ import annotations

import base64
import warnings
from dataclasses import fields, replace
from datetime import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.collateral import written
from tests.unit.collateral.written import Written, WrittenList

from ambergate.core.collateral import der
from ambergate.core.collateral.certificates import read_certificate
from ambergate.core.collateral.crl import read_crl
from ambergate.core.collateral.pck import (
    PckExtension,
    cut_pck_extension,
    read_any,
    read_pck_extension,
    read_plain,
)
from ambergate.core.errors import MalformedCollateral
from ambergate.core.measurements import CpuSvn, Fmspc, PceId, PlatformInstanceId, Ppid
from ambergate.core.octets import Octets
from ambergate.simulator.sgx_extension import encode_sgx_extension

SGX = x509.ObjectIdentifier("1.2.840.113741.1.13.1")
octets = st.integers(0, 255)
instants = st.datetimes(datetime(1950, 1, 1), datetime(2120, 1, 1)).map(lambda at: at.replace(microsecond=0))  # noqa: DTZ001  made aware below


def _time(at: datetime) -> bytes:
    """As RFC 5280 wants it: UTCTime until 2049."""
    if at.year < 2050:
        return written.utc(at.strftime("%y%m%d%H%M%SZ"))
    return written.generalized(at.strftime("%Y%m%d%H%M%SZ"))


times = instants.map(_time)
attributes = st.one_of(
    st.builds(written.attribute, st.text(min_size=1, max_size=30).map(str.encode)),
    st.builds(written.attribute, st.just(b"SGX Root CA"), tag=st.just(written.PRINTABLE)),
    st.builds(written.attribute, st.just(b"nobody"), oid=st.just(written.ORGANISATION)),
)
names = st.lists(st.lists(attributes, min_size=1, max_size=3, unique=True).map(tuple), max_size=4).map(
    lambda parts: written.name(*parts)
)


@st.composite
def extensions(draw: st.DrawFn) -> tuple[bytes, ...]:
    """The required ones in any order, others among them, now and then one missing or twice."""
    values = {**written.REQUIRED, written.BASIC_CONSTRAINTS: written.constraints(ca=draw(st.booleans()))}
    if draw(st.booleans()):
        values[written.SGX_EXTENSION] = draw(st.binary(max_size=300))
    if draw(st.booleans()):
        values[bytes.fromhex("551d63")] = draw(st.binary(max_size=8))
    found = [written.extension(oid, value, critical=draw(st.booleans())) for oid, value in values.items()]
    return tuple(draw(st.permutations(found)))


@st.composite
def keys(draw: st.DrawFn) -> bytes:
    private = ec.derive_private_key(draw(st.integers(1, 1 << 250)), ec.SECP256R1())
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


certificates = st.builds(
    Written,
    serial=st.integers(1, (1 << 159) - 1).map(written.integer),
    issuer=names,
    not_before=times,
    not_after=times,
    subject=names | st.just(written.LEAF),
    key=keys() | st.just(written.P256 + written.GENERATOR),
    extensions=extensions(),
).map(Written.der)


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A few octets anywhere become others."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 2))):
        data[draw(st.integers(0, len(data) - 1))] = draw(octets | st.sampled_from(sorted(set(data))))
    return bytes(data)


@settings(max_examples=150)
@given(damaged(certificates))
def test_a_certificate(data: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `cryptography` warns of what Intel's certificates never hold
        try:
            ours = read_certificate(data)
        except MalformedCollateral:
            return
        theirs = x509.load_der_x509_certificate(data)
        assert ours.to_be_signed == theirs.tbs_certificate_bytes
        assert ours.signature == theirs.signature
        assert ours.serial == theirs.serial_number
        assert (ours.not_before, ours.not_after) == (theirs.not_valid_before_utc, theirs.not_valid_after_utc)
        key = theirs.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert ours.public_key == key
        assert b"\x04" + ours.point == key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        _same_names(ours.subject, ours.issuer, ours.common_name, theirs)
        _same_extensions(is_ca=ours.is_ca, sgx_extension=ours.sgx_extension, theirs=theirs)


def _same_names(subject: bytes, issuer: bytes, common_name: str, theirs: x509.Certificate) -> None:
    try:
        names = theirs.subject, theirs.issuer
    except ValueError:
        return  # an attribute that is none of ours is no text; it is compared as bytes only
    assert (subject, issuer) == tuple(each.public_bytes() for each in names)
    assert [common_name] == [each.value for each in names[0].get_attributes_for_oid(x509.NameOID.COMMON_NAME)]


def _same_extensions(*, is_ca: bool, sgx_extension: bytes | None, theirs: x509.Certificate) -> None:
    try:
        extensions = theirs.extensions
    except ValueError:
        return  # one that nobody looks into is broken inside
    assert is_ca is extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    found = {each.oid: each.value for each in extensions}
    for needed in (
        x509.AuthorityKeyIdentifier,
        x509.CRLDistributionPoints,
        x509.SubjectKeyIdentifier,
        x509.KeyUsage,
    ):
        assert needed.oid in found
    value = found.get(SGX)
    assert sgx_extension == (value.value if isinstance(value, x509.UnrecognizedExtension) else None)


@given(certificates)
def test_a_certificate_with_one_common_name_and_all_extensions_is_read(data: bytes) -> None:
    found = x509.load_der_x509_certificate(data).subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    if len(found) == 1:
        assert read_certificate(data).common_name == found[0].value
    else:
        with pytest.raises(MalformedCollateral, match="no single common name"):
            read_certificate(data)


serials = st.integers(1, (1 << 159) - 1) | st.integers(1, 300)


@st.composite
def lists(draw: st.DrawFn) -> tuple[bytes, tuple[int, ...]]:
    """A CRL, and what is on it."""
    revoked = tuple(draw(st.lists(serials, max_size=5, unique=True)))
    number = draw(st.integers(0, (1 << 159) - 1))
    extra = [written.extension(written.CRL_NUMBER, written.integer(number))]
    extra.append(written.extension(written.AUTHORITY_KEY, written.REQUIRED[written.AUTHORITY_KEY]))
    entries = tuple(written.entry(serial, revoked=draw(times)) for serial in revoked)
    issued = WrittenList(
        issuer=draw(names),
        this_update=draw(times),
        next_update=draw(times),
        entries=entries or draw(st.none() | st.just(())),
        extensions=tuple(draw(st.permutations(extra))),
    )
    return issued.der(), revoked


def _read_alike(data: bytes, serials: tuple[int, ...]) -> None:
    ours, theirs = read_crl(data), x509.load_der_x509_crl(data)
    assert ours.to_be_signed == theirs.tbs_certlist_bytes
    assert ours.signature == theirs.signature
    assert (ours.this_update, ours.next_update) == (theirs.last_update_utc, theirs.next_update_utc)
    assert ours.number == theirs.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    on_it = {each.serial_number for each in theirs}
    for serial in {*serials, *on_it, 0, 1, 127, 128, 255, 256, 1 << 158}:
        assert ours.revokes(serial) is (serial in on_it)


@given(lists())
def test_a_list_in_each_of_its_forms(issued: tuple[bytes, tuple[int, ...]]) -> None:
    data, revoked = issued
    _read_alike(data, revoked)
    read = read_crl(data)
    assert all(read.revokes(serial) for serial in revoked)
    base64_lines = base64.encodebytes(data).decode()
    pem = f"-----BEGIN X509 CRL-----\n{base64_lines}-----END X509 CRL-----\n"
    for form in (data.hex(), data.hex().upper().encode(), f"\n{data.hex()} ", pem, pem.encode()):
        again = read_crl(form)
        assert again.der == data
        assert (again.issuer, again.number) == (read.issuer, read.number)


@settings(max_examples=120)
@given(lists(), st.data())
def test_a_damaged_list(issued: tuple[bytes, tuple[int, ...]], data: st.DataObject) -> None:
    candidate = data.draw(damaged(st.just(issued[0])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read_crl(candidate)
        except MalformedCollateral:
            return
        try:
            theirs = x509.load_der_x509_crl(candidate)
            theirs.extensions  # noqa: B018  does it make sense of all of it?
            list(theirs)
        except ValueError:
            return
        _read_alike(candidate, issued[1])


def test_a_list_whose_octets_hold_a_serial_that_is_not_on_it() -> None:
    """Octets that look like an entry's serial number may stand anywhere."""
    number = 0x01020304
    issued = WrittenList(
        entries=(written.entry(9),),
        extensions=tuple(
            written.extension(oid, value)
            for oid, value in {
                written.CRL_NUMBER: written.integer(number),
                written.AUTHORITY_KEY: written.REQUIRED[written.AUTHORITY_KEY],
            }.items()
        ),
    )
    read = read_crl(issued.der())
    assert der.encode_integer(number) in read.der
    assert not read.revokes(number)
    assert read.revokes(9)


octets16 = st.binary(min_size=16, max_size=16)


@st.composite
def platforms(draw: st.DrawFn) -> PckExtension:
    platform = PckExtension(
        ppid=Ppid(draw(octets16)),
        components=tuple(draw(st.lists(octets, min_size=16, max_size=16))),
        pce_svn=draw(octets | st.integers(0, 0xFFFF)),
        cpu_svn=CpuSvn(draw(octets16)),
        pce_id=PceId(draw(st.binary(min_size=2, max_size=2))),
        fmspc=Fmspc(draw(st.binary(min_size=6, max_size=6))),
        sgx_type=draw(st.integers(0, 2)),
    )
    if draw(st.booleans()):
        return platform
    return replace(
        platform,
        platform_instance_id=PlatformInstanceId(draw(octets16)),
        dynamic_platform=draw(st.booleans()),
        cached_keys=draw(st.booleans()),
        smt_enabled=draw(st.booleans()),
    )


@given(platforms())
def test_an_sgx_extension_is_read_as_it_was_written(platform: PckExtension) -> None:
    data = encode_sgx_extension(platform)
    assert read_any(data) == read_pck_extension(data) == platform
    assert read_plain(data) == (platform if platform.pce_svn <= 0xFF else None)


@settings(max_examples=200)
@given(damaged(platforms().map(encode_sgx_extension)))
def test_whatever_is_read_plainly_is_read_alike_in_full(data: bytes) -> None:
    plain = read_plain(data)
    if plain is not None:
        assert read_any(data) == plain


@given(platforms())
def test_what_is_compared_and_what_is_told_are_one(platform: PckExtension) -> None:
    raw = cut_pck_extension(encode_sgx_extension(platform))
    assert raw.typed() == platform
    assert raw._fields == tuple(field.name for field in fields(PckExtension))
    for name, value in raw._asdict().items():
        told = getattr(platform, name)
        assert value == (told.value if isinstance(told, Octets) else told)


PLATFORM = PckExtension(
    ppid=Ppid(bytes(16)),
    components=tuple(range(120, 136)),
    pce_svn=11,
    cpu_svn=CpuSvn(bytes(16)),
    pce_id=PceId(bytes(2)),
    fmspc=Fmspc(bytes(6)),
    sgx_type=0,
)
PLAIN = encode_sgx_extension(PLATFORM)
LONG_LENGTHS = [at for at in range(len(PLAIN)) if PLAIN.startswith(b"\x30\x82", at)]


@pytest.mark.parametrize("at", LONG_LENGTHS)
def test_an_sgx_extension_with_a_length_that_is_not_its_own(at: int) -> None:
    data = bytearray(PLAIN)
    data[at + 3] ^= 1
    assert read_plain(bytes(data)) is None
    with pytest.raises(MalformedCollateral):
        read_any(bytes(data))


def test_an_sgx_extension_has_three_lengths_that_the_plain_reader_compares() -> None:
    assert len(LONG_LENGTHS) == 3
