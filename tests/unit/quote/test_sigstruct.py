"""A SIGSTRUCT says what its signer signed, and nothing when one bit is another."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from ambergate.core.errors import MalformedEvidence
from ambergate.core.quote.sigstruct import SIGSTRUCT_SIZE, parse_sigstruct

# Offsets by the table in Intel SDM volume 3D, written down here once more.
MODULUS, EXPONENT, SIGNATURE, ATTRIBUTES, ENCLAVEHASH, ISVPRODID, ISVSVN = 128, 512, 516, 928, 960, 1024, 1026


def make(key: rsa.RSAPrivateKey, *, debug: bool = False, prod_id: int = 7, svn: int = 3) -> bytes:
    """As a signer makes it; Q1 and Q2, which only EINIT needs, are left out."""
    data = bytearray(SIGSTRUCT_SIZE)
    data[0:16] = bytes.fromhex("06000000E10000000000010000000000")
    data[20:24] = bytes.fromhex("01032620")  # 2026-03-01
    data[24:40] = bytes.fromhex("01010000600000006000000001000000")
    data[MODULUS : MODULUS + 384] = key.public_key().public_numbers().n.to_bytes(384, "little")
    data[EXPONENT : EXPONENT + 4] = (3).to_bytes(4, "little")
    data[ATTRIBUTES] = 0x04 | (0x02 if debug else 0)
    data[ENCLAVEHASH : ENCLAVEHASH + 32] = bytes(range(32))
    data[ISVPRODID : ISVPRODID + 2] = prod_id.to_bytes(2, "little")
    data[ISVSVN : ISVSVN + 2] = svn.to_bytes(2, "little")
    signature = key.sign(bytes(data[0:128] + data[900:1028]), padding.PKCS1v15(), hashes.SHA256())
    data[SIGNATURE : SIGNATURE + 384] = signature[::-1]
    return bytes(data)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=3, key_size=3072)


@pytest.fixture(scope="module")
def raw(key: rsa.RSAPrivateKey) -> bytes:
    return make(key)


def test_what_it_says(key: rsa.RSAPrivateKey, raw: bytes) -> None:
    said = parse_sigstruct(raw)
    modulus = key.public_key().public_numbers().n.to_bytes(384, "little")
    assert said.mr_enclave.value == bytes(range(32))
    assert said.mr_signer.value == hashlib.sha256(modulus).digest()
    assert (said.isv_prod_id, said.isv_svn, said.debug, said.date) == (7, 3, False, "20260301")
    assert parse_sigstruct(make(key, debug=True, prod_id=65535, svn=258)).debug


@pytest.mark.parametrize("size", [0, 1807, 1809, 4096])
def test_another_length(raw: bytes, size: int) -> None:
    with pytest.raises(MalformedEvidence, match="no SIGSTRUCT"):
        parse_sigstruct((raw * 3)[:size])


@pytest.mark.parametrize("offset", [0, 6, 15, 24, 39])
def test_another_header(raw: bytes, offset: int) -> None:
    with pytest.raises(MalformedEvidence, match="no SIGSTRUCT"):
        parse_sigstruct(raw[:offset] + bytes((raw[offset] ^ 1,)) + raw[offset + 1 :])


def test_another_exponent(raw: bytes) -> None:
    changed = raw[:EXPONENT] + (65537).to_bytes(4, "little") + raw[EXPONENT + 4 :]
    with pytest.raises(MalformedEvidence, match="exponent"):
        parse_sigstruct(changed)


@pytest.mark.parametrize("offset", [20, 127, MODULUS, MODULUS + 383, SIGNATURE, 900, ATTRIBUTES, ENCLAVEHASH, ISVSVN])
def test_what_nobody_signed(raw: bytes, offset: int) -> None:
    with pytest.raises(MalformedEvidence, match="signature does not hold"):
        parse_sigstruct(raw[:offset] + bytes((raw[offset] ^ 1,)) + raw[offset + 1 :])


@settings(deadline=None)
@given(st.binary(min_size=SIGSTRUCT_SIZE, max_size=SIGSTRUCT_SIZE), st.booleans())
def test_any_bytes_are_one_or_malformed(data: bytes, headed: bool) -> None:  # noqa: FBT001
    if headed:
        header2 = bytes.fromhex("01010000600000006000000001000000")
        data = bytes.fromhex("06000000e10000000000010000000000") + data[16:24] + header2 + data[40:]
        data = data[:EXPONENT] + (3).to_bytes(4, "little") + data[EXPONENT + 4 :]
    with pytest.raises(MalformedEvidence):
        parse_sigstruct(data)
