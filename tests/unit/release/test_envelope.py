"""The envelope and the held key: wire format, round trips, and what is refused."""

from __future__ import annotations

import base64
import struct
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.errors import Malformed, TooLarge
from ambergate.core.release.envelope import (
    MAX_SECRET_SIZE,
    Envelope,
    Tee,
    decode_held_key,
    encode_held_key,
    open_sealed,
    seal,
)

SWK = bytes(range(32))
NONCE = bytes(range(100, 112))
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def sealed(key: rsa.RSAPrivateKey, secret: bytes = b"k" * 32) -> Envelope:
    return seal(secret, key.public_key(), swk=SWK, nonce=NONCE)


@pytest.mark.parametrize("size", [1, 16, 32, 1000, MAX_SECRET_SIZE])
def test_what_is_sealed_opens(workload_key: rsa.RSAPrivateKey, size: int) -> None:
    envelope = sealed(workload_key, b"\x5a" * size)
    assert open_sealed(workload_key, envelope.wrapped_key, envelope.wrapped_swk) == b"\x5a" * size


def test_the_bytes_are_those_of_the_specification(workload_key: rsa.RSAPrivateKey) -> None:
    """Taken apart without our code: header, nonce, AES-GCM without AAD, OAEP with SHA-256 and no label."""
    envelope = sealed(workload_key)
    assert base64.b64encode(envelope.wrapped_key).startswith(b"DAAAABAAAAAwAAAA")  # 12, 16, 48
    assert struct.unpack("<III", envelope.wrapped_key[:12]) == (12, 16, 48)
    assert envelope.wrapped_key[12:24] == NONCE
    swk = workload_key.decrypt(envelope.wrapped_swk, OAEP)
    assert swk == SWK
    assert AESGCM(swk).decrypt(NONCE, envelope.wrapped_key[24:], None) == b"k" * 32


@pytest.mark.parametrize("position", [0, 4, 8, 11, 12, 23, 24, 40, 55, 71])
def test_any_changed_byte_of_the_wrapped_key_is_refused(workload_key: rsa.RSAPrivateKey, position: int) -> None:
    envelope = sealed(workload_key)
    changed = bytearray(envelope.wrapped_key)
    changed[position] ^= 1
    with pytest.raises(Malformed) as caught:
        open_sealed(workload_key, bytes(changed), envelope.wrapped_swk)
    assert caught.value.code == "malformed-envelope"


@pytest.mark.parametrize("cut", [0, 1, 11, 12, 24, 40, 71])
def test_a_cut_wrapped_key_is_refused(workload_key: rsa.RSAPrivateKey, cut: int) -> None:
    envelope = sealed(workload_key)
    with pytest.raises(Malformed):
        open_sealed(workload_key, envelope.wrapped_key[:cut], envelope.wrapped_swk)


def test_bytes_after_the_wrapped_key_are_refused(workload_key: rsa.RSAPrivateKey) -> None:
    envelope = sealed(workload_key)
    with pytest.raises(Malformed):
        open_sealed(workload_key, envelope.wrapped_key + b"\0", envelope.wrapped_swk)


@pytest.mark.parametrize("swk", [b"", b"\0" * 384, b"\xff" * 384, b"short"])
def test_a_bad_wrapped_swk_is_refused(workload_key: rsa.RSAPrivateKey, swk: bytes) -> None:
    with pytest.raises(Malformed):
        open_sealed(workload_key, sealed(workload_key).wrapped_key, swk)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_an_swk_of_another_length_is_refused(workload_key: rsa.RSAPrivateKey, size: int) -> None:
    with pytest.raises(Malformed):
        open_sealed(
            workload_key,
            sealed(workload_key).wrapped_key,
            workload_key.public_key().encrypt(b"s" * size, OAEP),
        )


def test_an_envelope_for_another_key_is_refused(workload_key: rsa.RSAPrivateKey) -> None:
    other = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    envelope = sealed(other)
    with pytest.raises(Malformed):
        open_sealed(workload_key, envelope.wrapped_key, envelope.wrapped_swk)


def test_an_swk_under_another_hash_or_label_is_refused(workload_key: rsa.RSAPrivateKey) -> None:
    """A broker that wraps with SHA-1 or a label speaks another protocol."""
    public = workload_key.public_key()
    sha1 = padding.OAEP(mgf=padding.MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)
    label = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=b"x")
    for scheme in (sha1, label):
        with pytest.raises(Malformed):
            open_sealed(workload_key, sealed(workload_key).wrapped_key, public.encrypt(SWK, scheme))


