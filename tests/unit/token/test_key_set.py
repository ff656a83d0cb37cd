"""A key set is taken whole or not at all; every key in it is one that we would verify with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.integration.keybroker.forge import ABSENT, AT, ISSUER, Forge, Members, b64url, changed, jwk, rsa_key

from ambergate.core.errors import MalformedToken, TokenRejected
from ambergate.core.token.check import KeySet, check_token
from ambergate.core.token.jose import MAX_KEY_SET, MAX_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable


def key_set(*keys: object) -> KeySet:
    return KeySet.from_json(json.dumps({"keys": list(keys)}))


def rsa_member(forge: Forge, **changes: object) -> Members:
    return changed(jwk(forge.issuer_key.public_key(), forge.kid, "PS384"), changes)


def ec_member(forge: Forge, **changes: object) -> Members:
    return changed(jwk(forge.ec_key.public_key(), forge.ec_kid, "ES256"), changes)


def believed(forge: Forge, keys: KeySet, **options: Any) -> bool:  # noqa: ANN401
    try:
        check_token(forge.token(**options), keys, issuer=ISSUER, at=AT)
    except TokenRejected:
        return False
    return True


def test_keys_as_services_list_them(forge: Forge) -> None:
    """With certificates, and members that are nobody's business."""
    keys = key_set(rsa_member(forge, x5c=["QUFB"], use="sig", unknown=[1]), ec_member(forge, key_ops=["verify"]))
    assert believed(forge, keys)
    assert believed(forge, keys, alg="ES256", key=forge.ec_key, header={"kid": forge.ec_kid})


def test_bytes_are_as_good_as_text(forge: Forge) -> None:
    assert believed(forge, KeySet.from_json(json.dumps(forge.key_set()).encode()))


def test_a_key_without_algorithm_verifies_with_all_of_its_kind(forge: Forge) -> None:
    keys = key_set(rsa_member(forge, alg=ABSENT), ec_member(forge, alg=ABSENT))
    assert believed(forge, keys, alg="PS384")
    assert believed(forge, keys, alg="RS256")
    assert believed(forge, keys, alg="ES256", key=forge.ec_key, header={"kid": forge.ec_kid})
    assert not believed(forge, keys, alg="ES256", key=forge.ec_key)


def test_the_first_of_two_keys_with_one_id_counts(forge: Forge) -> None:
    other = jwk(forge.other_key.public_key(), forge.kid, "PS384")
    assert believed(forge, key_set(rsa_member(forge), other))
    assert not believed(forge, key_set(other, rsa_member(forge)))


def test_one_id_may_name_a_key_for_each_algorithm(forge: Forge) -> None:
    keys = key_set(rsa_member(forge), jwk(forge.other_key.public_key(), forge.kid, "RS256"))
    assert believed(forge, keys, alg="PS384")
    assert not believed(forge, keys, alg="RS256")
    assert believed(forge, keys, alg="RS256", key=forge.other_key)


def test_the_smallest_rsa_key_there_may_be(forge: Forge) -> None:
    small = rsa_key(2048)
    assert believed(forge, key_set(jwk(small.public_key(), forge.kid, "PS384")), key=small)


