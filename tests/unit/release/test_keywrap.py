"""Keys that a token wrapped: what opens, and what does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.errors import AmberError, Malformed, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.keywrap import KeyWrap, OaepHash, open_key_wrap
from ambergate.core.release.material import KeyKind

KEY: Final = rsa.generate_private_key(65537, 3072)
OTHER: Final = rsa.generate_private_key(65537, 3072)
AES: Final = KeyKind.of("AES", bits=256)
EC: Final = KeyKind.of("EC", curve="secp256r1")
SWK: Final = bytes(range(32))
EC_KEY: Final = ec.generate_private_key(ec.SECP256R1())
PKCS8: Final = EC_KEY.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
SEC1: Final = EC_KEY.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def wrapped(material: bytes, kind: KeyKind = AES, *, swk: bytes = SWK, oaep: OaepHash = "sha256") -> KeyWrap:
    algorithm = SHA256() if oaep == "sha256" else SHA1()
    return KeyWrap(
        wrapped_key=aes_key_wrap_with_padding(swk[:32], material),
        wrapped_swk=KEY.public_key().encrypt(swk, OAEP(MGF1(algorithm), algorithm, None)),
        oaep=oaep,
        kind=kind,
    )


@pytest.mark.parametrize("oaep", ["sha256", "sha1"])
def test_a_key_comes_out_in_the_form_of_its_kind(oaep: OaepHash) -> None:
    assert open_key_wrap(KEY, wrapped(b"k" * 32, oaep=oaep)) == b"k" * 32
    for padding in (b"", bytes(-len(PKCS8) % 8)):
        assert open_key_wrap(KEY, wrapped(PKCS8 + padding, EC, oaep=oaep)) == SEC1


@pytest.mark.parametrize(
    "changed",
    [
        replace(wrapped(b"k" * 32), oaep="sha1"),
        replace(wrapped(b"k" * 32), wrapped_key=bytes(40)),
        replace(wrapped(b"k" * 32), wrapped_key=b""),
        replace(wrapped(b"k" * 32), wrapped_swk=bytes(384)),
        replace(wrapped(b"k" * 32), wrapped_swk=b""),
        wrapped(b"k" * 32, swk=SWK + b"x"),
        wrapped(b"k" * 16),
        wrapped(PKCS8 + b"\1", EC),
        wrapped(PKCS8 + bytes(16), EC),
        wrapped(PKCS8[:-1], EC),
        wrapped(b"0", EC),
        wrapped(b"0\x84\xff\xff\xff\xff", EC),
        wrapped(PKCS8, KeyKind.of("EC", curve="secp384r1")),
    ],
    ids=range(13),
)
def test_what_does_not_open(changed: KeyWrap) -> None:
    with pytest.raises(Malformed):
        open_key_wrap(KEY, changed)


def test_only_the_workloads_key_opens_it() -> None:
    with pytest.raises(Malformed):
        open_key_wrap(OTHER, wrapped(b"k" * 32))


def test_longer_than_any_is_not_read() -> None:
    with pytest.raises(TooLarge):
        open_key_wrap(KEY, replace(wrapped(b"k" * 32), wrapped_key=bytes(MAX_SECRET_SIZE + 16)))


@given(st.binary(max_size=100), st.integers(0, 400))
def test_any_bytes_open_or_are_our_error(inside: bytes, at: int) -> None:
    whole = wrapped(inside or b"x", EC)
    damaged = bytearray(whole.wrapped_key)
    damaged[at % len(damaged)] ^= 1
    for each in (whole, replace(whole, wrapped_key=bytes(damaged))):
        with pytest.raises(AmberError):
            open_key_wrap(KEY, each)