def test_limits_on_the_secret(workload_key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(TooLarge):
        sealed(workload_key, b"x" * (MAX_SECRET_SIZE + 1))
    with pytest.raises(ValueError, match="empty"):
        sealed(workload_key, b"")
    with pytest.raises(TooLarge):
        open_sealed(workload_key, b"\0" * (MAX_SECRET_SIZE + 41), b"")


@pytest.mark.parametrize(("swk", "nonce"), [(b"s" * 31, NONCE), (b"s" * 33, NONCE), (SWK, b"n" * 11), (SWK, b"n" * 16)])
def test_swk_and_nonce_have_exact_lengths(workload_key: rsa.RSAPrivateKey, swk: bytes, nonce: bytes) -> None:
    with pytest.raises(ValueError, match="envelope takes"):
        seal(b"secret", workload_key.public_key(), swk=swk, nonce=nonce)


def test_an_envelope_does_not_depend_on_hidden_state(workload_key: rsa.RSAPrivateKey) -> None:
    """Same swk and nonce, same ciphertext: the randomness is the caller's."""
    assert sealed(workload_key).wrapped_key == sealed(workload_key).wrapped_key


@given(junk=st.binary(max_size=200))
def test_any_bytes_open_to_malformed_only(workload_key: rsa.RSAPrivateKey, junk: bytes) -> None:
    with pytest.raises(Malformed):
        open_sealed(workload_key, junk, junk)


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_held_key_round_trip(workload_key: rsa.RSAPrivateKey, tee: Tee) -> None:
    held = encode_held_key(workload_key.public_key(), tee=tee)
    assert len(held) == 388
    assert decode_held_key(held, tee=tee).public_numbers() == workload_key.public_key().public_numbers()


def test_held_key_byte_orders(workload_key: rsa.RSAPrivateKey) -> None:
    """SGX: little-endian modulus; TDX: big-endian; the exponent little-endian."""
    modulus = workload_key.public_key().public_numbers().n
    sgx = encode_held_key(workload_key.public_key(), tee="SGX")
    assert sgx == bytes.fromhex("01000100") + modulus.to_bytes(384, "little")
    assert encode_held_key(workload_key.public_key(), tee="TDX") == bytes.fromhex("01000100") + modulus.to_bytes(
        384, "big"
    )
    assert encode_held_key(workload_key.public_key()) == sgx


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_both_byte_orders_of_the_exponent(workload_key: rsa.RSAPrivateKey, tee: Tee) -> None:
    held = encode_held_key(workload_key.public_key(), tee=tee)
    assert decode_held_key(bytes.fromhex("00010001") + held[4:], tee=tee) == decode_held_key(held, tee=tee)


@pytest.mark.parametrize(
    "exponent", ["00000000", "01000000", "03000000", "11000000", "00000001", "ffffffff", "02000100"]
)
def test_other_exponents_are_refused(workload_key: rsa.RSAPrivateKey, exponent: str) -> None:
    held = encode_held_key(workload_key.public_key())
    with pytest.raises(Malformed) as caught:
        decode_held_key(bytes.fromhex(exponent) + held[4:])
    assert caught.value.code == "weak-held-key"


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 260, 1029, 5000])
def test_held_data_of_impossible_length_is_refused(size: int) -> None:
    """260 bytes would be a 2048-bit key: one bit too few."""
    with pytest.raises(Malformed) as caught:
        decode_held_key(bytes.fromhex("01000100") + b"\xff" * (size - 4) if size > 4 else b"\1" * size)
    assert caught.value.code == "malformed-held-key"


@pytest.mark.parametrize(
    "modulus",
    [
        pytest.param(0, id="zero"),
        pytest.param((1 << 2047) | 1, id="2048 bits in a longer field"),
        pytest.param(1 << 3071, id="even"),
        pytest.param(((1 << 3071) // 3 | 1) * 3, id="divisible by three"),
        pytest.param(1999 * ((1 << 3060) | 1), id="divisible by 1999"),
    ],
)
def test_weak_moduli_are_refused(modulus: int) -> None:
    with pytest.raises(Malformed) as caught:
        decode_held_key(bytes.fromhex("01000100") + modulus.to_bytes(384, "little"))
    assert caught.value.code == "weak-held-key"


def test_exactly_2048_bits_is_refused_and_2049_is_not_too_short() -> None:
    short = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    with pytest.raises(Malformed) as caught:
        encode_held_key(short)
    assert caught.value.seen == "2048 bits"
    number = (1 << 2048) | 1
    assert decode_held_key(bytes.fromhex("01000100") + number.to_bytes(257, "little")).key_size == 2049


def test_another_exponent_is_not_encoded() -> None:
    with pytest.raises(Malformed):
        encode_held_key(rsa.RSAPublicNumbers(3, (1 << 3071) | 1).public_key())


def test_a_tee_we_do_not_know_has_no_held_keys(workload_key: rsa.RSAPrivateKey) -> None:
    with pytest.raises(Malformed):
        decode_held_key(encode_held_key(workload_key.public_key()), tee="SEVSNP")  # type: ignore[arg-type]


@given(junk=st.binary(max_size=600))
def test_any_held_data_gives_a_key_or_malformed(junk: bytes) -> None:
    try:
        key = decode_held_key(junk)
    except Malformed:
        return
    assert 2048 < key.key_size <= 8192


def test_importing_the_envelope_costs_neither_cryptography_nor_dcap_code() -> None:
    """It is imported inside enclaves."""
    program = (
        "import sys, ambergate.core.release.envelope; "
        "print([m for m in sys.modules if m.startswith(('cryptography', 'joserfc', 'ambergate.core.quote', "
        "'ambergate.core.collateral', 'ambergate.core.verify', 'ambergate.core.token'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