def on(curve: ec.EllipticCurve, size: int, name: str) -> Members:
    numbers = ec.generate_private_key(curve).public_key().public_numbers()
    x, y = (b64url(part.to_bytes(size, "big")) for part in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": name, "kid": "k", "x": x, "y": y}


UNUSABLE: dict[str, Callable[[Forge], object]] = {
    "symmetric": lambda _: {"kty": "oct", "kid": "k", "alg": "HS256", "k": "AAAA"},
    "symmetric, for one of our algorithms": lambda _: {"kty": "oct", "kid": "k", "alg": "PS384", "k": "AAAA"},
    "symmetric beside public": lambda forge: rsa_member(forge, k="AAAA"),
    "Edwards": lambda _: {"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": b64url(bytes(32))},
    "of no kind": lambda forge: rsa_member(forge, kty=ABSENT),
    "of kind null": lambda forge: rsa_member(forge, kty=None),
    "of kind list": lambda forge: rsa_member(forge, kty=["RSA"]),
    "RSA 1024": lambda _: jwk(rsa_key(1024).public_key(), "k", "PS384"),
    "RSA 2047": lambda _: jwk(rsa_key(2047).public_key(), "k", "PS384"),
    "RSA of nine thousand bits": lambda forge: rsa_member(forge, n=b64url(b"\xff" * 1125)),
    "RSA of many bits": lambda forge: rsa_member(forge, n=b64url(b"\xff" * 20_000)),
    "RSA without modulus": lambda forge: rsa_member(forge, n=ABSENT),
    "RSA with a number for modulus": lambda forge: rsa_member(forge, n=12345),
    "RSA with an empty modulus": lambda forge: rsa_member(forge, n=""),
    "RSA with a modulus that is no base64": lambda forge: rsa_member(forge, n="é*"),
    "RSA without exponent": lambda forge: rsa_member(forge, e=ABSENT),
    "RSA with exponent one": lambda forge: rsa_member(forge, e="AQ"),
    "RSA with an even exponent": lambda forge: rsa_member(forge, e="AQAA"),
    "P-384": lambda _: on(ec.SECP384R1(), 48, "P-384"),
    "P-384 called P-256": lambda _: on(ec.SECP384R1(), 48, "P-256"),
    "P-521": lambda _: on(ec.SECP521R1(), 66, "P-521"),
    "secp256k1": lambda _: on(ec.SECP256K1(), 32, "secp256k1"),
    "EC without curve": lambda forge: ec_member(forge, crv=ABSENT),
    "EC without y": lambda forge: ec_member(forge, y=ABSENT),
    "EC off the curve": lambda forge: ec_member(forge, y=b64url(bytes(32))),
    "EC at zero": lambda forge: ec_member(forge, x="", y=""),
    "RSA for ES256": lambda forge: rsa_member(forge, alg="ES256"),
    "EC for PS384": lambda forge: ec_member(forge, alg="PS384"),
    "for RS384": lambda forge: rsa_member(forge, alg="RS384"),
    "for HS256": lambda forge: rsa_member(forge, alg="HS256"),
    "for none": lambda forge: rsa_member(forge, alg="none"),
    "for a list of algorithms": lambda forge: rsa_member(forge, alg=["PS384"]),
    "for encryption": lambda forge: rsa_member(forge, use="enc"),
    "for a use that is null": lambda forge: rsa_member(forge, use=None),
    "for other operations": lambda forge: rsa_member(forge, key_ops=["encrypt"]),
    "for no operation": lambda forge: rsa_member(forge, key_ops=[]),
    "for operations in text": lambda forge: rsa_member(forge, key_ops="verify"),
    "without id": lambda forge: rsa_member(forge, kid=ABSENT),
    "with an empty id": lambda forge: rsa_member(forge, kid=""),
    "with a number for id": lambda forge: rsa_member(forge, kid=1),
    "no object": lambda _: "key",
    "null": lambda _: None,
    "a list": lambda _: [],
    "with d": lambda forge: rsa_member(forge, d="AQAB"),
    "with p": lambda forge: rsa_member(forge, p="AQAB"),
    "with q": lambda forge: rsa_member(forge, q="AQAB"),
    "with dp": lambda forge: rsa_member(forge, dp="AQAB"),
    "with qi": lambda forge: rsa_member(forge, qi="AQAB"),
    "EC with d": lambda forge: ec_member(forge, d="AQAB"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_one_unusable_key_spoils_the_set(forge: Forge, name: str) -> None:
    with pytest.raises(MalformedToken) as caught:
        key_set(rsa_member(forge), UNUSABLE[name](forge))
    assert caught.value.code == "malformed-token"


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "{}", '{"keys":null}', '{"keys":{}}', '{"keys":[]}', '{"keys":[],"keys":[]}'),
        *("{", "\ud800", '{"keys":NaN}', '{"keys":' + "[" * 5000, b"\xff", b'\xef\xbb\xbf{"keys":[]}'),
    ],
)
def test_what_is_no_key_set(text: str | bytes) -> None:
    with pytest.raises(MalformedToken):
        KeySet.from_json(text)


def test_a_key_set_is_bounded(forge: Forge) -> None:
    member = ec_member(forge)
    assert believed(forge, key_set(rsa_member(forge), *[member] * (MAX_KEYS - 1)))
    with pytest.raises(MalformedToken, match="no keys"):
        key_set(*[member] * (MAX_KEYS + 1))
    text = json.dumps({"keys": [member]})
    KeySet.from_json(text + " " * (MAX_KEY_SET - len(text)))
    with pytest.raises(MalformedToken, match="too long"):
        KeySet.from_json(text + " " * (MAX_KEY_SET + 1 - len(text)))


def test_the_secret_half_is_never_told(forge: Forge) -> None:
    with pytest.raises(MalformedToken) as caught:
        key_set(rsa_member(forge, d="c2VjcmV0"))
    assert "c2VjcmV0" not in str(caught.value.as_dict())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["kty", "kid", "alg", "use", "key_ops", "n", "e", "crv", "x", "y", "x5c"]),
    st.sampled_from(["RSA", "EC", "PS384", "ES256", "P-256", "AQAB", "sig", ["verify"]]) | JSON,
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(value=JSON | st.fixed_dictionaries({"keys": st.lists(MEMBERS, max_size=3)}))
def test_whatever_the_json_only_malformed_token_leaves(value: object) -> None:
    """No such key is usable: a random modulus has not the right size."""
    with pytest.raises(MalformedToken):
        KeySet.from_json(json.dumps(value))


@settings(max_examples=100, deadline=None)
@given(text=st.text() | st.binary())
def test_whatever_the_text_only_malformed_token_leaves(text: str | bytes) -> None:
    with pytest.raises(MalformedToken):
        KeySet.from_json(text)
