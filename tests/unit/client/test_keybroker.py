"""The broker's answers, opened: Intel's envelope, and keys as their token wrapped them."""

from __future__ import annotations

import secrets
from base64 import b64encode
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap_with_padding

from ambergate.client.keybroker import opened, opened_jwe
from ambergate.core.errors import AmberError, Malformed, Unavailable
from ambergate.core.release.envelope import seal
from ambergate.core.release.jwe_sealing import seal_jwe

KEY: Final = rsa.generate_private_key(65537, 3072)
SWK: Final = secrets.token_bytes(32)
WRAPPED: Final[dict[str, object]] = {
    "wrapped_key": b64encode(aes_key_wrap_with_padding(SWK, b"k" * 32)).decode(),
    "wrapped_swk": b64encode(KEY.public_key().encrypt(SWK, OAEP(MGF1(SHA256()), SHA256(), None))).decode(),
    "wrapping": "RSA-OAEP-256+A256KWP",
    "algorithm": "AES",
    "key_length": 256,
}


def test_both_forms_open() -> None:
    envelope = seal(b"secret", KEY.public_key(), swk=SWK, nonce=secrets.token_bytes(12))
    parts = {"wrapped_key": envelope.wrapped_key, "wrapped_swk": envelope.wrapped_swk}
    assert opened(KEY, {name: b64encode(part).decode() for name, part in parts.items()}, limit=65536) == b"secret"
    assert opened(KEY, WRAPPED, limit=65536) == b"k" * 32


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"wrapping": "ROT13"}, Unavailable),
        ({"wrapping": None}, Unavailable),
        ({"wrapping": ["RSA-OAEP-256+A256KWP"]}, Unavailable),
        ({"wrapping": "RSA-OAEP+A256KWP"}, Malformed),
        ({"algorithm": 7}, Unavailable),
        ({"algorithm": "DES"}, Malformed),
        ({"key_length": "256"}, Unavailable),
        ({"key_length": 128}, Malformed),
        ({"curve_type": 7}, Unavailable),
        ({"wrapped_key": "x"}, Unavailable),
        ({"wrapped_swk": "AAAA"}, Malformed),
        ({"wrapped_key": None}, Unavailable),
    ],
    ids=range(12),
)
def test_answers_that_do_not_open(change: dict[str, object], error: type[AmberError]) -> None:
    with pytest.raises(error):
        opened(KEY, {**WRAPPED, **change}, limit=65536)


def test_a_jwe_opens_for_its_key_alone() -> None:
    workload, other = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    body = seal_jwe(b"secret", workload.public_key()).encode()
    assert opened_jwe(workload, body) == b"secret"
    for key, sent in ((other, body), (KEY, body), (workload, body[:-4] + b"AAAA"), (workload, b"a.b.c.d.e")):
        with pytest.raises(Malformed):
            opened_jwe(key, sent)
    with pytest.raises(Unavailable):
        opened_jwe(workload, b"\xff" + body)
