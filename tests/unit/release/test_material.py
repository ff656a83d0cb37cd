"""Kinds of keys: what is kept, in which form, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from hypothesis import given
from hypothesis import strategies as st

from ambergate.core.errors import AmberError, Malformed, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.material import OPAQUE, KeyKind, kind_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

RSA_KEY: Final = rsa.generate_private_key(65537, 2048)
EC_KEYS: Final = {
    "secp256r1": ec.generate_private_key(ec.SECP256R1()),
    "secp384r1": ec.generate_private_key(ec.SECP384R1()),
    "secp521r1": ec.generate_private_key(ec.SECP521R1()),
}
FORMATS: Final = (PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8)


def written(key: PrivateKeyTypes, encoding: Encoding = Encoding.DER, form: PrivateFormat = FORMATS[0]) -> bytes:
    return key.private_bytes(encoding, form, NoEncryption())


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("aes", 256, None), "AES 256"),
        (("AES", 192, None), "AES 192"),
        (("Rsa", 2048, None), "RSA 2048"),
        (("RSA", 8192, None), "RSA 8192"),
        (("ec", None, "prime256v1"), "EC secp256r1"),
        (("EC", 256, "SECP256R1"), "EC secp256r1"),
        (("EC", 521, "P-521"), "EC secp521r1"),
        (("opaque", None, None), "OPAQUE"),
    ],
)
def test_kinds_by_their_words(words: tuple[str, int | None, str | None], kind: str) -> None:
    assert str(KeyKind.of(words[0], bits=words[1], curve=words[2])) == kind


@pytest.mark.parametrize(
    "words",
    [
        ("AES", None, None),
        ("AES", 512, None),
        ("AES", 256, "secp256r1"),
        ("RSA", 1024, None),
        ("RSA", 2047, None),
        ("RSA", 8200, None),
        ("RSA", None, None),
        ("EC", None, None),
        ("EC", 384, "secp256r1"),
        ("EC", None, "secp256k1"),
        ("OPAQUE", 8, None),
        ("DES", 56, None),
        ("", None, None),
    ],
)
def test_kinds_that_are_not_kept(words: tuple[str, int | None, str | None]) -> None:
    with pytest.raises(Malformed) as caught:
        KeyKind.of(words[0], bits=words[1], curve=words[2])
    assert caught.value.code == "malformed-key-kind"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("encoding", [Encoding.DER, Encoding.PEM])
def test_every_form_of_a_private_key_becomes_the_one(encoding: Encoding, form: PrivateFormat) -> None:
    assert KeyKind.of("RSA", bits=2048).canonical(written(RSA_KEY, encoding, form)) == written(RSA_KEY)
    for curve, key in EC_KEYS.items():
        given_key = written(key, encoding, form)
        assert KeyKind.of("EC", curve=curve).canonical(given_key) == written(key)
        assert kind_of(given_key) == KeyKind.of("EC", curve=curve)
    assert kind_of(written(RSA_KEY, encoding, form)) == KeyKind.of("RSA", bits=2048)


def test_bytes_are_kept_as_they_are() -> None:
    assert KeyKind.of("AES", bits=128).canonical(b"k" * 16) == b"k" * 16
    assert OPAQUE.canonical(b"-----BEGIN nothing") == b"-----BEGIN nothing"


@pytest.mark.parametrize(
    ("kind", "material"),
    [
        (KeyKind.of("AES", bits=256), b"k" * 16),
        (KeyKind.of("AES", bits=128), b""),
        (OPAQUE, b""),
        (KeyKind.of("RSA", bits=3072), written(RSA_KEY)),
        (KeyKind.of("RSA", bits=2048), written(EC_KEYS["secp256r1"])),
        (KeyKind.of("EC", curve="secp256r1"), written(EC_KEYS["secp384r1"])),
        (KeyKind.of("EC", curve="secp256r1"), written(RSA_KEY)),
        (KeyKind.of("EC", curve="secp256r1"), written(ec.generate_private_key(ec.SECP256K1()))),
        (
            KeyKind.of("RSA", bits=2048),
            ed25519.Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        ),
        (
            KeyKind.of("RSA", bits=2048),
            RSA_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")),
        ),
        (KeyKind.of("RSA", bits=2048), written(RSA_KEY)[:-1]),
        (KeyKind.of("RSA", bits=2048), b"-----BEGIN RSA PRIVATE KEY-----\n"),
        (KeyKind.of("RSA", bits=2048), written(rsa.generate_private_key(3, 2048))),
    ],
    ids=range(13),
)
def test_what_is_no_key_of_its_kind(kind: KeyKind, material: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        kind.canonical(material)
    assert caught.value.code == "malformed-key"


def test_a_modulus_and_exponents_that_do_not_belong_together_are_no_key() -> None:
    """cryptography checks the parts against each other; this holds it to that."""
    damaged = bytearray(written(RSA_KEY))
    damaged[40] ^= 1
    with pytest.raises(Malformed):
        KeyKind.of("RSA", bits=2048).canonical(bytes(damaged))


@pytest.mark.parametrize("kind", [OPAQUE, KeyKind.of("AES", bits=128), KeyKind.of("RSA", bits=2048)])
def test_longer_than_any_is_not_read(kind: KeyKind) -> None:
    with pytest.raises(TooLarge):
        kind.canonical(b"0" * (MAX_SECRET_SIZE + 1))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_key_or_our_error(material: bytes) -> None:
    for kind in (KeyKind.of("RSA", bits=2048), KeyKind.of("EC", curve="secp256r1"), KeyKind.of("AES", bits=128)):
        try:
            kind.canonical(material)
        except AmberError:
            continue
        assert kind.algorithm == "AES" or load_der_private_key(material, None) is not None
