"""Secrets as JWE: ours opens what joserfc seals, joserfc opens what ours says it sealed, and little else opens."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwe import JWERegistry
from joserfc.jwk import ECKey, RSAKey

from ambergate.core.errors import AmberError, Malformed, TooLarge
from ambergate.core.release.envelope import MAX_SECRET_SIZE
from ambergate.core.release.jwe import MAX_JWE, decode_held_ec, encode_held_ec, open_jwe
from ambergate.core.release.jwe_sealing import seal_jwe

Private = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
RSA_KEY: Final = rsa.generate_private_key(65537, 3072)
EC_KEY: Final = ec.generate_private_key(ec.SECP256R1())
KEYS: Final[tuple[Private, ...]] = (
    RSA_KEY,
    EC_KEY,
    ec.generate_private_key(ec.SECP384R1()),
    ec.generate_private_key(ec.SECP521R1()),
)
IDS: Final = ("rsa", "p256", "p384", "p521")


def jwk(key: Private) -> RSAKey | ECKey:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return RSAKey.import_key(pem) if isinstance(key, rsa.RSAPrivateKey) else ECKey.import_key(pem)


@pytest.mark.parametrize("key", KEYS, ids=IDS)
@pytest.mark.parametrize("size", [1, 32, MAX_SECRET_SIZE])
def test_what_is_sealed_opens_here_and_elsewhere(key: Private, size: int) -> None:
    secret = bytes(range(256)) * (size // 256) + bytes(size % 256)
    text = seal_jwe(secret, key.public_key())
    header = json.loads(urlsafe_b64decode(text.partition(".")[0] + "=="))
    algorithm = "RSA-OAEP-256" if key is RSA_KEY else "ECDH-ES+A256KW"
    assert (header["alg"], header["enc"]) == (algorithm, "A256GCM")
    assert open_jwe(key, text) == secret
    registry = JWERegistry(algorithms=[algorithm, "A256GCM"])
    registry.max_ciphertext_length = MAX_JWE  # its own limit is a little below ours
    assert jwe.decrypt_compact(text, jwk(key), registry=registry).plaintext == secret


def test_only_the_key_it_was_made_for_opens_it() -> None:
    for key in KEYS:
        text = seal_jwe(b"secret", key.public_key())
        for other in (*(each for each in KEYS if each is not key), ec.generate_private_key(ec.SECP256R1())):
            with pytest.raises(Malformed):
                open_jwe(other, text)


def test_limits() -> None:
    with pytest.raises(TooLarge):
        seal_jwe(bytes(MAX_SECRET_SIZE + 1), RSA_KEY.public_key())
    with pytest.raises(ValueError, match="empty"):
        seal_jwe(b"", RSA_KEY.public_key())
    with pytest.raises(TooLarge):
        open_jwe(RSA_KEY, "x" * (MAX_JWE + 1))


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.parametrize("part", range(5))
def test_every_part_is_authenticated(part: int) -> None:
    for key in KEYS[:2]:
        parts = seal_jwe(b"secret", key.public_key()).split(".")
        data = bytearray(urlsafe_b64decode(parts[part] + "=="))
        data[-1] ^= 1
        parts[part] = encoded(bytes(data))
        with pytest.raises(Malformed):
            open_jwe(key, ".".join(parts))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "RSA1_5", "enc": "A256GCM"},
        {"alg": "dir", "enc": "A256GCM"},
        {"alg": "RSA-OAEP-256", "enc": "A128GCM"},
        {"alg": "RSA-OAEP-256", "enc": "A256GCM", "zip": "DEF"},
        {"alg": "RSA-OAEP-256", "enc": "A256GCM", "crit": ["x"]},
        {"alg": "RSA-OAEP-256"},
        [],
        "text",
    ],
    ids=range(8),
)
def test_headers_that_ask_for_something_else(header: object) -> None:
    parts = seal_jwe(b"secret", RSA_KEY.public_key()).split(".")
    parts[0] = encoded(json.dumps(header).encode())
    with pytest.raises(Malformed):
        open_jwe(RSA_KEY, ".".join(parts))


def test_what_is_compressed_is_not_opened() -> None:
    """Anybody who has the public key can seal such a one: it would open to more than any limit."""
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "zip": "DEF"}
    text = jwe.encrypt_compact(header, b"secret", jwk(RSA_KEY), algorithms=["RSA-OAEP-256", "A256GCM", "DEF"])
    with pytest.raises(Malformed, match="does not open"):
        open_jwe(RSA_KEY, text)


@pytest.mark.parametrize("change", [{"epk": None}, {"epk": {}}, {"apu": "QQ"}, {"apv": "QQ"}], ids=range(4))
def test_headers_of_another_agreement(change: dict[str, object]) -> None:
    parts = seal_jwe(b"secret", EC_KEY.public_key()).split(".")
    header = json.loads(urlsafe_b64decode(parts[0] + "==")) | change
    parts[0] = encoded(json.dumps(header).encode())
    with pytest.raises(Malformed):
        open_jwe(EC_KEY, ".".join(parts))


@pytest.mark.parametrize("key", KEYS[1:], ids=IDS[1:])
def test_an_ec_workload_key_as_held_data(key: ec.EllipticCurvePrivateKey) -> None:
    assert decode_held_ec(encode_held_ec(key.public_key())) == key.public_key()


def test_held_data_of_an_ec_key_is_not_json() -> None:
    """An attestation service would tell it as runtime data, and no key is taken from there."""
    held = encode_held_ec(EC_KEY.public_key())
    assert held.startswith(b"\x30")
    with pytest.raises(UnicodeDecodeError):
        json.loads(held)


def spki(key: Private, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> bytes:
    return key.public_key().public_bytes(
        Encoding.DER if form is PublicFormat.SubjectPublicKeyInfo else Encoding.X962, form
    )


def compressed() -> bytes:
    """The same key with its point compressed: another encoding of it."""
    whole, point = spki(EC_KEY), spki(EC_KEY, PublicFormat.CompressedPoint)
    short = bytearray(whole[:-65] + point)
    short[1] -= 32  # the SEQUENCE
    short[len(whole) - 65 - 2] -= 32  # the BIT STRING
    return bytes(short)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "malformed-held-key"),
        (b"\x30", "malformed-held-key"),
        (b"\x30" * 500, "malformed-held-key"),
        (spki(EC_KEY)[:-1], "malformed-held-key"),
        (spki(EC_KEY) + b"\0", "malformed-held-key"),
        (spki(EC_KEY)[:-1] + bytes([spki(EC_KEY)[-1] ^ 1]), "malformed-held-key"),
        (compressed(), "malformed-held-key"),
        (spki(EC_KEY, PublicFormat.UncompressedPoint), "malformed-held-key"),
        (
            Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            "malformed-held-key",
        ),
        (spki(ec.generate_private_key(ec.SECP256K1())), "weak-held-key"),
        (spki(ec.generate_private_key(ec.SECP224R1())), "weak-held-key"),
    ],
    ids=range(11),
)
def test_what_is_no_ec_workload_key(data: bytes, code: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode_held_ec(data)
    assert caught.value.code == code


@given(st.binary(max_size=300))
def test_any_bytes_are_an_ec_key_or_malformed(data: bytes) -> None:
    for each in (data, b"\x30" + data, spki(EC_KEY)[: len(data)] + data):
        try:
            decode_held_ec(each)
        except Malformed:
            continue


@given(st.text(max_size=200), st.binary(max_size=200))
def test_any_text_is_our_error(text: str, data: bytes) -> None:
    for attempt in (text, ".".join([encoded(data)] * 5), f"e30.{text}..{encoded(data)}."):
        with pytest.raises(AmberError):
            open_jwe(EC_KEY, attempt)
